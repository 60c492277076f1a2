// The module behind `bertlens/tokenizer`. Requests are 32-bit words and bytes in the heap; answers are words
// (words.h) where calls must be fast, else JSON. Plain exports, not embind: here the glue of embind alone
// would be a fifth of the download, and each call through it takes longer than a short text.
#include <emscripten/emscripten.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bert/tokenizer.h"
#include "json_text.h"
#include "words.h"

namespace bert::bindings {
namespace {

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

/// What the exports work on: one tokenizer a module.
struct State {
  std::optional<Tokenizer> tokenizer;
  std::vector<std::int32_t> request;
  std::vector<std::int32_t> words;  ///< the answer's, where it is words
  JsonText json;                    ///< the answer's, where it is JSON
  Error error;
};
State& state() {
  static State state;
  return state;
}
const Tokenizer& tokenizer() {
  return *state().tokenizer;
}

/// The words of the request; texts follow them as bytes.
WordReader request() {
  return WordReader(state().request.data());
}

std::int32_t* failed(const Error& error) {
  state().error = error;
  return nullptr;
}

/// Answers are returned by address: the number of words or bytes, then these. Valid until the next call.
constexpr std::size_t kKeptWords = 1 << 20;  ///< a larger answer's memory is returned by the next call

std::int32_t* answer(std::span<const Encoding> rows) {
  std::vector<std::int32_t>& words = state().words;
  if (words.capacity() > kKeptWords) words = {};
  words.assign(2, 0);
  std::size_t size = 2;
  for (const Encoding& row : rows) size += row_words(row);
  words.reserve(size);
  for (const Encoding& row : rows) write_row(row, words);
  words[0] = static_cast<std::int32_t>(words.size() - 1);
  words[1] = static_cast<std::int32_t>(rows.size());
  return words.data();
}

/// An answer in JSON: `write` appends it to the text that it is given.
template <class Write>
const char* json(const Write& write) {
  JsonText& text = state().json;
  text.clear();
  write(text);
  return text.finished();
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
  options.offset_unit = OffsetUnit::kUtf16;
  return options;
}

/// One input of a request: the words of each sequence are views into the request's bytes.
struct Input {
  std::vector<std::string_view> words[2];
};

TextSequence read_sequence(WordReader& in, const char*& bytes, std::vector<std::string_view>& words) {
  const std::int32_t count = in.word();
  const auto piece = [&] {
    const std::string_view view(bytes, in.size());
    bytes += view.size();
    return view;
  };
  if (count < 0) return {piece()};
  words.reserve(static_cast<std::size_t>(count));
  for (std::int32_t i = 0; i < count; ++i) words.push_back(piece());
  return TextSequence(std::span<const std::string_view>(words));
}

std::vector<Encoding> read_rows(WordReader& in) {
  std::vector<Encoding> rows(in.size());
  for (Encoding& row : rows) row = read_row(in);
  return rows;
}

/// A text that ends the request: its size, then its bytes.
std::string_view read_text(WordReader& in) {
  const std::size_t size = in.size();
  return {in.bytes(), size};
}

}  // namespace

extern "C" {

/// Room for a request of `words` words and bytes after them, to be written before the next call.
EMSCRIPTEN_KEEPALIVE std::int32_t* bert_request(std::size_t words) {
  std::vector<std::int32_t>& request = state().request;
  if (words < request.size() / 16) request = {};
  if (words > request.size()) {
    request = {};
    request.resize(words);
  }
  return request.data();
}

/// Request: the options lowercase, strip accents, Chinese characters, clean text, model_max_length, each -1
/// where not given; sizes of vocab.txt, tokenizer.json and tokenizer_config.json; their bytes.
EMSCRIPTEN_KEEPALIVE bool bert_load() {
  WordReader in = request();
  TokenizerOptions options;
  for (std::optional<bool>* flag :
       {&options.lowercase, &options.strip_accents, &options.tokenize_chinese_chars, &options.clean_text})
    *flag = optional_flag(in.word());
  options.model_max_length = optional_size(in.word());
  const std::span<const std::int32_t> sizes = in.words(3);
  std::string_view files[3];
  const char* bytes = in.bytes();
  for (int i = 0; i < 3; ++i) {
    files[i] = {bytes, static_cast<std::size_t>(sizes[i])};
    bytes += files[i].size();
  }
  Expected<Tokenizer> loaded = Tokenizer::load({files[0], files[1], files[2]}, options);
  if (!loaded) return failed(loaded.error()) != nullptr;
  state().tokenizer.emplace(std::move(*loaded));
  return true;
}

/// Why the last call failed: { code, message }.
EMSCRIPTEN_KEEPALIVE const char* bert_error() {
  return json([](JsonText& out) {
    out.open('{')
        .name("code")
        .text(code_name(state().error.code))
        .name("message")
        .text(state().error.message)
        .close('}');
  });
}

/// Request: options, byte offset of the texts, number of rows, the rows' shapes, then all bytes of text.
/// Answer: words.
EMSCRIPTEN_KEEPALIVE std::int32_t* bert_encode() {
  WordReader in = request();
  const EncodeOptions options = read_options(in);
  const char* bytes = reinterpret_cast<const char*>(state().request.data()) + in.size();
  const std::size_t count = in.size();
  std::vector<Input> inputs(count);
  std::vector<TextInput> texts(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::int32_t sequences = in.word();
    texts[i].first = read_sequence(in, bytes, inputs[i].words[0]);
    if (sequences == 2) texts[i].second = read_sequence(in, bytes, inputs[i].words[1]);
  }
  if (count == 1) {  // also spares the naming of rows in errors
    const Expected<Encoding> row = tokenizer().encode(texts[0], options);
    return row ? answer({&*row, 1}) : failed(row.error());
  }
  const Expected<std::vector<Encoding>> rows = tokenizer().encode_batch(texts, options);
  return rows ? answer(*rows) : failed(rows.error());
}

/// Request: options, number of rows, rows. Answer: as `bert_encode`.
EMSCRIPTEN_KEEPALIVE std::int32_t* bert_pad() {
  WordReader in = request();
  const EncodeOptions options = read_options(in);
  std::vector<Encoding> rows = read_rows(in);
  const Status done = tokenizer().pad(rows, options);
  return done ? answer(rows) : failed(done.error());
}

// The answers below are JSON, null where a call failed.

/// Request: number of rows, rows.
EMSCRIPTEN_KEEPALIVE const char* bert_padding_statistics() {
  WordReader in = request();
  const PaddingStatistics counted = padding_statistics(read_rows(in));
  return json([&](JsonText& out) {
    out.open('{').name("rows").number(counted.rows).name("columns").number(counted.columns);
    out.name("cells").number(counted.cells).name("padding").number(counted.padding);
    out.name("attentionCells").number(counted.attention_cells);
    out.name("attentionUseful").number(counted.attention_useful).close('}');
  });
}

/// Request: one row.
EMSCRIPTEN_KEEPALIVE const char* bert_words(std::size_t least_pieces) {
  WordReader in = request();
  const Encoding row = read_row(in);
  return json([&](JsonText& out) {
    out.list(tokenizer().words(row, least_pieces), [&](const Word& word) {
      out.open('{').name("text").text(word.text).name("pieces").texts(word.pieces);
      out.name("firstToken").number(word.first_token).name("wordId").number(word.word_id);
      out.name("sequenceId").number(word.sequence_id).name("offsets").range(word.offsets).close('}');
    });
  });
}

/// Request: number of ids, ids. `clean_up` is a CleanUp or -1.
EMSCRIPTEN_KEEPALIVE const char* bert_decode(bool skip_special_tokens, std::int32_t clean_up) {
  WordReader in = request();
  const std::size_t count = in.size();
  const Expected<std::string> decoded =
      tokenizer().decode(in.words(count), {skip_special_tokens, optional_enum<CleanUp>(clean_up)});
  if (!decoded) failed(decoded.error());
  return json([&](JsonText& out) { decoded ? out.text(*decoded) : out.null(); });
}

/// Request: a text.
EMSCRIPTEN_KEEPALIVE const char* bert_explain(bool recognize_special_tokens) {
  WordReader in = request();
  const std::string_view utf8 = read_text(in);
  const Expected<Explanation> explained = tokenizer().explain(utf8, recognize_special_tokens);
  if (!explained) failed(explained.error());
  return json([&](JsonText& out) {
    if (!explained) return static_cast<void>(out.null());
    const auto utf16 = [&](Offsets offsets) {
      convert_offsets(utf8, OffsetUnit::kUtf16, {&offsets, 1});
      out.range(offsets);
    };
    out.open('{').name("steps").list(explained->steps, [&](const ExplainedStep& step) {
      out.open('{').name("name").text(step.name).name("enabled").flag(step.enabled);
      out.name("before").text(step.before).name("after").text(step.after);
      out.name("changes").list(step.changes, [&](const ExplainedChange& change) {
        out.open('{').name("source");
        utf16(change.source);
        out.name("before").text(change.before).name("after").text(change.after).close('}');
      });
      out.close('}');
    });
    out.name("words").list(explained->words, [&](const ExplainedWord& word) {
      out.open('{').name("kind").text(word.kind == WordKind::kWord         ? "word"
                                      : word.kind == WordKind::kAddedToken ? "added_token"
                                                                           : "too_long");
      out.name("text").text(word.text).name("source");
      utf16(word.source);
      out.name("candidates").list(word.candidates, [&](const ExplainedCandidate& candidate) {
        out.open('{').name("text").text(candidate.text).name("id");
        candidate.id < 0 ? out.null() : out.number(candidate.id);
        out.close('}');
      });
      out.name("inputIds").numbers(word.ids);
      out.name("tokens").list(word.ids, [&](std::int32_t id) { out.text(*tokenizer().id_to_token(id)); });
      out.name("offsets").list(word.offsets, utf16);
      out.close('}');
    });
    out.close('}');
  });
}

/// { settings, specialTokens, vocabSize, scripts }; a modelMaxLength of null: no limit.
EMSCRIPTEN_KEEPALIVE const char* bert_about() {
  return json([](JsonText& out) {
    const TokenizerSettings& from = tokenizer().settings();
    out.open('{').name("settings").open('{').name("doLowerCase").flag(from.lowercase);
    out.name("stripAccents").flag(from.strip_accents);
    out.name("tokenizeChineseChars").flag(from.tokenize_chinese_chars);
    out.name("cleanText").flag(from.clean_text).name("modelMaxLength");
    from.model_max_length == std::numeric_limits<std::uint32_t>::max() ? out.null()
                                                                       : out.number(from.model_max_length);
    out.name("maxInputCharsPerWord").number(from.max_chars_per_word).close('}');
    out.name("specialTokens").list(tokenizer().special_tokens(), [&](const SpecialToken& special) {
      out.open('{').name("role").text(special.role).name("content").text(special.content);
      out.name("id").number(special.id).close('}');
    });
    out.name("vocabSize").number(tokenizer().vocab_size());
    out.name("scripts").texts(script_names()).close('}');
  });
}

EMSCRIPTEN_KEEPALIVE const char* bert_token(std::int32_t id) {
  const std::optional<std::string_view> found = tokenizer().id_to_token(id);
  return json([&](JsonText& out) { found ? out.text(*found) : out.null(); });
}

/// Request: a token. -1: no such token.
EMSCRIPTEN_KEEPALIVE std::int32_t bert_id(bool or_unknown) {
  WordReader in = request();
  const std::string_view token = read_text(in);
  return or_unknown ? tokenizer().token_to_id_or_unknown(token) : tokenizer().token_to_id(token).value_or(-1);
}

EMSCRIPTEN_KEEPALIVE const char* bert_script(std::int32_t id) {
  return json([&](JsonText& out) { out.text(tokenizer().script_of(id)); });
}

/// Request: a facet, the number of ids to leave out, the most ids, the sizes of a text and a script's name,
/// these. { total, ids }
EMSCRIPTEN_KEEPALIVE const char* bert_find() {
  WordReader in = request();
  VocabularyQuery query;
  query.facet = static_cast<VocabularyFacet>(in.word());
  query.offset = in.size();
  query.limit = in.size();
  const std::size_t text_size = in.size();
  const std::size_t script_size = in.size();
  query.text = {in.bytes(), text_size};
  query.script = {in.bytes() + text_size, script_size};
  const Expected<VocabularyMatches> found = tokenizer().find(query);
  if (!found) failed(found.error());
  return json([&](JsonText& out) {
    if (!found) return static_cast<void>(out.null());
    out.open('{').name("total").number(found->total).name("ids").numbers(found->ids).close('}');
  });
}

}  // extern "C"

}  // namespace bert::bindings
