// Text to token ids and back: the tokenizer of BERT. Exact against BertTokenizerFast, i.e. the Rust package
// `tokenizers` 0.23 (ids and offsets, every Unicode scalar value); core/text/README.md lists where that
// reference itself departs from the original BERT.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bert/result.h"

namespace bert {

/// The bytes of a model folder's tokenizer files; an empty view means that the file is not there.
/// `tokenizer_json` wins over `vocab_txt`; one of the two is needed. Nothing is kept after loading.
struct TokenizerFiles {
  std::string_view vocab_txt;              ///< one token a line, the line number is the id
  std::string_view tokenizer_json;         ///< the format of the Rust package; its model must be WordPiece
  std::string_view tokenizer_config_json;  ///< do_lower_case, strip_accents, model_max_length, sides, ...
};

/// Overrides of what the files say; unset means: as the files say, else BERT's default in brackets.
struct TokenizerOptions {
  std::optional<bool> lowercase;                  ///< [true]
  std::optional<bool> strip_accents;              ///< [as `lowercase`] NFD, then drop the combining marks
  std::optional<bool> tokenize_chinese_chars;     ///< [true] every CJK ideograph becomes a word
  std::optional<bool> clean_text;                 ///< [true] drop control characters, all white space to ' '
  std::optional<std::uint32_t> model_max_length;  ///< [512] tokens, special ones included
};

/// What the tokenizer was loaded with, after files and overrides.
struct TokenizerSettings {
  bool lowercase = true;
  bool strip_accents = true;
  bool tokenize_chinese_chars = true;
  bool clean_text = true;
  std::uint32_t model_max_length = 512;    ///< tokens; 4294967295: the files state no limit
  std::uint32_t max_chars_per_word = 100;  ///< code points, after normalisation; a longer word is one [UNK]
};

/// One of the tokens with a role, e.g. {"mask_token", "[MASK]", 103}.
struct SpecialToken {
  std::string role;     ///< "unk_token", "sep_token", "pad_token", "cls_token", "mask_token" or "additional"
  std::string content;  ///< as written in text
  std::int32_t id = 0;
};

/// A half-open range [begin, end). The unit is bytes of the UTF-8 input wherever nothing else is said.
struct Offsets {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  friend bool operator==(const Offsets&, const Offsets&) = default;
};

/// One sequence to encode: a text, or its words when they were split beforehand (`is_split_into_words`
/// elsewhere; a word id is then the index of the word, and offsets count from the word's own start).
/// Any bytes are taken; each ill-formed part of UTF-8 counts as one U+FFFD, cut as Rust's lossy conversion
/// and the browsers' TextDecoder cut it. Views only: text and words must outlive the call.
struct TextSequence {
  TextSequence() = default;
  TextSequence(std::string_view whole) : text(whole) {}    // NOLINT(google-explicit-constructor)
  TextSequence(const char* whole) : text(whole) {}         // NOLINT(google-explicit-constructor)
  TextSequence(const std::string& whole) : text(whole) {}  // NOLINT(google-explicit-constructor)
  explicit TextSequence(std::span<const std::string_view> split) : words(split), is_split_into_words(true) {}

  std::string_view text;
  std::span<const std::string_view> words;
  bool is_split_into_words = false;
};

/// A sequence and perhaps its pair. An empty pair is a pair: it keeps its [SEP].
struct TextInput {
  TextInput() = default;
  TextInput(TextSequence one) : first(one) {}        // NOLINT(google-explicit-constructor)
  TextInput(std::string_view one) : first(one) {}    // NOLINT(google-explicit-constructor)
  TextInput(const char* one) : first(one) {}         // NOLINT(google-explicit-constructor)
  TextInput(const std::string& one) : first(one) {}  // NOLINT(google-explicit-constructor)
  TextInput(TextSequence one, TextSequence two) : first(one), second(two) {}

  TextSequence first;
  std::optional<TextSequence> second;
};

enum class Padding {
  kNone,
  kLongest,    ///< to the longest row of the batch
  kMaxLength,  ///< to `max_length`, else to the model's maximum
};

enum class Truncation {
  kNone,
  kLongestFirst,  ///< takes from the longer sequence first
  kOnlyFirst,
  kOnlySecond,
};

enum class Side { kRight, kLeft };

enum class OffsetUnit { kBytes, kCodePoints, kUtf16 };

/// How to encode. The words and their meaning are those of transformers' `tokenizer(...)`.
struct EncodeOptions {
  Padding padding = Padding::kNone;
  /// Unset: none, but with `max_length` and without padding longest_first (`Encoding::truncation_implied` is
  /// set).
  std::optional<Truncation> truncation;
  /// Tokens per row, special ones included; unset: the model's maximum, where padding or truncation need one.
  std::optional<std::uint32_t> max_length;
  std::uint32_t pad_to_multiple_of = 0;  ///< 0: off
  std::optional<Side> padding_side;      ///< unset: as the files say, else right
  std::optional<Side> truncation_side;   ///< unset: as the files say, else right
  bool return_overflowing = false;       ///< keep what truncation cuts off, as further windows
  std::uint32_t stride = 0;              ///< tokens that neighbouring windows share
  bool add_special_tokens = true;        ///< [CLS] first, [SEP] after each sequence
  bool recognize_special_tokens =
      true;  ///< false for untrusted text: "[SEP]" is then read as plain characters
  OffsetUnit offset_unit = OffsetUnit::kBytes;  ///< of Encoding::offsets
};

/// One row. All vectors but `overflowing` have `size()` entries.
struct Encoding {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> type_ids;             ///< 0 first sequence, 1 second, 0 padding
  std::vector<std::int32_t> attention_mask;       ///< 1 token, 0 padding
  std::vector<std::uint8_t> special_tokens_mask;  ///< 1 where the tokenizer added the token, padding included
  std::vector<Offsets> offsets;           ///< in the token's own sequence (or word); added tokens: {0, 0}
  std::vector<std::int32_t> word_ids;     ///< index of the word within its sequence; -1 for added tokens
  std::vector<std::int8_t> sequence_ids;  ///< 0, 1; -1 for added tokens
  std::vector<Encoding> overflowing;      ///< the further windows, in the Rust package's order, if asked for
  bool too_long = false;            ///< more tokens than `model_max_length`: the model will refuse this row
  bool truncation_implied = false;  ///< truncated because `max_length` was given without `truncation`

  std::size_t size() const { return ids.size(); }
};

/// Runs body(0) ... body(count - 1), in any order and on any threads, and returns when all are done.
using ParallelFor = std::function<void(std::size_t count, const std::function<void(std::size_t)>& body)>;

/// A batch as rectangles, row-major [rows][columns], ready for an encoder.
struct EncodedBatch {
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::vector<std::int32_t> input_ids;
  std::vector<std::int32_t> token_type_ids;
  std::vector<std::int32_t> attention_mask;
};

/// What padding costs in a batch (Exercise 2 of the notebook).
struct PaddingStatistics {
  std::size_t rows = 0;
  std::size_t columns = 0;             ///< length of the longest row
  std::size_t cells = 0;               ///< rows x columns
  std::size_t padding = 0;             ///< cells that are padding, or missing where rows are ragged
  double padding_percent = 0;          ///< 100 x padding / cells; 0 for an empty batch
  std::uint64_t attention_cells = 0;   ///< query x key cells that a dense encoder computes: rows x columns^2
  std::uint64_t attention_useful = 0;  ///< those between real tokens: sum over rows of length^2
};

/// A word and its pieces (Exercise 1): tokens [first_token, first_token + pieces.size()) of the encoding.
struct Word {
  std::string text;                      ///< the pieces joined, without their "##"
  std::vector<std::string_view> pieces;  ///< tokens as the vocabulary writes them; views into the tokenizer
  std::size_t first_token = 0;
  std::int32_t word_id = 0;
  std::int8_t sequence_id = 0;
  Offsets offsets;  ///< bytes, from the first piece's begin to the last one's end
};

enum class CleanUp {
  kNone,          ///< pieces joined, every word after one blank
  kTokenByToken,  ///< the fast tokenizer's: no blank before . ? ! , and contractions inside one token
  kWholeString,   ///< the slow tokenizer's: also over token borders ("don ' t" becomes "don't")
};

struct DecodeOptions {
  bool skip_special_tokens = false;
  std::optional<CleanUp> clean_up;  ///< unset: as the files say, else token by token
};

/// Kinds of vocabulary entries that a reader looks for.
enum class VocabularyFacet {
  kAll,
  kSpecial,  ///< [CLS], [SEP], ... and added tokens
  kUnused,   ///< [unused0] ... : 994 in bert-base-uncased
  kSubword,  ///< continuations: "##..."
  kWord,     ///< none of the above
};

struct VocabularyQuery {
  std::string_view text;  ///< part of the token, ASCII letters compared without case; empty: all
  VocabularyFacet facet = VocabularyFacet::kAll;
  std::string_view script;  ///< a name of `script_names()`; empty: any
  std::size_t offset = 0;   ///< results to leave out first
  std::size_t limit = 0;    ///< most results; 0: no limit
};

struct VocabularyMatches {
  std::vector<std::int32_t> ids;  ///< ascending
  std::size_t total = 0;          ///< matches before `offset` and `limit`
};

/// How `explain` tells of one change: `before` in the text that enters the step becomes `after`.
struct ExplainedChange {
  Offsets source;  ///< bytes of the input text where it comes from
  std::string before;
  std::string after;  ///< empty: dropped
};

/// One step of the normaliser, for the whole text: special tokens stand unchanged in `before` and `after`.
struct ExplainedStep {
  std::string_view name;  ///< clean_text, tokenize_chinese_chars, strip_accents, lowercase
  bool enabled = true;    ///< switched off: `after` equals `before`
  std::string before;
  std::string after;
  std::vector<ExplainedChange> changes;
};

/// One try of the greedy match: is `text` in the vocabulary?
struct ExplainedCandidate {
  std::string text;      ///< with "##" where it continues a word
  std::int32_t id = -1;  ///< -1: not there, a shorter one is tried next
};

enum class WordKind {
  kWord,        ///< greedy match of wordpieces
  kAddedToken,  ///< found as a whole before (or after) normalisation, e.g. [MASK]
  kTooLong,     ///< more code points than `max_chars_per_word`: one [UNK] without a try
};

struct ExplainedWord {
  WordKind kind = WordKind::kWord;
  std::string text;                            ///< normalised
  Offsets source;                              ///< bytes of the input text
  std::vector<ExplainedCandidate> candidates;  ///< in the order tried
  std::vector<std::int32_t> ids;               ///< the result; one [UNK] where some part had no match
  std::vector<Offsets> offsets;                ///< of each id, bytes of the input text
};

struct Explanation {
  std::vector<ExplainedStep> steps;
  std::vector<ExplainedWord>
      words;  ///< their ids in order are those of `encode` without special tokens added
};

/// A loaded vocabulary with its options. Immutable: every method is const and safe to call from many threads.
class Tokenizer {
 public:
  /// Errors: kInvalidArgument (no file), kInvalidModel (malformed or duplicate entries, no [UNK]; says which
  /// file and what), kUnsupported (a tokenizer.json whose parts are not BERT's).
  static Expected<Tokenizer> load(const TokenizerFiles& files, const TokenizerOptions& options = {});

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  const TokenizerSettings& settings() const;
  /// In the order of transformers: unknown, separator, padding, class, mask, then any others.
  std::span<const SpecialToken> special_tokens() const;
  /// The id of a role, e.g. "mask_token"; kInvalidModel where the vocabulary has none.
  Expected<std::int32_t> special_token_id(std::string_view role) const;

  /// Entries of the vocabulary proper (30,522 for bert-base-uncased).
  std::size_t vocab_size() const;
  /// The same with added tokens. Ids are 0 ... size() - 1; a tokenizer.json may leave gaps among them.
  std::size_t size() const;
  /// The token of an id, as the vocabulary writes it; nothing where there is none. The view lives as long as
  /// *this.
  std::optional<std::string_view> id_to_token(std::int32_t id) const;
  /// The id of a token, "##" included; nothing where there is none.
  std::optional<std::int32_t> token_to_id(std::string_view token) const;
  /// The same with [UNK]'s id for an unknown token, as transformers' convert_tokens_to_ids does.
  std::int32_t token_to_id_or_unknown(std::string_view token) const;
  /// Searches the vocabulary. kInvalidArgument for an unknown script.
  Expected<VocabularyMatches> find(const VocabularyQuery& query) const;
  /// The script of a token's first letter, e.g. "Latin", "Han"; "Common" for digits, punctuation and special
  /// tokens.
  std::string_view script_of(std::int32_t id) const;

  /// One input (padded on its own where padding is asked for).
  /// Errors: kInvalidArgument (options that contradict each other; a stride that leaves no room; max_length
  /// smaller than the special tokens; a text of 4 GiB or more), kTooLong (only_first or only_second cannot
  /// cut enough).
  Expected<Encoding> encode(const TextInput& input, const EncodeOptions& options = {}) const;
  /// Many inputs; errors as `encode`, naming the row. `parallel` may spread the rows over threads.
  Expected<std::vector<Encoding>> encode_batch(std::span<const TextInput> inputs,
                                               const EncodeOptions& options = {},
                                               const ParallelFor& parallel = {}) const;
  /// Pads rows made before, overflowing windows too. Reads only the padding fields of the options. Same
  /// errors.
  Status pad(std::span<Encoding> rows, const EncodeOptions& options) const;

  /// Ids to text. kInvalidArgument for an id that has no token.
  Expected<std::string> decode(std::span<const std::int32_t> ids, const DecodeOptions& options = {}) const;

  /// The words of an encoding that have at least `least_pieces` tokens (2: the words that were split).
  /// Padding and added special tokens are left out; a [MASK] that stands in the text is a word.
  std::vector<Word> words(const Encoding& encoding, std::size_t least_pieces = 1) const;

  /// Every step from text to ids. kTooLong above 8,192 bytes or 500,000 tried candidates: all are kept.
  Expected<Explanation> explain(std::string_view text, bool recognize_special_tokens = true) const;

 private:
  struct Data;
  explicit Tokenizer(std::unique_ptr<const Data> data);
  std::unique_ptr<const Data> data_;
};

/// Rows of one length as rectangles. kInvalidText for a ragged batch: says each row's length and how to mend
/// it.
Expected<EncodedBatch> stack(std::span<const Encoding> rows);

/// Counts padding; ragged rows count as padded to the longest.
PaddingStatistics padding_statistics(std::span<const Encoding> rows);

/// The byte offsets of an encoding in another unit. `input` is what was encoded. Linear in text and tokens.
std::vector<Offsets> convert_offsets(const Encoding& encoding, const TextInput& input, OffsetUnit unit);
/// The same for offsets into one text, in place, in any order (ascending is linear).
void convert_offsets(std::string_view text, OffsetUnit unit, std::span<Offsets> offsets);

/// The scripts that `VocabularyQuery::script` knows, "Common" first.
std::span<const std::string_view> script_names();

}  // namespace bert
