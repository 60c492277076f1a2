// The XNNPACK backend: its fully-connected operators for the linear layers where they are better than our own
// kernels, and those for the rest. Also the only file of the core that includes the library.
#include <xnnpack.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <type_traits>
#include <utility>

#include "bert/backend.h"
#include "compute/byte_dots.h"
#include "compute/host.h"
#include "compute/kernels.h"
#include "compute/machine.h"
#include "compute/paired_dots.h"
#include "compute/panels.h"
#include "compute/relaxed_dots.h"
#include "compute/threads.h"

namespace bert {
namespace {

using compute::AlignedBytes;
using compute::ByteDots;
using compute::HostNorm;
using compute::HostTable;
using compute::HostVector;
using compute::Kernels;
using compute::LinearRows;
using compute::PairedDots;
using compute::RelaxedDots;
using compute::row_of;
using compute::StackedLinear;
using compute::Threads;

/// Whether XNNPACK was built with its int8 operators: not for WebAssembly, where ours are better.
constexpr bool kXnnInt8 = BERT_XNNPACK_INT8 != 0;

/// Whether a set of kernels has products of pairs or of bytes; elsewhere, in WebAssembly above all, nothing
/// of them is linked.
#if defined(__x86_64__) || defined(__i386__)
constexpr bool kDotProducts = true;
#else
constexpr bool kDotProducts = false;
#endif

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct DeleteOperator {
  void operator()(xnn_operator_t handle) const { xnn_delete_operator(handle); }
};
using Operator = std::unique_ptr<xnn_operator, DeleteOperator>;

Status checked(xnn_status status, const char* what) {
  switch (status) {
    case xnn_status_success:
      return {};
    case xnn_status_out_of_memory:
      return fail(ErrorCode::kOutOfMemory, std::string("XNNPACK: no memory to ") + what);
    case xnn_status_unsupported_hardware:
      return fail(ErrorCode::kUnsupported, std::string("XNNPACK cannot ") + what + " on this machine");
    default:
      return fail(ErrorCode::kInternal, std::string("XNNPACK failed to ") + what + " (status " +
                                            std::to_string(static_cast<int>(status)) + ")");
  }
}

/// A linear layer in one of five forms.
class AnyLinear : public Linear {
 public:
  /// Null but for PanelLinear.
  virtual const compute::Panels* panels() const { return nullptr; }
  /// Null but for a DotLinear of that kind.
  virtual const RelaxedDots* dots() const { return nullptr; }
  virtual const PairedDots* pairs() const { return nullptr; }
  virtual const ByteDots* bytes() const { return nullptr; }
};

/// Packs all panels of a layer; the first error. What `pack` runs out of it must return as one: it runs on
/// threads of a library in C, which an exception cannot leave.
template <class Packed>
Status pack_all(Packed& packed, const LinearRows& rows, const Threads& threads) {
  std::vector<Status> results(packed.count());
  threads.in_parallel(packed.count(), 1, [&](std::size_t index, std::size_t, std::size_t) {
    results[index] = packed.pack(rows, index);
  });
  for (const Status& done : results)
    if (!done) return done;
  return {};
}

/// A layer for our own kernels.
class PanelLinear : public AnyLinear {
 public:
  std::size_t inputs() const override { return inputs_; }
  std::size_t outputs() const override { return panels_.outputs(); }
  std::size_t owned_bytes() const override { return panels_.owned_bytes(); }
  const compute::Panels* panels() const override { return &panels_; }

  static Expected<std::unique_ptr<Linear>> make(const LinearRows& rows, Precision precision,
                                                const Kernels& kernels, const Threads& threads) {
    auto panels = compute::Panels::make(rows, precision, kernels.panel);
    if (!panels) return tl::unexpected(panels.error());
    if (const Status done = pack_all(*panels, rows, threads); !done) return tl::unexpected(done.error());
    return std::make_unique<PanelLinear>(rows.inputs(), std::move(*panels));
  }
  PanelLinear(std::size_t inputs, compute::Panels panels) : inputs_(inputs), panels_(std::move(panels)) {}

 private:
  std::size_t inputs_;
  compute::Panels panels_;
};

/// An int8 layer for a product of ours: on RelaxedDots, PairedDots or ByteDots.
template <class Dots>
class DotLinear : public AnyLinear {
 public:
  std::size_t inputs() const override { return inputs_; }
  std::size_t outputs() const override { return dots_.outputs(); }
  std::size_t owned_bytes() const override { return dots_.owned_bytes(); }
  const RelaxedDots* dots() const override { return as<RelaxedDots>(); }
  const PairedDots* pairs() const override { return as<PairedDots>(); }
  const ByteDots* bytes() const override { return as<ByteDots>(); }

  static Expected<std::unique_ptr<Linear>> make(const LinearRows& rows, const Threads& threads) {
    auto dots = Dots::make(rows);
    if (!dots) return tl::unexpected(dots.error());
    if (const Status done = pack_all(*dots, rows, threads); !done) return tl::unexpected(done.error());
    return std::make_unique<DotLinear>(rows.inputs(), std::move(*dots));
  }
  DotLinear(std::size_t inputs, Dots dots) : inputs_(inputs), dots_(std::move(dots)) {}

 private:
  template <class Wanted>
  const Wanted* as() const {
    if constexpr (std::is_same_v<Wanted, Dots>) return &dots_;
    return nullptr;
  }

  std::size_t inputs_;
  Dots dots_;
};

/// Bytes of packed weights that one operator holds. A layer is a row of operators on some of its outputs
/// each: all rows of the input pass through one before the next, so that its weights are read from memory
/// once and then from the cache. An operator is also what one of several threads takes.
constexpr std::size_t kChunkBytes = std::size_t{512} << 10;
/// Outputs of one operator are a multiple of this, the widest tile of XNNPACK's kernels.
constexpr std::size_t kChunkColumns = 64;

/// A layer for XNNPACK's operators, f32 or int8. XNNPACK packs weights when it creates an operator, and an
/// operator serves one caller at a time; so the packed bytes are kept here, handed out through a weights
/// cache, and each stream creates operators of its own on them.
class XnnLinear : public AnyLinear {
 public:
  std::size_t inputs() const override { return inputs_; }
  std::size_t outputs() const override { return outputs_; }
  std::size_t owned_bytes() const override { return packed_.size(); }
  Precision precision() const { return precision_; }
  std::uint64_t id() const { return id_; }
  /// Outputs of each operator but the last.
  std::size_t chunk() const { return chunk_; }
  std::size_t chunks() const { return (outputs_ + chunk_ - 1) / chunk_; }

  static Expected<std::unique_ptr<Linear>> make(const LinearRows& rows, Precision precision,
                                                const Threads& threads) {
    const auto stacked = StackedLinear::make(rows, precision);
    if (!stacked) return tl::unexpected(stacked.error());
    for (const float scale : stacked->scales)
      if (const Status done = compute::check_scale(scale); !done) return tl::unexpected(done.error());
    auto linear = std::make_unique<XnnLinear>();
    linear->inputs_ = rows.inputs();
    linear->outputs_ = rows.outputs();
    linear->precision_ = precision;
    const std::size_t element = precision == Precision::kInt8 ? sizeof(std::int8_t) : sizeof(float);
    const std::size_t pieces =
        std::max(rows.inputs() * rows.outputs() * element / kChunkBytes + 1, threads.pieces());
    const std::size_t columns = (rows.outputs() + pieces - 1) / pieces;
    linear->chunk_ = (columns + kChunkColumns - 1) / kChunkColumns * kChunkColumns;
    for (std::size_t index = 0; index < linear->chunks(); ++index) {
      const auto packing = linear->make_operator(index, &*stacked, rows.bias().data());
      if (!packing) return tl::unexpected(packing.error());
    }
    return linear;
  }

  /// A new operator of a chunk. With `source` it packs that chunk's weights, else it takes those packed
  /// before.
  Expected<Operator> make_operator(std::size_t index, const StackedLinear* source = nullptr,
                                   const float* biases = nullptr) const {
    // XNNPACK keeps the pointer to the cache, and asks it for the address whenever an operator is shaped
    Entry& entry = entry_of(index, source != nullptr);
    const std::size_t first = index * chunk_;
    const std::size_t columns = outputs_ - first < chunk_ ? outputs_ - first : chunk_;
    const float* bias = biases == nullptr ? nullptr : biases + first;
    xnn_operator_t handle = nullptr;
    const bool int8 = kXnnInt8 && precision_ == Precision::kInt8;
    const xnn_status status = int8 ? xnn_create_fully_connected_nc_qd8_f32_qc8w(
                                         inputs_, columns, inputs_, outputs_,
                                         source == nullptr ? nullptr : source->scales.data() + first,
                                         source == nullptr ? nullptr : source->integers + first * inputs_,
                                         bias, -kInfinity, kInfinity, 0, nullptr, &entry.provider, &handle)
                                   : xnn_create_fully_connected_nc_f32(
                                         inputs_, columns, inputs_, outputs_,
                                         source == nullptr ? nullptr : source->weights + first * inputs_,
                                         bias, -kInfinity, kInfinity, 0, nullptr, &entry.provider, &handle);
    Operator made(handle);
    if (const Status done = checked(status, "create a linear layer"); !done)
      return tl::unexpected(done.error());
    return made;
  }

 private:
  /// A weights cache with one entry: the packed bytes of one chunk.
  struct Entry {
    explicit Entry(XnnLinear* owner, std::size_t number) : layer(owner), index(number) {}
    XnnLinear* layer;
    std::size_t index;
    std::byte* bytes = nullptr;
    xnn_weights_cache_provider provider{
        this,
        [](void* self, const xnn_weights_cache_look_up_key*) {
          return static_cast<Entry*>(self)->bytes == nullptr ? SIZE_MAX : std::size_t{0};
        },
        [](void* self, std::size_t size) -> void* {
          Entry& entry = *static_cast<Entry*>(self);
          return entry.bytes = entry.layer->reserve(entry.index, size);
        },
        [](void*, const xnn_weights_cache_look_up_key*, void*, std::size_t) { return std::size_t{0}; },
        [](void*) { return true; },
        [](void* self, std::size_t) -> void* { return static_cast<Entry*>(self)->bytes; },
        [](void*) { return xnn_status_success; },
    };
  };

  Entry& entry_of(std::size_t index, bool create) const {
    if (create) entries_.push_back(std::make_unique<Entry>(const_cast<XnnLinear*>(this), index));
    return *entries_[index];
  }

  /// Room for chunk `index`: the first one tells how much each takes.
  std::byte* reserve(std::size_t index, std::size_t size) {
    if (index == 0) {
      stride_ = size;
      packed_ = AlignedBytes(size * chunks() + XNN_EXTRA_BYTES);
    }
    return packed_.data() == nullptr || size > stride_ ? nullptr : packed_.data() + index * stride_;
  }

  std::size_t inputs_ = 0, outputs_ = 0;
  Precision precision_ = Precision::kF32;
  std::size_t chunk_ = kChunkColumns;
  std::size_t stride_ = 0;  // bytes from one packed chunk to the next
  AlignedBytes packed_;
  mutable std::vector<std::unique_ptr<Entry>> entries_;  // complete once the layer is made
  const std::uint64_t id_ = next_id();

  static std::uint64_t next_id() {
    static std::atomic<std::uint64_t> next{0};
    return next++;
  }
};

class XnnStream : public compute::HostStream {
 public:
  XnnStream(const Kernels& kernels, const Threads& threads) : kernels_(kernels), threads_(threads) {}

  Status embed(const EmbeddingWeights& weights, std::span<const std::int32_t> ids,
               std::span<const std::int32_t> type_ids, std::span<const std::int32_t> position_ids, Rows sum,
               Rows output) override {
    const WeightView& words = static_cast<const HostTable&>(*weights.words).view();
    const WeightView& positions = static_cast<const HostTable&>(*weights.positions).view();
    const WeightView& types = static_cast<const HostTable&>(*weights.types).view();
    const auto& norm = static_cast<const HostNorm&>(*weights.norm);
    const std::size_t columns = words.columns;
    if (const Status done = reserve(scratch_, threads_.count() * columns * sizeof(float)); !done) return done;
    threads_.in_parallel(ids.size(), 16, [&](std::size_t begin, std::size_t end, std::size_t thread) {
      float* part = scratch_.floats() + thread * columns;
      for (std::size_t r = begin; r < end; ++r) {
        float* row = row_of(output, r);
        compute::read_row(words, static_cast<std::size_t>(ids[r]), row);
        compute::read_row(positions, static_cast<std::size_t>(position_ids[r]), part);
        for (std::size_t i = 0; i < columns; ++i) row[i] += part[i];
        compute::read_row(types, static_cast<std::size_t>(type_ids[r]), part);
        for (std::size_t i = 0; i < columns; ++i) row[i] += part[i];
        if (sum.buffer != nullptr) std::memcpy(row_of(sum, r), row, columns * sizeof(float));
        kernels_.normalise(row, nullptr, norm.gamma(), norm.beta(), norm.epsilon(), columns, row);
      }
    });
    return {};
  }

  Status linear(const Linear& layer, Activation activation, std::size_t rows, Rows input,
                Rows output) override {
    if (rows == 0) return {};
    if (const compute::Panels* panels = static_cast<const AnyLinear&>(layer).panels())
      return linear_panels(*panels, layer.inputs(), activation, rows, input, output);
    if (const RelaxedDots* dots = static_cast<const AnyLinear&>(layer).dots())
      return linear_dots(*dots, activation, rows, input, output);
    if constexpr (kDotProducts) {
      if (const PairedDots* pairs = static_cast<const AnyLinear&>(layer).pairs())
        return linear_pairs(*pairs, layer.inputs(), activation, rows, input, output);
      if (const ByteDots* bytes = static_cast<const AnyLinear&>(layer).bytes())
        return linear_bytes(*bytes, layer.inputs(), activation, rows, input, output);
    }
    const auto& xnn_layer = static_cast<const XnnLinear&>(layer);
    if (kXnnInt8 && xnn_layer.precision() == Precision::kInt8)
      if (const Status done = quantise(rows, layer.inputs(), input); !done) return done;
    const auto operators = operators_of(xnn_layer);
    if (!operators) return tl::unexpected(operators.error());
    std::atomic<int> failure{xnn_status_success};
    threads_.in_parallel(xnn_layer.chunks(), 1, [&](std::size_t index, std::size_t, std::size_t) {
      const std::size_t first = index * xnn_layer.chunk();
      const std::size_t rest = layer.outputs() - first;
      float* target = row_of(output, 0) + first;
      const xnn_status status =
          run((*operators)[index].get(), xnn_layer.precision(), rows, row_of(input, 0), target);
      if (status != xnn_status_success) failure = status;
      if (activation == Activation::kNone) return;
      kernels_.activate(activation, target, output.stride, rows,
                        rest < xnn_layer.chunk() ? rest : xnn_layer.chunk());
    });
    return checked(static_cast<xnn_status>(failure.load()), "run a linear layer");
  }

  Status add_normalise(const LayerNorm& norm, std::size_t rows, Rows input, Rows residual,
                       Rows output) override {
    const auto& host = static_cast<const HostNorm&>(norm);
    threads_.in_parallel(rows, 16, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t r = begin; r < end; ++r)
        kernels_.normalise(row_of(input, r), residual.buffer == nullptr ? nullptr : row_of(residual, r),
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
    if (const Status done = reserve(scratch_, threads_.count() * each * sizeof(float)); !done) return done;
    threads_.in_parallel(
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
          head.scratch = scratch_.floats() + thread * each;
          kernels_.attend(head);
        });
    return {};
  }

  Status vocabulary(const Table& table, const Vector* bias, std::size_t rows, Rows input,
                    Rows output) override {
    if (rows == 0) return {};
    const WeightView& view = static_cast<const HostTable&>(table).view();
    threads_.in_parallel(view.rows, 256, [&](std::size_t begin, std::size_t end, std::size_t) {
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
      kernels_.table_product(product);
    });
    return {};
  }

 private:
  Expected<std::span<const Operator>> operators_of(const XnnLinear& layer) {
    std::vector<Operator>& operators = operators_[layer.id()];
    while (operators.size() < layer.chunks()) {
      auto made = layer.make_operator(operators.size());
      if (!made) return tl::unexpected(made.error());
      operators.push_back(std::move(*made));
    }
    return operators;
  }

  /// One operator on all rows, on the calling thread. Int8: on the rows that `quantise` left.
  xnn_status run(xnn_operator_t handle, Precision precision, std::size_t rows, const float* input,
                 float* output) const {
    const bool int8 = kXnnInt8 && precision == Precision::kInt8;
    xnn_status status = int8 ? xnn_reshape_fully_connected_nc_qd8_f32_qc8w(handle, rows, nullptr)
                             : xnn_reshape_fully_connected_nc_f32(handle, rows, nullptr);
    if (status != xnn_status_success) return status;
    status = int8 ? xnn_setup_fully_connected_nc_qd8_f32_qc8w(
                        handle, reinterpret_cast<std::int8_t*>(quantised_.data()), output, row_params())
                  : xnn_setup_fully_connected_nc_f32(handle, input, output);
    return status != xnn_status_success ? status : xnn_run_operator(handle, nullptr);
  }

  xnn_quantization_params* row_params() const {
    return reinterpret_cast<xnn_quantization_params*>(row_params_.data());
  }

  /// Rows as int8 into `quantised_`, the zero point and scale of each into `row_params_`.
  Status quantise(std::size_t rows, std::size_t inputs, Rows input) {
    while (converts_.size() < threads_.count()) {
      xnn_operator_t made = nullptr;
      const Status done = checked(xnn_create_convert_nc_f32_qd8(0, &made), "create a conversion to int8");
      if (!done) return done;
      converts_.emplace_back(made);
    }
    if (const Status done = reserve(quantised_, rows * inputs + XNN_EXTRA_BYTES); !done) return done;
    const std::size_t all = rows + XNN_EXTRA_QUANTIZATION_PARAMS;
    if (const Status done = reserve(row_params_, all * sizeof(xnn_quantization_params)); !done) return done;
    auto* const values = reinterpret_cast<std::int8_t*>(quantised_.data());
    std::atomic<int> failure{xnn_status_success};
    constexpr std::size_t kRows = 16;
    threads_.in_parallel(rows, kRows, [&](std::size_t begin, std::size_t end, std::size_t thread) {
      const xnn_operator_t convert = converts_[thread].get();
      // XNNPACK repeats the last row's parameters behind it, which may be another piece's place
      xnn_quantization_params params[kRows + XNN_EXTRA_QUANTIZATION_PARAMS];
      const std::size_t count = end - begin;
      xnn_status status = xnn_reshape_convert_nc_f32_qd8(convert, count, inputs, inputs, inputs, nullptr);
      if (status == xnn_status_success)
        status = xnn_setup_convert_nc_f32_qd8(convert, row_of(input, begin), values + begin * inputs, params);
      if (status == xnn_status_success) status = xnn_run_operator(convert, nullptr);
      if (status != xnn_status_success) failure = status;
      const std::size_t kept = end == rows ? count + XNN_EXTRA_QUANTIZATION_PARAMS : count;
      std::memcpy(row_params() + begin, params, kept * sizeof(params[0]));
    });
    return checked(static_cast<xnn_status>(failure.load()), "convert to int8");
  }

  Status linear_panels(const compute::Panels& panels, std::size_t inputs, Activation activation,
                       std::size_t rows, Rows input, Rows output) {
    const bool int8 = panels.precision() == Precision::kInt8;
    const std::size_t stride = (inputs + 1) / 2 * 2;  // of the quantised rows
    if (int8) {
      if (const Status done = reserve(quantised_, rows * stride * sizeof(std::int16_t)); !done) return done;
      if (const Status done = reserve(row_params_, rows * sizeof(float)); !done) return done;
      threads_.in_parallel(rows, 16, [&](std::size_t begin, std::size_t end, std::size_t) {
        for (std::size_t r = begin; r < end; ++r)
          kernels_.quantise(row_of(input, r), inputs, steps() + r * stride, row_params_.floats() + r);
      });
    } else if (const Status done =
                   reserve(scratch_, threads_.count() * compute::kPanelScratch * sizeof(float));
               !done) {
      return done;
    }
    for_each_piece(panels.outputs(), rows, [&](const Piece& piece, std::size_t thread) {
      const auto [first, columns, begin, end] = piece;
      const auto run = [&](auto product, auto kernel) {
        product.rows = end - begin;
        product.output = row_of(output, begin) + first;
        product.output_stride = output.stride;
        product.activation = activation;
        kernel(product);
      };
      if (int8) {
        compute::Int8Product product = panels.integers(first, columns);
        product.input = steps() + begin * stride;
        product.input_stride = stride;
        product.input_scales = row_params_.floats() + begin;
        return run(product, kernels_.product_int8);
      }
      compute::PanelProduct product = panels.floats(first, columns);
      product.input = row_of(input, begin);
      product.input_stride = input.stride;
      product.scratch = scratch_.floats() + thread * compute::kPanelScratch;
      run(product, panels.precision() == Precision::kF16 ? kernels_.product_f16 : kernels_.product_f32);
    });
    return {};
  }

  Status linear_dots(const RelaxedDots& dots, Activation activation, std::size_t rows, Rows input,
                     Rows output) {
    const std::size_t bytes = dots.row_bytes();
    if (const Status done = reserve(quantised_, rows * bytes); !done) return done;
    threads_.in_parallel(rows, 16, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t r = begin; r < end; ++r)
        dots.quantise(row_of(input, r), quantised_.data() + r * bytes);
    });
    for_each_piece(dots.outputs(), rows, [&](const Piece& piece, std::size_t) {
      float* const target = row_of(output, piece.begin) + piece.first;
      const std::size_t count = piece.end - piece.begin;
      dots.product(quantised_.data() + piece.begin * bytes, count, piece.first, piece.columns, target,
                   output.stride);
      kernels_.activate(activation, target, output.stride, count, piece.columns);
    });
    return {};
  }

  Status linear_pairs(const PairedDots& pairs, std::size_t inputs, Activation activation, std::size_t rows,
                      Rows input, Rows output) {
    using compute::PairedInputs;
    const std::size_t groups = pairs.groups();
    if (const Status done = reserve(quantised_, rows * groups * sizeof(PairedInputs)); !done) return done;
    auto* const quantised = reinterpret_cast<PairedInputs*>(quantised_.data());
    threads_.in_parallel(rows, 16, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t r = begin; r < end; ++r)
        kernels_.quantise_paired(row_of(input, r), inputs, quantised + r * groups);
    });
    for_each_piece(pairs.outputs(), rows, [&](const Piece& piece, std::size_t) {
      compute::PairedProduct product = pairs.product(piece.first, piece.columns);
      product.input = quantised + piece.begin * groups;
      product.rows = piece.end - piece.begin;
      product.output = row_of(output, piece.begin) + piece.first;
      product.output_stride = output.stride;
      product.activation = activation;
      kernels_.product_paired(product);
    });
    return {};
  }

  Status linear_bytes(const ByteDots& bytes, std::size_t inputs, Activation activation, std::size_t rows,
                      Rows input, Rows output) {
    const std::size_t stride = 4 * bytes.fours();
    if (const Status done = reserve(quantised_, rows * stride); !done) return done;
    if (const Status done = reserve(row_params_, rows * (sizeof(float) + sizeof(std::int32_t))); !done)
      return done;
    auto* const quantised = reinterpret_cast<std::uint8_t*>(quantised_.data());
    float* const steps = row_params_.floats();
    auto* const zeros = reinterpret_cast<std::int32_t*>(row_params_.data() + rows * sizeof(float));
    threads_.in_parallel(rows, 16, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t r = begin; r < end; ++r)
        kernels_.quantise_bytes(row_of(input, r), inputs, quantised + r * stride, steps + r, zeros + r);
    });
    for_each_piece(bytes.outputs(), rows, [&](const Piece& piece, std::size_t) {
      compute::ByteProduct product = bytes.product(piece.first, piece.columns);
      product.input = quantised + piece.begin * stride;
      product.input_stride = stride;
      product.steps = steps + piece.begin;
      product.zeros = zeros + piece.begin;
      product.rows = piece.end - piece.begin;
      product.output = row_of(output, piece.begin) + piece.first;
      product.output_stride = output.stride;
      product.activation = activation;
      kernels_.product_bytes(product);
    });
    return {};
  }

  /// Some outputs and some rows of a product.
  struct Piece {
    std::size_t first, columns;  // outputs
    std::size_t begin, end;      // rows
  };
  /// work(piece, thread) for the pieces of a product: as large as the caches and the number of threads allow.
  template <class Work>
  void for_each_piece(std::size_t outputs, std::size_t rows, const Work& work) {
    using compute::kPanelColumns;
    const auto divide_up = [](std::size_t a, std::size_t b) { return (a + b - 1) / b; };
    const std::size_t groups = divide_up(outputs, kPanelColumns);
    constexpr std::size_t kFewRows = 32;
    const std::size_t wanted = threads_.pieces();
    const std::size_t down =
        std::max(divide_up(rows, kernels_.rows), std::min(divide_up(wanted, groups), rows / kFewRows + 1));
    const std::size_t across =
        std::min(groups, std::max(divide_up(outputs, kernels_.columns), divide_up(wanted, down)));
    threads_.in_parallel(down * across, 1, [&](std::size_t index, std::size_t, std::size_t thread) {
      const std::size_t i = index / across, j = index % across;
      Piece piece{};
      piece.first = groups * j / across * kPanelColumns;
      piece.columns = std::min(groups * (j + 1) / across * kPanelColumns, outputs) - piece.first;
      piece.begin = rows * i / down;
      piece.end = rows * (i + 1) / down;
      work(piece, thread);
    });
  }

  std::int16_t* steps() const { return reinterpret_cast<std::int16_t*>(quantised_.data()); }

  static Status reserve(AlignedBytes& bytes, std::size_t size) {
    if (bytes.size() >= size) return {};
    bytes = AlignedBytes();
    bytes = AlignedBytes(size);
    if (bytes.ok()) return {};
    bytes = AlignedBytes();
    return compute::out_of_memory("working memory", size);
  }

  const Kernels& kernels_;
  const Threads& threads_;
  std::map<std::uint64_t, std::vector<Operator>> operators_;  // by XnnLinear::id
  std::vector<Operator> converts_;                            // one per thread
  AlignedBytes scratch_, quantised_, row_params_;
};

class XnnBackend : public Backend {
 public:
  XnnBackend(const Kernels& kernels, bool own_int8, Threads threads)
      : kernels_(kernels), own_int8_(own_int8), threads_(std::move(threads)) {}

  std::string_view name() const override { return "xnnpack"; }
  std::string kernels() const override { return std::string("XNNPACK, simd ") + kernels_.name; }
  std::size_t threads() const override { return threads_.count(); }
  std::size_t int8_input_steps() const override {
    return RelaxedDots::available() ? RelaxedDots::kSteps : paired() ? PairedDots::kSteps : ByteDots::kSteps;
  }
  Expected<std::unique_ptr<Table>> make_table(const WeightView& source, Precision precision,
                                              TableBytes bytes) override {
    return HostTable::make(source, precision, bytes);
  }
  Expected<std::unique_ptr<Linear>> make_linear(std::span<const LinearView> parts,
                                                Precision precision) override {
    const auto rows = LinearRows::make(parts);
    if (!rows) return tl::unexpected(rows.error());
    const bool own = precision == Precision::kF16 || (precision == Precision::kInt8 && own_int8_) ||
                     (precision == Precision::kF32 && kernels_.product_f32 != nullptr);
    if (precision == Precision::kInt8 && RelaxedDots::available())
      return DotLinear<RelaxedDots>::make(*rows, threads_);
    if (kDotProducts && precision == Precision::kInt8 && kernels_.product_bytes != nullptr)
      return DotLinear<ByteDots>::make(*rows, threads_);
    if (precision == Precision::kInt8 && paired()) return DotLinear<PairedDots>::make(*rows, threads_);
    return own ? PanelLinear::make(*rows, precision, kernels_, threads_)
               : XnnLinear::make(*rows, precision, threads_);
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
  bool paired() const { return kDotProducts && own_int8_ && kernels_.product_paired != nullptr; }

  const Kernels& kernels_;
  bool own_int8_;  // whether int8 layers are for our kernels
  Threads threads_;
};

}  // namespace

Expected<std::shared_ptr<Backend>> make_xnnpack_backend(std::size_t threads, std::string_view simd) {
  if (const Status done = checked(xnn_initialize(nullptr), "start"); !done)
    return tl::unexpected(done.error());
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
