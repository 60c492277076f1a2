// The XNNPACK backend: its fully-connected operators for the linear layers, our own kernels for the rest,
// threads by pthreadpool. Also the only file of the core that includes either library.
#include <pthreadpool.h>
#include <xnnpack.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>

#include "bert/backend.h"
#include "compute/host.h"
#include "compute/kernels.h"

namespace bert {
namespace {

using compute::AlignedBytes;
using compute::HostNorm;
using compute::HostTable;
using compute::HostVector;
using compute::Kernels;
using compute::row_of;
using compute::StackedLinear;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct DeleteOperator {
  void operator()(xnn_operator_t handle) const { xnn_delete_operator(handle); }
};
using Operator = std::unique_ptr<xnn_operator, DeleteOperator>;

struct DeletePool {
  void operator()(pthreadpool_t pool) const { pthreadpool_destroy(pool); }
};
using Pool = std::unique_ptr<pthreadpool, DeletePool>;

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

/// Calls work(begin, end, thread) for pieces of at most `grain` of 0..count on the threads of `pool` (null:
/// here).
template <class Work>
void in_parallel(pthreadpool_t pool, std::size_t count, std::size_t grain, const Work& work) {
  struct Context {
    const Work& work;
    std::size_t count, grain;
  } context{work, count, grain};
  const auto piece = [](void* opaque, std::size_t thread, std::size_t index) {
    const Context& c = *static_cast<const Context*>(opaque);
    const std::size_t begin = index * c.grain;
    c.work(begin, begin + c.grain < c.count ? begin + c.grain : c.count, thread);
  };
  pthreadpool_parallelize_1d_with_thread(pool, piece, &context, (count + grain - 1) / grain, 0);
}

/// A linear layer in one of three forms. XNNPACK packs weights when it creates an operator, and an operator
/// serves one caller at a time; so the packed bytes are kept here, handed out through a weights cache with
/// this one entry, and each stream creates operators of its own on them.
class XnnLinear : public Linear {
 public:
  std::size_t inputs() const override { return inputs_; }
  std::size_t outputs() const override { return outputs_; }
  std::size_t owned_bytes() const override { return packed_.size() + bias_.size() * sizeof(float); }
  Precision precision() const { return precision_; }
  std::uint64_t id() const { return id_; }
  const std::uint16_t* half_panel(std::size_t panel) const {
    return reinterpret_cast<const std::uint16_t*>(packed_.data()) + panel * inputs_ * compute::kHalfPanel;
  }
  const float* bias() const { return bias_.data(); }

  static Expected<std::unique_ptr<Linear>> make(std::span<const LinearView> parts, Precision precision) {
    auto stacked = StackedLinear::make(parts, precision);
    if (!stacked) return tl::unexpected(stacked.error());
    auto linear = std::make_unique<XnnLinear>();
    linear->inputs_ = stacked->inputs;
    linear->outputs_ = stacked->outputs;
    linear->precision_ = precision;
    if (precision == Precision::kF16) {
      if (const Status done = linear->pack_halves(*stacked); !done) return tl::unexpected(done.error());
      return linear;
    }
    for (const float scale : stacked->scales)
      if (!(scale >= std::numeric_limits<float>::min() && scale < kInfinity))
        return fail(ErrorCode::kInvalidModel, "a scale of int8 weights is " + std::to_string(scale) +
                                                  ": scales must be positive, normal numbers");
    linear->scales_ = std::move(stacked->scales);
    linear->weights_ = stacked->weights;
    linear->integers_ = stacked->integers;
    linear->bias_ = std::move(stacked->bias);
    const auto packing = linear->make_operator();
    if (!packing) return tl::unexpected(packing.error());
    linear->weights_ = nullptr;
    linear->integers_ = nullptr;
    linear->bias_ = {};
    linear->scales_ = {};
    return linear;
  }

  /// A new operator; the first call packs the weights.
  Expected<Operator> make_operator() const {
    xnn_weights_cache_t cache = &provider_;
    xnn_operator_t handle = nullptr;
    const xnn_status status =
        precision_ == Precision::kInt8
            ? xnn_create_fully_connected_nc_qd8_f32_qc8w(inputs_, outputs_, inputs_, outputs_, scales_.data(),
                                                         integers_, bias_.data(), -kInfinity, kInfinity, 0,
                                                         nullptr, cache, &handle)
            : xnn_create_fully_connected_nc_f32(inputs_, outputs_, inputs_, outputs_, weights_, bias_.data(),
                                                -kInfinity, kInfinity, 0, nullptr, cache, &handle);
    Operator made(handle);
    if (const Status done = checked(status, "create a linear layer"); !done)
      return tl::unexpected(done.error());
    return made;
  }

 private:
  Status pack_halves(const StackedLinear& stacked) {
    constexpr std::size_t kPanel = compute::kHalfPanel;
    const std::size_t panels = (outputs_ + kPanel - 1) / kPanel;
    packed_ = AlignedBytes(panels * kPanel * inputs_ * sizeof(std::uint16_t));
    if (!packed_.ok()) return compute::out_of_memory("a linear layer", packed_.size());
    std::memset(packed_.data(), 0, packed_.size());
    auto* halves = reinterpret_cast<std::uint16_t*>(packed_.data());
    for (std::size_t o = 0; o < outputs_; ++o)
      for (std::size_t i = 0; i < inputs_; ++i)
        halves[(o / kPanel * inputs_ + i) * kPanel + o % kPanel] =
            compute::float_to_half(stacked.weights[o * inputs_ + i]);
    bias_ = stacked.bias;
    return {};
  }

  std::size_t inputs_ = 0, outputs_ = 0;
  Precision precision_ = Precision::kF32;
  std::vector<float> scales_, bias_;
  mutable AlignedBytes packed_;  // written by the first make_operator, before anybody else has the layer
  const float* weights_ = nullptr;
  const std::int8_t* integers_ = nullptr;
  const std::uint64_t id_ = next_id();
  mutable xnn_weights_cache_provider provider_{
      this,
      [](void* self, const xnn_weights_cache_look_up_key*) {
        return static_cast<XnnLinear*>(self)->packed_.data() == nullptr ? SIZE_MAX : std::size_t{0};
      },
      [](void* self, std::size_t size) -> void* {
        AlignedBytes& packed = static_cast<XnnLinear*>(self)->packed_;
        packed = AlignedBytes(size + XNN_EXTRA_BYTES);
        return packed.data();
      },
      [](void*, const xnn_weights_cache_look_up_key*, void*, std::size_t) { return std::size_t{0}; },
      [](void*) { return true; },
      [](void* self, std::size_t) -> void* { return static_cast<XnnLinear*>(self)->packed_.data(); },
      [](void*) { return xnn_status_success; },
  };

  static std::uint64_t next_id() {
    static std::atomic<std::uint64_t> next{0};
    return next++;
  }
};

class XnnStream : public compute::HostStream {
 public:
  XnnStream(const Kernels& kernels, pthreadpool_t pool)
      : kernels_(kernels), pool_(pool), threads_(pthreadpool_get_threads_count(pool)) {}

  Status embed(const EmbeddingWeights& weights, std::span<const std::int32_t> ids,
               std::span<const std::int32_t> type_ids, std::span<const std::int32_t> position_ids, Rows sum,
               Rows output) override {
    const WeightView& words = static_cast<const HostTable&>(*weights.words).view();
    const WeightView& positions = static_cast<const HostTable&>(*weights.positions).view();
    const WeightView& types = static_cast<const HostTable&>(*weights.types).view();
    const auto& norm = static_cast<const HostNorm&>(*weights.norm);
    const std::size_t columns = words.columns;
    if (const Status done = reserve(scratch_, threads_ * columns * sizeof(float)); !done) return done;
    in_parallel(pool_, ids.size(), 16, [&](std::size_t begin, std::size_t end, std::size_t thread) {
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
    const auto& xnn_layer = static_cast<const XnnLinear&>(layer);
    const Status done = xnn_layer.precision() == Precision::kF16 ? linear_f16(xnn_layer, rows, input, output)
                        : xnn_layer.precision() == Precision::kInt8
                            ? linear_int8(xnn_layer, rows, input, output)
                            : linear_f32(xnn_layer, rows, input, output);
    if (!done || activation == Activation::kNone) return done;
    float* values = row_of(output, 0);
    in_parallel(pool_, rows * layer.outputs(), 16384, [&](std::size_t begin, std::size_t end, std::size_t) {
      kernels_.activate(activation, values + begin, end - begin);
    });
    return {};
  }

  Status add_normalise(const LayerNorm& norm, std::size_t rows, Rows input, Rows residual,
                       Rows output) override {
    const auto& host = static_cast<const HostNorm&>(norm);
    in_parallel(pool_, rows, 16, [&](std::size_t begin, std::size_t end, std::size_t) {
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
    if (const Status done = reserve(scratch_, threads_ * each * sizeof(float)); !done) return done;
    in_parallel(
        pool_, call.sequences.size() * call.heads, 1,
        [&](std::size_t begin, std::size_t, std::size_t thread) {
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
    in_parallel(pool_, view.rows, 256, [&](std::size_t begin, std::size_t end, std::size_t) {
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
  Expected<xnn_operator_t> operator_of(const XnnLinear& layer) {
    Operator& slot = operators_[layer.id()];
    if (slot == nullptr) {
      auto made = layer.make_operator();
      if (!made) return tl::unexpected(made.error());
      slot = std::move(*made);
    }
    return slot.get();
  }

  Status linear_f32(const XnnLinear& layer, std::size_t rows, Rows input, Rows output) {
    const auto handle = operator_of(layer);
    if (!handle) return tl::unexpected(handle.error());
    if (const Status done =
            checked(xnn_reshape_fully_connected_nc_f32(*handle, rows, pool_), "shape a linear layer");
        !done)
      return done;
    if (const Status done =
            checked(xnn_setup_fully_connected_nc_f32(*handle, row_of(input, 0), row_of(output, 0)),
                    "set up a linear layer");
        !done)
      return done;
    return checked(xnn_run_operator(*handle, pool_), "run a linear layer");
  }

  Status linear_int8(const XnnLinear& layer, std::size_t rows, Rows input, Rows output) {
    const auto handle = operator_of(layer);
    if (!handle) return tl::unexpected(handle.error());
    const std::size_t inputs = layer.inputs();
    if (convert_ == nullptr) {
      xnn_operator_t made = nullptr;
      const Status done = checked(xnn_create_convert_nc_f32_qd8(0, &made), "create a conversion to int8");
      convert_.reset(made);
      if (!done) return done;
    }
    // rows as int8, each with its zero point and scale
    if (const Status done = reserve(quantised_, rows * inputs + XNN_EXTRA_BYTES); !done) return done;
    if (const Status done =
            reserve(row_params_, (rows + XNN_EXTRA_QUANTIZATION_PARAMS) * sizeof(xnn_quantization_params));
        !done)
      return done;
    auto* values = reinterpret_cast<std::int8_t*>(quantised_.data());
    auto* params = reinterpret_cast<xnn_quantization_params*>(row_params_.data());
    if (const Status done =
            checked(xnn_reshape_convert_nc_f32_qd8(convert_.get(), rows, inputs, inputs, inputs, pool_),
                    "shape a conversion to int8");
        !done)
      return done;
    if (const Status done =
            checked(xnn_setup_convert_nc_f32_qd8(convert_.get(), row_of(input, 0), values, params),
                    "set up a conversion to int8");
        !done)
      return done;
    if (const Status done = checked(xnn_run_operator(convert_.get(), pool_), "convert to int8"); !done)
      return done;
    if (const Status done = checked(xnn_reshape_fully_connected_nc_qd8_f32_qc8w(*handle, rows, pool_),
                                    "shape an int8 linear layer");
        !done)
      return done;
    if (const Status done =
            checked(xnn_setup_fully_connected_nc_qd8_f32_qc8w(*handle, values, row_of(output, 0), params),
                    "set up an int8 linear layer");
        !done)
      return done;
    return checked(xnn_run_operator(*handle, pool_), "run an int8 linear layer");
  }

  Status linear_f16(const XnnLinear& layer, std::size_t rows, Rows input, Rows output) {
    constexpr std::size_t kPanel = compute::kHalfPanel;
    if (const Status done = reserve(scratch_, threads_ * compute::kHalfScratch * sizeof(float)); !done)
      return done;
    const std::size_t panels = (layer.outputs() + kPanel - 1) / kPanel;
    in_parallel(pool_, panels, 1, [&](std::size_t panel, std::size_t, std::size_t thread) {
      compute::HalfProduct product{};
      const std::size_t first = panel * kPanel;
      product.panel = layer.half_panel(panel);
      product.bias = layer.bias() + first;
      product.inputs = layer.inputs();
      product.columns = layer.outputs() - first < kPanel ? layer.outputs() - first : kPanel;
      product.input = row_of(input, 0);
      product.input_stride = input.stride;
      product.rows = rows;
      product.output = row_of(output, 0) + first;
      product.output_stride = output.stride;
      product.scratch = scratch_.floats() + thread * compute::kHalfScratch;
      kernels_.half_product(product);
    });
    return {};
  }

  static Status reserve(AlignedBytes& bytes, std::size_t size) {
    if (bytes.size() >= size) return {};
    bytes = AlignedBytes();
    bytes = AlignedBytes(size);
    if (bytes.ok()) return {};
    bytes = AlignedBytes();
    return compute::out_of_memory("working memory", size);
  }

  const Kernels& kernels_;
  pthreadpool_t pool_;
  std::size_t threads_;
  std::unordered_map<std::uint64_t, Operator> operators_;  // by XnnLinear::id
  Operator convert_;
  AlignedBytes scratch_, quantised_, row_params_;
};

class XnnBackend : public Backend {
 public:
  XnnBackend(const Kernels& kernels, Pool pool) : kernels_(kernels), pool_(std::move(pool)) {}

  std::string_view name() const override { return "xnnpack"; }
  std::string kernels() const override { return std::string("XNNPACK, simd ") + kernels_.name; }
  std::size_t threads() const override { return pthreadpool_get_threads_count(pool_.get()); }
  std::size_t int8_input_steps() const override { return 255; }
  Expected<std::unique_ptr<Table>> make_table(const WeightView& source, Precision precision,
                                              TableBytes bytes) override {
    return HostTable::make(source, precision, bytes);
  }
  Expected<std::unique_ptr<Linear>> make_linear(std::span<const LinearView> parts,
                                                Precision precision) override {
    return XnnLinear::make(parts, precision);
  }
  Expected<std::unique_ptr<Vector>> make_vector(const WeightView& source) override {
    return HostVector::make(source);
  }
  Expected<std::unique_ptr<LayerNorm>> make_layer_norm(const WeightView& gamma, const WeightView& beta,
                                                       float epsilon) override {
    return HostNorm::make(gamma, beta, epsilon);
  }
  Expected<std::unique_ptr<Stream>> make_stream() override {
    return std::make_unique<XnnStream>(kernels_, pool_.get());
  }

 private:
  const Kernels& kernels_;
  Pool pool_;  // null: one thread, the caller's
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
  if (threads == 0) threads = std::thread::hardware_concurrency();
  Pool pool;
  if (threads > 1) {
    pool.reset(pthreadpool_create(threads));
    if (pool == nullptr)
      return fail(ErrorCode::kOutOfMemory, "no " + std::to_string(threads) + " threads to be had");
  }
  return std::make_shared<XnnBackend>(*kernels, std::move(pool));
}

}  // namespace bert
