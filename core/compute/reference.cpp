// The reference backend: every operation as its formula says, sums in double, one thread.
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "bert/backend.h"
#include "compute/host.h"

namespace bert {
namespace {

using compute::HostBuffer;
using compute::HostNorm;
using compute::HostTable;
using compute::HostVector;
using compute::LinearRows;
using compute::row_of;

class ReferenceLinear : public Linear {
 public:
  std::size_t inputs() const override { return inputs_; }
  std::size_t outputs() const override { return outputs_; }
  std::size_t owned_bytes() const override { return (weights_.size() + bias_.size()) * sizeof(float); }

  static Expected<std::unique_ptr<Linear>> make(std::span<const LinearView> parts, Precision precision) {
    const auto rows = LinearRows::make(parts);
    if (!rows) return tl::unexpected(rows.error());
    auto linear = std::make_unique<ReferenceLinear>();
    linear->inputs_ = rows->inputs();
    linear->outputs_ = rows->outputs();
    linear->bias_ = rows->bias();
    linear->weights_.resize(linear->inputs_ * linear->outputs_);
    std::vector<std::int8_t> integers(linear->inputs_);
    std::vector<std::uint16_t> halves(linear->inputs_);
    for (std::size_t o = 0; o < linear->outputs_; ++o) {
      float* const weights = linear->weights_.data() + o * linear->inputs_;
      if (precision == Precision::kInt8) {
        float scale = 0;
        const std::int8_t* const row = rows->integers(o, integers.data(), &scale);
        if (const Status fine = compute::check_scale(scale); !fine) return tl::unexpected(fine.error());
        for (std::size_t i = 0; i < linear->inputs_; ++i) weights[i] = static_cast<float>(row[i]) * scale;
        continue;
      }
      const float* const row = rows->floats(o, weights);
      if (precision == Precision::kF16) {
        const Status held = compute::narrow_row(row, linear->inputs_, halves.data());
        if (!held) return tl::unexpected(held.error());
        for (std::size_t i = 0; i < linear->inputs_; ++i) weights[i] = base::half_to_float(halves[i]);
      } else if (row != weights) {
        std::memcpy(weights, row, linear->inputs_ * sizeof(float));
      }
    }
    return linear;
  }

  void run(const float* x, float* y) const {
    for (std::size_t o = 0; o < outputs_; ++o) {
      double sum = bias_[o];
      for (std::size_t i = 0; i < inputs_; ++i) sum += static_cast<double>(weights_[o * inputs_ + i]) * x[i];
      y[o] = static_cast<float>(sum);
    }
  }

 private:
  std::size_t inputs_ = 0, outputs_ = 0;
  std::vector<float> weights_, bias_;
};

double activated(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return 0.5 * x * std::erfc(-x * 0.70710678118654752440);
    case Activation::kGeluNew:
      return 0.5 * x * (1 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kTanh:
      return std::tanh(x);
  }
  return x;
}

void normalise_row(const HostNorm& norm, const std::vector<double>& x, float* output) {
  const double size = static_cast<double>(x.size());
  double mean = 0;
  for (const double value : x) mean += value;
  mean /= size;
  double variance = 0;
  for (const double value : x) variance += (value - mean) * (value - mean);
  const double factor = 1 / std::sqrt(variance / size + norm.epsilon());
  for (std::size_t i = 0; i < x.size(); ++i)
    output[i] = static_cast<float>((x[i] - mean) * factor * norm.gamma()[i] + norm.beta()[i]);
}

class ReferenceStream : public compute::HostStream {
 public:
  Status embed(const EmbeddingWeights& weights, std::span<const std::int32_t> ids,
               std::span<const std::int32_t> type_ids, std::span<const std::int32_t> position_ids, Rows sum,
               Rows output) override {
    const auto& words = static_cast<const HostTable&>(*weights.words).view();
    const auto& positions = static_cast<const HostTable&>(*weights.positions).view();
    const auto& types = static_cast<const HostTable&>(*weights.types).view();
    std::vector<float> word(words.columns), position(words.columns), type(words.columns);
    std::vector<double> total(words.columns);
    for (std::size_t r = 0; r < ids.size(); ++r) {
      compute::read_row(words, static_cast<std::size_t>(ids[r]), word.data());
      compute::read_row(positions, static_cast<std::size_t>(position_ids[r]), position.data());
      compute::read_row(types, static_cast<std::size_t>(type_ids[r]), type.data());
      for (std::size_t i = 0; i < total.size(); ++i) {
        total[i] = static_cast<double>(word[i]) + position[i] + type[i];
        if (sum.buffer != nullptr) row_of(sum, r)[i] = static_cast<float>(total[i]);
      }
      normalise_row(static_cast<const HostNorm&>(*weights.norm), total, row_of(output, r));
    }
    return {};
  }

  Status linear(const Linear& layer, Activation activation, std::size_t rows, Rows input,
                Rows output) override {
    for (std::size_t r = 0; r < rows; ++r) {
      float* y = row_of(output, r);
      static_cast<const ReferenceLinear&>(layer).run(row_of(input, r), y);
      for (std::size_t o = 0; o < layer.outputs(); ++o)
        y[o] = static_cast<float>(activated(activation, y[o]));
    }
    return {};
  }

  Status add_normalise(const LayerNorm& norm, std::size_t rows, Rows input, Rows residual,
                       Rows output) override {
    std::vector<double> total(norm.size());
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < total.size(); ++i) {
        total[i] = row_of(input, r)[i];
        if (residual.buffer != nullptr) total[i] += row_of(residual, r)[i];
      }
      normalise_row(static_cast<const HostNorm&>(norm), total, row_of(output, r));
    }
    return {};
  }

  Status attention(const AttentionCall& call) override {
    std::size_t taken = 0;
    for (const AttentionSequence& sequence : call.sequences) {
      const std::size_t keys = sequence.key_count;
      bool any = false;
      for (std::size_t j = 0; j < keys; ++j)
        any = any || call.key_visible.empty() || call.key_visible[sequence.key_row + j] != 0;
      std::vector<double> scores(keys), probabilities(keys);
      for (std::size_t h = 0; h < call.heads; ++h) {
        for (std::size_t i = 0; i < sequence.query_count; ++i, taken += keys) {
          const float* query = row_of(call.query, sequence.query_row + i) + h * call.head_size;
          double largest = -1e300;
          for (std::size_t j = 0; j < keys; ++j) {
            const float* key = row_of(call.key, sequence.key_row + j) + h * call.head_size;
            scores[j] = 0;
            for (std::size_t d = 0; d < call.head_size; ++d)
              scores[j] += static_cast<double>(query[d]) * key[d];
            scores[j] *= call.scale;
            if (call.scores != nullptr)
              static_cast<HostBuffer*>(call.scores)->data()[taken + j] = static_cast<float>(scores[j]);
            if (!any) scores[j] = 0;
            if (visible(call, sequence, j, any)) largest = std::max(largest, scores[j]);
          }
          double sum = 0;
          for (std::size_t j = 0; j < keys; ++j) {
            probabilities[j] = visible(call, sequence, j, any) ? std::exp(scores[j] - largest) : 0;
            sum += probabilities[j];
          }
          for (std::size_t j = 0; j < keys; ++j) {
            probabilities[j] /= sum;
            if (call.probabilities != nullptr)
              static_cast<HostBuffer*>(call.probabilities)->data()[taken + j] =
                  static_cast<float>(probabilities[j]);
          }
          float* context = row_of(call.context, sequence.query_row + i) + h * call.head_size;
          for (std::size_t d = 0; d < call.head_size; ++d) {
            double value = 0;
            for (std::size_t j = 0; j < keys; ++j)
              value += probabilities[j] * row_of(call.value, sequence.key_row + j)[h * call.head_size + d];
            context[d] = static_cast<float>(value);
          }
        }
      }
    }
    return {};
  }

  Status vocabulary(const Table& table, const Vector* bias, std::size_t rows, Rows input,
                    Rows output) override {
    const auto& view = static_cast<const HostTable&>(table).view();
    std::vector<float> entry(view.columns);
    for (std::size_t t = 0; t < view.rows; ++t) {
      compute::read_row(view, t, entry.data());
      for (std::size_t r = 0; r < rows; ++r) {
        double sum = bias == nullptr ? 0 : static_cast<const HostVector*>(bias)->data()[t];
        for (std::size_t i = 0; i < view.columns; ++i)
          sum += static_cast<double>(entry[i]) * row_of(input, r)[i];
        row_of(output, r)[t] = static_cast<float>(sum);
      }
    }
    return {};
  }

 private:
  static bool visible(const AttentionCall& call, const AttentionSequence& sequence, std::size_t key,
                      bool any) {
    return !any || call.key_visible.empty() || call.key_visible[sequence.key_row + key] != 0;
  }
};

class ReferenceBackend : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  std::string kernels() const override { return "plain loops, sums in double"; }
  std::size_t threads() const override { return 1; }
  std::size_t int8_input_steps() const override { return 0; }
  Expected<std::unique_ptr<Table>> make_table(const WeightView& source, Precision precision,
                                              TableBytes bytes) override {
    return HostTable::make(source, precision, bytes);
  }
  Expected<std::unique_ptr<Linear>> make_linear(std::span<const LinearView> parts,
                                                Precision precision) override {
    return ReferenceLinear::make(parts, precision);
  }
  Expected<std::unique_ptr<Vector>> make_vector(const WeightView& source) override {
    return HostVector::make(source);
  }
  Expected<std::unique_ptr<LayerNorm>> make_layer_norm(const WeightView& gamma, const WeightView& beta,
                                                       float epsilon) override {
    return HostNorm::make(gamma, beta, epsilon);
  }
  Expected<std::unique_ptr<Stream>> make_stream() override { return std::make_unique<ReferenceStream>(); }
};

}  // namespace

std::shared_ptr<Backend> make_reference_backend() {
  return std::make_shared<ReferenceBackend>();
}

}  // namespace bert
