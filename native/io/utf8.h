// Reads UTF-8 one character at a time and measures how wide text is on a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bert::cli {

/// One character, or one to three bytes that are none (`valid` is false, `value` U+FFFD).
struct Utf8Char {
  char32_t value = 0;
  std::size_t length = 1;
  bool valid = true;
};

/// The character of `text` that starts at byte `at` (which must be less than the size).
Utf8Char next_utf8(std::string_view text, std::size_t at);

/// Columns that `text` takes on a terminal: two for wide characters, none for combining marks.
std::size_t display_width(std::string_view text);

/// The first characters of `text`, at most `count` of them.
std::string_view first_characters(std::string_view text, std::size_t count);

}  // namespace bert::cli
