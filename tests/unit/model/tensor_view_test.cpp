// Conversions to float, exhaustively for 16 bits, and the statistics of tensors.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "bert/model.h"

namespace {

using bert::DType;
using bert::TensorView;

/// The definition of a half: sign, exponent biased by 15, ten bits of fraction.
double half_by_definition(unsigned bits) {
  const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
  const int exponent = static_cast<int>((bits >> 10) & 31U);
  const double fraction = (bits & 0x3FFU) / 1024.0;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return exponent == 0 ? sign * std::ldexp(fraction, -14) : sign * std::ldexp(1 + fraction, exponent - 15);
}

TEST(Half, EveryPatternConvertsExactlyAndBack) {
  for (unsigned bits = 0; bits < 0x10000U; ++bits) {
    const double wanted = half_by_definition(bits);
    const float value = bert::half_to_float(static_cast<std::uint16_t>(bits));
    const std::uint16_t back = bert::float_to_half(value);
    if (std::isnan(wanted)) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_TRUE(std::isnan(bert::half_to_float(back))) << bits;
      continue;
    }
    ASSERT_EQ(value, wanted) << bits;
    ASSERT_EQ(std::signbit(value), (bits & 0x8000U) != 0) << bits;
    ASSERT_EQ(back, bits);
  }
}

TEST(Half, RoundsToTheNearestAndTiesToEven) {
  // Between each two neighbours: the middle goes to the even one, a hair off the middle to the nearer one.
  for (unsigned bits = 0; bits < 0x7BFFU; ++bits) {
    const auto low = static_cast<float>(half_by_definition(bits));
    const auto high = static_cast<float>(half_by_definition(bits + 1));
    const float middle = low + (high - low) / 2;
    ASSERT_EQ(bert::float_to_half(middle), (bits & 1U) != 0 ? bits + 1 : bits);
    ASSERT_EQ(bert::float_to_half(std::nextafter(middle, low)), bits);
    ASSERT_EQ(bert::float_to_half(std::nextafter(middle, high)), bits + 1);
    ASSERT_EQ(bert::float_to_half(-middle), 0x8000U | ((bits & 1U) != 0 ? bits + 1 : bits));
  }
  EXPECT_EQ(bert::float_to_half(65519.996F), 0x7BFF);
  EXPECT_EQ(bert::float_to_half(65520.0F), 0x7C00);
  EXPECT_EQ(bert::float_to_half(std::numeric_limits<float>::max()), 0x7C00);
  EXPECT_EQ(bert::float_to_half(-INFINITY), 0xFC00);
  EXPECT_EQ(bert::float_to_half(std::numeric_limits<float>::denorm_min()), 0);
}

/// Bytes at an odd address, as an unaligned file may have them.
class Unaligned {
 public:
  template <class T>
  explicit Unaligned(const std::vector<T>& values) : bytes_(values.size() * sizeof(T) + 1) {
    std::memcpy(bytes_.data() + 1, values.data(), values.size() * sizeof(T));
  }
  [[nodiscard]] std::span<const std::byte> span() const { return std::span(bytes_).subspan(1); }

 private:
  std::vector<std::byte> bytes_;
};

std::vector<float> floats(const TensorView& view) {
  std::vector<float> out(view.elements());
  view.to_float(out);
  return out;
}

TEST(TensorView, ConvertsEachTypeAtAnyAddress) {
  const std::vector<float> wanted = {1, -2.5F, 0.375F, -0.0F, 96, 3};
  const Unaligned f32(wanted);
  const TensorView f32_view{"f32", DType::kF32, 2, 3, f32.span()};
  EXPECT_EQ(floats(f32_view), wanted);
  EXPECT_EQ(f32_view.f32(), nullptr);
  EXPECT_EQ((TensorView{"aligned", DType::kF32, 2, 3, std::as_bytes(std::span(wanted))}.f32()),
            wanted.data());

  std::vector<std::uint16_t> half;
  std::vector<std::uint16_t> bfloat;
  for (const float value : wanted) {
    half.push_back(bert::float_to_half(value));
    bfloat.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
  }
  EXPECT_EQ(floats({"f16", DType::kF16, 2, 3, Unaligned(half).span()}), wanted);
  EXPECT_EQ(floats({"bf16", DType::kBF16, 2, 3, Unaligned(bfloat).span()}), wanted);

  const Unaligned int8(std::vector<std::int8_t>{127, -127, 0, 4, -128, 1});
  const Unaligned scales(std::vector<float>{0.5F, 0.25F});
  const TensorView int8_view{"i8", DType::kI8, 2, 3, int8.span(), scales.span()};
  EXPECT_EQ(floats(int8_view), (std::vector<float>{63.5F, -63.5F, 0, 1, -32, 0.25F}));
  EXPECT_EQ(int8_view.scale(1), 0.25F);
  EXPECT_EQ(int8_view.i8()[1], -127);
  std::vector<float> row(3);
  int8_view.row_to_float(1, row);
  EXPECT_EQ(row, (std::vector<float>{1, -32, 0.25F}));
}

TEST(TensorStatistics, CountsAndMeasures) {
  const std::vector<float> values = {1, 2, 3, 4, 0, -0.0F, NAN, INFINITY, -7, NAN};
  const auto s = bert::tensor_statistics({"t", DType::kF32, 2, 5, std::as_bytes(std::span(values))});
  EXPECT_EQ(s.elements, 10U);
  EXPECT_EQ(s.zeros, 2U);
  EXPECT_EQ(s.nans, 2U);
  EXPECT_EQ(s.infinities, 1U);
  EXPECT_EQ(s.min, -7);
  EXPECT_EQ(s.max, INFINITY);
  const double mean = 3.0 / 7;
  EXPECT_NEAR(s.mean, mean, 1e-15);
  EXPECT_NEAR(s.deviation, std::sqrt((1 + 4 + 9 + 16 + 49) / 7.0 - mean * mean), 1e-14);
}

TEST(TensorStatistics, StayExactFarFromZero) {
  // Naive sums of squares lose everything here: the deviation is 1, the mean 2^20.
  std::vector<float> values(3000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1048576.0F + (i % 2 == 0 ? 1.0F : -1.0F);
  const auto s = bert::tensor_statistics({"t", DType::kF32, 300, 10, std::as_bytes(std::span(values))});
  EXPECT_NEAR(s.mean, 1048576.0, 1e-9);
  EXPECT_NEAR(s.deviation, 1.0, 1e-9);
}

TEST(TensorStatistics, OfNothingButNan) {
  const std::vector<float> values = {NAN, NAN};
  const auto s = bert::tensor_statistics({"t", DType::kF32, 1, 2, std::as_bytes(std::span(values))});
  EXPECT_EQ(s.nans, 2U);
  EXPECT_EQ(s.min, 0);
  EXPECT_EQ(s.max, 0);
  EXPECT_EQ(s.mean, 0);
  EXPECT_EQ(s.deviation, 0);
}

}  // namespace
