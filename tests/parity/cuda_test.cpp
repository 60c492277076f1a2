// The CUDA backend in every precision against the reference backend: sizes around its tiles, the tensor-core
// path of attention, work that is queued, repeated and overlapped, and the search for the best words. Every
// test is skipped by name on a machine without a device.
//
// Tolerances of f16 and int8 (which computes as f16). Inputs and weights here are numbers that f16 holds
// exactly, products of two of them are exact in f32, and sums are f32. What is left is the rounding of what
// is stored as f16, half an ulp: at most kHalf = 2^-11 of the value, once for an output, once more for the
// sums before an activation that is applied to the stored sums. To this comes, as for f32 weights, the error
// of f32 sums.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bert/backend.h"
#include "support/backends.h"

namespace {

using namespace bert;
using bert_test::Host;
using bert_test::Numbers;
using bert_test::succeed;
using bert_test::value_of;
using bert_test::Weight;

constexpr double kHalf = 0x1p-11;
const std::vector<std::size_t> kRows = {1, 3, 17, 63, 64, 65, 130, 300};

// GoogleTest's names of the precisions
std::string name_of(const testing::TestParamInfo<Precision>& info) {
  return std::string(precision_name(info.param));
}

/// A weight that each precision holds exactly.
Weight exact_weight(Numbers& numbers, std::size_t rows, std::size_t columns, Precision precision) {
  if (precision != Precision::kInt8)
    return {numbers.halves(rows * columns), rows,
            precision == Precision::kF16 ? WeightType::kF16 : WeightType::kF32};
  Weight weight(numbers.floats(rows * columns), rows, WeightType::kInt8);
  for (std::size_t r = 0; r < rows; ++r) {
    const float scale = r % 3 == 0 ? 0x1p-8F : 0x1p-7F;  // a power of two times 7 bits
    std::memcpy(weight.scale_bytes.data() + 1 + r * sizeof(scale), &scale, sizeof(scale));
  }
  return weight;
}

/// Each value within absolute + relative * |expected| of what is expected.
void expect_close(std::span<const float> actual, std::span<const float> expected, double absolute,
                  double relative, const std::string& where) {
  ASSERT_EQ(actual.size(), expected.size()) << where;
  double worst = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double truth = expected[i];
    const double error =
        std::fabs(static_cast<double>(actual[i]) - truth) / (absolute + relative * std::fabs(truth));
    if (!(error <= worst)) {
      worst = error;
      at = i;
    }
  }
  if (!actual.empty())
    EXPECT_LE(worst, 1) << where << ": " << actual[at] << " for " << expected[at] << " at " << at;
}

class Cuda : public testing::TestWithParam<Precision> {
 protected:
  void SetUp() override {
    auto made = bert_test::cuda_backend(GetParam());
    if (!made) GTEST_SKIP() << made.error().message;
    backend_ = std::move(*made);
    reference_ = make_reference_backend();
  }
  /// The share of a stored value that its rounding may change.
  static double half() { return GetParam() == Precision::kF32 ? 0 : 1.01 * kHalf; }
  std::vector<Backend*> both() const { return {reference_.get(), backend_.get()}; }

  std::shared_ptr<Backend> reference_, backend_;
};

TEST_P(Cuda, NamesItself) {
  EXPECT_EQ(backend_->name(), "cuda");
  EXPECT_FALSE(backend_->kernels().empty());
  EXPECT_GT(backend_->work_sizes().best_words, 0U);
  EXPECT_EQ(make_reference_backend()->work_sizes().best_words, 0U);
}

TEST_P(Cuda, MovesFloats) {
  Host host(*backend_);
  Numbers numbers(1);
  for (const std::size_t size : {1U, 3U, 64U, 1001U, 3000000U}) {
    const auto values = numbers.halves(size);
    const auto buffer = value_of(host.stream->allocate(size + 7));
    EXPECT_GE(buffer->size(), size + 7);
    for (const std::size_t offset : {0U, 1U, 7U}) {
      succeed(host.stream->upload(values, *buffer, offset));
      std::vector<float> back(size);
      succeed(host.stream->download(*buffer, offset, back));
      EXPECT_EQ(back, values) << size << " floats at " << offset;
    }
  }
}

TEST_P(Cuda, Gathers) {
  Host host(*backend_);
  for (const std::size_t columns : {1U, 24U, 100U, 768U, 1100U})
    for (const std::size_t rows : kRows) {
      Numbers numbers(static_cast<std::uint32_t>(rows + columns));
      const std::size_t stride = columns + 8;
      const auto values = numbers.halves(40 * stride + 8);
      const auto source = host.upload(values);
      const auto target = host.empty(rows * columns);
      std::vector<std::uint32_t> indices;
      std::vector<float> expected;
      for (std::size_t r = 0; r < rows; ++r) {
        indices.push_back(static_cast<std::uint32_t>(numbers.below(40)));
        const auto row = values.begin() + static_cast<std::ptrdiff_t>(8 + indices.back() * stride);
        expected.insert(expected.end(), row, row + static_cast<std::ptrdiff_t>(columns));
      }
      succeed(host.stream->gather(indices, columns, {source.get(), 8, stride}, {target.get(), 0, columns}));
      EXPECT_EQ(host.download(*target, rows * columns), expected) << rows << " rows of " << columns;
    }
}

TEST_P(Cuda, Embeds) {
  for (const std::size_t width : {24U, 72U, 768U, 1100U})
    for (const std::size_t rows : {1U, 17U, 130U, 300U}) {
      Numbers numbers(static_cast<std::uint32_t>(width + rows));
      const Weight words = exact_weight(numbers, 301, width, GetParam());
      const Weight positions(numbers.halves(320 * width), 320, WeightType::kF32);
      const Weight types(numbers.halves(2 * width), 2, WeightType::kF32);
      const Weight gamma(numbers.floats(width, 0.5F, 1.5F), 1, WeightType::kF32);
      const Weight beta(numbers.floats(width), 1, WeightType::kF32);
      std::vector<std::int32_t> ids, type_ids, position_ids;
      for (std::size_t r = 0; r < rows; ++r) {
        ids.push_back(static_cast<std::int32_t>(numbers.below(301)));
        type_ids.push_back(static_cast<std::int32_t>(numbers.below(2)));
        position_ids.push_back(static_cast<std::int32_t>(numbers.below(320)));
      }
      std::vector<std::vector<float>> sums, outputs, alone;
      for (Backend* backend : both()) {
        const auto word_table = value_of(backend->make_table(words.view, GetParam(), TableBytes::kCopy));
        // small tables are never narrowed by the encoder
        const auto position_table =
            value_of(backend->make_table(positions.view, Precision::kF32, TableBytes::kCopy));
        const auto type_table = value_of(backend->make_table(types.view, Precision::kF32, TableBytes::kCopy));
        const auto norm = value_of(backend->make_layer_norm(gamma.view, beta.view, 1e-12F));
        Host host(*backend);
        const auto sum = host.empty(rows * width);
        const auto output = host.empty(rows * width);
        const EmbeddingWeights weights{word_table.get(), position_table.get(), type_table.get(), norm.get()};
        succeed(host.stream->embed(weights, ids, type_ids, position_ids, {sum.get(), 0, width},
                                   {output.get(), 0, width}));
        sums.push_back(host.download(*sum, rows * width));
        outputs.push_back(host.download(*output, rows * width));
        const auto again = host.empty(rows * width);
        succeed(host.stream->embed(weights, ids, type_ids, position_ids, {}, {again.get(), 0, width}));
        alone.push_back(host.download(*again, rows * width));
      }
      const std::string where = std::to_string(rows) + " rows of " + std::to_string(width);
      expect_close(sums[1], sums[0], 5e-7, half(), where + ", sum");
      expect_close(outputs[1], outputs[0], 2e-5, half(), where);
      EXPECT_EQ(alone[1], outputs[1]) << where << ": asking for the sum changes the result";
    }
}

TEST_P(Cuda, AddsAndNormalises) {
  for (const std::size_t width : {3U, 24U, 72U, 384U, 768U, 1024U, 1100U})
    for (const std::size_t rows : kRows) {
      Numbers numbers(static_cast<std::uint32_t>(width + rows));
      const auto input = numbers.halves(rows * width, -2, 4);
      const auto residual = numbers.halves(rows * width);
      const Weight gamma(numbers.floats(width, 0.5F, 1.5F), 1, WeightType::kF16);
      const Weight beta(numbers.floats(width), 1, WeightType::kBF16);
      for (int form = 0; form < 4; ++form) {
        std::vector<std::vector<float>> results;
        for (Backend* backend : both()) {
          const auto norm = value_of(backend->make_layer_norm(gamma.view, beta.view, 1e-12F));
          Host host(*backend);
          const auto a = host.upload(input);
          const auto b = host.upload(residual);
          const auto c = host.empty(rows * width);
          Buffer* target = form == 1 ? a.get() : form == 2 ? b.get() : c.get();
          const Rows second = form == 3 ? Rows{} : Rows{b.get(), 0, width};
          succeed(host.stream->add_normalise(*norm, rows, {a.get(), 0, width}, second, {target, 0, width}));
          results.push_back(host.download(*target, rows * width));
        }
        // statistics and sums are f32, so f16 adds the rounding of the result alone
        expect_close(
            results[1], results[0], 5e-6, half(),
            std::to_string(rows) + " rows of " + std::to_string(width) + ", form " + std::to_string(form));
      }
    }
}

struct LinearSize {
  std::size_t inputs, outputs;
};

TEST_P(Cuda, LinearOfRaggedSizes) {
  const std::vector<LinearSize> sizes = {{24, 72},    {72, 24},   {8, 7},      {100, 31}, {384, 768},
                                         {768, 1024}, {1024, 72}, {1100, 130}, {771, 300}};
  for (const LinearSize& size : sizes)
    for (const bool with_bias : {true, false}) {
      if (!with_bias && size.inputs > 384) continue;
      Numbers numbers(static_cast<std::uint32_t>(size.inputs + size.outputs));
      const Weight weight = exact_weight(numbers, size.outputs, size.inputs, GetParam());
      const Weight bias(numbers.halves(size.outputs, -3, 3), 1, WeightType::kF32);
      const LinearView layer{weight.view, with_bias ? bias.view : WeightView{}};
      // one row more in front and behind, which nothing may read or write
      const std::size_t most = kRows.back() + 2;
      const auto input = numbers.halves(most * size.inputs);
      std::vector<float> expected;
      {
        const auto linear = value_of(reference_->make_linear(std::span(&layer, 1), GetParam()));
        Host host(*reference_);
        const auto source = host.upload(input);
        const auto target = host.empty(most * size.outputs);
        succeed(host.stream->linear(*linear, Activation::kNone, most - 2,
                                    {source.get(), size.inputs, size.inputs},
                                    {target.get(), size.outputs, size.outputs}));
        expected = host.download(*target, most * size.outputs);
      }
      const auto linear = value_of(backend_->make_linear(std::span(&layer, 1), GetParam()));
      Host host(*backend_);
      for (const std::size_t rows : kRows) {
        const auto source = host.upload(input);
        const auto target = host.empty(most * size.outputs);
        succeed(host.stream->linear(*linear, Activation::kNone, rows,
                                    {source.get(), size.inputs, size.inputs},
                                    {target.get(), size.outputs, size.outputs}));
        const auto actual = host.download(*target, most * size.outputs);
        const std::string where = std::to_string(size.inputs) + " to " + std::to_string(size.outputs) +
                                  ", rows " + std::to_string(rows) + (with_bias ? "" : ", no bias");
        const std::size_t begin = size.outputs, count = rows * size.outputs;
        // f32 sums of products up to 1: as in compute_test. Where rows do not fill units of 16 bytes,
        // cuBLASLt adds the bias (up to 3) to sums that are rounded already
        const bool units = size.inputs % 8 == 0 && size.outputs % 8 == 0;
        expect_close(std::span(actual).subspan(begin, count), std::span(expected).subspan(begin, count),
                     3e-7 * static_cast<double>(size.inputs + 2) + (units || !with_bias ? 0 : 3 * half()),
                     (units || !with_bias ? 1 : 2) * half(), where);
        for (std::size_t i = 0; i < actual.size(); ++i)
          if (i < begin || i >= begin + count) ASSERT_EQ(actual[i], -77.0F) << where << ": writes beyond";
      }
    }
}

/// What follows each product of a layer: a backend may add the residual as it stores the product.
TEST_P(Cuda, AddsProductsAndNormalises) {
  for (const LinearSize& size : {LinearSize{24, 72}, LinearSize{100, 31}, LinearSize{384, 768},
                                 LinearSize{1024, 72}, LinearSize{771, 384}, LinearSize{3072, 768}})
    for (const std::size_t rows : {1U, 65U, 128U, 300U})
      for (int form = 0; form < 3; ++form) {
        Numbers numbers(static_cast<std::uint32_t>(size.inputs + size.outputs + rows));
        const std::size_t count = rows * size.outputs;
        const Weight weight = exact_weight(numbers, size.outputs, size.inputs, GetParam());
        const Weight bias(numbers.halves(size.outputs, -3, 3), 1, WeightType::kF32);
        const Weight gamma(numbers.floats(size.outputs, 0.5F, 1.5F), 1, WeightType::kF32);
        const Weight beta(numbers.floats(size.outputs), 1, WeightType::kF32);
        const LinearView layer{weight.view, bias.view};
        const auto input = numbers.halves(rows * size.inputs);
        const auto residual = numbers.halves(2 * count, -8, 8);
        std::vector<std::vector<float>> results, products;
        for (Backend* backend : both()) {
          const auto linear = value_of(backend->make_linear(std::span(&layer, 1), GetParam()));
          const auto norm = value_of(backend->make_layer_norm(gamma.view, beta.view, 1e-12F));
          Host host(*backend);
          const auto source = host.upload(input);
          const auto other = host.upload(residual);
          const auto product = host.empty(count);
          const auto separate = host.empty(count);
          const Rows from{product.get(), 0, size.outputs};
          // the residual's rows are every second one where it is not the output as well
          const Rows second{other.get(), 0, (form == 0 ? 1 : 2) * size.outputs};
          const Rows to = form == 0 ? second : Rows{separate.get(), 0, size.outputs};
          succeed(
              host.stream->linear(*linear, Activation::kNone, rows, {source.get(), 0, size.inputs}, from));
          if (form == 2) products.push_back(host.download(*product, count));  // it is asked for by itself
          succeed(host.stream->add_normalise(*norm, rows, from, second, to));
          results.push_back(host.download(form == 0 ? *other : *separate, count));
        }
        const std::string where = std::to_string(size.inputs) + " to " + std::to_string(size.outputs) + ", " +
                                  std::to_string(rows) + " rows, form " + std::to_string(form);
        // f16: the product, the sum, or both are rounded, up to six deviations large; then gamma, and the
        // result
        expect_close(results[1], results[0], 5e-5 + 2 * 6 * 1.5 * half(), half(), where);
        if (form == 2)
          expect_close(products[1], products[0], 3e-7 * static_cast<double>(size.inputs + 2) + 3 * half(),
                       2 * half(), where + ", product");
      }
}

TEST_P(Cuda, Activations) {
  // gelu_new has the steepest slope of these, 1.13
  const std::vector<std::pair<Activation, std::function<double(double)>>> activations = {
      {Activation::kGelu, [](double x) { return 0.5 * x * std::erfc(-x * std::sqrt(0.5)); }},
      {Activation::kGeluNew,
       [](double x) {
         return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
       }},
      {Activation::kTanh, [](double x) { return std::tanh(x); }},
      {Activation::kRelu, [](double x) { return x > 0 ? x : 0; }}};
  for (const LinearSize& size : {LinearSize{72, 384}, LinearSize{24, 33}, LinearSize{128, 3}})
    for (const std::size_t rows : {1U, 65U, 130U}) {
      Numbers numbers(static_cast<std::uint32_t>(size.inputs + rows));
      const Weight weight = exact_weight(numbers, size.outputs, size.inputs, GetParam());
      const Weight bias(numbers.halves(size.outputs, -1, 1), 1, WeightType::kF32);
      const LinearView layer{weight.view, bias.view};
      const auto input = numbers.halves(rows * size.inputs);
      const auto run = [&](Backend& backend, Activation activation) {
        const auto linear = value_of(backend.make_linear(std::span(&layer, 1), GetParam()));
        Host host(backend);
        const auto source = host.upload(input);
        const auto target = host.empty(rows * size.outputs);
        succeed(host.stream->linear(*linear, activation, rows, {source.get(), 0, size.inputs},
                                    {target.get(), 0, size.outputs}));
        return host.download(*target, rows * size.outputs);
      };
      const auto sums = run(*reference_, Activation::kNone);
      for (const auto& [activation, exact] : activations) {
        const auto actual = run(*backend_, activation);
        double worst = 0;
        for (std::size_t i = 0; i < sums.size(); ++i) {
          const double truth = exact(sums[i]);
          // as for the sums alone: in units of 16 bytes, or with a bias of up to 1 added after a rounding
          const double before = size.inputs % 8 == 0 && size.outputs % 8 == 0 ? 0 : 1;
          const double allowed =
              3e-7 * static_cast<double>(size.inputs + 4) +
              half() * (1.13 * (std::fabs(static_cast<double>(sums[i])) * (1 + before) + before) +
                        std::fabs(truth));
          const double error = std::fabs(actual[i] - truth) / allowed;
          if (!(error <= worst)) worst = error;
        }
        EXPECT_LE(worst, 1) << "activation " << static_cast<int>(activation) << ", " << rows << " rows, "
                            << size.inputs << " to " << size.outputs;
      }
    }
}

/// What weights that have to be rounded may add to a sum of `size` products of numbers up to 1. In f16 the
/// error of a weight is up to kHalf of it, evenly spread: the deviation of a product's is kHalf / sqrt(3)
/// times the root mean square of a product, 1/3, and six deviations of the sum are below 1.2 sqrt(size)
/// kHalf. Where int8 is asked for of weights that are not, a backend may round to 127 steps of the largest or
/// keep f16, so that the two differ by half a step at most: six times 1 / 127 / sqrt(12) / sqrt(3), 0.008
/// sqrt(size). A missing bias is far more than either.
double narrowing(Precision precision, std::size_t size) {
  const double root = std::sqrt(static_cast<double>(size));
  return precision == Precision::kF32 ? 0 : precision == Precision::kF16 ? 1.2 * kHalf * root : 0.009 * root;
}

TEST_P(Cuda, NarrowsWeights) {
  for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16, WeightType::kInt8}) {
    const std::size_t inputs = 384, outputs = 200, rows = 65;
    Numbers numbers(static_cast<std::uint32_t>(type) + 3);
    const Weight a(numbers.floats(100 * inputs), 100, type);
    const Weight b(numbers.floats(60 * inputs), 60, WeightType::kF32);
    const Weight c(numbers.floats(40 * inputs), 40, type);
    const Weight bias_a(numbers.floats(100, -9, 9), 1, WeightType::kF32);
    const Weight bias_c(numbers.floats(40, -9, 9), 1, WeightType::kBF16);
    const std::vector<LinearView> parts = {{a.view, bias_a.view}, {b.view, {}}, {c.view, bias_c.view}};
    const auto input = numbers.halves(rows * inputs);
    std::vector<std::vector<float>> results;
    for (Backend* backend : both()) {
      const auto linear = value_of(backend->make_linear(parts, GetParam()));
      EXPECT_EQ(linear->inputs(), inputs);
      EXPECT_EQ(linear->outputs(), outputs);
      EXPECT_GT(linear->owned_bytes(), 0U);
      Host host(*backend);
      const auto source = host.upload(input);
      const auto target = host.empty(rows * outputs);
      succeed(host.stream->linear(*linear, Activation::kNone, rows, {source.get(), 0, inputs},
                                  {target.get(), 0, outputs}));
      results.push_back(host.download(*target, rows * outputs));
    }
    const double n = static_cast<double>(inputs);
    expect_close(results[1], results[0], 3e-7 * n + narrowing(GetParam(), inputs), 2 * half(),
                 "type " + std::to_string(static_cast<int>(type)));
  }
}

TEST_P(Cuda, NarrowsTables) {
  for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16, WeightType::kInt8}) {
    const std::size_t width = 96, entries = 301, rows = 17;
    Numbers numbers(static_cast<std::uint32_t>(type) + 30);
    const Weight words(numbers.floats(entries * width), entries, type);
    const auto input = numbers.halves(rows * width);
    std::vector<std::vector<float>> results;
    for (Backend* backend : both()) {
      const auto table = value_of(backend->make_table(words.view, GetParam(), TableBytes::kBorrow));
      EXPECT_EQ(table->rows(), entries);
      EXPECT_EQ(table->columns(), width);
      Host host(*backend);
      const auto source = host.upload(input);
      const auto target = host.empty(rows * entries);
      succeed(host.stream->vocabulary(*table, nullptr, rows, {source.get(), 0, width},
                                      {target.get(), 0, entries}));
      results.push_back(host.download(*target, rows * entries));
    }
    const double n = static_cast<double>(width);
    expect_close(results[1], results[0], 3e-7 * n + narrowing(GetParam(), width), half(),
                 "type " + std::to_string(static_cast<int>(type)));
  }
}

TEST_P(Cuda, MultipliesByTheVocabulary) {
  struct Size {
    std::size_t width, entries, offset, gap;
  };
  // rows at odd places too, which no vector load can read
  for (const Size& size : {Size{24, 301, 0, 0}, Size{72, 30522, 0, 0}, Size{768, 1000, 768, 0},
                           Size{100, 77, 1, 3}, Size{64, 3, 1, 2}})
    for (const bool with_bias : {true, false}) {
      Numbers numbers(static_cast<std::uint32_t>(size.width));
      const Weight words = exact_weight(numbers, size.entries, size.width, GetParam());
      const Weight bias(numbers.halves(size.entries, -3, 3), 1, WeightType::kF32);
      const std::size_t most = size.entries > 1000 ? 65 : 130, stride = size.width + size.gap;
      const auto input = numbers.halves(size.offset + most * stride);
      const auto run = [&](Backend& backend, std::size_t rows) {
        const auto table = value_of(backend.make_table(words.view, GetParam(), TableBytes::kCopy));
        const auto vector = value_of(backend.make_vector(bias.view));
        Host host(backend);
        const auto source = host.upload(input);
        const auto target = host.empty(rows * size.entries);
        succeed(host.stream->vocabulary(*table, with_bias ? vector.get() : nullptr, rows,
                                        {source.get(), size.offset, stride},
                                        {target.get(), 0, size.entries}));
        return host.download(*target, rows * size.entries);
      };
      const auto expected = run(*reference_, most);
      for (const std::size_t rows : kRows)
        if (rows <= most)
          expect_close(run(*backend_, rows), std::span(expected).first(rows * size.entries),
                       3e-7 * static_cast<double>(size.width + 2), half(),
                       std::to_string(size.entries) + " x " + std::to_string(size.width) + ", rows " +
                           std::to_string(rows));
    }
}

// -- attention

/// Inputs of an attention call, on the host.
struct Attention {
  std::size_t heads = 1, head_size = 64;
  std::vector<float> query, keys_values;  ///< query and a buffer of [rows, 3 * width] with key and value
  Rows q, k, v;                           ///< offsets and strides; the query may be in the same buffer
  bool one_buffer = false;
  std::vector<AttentionSequence> sequences;
  std::vector<std::uint8_t> visible;
  std::size_t queries = 0, matrix = 0;

  std::size_t width() const { return heads * head_size; }

  struct Results {
    std::vector<float> context, probabilities, scores;
  };
  Results run(Host& host, bool taps) const {
    const auto kv = host.upload(keys_values);
    const auto separate = one_buffer ? nullptr : host.upload(query);
    const auto context = host.empty(queries * width());
    const auto p = host.empty(matrix);
    const auto s = host.empty(matrix);
    AttentionCall call;
    call.query = {one_buffer ? kv.get() : separate.get(), q.offset, q.stride};
    call.key = {kv.get(), k.offset, k.stride};
    call.value = {kv.get(), v.offset, v.stride};
    call.context = {context.get(), 0, width()};
    call.heads = heads;
    call.head_size = head_size;
    call.scale = 1 / std::sqrt(static_cast<float>(head_size));
    call.sequences = sequences;
    call.key_visible = visible;
    if (taps) {
      call.probabilities = p.get();
      call.scores = s.get();
    }
    succeed(host.stream->attention(call));
    Results results{host.download(*context, queries * width()), {}, {}};
    if (taps) {
      results.probabilities = host.download(*p, matrix);
      results.scores = host.download(*s, matrix);
    }
    return results;
  }
};

/// The error of f32 scores of `size` products up to range^2, as in compute_test.
double score_error(double range, std::size_t size) {
  return 1e-6 * range * range * std::sqrt(static_cast<double>(size) + 1);
}

TEST_P(Cuda, AttendsWithMasksAndMatrices) {
  const std::vector<std::size_t> lengths = {1, 5, 2, 63, 130, 700};
  Host ours(*backend_), theirs(*reference_);
  for (const std::size_t head_size : {8U, 20U, 32U, 64U, 96U, 128U})
    for (const bool some : {false, true})
      for (const int hidden : {0, 1, 2})
        for (const float range : {1.0F, 8.0F}) {
          Numbers numbers(static_cast<std::uint32_t>(head_size) + 9);
          Attention a;
          a.heads = 2;
          a.head_size = head_size;
          std::size_t rows = 0;
          for (std::size_t i = 0; i < lengths.size(); ++i) {
            AttentionSequence one;
            one.key_row = rows;
            one.key_count = lengths[i];
            one.query_row = a.queries;
            one.query_count = i == 2             ? 0
                              : some             ? 1 + numbers.below(std::min<std::size_t>(lengths[i], 20))
                              : lengths[i] > 130 ? 9
                                                 : lengths[i];
            a.sequences.push_back(one);
            rows += lengths[i];
            a.queries += one.query_count;
            a.matrix += a.heads * one.query_count * lengths[i];
          }
          if (hidden != 0)
            for (std::size_t r = 0; r < rows; ++r) a.visible.push_back(numbers.below(3) != 0 ? 1 : 0);
          if (hidden == 2)  // one sequence without any visible key
            for (std::size_t r = 0; r < lengths[3]; ++r) a.visible[a.sequences[3].key_row + r] = 0;
          // the query at an odd place, key and value in the layout of a stacked layer
          const std::size_t width = a.width();
          a.query = numbers.halves(a.queries * (width + 3) + 2, -range, range);
          a.keys_values = numbers.halves(rows * 3 * width, -range, range);
          a.q = {nullptr, some ? 2U : 0U, width + (some ? 3 : 0)};
          a.k = {nullptr, width, 3 * width};
          a.v = {nullptr, 2 * width, 3 * width};
          const auto expected = a.run(theirs, true);
          const std::string where = "heads of " + std::to_string(head_size) + (some ? ", some" : ", all") +
                                    ", hidden " + std::to_string(hidden) + ", range " + std::to_string(range);
          const double error = score_error(range, head_size);
          for (const bool taps : {true, false}) {
            const auto actual = a.run(ours, taps);
            // probabilities may be rounded to f16 before they meet the values, and the context is
            expect_close(actual.context, expected.context, 3 * error * range + half() * range, half(),
                         where + (taps ? ", taps" : ""));
            if (!taps) continue;
            expect_close(actual.scores, expected.scores, error, half(), where + ", scores");
            expect_close(actual.probabilities, expected.probabilities, error, half(),
                         where + ", probabilities");
            std::size_t at = 0;
            for (const AttentionSequence& one : a.sequences) {
              const auto is_hidden = [&](std::size_t j) {
                return !a.visible.empty() && a.visible[one.key_row + j] == 0;
              };
              bool all = true;
              for (std::size_t j = 0; j < one.key_count; ++j) all = all && is_hidden(j);
              const double even = 1 / static_cast<double>(one.key_count);
              for (std::size_t row = 0; row < a.heads * one.query_count; ++row)
                for (std::size_t j = 0; j < one.key_count; ++j, ++at) {
                  if (all)
                    ASSERT_NEAR(actual.probabilities[at], even, 1e-7 + half() * even) << where;
                  else if (is_hidden(j))
                    ASSERT_EQ(actual.probabilities[at], 0.0F) << where;
                }
            }
          }
        }
}

/// What the tensor cores take: nothing hidden, no matrices, the layout of the encoder.
class CudaTiles : public Cuda {
 protected:
  enum class Kind { kFlat, kLarge, kRising, kFalling };
  void attend(const std::vector<std::size_t>& lengths, std::size_t heads, std::size_t head_size, Kind kind);
};

TEST_P(CudaTiles, Attend) {
  for (const std::size_t head_size : {32U, 64U, 128U})
    for (const Kind kind : {Kind::kFlat, Kind::kLarge, Kind::kRising, Kind::kFalling})
      attend({1, 7, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 512}, 2, head_size, kind);
}

void CudaTiles::attend(const std::vector<std::size_t>& lengths, std::size_t heads, std::size_t head_size,
                       Kind kind) {
  const std::size_t rows = std::accumulate(lengths.begin(), lengths.end(), std::size_t{0});
  Host ours(*backend_), theirs(*reference_);
  const float range = kind == Kind::kFlat ? 1.0F : 8.0F;
  Numbers numbers(static_cast<std::uint32_t>(head_size) + 99);
  Attention a;
  a.heads = heads;
  a.head_size = head_size;
  a.queries = rows;
  a.one_buffer = true;
  const std::size_t width = a.width();
  a.q = {nullptr, 0, 3 * width};
  a.k = {nullptr, width, 3 * width};
  a.v = {nullptr, 2 * width, 3 * width};
  a.keys_values = numbers.halves(rows * 3 * width, -range, range);
  std::size_t first = 0;
  for (const std::size_t length : lengths) {
    a.sequences.push_back({first, length, first, length});
    if (kind == Kind::kRising || kind == Kind::kFalling)
      // scores that rise (fall) from 0 to 8 sqrt(size) with the key: each tile of keys has a new maximum
      for (std::size_t j = 0; j < length; ++j)
        for (std::size_t c = 0; c < width; ++c) {
          float* const row = a.keys_values.data() + (first + j) * 3 * width + c;
          const float place = static_cast<float>(j) / static_cast<float>(length);
          row[0] = c % 2 == 0 ? 1.0F : -1.0F;
          row[width] = Numbers::as_half((kind == Kind::kRising ? place : 1 - place) * 8 * row[0]);
        }
    first += length;
  }
  const auto expected = a.run(theirs, false).context;
  const std::string where = std::to_string(heads) + " heads of " + std::to_string(head_size) + ", kind " +
                            std::to_string(static_cast<int>(kind));
  const double error = 3 * score_error(range, head_size) * range + half() * range;
  expect_close(a.run(ours, false).context, expected, error, half(), where + ", all");
  // each alone: its queries and keys start and end elsewhere in the tiles
  for (const AttentionSequence& one : a.sequences) {
    Attention single = a;
    single.sequences = {one};
    single.sequences[0].query_row = 0;
    single.queries = one.query_count;
    single.q.offset = one.query_row * 3 * width;
    expect_close(single.run(ours, false).context,
                 std::span(expected).subspan(one.query_row * width, one.query_count * width), error, half(),
                 where + ", alone, " + std::to_string(one.key_count));
  }
  // the first query alone of each, as the last layer asks: query and context are dense
  Attention firsts = a;
  firsts.one_buffer = false;
  firsts.queries = lengths.size();
  firsts.q = {nullptr, 0, width};
  firsts.query.clear();
  std::vector<float> of_firsts;
  for (std::size_t i = 0; i < firsts.sequences.size(); ++i) {
    const std::size_t row = a.sequences[i].query_row;
    const float* const from = a.keys_values.data() + row * 3 * width;
    firsts.query.insert(firsts.query.end(), from, from + width);
    of_firsts.insert(of_firsts.end(), expected.data() + row * width, expected.data() + (row + 1) * width);
    firsts.sequences[i].query_row = i;
    firsts.sequences[i].query_count = 1;
  }
  expect_close(firsts.run(ours, false).context, of_firsts, error, half(), where + ", first queries");
}

// -- what is not a number

TEST_P(Cuda, NotANumberShows) {
  Numbers numbers(9);
  const Weight weight = exact_weight(numbers, 24, 40, GetParam());
  const LinearView layer{weight.view, {}};
  const auto linear = value_of(backend_->make_linear(std::span(&layer, 1), GetParam()));
  Host host(*backend_);
  for (const Activation activation :  // (the reference's relu makes 0 of it)
       {Activation::kNone, Activation::kGelu, Activation::kGeluNew, Activation::kTanh}) {
    auto input = numbers.halves(3 * 40);
    input[40 + 7] = std::nanf("");
    const auto source = host.upload(input);
    const auto target = host.empty(3 * 24);
    succeed(host.stream->linear(*linear, activation, 3, {source.get(), 0, 40}, {target.get(), 0, 24}));
    const auto values = host.download(*target, 3 * 24);
    for (std::size_t i = 0; i < values.size(); ++i)
      EXPECT_EQ(std::isnan(values[i]), i / 24 == 1)
          << "activation " << static_cast<int>(activation) << ", value " << i;
  }
}

TEST_P(Cuda, NotANumberPassesAttention) {
  Host host(*backend_);
  for (const std::size_t head_size : {20U, 64U}) {
    Numbers numbers(3);
    Attention a;
    a.head_size = head_size;
    a.queries = 18;
    a.one_buffer = true;
    a.q = {nullptr, 0, 3 * head_size};
    a.k = {nullptr, head_size, 3 * head_size};
    a.v = {nullptr, 2 * head_size, 3 * head_size};
    a.sequences = {{0, 9, 0, 9}, {9, 9, 9, 9}};
    const auto values = numbers.halves(18 * 3 * head_size);
    for (const std::size_t row : {2U, 12U})
      for (const std::size_t part : {0U, 1U}) {  // in a query: its row; in a key: its sequence
        a.keys_values = values;
        a.keys_values[(row * 3 + part) * head_size + 1] = std::nanf("");
        const auto context = a.run(host, false).context;
        for (std::size_t i = 0; i < context.size(); ++i) {
          const std::size_t at = i / head_size;
          EXPECT_EQ(std::isnan(context[i]), part == 0 ? at == row : at / 9 == row / 9)
              << "heads of " << head_size << ", row " << at << ", part " << part;
        }
      }
  }
}

TEST_P(Cuda, RefusesWhatDoesNotFit) {
  Numbers numbers(4);
  const Weight wide(numbers.floats(20 * 40), 20, WeightType::kF32);
  const Weight narrow(numbers.floats(20 * 39), 20, WeightType::kF32);
  const std::vector<LinearView> misfit = {{wide.view, {}}, {narrow.view, {}}};
  const auto refused = backend_->make_linear(misfit, GetParam());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  const Weight three(std::vector<float>(3, 1.0F), 1, WeightType::kF32);
  const Weight four(std::vector<float>(4, 1.0F), 1, WeightType::kF32);
  EXPECT_FALSE(backend_->make_layer_norm(three.view, four.view, 1e-12F));
  if (GetParam() != Precision::kInt8) return;  // scales that are none
  Weight weight(std::vector<float>(6, 0.5F), 2, WeightType::kInt8);
  const LinearView layer{weight.view, {}};
  for (const float scale : {0.0F, -1.0F, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    std::memcpy(weight.scale_bytes.data() + 1, &scale, sizeof(scale));
    const auto bad = backend_->make_linear(std::span(&layer, 1), Precision::kInt8);
    const auto theirs = reference_->make_linear(std::span(&layer, 1), Precision::kInt8);
    ASSERT_FALSE(bad);
    ASSERT_FALSE(theirs);
    EXPECT_EQ(bad.error().code, ErrorCode::kInvalidModel);
    EXPECT_EQ(bad.error().message, theirs.error().message);
  }
}

/// What is kept as f16 on the device is refused as the reference refuses it in f16; f32 takes all of it.
TEST_P(Cuda, RefusesWeightsBeyondHalf) {
  const bool halves = GetParam() != Precision::kF32;
  const auto expect_alike = [&](const Weight& odd, bool fits, const std::string& where) {
    const Weight plain(std::vector<float>(4 * 2, 0.5F), 4, WeightType::kF32);
    const LinearView alone{odd.view, {}};
    const auto theirs = reference_->make_linear(std::span(&alone, 1), Precision::kF16);
    ASSERT_EQ(theirs.has_value(), fits) << where;
    const auto expect_same = [&](const auto& made, const std::string& what) {
      ASSERT_EQ(made.has_value(), fits || !halves) << where << ", " << what;
      if (made) return;
      EXPECT_EQ(made.error().code, ErrorCode::kInvalidModel) << where << ", " << what;
      EXPECT_EQ(made.error().message, theirs.error().message) << where << ", " << what;
    };
    expect_same(backend_->make_linear(std::span(&alone, 1), GetParam()), "a layer");
    const std::vector<LinearView> parts = {{plain.view, {}}, alone};
    expect_same(backend_->make_linear(parts, GetParam()), "the second part of a layer");
    // the encoder asks for small tables and layers in f32, whatever the precision
    for (const Precision precision : {GetParam(), Precision::kF32})
      for (const TableBytes bytes : {TableBytes::kBorrow, TableBytes::kCopy})
        expect_same(backend_->make_table(odd.view, precision, bytes), "a table");
    expect_same(backend_->make_linear(std::span(&alone, 1), Precision::kF32), "a small layer");
    if (odd.view.type == WeightType::kInt8) return;  // norms and biases are never int8
    WeightView row = odd.view;
    row.columns *= std::exchange(row.rows, 1);
    const LinearView biased{plain.view, row};
    expect_same(backend_->make_linear(std::span(&biased, 1), GetParam()), "a bias");
    // these are f32 in every precision
    EXPECT_TRUE(backend_->make_vector(row)) << where;
    EXPECT_TRUE(backend_->make_layer_norm(row, row, 1e-12F)) << where;
  };
  for (const float odd : {65519.0F, 65520.0F, -1e6F, std::numeric_limits<float>::infinity(), std::nanf("")})
    for (const WeightType type : {WeightType::kF32, WeightType::kBF16}) {
      const Weight weight({1.0F, 2.0F, odd, 4.0F}, 2, type);
      // a bf16 is cut here: below 65536 it is 65280
      expect_alike(weight, std::fabs(odd) < (type == WeightType::kF32 ? 65520.0F : 65536.0F),
                   std::to_string(odd));
    }
  Weight half({1.0F, 2.0F, 3.0F, 4.0F}, 2, WeightType::kF16);
  const std::uint16_t infinity = 0xfc00;
  std::memcpy(half.bytes.data() + 1 + 2 * 2, &infinity, sizeof(infinity));
  expect_alike(half, false, "f16 infinity");
  for (const float scale : {515.0F, 516.0F, 3e38F}) {
    Weight weight({0.5F, 0.0F, -1.0F, 0.25F}, 2, WeightType::kInt8);
    std::memcpy(weight.scale_bytes.data() + 1 + sizeof(scale), &scale, sizeof(scale));
    expect_alike(weight, scale == 515.0F, "a scale of " + std::to_string(scale));
  }
}

// -- a layer: many operations in a row

// heads of 64, as BERT has
constexpr std::size_t kHidden = 192, kHeads = 3, kInner = 200, kWords = 301, kLongest = 300;

/// Ids of several sequences.
struct Texts {
  std::vector<std::int32_t> ids, types, positions;
  std::vector<AttentionSequence> sequences;

  Texts(std::uint32_t seed, const std::vector<std::size_t>& lengths) {
    Numbers numbers(seed);
    for (const std::size_t length : lengths) {
      sequences.push_back({ids.size(), length, ids.size(), length});
      for (std::size_t t = 0; t < length; ++t) {
        ids.push_back(static_cast<std::int32_t>(numbers.below(kWords)));
        types.push_back(static_cast<std::int32_t>(numbers.below(2)));
        positions.push_back(static_cast<std::int32_t>(t));
      }
    }
  }
};

/// Working memory of one caller.
struct Work {
  Host host;
  std::unique_ptr<Buffer> hidden, qkv, context, sum, inner;

  Work(Backend& backend, std::size_t rows) : host(backend) { grow(rows); }
  void grow(std::size_t rows) {
    hidden = value_of(host.stream->allocate(rows * kHidden));
    qkv = value_of(host.stream->allocate(rows * 3 * kHidden));
    context = value_of(host.stream->allocate(rows * kHidden));
    sum = value_of(host.stream->allocate(rows * kHidden));
    inner = value_of(host.stream->allocate(rows * kInner));
  }
};

class Layer {
 public:
  Layer(Backend& backend, Precision precision, std::uint32_t seed) {
    Numbers numbers(seed);
    const auto table = [&](std::size_t rows, Precision kept) {
      const Weight weight(numbers.floats(rows * kHidden), rows, WeightType::kF32);
      return value_of(backend.make_table(weight.view, kept, TableBytes::kCopy));
    };
    const auto linear = [&](std::size_t inputs, std::size_t outputs) {
      const float size = 1.7F / std::sqrt(static_cast<float>(inputs));
      const Weight weight(numbers.floats(inputs * outputs, -size, size), outputs, WeightType::kF32);
      const Weight bias(numbers.floats(outputs), 1, WeightType::kF32);
      const LinearView view{weight.view, bias.view};
      return value_of(backend.make_linear(std::span(&view, 1), precision));
    };
    const auto norm = [&] {
      const Weight gamma(numbers.floats(kHidden, 0.5F, 1.5F), 1, WeightType::kF32);
      const Weight beta(numbers.floats(kHidden), 1, WeightType::kF32);
      return value_of(backend.make_layer_norm(gamma.view, beta.view, 1e-12F));
    };
    words_ = table(kWords, precision);
    positions_ = table(kLongest, Precision::kF32);
    types_ = table(2, Precision::kF32);
    qkv_ = linear(kHidden, 3 * kHidden);
    output_ = linear(kHidden, kHidden);
    widen_ = linear(kHidden, kInner);
    narrow_ = linear(kInner, kHidden);
    norm_ = norm();
    first_ = norm();
    second_ = norm();
  }

  /// Queues everything; the result is in work.hidden.
  void queue(Work& work, const Texts& texts) const {
    Stream& stream = *work.host.stream;
    const std::size_t rows = texts.ids.size();
    const Rows hidden{work.hidden.get(), 0, kHidden}, sum{work.sum.get(), 0, kHidden};
    const Rows context{work.context.get(), 0, kHidden}, inner{work.inner.get(), 0, kInner};
    const Rows qkv{work.qkv.get(), 0, 3 * kHidden};
    succeed(stream.embed({words_.get(), positions_.get(), types_.get(), norm_.get()}, texts.ids, texts.types,
                         texts.positions, {}, hidden));
    for (int again = 0; again < 2; ++again) {
      succeed(stream.linear(*qkv_, Activation::kNone, rows, hidden, qkv));
      AttentionCall call;
      call.query = qkv;
      call.key = {work.qkv.get(), kHidden, 3 * kHidden};
      call.value = {work.qkv.get(), 2 * kHidden, 3 * kHidden};
      call.context = context;
      call.heads = kHeads;
      call.head_size = kHidden / kHeads;
      call.scale = 1 / std::sqrt(static_cast<float>(call.head_size));
      call.sequences = texts.sequences;
      succeed(stream.attention(call));
      succeed(stream.linear(*output_, Activation::kNone, rows, context, sum));
      succeed(stream.add_normalise(*first_, rows, sum, hidden, hidden));
      succeed(stream.linear(*widen_, Activation::kGelu, rows, hidden, inner));
      succeed(stream.linear(*narrow_, Activation::kNone, rows, inner, sum));
      succeed(stream.add_normalise(*second_, rows, sum, hidden, hidden));
    }
  }
  std::vector<float> run(Work& work, const Texts& texts) const {
    queue(work, texts);
    return work.host.download(*work.hidden, texts.ids.size() * kHidden);
  }
  std::vector<float> run_alone(Backend& backend, const Texts& texts) const {
    Work work(backend, texts.ids.size());
    return run(work, texts);
  }

 private:
  std::unique_ptr<Table> words_, positions_, types_;
  std::unique_ptr<Linear> qkv_, output_, widen_, narrow_;
  std::unique_ptr<LayerNorm> norm_, first_, second_;
};

TEST_P(Cuda, LayersAreTheReferences) {
  const Texts texts(1, {5, 64, 1, 130, 33});
  const auto expected = Layer(*reference_, GetParam(), 7).run_alone(*reference_, texts);
  const auto actual = Layer(*backend_, GetParam(), 7).run_alone(*backend_, texts);
  // f16: four norms' results of size up to 4, each rounded (2^-10), and what the layers between make of it
  expect_close(actual, expected, GetParam() == Precision::kF32 ? 5e-5 : 0.03, 0, "two layers");
}

/// Repeated work may be recorded and replayed: other data, sizes, weights and buffers in between must show.
TEST_P(Cuda, RepeatsItselfToTheBit) {
  const Layer layer(*backend_, GetParam(), 7), other(*backend_, GetParam(), 8);
  const Texts a(1, {5, 64, 1, 130, 33}), b(2, {5, 64, 1, 130, 33}), c(3, {200, 17, 9}),
      d(4, {33, 130, 1, 64, 5}),  // as many rows as a, cut elsewhere
      e(5, {130, 200, 9}), f(6, {130, 200, 9}),
      g(7, {200, 9, 130});  // rows that share an algorithm with others
  const auto of = [&](const Layer& one, const Texts& texts) { return one.run_alone(*backend_, texts); };
  const auto alone_a = of(layer, a), alone_b = of(layer, b), alone_c = of(layer, c), alone_d = of(layer, d);
  const auto alone_e = of(layer, e), alone_f = of(layer, f), alone_g = of(layer, g);
  const auto other_a = of(other, a);
  EXPECT_NE(alone_a, alone_b);
  EXPECT_NE(alone_a, other_a);
  Work work(*backend_, 340);
  for (int round = 0; round < 4; ++round) {
    const std::string where = "round " + std::to_string(round);
    for (int again = 0; again < 3; ++again) EXPECT_EQ(layer.run(work, a), alone_a) << where;
    EXPECT_EQ(layer.run(work, b), alone_b) << where;
    EXPECT_EQ(layer.run(work, a), alone_a) << where;
    EXPECT_EQ(layer.run(work, c), alone_c) << where;
    EXPECT_EQ(layer.run(work, d), alone_d) << where;
    EXPECT_EQ(other.run(work, a), other_a) << where;
    EXPECT_EQ(layer.run(work, a), alone_a) << where;
    for (int again = 0; again < 3; ++again) EXPECT_EQ(layer.run(work, e), alone_e) << where;
    EXPECT_EQ(layer.run(work, f), alone_f) << where;
    EXPECT_EQ(layer.run(work, g), alone_g) << where;
    EXPECT_EQ(layer.run(work, e), alone_e) << where;
    // several in a row before anything is read
    layer.queue(work, b);
    layer.queue(work, e);
    layer.queue(work, c);
    EXPECT_EQ(layer.run(work, d), alone_d) << where;
    if (round == 1) work.grow(400);  // other addresses
    if (round == 2) work.grow(340);
  }
}

/// The ids of a call are read when it returns, not when the device comes to it.
TEST_P(Cuda, TakesTheCallersMemoryAtOnce) {
  const Layer layer(*backend_, GetParam(), 7);
  const Texts texts(1, {5, 64, 1, 130, 33});
  const auto alone = layer.run_alone(*backend_, texts);
  Work work(*backend_, texts.ids.size());
  for (int again = 0; again < 5; ++again) {
    Texts copy = texts;
    layer.queue(work, copy);
    std::fill(copy.ids.begin(), copy.ids.end(), 1);
    std::fill(copy.positions.begin(), copy.positions.end(), 2);
    for (AttentionSequence& sequence : copy.sequences) sequence = {};
    EXPECT_EQ(work.host.download(*work.hidden, texts.ids.size() * kHidden), alone);
    std::vector<float> floats(kHidden * 8, 3.0F);
    succeed(work.host.stream->upload(floats, *work.sum, 0));
    std::fill(floats.begin(), floats.end(), 4.0F);
    EXPECT_EQ(work.host.download(*work.sum, floats.size()), std::vector<float>(floats.size(), 3.0F));
  }
}

/// Layers that go and others that take their place in memory, on a stream that stays and knows their
/// addresses.
TEST_P(Cuda, WeightsMayGoBetweenCalls) {
  Host host(*backend_);
  const auto source = host.upload(Numbers(1).halves(40 * 256));
  const auto target = host.empty(40 * 256);
  const std::vector<float> input = host.download(*source, 40 * 256);
  const std::vector<LinearSize> sizes = {{64, 128}, {128, 64}, {64, 128}, {256, 32}, {32, 256}, {64, 128}};
  for (std::uint32_t round = 0; round < 3; ++round)
    for (const LinearSize& size : sizes) {  // all weights of one size in bytes
      Numbers numbers(round * 100 + static_cast<std::uint32_t>(size.inputs));
      const Weight weight = exact_weight(numbers, size.outputs, size.inputs, GetParam());
      const Weight bias(numbers.halves(size.outputs, -3, 3), 1, WeightType::kF32);
      const LinearView layer{weight.view, bias.view};
      const auto expected = [&] {
        const auto linear = value_of(reference_->make_linear(std::span(&layer, 1), GetParam()));
        Host theirs(*reference_);
        const auto from = theirs.upload(input);
        const auto to = theirs.empty(40 * size.outputs);
        succeed(theirs.stream->linear(*linear, Activation::kNone, 40, {from.get(), 0, size.inputs},
                                      {to.get(), 0, size.outputs}));
        return theirs.download(*to, 40 * size.outputs);
      }();
      const auto linear = value_of(backend_->make_linear(std::span(&layer, 1), GetParam()));
      for (int again = 0; again < 3; ++again) {
        succeed(host.stream->linear(*linear, Activation::kNone, 40, {source.get(), 0, size.inputs},
                                    {target.get(), 0, size.outputs}));
        expect_close(host.download(*target, 40 * size.outputs), expected, 1e-4, half(),
                     std::to_string(size.inputs) + " to " + std::to_string(size.outputs) + ", round " +
                         std::to_string(round));
      }
    }
}

/// Buffers that are given back, and taken again by others, while work on them is still queued.
TEST_P(Cuda, BuffersMayGoWhileWorkIsQueued) {
  const Layer layer(*backend_, GetParam(), 7);
  std::vector<Texts> texts;
  std::vector<std::vector<float>> expected;
  for (std::uint32_t i = 0; i < 12; ++i) {
    texts.emplace_back(i, std::vector<std::size_t>(1 + i % 5, 11 + 17 * i % 200));
    expected.push_back(layer.run_alone(*backend_, texts.back()));
  }
  for (int round = 0; round < 3; ++round) {
    Work work(*backend_, 1);
    std::vector<std::unique_ptr<Buffer>> kept;
    for (const Texts& one : texts) {
      work.grow(one.ids.size());
      layer.queue(work, one);
      kept.push_back(std::move(work.hidden));  // the others go at the next growth, with nothing read yet
    }
    for (std::size_t i = 0; i < texts.size(); ++i)
      EXPECT_EQ(work.host.download(*kept[i], texts[i].ids.size() * kHidden), expected[i])
          << "round " << round << ", " << i;
  }
}

/// A stream may go with its work queued.
TEST_P(Cuda, StreamsMayGoWhileWorkIsQueued) {
  const Layer layer(*backend_, GetParam(), 7);
  const Texts texts(1, {5, 64, 1, 130, 33});
  const auto alone = layer.run_alone(*backend_, texts);
  for (int again = 0; again < 10; ++again) {
    Work work(*backend_, texts.ids.size());
    layer.queue(work, texts);
  }
  EXPECT_EQ(layer.run_alone(*backend_, texts), alone);
}

/// What a caller gave up does not run with what it asks for next.
TEST_P(Cuda, DiscardedWorkDoesNotRun) {
  const Layer layer(*backend_, GetParam(), 7);
  const Texts texts(1, {5, 64, 1, 130, 33});
  const auto alone = layer.run_alone(*backend_, texts);
  const std::vector<float> before(alone.size(), 3.0F);
  Work work(*backend_, texts.ids.size());
  for (int again = 0; again < 4; ++again) {
    succeed(work.host.stream->upload(before, *work.hidden, 0));
    layer.queue(work, texts);
    work.host.stream->discard();
    EXPECT_EQ(work.host.download(*work.hidden, before.size()), before);
    EXPECT_EQ(layer.run(work, texts), alone);
  }
}

TEST_P(Cuda, StreamsOfTwoThreads) {
  const Layer layer(*backend_, GetParam(), 7);
  const std::vector<Texts> texts = {{1, {5, 64, 1, 130, 33}}, {2, {200, 17, 9}}, {3, {33}}};
  std::vector<std::vector<float>> alone;
  alone.reserve(texts.size());
  for (const Texts& one : texts) alone.push_back(layer.run_alone(*backend_, one));
  std::vector<std::string> errors(2);
  std::vector<int> wrong(2);
  std::vector<std::thread> threads;
  threads.reserve(2);
  for (std::size_t t = 0; t < 2; ++t)
    threads.emplace_back([&, t] {
      try {
        Work work(*backend_, 300);
        for (std::size_t again = 0; again < 40; ++again) {
          const std::size_t which = again < 20 ? t : (again + t) % texts.size();
          if (again == 30) work.grow(350);
          if (layer.run(work, texts[which]) != alone[which]) ++wrong[t];
        }
      } catch (const std::exception& error) {
        errors[t] = error.what();
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t t = 0; t < 2; ++t) {
    EXPECT_EQ(wrong[t], 0) << "thread " << t;
    EXPECT_EQ(errors[t], "") << "thread " << t;
  }
}

// -- the best words

struct Best {
  std::vector<double> log_sums;
  std::vector<std::int32_t> ids;
  std::vector<float> logits;
};

/// As the interface says it, by sorting.
Best plain_best(std::span<const float> logits, std::size_t rows, std::size_t columns, std::size_t tokens,
                std::size_t count) {
  Best best;
  for (std::size_t r = 0; r < rows; ++r) {
    const auto row = logits.subspan(r * columns, columns);
    const double largest = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit) - largest);
    best.log_sums.push_back(largest + std::log(sum));
    std::vector<std::int32_t> order(tokens);
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
                      [&](std::int32_t a, std::int32_t b) {
                        const float x = row[static_cast<std::size_t>(a)],
                                    y = row[static_cast<std::size_t>(b)];
                        return x != y ? x > y : a < b;
                      });
    for (std::size_t i = 0; i < count; ++i) {
      best.ids.push_back(order[i]);
      best.logits.push_back(row[static_cast<std::size_t>(order[i])]);
    }
  }
  return best;
}

/// The same by the backend, of rows that start behind one that is not asked for.
Best ask_best(Host& host, Buffer& logits, std::size_t rows, std::size_t columns, std::size_t tokens,
              std::size_t count) {
  Best best{std::vector<double>(rows), std::vector<std::int32_t>(rows * count),
            std::vector<float>(rows * count)};
  succeed(host.stream->best(rows, columns, tokens, count, {&logits, columns, columns},
                            {best.log_sums, best.ids, best.logits}));
  return best;
}

/// Logits where a product with the vocabulary leaves them, f32 in every precision: row r of the input is unit
/// vector r, column r of the table the logits of row r. `logits` becomes what is there in the end.
std::unique_ptr<Buffer> place_logits(Backend& backend, Precision precision, Host& host,
                                     std::vector<float>& logits, std::size_t rows, std::size_t columns,
                                     const std::vector<float>* bias = nullptr) {
  const std::size_t width = (rows + 7) / 8 * 8;
  std::vector<float> turned(columns * width), units(rows * width);
  for (std::size_t r = 0; r < rows; ++r) {
    units[r * width + r] = 1;
    for (std::size_t c = 0; c < columns; ++c) turned[c * width + r] = logits[r * columns + c];
  }
  const Weight table(turned, columns, WeightType::kF32);
  const auto made = value_of(backend.make_table(table.view, precision, TableBytes::kCopy));
  std::unique_ptr<Vector> vector;
  if (bias != nullptr) vector = value_of(backend.make_vector(Weight(*bias, 1, WeightType::kF32).view));
  const auto input = host.upload(units);
  auto buffer = value_of(host.stream->allocate((rows + 1) * columns));
  succeed(host.stream->vocabulary(*made, vector.get(), rows, {input.get(), 0, width},
                                  {buffer.get(), columns, columns}));
  succeed(host.stream->download(*buffer, columns, logits));
  return buffer;
}

TEST_P(Cuda, FindsTheBestWords) {
  struct Size {
    std::size_t rows, columns, tokens;
  };
  Host host(*backend_);
  const std::size_t most = backend_->work_sizes().best_words;
  for (const Size& size : {Size{1, 1, 1}, Size{3, 7, 5}, Size{17, 64, 64}, Size{130, 300, 300},
                           Size{5, 1025, 1000}, Size{1, 30522, 30522}, Size{65, 30522, 30522},
                           Size{130, 30522, 30000}, Size{2, 30522, 100}, Size{3, 120000, 119547}})
    for (const std::size_t count : {1U, 2U, 5U, 10U, 33U, 64U})
      for (const bool ties : {false, true}) {
        if (count > std::min(most, size.tokens) || (size.rows > 64 && size.columns > 1000 && count % 5 != 0))
          continue;
        Numbers numbers(static_cast<std::uint32_t>(size.columns + size.rows + count));
        auto logits = numbers.halves(size.rows * size.columns, -12, 12);
        if (ties)  // a few values alone, so that most of the best are equal
          for (float& logit : logits) logit = std::floor(logit / 4);
        const auto placed = place_logits(*backend_, GetParam(), host, logits, size.rows, size.columns);
        const auto actual = ask_best(host, *placed, size.rows, size.columns, size.tokens, count);
        const auto expected = plain_best(logits, size.rows, size.columns, size.tokens, count);
        const std::string where = std::to_string(count) + " of " + std::to_string(size.tokens) + " of " +
                                  std::to_string(size.columns) + ", " + std::to_string(size.rows) + " rows" +
                                  (ties ? ", ties" : "");
        EXPECT_EQ(actual.ids, expected.ids) << where;
        EXPECT_EQ(actual.logits, expected.logits) << where;
        for (std::size_t r = 0; r < size.rows; ++r)
          ASSERT_NEAR(actual.log_sums[r], expected.log_sums[r], 1e-5) << where << ", row " << r;
      }
}

TEST_P(Cuda, FindsTheBestOfExtremes) {
  Host host(*backend_);
  const std::size_t columns = 2000;
  // rising, falling, all equal, all zero but one, large ones of either sign
  std::vector<float> logits;
  logits.reserve(5 * columns);
  for (std::size_t c = 0; c < columns; ++c) logits.push_back(static_cast<float>(c) - 1000);
  for (std::size_t c = 0; c < columns; ++c) logits.push_back(1000 - static_cast<float>(c));
  for (std::size_t c = 0; c < columns; ++c) logits.push_back(-5);
  for (std::size_t c = 0; c < columns; ++c) logits.push_back(c == 1234 ? 1.0F : c % 2 == 0 ? 0.0F : -0.0F);
  for (std::size_t c = 0; c < columns; ++c) logits.push_back(c % 3 == 0 ? 30000.0F : -30000.0F);
  const auto placed = place_logits(*backend_, GetParam(), host, logits, 5, columns);
  for (const std::size_t count : {1U, 64U}) {
    const auto actual = ask_best(host, *placed, 5, columns, columns, count);
    const auto expected = plain_best(logits, 5, columns, columns, count);
    EXPECT_EQ(actual.ids, expected.ids);
    EXPECT_EQ(actual.logits, expected.logits);
    for (std::size_t r = 0; r < 5; ++r) EXPECT_NEAR(actual.log_sums[r], expected.log_sums[r], 0.01) << r;
  }
}

TEST_P(Cuda, BestShowsWhatIsNotFinite) {
  Host host(*backend_);
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::size_t columns : {64U, 1000U, 30522U})
    for (const float odd : {std::nanf(""), infinity, -infinity})
      for (const std::size_t at : {std::size_t{0}, columns / 3, columns - 1}) {
        const std::string where =
            std::to_string(columns) + " columns, " + std::to_string(odd) + " at " + std::to_string(at);
        const auto expect_odd = [&](const Best& best, std::size_t row) {
          EXPECT_TRUE(std::isnan(best.log_sums[row])) << where << ", row " << row;
          EXPECT_EQ(best.ids[row * 5], static_cast<std::int32_t>(at)) << where << ", row " << row;
          EXPECT_FALSE(std::isfinite(best.logits[row * 5])) << where << ", row " << row;
        };
        Numbers numbers(5);
        auto logits = numbers.halves(3 * columns);
        std::vector<float> bias(columns);
        bias[at] = odd;  // in every row
        const auto placed = place_logits(*backend_, GetParam(), host, logits, 3, columns, &bias);
        const auto all = ask_best(host, *placed, 3, columns, columns, 5);
        for (const std::size_t row : {0U, 1U, 2U}) expect_odd(all, row);
        if (GetParam() != Precision::kF32) continue;
        // in one row alone: others do not change (uploads are f32 here alone)
        logits = numbers.halves(3 * columns);
        const auto expected = plain_best(logits, 3, columns, columns, 5);
        logits[columns + at] = odd;
        const auto buffer = host.empty(4 * columns);
        succeed(host.stream->upload(logits, *buffer, columns));
        const auto one = ask_best(host, *buffer, 3, columns, columns, 5);
        expect_odd(one, 1);
        for (const std::size_t row : {0U, 2U}) {
          EXPECT_NEAR(one.log_sums[row], expected.log_sums[row], 1e-5) << where << ", row " << row;
          for (std::size_t i = row * 5; i < row * 5 + 5; ++i)
            EXPECT_EQ(one.ids[i], expected.ids[i]) << where << ", row " << row;
        }
      }
}

/// From the product on, as the tasks use it.
TEST_P(Cuda, FindsTheBestOfItsOwnLogits) {
  const std::size_t width = 72, entries = 30522, rows = 20, count = 5;
  Numbers numbers(12);
  const Weight words = exact_weight(numbers, entries, width, GetParam());
  const Weight bias(numbers.halves(entries, -3, 3), 1, WeightType::kF32);
  const auto table = value_of(backend_->make_table(words.view, GetParam(), TableBytes::kCopy));
  const auto vector = value_of(backend_->make_vector(bias.view));
  Host host(*backend_);
  const auto source = host.upload(numbers.halves(rows * width));
  const auto target = host.empty(rows * entries);
  for (int again = 0; again < 3; ++again) {
    succeed(host.stream->vocabulary(*table, vector.get(), rows, {source.get(), 0, width},
                                    {target.get(), 0, entries}));
    Best best{std::vector<double>(rows), std::vector<std::int32_t>(rows * count),
              std::vector<float>(rows * count)};
    succeed(host.stream->best(rows, entries, entries, count, {target.get(), 0, entries},
                              {best.log_sums, best.ids, best.logits}));
    const auto logits = host.download(*target, rows * entries);
    const auto expected = plain_best(logits, rows, entries, entries, count);
    EXPECT_EQ(best.ids, expected.ids);
    EXPECT_EQ(best.logits, expected.logits);
    for (std::size_t r = 0; r < rows; ++r) EXPECT_NEAR(best.log_sums[r], expected.log_sums[r], 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, Cuda,
                         testing::Values(Precision::kF32, Precision::kF16, Precision::kInt8), name_of);
INSTANTIATE_TEST_SUITE_P(Precisions, CudaTiles,
                         testing::Values(Precision::kF32, Precision::kF16, Precision::kInt8), name_of);

}  // namespace
