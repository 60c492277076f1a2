// Canonical ordering of combining marks.
#include "text/normalizer.h"

#include <cstddef>

namespace bert::text {

void sort_marks(std::vector<PendingMark>& marks) {
  constexpr std::size_t kShort = 16;
  if (marks.size() <= kShort) {
    for (std::size_t i = 1; i < marks.size(); ++i) {
      const PendingMark mark = marks[i];
      std::size_t place = i;
      for (; place > 0 && marks[place - 1].combining_class > mark.combining_class; --place)
        marks[place] = marks[place - 1];
      marks[place] = mark;
    }
    return;
  }
  // Counting sort: a million marks on one letter must not take a million squared steps.
  std::size_t starts[257] = {};
  for (const PendingMark& mark : marks) ++starts[mark.combining_class + 1];
  for (std::size_t c = 0; c < 256; ++c) starts[c + 1] += starts[c];
  std::vector<PendingMark> sorted(marks.size());
  for (const PendingMark& mark : marks) sorted[starts[mark.combining_class]++] = mark;
  marks.swap(sorted);
}

}  // namespace bert::text
