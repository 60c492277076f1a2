// The 32-bit words in which token rows cross between JavaScript and the core; src/rows.ts is the other side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bert/tokenizer.h"

namespace bert::bindings {

/// Reads what JavaScript wrote. The writer is our own TypeScript, so sizes are trusted.
class WordReader {
 public:
  explicit WordReader(const std::int32_t* words) : next_(words) {}

  std::int32_t word() { return *next_++; }
  std::uint32_t size() { return static_cast<std::uint32_t>(*next_++); }
  std::span<const std::int32_t> words(std::size_t count) {
    const std::span<const std::int32_t> taken(next_, count);
    next_ += count;
    return taken;
  }
  /// The bytes that follow the words.
  const char* bytes() const { return reinterpret_cast<const char*>(next_); }

 private:
  const std::int32_t* next_;
};

/// A row: size, flags (1 too_long, 2 truncation_implied), number of overflowing rows, then eight columns of
/// `size` words (ids, type ids, attention mask, special tokens mask, offset begins, offset ends, word ids,
/// sequence ids), then the overflowing rows.
std::size_t row_words(const Encoding& row);  ///< how many those are
void write_row(const Encoding& row, std::vector<std::int32_t>& out);
Encoding read_row(WordReader& in);

}  // namespace bert::bindings
