// Linear layers for XNNPACK's operators. The only file that includes the library.
#include <xnnpack.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compute/linear.h"

namespace bert::compute {

namespace {

/// Whether XNNPACK was built with its int8 operators: not for WebAssembly, where ours are better.
constexpr bool kXnnInt8 = BERT_XNNPACK_INT8 != 0;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Bytes of packed weights that one operator holds. A layer is a row of operators on some of its outputs
/// each: all rows of the input pass through one before the next, so that its weights are read from memory
/// once and then from the cache. An operator is also what one of several threads takes.
constexpr std::size_t kChunkBytes = std::size_t{512} << 10;
/// Outputs of one operator are a multiple of this, the widest tile of XNNPACK's kernels.
constexpr std::size_t kChunkColumns = 64;

struct DeleteOperator {
  void operator()(xnn_operator_t handle) const { xnn_delete_operator(handle); }
};
using Operator = std::unique_ptr<xnn_operator, DeleteOperator>;

/// Operators serve one caller at a time: each stream has its own.
struct StreamOperators : StreamState {
  std::vector<Operator> all;
};

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

/// Also false for an infinity.
bool is_finite(const float* row, std::size_t size) {
  std::uint32_t most = 0;  // of the bits, which are ordered as the numbers are: a loop without branches
  for (std::size_t i = 0; i < size; ++i)
    most = std::max(most, std::bit_cast<std::uint32_t>(row[i]) & 0x7fffffffU);
  return most < 0x7f800000U;
}

/// Rows as int8 into `space.quantised`, and the zero point and scale of each into `space.row_params`.
Status quantise_rows(const LinearCall& call, std::size_t inputs, Workspace& space) {
  static const StateKey key;  // the conversions of a stream, one for each thread, serve all its layers
  std::vector<Operator>& conversions = space.states.of<StreamOperators>(key).all;
  while (conversions.size() < space.threads.count()) {
    xnn_operator_t made = nullptr;
    const Status done = checked(xnn_create_convert_nc_f32_qd8(0, &made), "create a conversion to int8");
    if (!done) return done;
    conversions.emplace_back(made);
  }
  const std::size_t rows = call.rows;
  if (const Status done = reserve(space.quantised, rows * inputs + XNN_EXTRA_BYTES); !done) return done;
  const std::size_t all = (rows + XNN_EXTRA_QUANTIZATION_PARAMS) * sizeof(xnn_quantization_params);
  if (const Status done = reserve(space.row_params, all); !done) return done;
  auto* const values = reinterpret_cast<std::int8_t*>(space.quantised.data());
  auto* const row_params = reinterpret_cast<xnn_quantization_params*>(space.row_params.data());
  std::atomic<int> failure{xnn_status_success};
  constexpr std::size_t kRows = 16;
  space.threads.in_parallel(rows, kRows, [&](std::size_t begin, std::size_t end, std::size_t thread) {
    const xnn_operator_t convert = conversions[thread].get();
    // XNNPACK repeats the last row's parameters behind it, which may be another piece's place
    xnn_quantization_params params[kRows + XNN_EXTRA_QUANTIZATION_PARAMS];
    const std::size_t count = end - begin;
    xnn_status status = xnn_reshape_convert_nc_f32_qd8(convert, count, inputs, inputs, inputs, nullptr);
    if (status == xnn_status_success)
      status =
          xnn_setup_convert_nc_f32_qd8(convert, row_of(call.input, begin), values + begin * inputs, params);
    if (status == xnn_status_success) status = xnn_run_operator(convert, nullptr);
    if (status != xnn_status_success) failure = status;
    // as an int8 such a value would be some number, and nobody would see the damage
    for (std::size_t i = 0; i < count; ++i)
      if (!is_finite(row_of(call.input, begin + i), inputs))
        params[i].scale = std::numeric_limits<float>::quiet_NaN();
    const std::size_t kept = end == rows ? count + XNN_EXTRA_QUANTIZATION_PARAMS : count;
    std::memcpy(row_params + begin, params, kept * sizeof(params[0]));
  });
  return checked(static_cast<xnn_status>(failure.load()), "convert to int8");
}

/// XNNPACK packs weights when it creates an operator; so the packed bytes are kept here, handed out through a
/// weights cache, and each stream creates operators of its own on them.
class XnnLinear : public PackedLinear {
 public:
  XnnLinear(const LinearRows& rows, Precision precision, const Threads& threads)
      : PackedLinear(rows), precision_(precision) {
    const std::size_t element = precision == Precision::kInt8 ? sizeof(std::int8_t) : sizeof(float);
    const std::size_t pieces = std::max(inputs() * outputs() * element / kChunkBytes + 1, threads.pieces());
    const std::size_t columns = (outputs() + pieces - 1) / pieces;
    chunk_ = (columns + kChunkColumns - 1) / kChunkColumns * kChunkColumns;
  }
  std::size_t owned_bytes() const override { return packed_.size(); }

  Status pack(const LinearRows& rows) {
    const auto source = StackedLinear::make(rows, precision_);
    if (!source) return tl::unexpected(source.error());
    for (const float scale : source->scales)
      if (const Status done = check_scale(scale); !done) return done;
    for (std::size_t index = 0; index < chunks(); ++index) {
      caches_.push_back(std::make_unique<Cache>(*this, index));
      const auto packing = make_operator(index, &*source, rows.bias().data());
      if (!packing) return tl::unexpected(packing.error());
    }
    return {};
  }

  Status run(const LinearCall& call, Workspace& space) const override {
    if (is_int8())
      if (const Status done = quantise_rows(call, inputs(), space); !done) return done;
    std::vector<Operator>& operators = space.states.of<StreamOperators>(key_).all;
    while (operators.size() < chunks()) {
      auto made = make_operator(operators.size());
      if (!made) return tl::unexpected(made.error());
      operators.push_back(std::move(*made));
    }
    std::atomic<int> failure{xnn_status_success};
    space.threads.in_parallel(chunks(), 1, [&](std::size_t index, std::size_t, std::size_t) {
      float* const target = row_of(call.output, 0) + index * chunk_;
      const xnn_status status = run_operator(operators[index].get(), call, space, target);
      if (status != xnn_status_success) failure = status;
      if (call.activation == Activation::kNone) return;
      space.kernels.activate(call.activation, target, call.output.stride, call.rows, columns(index));
    });
    return checked(static_cast<xnn_status>(failure.load()), "run a linear layer");
  }

 private:
  /// A weights cache of XNNPACK's with one entry: the packed bytes of one chunk.
  struct Cache {
    Cache(XnnLinear& owner, std::size_t number) : layer(owner), index(number) {}
    XnnLinear& layer;
    std::size_t index;
    std::byte* bytes = nullptr;
    xnn_weights_cache_provider provider{
        this,
        [](void* self, const xnn_weights_cache_look_up_key*) {
          return static_cast<Cache*>(self)->bytes == nullptr ? SIZE_MAX : std::size_t{0};
        },
        [](void* self, std::size_t size) -> void* {
          Cache& cache = *static_cast<Cache*>(self);
          return cache.bytes = cache.layer.reserve_chunk(cache.index, size);
        },
        [](void*, const xnn_weights_cache_look_up_key*, void*, std::size_t) { return std::size_t{0}; },
        [](void*) { return true; },
        [](void* self, std::size_t) -> void* { return static_cast<Cache*>(self)->bytes; },
        [](void*) { return xnn_status_success; },
    };
  };

  bool is_int8() const { return kXnnInt8 && precision_ == Precision::kInt8; }
  std::size_t chunks() const { return (outputs() + chunk_ - 1) / chunk_; }
  /// Outputs of chunk `index`.
  std::size_t columns(std::size_t index) const { return std::min(outputs() - index * chunk_, chunk_); }

  /// Room for chunk `index`: the first one tells how much each takes.
  std::byte* reserve_chunk(std::size_t index, std::size_t size) {
    if (index == 0) {
      stride_ = size;
      packed_ = AlignedBytes(size * chunks() + XNN_EXTRA_BYTES);
    }
    return packed_.data() == nullptr || size > stride_ ? nullptr : packed_.data() + index * stride_;
  }

  /// A new operator of a chunk. With `source` it packs that chunk's weights, else it takes those packed
  /// before.
  Expected<Operator> make_operator(std::size_t index, const StackedLinear* source = nullptr,
                                   const float* biases = nullptr) const {
    // XNNPACK keeps the pointer to the cache, and asks it for the address whenever an operator is shaped
    xnn_weights_cache_provider* const cache = &caches_[index]->provider;
    const std::size_t first = index * chunk_;
    const float* const bias = biases == nullptr ? nullptr : biases + first;
    xnn_operator_t handle = nullptr;
    const xnn_status status = is_int8()
                                  ? xnn_create_fully_connected_nc_qd8_f32_qc8w(
                                        inputs(), columns(index), inputs(), outputs(),
                                        source == nullptr ? nullptr : source->scales.data() + first,
                                        source == nullptr ? nullptr : source->integers + first * inputs(),
                                        bias, -kInfinity, kInfinity, 0, nullptr, cache, &handle)
                                  : xnn_create_fully_connected_nc_f32(
                                        inputs(), columns(index), inputs(), outputs(),
                                        source == nullptr ? nullptr : source->weights + first * inputs(),
                                        bias, -kInfinity, kInfinity, 0, nullptr, cache, &handle);
    Operator made(handle);
    if (const Status done = checked(status, "create a linear layer"); !done)
      return tl::unexpected(done.error());
    return made;
  }

  /// One operator on all rows, on the calling thread. Int8: on the rows that quantise_rows left.
  xnn_status run_operator(xnn_operator_t handle, const LinearCall& call, const Workspace& space,
                          float* output) const {
    xnn_status status = is_int8() ? xnn_reshape_fully_connected_nc_qd8_f32_qc8w(handle, call.rows, nullptr)
                                  : xnn_reshape_fully_connected_nc_f32(handle, call.rows, nullptr);
    if (status != xnn_status_success) return status;
    status = is_int8() ? xnn_setup_fully_connected_nc_qd8_f32_qc8w(
                             handle, reinterpret_cast<std::int8_t*>(space.quantised.data()), output,
                             reinterpret_cast<xnn_quantization_params*>(space.row_params.data()))
                       : xnn_setup_fully_connected_nc_f32(handle, row_of(call.input, 0), output);
    return status != xnn_status_success ? status : xnn_run_operator(handle, nullptr);
  }

  Precision precision_;
  std::size_t chunk_;       // outputs of each operator but the last
  std::size_t stride_ = 0;  // bytes from one packed chunk to the next
  AlignedBytes packed_;
  std::vector<std::unique_ptr<Cache>> caches_;  // [chunks]
  StateKey key_;                                // of a stream's operators
};

}  // namespace

Expected<std::unique_ptr<Linear>> make_xnn_linear(const LinearRows& rows, Precision precision,
                                                  const Threads& threads) {
  auto linear = std::make_unique<XnnLinear>(rows, precision, threads);
  if (const Status done = linear->pack(rows); !done) return tl::unexpected(done.error());
  return linear;
}

Status start_xnnpack() {
  return checked(xnn_initialize(nullptr), "start");
}

}  // namespace bert::compute
