// IEEE half precision and float, for loops that the compiler may turn into vectors.
#pragma once

#include <bit>
#include <cstdint>

namespace bert::base {

/// From this size on a float rounds to an infinite half.
inline constexpr float kHalfOverflow = 65520.0F;

/// Exact; infinities and NaN too.
inline float half_to_float(std::uint16_t half) {
  const float size = std::bit_cast<float>((half & 0x7fffU) << 13) * 0x1p112F;
  const std::uint32_t special = size >= 65536.0F ? 0x7f800000U : 0U;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(size) | special | (half & 0x8000U) << 16);
}

/// Nearest half, ties to even; from kHalfOverflow on infinity, NaN stays NaN.
inline std::uint16_t float_to_half(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint16_t sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000U);
  const std::uint32_t size = bits & 0x7fffffffU;
  if (size > 0x7f800000U) return static_cast<std::uint16_t>(sign | 0x7e00U);
  if (size >= std::bit_cast<std::uint32_t>(kHalfOverflow)) return static_cast<std::uint16_t>(sign | 0x7c00U);
  if (size < 0x38800000U) {
    // subnormal: adding 0.5 makes the float adder round at the half's last place
    const float shifted = std::bit_cast<float>(size) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000U));
  }
  const std::uint32_t rounded = size - 0x38000000U + 0xfffU + (size >> 13 & 1U);
  return static_cast<std::uint16_t>(sign | rounded >> 13);
}

}  // namespace bert::base
