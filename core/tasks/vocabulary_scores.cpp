// Softmax over the vocabulary, in the form that does not overflow.
#include "tasks/vocabulary_scores.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

namespace bert::tasks {

namespace {

tl::unexpected<Error> damaged(std::size_t id) {
  return fail(ErrorCode::kInvalidModel, "the model's logit for token id " + std::to_string(id) +
                                            " is not a finite number: its weights are damaged");
}

}  // namespace

Expected<VocabularyScores> VocabularyScores::create(const Output& output, std::size_t position) {
  const MlmBest& best = output.mlm_best;
  if (kMayFindBestWords && !best.log_sums.empty()) {
    const std::size_t count = best.ids.size() / best.log_sums.size();
    const auto ids = std::span(best.ids).subspan(position * count, count);
    const double log_sum = best.log_sums[position];
    if (std::isnan(log_sum)) return damaged(static_cast<std::size_t>(ids.front()));
    return VocabularyScores(ids, std::span(best.logits).subspan(position * count, count), log_sum);
  }
  const std::size_t width = output.mlm.shape.back();
  const auto logits = std::span(output.mlm.data).subspan(position * width, width);
  for (std::size_t i = 0; i < width; ++i) {
    if (!std::isfinite(logits[i])) return damaged(i);
  }
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
  return VocabularyScores({}, logits, most + std::log(sum));
}

std::size_t VocabularyScores::place(std::int32_t id) const {
  if (holds_all()) return static_cast<std::size_t>(id);
  return static_cast<std::size_t>(std::find(ids_.begin(), ids_.end(), id) - ids_.begin());
}

std::size_t VocabularyScores::rank(std::int32_t id) const {
  if (!holds_all()) return place(id) + 1;
  const float own = logit(id);
  std::size_t before = 0;
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    before += logits_[i] > own || (logits_[i] == own && i < static_cast<std::size_t>(id)) ? 1u : 0u;
  }
  return before + 1;
}

std::vector<std::int32_t> VocabularyScores::best(std::size_t count, std::size_t tokens,
                                                 std::span<const std::int32_t> gaps) const {
  if (!holds_all()) {
    const auto first = ids_.first(std::min(count, ids_.size()));
    return {first.begin(), first.end()};
  }
  std::vector<std::int32_t> ids(std::min(logits_.size(), tokens));
  std::iota(ids.begin(), ids.end(), 0);
  if (!gaps.empty()) {
    std::erase_if(ids, [&](std::int32_t id) { return std::binary_search(gaps.begin(), gaps.end(), id); });
  }
  count = std::min(count, ids.size());
  const auto better = [this](std::int32_t a, std::int32_t b) {
    const float one = logits_[static_cast<std::size_t>(a)], other = logits_[static_cast<std::size_t>(b)];
    return one > other || (one == other && a < b);
  };
  const auto end = ids.begin() + static_cast<std::ptrdiff_t>(count);
  // of a few of many, nearly every entry is compared once, with the last of those few
  std::partial_sort(ids.begin(), end, ids.end(), better);
  ids.resize(count);
  return ids;
}

}  // namespace bert::tasks
