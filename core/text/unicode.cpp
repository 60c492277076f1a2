// Look-ups that need more than one table.
#include "text/unicode.h"

#include <algorithm>
#include <vector>

namespace bert::unicode {

namespace {

/// The decompositions as tables to look things up in.
struct Decompositions {
  Decompositions();

  std::vector<char32_t> code_points;  ///< ascending
  std::vector<std::size_t> starts;    ///< of each in the units, and the end
  std::vector<std::uint16_t> units;
};

Decompositions::Decompositions() {
  const std::uint16_t* rest = kDecompositionRests;
  std::uint16_t first = 0;
  for (char32_t c = 0; c < kDecompositionEnd; ++c) {
    if ((record(c).flags & kDecomposes) == 0) continue;
    const std::size_t index = code_points.size();
    code_points.push_back(c);
    starts.push_back(units.size());
    first = static_cast<std::uint16_t>(first + kDecompositionFirsts[index]);
    units.push_back(first);
    for (int more = kDecompositionSizes[index]; more > 1; --more) units.push_back(*rest++);
  }
  starts.push_back(units.size());
}

}  // namespace

Decomposition decompose(char32_t c, const Record& record) {
  if (c >= 0xac00 && c < 0xac00 + 11172) {  // Hangul syllables, by the Unicode standard's arithmetic (3.12)
    const char32_t index = c - 0xac00;
    const char32_t tail = index % 28;
    return {{0x1100 + index / 588, 0x1161 + index % 588 / 28, 0x11a7 + tail}, tail == 0 ? 2u : 3u};
  }
  if ((record.flags & kDecomposes) == 0) return {{c}, 1};
  static const Decompositions tables;
  const auto found = std::lower_bound(tables.code_points.begin(), tables.code_points.end(), c);
  const std::size_t* start = &tables.starts[static_cast<std::size_t>(found - tables.code_points.begin())];
  Decomposition result{};
  for (std::size_t i = start[0]; i < start[1]; ++i) {
    char32_t unit = tables.units[i];
    if (unit >= 0xd800 && unit < 0xdc00)
      unit = 0x10000 + ((unit - 0xd800) << 10) + (tables.units[++i] - char32_t{0xdc00});
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
