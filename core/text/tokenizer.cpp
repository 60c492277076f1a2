// Loading, and encoding: options, sequences, truncation, special tokens, padding.
#include "bert/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/quote.h"
#include "text/tokenizer_data.h"
#include "text/truncation.h"

namespace bert {

using text::Lengths;
using text::RawTokens;
using text::ResolvedOptions;
using text::SequenceTokenizer;
using text::TemplatePart;
using text::Window;

namespace {

constexpr std::uint32_t kNoLimit = 0xffffffff;
// Of one call: some 2 GB of rows. A length that is a slip of the hand gives an error, not a machine without
// memory.
constexpr std::uint32_t kMostPadding = 67108864;

std::size_t bytes_of(const TextSequence& sequence) {
  if (!sequence.is_split_into_words) return sequence.text.size();
  std::size_t longest = 0;  // offsets count from each word's start
  for (const std::string_view word : sequence.words) longest = std::max(longest, word.size());
  return longest;
}

void append(std::span<const TemplatePart> parts, bool special_tokens, const RawTokens& first,
            Window first_window, const RawTokens& second, Window second_window, Encoding& out) {
  std::size_t size = (first_window.end - first_window.begin) + (second_window.end - second_window.begin);
  for (const TemplatePart& part : parts) size += special_tokens ? part.ids.size() : 0;
  out.ids.reserve(size);
  out.type_ids.reserve(size);
  out.special_tokens_mask.reserve(size);
  out.offsets.reserve(size);
  out.word_ids.reserve(size);
  out.sequence_ids.reserve(size);
  for (const TemplatePart& part : parts) {
    if (part.sequence < 0) {
      if (!special_tokens) continue;
      out.ids.insert(out.ids.end(), part.ids.begin(), part.ids.end());
      out.offsets.resize(out.ids.size());
      out.word_ids.resize(out.ids.size(), -1);
    } else {
      const RawTokens& tokens = part.sequence == 0 ? first : second;
      const Window window = part.sequence == 0 ? first_window : second_window;
      const auto copy = [window](const auto& from, auto& to) {
        to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(window.begin),
                  from.begin() + static_cast<std::ptrdiff_t>(window.end));
      };
      copy(tokens.ids, out.ids);
      copy(tokens.offsets, out.offsets);
      copy(tokens.word_ids, out.word_ids);
    }
    out.type_ids.resize(out.ids.size(), part.type_id);
    out.special_tokens_mask.resize(out.ids.size(), std::uint8_t{part.sequence < 0});
    out.sequence_ids.resize(out.ids.size(), static_cast<std::int8_t>(part.sequence));
  }
  out.attention_mask.assign(out.ids.size(), 1);
}

/// Encodes rows one after the other with one set of buffers.
class RowEncoder {
 public:
  RowEncoder(const text::Pipeline& pipeline, const text::TokenizerParts& parts, const EncodeOptions& options,
             const ResolvedOptions& resolved)
      : parts_(parts), options_(options), resolved_(resolved), tokenizer_(pipeline) {}

  Expected<Encoding> encode(const TextInput& input);

 private:
  void convert(const TextSequence& sequence, RawTokens& tokens) const;
  std::size_t tokens_read(const RawTokens& tokens) const;

  const text::TokenizerParts& parts_;
  const EncodeOptions& options_;
  const ResolvedOptions& resolved_;
  SequenceTokenizer tokenizer_;
  RawTokens first_;
  RawTokens second_;
};

/// Offsets to the unit asked for, once for all windows.
void RowEncoder::convert(const TextSequence& sequence, RawTokens& tokens) const {
  const std::span<Offsets> offsets(tokens.offsets);
  if (!sequence.is_split_into_words) {
    convert_offsets(sequence.text, options_.offset_unit, offsets);
    return;
  }
  for (std::size_t i = 0; i < offsets.size();) {
    const std::size_t begin = i;
    const std::int32_t word = tokens.word_ids[begin];
    while (i < offsets.size() && tokens.word_ids[i] == word) ++i;
    convert_offsets(sequence.words[static_cast<std::size_t>(word)], options_.offset_unit,
                    offsets.subspan(begin, i - begin));
  }
}

/// The reference stops reading a sequence after the word that reaches max_length, and so decides which of two
/// sequences is the longer one by what it has read.
std::size_t RowEncoder::tokens_read(const RawTokens& tokens) const {
  const std::size_t size = tokens.size();
  if (size <= resolved_.max_length) return size;
  const bool right = resolved_.truncation_side == Side::kRight;
  const auto word = [&](std::size_t i) { return tokens.word_ids[right ? i : size - 1 - i]; };
  std::size_t read = resolved_.max_length;
  while (read > 0 && read < size && word(read) == word(read - 1)) ++read;
  return read;
}

Expected<Encoding> RowEncoder::encode(const TextInput& input) {
  const bool pair = input.second.has_value();
  for (const TextSequence* sequence : {&input.first, pair ? &*input.second : nullptr})
    if (sequence != nullptr && bytes_of(*sequence) >= kNoLimit)
      return fail(ErrorCode::kInvalidArgument,
                  "a text of " + std::to_string(bytes_of(*sequence)) + " bytes; the most is 4294967294");
  first_.clear();
  second_.clear();
  tokenizer_.run(input.first, options_.recognize_special_tokens, first_);
  convert(input.first, first_);
  if (pair) {
    tokenizer_.run(*input.second, options_.recognize_special_tokens, second_);
    convert(*input.second, second_);
  }

  const std::span<const TemplatePart> parts = pair ? parts_.pair : parts_.single;
  std::size_t special = 0;
  for (const TemplatePart& part : parts) special += options_.add_special_tokens ? part.ids.size() : 0;

  Lengths lengths{first_.size(), second_.size()};
  if (resolved_.truncate) {
    if (resolved_.max_length < special)
      return fail(ErrorCode::kInvalidArgument, "max_length " + std::to_string(resolved_.max_length) +
                                                   " is less than the " + std::to_string(special) +
                                                   " special tokens");
    const std::size_t room = resolved_.max_length - special;
    if (resolved_.stride > 0 && resolved_.stride >= room)
      return fail(ErrorCode::kInvalidArgument,
                  "stride " + std::to_string(resolved_.stride) + " must be less than " +
                      std::to_string(room) + ", which is max_length " + std::to_string(resolved_.max_length) +
                      " minus the " + std::to_string(special) + " special tokens");
    if (pair && resolved_.truncation == Truncation::kLongestFirst)
      lengths = {tokens_read(first_), tokens_read(second_)};
    auto fitted = text::fit(lengths, pair, room, resolved_.truncation);
    if (!fitted) return tl::unexpected<Error>(fitted.error());
    // of all tokens, not of those read: windows follow as long as there are any
    for (const auto& [full, kept] :
         {std::pair{first_.size(), fitted->first}, {second_.size(), fitted->second}})
      if (resolved_.return_overflowing && kept < full && resolved_.stride >= kept)
        return fail(ErrorCode::kInvalidArgument,
                    "windows of " + std::to_string(kept) + " tokens are no longer than the stride " +
                        std::to_string(resolved_.stride) + ": no window can follow");
    lengths = *fitted;
  }
  const auto windows_of = [this](const RawTokens& tokens, std::size_t length) {
    return text::windows(tokens.size(), length, resolved_.stride, resolved_.truncation_side,
                         resolved_.return_overflowing);
  };
  const std::vector<Window> first_windows = windows_of(first_, lengths.first);
  const std::vector<Window> second_windows = windows_of(second_, lengths.second);

  Encoding row;
  append(parts, options_.add_special_tokens, first_, first_windows[0], second_, second_windows[0], row);
  // In the reference's order: each further window of the first with all of the second, then the first one
  // with the rest.
  for (std::size_t i = 0; i < first_windows.size(); ++i) {
    const std::size_t a = (i + 1) % first_windows.size();
    for (std::size_t b = a == 0 ? 1 : 0; b < second_windows.size(); ++b) {
      Encoding& further = row.overflowing.emplace_back();
      append(parts, options_.add_special_tokens, first_, first_windows[a], second_, second_windows[b],
             further);
    }
  }
  row.too_long = row.size() > parts_.model_max_length;
  row.truncation_implied =
      resolved_.truncation_implied && first_.size() + second_.size() > lengths.first + lengths.second;
  return row;
}

Expected<ResolvedOptions> resolve(const EncodeOptions& options, const text::TokenizerParts& parts) {
  ResolvedOptions resolved;
  // transformers: max_length alone asks for truncation, unless padding uses it
  resolved.truncation_implied =
      !options.truncation && options.max_length && options.padding == Padding::kNone;
  resolved.truncation = resolved.truncation_implied ? Truncation::kLongestFirst
                                                    : options.truncation.value_or(Truncation::kNone);
  resolved.max_length = options.max_length.value_or(parts.model_max_length);
  resolved.truncate = resolved.truncation != Truncation::kNone && resolved.max_length != kNoLimit;
  resolved.truncation_side = options.truncation_side.value_or(parts.truncation_side);
  resolved.stride = options.stride;
  resolved.return_overflowing = options.return_overflowing;
  const std::uint32_t multiple = options.pad_to_multiple_of;
  if (resolved.truncate && options.padding != Padding::kNone && multiple > 1 &&
      resolved.max_length % multiple != 0)
    return fail(ErrorCode::kInvalidArgument, "max_length " + std::to_string(resolved.max_length) +
                                                 " is not a multiple of pad_to_multiple_of " +
                                                 std::to_string(multiple));
  return resolved;
}

void pad_row(Encoding& row, std::size_t length, Side side, std::int32_t pad_id) {
  for (Encoding& further : row.overflowing) pad_row(further, length, side, pad_id);
  if (row.size() >= length) return;
  const std::size_t count = length - row.size();
  const auto fill = [&](auto& column, auto value) {
    column.insert(side == Side::kRight ? column.end() : column.begin(), count, value);
  };
  fill(row.ids, pad_id);
  fill(row.type_ids, 0);
  fill(row.attention_mask, 0);
  fill(row.special_tokens_mask, std::uint8_t{1});
  fill(row.offsets, Offsets{});
  fill(row.word_ids, -1);
  fill(row.sequence_ids, std::int8_t{-1});
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const Data> data) : data_(std::move(data)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Expected<Tokenizer> Tokenizer::load(const TokenizerFiles& files, const TokenizerOptions& options) {
  auto definition = text::read_definition(files, options);
  if (!definition) return tl::unexpected<Error>(definition.error());
  auto data = std::make_unique<const Data>(std::move(*definition));
  // An id looked up must be the id written: of a line that stands twice, one could not be reached.
  const text::Vocabulary& vocabulary = data->pipeline.vocabulary;
  if (const auto ids = vocabulary.repeated()) {
    const auto [first, second] = *ids;
    const std::string_view token = *vocabulary.token(static_cast<std::int32_t>(first));
    return fail(
        ErrorCode::kInvalidModel,
        (files.tokenizer_json.empty()
             ? "vocab.txt: lines " + std::to_string(first + 1) + " and " + std::to_string(second + 1)
             : "tokenizer.json: the ids " + std::to_string(first) + " and " + std::to_string(second)) +
            " are both " + quote(token));
  }
  return Tokenizer(std::move(data));
}

const TokenizerSettings& Tokenizer::settings() const {
  return data_->pipeline.settings;
}

std::span<const SpecialToken> Tokenizer::special_tokens() const {
  return data_->parts.special_tokens;
}

Expected<std::int32_t> Tokenizer::special_token_id(std::string_view role) const {
  for (const SpecialToken& token : data_->parts.special_tokens)
    if (token.role == role) return token.id;
  return fail(ErrorCode::kInvalidModel, "the vocabulary has no " + std::string(role));
}

std::size_t Tokenizer::vocab_size() const {
  return data_->parts.words;
}
std::size_t Tokenizer::size() const {
  return data_->pipeline.vocabulary.size();
}

std::optional<std::string_view> Tokenizer::id_to_token(std::int32_t id) const {
  return data_->pipeline.vocabulary.token(id);
}

std::optional<std::int32_t> Tokenizer::token_to_id(std::string_view token) const {
  return data_->pipeline.vocabulary.id(token);
}

std::int32_t Tokenizer::token_to_id_or_unknown(std::string_view token) const {
  return token_to_id(token).value_or(data_->pipeline.unknown_id);
}

Expected<Encoding> Tokenizer::encode(const TextInput& input, const EncodeOptions& options) const {
  const auto resolved = resolve(options, data_->parts);
  if (!resolved) return tl::unexpected<Error>(resolved.error());
  auto row = RowEncoder(data_->pipeline, data_->parts, options, *resolved).encode(input);
  if (row)
    if (auto status = pad({&*row, 1}, options); !status) return tl::unexpected<Error>(status.error());
  return row;
}

Expected<std::vector<Encoding>> Tokenizer::encode_batch(std::span<const TextInput> inputs,
                                                        const EncodeOptions& options,
                                                        const ParallelFor& parallel) const {
  const auto resolved = resolve(options, data_->parts);
  if (!resolved) return tl::unexpected<Error>(resolved.error());
  std::vector<Encoding> rows(inputs.size());
  // Rows are taken in blocks, so that buffers are reused and threads meet rarely.
  constexpr std::size_t kBlock = 32;
  const std::size_t blocks = (inputs.size() + kBlock - 1) / kBlock;
  std::vector<std::optional<std::pair<std::size_t, Error>>> errors(blocks);
  const auto run_block = [&](std::size_t block) {
    RowEncoder encoder(data_->pipeline, data_->parts, options, *resolved);
    for (std::size_t i = block * kBlock; i < std::min((block + 1) * kBlock, inputs.size()); ++i) {
      auto row = encoder.encode(inputs[i]);
      if (!row) {
        errors[block] = {i, std::move(row.error())};
        return;
      }
      rows[i] = std::move(*row);
    }
  };
  if (parallel && blocks > 1) {
    parallel(blocks, run_block);
  } else {
    for (std::size_t block = 0; block < blocks; ++block) run_block(block);
  }
  for (auto& error : errors)
    if (error)
      return fail(error->second.code, "row " + std::to_string(error->first) + ": " + error->second.message);
  if (auto status = pad(rows, options); !status) return tl::unexpected<Error>(status.error());
  return rows;
}

Status Tokenizer::pad(std::span<Encoding> rows, const EncodeOptions& options) const {
  if (options.padding == Padding::kNone || rows.empty()) return {};
  if (const auto sound = resolve(options, data_->parts); !sound) return tl::unexpected<Error>(sound.error());
  const auto pad_id = special_token_id("pad_token");
  if (!pad_id) return tl::unexpected<Error>(pad_id.error());
  std::size_t length = 0;
  if (options.padding == Padding::kMaxLength) {
    length = options.max_length.value_or(data_->parts.model_max_length);
    if (length == kNoLimit)
      return fail(ErrorCode::kInvalidArgument,
                  "padding max_length needs max_length: the tokenizer's files state no limit");
  } else {
    for (const Encoding& row : rows) length = std::max(length, row.size());
  }
  if (const std::size_t multiple = options.pad_to_multiple_of; multiple > 1)
    length = (length + multiple - 1) / multiple * multiple;
  std::uint64_t padding = 0;
  const auto count = [&](const Encoding& row) { padding += length > row.size() ? length - row.size() : 0; };
  for (const Encoding& row : rows) {
    count(row);
    std::for_each(row.overflowing.begin(), row.overflowing.end(), count);
  }
  if (padding > kMostPadding)
    return fail(ErrorCode::kTooLong,
                "rows of " + std::to_string(length) + " tokens: more than 67108864 padding tokens");
  for (Encoding& row : rows)
    pad_row(row, length, options.padding_side.value_or(data_->parts.padding_side), *pad_id);
  return {};
}

}  // namespace bert
