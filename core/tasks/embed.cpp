// Sentence embeddings from the last hidden state.
#include <algorithm>
#include <cmath>

#include "tasks/data.h"

namespace bert {
namespace {

// Pools the rows [count][hidden] of one sequence.
std::vector<float> pool(std::span<const float> rows, std::size_t hidden, const EmbedOptions& options) {
  std::vector<float> pooled(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(hidden));
  const std::size_t count = rows.size() / hidden;
  for (std::size_t column = 0; column < hidden && options.pooling != Pooling::kCls; ++column) {
    double sum = rows[column];
    float most = rows[column];
    for (std::size_t row = 1; row < count; ++row) {
      sum += static_cast<double>(rows[row * hidden + column]);
      most = std::max(most, rows[row * hidden + column]);
    }
    pooled[column] =
        options.pooling == Pooling::kMax ? most : static_cast<float>(sum / static_cast<double>(count));
  }
  if (options.normalize) {
    double squares = 0;
    for (const float value : pooled) squares += static_cast<double>(value) * static_cast<double>(value);
    const double length = std::sqrt(squares);
    for (float& value : pooled)
      value = length > 0 ? static_cast<float>(static_cast<double>(value) / length) : value;
  }
  return pooled;
}

}  // namespace

std::string_view pooling_name(Pooling pooling) {
  return pooling == Pooling::kCls ? "cls" : pooling == Pooling::kMean ? "mean" : "max";
}

double cosine_similarity(std::span<const float> a, std::span<const float> b) {
  double dot = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double x = a[i], y = b[i];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  if (aa == 0 || bb == 0) return 0;
  return std::clamp(dot / (std::sqrt(aa) * std::sqrt(bb)), -1.0, 1.0);  // rounding may pass 1
}

std::vector<Expected<std::vector<float>>> Tasks::embed_batch(std::span<const TextInput> texts,
                                                             const EmbedOptions& options,
                                                             const CallControl& control) {
  Request request;
  request.hidden_states = {data_->layers};
  request.rows = options.pooling == Pooling::kCls ? RowChoice::kFirst : RowChoice::kAll;
  const auto encode = [&](const TextInput& text) { return data_->encode(text); };
  std::size_t next = 0;  // the sequences' rows follow each other
  const auto read = [&](const Output& output, std::size_t i,
                        const Encoding& row) -> Expected<std::vector<float>> {
    if (i == 0) next = 0;
    const Tensor& states = output.hidden_states.front();
    const std::size_t hidden = states.shape.back();
    const std::size_t size = (options.pooling == Pooling::kCls ? 1 : row.size()) * hidden;
    next += size;
    const std::span<const float> rows = std::span(states.data).subspan(next - size, size);
    return check_finite(rows, "hidden states").map([&] { return pool(rows, hidden, options); });
  };
  return tasks::answer_each<std::vector<float>>(*data_, texts, request, control, encode, read);
}

Expected<std::vector<float>> Tasks::embed(const TextInput& text, const EmbedOptions& options,
                                          const CallControl& control) {
  return std::move(embed_batch({&text, 1}, options, control).front());
}

}  // namespace bert
