// The tables of unicode_data.cpp. Only unicode.cpp and unicode.h read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bert::unicode {

/// Bits of Record::flags, from the reference's own answers.
enum Flag : std::uint8_t {
  kDrop = 1,            ///< clean_text removes it (control, format, private use, U+FFFD)
  kSpace = 2,           ///< White_Space
  kPunctuation = 4,     ///< a word of its own for BERT's pre-tokenizer
  kMark = 8,            ///< strip_accents removes it after NFD
  kCjk = 16,            ///< tokenize_chinese_chars puts blanks around it
  kWordCharacter = 32,  ///< \w of the rule for single_word
  kDecomposes = 64,     ///< has an entry among the decompositions
};

/// What the code points of one kind have in common.
struct Record {
  std::uint8_t flags;
  std::uint8_t combining_class;  ///< for canonical ordering; 0: a starter
  std::int32_t lower;            ///< lower case minus the code point
};

// kRecords[kRecordOf[kBlockOf[c / 128] * 128 + c % 128]] belongs to the code point c.
extern const Record kRecords[];
extern const std::uint8_t kBlockOf[];
extern const std::uint8_t kRecordOf[];

// Full canonical decompositions but Hangul's. The keys of plane p are
// kDecompositionKeys[kDecompositionPlane[p]] up to the next plane's, ascending, 16 bits each; the
// decomposition is UTF-16 in kDecompositionUnits from kDecompositionStarts[key] up to the next start.
extern const std::uint16_t kDecompositionPlane[];
extern const std::uint16_t kDecompositionKeys[];
extern const std::uint16_t kDecompositionStarts[];
extern const std::uint16_t kDecompositionUnits[];

// Ascending; each range starts at kScriptRanges[i] / 64 and has the script kScriptNames[kScriptRanges[i] %
// 64].
extern const std::string_view kScriptNames[];
extern const std::size_t kScriptCount;
extern const std::uint32_t kScriptRanges[];
extern const std::size_t kScriptRangeCount;

}  // namespace bert::unicode
