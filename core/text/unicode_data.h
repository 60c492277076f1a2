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

// Full canonical decompositions but Hangul's, in UTF-16, in the order of the code points that have the flag.
// Laid out so that they compress well (in a WebAssembly download they are a third of what look-up tables
// would be): the number of units of each; the first unit of each, less that of the one before (modulo 65536);
// all further units.
constexpr char32_t kDecompositionEnd = 0x30000;  ///< no decomposition from here on
extern const std::uint8_t kDecompositionSizes[];
extern const std::uint16_t kDecompositionFirsts[];
extern const std::uint16_t kDecompositionRests[];

// Ascending; each range starts at kScriptRanges[i] / 64 and has the script kScriptNames[kScriptRanges[i] %
// 64].
extern const std::string_view kScriptNames[];
extern const std::size_t kScriptCount;
extern const std::uint32_t kScriptRanges[];
extern const std::size_t kScriptRangeCount;

}  // namespace bert::unicode
