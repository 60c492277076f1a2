// What is asked of encoded rows: rectangles, padding statistics, words, offsets in other units.
#include <algorithm>

#include "base/utf8.h"
#include "bert/tokenizer.h"
#include "text/tokenizer_data.h"

namespace bert {

namespace {

/// Walks over a text and converts byte places that mostly ascend.
class PlaceConverter {
 public:
  PlaceConverter(std::string_view text, OffsetUnit unit) : text_(text), unit_(unit) {}

  /// The place that was asked for last.
  std::uint32_t byte() const { return byte_; }

  std::uint32_t at(std::uint32_t byte) {
    if (byte < byte_) byte_ = units_ = 0;
    const char* const end = text_.data() + text_.size();
    while (byte_ < byte && byte_ < text_.size()) {
      if (static_cast<std::uint8_t>(text_[byte_]) < 0x80) {
        ++byte_;
        ++units_;
        continue;
      }
      const utf8::Decoded next = utf8::decode(text_.data() + byte_, end);
      byte_ += next.length;
      units_ += unit_ == OffsetUnit::kUtf16 && next.code_point > 0xffff ? 2 : 1;
    }
    return units_;
  }

 private:
  std::string_view text_;
  OffsetUnit unit_;
  std::uint32_t byte_ = 0;
  std::uint32_t units_ = 0;
};

}  // namespace

Expected<EncodedBatch> stack(std::span<const Encoding> rows) {
  EncodedBatch batch;
  batch.rows = rows.size();
  batch.columns = rows.empty() ? 0 : rows.front().size();
  if (std::any_of(rows.begin(), rows.end(),
                  [&](const Encoding& row) { return row.size() != batch.columns; })) {
    constexpr std::size_t kShown = 20;
    std::string lengths;
    for (const Encoding& row : rows.subspan(0, std::min(rows.size(), kShown)))
      lengths += (lengths.empty() ? "" : ", ") + std::to_string(row.size());
    if (rows.size() > kShown) lengths += ", ...";
    return fail(ErrorCode::kInvalidText, "rows of different lengths (" + lengths +
                                             ") cannot form one tensor: use padding longest or max_length");
  }
  const auto join = [&](std::vector<std::int32_t> Encoding::*column) {
    std::vector<std::int32_t> joined;
    joined.reserve(batch.rows * batch.columns);
    for (const Encoding& row : rows) joined.insert(joined.end(), (row.*column).begin(), (row.*column).end());
    return joined;
  };
  batch.input_ids = join(&Encoding::ids);
  batch.token_type_ids = join(&Encoding::type_ids);
  batch.attention_mask = join(&Encoding::attention_mask);
  return batch;
}

PaddingStatistics padding_statistics(std::span<const Encoding> rows) {
  PaddingStatistics statistics;
  statistics.rows = rows.size();
  std::size_t tokens = 0;
  for (const Encoding& row : rows) {
    statistics.columns = std::max(statistics.columns, row.size());
    const auto real =
        static_cast<std::size_t>(std::count(row.attention_mask.begin(), row.attention_mask.end(), 1));
    tokens += real;
    statistics.attention_useful += std::uint64_t{real} * real;
  }
  statistics.cells = statistics.rows * statistics.columns;
  statistics.padding = statistics.cells - tokens;
  statistics.attention_cells = std::uint64_t{statistics.cells} * statistics.columns;
  if (statistics.cells > 0)
    statistics.padding_percent =
        100.0 * static_cast<double>(statistics.padding) / static_cast<double>(statistics.cells);
  return statistics;
}

std::vector<Word> Tokenizer::words(const Encoding& encoding, std::size_t least_pieces) const {
  const std::string& prefix = data_->pipeline.prefix;
  std::vector<Word> result;
  for (std::size_t i = 0; i < encoding.size();) {
    const std::size_t begin = i;
    const auto same = [&](std::size_t j) {
      return encoding.word_ids[j] == encoding.word_ids[begin] &&
             encoding.sequence_ids[j] == encoding.sequence_ids[begin];
    };
    while (i < encoding.size() && same(i)) ++i;
    if (encoding.word_ids[begin] < 0 || i - begin < least_pieces) continue;
    Word& word = result.emplace_back();
    word.first_token = begin;
    word.word_id = encoding.word_ids[begin];
    word.sequence_id = encoding.sequence_ids[begin];
    word.offsets = {encoding.offsets[begin].begin, encoding.offsets[i - 1].end};
    for (std::size_t j = begin; j < i; ++j) {
      const std::string_view piece = id_to_token(encoding.ids[j]).value_or("");
      word.pieces.push_back(piece);
      word.text += j > begin && piece.starts_with(prefix) ? piece.substr(prefix.size()) : piece;
    }
  }
  return result;
}

void convert_offsets(std::string_view text, OffsetUnit unit, std::span<Offsets> offsets) {
  if (unit == OffsetUnit::kBytes || utf8::is_ascii(text)) return;
  // the next range may begin before this one's end, so the end is looked for on a copy
  PlaceConverter begins(text, unit);
  PlaceConverter ends = begins;
  for (Offsets& place : offsets) {
    if (place.begin >= ends.byte()) begins = ends;
    const std::uint32_t begin = begins.at(place.begin);
    ends = begins;
    place = {begin, ends.at(place.end)};
  }
}

std::vector<Offsets> convert_offsets(const Encoding& encoding, const TextInput& input, OffsetUnit unit) {
  std::vector<Offsets> result = encoding.offsets;
  if (unit == OffsetUnit::kBytes) return result;
  // Tokens of one sequence, and with words given beforehand of one word, are converted together.
  for (std::size_t i = 0; i < encoding.size();) {
    const std::size_t begin = i;
    const std::int8_t sequence_id = encoding.sequence_ids[begin];
    const TextSequence empty;
    const TextSequence& sequence = sequence_id == 0 ? input.first : input.second ? *input.second : empty;
    const bool split = sequence.is_split_into_words;
    while (i < encoding.size() && encoding.sequence_ids[i] == sequence_id &&
           (!split || encoding.word_ids[i] == encoding.word_ids[begin]))
      ++i;
    if (sequence_id < 0) continue;
    const auto word = static_cast<std::size_t>(encoding.word_ids[begin]);
    const std::string_view text = !split                         ? sequence.text
                                  : word < sequence.words.size() ? sequence.words[word]
                                                                 : std::string_view();
    convert_offsets(text, unit, std::span(result).subspan(begin, i - begin));
  }
  return result;
}

}  // namespace bert
