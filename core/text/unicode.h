// Properties of code points as the reference sees them (see generate-unicode-data.mjs).
#pragma once

#include <cstddef>
#include <string_view>

#include "text/unicode_data.h"

namespace bert::unicode {

/// `c` is a Unicode scalar value.
inline const Record& record(char32_t c) {
  return kRecords[kRecordOf[kBlockOf[c >> 7] << 7 | (c & 0x7f)]];
}

inline bool is_space(char32_t c) {
  return (record(c).flags & kSpace) != 0;
}
inline bool is_punctuation(char32_t c) {
  return (record(c).flags & kPunctuation) != 0;
}
inline bool is_mark(char32_t c) {
  return (record(c).flags & kMark) != 0;
}
inline bool is_word_character(char32_t c) {
  return (record(c).flags & kWordCharacter) != 0;
}

/// At most 4 code points.
struct Decomposition {
  char32_t code_points[4];
  std::size_t size = 0;
};

/// The full canonical decomposition, Hangul included; the character itself where it has none.
Decomposition decompose(char32_t c, const Record& record);

/// Calls put(char32_t) for each character of the lower case (no context: a final sigma is a plain sigma).
template <class Put>
void lowercase(char32_t c, const Record& record, Put&& put) {
  if (c == 0x130) {  // the one character whose lower case is two
    put(char32_t{'i'});
    put(char32_t{0x307});
  } else {
    put(static_cast<char32_t>(static_cast<std::int32_t>(c) + record.lower));
  }
}

/// An index into kScriptNames; 0 is "Common".
std::size_t script(char32_t c);

}  // namespace bert::unicode
