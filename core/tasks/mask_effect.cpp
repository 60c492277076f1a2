// What happens without the attention mask: distances between hidden states computed with it and without it.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "tasks/data.h"

namespace bert {
namespace {

double distance(std::span<const float> a, std::span<const float> b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    squares += difference * difference;
  }
  return std::sqrt(squares);
}

std::span<const float> row_of(const Tensor& tensor, std::size_t row) {
  const std::size_t width = tensor.shape.back();
  return std::span<const float>(tensor.data).subspan(row * width, width);
}

}  // namespace

Expected<std::vector<MaskEffect>> Tasks::mask_effect(std::span<const TextInput> texts,
                                                     const CallControl& control) {
  if (texts.empty()) return fail(ErrorCode::kInvalidArgument, "no text to compare with and without the mask");
  std::vector<Encoding> rows;
  for (const TextInput& text : texts) {
    Expected<Encoding> row = data_->encode(text);
    if (!row) return tl::unexpected(row.error());
    rows.push_back(std::move(*row));
  }
  std::vector<MaskEffect> effects(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) effects[i].tokens = rows[i].size();
  EncodeOptions padding;
  padding.padding = Padding::kLongest;
  if (Status padded = data_->tokenizer->pad(rows, padding); !padded) {
    return tl::unexpected(padded.error());
  }
  Request request;
  for (std::size_t state = 0; state <= data_->layers; ++state) request.hidden_states.push_back(state);
  request.aborted = control.aborted;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    MaskEffect& effect = effects[i];
    effect.padding = rows[i].size() - effect.tokens;
    effect.per_layer.assign(data_->layers + 1, 0);
    effect.per_token.assign(data_->layers + 1, std::vector<double>(effect.tokens, 0));
    if (effect.padding > 0) {
      Sequence sequence = tasks::as_sequence(rows[i]);
      const Expected<Output> without = tasks::check_abort(control).and_then([&] {
        return data_->session->run({&sequence, 1}, request);
      });
      if (!without) return tl::unexpected(without.error());
      sequence.attention_mask = rows[i].attention_mask;
      const Expected<Output> with = data_->session->run({&sequence, 1}, request);
      if (!with) return tl::unexpected(with.error());
      for (const Output* output : {&*without, &*with})
        for (const Tensor& states : output->hidden_states)
          if (Status finite = check_finite(states.data, "hidden states"); !finite)
            return tl::unexpected(finite.error());
      for (std::size_t state = 0; state <= data_->layers; ++state) {
        for (std::size_t token = 0; token < effect.tokens; ++token) {
          effect.per_token[state][token] =
              distance(row_of(with->hidden_states[state], token),
                       row_of(without->hidden_states[state], with->rows[token].token));
        }
        effect.per_layer[state] = effect.per_token[state].front();
      }
      effect.cls_l2 = effect.per_layer.back();
    }
    if (control.progress) control.progress(i + 1, rows.size());
  }
  return effects;
}

Expected<std::vector<double>> Tasks::mask_effect_curve(const TextInput& text,
                                                       std::span<const std::size_t> paddings,
                                                       const CallControl& control) {
  const Expected<Encoding> row = data_->encode(text);
  if (!row) return tl::unexpected(row.error());
  for (const std::size_t padding : paddings) {
    if (padding > data_->max_tokens || row->size() + padding > data_->max_tokens) {
      return fail(ErrorCode::kTooLong, std::to_string(padding) + " padding tokens after the text's " +
                                           std::to_string(row->size()) + " are more than the model's " +
                                           std::to_string(data_->max_tokens) + " positions");
    }
  }
  // The first sequence is the text alone, which is what the mask leaves of every padded one.
  std::vector<std::vector<std::int32_t>> ids{row->ids}, types{row->type_ids};
  std::vector<std::size_t> costs{row->size()};
  for (const std::size_t padding : paddings) {
    ids.push_back(row->ids);
    ids.back().resize(row->size() + padding, data_->pad_id);
    types.push_back(row->type_ids);
    types.back().resize(row->size() + padding, 0);
    costs.push_back(row->size() + padding);
  }
  std::vector<double> distances;
  std::vector<float> masked;
  for (const tasks::Slice slice : tasks::cut(costs, data_->sizes.tokens)) {
    std::vector<Sequence> batch;
    batch.reserve(slice.end - slice.begin);
    for (std::size_t i = slice.begin; i < slice.end; ++i) {
      batch.push_back({.input_ids = ids[i], .token_type_ids = types[i]});
    }
    Request request;
    request.hidden_states = {data_->layers};
    request.rows = RowChoice::kFirst;
    request.aborted = control.aborted;
    const Expected<Output> output =
        tasks::check_abort(control).and_then([&] { return data_->session->run(batch, request); });
    if (!output) return tl::unexpected(output.error());
    if (Status finite = check_finite(output->hidden_states.front().data, "hidden states"); !finite)
      return tl::unexpected(finite.error());
    for (std::size_t i = slice.begin; i < slice.end; ++i) {
      const std::span<const float> cls = row_of(output->hidden_states.front(), i - slice.begin);
      if (i == 0) {
        masked.assign(cls.begin(), cls.end());
      } else {
        distances.push_back(ids[i].size() == row->size() ? 0 : distance(masked, cls));
      }
    }
    if (control.progress) control.progress(slice.end, ids.size());
  }
  return distances;
}

}  // namespace bert
