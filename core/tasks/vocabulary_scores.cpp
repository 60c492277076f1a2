// Softmax over the vocabulary, in the form that does not overflow.
#include "tasks/vocabulary_scores.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

namespace bert::tasks {

Expected<VocabularyScores> VocabularyScores::create(std::span<const float> logits) {
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i])) {
      return fail(ErrorCode::kInvalidModel, "the model's logit for token id " + std::to_string(i) +
                                                " is not a finite number: its weights are damaged");
    }
  }
  if (logits.empty()) return fail(ErrorCode::kInvalidModel, "the model gives no vocabulary logits");
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
  return VocabularyScores(logits, most + std::log(sum));
}

std::size_t VocabularyScores::rank(std::int32_t id) const {
  const float own = logit(id);
  std::size_t before = 0;
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    before += logits_[i] > own || (logits_[i] == own && i < static_cast<std::size_t>(id)) ? 1u : 0u;
  }
  return before + 1;
}

std::vector<std::int32_t> VocabularyScores::best(std::size_t count, std::size_t tokens) const {
  std::vector<std::int32_t> ids(std::min(logits_.size(), tokens));
  std::iota(ids.begin(), ids.end(), 0);
  count = std::min(count, ids.size());
  const auto better = [&](std::int32_t a, std::int32_t b) {
    return logit(a) > logit(b) || (logit(a) == logit(b) && a < b);
  };
  const auto end = ids.begin() + static_cast<std::ptrdiff_t>(count);
  // of a few of many, nearly every entry is compared once, with the last of those few
  std::partial_sort(ids.begin(), end, ids.end(), better);
  ids.resize(count);
  return ids;
}

}  // namespace bert::tasks
