// What every error must be, whatever bytes it is about.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <string_view>

#include "bert/result.h"

/// Aborts unless a message is one short line of UTF-8 without what steers a terminal.
inline void check_error(const bert::Error& error) {
  const std::string_view text = error.message;
  bool fine = !text.empty() && text.size() < 600;
  for (std::size_t at = 0; fine && at < text.size();) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(at);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    fine = lead >= 0x20 && lead != 0x7f && (lead < 0x80 || lead >= 0xc2) && at + length <= text.size();
    for (std::size_t i = 1; fine && i < length; ++i) fine = (byte(at + i) & 0xc0) == 0x80;
    if (fine && lead == 0xc2) fine = byte(at + 1) >= 0xa0;
    const std::string_view character = text.substr(at, length);
    fine = fine && (character < "\xe2\x80\xa8" || character > "\xe2\x80\xae");
    at += length;
  }
  if (!fine) std::abort();
}
