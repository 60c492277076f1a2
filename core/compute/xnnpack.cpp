// The XNNPACK backend: chooses for each linear layer between XNNPACK's operators and our own products
// (linear.h), and does the rest with our kernels.
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "bert/backend.h"
#include "compute/host.h"
#include "compute/kernels.h"
#include "compute/linear.h"
#include "compute/machine.h"
#include "compute/threads.h"
#include "compute/workspace.h"

namespace bert {
namespace {

using compute::HostNorm;
using compute::HostTable;
using compute::HostVector;
using compute::Kernels;
using compute::LinearRows;
using compute::row_of;
using compute::Threads;

class XnnStream : public compute::HostStream {
 public:
  XnnStream(const Kernels& kernels, const Threads& threads) : space_{kernels, threads} {}

  Status embed(const EmbeddingWeights& weights, std::span<const std::int32_t> ids,
               std::span<const std::int32_t> type_ids, std::span<const std::int32_t> position_ids, Rows sum,
               Rows output) override {
    const WeightView& words = static_cast<const HostTable&>(*weights.words).view();
    const WeightView& positions = static_cast<const HostTable&>(*weights.positions).view();
    const WeightView& types = static_cast<const HostTable&>(*weights.types).view();
    const auto& norm = static_cast<const HostNorm&>(*weights.norm);
    const std::size_t columns = words.columns;
    const std::size_t size = space_.threads.count() * columns * sizeof(float);
    if (const Status done = compute::reserve(space_.scratch, size); !done) return done;
    space_.threads.in_parallel(ids.size(), 16, [&](std::size_t begin, std::size_t end, std::size_t thread) {
      float* part = space_.scratch.floats() + thread * columns;
      for (std::size_t r = begin; r < end; ++r) {
        float* row = row_of(output, r);
        compute::read_row(words, static_cast<std::size_t>(ids[r]), row);
        compute::read_row(positions, static_cast<std::size_t>(position_ids[r]), part);
        for (std::size_t i = 0; i < columns; ++i) row[i] += part[i];
        compute::read_row(types, static_cast<std::size_t>(type_ids[r]), part);
        for (std::size_t i = 0; i < columns; ++i) row[i] += part[i];
        if (sum.buffer != nullptr) std::memcpy(row_of(sum, r), row, columns * sizeof(float));
        space_.kernels.normalise(row, nullptr, norm.gamma(), norm.beta(), norm.epsilon(), columns, row);
      }
    });
    return {};
  }

  Status linear(const Linear& layer, Activation activation, std::size_t rows, Rows input,
                Rows output) override {
    if (rows == 0) return {};
    return static_cast<const compute::PackedLinear&>(layer).run({activation, rows, input, output}, space_);
  }

  Status add_normalise(const LayerNorm& norm, std::size_t rows, Rows input, Rows residual,
                       Rows output) override {
    const auto& host = static_cast<const HostNorm&>(norm);
    space_.threads.in_parallel(rows, 16, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t r = begin; r < end; ++r)
        space_.kernels.normalise(row_of(input, r), residual.buffer == nullptr ? nullptr : row_of(residual, r),
                                 host.gamma(), host.beta(), host.epsilon(), host.size(), row_of(output, r));
    });
    return {};
  }

  Status attention(const AttentionCall& call) override {
    std::size_t longest = 0;
    std::vector<std::size_t> matrices;  // where the sequence's probabilities begin
    std::size_t taken = 0;
    for (const AttentionSequence& sequence : call.sequences) {
      longest = sequence.key_count > longest ? sequence.key_count : longest;
      matrices.push_back(taken);
      taken += call.heads * sequence.query_count * sequence.key_count;
    }
    const std::size_t each = compute::attention_scratch(longest, call.head_size);
    const std::size_t size = space_.threads.count() * each * sizeof(float);
    if (const Status done = compute::reserve(space_.scratch, size); !done) return done;
    space_.threads.in_parallel(
        call.sequences.size() * call.heads, 1, [&](std::size_t begin, std::size_t, std::size_t thread) {
          const std::size_t s = begin / call.heads;
          const std::size_t h = begin % call.heads;
          const AttentionSequence& sequence = call.sequences[s];
          if (sequence.query_count == 0) return;
          const std::size_t column = h * call.head_size;
          const std::size_t matrix = matrices[s] + h * sequence.query_count * sequence.key_count;
          const auto tap = [matrix](Buffer* buffer) {
            return buffer == nullptr ? nullptr : static_cast<compute::HostBuffer*>(buffer)->data() + matrix;
          };
          compute::AttentionHead head{};
          head.query = row_of(call.query, sequence.query_row) + column;
          head.key = row_of(call.key, sequence.key_row) + column;
          head.value = row_of(call.value, sequence.key_row) + column;
          head.context = row_of(call.context, sequence.query_row) + column;
          head.query_stride = call.query.stride;
          head.key_stride = call.key.stride;
          head.value_stride = call.value.stride;
          head.context_stride = call.context.stride;
          head.queries = sequence.query_count;
          head.keys = sequence.key_count;
          head.head_size = call.head_size;
          head.scale = call.scale;
          head.visible = call.key_visible.empty() ? nullptr : call.key_visible.data() + sequence.key_row;
          head.probabilities = tap(call.probabilities);
          head.scores = tap(call.scores);
          head.scratch = space_.scratch.floats() + thread * each;
          space_.kernels.attend(head);
        });
    return {};
  }

  Status vocabulary(const Table& table, const Vector* bias, std::size_t rows, Rows input,
                    Rows output) override {
    if (rows == 0) return {};
    const WeightView& view = static_cast<const HostTable&>(table).view();
    space_.threads.in_parallel(view.rows, 256, [&](std::size_t begin, std::size_t end, std::size_t) {
      compute::TableProduct product{};
      product.type = view.type;
      product.table = view.data;
      product.scales = view.scales;
      product.bias = bias == nullptr ? nullptr : static_cast<const HostVector*>(bias)->data();
      product.columns = view.columns;
      product.first = begin;
      product.last = end;
      product.input = row_of(input, 0);
      product.input_stride = input.stride;
      product.rows = rows;
      product.output = row_of(output, 0);
      product.output_stride = output.stride;
      space_.kernels.table_product(product);
    });
    return {};
  }

 private:
  compute::Workspace space_;
};

class XnnBackend : public Backend {
 public:
  XnnBackend(const Kernels& kernels, bool own_int8, Threads threads)
      : kernels_(kernels), own_int8_(own_int8), threads_(std::move(threads)) {}

  std::string_view name() const override { return "xnnpack"; }
  std::string kernels() const override {
    const auto whose = [this](Precision precision) { return own(precision) ? "bertlens" : "XNNPACK"; };
    return std::string("f32 ") + whose(Precision::kF32) + ", int8 " + whose(Precision::kInt8) + ", simd " +
           kernels_.name;
  }
  std::size_t threads() const override { return threads_.count(); }
  std::size_t int8_input_steps() const override {
    return compute::kRelaxedDots ? compute::kRelaxedSteps
           : paired()            ? compute::kPairedSteps
                                 : compute::kByteSteps;
  }
  Expected<std::unique_ptr<Table>> make_table(const WeightView& source, Precision precision,
                                              TableBytes bytes) override {
    return HostTable::make(source, precision, bytes);
  }
  Expected<std::unique_ptr<Linear>> make_linear(std::span<const LinearView> parts,
                                                Precision precision) override {
    const auto rows = LinearRows::make(parts);
    if (!rows) return tl::unexpected(rows.error());
    const bool int8 = precision == Precision::kInt8;
    if constexpr (compute::kRelaxedDots)
      if (int8) return compute::make_relaxed_linear(*rows, threads_);
    if constexpr (compute::kDotProducts) {
      if (int8 && kernels_.product_bytes != nullptr) return compute::make_byte_linear(*rows, threads_);
      if (int8 && paired()) return compute::make_paired_linear(*rows, threads_);
    }
    return own(precision) ? compute::make_panel_linear(*rows, precision, kernels_, threads_)
                          : compute::make_xnn_linear(*rows, precision, threads_);
  }
  Expected<std::unique_ptr<Vector>> make_vector(const WeightView& source) override {
    return HostVector::make(source);
  }
  Expected<std::unique_ptr<LayerNorm>> make_layer_norm(const WeightView& gamma, const WeightView& beta,
                                                       float epsilon) override {
    return HostNorm::make(gamma, beta, epsilon);
  }
  Expected<std::unique_ptr<Stream>> make_stream() override {
    return std::make_unique<XnnStream>(kernels_, threads_);
  }

 private:
  /// Whether layers of that precision are for products of ours.
  bool own(Precision precision) const {
    if (precision == Precision::kF16) return true;
    if (precision == Precision::kF32) return kernels_.product_f32 != nullptr;
    return own_int8_ || compute::kRelaxedDots || (compute::kDotProducts && kernels_.product_bytes != nullptr);
  }
  bool paired() const { return compute::kDotProducts && own_int8_ && kernels_.product_paired != nullptr; }

  const Kernels& kernels_;
  bool own_int8_;  // whether int8 layers are for our kernels
  Threads threads_;
};

}  // namespace

Expected<std::shared_ptr<Backend>> make_xnnpack_backend(std::size_t threads, std::string_view simd) {
  if (const Status done = compute::start_xnnpack(); !done) return tl::unexpected(done.error());
  const Kernels* kernels = nullptr;
  std::string known;
  for (const Kernels* const* entry = compute::available_kernels(); *entry != nullptr && kernels == nullptr;
       ++entry) {
    if (simd.empty() || simd == (*entry)->name) kernels = *entry;
    known += std::string(known.empty() ? "" : ", ") + (*entry)->name;
  }
  if (kernels == nullptr)
    return fail(ErrorCode::kUnsupported,
                "no kernels \"" + std::string(simd) + "\" on this machine, only " + known);
  auto workers = Threads::make(threads == 0 ? usable_cores() : threads);
  if (!workers) return tl::unexpected(workers.error());
  // a set that was asked for by name is what is to be measured or tested, better or not
  const bool own_int8 = (kernels->product_int8 != nullptr || kernels->product_paired != nullptr) &&
                        (!simd.empty() || !compute::has_int8_dot_products());
  return std::make_shared<XnnBackend>(*kernels, own_int8, std::move(*workers));
}

}  // namespace bert
