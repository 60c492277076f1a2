// UTF-8 in and out. Decoding takes any bytes: each ill-formed part becomes one U+FFFD, cut at the same places
// as Rust's lossy conversion and the Encoding standard cut it (the "maximal subpart" practice of the Unicode
// standard, 3.9).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace bert::utf8 {

inline bool is_ascii(std::string_view text) {
  std::uint64_t seen = 0;
  while (text.size() >= sizeof seen) {
    std::uint64_t eight;
    std::memcpy(&eight, text.data(), sizeof eight);
    seen |= eight;
    text.remove_prefix(sizeof eight);
  }
  for (const char c : text) seen |= static_cast<std::uint8_t>(c);
  return (seen & 0x8080808080808080u) == 0;
}

constexpr char32_t kReplacement = 0xfffd;

struct Decoded {
  char32_t code_point;
  std::uint32_t length;  ///< bytes taken, at least 1
};

/// The character at `p`, which must be before `end`.
inline Decoded decode(const char* p, const char* end) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(p[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const auto left = static_cast<std::size_t>(end - p);
  const auto continues = [&](std::size_t i) { return i < left && (byte(i) & 0xc0) == 0x80; };
  if (lead >= 0xc2 && lead < 0xe0) {
    if (!continues(1)) return {kReplacement, 1};
    return {static_cast<char32_t>((lead & 0x1f) << 6 | (byte(1) & 0x3f)), 2};
  }
  if (lead >= 0xe0 && lead < 0xf0) {
    // e0 80..9f would be overlong, ed a0..bf a surrogate
    if (!continues(1) || (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) >= 0xa0))
      return {kReplacement, 1};
    if (!continues(2)) return {kReplacement, 2};
    return {static_cast<char32_t>((lead & 0xf) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f)), 3};
  }
  if (lead >= 0xf0 && lead < 0xf5) {
    // f0 80..8f would be overlong, f4 90..bf beyond U+10FFFF
    if (!continues(1) || (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) >= 0x90))
      return {kReplacement, 1};
    if (!continues(2)) return {kReplacement, 2};
    if (!continues(3)) return {kReplacement, 3};
    const int high = (lead & 7) << 18 | (byte(1) & 0x3f) << 12;
    return {static_cast<char32_t>(high | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f)), 4};
  }
  return {kReplacement, 1};
}

/// The character that ends at `p`, which must be after `begin`.
inline Decoded decode_before(const char* begin, const char* p) {
  for (std::uint32_t length = 1; length <= 4 && length <= static_cast<std::size_t>(p - begin); ++length) {
    const Decoded decoded = decode(p - length, p);
    if (decoded.length == length && decoded.code_point != kReplacement) return decoded;
    if ((static_cast<std::uint8_t>(p[-static_cast<std::ptrdiff_t>(length)]) & 0xc0) != 0x80)
      return {kReplacement, length};
  }
  return {kReplacement, 1};
}

/// Writes the character to `out`, which has room for 4 bytes; returns their number.
inline std::uint32_t encode(char32_t c, char* out) {
  const auto put = [&](int i, char32_t bits) { out[i] = static_cast<char>(bits); };
  if (c < 0x80) {
    put(0, c);
    return 1;
  }
  if (c < 0x800) {
    put(0, 0xc0 | c >> 6);
    put(1, 0x80 | (c & 0x3f));
    return 2;
  }
  if (c < 0x10000) {
    put(0, 0xe0 | c >> 12);
    put(1, 0x80 | (c >> 6 & 0x3f));
    put(2, 0x80 | (c & 0x3f));
    return 3;
  }
  put(0, 0xf0 | c >> 18);
  put(1, 0x80 | (c >> 12 & 0x3f));
  put(2, 0x80 | (c >> 6 & 0x3f));
  put(3, 0x80 | (c & 0x3f));
  return 4;
}

inline void append(std::string& out, char32_t c) {
  char bytes[4];
  out.append(bytes, encode(c, bytes));
}

}  // namespace bert::utf8
