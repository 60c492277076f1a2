// Every step from text to ids, told. Written step by step over whole strings, as the reference works, and so
// a second implementation that the tests hold the fast one against.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/utf8.h"
#include "bert/tokenizer.h"
#include "text/added_tokens.h"
#include "text/tokenizer_data.h"
#include "text/unicode.h"

namespace bert {

namespace {

using text::AddedTokenFinder;
using text::AddedTokenTable;
using text::Pipeline;

constexpr std::size_t kMostBytes = 8192;
constexpr std::size_t kMostCandidates = 500000;

struct Character {
  char32_t code_point;
  Offsets source;
};

/// A run of plain text, or an added token (then `characters` is its text and stays as it is).
struct Segment {
  std::vector<Character> characters;
  std::int32_t added_id = -1;
};

using Characters = std::vector<Character>;

std::string join(const Characters& characters) {
  std::string out;
  for (const Character& character : characters) utf8::append(out, character.code_point);
  return out;
}

std::string join(const std::vector<Segment>& segments) {
  std::string out;
  for (const Segment& segment : segments) out += join(segment.characters);
  return out;
}

Characters characters_of(std::string_view text, std::size_t begin, std::size_t end) {
  Characters characters;
  while (begin < end) {
    const utf8::Decoded next = utf8::decode(text.data() + begin, text.data() + end);
    const auto at = static_cast<std::uint32_t>(begin);
    characters.push_back({next.code_point, {at, at + next.length}});
    begin += next.length;
  }
  return characters;
}

/// What one step makes of a run, and what it changed.
struct StepResult {
  Characters characters;
  std::vector<ExplainedChange> changes;

  /// `before`, from one place, becomes `after`.
  void replace(const Characters& before, const Characters& after) {
    characters.insert(characters.end(), after.begin(), after.end());
    std::string was = join(before);
    std::string is = join(after);
    if (was != is)
      changes.push_back(
          {{before.front().source.begin, before.back().source.end}, std::move(was), std::move(is)});
  }
};

StepResult clean_text(const Characters& in) {
  StepResult out;
  for (const Character& c : in) {
    const std::uint8_t flags = unicode::record(c.code_point).flags;
    if ((flags & unicode::kDrop) != 0) {
      out.replace({c}, {});
    } else {
      out.replace({c}, {{(flags & unicode::kSpace) != 0 ? U' ' : c.code_point, c.source}});
    }
  }
  return out;
}

StepResult space_cjk(const Characters& in) {
  StepResult out;
  for (const Character& c : in) {
    if ((unicode::record(c.code_point).flags & unicode::kCjk) != 0) {
      out.replace({c}, {{' ', c.source}, c, {' ', c.source}});
    } else {
      out.replace({c}, {c});
    }
  }
  return out;
}

StepResult strip_accents(const Characters& in) {
  struct Part {
    char32_t code_point;
    bool inserted;
  };
  StepResult out;
  for (std::size_t i = 0; i < in.size();) {
    // A run: a character and all that follow it whose decomposition begins with a combining mark.
    Characters before;
    std::vector<Part> parts;
    do {
      before.push_back(in[i]);
      const auto parted = unicode::decompose(in[i].code_point, unicode::record(in[i].code_point));
      for (std::size_t k = 0; k < parted.size; ++k) parts.push_back({parted.code_points[k], k > 0});
      ++i;
    } while (i < in.size() &&
             unicode::record(
                 unicode::decompose(in[i].code_point, unicode::record(in[i].code_point)).code_points[0])
                     .combining_class != 0);
    // Canonical ordering as the Unicode standard defines it: exchange neighbours that are out of order
    // (3.11).
    const auto combining_class = [](const Part& part) {
      return unicode::record(part.code_point).combining_class;
    };
    for (std::size_t k = 1; k < parts.size(); ++k) {
      if (combining_class(parts[k]) == 0) continue;
      for (std::size_t at = k; at > 0 && combining_class(parts[at - 1]) > combining_class(parts[at]); --at)
        std::swap(parts[at - 1], parts[at]);
    }
    Characters after;
    std::size_t taken = 0;
    for (const Part& part : parts) {
      if (!part.inserted) ++taken;
      if (!unicode::is_mark(part.code_point))
        after.push_back({part.code_point, before[taken == 0 ? 0 : taken - 1].source});
    }
    out.replace(before, after);
  }
  return out;
}

StepResult lowercase(const Characters& in) {
  StepResult out;
  for (const Character& c : in) {
    Characters after;
    unicode::lowercase(c.code_point, unicode::record(c.code_point), [&](char32_t lowered) {
      after.push_back({lowered, c.source});
    });
    out.replace({c}, after);
  }
  return out;
}

ExplainedStep apply(std::string_view name, bool enabled, StepResult (*step)(const Characters&),
                    std::vector<Segment>& segments) {
  ExplainedStep told;
  told.name = name;
  told.enabled = enabled;
  told.before = join(segments);
  if (enabled) {
    for (Segment& segment : segments) {
      if (segment.added_id >= 0) continue;
      StepResult result = step(segment.characters);
      segment.characters = std::move(result.characters);
      std::move(result.changes.begin(), result.changes.end(), std::back_inserter(told.changes));
    }
  }
  told.after = join(segments);
  return told;
}

/// Cuts the added tokens of a table out of a text whose characters are given.
std::vector<Segment> cut(const AddedTokenTable& table, std::string_view text, const Characters& characters,
                         bool special) {
  std::vector<Segment> segments;
  std::size_t byte = 0;  // of text, of the character `next`
  auto next = characters.begin();
  const auto take = [&](std::size_t end, std::int32_t id) {
    Segment segment;
    segment.added_id = id;
    char buffer[4];
    for (; byte < end; ++next) {
      segment.characters.push_back(*next);
      byte += utf8::encode(next->code_point, buffer);
    }
    if (!segment.characters.empty()) segments.push_back(std::move(segment));
  };
  AddedTokenFinder finder(table, text, special);
  while (const auto match = finder.next()) {
    take(match->begin, -1);
    take(match->end, match->token->id);
  }
  take(text.size(), -1);
  return segments;
}

/// Splits runs at white space and around punctuation, and matches each word.
class WordTeller {
 public:
  WordTeller(const Pipeline& pipeline, std::vector<ExplainedWord>& out) : pipeline_(pipeline), out_(out) {}

  void run(const Segment& segment) {
    if (segment.added_id >= 0) {
      const Offsets source{segment.characters.front().source.begin, segment.characters.back().source.end};
      out_.push_back(
          {WordKind::kAddedToken, join(segment.characters), source, {}, {segment.added_id}, {source}});
      return;
    }
    Characters word;
    for (const Character& c : segment.characters) {
      const bool alone = unicode::is_punctuation(c.code_point);
      if (unicode::is_space(c.code_point) || alone) end(word);
      if (!unicode::is_space(c.code_point)) word.push_back(c);
      if (alone) end(word);
    }
    end(word);
  }

  bool too_many() const { return candidates_ > kMostCandidates; }

 private:
  void end(Characters& word) {
    if (!word.empty() && !too_many()) match(word);
    word.clear();
  }

  void match(const Characters& word) {
    ExplainedWord told;
    told.text = join(word);
    told.source = {word.front().source.begin, word.back().source.end};
    bool unknown = word.size() > pipeline_.settings.max_chars_per_word;
    if (unknown) told.kind = WordKind::kTooLong;
    for (std::size_t begin = 0; begin < word.size() && !unknown;) {
      std::size_t end = word.size();
      std::int32_t id = -1;
      for (; end > begin && !too_many(); --end) {
        std::string piece = begin > 0 ? pipeline_.prefix : "";
        for (std::size_t i = begin; i < end; ++i) utf8::append(piece, word[i].code_point);
        id = pipeline_.vocabulary.word_id(piece);
        told.candidates.push_back({std::move(piece), id});
        ++candidates_;
        if (id >= 0) break;
      }
      unknown = id < 0;
      if (unknown) break;
      told.ids.push_back(id);
      told.offsets.push_back({word[begin].source.begin, word[end - 1].source.end});
      begin = end;
    }
    if (unknown) {
      told.ids = {pipeline_.unknown_id};
      told.offsets = {told.source};
    }
    out_.push_back(std::move(told));
  }

  const Pipeline& pipeline_;
  std::vector<ExplainedWord>& out_;
  std::size_t candidates_ = 0;
};

}  // namespace

Expected<Explanation> Tokenizer::explain(std::string_view text, bool recognize_special_tokens) const {
  if (text.size() > kMostBytes)
    return fail(ErrorCode::kTooLong, "explain takes at most " + std::to_string(kMostBytes) +
                                         " bytes, this text has " + std::to_string(text.size()));
  const Pipeline& pipeline = data_->pipeline;
  const TokenizerSettings& settings = pipeline.settings;
  std::vector<Segment> segments;
  std::size_t at = 0;
  AddedTokenFinder finder(pipeline.added_raw, text, recognize_special_tokens);
  const auto take = [&](std::size_t end, std::int32_t id) {
    if (at < end) segments.push_back({characters_of(text, at, end), id});
    at = end;
  };
  while (const auto match = finder.next()) {
    take(match->begin, -1);
    take(match->end, match->token->id);
  }
  take(text.size(), -1);

  Explanation explanation;
  explanation.steps.push_back(apply("clean_text", settings.clean_text, clean_text, segments));
  explanation.steps.push_back(
      apply("tokenize_chinese_chars", settings.tokenize_chinese_chars, space_cjk, segments));
  explanation.steps.push_back(apply("strip_accents", settings.strip_accents, strip_accents, segments));
  explanation.steps.push_back(apply("lowercase", settings.lowercase, lowercase, segments));

  WordTeller teller(pipeline, explanation.words);
  for (const Segment& segment : segments) {
    if (segment.added_id >= 0) {
      teller.run(segment);
      continue;
    }
    const std::string normalized = join(segment.characters);
    for (const Segment& part :
         cut(pipeline.added_normalized, normalized, segment.characters, recognize_special_tokens))
      teller.run(part);
  }
  if (teller.too_many())
    return fail(ErrorCode::kTooLong, "explain keeps at most " + std::to_string(kMostCandidates) +
                                         " tried candidates, this text needs more");
  return explanation;
}

}  // namespace bert
