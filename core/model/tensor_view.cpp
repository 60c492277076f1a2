// Elements of stored tensors as floats.
#include <bit>
#include <cstring>

#include "base/half.h"
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
  return base::half_to_float(bits);
}

std::uint16_t float_to_half(float value) {
  return base::float_to_half(value);
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
