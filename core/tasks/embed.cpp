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
  return aa > 0 && bb > 0 ? dot / std::sqrt(aa * bb) : 0;
}

std::vector<Expected<std::vector<float>>> Tasks::embed_batch(std::span<const TextInput> texts,
                                                             const EmbedOptions& options,
                                                             const CallControl& control) {
  std::vector<Expected<std::vector<float>>> answers(texts.size());
  std::vector<Encoding> rows;
  std::vector<std::size_t> owners, costs;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    Expected<Encoding> row = data_->encode(texts[i]);
    if (!row) {
      answers[i] = tl::unexpected(row.error());
      continue;
    }
    costs.push_back(row->size());
    rows.push_back(std::move(*row));
    owners.push_back(i);
  }
  for (const tasks::Slice slice : tasks::cut(costs, tasks::kTokensPerRun)) {
    std::vector<Sequence> batch;
    batch.reserve(slice.end - slice.begin);
    for (std::size_t i = slice.begin; i < slice.end; ++i) batch.push_back(tasks::as_sequence(rows[i]));
    Request request;
    request.hidden_states = {data_->layers};
    request.rows = options.pooling == Pooling::kCls ? RowChoice::kFirst : RowChoice::kAll;
    request.aborted = control.aborted;
    Expected<Output> output =
        tasks::check_abort(control).and_then([&] { return data_->session->run(batch, request); });
    if (!output) {
      for (std::size_t i = slice.begin; i < rows.size(); ++i)
        answers[owners[i]] = tl::unexpected(output.error());
      break;
    }
    const Tensor& states = output->hidden_states.front();
    const std::size_t hidden = states.shape.back();
    std::span<const float> rest(states.data);
    for (std::size_t i = slice.begin; i < slice.end; ++i) {
      const std::size_t count = options.pooling == Pooling::kCls ? 1 : rows[i].size();
      answers[owners[i]] = pool(rest.first(count * hidden), hidden, options);
      rest = rest.subspan(count * hidden);
    }
    if (control.progress) control.progress(slice.end, rows.size());
  }
  return answers;
}

Expected<std::vector<float>> Tasks::embed(const TextInput& text, const EmbedOptions& options,
                                          const CallControl& control) {
  return std::move(embed_batch({&text, 1}, options, control).front());
}

}  // namespace bert
