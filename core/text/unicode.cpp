// Look-ups that need more than one table.
#include "text/unicode.h"

#include <algorithm>

namespace bert::unicode {

Decomposition decompose(char32_t c, const Record& record) {
  if (c >= 0xac00 && c < 0xac00 + 11172) {  // Hangul syllables, by the Unicode standard's arithmetic (3.12)
    const char32_t index = c - 0xac00;
    const char32_t tail = index % 28;
    return {{0x1100 + index / 588, 0x1161 + index % 588 / 28, 0x11a7 + tail}, tail == 0 ? 2u : 3u};
  }
  if ((record.flags & kDecomposes) == 0) return {{c}, 1};
  const std::uint16_t* begin = kDecompositionKeys + kDecompositionPlane[c >> 16];
  const std::uint16_t* end = kDecompositionKeys + kDecompositionPlane[(c >> 16) + 1];
  const auto key = std::lower_bound(begin, end, static_cast<std::uint16_t>(c)) - kDecompositionKeys;
  Decomposition result{};
  for (std::size_t i = kDecompositionStarts[key]; i < kDecompositionStarts[key + 1]; ++i) {
    char32_t unit = kDecompositionUnits[i];
    if (unit >= 0xd800 && unit < 0xdc00)
      unit = 0x10000 + ((unit - 0xd800) << 10) + (kDecompositionUnits[++i] - char32_t{0xdc00});
    result.code_points[result.size++] = unit;
  }
  return result;
}

std::size_t script(char32_t c) {
  const std::uint32_t* end = kScriptRanges + kScriptRangeCount;
  const std::uint32_t* after = std::upper_bound(kScriptRanges, end, static_cast<std::uint32_t>(c) * 64 + 63);
  return *(after - 1) % 64;
}

}  // namespace bert::unicode
