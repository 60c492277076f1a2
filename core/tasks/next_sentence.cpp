// Next-sentence prediction and its metrics (Exercise 5 of the notebook).
#include <algorithm>
#include <cmath>
#include <string>

#include "tasks/data.h"

namespace bert {
namespace {

NextSentence from_logits(float is_next, float not_next) {
  const double difference = static_cast<double>(is_next) - static_cast<double>(not_next);
  return {.is_next = 1 / (1 + std::exp(-difference)),
          .not_next = 1 / (1 + std::exp(difference)),
          .logits = {is_next, not_next}};
}

double ratio(std::size_t part, std::size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

double NextSentence::margin() const {
  return std::abs(static_cast<double>(logits[0]) - static_cast<double>(logits[1]));
}

Expected<NextSentenceReport> evaluate_next_sentence(std::span<const NextSentence> answers,
                                                    std::span<const std::uint8_t> labels, double threshold) {
  if (answers.empty()) return fail(ErrorCode::kInvalidArgument, "no pair to evaluate");
  if (answers.size() != labels.size()) {
    return fail(ErrorCode::kInvalidArgument,
                std::to_string(answers.size()) + " answers for " + std::to_string(labels.size()) + " labels");
  }
  if (!(threshold >= 0 && threshold <= 1)) {
    return fail(ErrorCode::kInvalidArgument,
                "threshold must be from 0 to 1, got " + std::to_string(threshold));
  }
  NextSentenceReport report;
  report.threshold = threshold;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const NextSentence& answer = answers[i];
    const JudgedPair pair{answer, labels[i] != 0, answer.is_next > threshold};
    std::size_t& cell = pair.predicted ? (pair.label ? report.true_positives : report.false_positives)
                                       : (pair.label ? report.false_negatives : report.true_negatives);
    ++cell;
    report.mean_confidence += answer.confidence();
    const double step = std::floor((answer.confidence() - 0.5) / 0.05);
    const auto bin = static_cast<std::size_t>(std::clamp(step, 0.0, 9.0));
    ++(pair.correct() ? report.correct_by_confidence : report.wrong_by_confidence)[bin];
    // confidence grows with the margin alone, so the margin orders those too that round to one
    if (answer.margin() > answers[report.highest_confidence].margin()) report.highest_confidence = i;
    report.pairs.push_back(pair);
  }
  const std::size_t tp = report.true_positives;
  report.mean_confidence /= static_cast<double>(answers.size());
  report.accuracy = ratio(tp + report.true_negatives, answers.size());
  report.precision = ratio(tp, tp + report.false_positives);
  report.recall = ratio(tp, tp + report.false_negatives);
  report.f1 = ratio(2 * tp, 2 * tp + report.false_positives + report.false_negatives);
  return report;
}

std::vector<Expected<NextSentence>> Tasks::next_sentence_batch(std::span<const TextInput> pairs,
                                                               const CallControl& control) {
  Request request;
  request.nsp = true;
  const auto encode = [&](const TextInput& pair) -> Expected<Encoding> {
    if (!pair.second)
      return fail(ErrorCode::kInvalidText, "next sentence prediction needs two texts; the second is missing");
    return data_->encode(pair);
  };
  const auto read = [](const Output& output, std::size_t i, const Encoding&) -> Expected<NextSentence> {
    const std::span<const float> logits = std::span(output.nsp.data).subspan(2 * i, 2);
    return check_finite(logits, "next-sentence logits").map([&] {
      return from_logits(logits[0], logits[1]);
    });
  };
  return tasks::answer_each<NextSentence>(*data_, pairs, request, control, encode, read);
}

Expected<NextSentence> Tasks::next_sentence(const TextInput& pair, const CallControl& control) {
  return std::move(next_sentence_batch({&pair, 1}, control).front());
}

}  // namespace bert
