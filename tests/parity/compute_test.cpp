// Every operation of every backend against the reference backend, at ragged and odd sizes: XNNPACK with each
// of our SIMD kernel sets, with one thread and with two, and CUDA in f32 where the build has it (its narrow
// precisions and what it alone can do are in cuda_test.cpp).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "bert/backend.h"
#include "support/backends.h"

namespace {

using namespace bert;
using bert_test::expect_near;
using bert_test::Host;
using bert_test::Numbers;
using bert_test::succeed;
using bert_test::value_of;
using bert_test::Weight;

struct Variant {
  std::string name;
  std::string simd;
  std::size_t threads;
  bool cuda = false;
};

// GoogleTest looks this name up
void PrintTo(const Variant& variant, std::ostream* out) {  // NOLINT(readability-identifier-naming)
  *out << variant.name;
}

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const std::string_view simd : simd_names())
    for (const std::size_t threads : {1U, 2U}) {
      // a WebAssembly build without threads refuses two
      if (threads > 1 && (simd != simd_names().front() || !make_xnnpack_backend(threads))) continue;
      std::string name = std::string(simd) + "_" + std::to_string(threads);
      std::replace(name.begin(), name.end(), ' ', '_');
      all.push_back({name, std::string(simd), threads});
    }
  if (bert_test::kWithCuda) all.push_back({"cuda", "", 1, true});
  return all;
}

class Compute : public testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    reference_ = make_reference_backend();
    if (!GetParam().cuda) {
      backend_ = value_of(make_xnnpack_backend(GetParam().threads, GetParam().simd));
      return;
    }
    auto made = bert_test::cuda_backend(Precision::kF32);
    if (!made) GTEST_SKIP() << made.error().message;
    backend_ = std::move(*made);
  }
  /// Those that one backend takes: CUDA is made for one of them.
  static std::vector<Precision> precisions() {
    if (GetParam().cuda) return {Precision::kF32};
    return {Precision::kF32, Precision::kF16, Precision::kInt8};
  }
  static bool takes(Precision precision) { return precision == Precision::kF32 || !GetParam().cuda; }

  std::shared_ptr<Backend> reference_, backend_;
};

const std::vector<std::size_t> kWidths = {1, 3, 16, 20, 37, 64, 100, 131};

TEST_P(Compute, MovesFloats) {
  Host host(*backend_);
  Numbers numbers(1);
  const auto values = numbers.floats(7 * 20);
  const auto source = host.upload(values);
  const auto target = host.empty(3 * 5);
  const std::vector<std::uint32_t> indices = {6, 0, 6};
  succeed(host.stream->gather(indices, 5, {source.get(), 2, 20}, {target.get(), 0, 5}));
  std::vector<float> expected;
  for (const std::uint32_t index : indices)
    for (std::size_t c = 0; c < 5; ++c) expected.push_back(values[index * 20 + 2 + c]);
  EXPECT_EQ(host.download(*target, 15), expected);
}

TEST_P(Compute, Embeds) {
  const std::size_t rows = 19;
  for (const std::size_t width : kWidths)
    for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16, WeightType::kInt8})
      for (const Precision precision : {Precision::kF32, Precision::kInt8}) {
        if (!takes(precision)) continue;
        Numbers numbers(static_cast<std::uint32_t>(width));
        const Weight words(numbers.floats(23 * width), 23, type);
        const Weight positions(numbers.floats(32 * width), 32, type);
        const Weight types(numbers.floats(2 * width), 2, WeightType::kF32);
        const Weight gamma(numbers.floats(width, 0.5F, 1.5F), 1, WeightType::kF32);
        const Weight beta(numbers.floats(width), 1, WeightType::kF32);
        std::vector<std::int32_t> ids, type_ids, position_ids;
        for (std::size_t r = 0; r < rows; ++r) {
          ids.push_back(static_cast<std::int32_t>(numbers.below(23)));
          type_ids.push_back(static_cast<std::int32_t>(numbers.below(2)));
          position_ids.push_back(static_cast<std::int32_t>(numbers.below(32)));
        }
        std::vector<std::vector<float>> sums, outputs;
        for (Backend* backend : {reference_.get(), backend_.get()}) {
          const auto word_table = value_of(backend->make_table(words.view, precision, TableBytes::kBorrow));
          const auto position_table =
              value_of(backend->make_table(positions.view, Precision::kF32, TableBytes::kCopy));
          const auto type_table =
              value_of(backend->make_table(types.view, Precision::kF32, TableBytes::kCopy));
          const auto norm = value_of(backend->make_layer_norm(gamma.view, beta.view, 1e-12F));
          Host host(*backend);
          const auto sum = host.empty(rows * width);
          const auto output = host.empty(rows * width);
          succeed(host.stream->embed({word_table.get(), position_table.get(), type_table.get(), norm.get()},
                                     ids, type_ids, position_ids, {sum.get(), 0, width},
                                     {output.get(), 0, width}));
          sums.push_back(host.download(*sum, rows * width));
          outputs.push_back(host.download(*output, rows * width));
        }
        const std::string where =
            "width " + std::to_string(width) + ", type " + std::to_string(static_cast<int>(type));
        expect_near(sums[1], sums[0], 5e-7, where + ", sum");
        // one column has no variance: what is normalised there is rounding
        if (width > 1) expect_near(outputs[1], outputs[0], 2e-5, where);
      }
}

TEST_P(Compute, KeepsTheBytesOfTables) {
  if (GetParam().cuda) GTEST_SKIP() << "a device reads no caller's memory";
  Numbers numbers(2);
  for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16, WeightType::kInt8}) {
    const Weight words(numbers.floats(6 * 10), 6, type);
    const std::size_t size = type == WeightType::kF32 ? 4 : type == WeightType::kInt8 ? 1 : 2;
    const std::size_t widest[] = {4, 2, 1};
    for (const Precision precision : {Precision::kF32, Precision::kF16, Precision::kInt8}) {
      const bool fits = size <= widest[static_cast<std::size_t>(precision)];
      const auto borrowed = value_of(backend_->make_table(words.view, precision, TableBytes::kBorrow));
      const auto copied = value_of(backend_->make_table(words.view, precision, TableBytes::kCopy));
      EXPECT_EQ(borrowed->owned_bytes() == 0, fits);
      EXPECT_GT(copied->owned_bytes(), 0U);
    }
  }
}

struct LinearSize {
  std::size_t inputs, outputs;
};
const std::vector<LinearSize> kLinearSizes = {{1, 1},   {2, 3},    {3, 17},   {7, 2},    {16, 64}, {20, 65},
                                              {33, 15}, {64, 130}, {65, 129}, {100, 31}, {257, 66}};

/// Runs stacked layers on both backends and compares.
void compare_linear(Backend& reference, Backend& backend, std::span<const LinearView> parts,
                    Precision precision, Activation activation, const std::vector<float>& input,
                    std::size_t rows, double tolerance, const std::string& where) {
  std::vector<std::vector<float>> results;
  for (Backend* one : {&reference, &backend}) {
    const auto layer = value_of(one->make_linear(parts, precision));
    Host host(*one);
    const auto source = host.upload(input);
    const auto target = host.empty(rows * layer->outputs());
    succeed(host.stream->linear(*layer, activation, rows, {source.get(), 0, layer->inputs()},
                                {target.get(), 0, layer->outputs()}));
    results.push_back(host.download(*target, rows * layer->outputs()));
  }
  expect_near(results[1], results[0], tolerance, where);
}

TEST_P(Compute, Linear) {
  for (const Precision precision : {Precision::kF32, Precision::kF16})
    for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16, WeightType::kInt8})
      for (const LinearSize& size : kLinearSizes)
        for (const std::size_t rows : {1U, 2U, 6U, 7U, 15U, 33U}) {
          if (!takes(precision)) continue;
          Numbers numbers(static_cast<std::uint32_t>(size.inputs + rows));
          const Weight weight(numbers.floats(size.inputs * size.outputs), size.outputs, type);
          const Weight bias(numbers.floats(size.outputs), 1, WeightType::kF32);
          const LinearView layer{weight.view, bias.view};
          const std::string where = std::string(precision_name(precision)) + " " +
                                    std::to_string(size.inputs) + " to " + std::to_string(size.outputs) +
                                    ", rows " + std::to_string(rows);
          // half an ulp of each of the partial sums, whose size is at most sqrt(inputs) or so
          const double tolerance = 3e-7 * static_cast<double>(size.inputs + 2);
          compare_linear(*reference_, *backend_, std::span(&layer, 1), precision, Activation::kNone,
                         numbers.floats(rows * size.inputs), rows, tolerance, where);
        }
}

/// Inputs that a backend's int8 layers hold exactly: whole steps, zero among them, with the least and the
/// largest in every 16 inputs of a row, so that it may quantise a row in parts. `steps` is its
/// int8_input_steps; a row's step is `step`, or one of its own if that is 0.
std::vector<float> whole_steps(Numbers& numbers, std::size_t rows, std::size_t inputs, std::size_t steps,
                               float step = 0) {
  constexpr std::size_t kPart = 16;
  std::vector<float> values(rows * inputs);
  for (std::size_t r = 0; r < rows; ++r) {
    const float size = step != 0 ? step : numbers.between(0.003F, 0.02F);
    const int zero = static_cast<int>(steps / 4 + numbers.below(steps / 2));
    for (std::size_t begin = 0; begin < inputs; begin += kPart) {
      const std::size_t count = std::min(kPart, inputs - begin);
      for (std::size_t i = 0; i < count; ++i) {
        int whole = count == 1 ? zero : static_cast<int>(numbers.below(steps + 1));
        if (count > 1 && i == r % count) whole = 0;
        if (count > 1 && i == (r + 1) % count) whole = static_cast<int>(steps);
        values[r * inputs + begin + i] = static_cast<float>(whole - zero) * size;
      }
    }
  }
  return values;
}

TEST_P(Compute, LinearInt8IsExactOnWholeSteps) {
  if (!takes(Precision::kInt8)) GTEST_SKIP() << "f32 alone";
  for (const WeightType type : {WeightType::kF32, WeightType::kInt8})
    for (const LinearSize& size : kLinearSizes) {
      if (size.inputs < 2) continue;
      for (const std::size_t rows : {1U, 2U, 9U, 10U, 16U, 17U, 35U}) {
        Numbers numbers(static_cast<std::uint32_t>(size.outputs + rows));
        const Weight weight(numbers.floats(size.inputs * size.outputs), size.outputs, type);
        const Weight bias(numbers.floats(size.outputs), 1, WeightType::kF32);
        const LinearView layer{weight.view, bias.view};
        compare_linear(*reference_, *backend_, std::span(&layer, 1), Precision::kInt8, Activation::kNone,
                       whole_steps(numbers, rows, size.inputs, backend_->int8_input_steps()), rows,
                       4e-6 * static_cast<double>(size.inputs + 2),
                       "int8 " + std::to_string(size.inputs) + " to " + std::to_string(size.outputs) +
                           ", rows " + std::to_string(rows));
      }
    }
}

/// Layers larger than a cache are cut into pieces: sizes that end within a piece, and with several of them.
const std::vector<LinearSize> kLargeLinearSizes = {{257, 1000}, {300, 2111}, {771, 3070}, {1540, 130}};

TEST_P(Compute, LargeLinear) {
  for (const LinearSize& size : kLargeLinearSizes)
    for (const std::size_t rows : {1U, 19U, 45U}) {
      if (size.outputs > 1000 && rows > 19) continue;
      Numbers numbers(static_cast<std::uint32_t>(size.outputs + rows));
      const Weight weight(numbers.floats(size.inputs * size.outputs), size.outputs, WeightType::kF32);
      const Weight bias(numbers.floats(size.outputs), 1, WeightType::kF32);
      const LinearView layer{weight.view, bias.view};
      const std::string where = std::to_string(size.inputs) + " to " + std::to_string(size.outputs) +
                                ", rows " + std::to_string(rows);
      for (const Precision precision : {Precision::kF32, Precision::kF16}) {
        if (!takes(precision)) continue;
        compare_linear(*reference_, *backend_, std::span(&layer, 1), precision, Activation::kGelu,
                       numbers.floats(rows * size.inputs), rows, 3e-7 * static_cast<double>(size.inputs + 2),
                       std::string(precision_name(precision)) + " " + where);
      }
      if (!takes(Precision::kInt8)) continue;
      compare_linear(*reference_, *backend_, std::span(&layer, 1), Precision::kInt8, Activation::kNone,
                     whole_steps(numbers, rows, size.inputs, backend_->int8_input_steps()), rows,
                     4e-6 * static_cast<double>(size.inputs + 2), "int8 " + where);
    }
}

/// A text has the same numbers alone and in a batch: sums are made in one order, however the rows are parted.
TEST_P(Compute, ARowHasTheSameSumsWhateverIsBesideIt) {
  if (backend_->name() != "xnnpack") GTEST_SKIP() << "other libraries choose their order by the size";
  constexpr std::size_t kRows = 45;
  for (const LinearSize& size : {LinearSize{100, 70}, {771, 130}, {1540, 130}})
    for (const Precision precision : {Precision::kF32, Precision::kF16, Precision::kInt8}) {
      if (!takes(precision)) continue;
      Numbers numbers(static_cast<std::uint32_t>(size.inputs));
      const Weight weight(numbers.floats(size.inputs * size.outputs), size.outputs, WeightType::kF32);
      const Weight bias(numbers.floats(size.outputs), 1, WeightType::kF32);
      const LinearView view{weight.view, bias.view};
      const auto layer = value_of(backend_->make_linear(std::span(&view, 1), precision));
      Host host(*backend_);
      const auto source = host.upload(numbers.floats(kRows * size.inputs));
      const auto compute = [&](std::size_t first, std::size_t rows) {
        const auto target = host.empty(rows * size.outputs);
        succeed(host.stream->linear(*layer, Activation::kGelu, rows,
                                    {source.get(), first * size.inputs, size.inputs},
                                    {target.get(), 0, size.outputs}));
        return host.download(*target, rows * size.outputs);
      };
      const std::vector<float> all = compute(0, kRows);
      for (const auto& [first, rows] :
           {std::pair<std::size_t, std::size_t>{0, 1}, {3, 17}, {5, 40}, {44, 1}}) {
        const std::vector<float> some = compute(first, rows);
        EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + first * size.outputs))
            << precision_name(precision) << ", " << size.inputs << " inputs, " << rows << " rows";
      }
    }
}

/// Scales and steps that are powers of two leave only whole numbers below 2^24: no bit may differ from plain
/// loops, whatever the order of the sums.
TEST_P(Compute, LinearInt8IsExactToTheLastBit) {
  if (!takes(Precision::kInt8)) GTEST_SKIP() << "f32 alone";
  std::vector<LinearSize> sizes = kLinearSizes;
  sizes.insert(sizes.end(), kLargeLinearSizes.begin(), kLargeLinearSizes.end());
  const std::size_t steps = backend_->int8_input_steps();
  constexpr float kStep = 0.015625F;
  for (const LinearSize& size : sizes)
    for (const std::size_t rows : {1U, 2U, 3U, 4U, 5U, 35U}) {
      if (size.inputs < 2 || (size.outputs > 1000 && rows > 5)) continue;
      Numbers numbers(static_cast<std::uint32_t>(size.inputs + rows));
      Weight weight(numbers.floats(size.inputs * size.outputs), size.outputs, WeightType::kInt8);
      // the largest products there are, all of one sign: whatever adds them up must not overflow
      for (std::size_t o = 0; o < std::min<std::size_t>(3, size.outputs); ++o)
        std::memset(weight.bytes.data() + 1 + o * size.inputs,
                    o == 0   ? 127
                    : o == 1 ? -127
                             : -128,
                    size.inputs);
      // sums that 16 bits just hold, two sums of pairs together (258 * 127), and that they just do not
      for (std::size_t o = 16; o < size.outputs; ++o) {
        auto* const row = reinterpret_cast<std::int8_t*>(weight.bytes.data() + 1 + o * size.inputs);
        const int sign = o % 2 == 0 ? 1 : -1, least = o / 16 % 4 == 2 ? 4 : 5;
        for (std::size_t i = 0; i < size.inputs; ++i) {
          if (o / 16 % 4 == 1) row[i] /= 2;
          if (o / 16 % 4 >= 2)
            row[i] = static_cast<std::int8_t>(sign * (i % 8 < 4 ? 127 : i % 2 == 0 ? least : 0));
        }
      }
      for (std::size_t o = 0; o < size.outputs; ++o) {
        const float scale = o % 2 == 0 ? 0.5F : 0.0625F;
        std::memcpy(weight.scale_bytes.data() + 1 + o * sizeof(scale), &scale, sizeof(scale));
      }
      std::vector<float> biases(size.outputs);
      for (float& bias : biases) bias = static_cast<float>(numbers.below(2048)) * 0.25F;
      const Weight bias(biases, 1, WeightType::kF32);
      const LinearView layer{weight.view, bias.view};
      std::vector<float> values = whole_steps(numbers, rows, size.inputs, steps, kStep);
      if (steps * 128 * size.inputs < std::size_t{1} << 24)
        for (std::size_t i = 0; i < size.inputs; ++i)
          values[i] = i + 1 == size.inputs && i % 16 == 0 ? 0 : static_cast<float>(steps) * kStep;
      compare_linear(*reference_, *backend_, std::span(&layer, 1), Precision::kInt8, Activation::kNone,
                     values, rows, 0,
                     std::to_string(size.inputs) + " to " + std::to_string(size.outputs) + ", rows " +
                         std::to_string(rows));
    }
}

TEST_P(Compute, LinearInt8ErrsByHalfAStepOfItsInputs) {
  if (!takes(Precision::kInt8)) GTEST_SKIP() << "f32 alone";
  Numbers numbers(5);
  const std::size_t inputs = 100, outputs = 33, rows = 21;
  const Weight weight(numbers.floats(inputs * outputs), outputs, WeightType::kInt8);
  const Weight bias(numbers.floats(outputs), 1, WeightType::kF32);
  const LinearView layer{weight.view, bias.view};
  const auto values = numbers.floats(rows * inputs, -2, 3);
  std::vector<std::vector<float>> results;
  for (Backend* one : {reference_.get(), backend_.get()}) {
    const auto linear = value_of(one->make_linear(std::span(&layer, 1), Precision::kInt8));
    Host host(*one);
    const auto source = host.upload(values);
    const auto target = host.empty(rows * outputs);
    succeed(host.stream->linear(*linear, Activation::kNone, rows, {source.get(), 0, inputs},
                                {target.get(), 0, outputs}));
    results.push_back(host.download(*target, rows * outputs));
  }
  double worst = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    float least = 0, largest = 0;
    for (std::size_t i = 0; i < inputs; ++i) {
      least = std::min(least, values[r * inputs + i]);
      largest = std::max(largest, values[r * inputs + i]);
    }
    const double step =
        (static_cast<double>(largest) - least) / static_cast<double>(backend_->int8_input_steps());
    for (std::size_t o = 0; o < outputs; ++o) {
      double size = 0;
      for (std::size_t i = 0; i < inputs; ++i)
        size += std::fabs(static_cast<double>(static_cast<std::int8_t>(weight.view.data[o * inputs + i])));
      float scale = 0;
      std::memcpy(&scale, weight.view.scales + o * sizeof(float), sizeof(scale));
      const double error =
          std::fabs(static_cast<double>(results[1][r * outputs + o]) - results[0][r * outputs + o]);
      EXPECT_LE(error, 0.51 * step * size * scale + 1e-5);
      worst = std::max(worst, error);
    }
  }
  EXPECT_GT(worst, 1e-4) << "inputs were not quantised at all";
}

TEST_P(Compute, StacksLinearLayers) {
  Numbers numbers(6);
  const std::size_t inputs = 40, rows = 9;
  const Weight a(numbers.floats(20 * inputs), 20, WeightType::kF32);
  const Weight b(numbers.floats(7 * inputs), 7, WeightType::kInt8);
  const Weight c(numbers.floats(50 * inputs), 50, WeightType::kF16);
  const Weight bias_a(numbers.floats(20), 1, WeightType::kF32);
  const Weight bias_c(numbers.floats(50), 1, WeightType::kBF16);
  const std::vector<LinearView> parts = {{a.view, bias_a.view}, {b.view, {}}, {c.view, bias_c.view}};
  for (const Precision precision : precisions())
    compare_linear(*reference_, *backend_, parts, precision, Activation::kNone,
                   takes(Precision::kInt8) ? whole_steps(numbers, rows, inputs, backend_->int8_input_steps())
                                           : numbers.floats(rows * inputs),
                   rows, precision == Precision::kInt8 ? 2e-4 : 2e-5,
                   "stacked, " + std::string(precision_name(precision)));
  const Weight narrow(numbers.floats(20 * 39), 20, WeightType::kF32);
  const std::vector<LinearView> misfit = {{a.view, bias_a.view}, {narrow.view, {}}};
  for (Backend* backend : {reference_.get(), backend_.get()}) {
    const auto refused = backend->make_linear(misfit, Precision::kF32);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(refused.error().message.find("39"), std::string::npos) << refused.error().message;
  }
}

TEST_P(Compute, ActivationsAreAccurate) {
  // a layer of weight 1 shows the activation alone
  const Weight one({1.0F}, 1, WeightType::kF32);
  const LinearView layer{one.view, {}};
  std::vector<float> points;
  for (int i = -120000; i <= 120000; ++i) points.push_back(static_cast<float>(i) * 1e-4F);
  for (const float point : {0.0F, -0.0F, 1e-30F, -1e-30F, 30.0F, -30.0F, 1e4F, -1e4F, 1e10F, -1e10F})
    points.push_back(point);
  const auto linear = value_of(backend_->make_linear(std::span(&layer, 1), Precision::kF32));
  Host host(*backend_);
  const auto source = host.upload(points);
  const auto target = host.empty(points.size());
  const auto apply = [&](Activation activation) {
    succeed(
        host.stream->linear(*linear, activation, points.size(), {source.get(), 0, 1}, {target.get(), 0, 1}));
    return host.download(*target, points.size());
  };
  const auto check = [&](Activation activation, auto exact, double absolute, double relative) {
    const auto values = apply(activation);
    double worst = 0;
    float at = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const double truth = exact(static_cast<double>(points[i]));
      const double error = std::fabs(values[i] - truth) / (absolute + relative * std::fabs(truth));
      if (!(error <= worst)) {
        worst = error;
        at = points[i];
      }
    }
    EXPECT_LE(worst, 1) << "activation " << static_cast<int>(activation) << " at " << at;
  };
  check(
      Activation::kGelu, [](double x) { return 0.5 * x * std::erfc(-x * std::sqrt(0.5)); }, 1e-6, 2e-7);
  check(
      Activation::kGeluNew,
      [](double x) {
        return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
      },
      1e-6, 2e-7);
  check(
      Activation::kTanh, [](double x) { return std::tanh(x); }, 2e-7, 0);
  check(
      Activation::kRelu, [](double x) { return x > 0 ? x : 0; }, 1e-30, 0);
}

TEST_P(Compute, ActivationsOfAnySize) {
  for (const Activation activation :
       {Activation::kGelu, Activation::kGeluNew, Activation::kTanh, Activation::kRelu, Activation::kNone})
    for (const LinearSize& size : kLinearSizes) {
      Numbers numbers(7);
      const Weight weight(numbers.floats(size.inputs * size.outputs), size.outputs, WeightType::kF32);
      const Weight bias(numbers.floats(size.outputs, -3, 3), 1, WeightType::kF32);
      const LinearView layer{weight.view, bias.view};
      compare_linear(*reference_, *backend_, std::span(&layer, 1), Precision::kF32, activation,
                     numbers.floats(3 * size.inputs), 3, 3e-7 * static_cast<double>(size.inputs + 4),
                     "activation " + std::to_string(static_cast<int>(activation)));
    }
}

TEST_P(Compute, AddsAndNormalises) {
  const std::size_t rows = 18;
  for (const std::size_t width : kWidths) {
    if (width < 3) continue;
    Numbers numbers(static_cast<std::uint32_t>(width) + 50);
    const auto input = numbers.floats(rows * width, -2, 4);
    const auto residual = numbers.floats(rows * width);
    const Weight gamma(numbers.floats(width, 0.5F, 1.5F), 1, WeightType::kF16);
    const Weight beta(numbers.floats(width), 1, WeightType::kBF16);
    for (const float epsilon : {1e-12F, 0.01F})
      for (int form = 0; form < 4; ++form) {
        std::vector<std::vector<float>> results;
        for (Backend* backend : {reference_.get(), backend_.get()}) {
          const auto norm = value_of(backend->make_layer_norm(gamma.view, beta.view, epsilon));
          Host host(*backend);
          const auto a = host.upload(input);
          const auto b = host.upload(residual);
          const auto c = host.empty(rows * width);
          Buffer* target = form == 1 ? a.get() : form == 2 ? b.get() : c.get();
          const Rows second = form == 3 ? Rows{} : Rows{b.get(), 0, width};
          succeed(host.stream->add_normalise(*norm, rows, {a.get(), 0, width}, second, {target, 0, width}));
          results.push_back(host.download(*target, rows * width));
        }
        expect_near(results[1], results[0], 4e-6,
                    "width " + std::to_string(width) + ", form " + std::to_string(form));
      }
  }
  const Weight three(std::vector<float>(3, 1.0F), 1, WeightType::kF32);
  const Weight four(std::vector<float>(4, 1.0F), 1, WeightType::kF32);
  EXPECT_FALSE(backend_->make_layer_norm(three.view, four.view, 1e-12F));
}

struct AttentionSize {
  std::size_t heads, head_size;
};

TEST_P(Compute, Attends) {
  // lengths; of the third sequence nothing is asked, of the others all or some
  const std::vector<std::size_t> lengths = {1, 5, 2, 17, 31, 70};
  for (const AttentionSize& size :
       {AttentionSize{1, 1}, AttentionSize{2, 3}, AttentionSize{3, 16}, AttentionSize{4, 20},
        AttentionSize{2, 64}, AttentionSize{1, 65}, AttentionSize{1, 131}})
    for (const bool some : {false, true})
      for (const int hidden : {0, 1, 2})
        for (const float range : {1.0F, 8.0F}) {
          Numbers numbers(static_cast<std::uint32_t>(size.head_size + size.heads));
          const std::size_t width = size.heads * size.head_size;
          std::vector<AttentionSequence> sequences;
          std::size_t rows = 0, queries = 0, matrix = 0;
          for (std::size_t s = 0; s < lengths.size(); ++s) {
            AttentionSequence sequence;
            sequence.key_row = rows;
            sequence.key_count = lengths[s];
            sequence.query_row = queries;
            sequence.query_count = s == 2 ? 0 : some ? 1 + numbers.below(lengths[s]) : lengths[s];
            sequences.push_back(sequence);
            rows += lengths[s];
            queries += sequence.query_count;
            matrix += size.heads * sequence.query_count * lengths[s];
          }
          std::vector<std::uint8_t> visible;
          if (hidden != 0)
            for (std::size_t r = 0; r < rows; ++r) visible.push_back(numbers.below(3) != 0 ? 1 : 0);
          if (hidden == 2)  // one sequence without any visible key
            for (std::size_t r = 0; r < lengths[3]; ++r) visible[sequences[3].key_row + r] = 0;
          const auto query = numbers.floats(queries * (width + 3), -range, range);
          const auto qkv = numbers.floats(rows * 3 * width, -range, range);

          std::vector<std::vector<float>> contexts, probabilities, scores;
          for (Backend* backend : {reference_.get(), backend_.get()})
            for (const bool taps : {true, false}) {
              Host host(*backend);
              const auto q = host.upload(query);
              const auto kv = host.upload(qkv);
              const auto context = host.empty(queries * width);
              const auto p = host.empty(matrix);
              const auto s = host.empty(matrix);
              AttentionCall call;
              call.query = {q.get(), 2, width + 3};
              call.key = {kv.get(), width, 3 * width};
              call.value = {kv.get(), 2 * width, 3 * width};
              call.context = {context.get(), 0, width};
              call.heads = size.heads;
              call.head_size = size.head_size;
              call.scale = 1 / std::sqrt(static_cast<float>(size.head_size));
              call.sequences = sequences;
              call.key_visible = visible;
              if (taps) {
                call.probabilities = p.get();
                call.scores = s.get();
              }
              succeed(host.stream->attention(call));
              contexts.push_back(host.download(*context, queries * width));
              if (!taps) continue;
              probabilities.push_back(host.download(*p, matrix));
              scores.push_back(host.download(*s, matrix));
            }
          const std::string where = std::to_string(size.heads) + " heads of " +
                                    std::to_string(size.head_size) + (some ? ", some" : ", all") +
                                    ", hidden " + std::to_string(hidden);
          const double tolerance = 1e-6 * range * range * std::sqrt(static_cast<double>(size.head_size) + 1);
          expect_near(scores[1], scores[0], tolerance, where + ", scores");
          expect_near(probabilities[1], probabilities[0], tolerance, where + ", probabilities");
          expect_near(contexts[2], contexts[0], 3 * tolerance * range, where);
          if (GetParam().cuda)  // other kernels, whose sums have another order
            expect_near(contexts[3], contexts[0], 3 * tolerance * range, where + ", no taps");
          else
            EXPECT_EQ(contexts[2], contexts[3]) << where << ": taps change the result";
          // hidden keys have exactly nothing
          std::size_t at = 0;
          for (const AttentionSequence& sequence : sequences) {
            bool any = false;
            for (std::size_t j = 0; j < sequence.key_count; ++j)
              any = any || visible.empty() || visible[sequence.key_row + j] != 0;
            for (std::size_t row = 0; row < size.heads * sequence.query_count; ++row)
              for (std::size_t j = 0; j < sequence.key_count; ++j, ++at) {
                if (any && !visible.empty() && visible[sequence.key_row + j] == 0)
                  ASSERT_EQ(probabilities[1][at], 0.0F) << where;
                if (!any)
                  ASSERT_NEAR(probabilities[1][at], 1.0 / static_cast<double>(sequence.key_count), 1e-7)
                      << where;
              }
          }
        }
}

/// As long as the model reads, where the work is cut into blocks of queries and keys.
TEST_P(Compute, AttendsOverLongSequences) {
  const std::vector<std::size_t> lengths = {512, 1, 259};
  const std::size_t heads = 2, head_size = 33, width = heads * head_size, rows = 772;
  Numbers numbers(77);
  const auto qkv = numbers.floats(rows * 3 * width, -2, 2);
  std::vector<std::vector<float>> contexts, probabilities;
  for (Backend* backend : {reference_.get(), backend_.get()}) {
    Host host(*backend);
    const auto source = host.upload(qkv);
    const auto context = host.empty(rows * width);
    std::vector<AttentionSequence> sequences;
    std::size_t first = 0, matrix = 0;
    for (const std::size_t length : lengths) {
      sequences.push_back({first, length, first, length});
      first += length;
      matrix += heads * length * length;
    }
    ASSERT_EQ(first, rows);
    const auto p = host.empty(matrix);
    AttentionCall call;
    call.query = {source.get(), 0, 3 * width};
    call.key = {source.get(), width, 3 * width};
    call.value = {source.get(), 2 * width, 3 * width};
    call.context = {context.get(), 0, width};
    call.heads = heads;
    call.head_size = head_size;
    call.scale = 1 / std::sqrt(static_cast<float>(head_size));
    call.sequences = sequences;
    succeed(host.stream->attention(call));
    contexts.push_back(host.download(*context, rows * width));
    call.probabilities = p.get();
    succeed(host.stream->attention(call));
    contexts.push_back(host.download(*context, rows * width));
    probabilities.push_back(host.download(*p, matrix));
  }
  expect_near(contexts[2], contexts[0], 1e-5, "contexts");
  if (GetParam().cuda)
    expect_near(contexts[3], contexts[0], 1e-5, "contexts with taps");
  else
    EXPECT_EQ(contexts[2], contexts[3]) << "taps change the result";
  expect_near(probabilities[1], probabilities[0], 1e-5, "probabilities");
}

TEST_P(Compute, MultipliesByTheVocabulary) {
  for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16, WeightType::kInt8})
    for (const std::size_t width : kWidths)
      for (const std::size_t rows : {1U, 2U, 3U, 4U, 9U})
        for (const std::size_t entries : {1U, 3U, 301U}) {
          if (entries > 3 && rows > 4 && width < 100) continue;
          Numbers numbers(static_cast<std::uint32_t>(width + entries));
          const Weight table(numbers.floats(entries * width), entries, type);
          const Weight bias(numbers.floats(entries), 1, WeightType::kF32);
          const auto input = numbers.floats(rows * (width + 2));
          const bool with_bias = rows % 2 == 1;
          std::vector<std::vector<float>> results;
          for (Backend* backend : {reference_.get(), backend_.get()}) {
            const auto made = value_of(backend->make_table(table.view, Precision::kF32, TableBytes::kBorrow));
            const auto vector = value_of(backend->make_vector(bias.view));
            Host host(*backend);
            const auto source = host.upload(input);
            const auto target = host.empty(rows * entries);
            succeed(host.stream->vocabulary(*made, with_bias ? vector.get() : nullptr, rows,
                                            {source.get(), 1, width + 2}, {target.get(), 0, entries}));
            results.push_back(host.download(*target, rows * entries));
          }
          expect_near(results[1], results[0], 3e-7 * static_cast<double>(width + 2),
                      "type " + std::to_string(static_cast<int>(type)) + ", " + std::to_string(entries) +
                          " x " + std::to_string(width) + ", rows " + std::to_string(rows));
        }
}

TEST_P(Compute, SharesWeightsBetweenStreams) {
  Numbers numbers(8);
  const Weight weight(numbers.floats(64 * 48), 48, WeightType::kF32);
  const LinearView layer{weight.view, {}};
  for (const Precision precision : precisions()) {
    const auto linear = value_of(backend_->make_linear(std::span(&layer, 1), precision));
    const auto input = numbers.floats(11 * 64);
    std::vector<std::vector<float>> results;
    for (int i = 0; i < 3; ++i) {
      Host host(*backend_);
      const auto source = host.upload(input);
      const auto target = host.empty(11 * 48);
      for (int again = 0; again < 2; ++again)
        succeed(host.stream->linear(*linear, Activation::kNone, 11, {source.get(), 0, 64},
                                    {target.get(), 0, 48}));
      results.push_back(host.download(*target, 11 * 48));
    }
    EXPECT_EQ(results[1], results[0]);
    EXPECT_EQ(results[2], results[0]);
  }
}

/// What is not a number does not become one, and stays in its row.
TEST_P(Compute, NotANumberShows) {
  Numbers numbers(9);
  const Weight weight(numbers.floats(40 * 24, 0.5F, 1.0F), 24, WeightType::kF32);
  const LinearView layer{weight.view, {}};
  for (const Precision precision : precisions())
    for (const float odd : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
      const auto linear = value_of(backend_->make_linear(std::span(&layer, 1), precision));
      auto input = numbers.floats(3 * 40);
      input[40 + 7] = odd;
      Host host(*backend_);
      const auto source = host.upload(input);
      const auto target = host.empty(3 * 24);
      succeed(
          host.stream->linear(*linear, Activation::kNone, 3, {source.get(), 0, 40}, {target.get(), 0, 24}));
      const auto values = host.download(*target, 3 * 24);
      for (std::size_t i = 0; i < values.size(); ++i)
        EXPECT_EQ(std::isfinite(values[i]), i / 24 != 1) << precision_name(precision) << ", value " << i;
    }
}

TEST_P(Compute, NotANumberPassesActivations) {
  // XNNPACK's products, which other sets have, make an infinity of it before
  if (!GetParam().simd.starts_with("avx") && !GetParam().cuda) GTEST_SKIP() << "not our own products";
  const Weight one({1.0F}, 1, WeightType::kF32);
  const LinearView layer{one.view, {}};
  const auto linear = value_of(backend_->make_linear(std::span(&layer, 1), Precision::kF32));
  std::vector<float> points(37, 0.5F);
  points[5] = points[36] = std::nanf("");
  Host host(*backend_);
  const auto source = host.upload(points);
  const auto target = host.empty(points.size());
  for (const Activation activation :
       {Activation::kGelu, Activation::kGeluNew, Activation::kTanh, Activation::kRelu}) {
    if (activation == Activation::kRelu && GetParam().cuda) continue;  // 0, as the reference's
    succeed(
        host.stream->linear(*linear, activation, points.size(), {source.get(), 0, 1}, {target.get(), 0, 1}));
    const auto values = host.download(*target, points.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      EXPECT_EQ(std::isnan(values[i]), i == 5 || i == 36) << static_cast<int>(activation) << ", value " << i;
  }
}

TEST_P(Compute, NotANumberPassesAttention) {
  // two sequences of one head; one query and one key of the first are no numbers
  constexpr std::size_t kTokens = 9, kSize = 16;
  Numbers numbers(3);
  auto query = numbers.floats(2 * kTokens * kSize);
  const auto key = numbers.floats(2 * kTokens * kSize), value = numbers.floats(2 * kTokens * kSize);
  query[2 * kSize + 1] = std::nanf("");
  Host host(*backend_);
  const auto queries = host.upload(query), keys = host.upload(key), values = host.upload(value);
  const auto context = host.empty(2 * kTokens * kSize);
  const AttentionSequence sequences[] = {
      {.query_row = 0, .query_count = kTokens, .key_row = 0, .key_count = kTokens},
      {.query_row = kTokens, .query_count = kTokens, .key_row = kTokens, .key_count = kTokens}};
  AttentionCall call;
  call.query = {queries.get(), 0, kSize};
  call.key = {keys.get(), 0, kSize};
  call.value = {values.get(), 0, kSize};
  call.context = {context.get(), 0, kSize};
  call.heads = 1;
  call.head_size = kSize;
  call.scale = 0.25F;
  call.sequences = sequences;
  succeed(host.stream->attention(call));
  const auto result = host.download(*context, 2 * kTokens * kSize);
  for (std::size_t i = 0; i < result.size(); ++i)
    EXPECT_EQ(std::isnan(result[i]), i / kSize == 2) << "row " << i / kSize;
}

TEST_P(Compute, RefusesWeightsThatAreNoNumbers) {
  if (!takes(Precision::kInt8)) GTEST_SKIP() << "f32 alone";
  for (const float odd : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    const Weight weight({1.0F, 2.0F, odd, 4.0F}, 2, WeightType::kF32);
    const LinearView layer{weight.view, {}};
    const auto linear = backend_->make_linear(std::span(&layer, 1), Precision::kInt8);
    const auto table = backend_->make_table(weight.view, Precision::kInt8, TableBytes::kCopy);
    ASSERT_FALSE(linear);
    ASSERT_FALSE(table);
    EXPECT_EQ(linear.error().code, ErrorCode::kInvalidModel);
    EXPECT_EQ(table.error().code, ErrorCode::kInvalidModel);
  }
}

TEST_P(Compute, RefusesScalesThatAreNone) {
  if (!takes(Precision::kInt8)) GTEST_SKIP() << "f32 alone";
  Weight weight(std::vector<float>(6, 0.5F), 2, WeightType::kInt8);
  const LinearView layer{weight.view, {}};
  for (const float scale : {0.0F, -1.0F, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    std::memcpy(weight.scale_bytes.data() + 1, &scale, sizeof(scale));
    for (Backend* backend : {reference_.get(), backend_.get()})
      for (const Precision precision : precisions()) {
        const auto linear = backend->make_linear(std::span(&layer, 1), precision);
        ASSERT_FALSE(linear);
        EXPECT_EQ(linear.error().code, ErrorCode::kInvalidModel);
        for (const TableBytes bytes : {TableBytes::kBorrow, TableBytes::kCopy}) {
          const auto table = backend->make_table(weight.view, precision, bytes);
          ASSERT_FALSE(table);
          EXPECT_EQ(table.error().code, ErrorCode::kInvalidModel);
        }
      }
  }
}

TEST_P(Compute, RefusesWeightsBeyondHalf) {
  if (!takes(Precision::kF16)) GTEST_SKIP() << "f32 alone";
  for (const float odd : {65519.0F, 65520.0F, -1e6F, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    const Weight weight({1.0F, 2.0F, odd, 4.0F}, 2, WeightType::kF32);
    const LinearView layer{weight.view, {}};
    for (Backend* backend : {reference_.get(), backend_.get()}) {
      const auto linear = backend->make_linear(std::span(&layer, 1), Precision::kF16);
      const auto table = backend->make_table(weight.view, Precision::kF16, TableBytes::kCopy);
      ASSERT_EQ(linear.has_value(), odd == 65519.0F) << odd;
      ASSERT_EQ(table.has_value(), odd == 65519.0F) << odd;
      if (linear) continue;
      EXPECT_EQ(linear.error().code, ErrorCode::kInvalidModel);
      EXPECT_EQ(table.error().code, ErrorCode::kInvalidModel);
      EXPECT_EQ(linear.error().message, table.error().message);
      EXPECT_NE(linear.error().message.find(std::isfinite(odd) ? "beyond the range of f16" : "damaged"),
                std::string::npos);
    }
  }
}

/// What a backend that keeps everything as f16 asks: the answer is that of layers in host memory.
TEST_P(Compute, ChecksHalvesAsItNarrowsThem) {
  if (!takes(Precision::kF16)) GTEST_SKIP() << "f32 alone";
  const auto expect_same = [&](const Weight& weight, bool fits, const std::string& where) {
    const LinearView layer{weight.view, {}};
    const Status checked = check_halves(weight.view);
    EXPECT_EQ(checked.has_value(), fits) << where;
    for (Backend* backend : {reference_.get(), backend_.get()}) {
      const auto linear = backend->make_linear(std::span(&layer, 1), Precision::kF16);
      ASSERT_EQ(linear.has_value(), checked.has_value()) << where;
      if (linear) continue;
      EXPECT_EQ(checked.error().code, ErrorCode::kInvalidModel) << where;
      EXPECT_EQ(checked.error().message, linear.error().message) << where;
    }
  };
  constexpr std::size_t kRows = 3, kColumns = 37;
  for (const std::size_t at : {std::size_t{0}, std::size_t{40}, kRows * kColumns - 1}) {
    const auto where = [&](const std::string& what) { return what + " at " + std::to_string(at); };
    for (const float odd : {1.0F, 65504.0F, 65519.0F, 65520.0F, 65536.0F, -1e6F, 3e38F,
                            std::numeric_limits<float>::infinity(), std::nanf("")}) {
      std::vector<float> values(kRows * kColumns, 0.5F);
      for (const float value : {odd, -odd}) {
        values[at] = value;
        expect_same({values, kRows, WeightType::kF32}, std::fabs(odd) < 65520.0F,
                    where("f32 " + std::to_string(value)));
        // cut to the bits of a bf16, whose next number below 65536 is 65280
        expect_same({values, kRows, WeightType::kBF16}, std::fabs(odd) < 65536.0F,
                    where("bf16 " + std::to_string(value)));
      }
    }
    for (const unsigned odd : {0x3c00U, 0x7bffU, 0xfbffU, 0x7c00U, 0xfc00U, 0x7e00U, 0xfc01U}) {
      Weight weight(std::vector<float>(kRows * kColumns, 0.5F), kRows, WeightType::kF16);
      const auto bits = static_cast<std::uint16_t>(odd);
      std::memcpy(weight.bytes.data() + 1 + 2 * at, &bits, sizeof(bits));
      expect_same(weight, (odd & 0x7fffU) < 0x7c00U, where("f16 " + std::to_string(odd)));
    }
    struct Scaled {
      int integer;
      float scale;
      bool fits;
    };
    for (const Scaled& scaled :
         {Scaled{127, 515.8F, true}, Scaled{-128, 511.8F, true}, Scaled{127, 516.0F, false},
          Scaled{-128, 511.9F, false}, Scaled{60, 1000.0F, true}, Scaled{-66, 1000.0F, false},
          Scaled{1, 65519.0F, true}, Scaled{1, 65520.0F, false}, Scaled{0, 3e38F, true},
          Scaled{2, 3e38F, false}, Scaled{1, 0.0F, false}, Scaled{1, -1.0F, false}}) {
      Weight weight(std::vector<float>(kRows * kColumns, 0.0F), kRows, WeightType::kInt8);
      weight.bytes[1 + at] = static_cast<std::byte>(scaled.integer);
      std::memcpy(weight.scale_bytes.data() + 1 + at / kColumns * sizeof(float), &scaled.scale,
                  sizeof(float));
      expect_same(weight, scaled.fits,
                  where(std::to_string(scaled.integer) + " times " + std::to_string(scaled.scale)));
    }
  }
}

/// Long rows are quantised a piece at a time, all pieces by the largest size of the row.
TEST_P(Compute, QuantisesLongRowsAsOne) {
  if (!takes(Precision::kInt8)) GTEST_SKIP() << "f32 alone";
  constexpr std::size_t kInputs = 1300, kOutputs = 5;
  Numbers numbers(4);
  auto values = numbers.floats(kInputs * kOutputs);
  for (std::size_t o = 0; o < kOutputs; ++o) values[o * kInputs + 600 + 100 * o] = 4.0F;
  const Weight whole(values, kOutputs, WeightType::kF32);
  const LinearView layer{whole.view, {}};
  const auto linear = value_of(reference_->make_linear(std::span(&layer, 1), Precision::kInt8));
  for (const std::size_t input : {0U, 511U, 512U, 700U, 1299U}) {
    std::vector<float> x(kInputs, 0.0F);
    x[input] = 1.0F;
    Host host(*reference_);
    const auto source = host.upload(x);
    const auto target = host.empty(kOutputs);
    succeed(host.stream->linear(*linear, Activation::kNone, 1, {source.get(), 0, kInputs},
                                {target.get(), 0, kOutputs}));
    const auto y = host.download(*target, kOutputs);
    for (std::size_t o = 0; o < kOutputs; ++o)
      EXPECT_NEAR(y[o], values[o * kInputs + input], 4.0F / 127.0F / 2.0F * 1.001F) << input << ", " << o;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Compute, testing::ValuesIn(variants()),
                         [](const auto& info) { return info.param.name; });

TEST(Backends, NameThemselves) {
  EXPECT_EQ(make_reference_backend()->name(), "reference");
  const auto backend = value_of(make_xnnpack_backend(1));
  EXPECT_EQ(backend->name(), "xnnpack");
  EXPECT_EQ(backend->threads(), 1U);
  if (const auto two = make_xnnpack_backend(2)) EXPECT_EQ((*two)->threads(), 2U);
  EXPECT_TRUE(backend->kernels().ends_with(", simd " + std::string(simd_names().front())))
      << backend->kernels();
  const std::string plainest = value_of(make_xnnpack_backend(1, simd_names().back()))->kernels();
  EXPECT_TRUE(plainest.starts_with("f32 XNNPACK, int8 ")) << plainest;
  const auto unknown = make_xnnpack_backend(1, "abacus");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("abacus"), std::string::npos);
}

}  // namespace
