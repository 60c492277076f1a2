// What tests of backends share: seeded numbers, weights of every type, a stream with its transfers,
// comparisons.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bert/backend.h"
#ifdef BERTLENS_CUDA
#include "cuda/backend.h"
#endif

namespace bert_test {

using bert::Backend;
using bert::Buffer;
using bert::Expected;
using bert::Precision;
using bert::Rows;
using bert::Status;
using bert::Stream;
using bert::WeightType;
using bert::WeightView;

#ifdef BERTLENS_CUDA
inline constexpr bool kWithCuda = true;
#else
inline constexpr bool kWithCuda = false;
#endif

/// The CUDA backend, which takes weights of that precision alone, or why there is none. Tests skip themselves
/// with the error's text, so that a machine without a device names them.
inline Expected<std::shared_ptr<Backend>> cuda_backend([[maybe_unused]] Precision precision) {
#ifdef BERTLENS_CUDA
  return bert::cuda::make_backend(precision);
#else
  return bert::fail(bert::ErrorCode::kUnsupported, "built without CUDA");
#endif
}

/// Numbers that are the same on every machine.
class Numbers {
 public:
  explicit Numbers(std::uint32_t seed) : state_(seed * 2654435761U + 12345U) {}
  /// In [low, high).
  float between(float low, float high) {
    return low + (high - low) * static_cast<float>(next() >> 8) * 0x1p-24F;
  }
  std::size_t below(std::size_t count) { return next() % count; }
  std::vector<float> floats(std::size_t count, float low = -1, float high = 1) {
    std::vector<float> values(count);
    for (float& value : values) value = between(low, high);
    return values;
  }
  /// The same rounded to numbers that f16 holds exactly.
  std::vector<float> halves(std::size_t count, float low = -1, float high = 1) {
    std::vector<float> values = floats(count, low, high);
    for (float& value : values) value = as_half(value);
    return values;
  }

  /// The nearest f16, ties to even; 0 for what would be subnormal there.
  static float as_half(float value) {
    if (std::fabs(value) < 0x1p-14F) return 0;
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return std::bit_cast<float>((bits + 0xFFFU + ((bits >> 13) & 1U)) & ~0x1FFFU);
  }

 private:
  std::uint32_t next() {
    state_ = state_ * 1664525U + 1013904223U;
    return state_ ^ state_ >> 15;
  }
  std::uint32_t state_;
};

/// A weight of any type with its bytes, at an odd address: weights need not be aligned.
struct Weight {
  std::vector<std::byte> bytes, scale_bytes;
  WeightView view;

  Weight(const std::vector<float>& values, std::size_t rows, WeightType type) {
    view.type = type;
    view.rows = rows;
    view.columns = rows == 0 ? 0 : values.size() / rows;
    bytes.push_back({});
    scale_bytes.push_back({});
    for (std::size_t r = 0; r < rows; ++r) {
      const float scale = (1.0F + 0.1F * static_cast<float>(r % 7)) / 127;
      if (type == WeightType::kInt8) append(scale_bytes, scale);
      for (std::size_t c = 0; c < view.columns; ++c) {
        const float value = values[r * view.columns + c];
        const auto bits = std::bit_cast<std::uint32_t>(value);
        if (type == WeightType::kF32) append(bytes, value);
        if (type == WeightType::kBF16) append(bytes, static_cast<std::uint16_t>(bits >> 16));
        if (type == WeightType::kF16) append(bytes, half(value));
        if (type == WeightType::kInt8)
          append(bytes, static_cast<std::int8_t>(std::lround(std::clamp(value, -1.0F, 1.0F) * 127)));
      }
    }
    view.data = bytes.data() + 1;
    view.scales = scale_bytes.data() + 1;
  }

  /// Values of 1/1024 and more, cut to the ten bits of a half.
  static std::uint16_t half(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000U);
    if (std::fabs(value) < 0x1p-10F) return sign;
    return static_cast<std::uint16_t>(sign | (((bits & 0x7fffffffU) - 0x38000000U) >> 13));
  }
  template <class T>
  static void append(std::vector<std::byte>& target, T value) {
    const auto* source = reinterpret_cast<const std::byte*>(&value);
    target.insert(target.end(), source, source + sizeof(value));
  }
};

/// Ends the test on an error, and only this one where there are exceptions.
template <class T>
T value_of(Expected<T> expected) {
  if (!expected) {
    ADD_FAILURE() << expected.error().message;
    throw std::runtime_error(expected.error().message);
  }
  return std::move(*expected);
}
inline void succeed(const Status& status) {
  ASSERT_TRUE(status) << status.error().message;
}

struct Host {
  std::unique_ptr<Stream> stream;

  explicit Host(Backend& backend) : stream(value_of(backend.make_stream())) {}
  std::unique_ptr<Buffer> upload(const std::vector<float>& values) {
    auto buffer = value_of(stream->allocate(values.size()));
    succeed(stream->upload(values, *buffer, 0));
    return buffer;
  }
  std::unique_ptr<Buffer> empty(std::size_t floats) { return upload(std::vector<float>(floats, -77.0F)); }
  std::vector<float> download(const Buffer& buffer, std::size_t floats) {
    std::vector<float> values(floats);
    succeed(stream->download(buffer, 0, values));
    return values;
  }
};

inline void expect_near(const std::vector<float>& actual, const std::vector<float>& expected,
                        double tolerance, const std::string& where) {
  ASSERT_EQ(actual.size(), expected.size()) << where;
  double worst = -1;
  std::size_t at = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = std::fabs(static_cast<double>(actual[i]) - expected[i]);
    if (!(error <= worst)) {
      worst = error;
      at = i;
    }
  }
  if (!actual.empty())
    EXPECT_LE(worst, tolerance) << where << ": " << actual[at] << " for " << expected[at] << " at " << at;
}

}  // namespace bert_test
