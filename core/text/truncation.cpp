// The arithmetic of truncation.h, case by case as the reference has it.
#include "text/truncation.h"

#include <algorithm>
#include <string>

namespace bert::text {

Expected<Lengths> fit(Lengths full, bool pair, std::size_t room, Truncation strategy) {
  const std::size_t total = full.first + full.second;
  if (total <= room) return full;
  if (strategy == Truncation::kLongestFirst) {
    if (!pair) return Lengths{room, 0};
    const std::size_t shorter = std::min(full.first, full.second);
    // The shorter one stays whole if the longer one can then still be as long as it.
    Lengths cut{shorter, std::max(shorter, room - std::min(room, shorter))};
    if (cut.first + cut.second > room) cut = {room / 2, room / 2 + room % 2};
    if (full.first > full.second) std::swap(cut.first, cut.second);
    return cut;
  }
  const bool first = strategy == Truncation::kOnlyFirst;
  if (!first && !pair)
    return fail(ErrorCode::kInvalidArgument, "truncation only_second needs a second sequence, there is none");
  std::size_t& target = first ? full.first : full.second;
  if (room == 0) return Lengths{0, 0};
  const std::size_t excess = total - room;
  if (target <= excess)
    return fail(ErrorCode::kTooLong, std::string("truncation ") + (first ? "only_first" : "only_second") +
                                         " must take " + std::to_string(excess) +
                                         " tokens from a sequence of " + std::to_string(target) +
                                         ": use longest_first or leave more room");
  target -= excess;
  return full;
}

std::vector<Window> windows(std::size_t size, std::size_t length, std::size_t stride, Side side,
                            bool further) {
  if (length >= size) return {{0, size}};
  std::vector<Window> result;
  if (side == Side::kRight) {
    for (std::size_t begin = 0;; begin += length - stride) {
      const std::size_t end = std::min(begin + length, size);
      result.push_back({begin, end});
      if (end == size || !further) break;
    }
  } else {
    for (std::size_t end = size;; end -= length - stride) {
      const std::size_t begin = end - std::min(end, length);
      result.push_back({begin, end});
      if (begin == 0 || !further) break;
    }
  }
  return result;
}

}  // namespace bert::text
