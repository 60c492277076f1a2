// The BertNormalizer of the reference as a stream: characters with their place in the input go in, normalised
// ones come out, each with the place that it comes from. The order is clean text, space CJK, NFD and drop
// marks, lower case.
#pragma once

#include <cstdint>
#include <vector>

#include "bert/tokenizer.h"
#include "text/unicode.h"

namespace bert::text {

/// A piece of a character's decomposition that waits for its place among the combining marks.
struct PendingMark {
  char32_t code_point;
  std::uint8_t combining_class;
  bool inserted;  ///< not the first of its decomposition: the reference then repeats the place of the one
                  ///< before
};

/// Sorts by combining class, stable, in linear time for long runs.
void sort_marks(std::vector<PendingMark>& marks);

/// `Sink` has put(char32_t, Offsets), for a character, and boundary(Offsets), for the blank beside a CJK
/// character.
template <class Sink>
class NormalizerStream {
 public:
  NormalizerStream(const TokenizerSettings& settings, Sink& sink) : settings_(settings), sink_(sink) {}

  /// Starts a text whose first byte is at `begin`.
  void start(std::uint32_t begin) { last_source_ = {begin, begin}; }

  void put(char32_t c, Offsets source) {
    const unicode::Record* record = &unicode::record(c);
    if (settings_.clean_text) {
      if ((record->flags & unicode::kDrop) != 0) return;
      if ((record->flags & unicode::kSpace) != 0) record = &unicode::record(c = ' ');
    }
    const bool spaced = settings_.tokenize_chinese_chars && (record->flags & unicode::kCjk) != 0;
    if (spaced) boundary(source);
    if (settings_.strip_accents) {
      decompose(c, *record, source);
    } else {
      lower(c, *record, source);
    }
    if (spaced) boundary(source);
  }

  /// Ends the text.
  void finish() { flush(); }

 private:
  void boundary(Offsets source) {
    flush();
    sink_.boundary(source);
  }

  void decompose(char32_t c, const unicode::Record& record, Offsets source) {
    const bool simple = (record.flags & unicode::kDecomposes) == 0 && (c < 0xac00 || c >= 0xac00 + 11172);
    if (simple && record.combining_class == 0) {
      flush();
      emit(c, record, last_source_ = source);
      return;
    }
    const unicode::Decomposition parts = unicode::decompose(c, record);
    for (std::size_t i = 0; i < parts.size; ++i) {
      const char32_t part = parts.code_points[i];
      const unicode::Record& part_record = unicode::record(part);
      if (part_record.combining_class == 0) {
        flush();
        if (i == 0) last_source_ = source;
        emit(part, part_record, last_source_);
      } else {
        marks_.push_back({part, part_record.combining_class, i != 0});
        if (i == 0) sources_.push_back(source);
      }
    }
  }

  void flush() {
    if (marks_.empty()) return;
    sort_marks(marks_);
    // The reference sorts characters but takes their places in the order of the input.
    std::size_t next = 0;
    for (const PendingMark& mark : marks_) {
      if (!mark.inserted) last_source_ = sources_[next++];
      emit(mark.code_point, unicode::record(mark.code_point), last_source_);
    }
    marks_.clear();
    sources_.clear();
  }

  void emit(char32_t c, const unicode::Record& record, Offsets source) {
    if ((record.flags & unicode::kMark) == 0) lower(c, record, source);
  }

  void lower(char32_t c, const unicode::Record& record, Offsets source) {
    if (settings_.lowercase) {
      unicode::lowercase(c, record, [&](char32_t lowered) { sink_.put(lowered, source); });
    } else {
      sink_.put(c, source);
    }
  }

  const TokenizerSettings& settings_;
  Sink& sink_;
  std::vector<PendingMark> marks_;
  std::vector<Offsets> sources_;  ///< of the marks that are not inserted, in the order of the input
  Offsets last_source_;
};

}  // namespace bert::text
