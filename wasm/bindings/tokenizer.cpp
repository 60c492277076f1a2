// The module behind `bertlens/tokenizer`: the tokenizer for JavaScript. Requests and answers of the calls
// that must be fast are 32-bit words in the heap (words.h); the others are plain values. A call that fails
// returns 0 or undefined and leaves the reason in `error`.
#include <emscripten/bind.h>
#include <emscripten/val.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bert/tokenizer.h"
#include "values.h"
#include "words.h"

namespace bert::bindings {
namespace {

using emscripten::val;

/// -1 stands for "not given".
std::optional<bool> optional_flag(std::int32_t value) {
  return value < 0 ? std::nullopt : std::optional<bool>(value != 0);
}

std::optional<std::uint32_t> optional_size(std::int32_t value) {
  return value < 0 ? std::nullopt : std::optional<std::uint32_t>(static_cast<std::uint32_t>(value));
}

template <class Enum>
std::optional<Enum> optional_enum(std::int32_t value) {
  return value < 0 ? std::nullopt : std::optional<Enum>(static_cast<Enum>(value));
}

EncodeOptions read_options(WordReader& in) {
  EncodeOptions options;
  options.padding = static_cast<Padding>(in.word());
  options.truncation = optional_enum<Truncation>(in.word());
  options.max_length = optional_size(in.word());
  options.pad_to_multiple_of = in.size();
  options.padding_side = optional_enum<Side>(in.word());
  options.truncation_side = optional_enum<Side>(in.word());
  options.return_overflowing = in.word() != 0;
  options.stride = in.size();
  options.add_special_tokens = in.word() != 0;
  options.recognize_special_tokens = in.word() != 0;
  return options;
}

val range(Offsets offsets) {
  val pair = val::array();
  pair.set(0, offsets.begin);
  pair.set(1, offsets.end);
  return pair;
}

void to_utf16(Encoding& row, const TextInput& input) {
  row.offsets = convert_offsets(row, input, OffsetUnit::kUtf16);
  for (Encoding& window : row.overflowing) to_utf16(window, input);
}

/// One input of a request: the words of each sequence are views into the request's bytes.
struct Input {
  std::vector<std::string_view> words[2];
  TextInput text;
  bool offsets_are_utf16 = true;  ///< one byte a unit: nothing to convert
};

void read_sequence(WordReader& in, const char*& bytes, Input& input, std::vector<std::string_view>& words,
                   TextSequence& sequence) {
  const std::int32_t count = in.word();
  const auto piece = [&] {
    const std::size_t size = in.size();
    if (size != in.size()) input.offsets_are_utf16 = false;
    const std::string_view view(bytes, size);
    bytes += size;
    return view;
  };
  if (count < 0) {
    sequence = TextSequence(piece());
    return;
  }
  words.reserve(static_cast<std::size_t>(count));
  for (std::int32_t i = 0; i < count; ++i) words.push_back(piece());
  sequence = TextSequence(std::span<const std::string_view>(words));
}

class TokenizerBinding {
 public:
  /// Loads once; undefined, or an error. The numbers are -1 where not given.
  bool load(const std::string& vocab_txt, const std::string& tokenizer_json, const std::string& config_json,
            std::int32_t lowercase, std::int32_t strip_accents, std::int32_t chinese_chars,
            std::int32_t clean_text, std::int32_t model_max_length) {
    TokenizerOptions options;
    options.lowercase = optional_flag(lowercase);
    options.strip_accents = optional_flag(strip_accents);
    options.tokenize_chinese_chars = optional_flag(chinese_chars);
    options.clean_text = optional_flag(clean_text);
    options.model_max_length = optional_size(model_max_length);
    Expected<Tokenizer> loaded = Tokenizer::load({vocab_txt, tokenizer_json, config_json}, options);
    if (!loaded) return failed(loaded.error());
    tokenizer_.emplace(std::move(*loaded));
    return true;
  }

  val error() const {
    val result = val::object();
    result.set("code", text(code_name(error_.code)));
    result.set("message", error_.message);
    return result;
  }

  /// Room for a request of `bytes` bytes, to be written before the next call; valid until the next `request`.
  std::uintptr_t request(std::size_t bytes) {
    const std::size_t words = bytes / sizeof(std::int32_t) + 1;
    if (words > request_capacity_ || words < request_capacity_ / 16) {
      request_.reset(new std::int32_t[words]);
      request_capacity_ = words;
    }
    return reinterpret_cast<std::uintptr_t>(request_.get());
  }

  /// Request: options, byte offset of the texts, number of rows, the rows' shapes, then all bytes of text.
  /// Answer: number of words that follow, number of rows, rows.
  std::uintptr_t encode() {
    WordReader in(request_.get());
    const EncodeOptions options = read_options(in);
    const char* bytes = reinterpret_cast<const char*>(request_.get()) + in.size();
    std::vector<Input> inputs(in.size());
    for (Input& input : inputs) {
      const std::int32_t sequences = in.word();
      read_sequence(in, bytes, input, input.words[0], input.text.first);
      if (sequences == 2) read_sequence(in, bytes, input, input.words[1], input.text.second.emplace());
    }
    if (inputs.size() == 1) {  // also spares the naming of rows in errors
      Expected<Encoding> row = tokenizer_->encode(inputs[0].text, options);
      if (!row) return failed(row.error());
      if (!inputs[0].offsets_are_utf16) to_utf16(*row, inputs[0].text);
      return answer({&*row, 1});
    }
    std::vector<TextInput> texts;
    texts.reserve(inputs.size());
    for (const Input& input : inputs) texts.push_back(input.text);
    Expected<std::vector<Encoding>> rows = tokenizer_->encode_batch(texts, options);
    if (!rows) return failed(rows.error());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].offsets_are_utf16) to_utf16((*rows)[i], inputs[i].text);
    }
    return answer(*rows);
  }

  /// Request: options, number of rows, rows. Answer: as `encode`.
  std::uintptr_t pad() {
    WordReader in(request_.get());
    const EncodeOptions options = read_options(in);
    std::vector<Encoding> rows = read_rows(in);
    if (const Status done = tokenizer_->pad(rows, options); !done) return failed(done.error());
    return answer(rows);
  }

  /// Request: number of rows, rows.
  val padding_statistics() {
    WordReader in(request_.get());
    const PaddingStatistics counted = bert::padding_statistics(read_rows(in));
    val result = val::object();
    result.set("rows", counted.rows);
    result.set("columns", counted.columns);
    result.set("cells", counted.cells);
    result.set("padding", counted.padding);
    result.set("paddingPercent", counted.padding_percent);
    result.set("attentionCells", static_cast<double>(counted.attention_cells));
    result.set("attentionUseful", static_cast<double>(counted.attention_useful));
    return result;
  }

  /// Request: one row.
  val words(std::size_t least_pieces) {
    WordReader in(request_.get());
    const Encoding row = read_row(in);
    return list(tokenizer_->words(row, least_pieces), [](const Word& word) {
      val result = val::object();
      result.set("text", word.text);
      result.set("pieces", list(word.pieces, text));
      result.set("firstToken", word.first_token);
      result.set("wordId", word.word_id);
      result.set("sequenceId", static_cast<std::int32_t>(word.sequence_id));
      result.set("offsets", range(word.offsets));
      return result;
    });
  }

  /// Request: number of ids, ids. `clean_up` is a CleanUp or -1.
  val decode(bool skip_special_tokens, std::int32_t clean_up) {
    WordReader in(request_.get());
    const std::size_t count = in.size();
    Expected<std::string> decoded =
        tokenizer_->decode(in.words(count), {skip_special_tokens, optional_enum<CleanUp>(clean_up)});
    if (!decoded) return failed_value(decoded.error());
    return val(*decoded);
  }

  val explain(const std::string& utf8, bool recognize_special_tokens) {
    Expected<Explanation> explained = tokenizer_->explain(utf8, recognize_special_tokens);
    if (!explained) return failed_value(explained.error());
    const auto utf16 = [&](Offsets offsets) {
      convert_offsets(utf8, OffsetUnit::kUtf16, {&offsets, 1});
      return range(offsets);
    };
    val result = val::object();
    result.set("steps", list(explained->steps, [&](const ExplainedStep& step) {
                 val out = val::object();
                 out.set("name", text(step.name));
                 out.set("enabled", step.enabled);
                 out.set("before", step.before);
                 out.set("after", step.after);
                 out.set("changes", list(step.changes, [&](const ExplainedChange& change) {
                           val one = val::object();
                           one.set("source", utf16(change.source));
                           one.set("before", change.before);
                           one.set("after", change.after);
                           return one;
                         }));
                 return out;
               }));
    result.set("words", list(explained->words, [&](const ExplainedWord& word) {
                 val out = val::object();
                 out.set("kind", text(word.kind == WordKind::kWord         ? "word"
                                      : word.kind == WordKind::kAddedToken ? "added_token"
                                                                           : "too_long"));
                 out.set("text", word.text);
                 out.set("source", utf16(word.source));
                 out.set("candidates", list(word.candidates, [](const ExplainedCandidate& candidate) {
                           val one = val::object();
                           one.set("text", candidate.text);
                           one.set("id", candidate.id < 0 ? val::null() : val(candidate.id));
                           return one;
                         }));
                 out.set("inputIds", list(word.ids, [](std::int32_t id) { return val(id); }));
                 out.set("tokens", list(word.ids, [&](std::int32_t id) { return token(id); }));
                 out.set("offsets", list(word.offsets, utf16));
                 return out;
               }));
    return result;
  }

  val settings() const {
    const TokenizerSettings& from = tokenizer_->settings();
    val result = val::object();
    result.set("doLowerCase", from.lowercase);
    result.set("stripAccents", from.strip_accents);
    result.set("tokenizeChineseChars", from.tokenize_chinese_chars);
    result.set("cleanText", from.clean_text);
    result.set("modelMaxLength", from.model_max_length == std::numeric_limits<std::uint32_t>::max()
                                     ? HUGE_VAL
                                     : static_cast<double>(from.model_max_length));
    result.set("maxInputCharsPerWord", from.max_chars_per_word);
    return result;
  }

  val special_tokens() const {
    return list(tokenizer_->special_tokens(), [](const SpecialToken& special) {
      val result = val::object();
      result.set("role", special.role);
      result.set("content", special.content);
      result.set("id", special.id);
      return result;
    });
  }

  std::size_t vocab_size() const { return tokenizer_->vocab_size(); }

  val token(std::int32_t id) const {
    const std::optional<std::string_view> found = tokenizer_->id_to_token(id);
    return found ? text(*found) : val::undefined();
  }

  /// -1: no such token.
  std::int32_t id(const std::string& token) const { return tokenizer_->token_to_id(token).value_or(-1); }
  std::int32_t id_or_unknown(const std::string& token) const {
    return tokenizer_->token_to_id_or_unknown(token);
  }

  val script(std::int32_t id) const { return text(tokenizer_->script_of(id)); }
  val scripts() const { return list(script_names(), text); }

  /// { total, ids }
  val find(const std::string& part, std::int32_t facet, const std::string& script, std::size_t offset,
           std::size_t limit) {
    const Expected<VocabularyMatches> found =
        tokenizer_->find({part, static_cast<VocabularyFacet>(facet), script, offset, limit});
    if (!found) return failed_value(found.error());
    val result = val::object();
    result.set("total", found->total);
    result.set("ids", list(found->ids, [](std::int32_t id) { return val(id); }));
    return result;
  }

 private:
  static std::vector<Encoding> read_rows(WordReader& in) {
    std::vector<Encoding> rows(in.size());
    for (Encoding& row : rows) row = read_row(in);
    return rows;
  }

  std::uintptr_t answer(std::span<const Encoding> rows) {
    if (answer_.capacity() > kKeptWords) answer_ = {};
    answer_.assign(2, 0);
    for (const Encoding& row : rows) write_row(row, answer_);
    answer_[0] = static_cast<std::int32_t>(answer_.size() - 1);
    answer_[1] = static_cast<std::int32_t>(rows.size());
    return reinterpret_cast<std::uintptr_t>(answer_.data());
  }

  bool failed(const Error& error) {
    error_ = error;
    return false;
  }
  val failed_value(const Error& error) {
    error_ = error;
    return val::undefined();
  }

  static constexpr std::size_t kKeptWords = 1
                                            << 20;  ///< a larger answer's memory is returned by the next call

  std::optional<Tokenizer> tokenizer_;
  std::unique_ptr<std::int32_t[]> request_;
  std::size_t request_capacity_ = 0;
  std::vector<std::int32_t> answer_;
  Error error_;
};

}  // namespace

EMSCRIPTEN_BINDINGS(bertlens_tokenizer) {
  emscripten::class_<TokenizerBinding>("Tokenizer")
      .constructor<>()
      .function("load", &TokenizerBinding::load)
      .function("error", &TokenizerBinding::error)
      .function("request", &TokenizerBinding::request)
      .function("encode", &TokenizerBinding::encode)
      .function("pad", &TokenizerBinding::pad)
      .function("paddingStatistics", &TokenizerBinding::padding_statistics)
      .function("words", &TokenizerBinding::words)
      .function("decode", &TokenizerBinding::decode)
      .function("explain", &TokenizerBinding::explain)
      .function("settings", &TokenizerBinding::settings)
      .function("specialTokens", &TokenizerBinding::special_tokens)
      .function("vocabSize", &TokenizerBinding::vocab_size)
      .function("token", &TokenizerBinding::token)
      .function("id", &TokenizerBinding::id)
      .function("idOrUnknown", &TokenizerBinding::id_or_unknown)
      .function("script", &TokenizerBinding::script)
      .function("scripts", &TokenizerBinding::scripts)
      .function("find", &TokenizerBinding::find);
}

}  // namespace bert::bindings
