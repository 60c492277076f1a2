// Rows of tokens to 32-bit words and back.
#include "words.h"

namespace bert::bindings {
namespace {

constexpr std::int32_t kTooLong = 1;
constexpr std::int32_t kTruncationImplied = 2;

template <class Column>
void append(const Column& column, std::vector<std::int32_t>& out) {
  out.insert(out.end(), column.begin(), column.end());
}

template <class Column>
void take(WordReader& in, std::size_t size, Column& column) {
  column.reserve(size);
  for (const std::int32_t word : in.words(size)) {
    column.push_back(static_cast<typename Column::value_type>(word));
  }
}

}  // namespace

std::size_t row_words(const Encoding& row) {
  std::size_t words = 3 + 8 * row.size();
  for (const Encoding& window : row.overflowing) words += row_words(window);
  return words;
}

void write_row(const Encoding& row, std::vector<std::int32_t>& out) {
  out.push_back(static_cast<std::int32_t>(row.size()));
  out.push_back((row.too_long ? kTooLong : 0) | (row.truncation_implied ? kTruncationImplied : 0));
  out.push_back(static_cast<std::int32_t>(row.overflowing.size()));
  append(row.ids, out);
  append(row.type_ids, out);
  append(row.attention_mask, out);
  append(row.special_tokens_mask, out);
  for (const Offsets& range : row.offsets) out.push_back(static_cast<std::int32_t>(range.begin));
  for (const Offsets& range : row.offsets) out.push_back(static_cast<std::int32_t>(range.end));
  append(row.word_ids, out);
  append(row.sequence_ids, out);
  for (const Encoding& window : row.overflowing) write_row(window, out);
}

Encoding read_row(WordReader& in) {
  Encoding row;
  const std::size_t size = in.size();
  const std::int32_t flags = in.word();
  const std::size_t windows = in.size();
  row.too_long = (flags & kTooLong) != 0;
  row.truncation_implied = (flags & kTruncationImplied) != 0;
  take(in, size, row.ids);
  take(in, size, row.type_ids);
  take(in, size, row.attention_mask);
  take(in, size, row.special_tokens_mask);
  const std::span<const std::int32_t> begins = in.words(size);
  const std::span<const std::int32_t> ends = in.words(size);
  row.offsets.reserve(size);
  for (std::size_t i = 0; i < size; ++i) {
    row.offsets.push_back({static_cast<std::uint32_t>(begins[i]), static_cast<std::uint32_t>(ends[i])});
  }
  take(in, size, row.word_ids);
  take(in, size, row.sequence_ids);
  row.overflowing.reserve(windows);
  for (std::size_t i = 0; i < windows; ++i) row.overflowing.push_back(read_row(in));
  return row;
}

}  // namespace bert::bindings
