// Memory and weights of the backends that compute in host memory.
#include "compute/host.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "base/half.h"
#include "compute/kernels.h"
#include "compute/machine.h"

namespace bert::compute {

namespace {

std::string shape_text(const WeightView& view) {
  return "[" + std::to_string(view.rows) + ", " + std::to_string(view.columns) + "]";
}

template <class T>
T load(const std::byte* source) {
  T value;
  std::memcpy(&value, source, sizeof(value));
  return value;
}

/// The size of a float as a number: in order, and what is no number is above all that are.
std::uint32_t size_bits(float value) {
  return std::bit_cast<std::uint32_t>(value) & 0x7fffffffU;
}

/// The bits of the largest size among `count` floats, or halves, of the width of Bits.
template <class Bits>
Bits largest_bits(const std::byte* source, std::size_t count) {
  constexpr Bits kSize = std::numeric_limits<Bits>::max() >> 1;
  Bits most = 0;
  for (std::size_t i = 0; i < count; ++i)
    most = std::max(most, static_cast<Bits>(load<Bits>(source + i * sizeof(Bits)) & kSize));
  return most;
}

/// The largest size among the elements of a weight that is not int8.
float largest_element(const WeightView& weight) {
  const std::size_t count = weight.rows * weight.columns;
  if (weight.type == WeightType::kF32)
    return std::bit_cast<float>(largest_bits<std::uint32_t>(weight.data, count));
  const auto bits = largest_bits<std::uint16_t>(weight.data, count);
  return weight.type == WeightType::kF16 ? base::half_to_float(bits)
                                         : std::bit_cast<float>(std::uint32_t{bits} << 16);
}

/// ... and of a row that is.
float largest_int8(const WeightView& weight, std::size_t row, float scale) {
  const std::byte* const source = weight.data + row * weight.columns;
  int most = 0;
  for (std::size_t i = 0; i < weight.columns; ++i)
    most = std::max(most, std::abs(static_cast<int>(static_cast<std::int8_t>(source[i]))));
  return static_cast<float>(most) * scale;
}

tl::unexpected<Error> damaged() {
  return fail(ErrorCode::kInvalidModel,
              "a weight, or a scale of int8 weights, is no normal number: the weights are damaged");
}

std::vector<float> read_vector(const WeightView& view) {
  std::vector<float> values(view.rows * view.columns);
  for (std::size_t r = 0; r < view.rows; ++r) read_row(view, r, values.data() + r * view.columns);
  return values;
}

}  // namespace

AlignedBytes::AlignedBytes(std::size_t size) : size_(size) {
  if (size == 0) return;
  const bool large = large_page() != 0 && size >= large_page();
  if (large) alignment_ = large_page();
  data_ = static_cast<std::byte*>(::operator new (size, std::align_val_t{alignment_}, std::nothrow));
  if (large && data_ != nullptr) use_large_pages(data_, size);
}
AlignedBytes::AlignedBytes(AlignedBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      alignment_(other.alignment_) {}
AlignedBytes& AlignedBytes::operator=(AlignedBytes&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(alignment_, other.alignment_);
  return *this;
}
AlignedBytes::~AlignedBytes() {
  ::operator delete (data_, std::align_val_t{alignment_});
}

Status reserve(AlignedBytes& bytes, std::size_t size) {
  if (bytes.size() >= size) return {};
  bytes = AlignedBytes();
  bytes = AlignedBytes(size);
  if (bytes.ok()) return {};
  bytes = AlignedBytes();
  return out_of_memory("working memory", size);
}

tl::unexpected<Error> out_of_memory(std::string_view what, std::size_t bytes) {
  return fail(ErrorCode::kOutOfMemory,
              "no memory for " + std::string(what) + " (" + std::to_string(bytes) + " bytes)");
}

std::size_t element_size(WeightType type) {
  return type == WeightType::kF32 ? 4 : type == WeightType::kInt8 ? 1 : 2;
}

void read_part(const WeightView& view, std::size_t row, std::size_t begin, std::size_t count, float* target) {
  const std::byte* source = view.data + (row * view.columns + begin) * element_size(view.type);
  switch (view.type) {
    case WeightType::kF32:
      std::memcpy(target, source, count * sizeof(float));
      return;
    case WeightType::kF16:
      for (std::size_t i = 0; i < count; ++i)
        target[i] = base::half_to_float(load<std::uint16_t>(source + 2 * i));
      return;
    case WeightType::kBF16:
      for (std::size_t i = 0; i < count; ++i)
        target[i] = std::bit_cast<float>(std::uint32_t{load<std::uint16_t>(source + 2 * i)} << 16);
      return;
    case WeightType::kInt8: {
      const float scale = load<float>(view.scales + row * sizeof(float));
      for (std::size_t i = 0; i < count; ++i)
        target[i] = static_cast<float>(static_cast<std::int8_t>(source[i])) * scale;
      return;
    }
  }
}

void read_row(const WeightView& view, std::size_t row, float* target) {
  read_part(view, row, 0, view.columns, target);
}

Status narrow_row(const float* row, std::size_t count, std::uint16_t* target) {
  std::uint32_t most = 0;
  for (std::size_t i = 0; i < count; ++i) {
    most = std::max(most, size_bits(row[i]));
    target[i] = base::float_to_half(row[i]);
  }
  return check_half(std::bit_cast<float>(most));
}

float largest_size(const float* values, std::size_t count, float before) {
  std::uint32_t most = size_bits(before);
  for (std::size_t i = 0; i < count; ++i) most = std::max(most, size_bits(values[i]));
  return std::bit_cast<float>(most);
}

float int8_scale(float largest) {
  // a scale below the smallest normal float would be refused, or lost, further on
  const float scale = largest / 127.0F;
  return scale < std::numeric_limits<float>::min() ? 1 : scale;  // NaN is for check_scale
}

void quantise(const float* values, std::size_t count, float largest, std::int8_t* target) {
  if (!(largest / 127.0F >= std::numeric_limits<float>::min())) {
    std::memset(target, 0, count);
    return;
  }
  const float factor = 127.0F / largest;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  for (std::size_t i = 0; i < count; ++i)
    target[i] = static_cast<std::int8_t>(std::bit_cast<std::uint32_t>(values[i] * factor + kRound) & 0xffU);
}

HostBuffer::HostBuffer(std::size_t floats)
    : size_(floats), bytes_((floats + kBufferPadding) * sizeof(float)) {
  if (bytes_.ok()) std::memset(bytes_.floats() + floats, 0, kBufferPadding * sizeof(float));
}

Expected<std::unique_ptr<Table>> HostTable::make(const WeightView& source, Precision precision,
                                                 TableBytes bytes) {
  if (const Status fine = check_scales(source); !fine) return tl::unexpected(fine.error());
  auto table = std::make_unique<HostTable>();
  WeightView& view = table->view_;
  view = source;
  const bool narrower = element_size(source.type) <= (precision == Precision::kF32   ? 4U
                                                      : precision == Precision::kF16 ? 2U
                                                                                     : 1U);
  const std::size_t elements = source.rows * source.columns;
  if (narrower && bytes == TableBytes::kBorrow) return table;
  if (narrower) {
    const std::size_t size = elements * element_size(source.type);
    const std::size_t scales = source.type == WeightType::kInt8 ? source.rows * sizeof(float) : 0;
    table->owned_ = AlignedBytes(scales + size);
    if (!table->owned_.ok()) return out_of_memory("a table " + shape_text(source), scales + size);
    if (scales != 0) std::memcpy(table->owned_.data(), source.scales, scales);
    std::memcpy(table->owned_.data() + scales, source.data, size);
    view.scales = table->owned_.data();
    view.data = table->owned_.data() + scales;
    return table;
  }
  std::vector<float> row(source.columns);
  if (precision == Precision::kF16) {
    view.type = WeightType::kF16;
    table->owned_ = AlignedBytes(elements * 2);
    if (!table->owned_.ok()) return out_of_memory("a table " + shape_text(source), elements * 2);
    auto* halves = reinterpret_cast<std::uint16_t*>(table->owned_.data());
    for (std::size_t r = 0; r < source.rows; ++r) {
      read_row(source, r, row.data());
      const Status held = narrow_row(row.data(), source.columns, halves + r * source.columns);
      if (!held) return tl::unexpected(held.error());
    }
    view.data = table->owned_.data();
    return table;
  }
  view.type = WeightType::kInt8;
  const std::size_t scales = source.rows * sizeof(float);
  table->owned_ = AlignedBytes(scales + elements);
  if (!table->owned_.ok()) return out_of_memory("a table " + shape_text(source), scales + elements);
  view.scales = table->owned_.data();
  view.data = table->owned_.data() + scales;
  for (std::size_t r = 0; r < source.rows; ++r) {
    read_row(source, r, row.data());
    auto* target = reinterpret_cast<std::int8_t*>(table->owned_.data() + scales) + r * source.columns;
    const float largest = largest_size(row.data(), source.columns, 0), scale = int8_scale(largest);
    quantise(row.data(), source.columns, largest, target);
    if (const Status finite = check_scale(scale); !finite) return tl::unexpected(finite.error());
    table->owned_.floats()[r] = scale;
  }
  return table;
}

Expected<std::unique_ptr<Vector>> HostVector::make(const WeightView& source) {
  if (const Status fine = check_scales(source); !fine) return tl::unexpected(fine.error());
  auto vector = std::make_unique<HostVector>();
  vector->values_ = read_vector(source);
  return vector;
}

Expected<std::unique_ptr<LayerNorm>> HostNorm::make(const WeightView& gamma, const WeightView& beta,
                                                    float epsilon) {
  if (gamma.rows * gamma.columns != beta.rows * beta.columns)
    return fail(ErrorCode::kInvalidArgument, "layer norm: gamma " + shape_text(gamma) + " and beta " +
                                                 shape_text(beta) + " differ in size");
  for (const WeightView* part : {&gamma, &beta})
    if (const Status fine = check_scales(*part); !fine) return tl::unexpected(fine.error());
  auto norm = std::make_unique<HostNorm>();
  norm->gamma_ = read_vector(gamma);
  norm->beta_ = read_vector(beta);
  norm->epsilon_ = epsilon;
  return norm;
}

Expected<LinearRows> LinearRows::make(std::span<const LinearView> parts) {
  LinearRows rows;
  if (parts.empty()) return fail(ErrorCode::kInvalidArgument, "linear layer without parts");
  rows.inputs_ = parts[0].weight.columns;
  for (const LinearView& part : parts) {
    if (part.weight.columns != rows.inputs_)
      return fail(ErrorCode::kInvalidArgument, "linear layer: parts " + shape_text(parts[0].weight) +
                                                   " and " + shape_text(part.weight) + " differ in inputs");
    if (part.bias.data != nullptr && part.bias.rows * part.bias.columns != part.weight.rows)
      return fail(ErrorCode::kInvalidArgument, "linear layer: weight " + shape_text(part.weight) +
                                                   " and bias " + shape_text(part.bias) + " do not fit");
    for (const WeightView* view : {&part.weight, &part.bias})
      if (const Status fine = check_scales(*view); !fine) return tl::unexpected(fine.error());
    rows.parts_.push_back(part.weight);
    std::vector<float> bias(part.weight.rows);
    if (part.bias.data != nullptr) bias = read_vector(part.bias);
    rows.bias_.insert(rows.bias_.end(), bias.begin(), bias.end());
  }
  return rows;
}

const WeightView& LinearRows::part_of(std::size_t& output) const {
  const WeightView* part = parts_.data();
  for (; output >= part->rows; ++part) output -= part->rows;
  return *part;
}

bool LinearRows::in_place(WeightType type) const {
  return std::all_of(parts_.begin(), parts_.end(), [type](const WeightView& part) {
    return part.type == type && reinterpret_cast<std::uintptr_t>(part.data) % element_size(type) == 0;
  });
}

const std::byte* LinearRows::together(WeightType type) const {
  return parts_.size() == 1 && in_place(type) ? parts_[0].data : nullptr;
}

const float* LinearRows::floats(std::size_t output, float* scratch) const {
  const WeightView& part = part_of(output);
  const std::byte* const source = part.data + output * inputs_ * sizeof(float);
  if (part.type == WeightType::kF32 && reinterpret_cast<std::uintptr_t>(source) % alignof(float) == 0)
    return reinterpret_cast<const float*>(source);
  read_row(part, output, scratch);
  return scratch;
}

const std::int8_t* LinearRows::integers(std::size_t output, std::int8_t* scratch, float* scale) const {
  const WeightView& part = part_of(output);
  if (part.type == WeightType::kInt8) {
    *scale = load<float>(part.scales + output * sizeof(float));
    return reinterpret_cast<const std::int8_t*>(part.data) + output * inputs_;
  }
  // a piece at a time, as this runs on threads that have no memory of their own to fail for want of
  constexpr std::size_t kPiece = 512;
  float piece[kPiece];
  const auto for_pieces = [&](const auto& work) {
    for (std::size_t begin = 0; begin < inputs_; begin += kPiece) {
      const std::size_t count = std::min(kPiece, inputs_ - begin);
      read_part(part, output, begin, count, piece);
      work(begin, count);
    }
  };
  float largest = 0;
  for_pieces([&](std::size_t, std::size_t count) { largest = largest_size(piece, count, largest); });
  for_pieces([&](std::size_t begin, std::size_t count) { quantise(piece, count, largest, scratch + begin); });
  *scale = int8_scale(largest);
  return scratch;
}

Status check_scale(float scale) {
  if (scale >= std::numeric_limits<float>::min() && scale <= std::numeric_limits<float>::max()) return {};
  return damaged();
}

Status check_half(float largest) {
  if (largest < base::kHalfOverflow) return {};
  if (!(largest <= std::numeric_limits<float>::max())) return damaged();
  return fail(ErrorCode::kInvalidModel,
              "a weight is beyond the range of f16: the precision f32 has room for it");
}

Expected<StackedLinear> StackedLinear::make(const LinearRows& rows, Precision precision) {
  StackedLinear stacked;
  const std::size_t inputs = rows.inputs(), outputs = rows.outputs();
  const bool int8 = precision == Precision::kInt8;
  const std::byte* const together = rows.together(int8 ? WeightType::kInt8 : WeightType::kF32);
  if (together == nullptr) {
    // in 64 bits: where addresses have 32, a weight that is int8 in its file may be too large as floats
    const std::uint64_t size = std::uint64_t{inputs} * outputs * (int8 ? sizeof(std::int8_t) : sizeof(float));
    constexpr std::uint64_t kMost = std::numeric_limits<std::ptrdiff_t>::max();
    if (size <= kMost) stacked.memory = AlignedBytes(static_cast<std::size_t>(size));
    if (size > kMost || !stacked.memory.ok())
      return out_of_memory("a linear layer", static_cast<std::size_t>(std::min(size, kMost)));
  }
  if (!int8) {
    stacked.weights =
        together != nullptr ? reinterpret_cast<const float*>(together) : stacked.memory.floats();
    for (std::size_t o = 0; together == nullptr && o < outputs; ++o) {
      float* const target = stacked.memory.floats() + o * inputs;
      const float* const row = rows.floats(o, target);
      if (row != target) std::memcpy(target, row, inputs * sizeof(float));
    }
    return stacked;
  }
  stacked.scales.resize(outputs);
  auto* const memory = reinterpret_cast<std::int8_t*>(stacked.memory.data());
  stacked.integers = together != nullptr ? reinterpret_cast<const std::int8_t*>(together) : memory;
  for (std::size_t o = 0; o < outputs; ++o) {
    std::int8_t* const target = together != nullptr ? nullptr : memory + o * inputs;
    const std::int8_t* const row = rows.integers(o, target, &stacked.scales[o]);
    if (together == nullptr && row != target) std::memcpy(target, row, inputs);
  }
  return stacked;
}

Expected<std::unique_ptr<Buffer>> HostStream::allocate(std::size_t floats) {
  auto buffer = std::make_unique<HostBuffer>(floats);
  if (!buffer->ok()) return out_of_memory("working memory", floats * sizeof(float));
  return buffer;
}

Status HostStream::upload(std::span<const float> source, Buffer& target, std::size_t offset) {
  if (source.empty()) return {};  // memcpy takes no null
  std::memcpy(static_cast<HostBuffer&>(target).data() + offset, source.data(), source.size_bytes());
  return {};
}

Status HostStream::download(const Buffer& source, std::size_t offset, std::span<float> target) {
  if (target.empty()) return {};
  std::memcpy(target.data(), static_cast<const HostBuffer&>(source).data() + offset, target.size_bytes());
  return {};
}

Status HostStream::gather(std::span<const std::uint32_t> indices, std::size_t columns, Rows input,
                          Rows output) {
  for (std::size_t i = 0; i < indices.size(); ++i)
    std::memcpy(row_of(output, i), row_of(input, indices[i]), columns * sizeof(float));
  return {};
}

}  // namespace bert::compute

namespace bert {

Status check_scales(const WeightView& weight) {
  for (std::size_t r = 0; weight.type == WeightType::kInt8 && r < weight.rows; ++r) {
    const auto scale = compute::load<float>(weight.scales + r * sizeof(float));
    if (Status fine = compute::check_scale(scale); !fine) return fine;
  }
  return {};
}

Status check_halves(const WeightView& weight) {
  if (weight.type != WeightType::kInt8) return compute::check_half(compute::largest_element(weight));
  if (Status fine = check_scales(weight); !fine) return fine;
  for (std::size_t r = 0; r < weight.rows; ++r) {
    const auto scale = compute::load<float>(weight.scales + r * sizeof(float));
    if (128 * scale < base::kHalfOverflow) continue;  // no int8 is larger
    if (Status fine = compute::check_half(compute::largest_int8(weight, r, scale)); !fine) return fine;
  }
  return {};
}

}  // namespace bert
