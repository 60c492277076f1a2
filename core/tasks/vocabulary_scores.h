// One row of vocabulary logits read as a distribution: probabilities, ranks and the best entries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bert/encoder.h"
#include "bert/result.h"

namespace bert::tasks {

/// Views one position of an output, which must outlive it: all its logits, or the best ones alone (where that
/// is what was asked for), and then only those may be named. Sums are in double.
class VocabularyScores {
 public:
  /// kInvalidModel for a logit that is not a finite number, which only damaged weights give.
  static Expected<VocabularyScores> create(const Output& output, std::size_t position);

  float logit(std::int32_t id) const { return logits_[place(id)]; }
  /// ln softmax(logits)[id]
  double log_probability(std::int32_t id) const { return static_cast<double>(logit(id)) - log_sum_; }
  /// 1 for the best; of equal ones the smaller id comes first.
  std::size_t rank(std::int32_t id) const;
  /// The `count` best of the ids below `tokens` that are not among `gaps` (at most all), best first, ordered
  /// as `rank` says. A model may have more logits than its tokenizer has tokens, to fill a round number;
  /// `gaps` are ids without a token, ascending, and none where only the best were asked for.
  std::vector<std::int32_t> best(std::size_t count, std::size_t tokens,
                                 std::span<const std::int32_t> gaps) const;

 private:
  VocabularyScores(std::span<const std::int32_t> ids, std::span<const float> logits, double log_sum)
      : ids_(ids), logits_(logits), log_sum_(log_sum) {}
  bool holds_all() const { return !kMayFindBestWords || ids_.empty(); }
  std::size_t place(std::int32_t id) const;

  std::span<const std::int32_t> ids_;  // empty: logit i is that of id i
  std::span<const float> logits_;
  double log_sum_;
};

}  // namespace bert::tasks
