// UTF-8 decoding (Unicode 15, table 3-7) and terminal widths (the C library's wcwidth).
#include "io/utf8.h"

#include <wchar.h>

#include <cstdint>

namespace bert::cli {

Utf8Char next_utf8(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4) return {0xfffd, 1, false};
  std::uint32_t low = 0x80, high = 0xbf;
  if (lead == 0xe0) low = 0xa0;
  if (lead == 0xed) high = 0x9f;
  if (lead == 0xf0) low = 0x90;
  if (lead == 0xf4) high = 0x8f;
  std::uint32_t value = lead & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    const std::uint32_t next = byte(i);
    if (next < low || next > high) return {0xfffd, i, false};
    value = (value << 6) | (next & 0x3fu);
    low = 0x80;
    high = 0xbf;
  }
  return {static_cast<char32_t>(value), length, true};
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = next_utf8(text, at);
    const int columns = ::wcwidth(static_cast<wchar_t>(c.value));
    width += columns < 0 ? 1u : static_cast<std::size_t>(columns);
    at += c.length;
  }
  return width;
}

std::string_view first_characters(std::string_view text, std::size_t count) {
  std::size_t at = 0;
  for (; at < text.size() && count > 0; --count) at += next_utf8(text, at).length;
  return text.substr(0, at);
}

}  // namespace bert::cli
