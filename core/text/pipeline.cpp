// The pass of pipeline.h. ASCII words go a short way; from the first other byte of a word on, the normaliser
// takes over until the next ASCII blank or punctuation mark, where nothing before can influence what follows.
#include "text/pipeline.h"

#include <algorithm>

#include "base/utf8.h"

namespace bert::text {

void RawTokens::clear() {
  ids.clear();
  offsets.clear();
  word_ids.clear();
}

void RawTokens::reserve(std::size_t tokens) {
  ids.reserve(tokens);
  offsets.reserve(tokens);
  word_ids.reserve(tokens);
}

Pipeline::Pipeline(const Definition& definition)
    : settings(definition.settings),
      vocabulary(definition.entries, definition.prefix),
      prefix(definition.prefix),
      unknown_id(definition.unknown_id) {
  for (const AddedToken& token : definition.added_tokens) {
    if (token.normalized) {
      const auto size = static_cast<std::uint32_t>(token.content.size());
      added_normalized.add(token, normalize(settings, token.content, 0, size).text);
    } else {
      added_raw.add(token, token.content);
    }
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    ascii[byte] = kSlow;
    if (byte >= 128) continue;
    const unicode::Record& record = unicode::record(byte);
    const bool letter = byte > ' ' && byte < 0x7f;
    const std::int32_t id = byte == 0 ? -1 : vocabulary.short_word(byte);
    ascii_ids[byte] = id < 0 ? unknown_id : id;
    if (settings.clean_text && (record.flags & unicode::kDrop) != 0) continue;
    if ((record.flags & unicode::kSpace) != 0) {
      ascii[byte] = kSpace;
    } else if ((record.flags & unicode::kPunctuation) != 0) {
      ascii[byte] = kPunctuation;
    } else if (letter) {
      ascii[byte] = static_cast<std::uint8_t>(byte + (settings.lowercase ? record.lower : 0));
    }
  }
}

void NormalizedText::put(char32_t c, Offsets source) {
  utf8::append(text, c);
  sources.resize(text.size(), source);
}

NormalizedText normalize(const TokenizerSettings& settings, std::string_view text, std::uint32_t begin,
                         std::uint32_t end) {
  NormalizedText result;
  NormalizerStream<NormalizedText> stream(settings, result);
  stream.start(begin);
  for (std::uint32_t at = begin; at < end;) {
    const utf8::Decoded next = utf8::decode(text.data() + at, text.data() + end);
    stream.put(next.code_point, {at, at + next.length});
    at += next.length;
  }
  stream.finish();
  return result;
}

template <class SourceOf>
void WordSink::match(std::string_view word, const SourceOf& source_of) {
  const std::int32_t word_id = fixed_word_ >= 0 ? fixed_word_ : word_++;
  const std::size_t first = out_->size();
  for (std::size_t begin = 0; begin < word.size();) {
    const Trie::Match piece = begin == 0 ? pipeline_.vocabulary.longest_first(word)
                                         : pipeline_.vocabulary.longest_rest(word.substr(begin));
    if (piece.length == 0) {
      out_->ids.resize(first);
      out_->offsets.resize(first);
      out_->word_ids.resize(first);
      out_->push(pipeline_.unknown_id, source_of(0, word.size()), word_id);
      return;
    }
    out_->push(piece.id, source_of(begin, begin + piece.length), word_id);
    begin += piece.length;
  }
}

void WordSink::ascii_word(std::string_view text, std::uint32_t begin) {
  match(text, [begin](std::size_t from, std::size_t to) {
    return Offsets{begin + static_cast<std::uint32_t>(from), begin + static_cast<std::uint32_t>(to)};
  });
}

void WordSink::put(char32_t c, Offsets source) {
  const std::uint8_t flags = unicode::record(c).flags;
  if ((flags & unicode::kSpace) != 0) {
    end_word();
    return;
  }
  const bool alone = (flags & unicode::kPunctuation) != 0;
  if (alone) end_word();
  if (characters_ == 0) whole_.begin = source.begin;
  whole_.end = source.end;
  if (++characters_ <= pipeline_.settings.max_chars_per_word) {
    utf8::append(text_, c);
    sources_.resize(text_.size(), source);
  }
  if (alone) end_word();
}

void WordSink::end_word() {
  if (characters_ == 0) return;
  if (characters_ > pipeline_.settings.max_chars_per_word) {
    token(pipeline_.unknown_id, whole_);
  } else {
    match(text_, [this](std::size_t from, std::size_t to) {
      return Offsets{sources_[from].begin, sources_[to - 1].end};
    });
  }
  characters_ = 0;
  text_.clear();
  sources_.clear();
}

const char* SequenceTokenizer::run_slow(const char* p, const char* end) {
  const char* const base = text_.data();
  while (p < end) {
    const utf8::Decoded next = utf8::decode(p, end);
    const auto at = static_cast<std::uint32_t>(p - base);
    stream_.put(next.code_point, {at, at + next.length});
    p += next.length;
    if (next.code_point < 128) {
      const std::uint8_t kind = pipeline_.ascii[next.code_point];
      if (kind == Pipeline::kSpace || kind == Pipeline::kPunctuation) return p;
    }
  }
  stream_.finish();
  sink_.end_word();
  return p;
}

void SequenceTokenizer::run_part(std::uint32_t begin, std::uint32_t end) {
  if (!pipeline_.added_normalized.empty()) {
    run_normalized(begin, end);
    return;
  }
  const std::uint8_t* const ascii = pipeline_.ascii;
  const char* const base = text_.data();
  const char* const stop = base + end;
  const auto kind_at = [ascii](const char* p) { return ascii[static_cast<std::uint8_t>(*p)]; };
  const auto place = [base](const char* p) { return static_cast<std::uint32_t>(p - base); };
  stream_.start(begin);
  std::string folded;
  for (const char* p = base + begin; p < stop;) {
    const std::uint8_t kind = kind_at(p);
    if (kind == Pipeline::kSpace) {
      ++p;
      continue;
    }
    if (kind == Pipeline::kPunctuation) {
      sink_.token(pipeline_.ascii_ids[static_cast<std::uint8_t>(*p)], {place(p), place(p) + 1});
      ++p;
      continue;
    }
    if (kind == Pipeline::kSlow) {
      p = run_slow(p, stop);
      continue;
    }
    const char* const word = p;
    std::uint64_t packed = 0;
    for (int shift = 0; shift < 64 && p < stop && kind_at(p) > Pipeline::kPunctuation; shift += 8, ++p)
      packed |= std::uint64_t{kind_at(p)} << shift;
    while (p < stop && kind_at(p) > Pipeline::kPunctuation) ++p;
    if (p < stop && kind_at(p) == Pipeline::kSlow) {
      p = run_slow(word, stop);
      continue;
    }
    const auto length = static_cast<std::size_t>(p - word);
    if (length > pipeline_.settings.max_chars_per_word) {
      sink_.token(pipeline_.unknown_id, {place(word), place(p)});
      continue;
    }
    if (length <= 8) {
      const std::int32_t id = pipeline_.vocabulary.short_word(packed);
      if (id >= 0) {
        sink_.token(id, {place(word), place(p)});
        continue;
      }
    }
    folded.resize(length);
    for (std::size_t i = 0; i < length; ++i) folded[i] = static_cast<char>(kind_at(word + i));
    if (length > 8) {
      const std::int32_t id = pipeline_.vocabulary.long_word(folded);
      if (id >= 0) {
        sink_.token(id, {place(word), place(p)});
        continue;
      }
    }
    sink_.ascii_word(folded, place(word));
  }
}

void SequenceTokenizer::run_normalized(std::uint32_t begin, std::uint32_t end) {
  const NormalizedText normalized = normalize(pipeline_.settings, text_, begin, end);
  const char* const bytes = normalized.text.data();
  const auto words = [&](std::size_t from, std::size_t to) {
    while (from < to) {
      const utf8::Decoded next = utf8::decode(bytes + from, bytes + to);
      sink_.put(next.code_point, normalized.sources[from]);
      from += next.length;
    }
    sink_.end_word();
  };
  AddedTokenFinder finder(pipeline_.added_normalized, normalized.text, special_tokens_);
  std::size_t at = 0;
  while (const auto match = finder.next()) {
    words(at, match->begin);
    sink_.token(match->token->id,
                {normalized.sources[match->begin].begin, normalized.sources[match->end - 1].end});
    at = match->end;
  }
  words(at, normalized.text.size());
}

void SequenceTokenizer::run_text(std::string_view text, bool special_tokens) {
  text_ = text;
  special_tokens_ = special_tokens;
  AddedTokenFinder finder(pipeline_.added_raw, text, special_tokens);
  std::uint32_t at = 0;
  while (const auto match = finder.next()) {
    const auto begin = static_cast<std::uint32_t>(match->begin);
    const auto end = static_cast<std::uint32_t>(match->end);
    if (at < begin) run_part(at, begin);
    sink_.token(match->token->id, {begin, end});
    at = end;
  }
  if (at < text.size()) run_part(at, static_cast<std::uint32_t>(text.size()));
}

void SequenceTokenizer::run(const TextSequence& sequence, bool special_tokens, RawTokens& out) {
  out_ = &out;
  if (!sequence.is_split_into_words) {
    // A token takes four bytes or more in most text. A short text spares the steps of growing, which cost
    // more than its tokens; a long one grows as it needs.
    constexpr std::size_t kMostReserved = 4096;
    out.reserve(std::min(sequence.text.size() / 4 + 1, kMostReserved));
    sink_.start(-1);
    run_text(sequence.text, special_tokens);
    return;
  }
  std::int32_t index = 0;
  for (const std::string_view word : sequence.words) {
    sink_.start(index++);
    run_text(word, special_tokens);
  }
}

}  // namespace bert::text
