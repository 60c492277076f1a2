// One row of vocabulary logits read as a distribution: probabilities, ranks and the best entries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bert/result.h"

namespace bert::tasks {

/// Views the logits, which must outlive it. Sums are in double.
class VocabularyScores {
 public:
  /// kInvalidModel for a logit that is not a finite number, which only damaged weights give.
  static Expected<VocabularyScores> create(std::span<const float> logits);

  std::size_t size() const { return logits_.size(); }
  float logit(std::int32_t id) const { return logits_[static_cast<std::size_t>(id)]; }
  /// ln softmax(logits)[id]
  double log_probability(std::int32_t id) const { return static_cast<double>(logit(id)) - log_sum_; }
  /// 1 for the best; of equal ones the smaller id comes first.
  std::size_t rank(std::int32_t id) const;
  /// The `count` best of the ids below `tokens` (at most all), best first, ordered as `rank` says. A model
  /// may have more logits than its tokenizer has tokens, to fill a round number.
  std::vector<std::int32_t> best(std::size_t count, std::size_t tokens) const;

 private:
  VocabularyScores(std::span<const float> logits, double log_sum) : logits_(logits), log_sum_(log_sum) {}

  std::span<const float> logits_;
  double log_sum_;
};

}  // namespace bert::tasks
