// Padded batches as sequences, a check of what came out, and the names of probes.
#include <algorithm>
#include <cmath>
#include <string>

#include "bert/encoder.h"

namespace bert {

Expected<std::vector<Sequence>> make_sequences(std::size_t batch, std::size_t tokens,
                                               std::span<const std::int32_t> input_ids,
                                               std::span<const std::int32_t> token_type_ids,
                                               std::span<const std::int32_t> attention_mask) {
  const auto fits = [batch, tokens](std::span<const std::int32_t> values) {
    return tokens == 0 ? values.empty() : values.size() / tokens == batch && values.size() % tokens == 0;
  };
  const auto wrong = [batch, tokens](const char* what, std::size_t size) {
    return fail(ErrorCode::kInvalidArgument, std::string(what) + " has " + std::to_string(size) +
                                                 " values, not [" + std::to_string(batch) + ", " +
                                                 std::to_string(tokens) + "]");
  };
  if (!fits(input_ids)) return wrong("input_ids", input_ids.size());
  if (!token_type_ids.empty() && !fits(token_type_ids)) return wrong("token_type_ids", token_type_ids.size());
  if (!attention_mask.empty() && !fits(attention_mask)) return wrong("attention_mask", attention_mask.size());
  std::vector<Sequence> sequences;
  for (std::size_t s = 0; s < batch; ++s) {
    const auto row = [s, tokens](std::span<const std::int32_t> values) {
      return values.empty() ? values : values.subspan(s * tokens, tokens);
    };
    sequences.push_back({row(input_ids), row(token_type_ids), row(attention_mask)});
  }
  return sequences;
}

Status check_finite(std::span<const float> values, std::string_view what) {
  if (std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) return {};
  return fail(ErrorCode::kInvalidModel,
              "the model's " + std::string(what) + " are not finite: its weights are damaged");
}

std::string_view probe_name(Probe probe) {
  switch (probe) {
    case Probe::kEmbeddingSum:
      return "embedding_sum";
    case Probe::kQuery:
      return "query";
    case Probe::kKey:
      return "key";
    case Probe::kValue:
      return "value";
    case Probe::kScores:
      return "scores";
    case Probe::kContext:
      return "context";
    case Probe::kAttentionOutput:
      return "attention_output";
    case Probe::kFeedForward:
      return "feed_forward";
  }
  return "";
}

}  // namespace bert
