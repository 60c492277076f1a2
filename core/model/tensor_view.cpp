// Elements of stored tensors as floats.
#include <bit>
#include <cstring>

#include "bert/model.h"

namespace bert {
namespace {

template <class T>
T load(const std::byte* bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1FU;
  const std::uint32_t fraction = bits & 0x3FFU;
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24, exact
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
  }
  const std::uint32_t wide = exponent == 31 ? 0x7F800000U : (exponent + 112) << 23;
  return std::bit_cast<float>(sign | wide | (fraction << 13));
}

std::uint16_t float_to_half(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return sign | 0x7E00U;   // NaN
  if (magnitude >= 0x477FF000U) return sign | 0x7C00U;  // 65520 and more round to infinity
  if (magnitude < 0x38800000U) {
    // Below 2^-14: adding 0.5 leaves the multiple of 2^-24, rounded to even, in the low bits of the sum.
    const float sum = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(sum) - 0x3F000000U));
  }
  const std::uint32_t odd = (magnitude >> 13) & 1U;
  return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000U + 0xFFFU + odd) >> 13));
}

const float* TensorView::f32() const {
  const bool aligned = reinterpret_cast<std::uintptr_t>(data.data()) % alignof(float) == 0;
  return dtype == DType::kF32 && aligned ? reinterpret_cast<const float*>(data.data()) : nullptr;
}

const std::int8_t* TensorView::i8() const {
  return dtype == DType::kI8 ? reinterpret_cast<const std::int8_t*>(data.data()) : nullptr;
}

float TensorView::scale(std::size_t row) const {
  return dtype == DType::kI8 ? load<float>(scales.data(), row) : 1.0F;
}

void TensorView::row_to_float(std::size_t row, std::span<float> out) const {
  const std::byte* from = data.data() + row * columns * dtype_size(dtype);
  switch (dtype) {
    case DType::kF16:
      for (std::size_t i = 0; i < columns; ++i) out[i] = half_to_float(load<std::uint16_t>(from, i));
      return;
    case DType::kBF16:
      for (std::size_t i = 0; i < columns; ++i)
        out[i] = std::bit_cast<float>(std::uint32_t{load<std::uint16_t>(from, i)} << 16);
      return;
    case DType::kI8: {
      const float factor = scale(row);
      for (std::size_t i = 0; i < columns; ++i)
        out[i] = factor * static_cast<float>(load<std::int8_t>(from, i));
      return;
    }
    default:
      if (columns != 0) std::memcpy(out.data(), from, columns * sizeof(float));
  }
}

void TensorView::to_float(std::span<float> out) const {
  for (std::size_t row = 0; row < rows; ++row) row_to_float(row, out.subspan(row * columns, columns));
}

}  // namespace bert
