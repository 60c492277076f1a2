// int8 and f16 storage: how near it stays, and files that read back as what was written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "bert/model.h"
#include "support/checkpoint_maker.h"

namespace {

using bert::BertWeights;
using bert::BytesUse;
using bert::Checkpoint;
using bert::DType;
using bert::Expected;
using bert::ModuleId;
using bert::ModuleKind;
using bert::ModuleView;
using bert::QuantizePlan;
using bert::Status;
using bert::Storage;
using bert_test::CheckpointSpec;
using testing::HasSubstr;

/// Deterministic values near a normal distribution.
std::vector<float> normal_values(std::size_t count, std::uint64_t seed) {
  bert_test::MadeTensor tensor{"t", "t", DType::kF32, {count}, 4 * count, 1.0, 0.0};
  const auto bytes = bert_test::tensor_bytes(tensor, seed);
  std::vector<float> values(count);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

double squared_error(std::span<const float> row, std::span<const std::int8_t> q, double scale) {
  double sum = 0;
  for (std::size_t i = 0; i < row.size(); ++i) sum += (row[i] - scale * q[i]) * (row[i] - scale * q[i]);
  return sum;
}

/// The squared error of plain rounding at max|row| / 127: what the search has to beat.
double max_abs_error(std::span<const float> row) {
  float most = 0;
  for (const float value : row) most = std::max(most, std::fabs(value));
  double sum = 0;
  const double scale = most / 127.0;
  for (const float value : row) {
    const double error = value - scale * std::nearbyint(value / scale);
    sum += error * error;
  }
  return sum;
}

TEST(QuantizeRow, IsNeverWorseThanMaxAbs) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const auto count = static_cast<std::size_t>(1 + 37 * seed);  // ends of every length beside whole vectors
    auto row = normal_values(count, seed);
    if (seed % 3 == 1) row[count / 2] *= 12;  // an outlier
    if (seed % 3 == 2)
      for (float& value : row) value = value * value * value * 1e-3F;  // heavy tails
    std::vector<std::int8_t> q(count);
    const float scale = bert::quantize_row(row, q);
    double norm = 0;
    for (const float value : row) norm += static_cast<double>(value) * value;
    EXPECT_GT(scale, 0);
    // The scale is a float: beside the rounding of the integers stands the rounding of the scale.
    EXPECT_LE(squared_error(row, q, scale), max_abs_error(row) * (1 + 1e-4) + 1e-14 * norm) << seed;
    for (const std::int8_t value : q) EXPECT_NE(value, -128);
  }
}

TEST(QuantizeRow, SearchBeatsMaxAbsOnTheWhole) {
  for (const std::size_t count : {64U, 768U, 3072U}) {
    double found = 0;
    double plain = 0;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
      const auto row = normal_values(count, seed);
      std::vector<std::int8_t> q(count);
      const float scale = bert::quantize_row(row, q);
      found += squared_error(row, q, scale);
      plain += max_abs_error(row);
    }
    EXPECT_LT(found, 0.98 * plain) << count;
  }
}

TEST(QuantizeRow, RelativeErrorOfNormalRows) {
  // Uniform rounding error is step / sqrt(12); a normal row of 768 has its maximum near 3.4 deviations.
  const auto row = normal_values(768, 3);
  std::vector<std::int8_t> q(row.size());
  const float scale = bert::quantize_row(row, q);
  double norm = 0;
  for (const float value : row) norm += static_cast<double>(value) * value;
  EXPECT_LT(std::sqrt(squared_error(row, q, scale) / norm), 0.009);
}

TEST(QuantizeRow, SpecialRows) {
  std::vector<std::int8_t> q(4, 99);
  EXPECT_EQ(bert::quantize_row(std::vector<float>{0, 0, -0.0F, 0}, q), 1.0F);
  EXPECT_EQ(q, (std::vector<std::int8_t>{0, 0, 0, 0}));
  EXPECT_EQ(bert::quantize_row(std::vector<float>{1e-38F, -1e-40F, 0, 0}, q), 1.0F);
  EXPECT_EQ(q, (std::vector<std::int8_t>{0, 0, 0, 0}));
  const float big = std::numeric_limits<float>::max();
  const float scale = bert::quantize_row(std::vector<float>{big, -big, 0, big / 2}, q);
  EXPECT_TRUE(std::isfinite(scale));
  EXPECT_NEAR(scale * 127 / big, 1, 0.01);
  EXPECT_EQ(q[0], 127);
  EXPECT_EQ(q[1], -127);
  // exact multiples come back exactly
  const float unit = bert::quantize_row(std::vector<float>{127, -5, 64, 1}, q);
  EXPECT_NEAR(unit, 1, 1e-6);
  EXPECT_EQ(q, (std::vector<std::int8_t>{127, -5, 64, 1}));
  std::vector<std::int8_t> none;
  EXPECT_EQ(bert::quantize_row({}, none), 1.0F);
}

CheckpointSpec small_spec() {
  CheckpointSpec spec;
  spec.config.vocab_size = 61;
  spec.config.hidden_size = 24;
  spec.config.num_hidden_layers = 2;
  spec.config.num_attention_heads = 4;
  spec.config.intermediate_size = 50;
  spec.config.max_position_embeddings = 15;
  spec.position_ids = true;
  return spec;
}

/// The planned file in memory, every byte written once and only once.
struct Written {
  std::vector<std::byte> bytes;
  std::vector<bool> covered;
  std::size_t largest = 0;

  explicit Written(const QuantizePlan& plan)
      : bytes(static_cast<std::size_t>(plan.file_bytes())), covered(bytes.size()) {
    put(0, plan.header());
  }
  void put(std::uint64_t offset, std::span<const std::byte> piece) {
    ASSERT_LE(offset + piece.size(), bytes.size());
    const auto start = static_cast<std::size_t>(offset);
    largest = std::max(largest, piece.size());
    for (std::size_t i = 0; i < piece.size(); ++i) {
      ASSERT_FALSE(covered[start + i]);
      covered[start + i] = true;
      bytes[start + i] = piece[i];
    }
  }
};

Expected<Written> quantized(const BertWeights& weights, Storage storage) {
  auto plan = QuantizePlan::create(weights.checkpoint, storage);
  if (!plan) return tl::unexpected(plan.error());
  Written written(*plan);
  const auto status =
      visit_modules(weights, [&](ModuleId id, const ModuleView& module) -> Expected<BytesUse> {
        const Status s =
            plan->write(id, module, [&written](std::uint64_t offset, std::span<const std::byte> bytes) {
              written.put(offset, bytes);
              return Status();
            });
        if (!s) return tl::unexpected(s.error());
        return BytesUse::kCopied;
      });
  if (!status) return tl::unexpected(status.error());
  EXPECT_EQ(std::count(written.covered.begin(), written.covered.end(), false), 0);
  return written;
}

Expected<BertWeights> reopen(const Written& written, const bert::ModelConfig& config) {
  auto header = bert::SafetensorsHeader::parse(written.bytes, written.bytes.size());
  if (!header) return tl::unexpected(header.error());
  auto checkpoint = Checkpoint::create(config, {std::move(*header)});
  if (!checkpoint) return tl::unexpected(checkpoint.error());
  const std::span<const std::byte> files[] = {written.bytes};
  return BertWeights::bind(*checkpoint, files);
}

std::vector<float> floats(const bert::TensorView& view) {
  std::vector<float> out(view.elements());
  view.to_float(out);
  return out;
}

/// Norm of the difference over the norm of `a`.
double relative_error(const bert::TensorView& a, const bert::TensorView& b) {
  const auto x = floats(a);
  const auto y = floats(b);
  EXPECT_EQ(x.size(), y.size());
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    difference += (static_cast<double>(x[i]) - y[i]) * (static_cast<double>(x[i]) - y[i]);
    norm += static_cast<double>(x[i]) * x[i];
  }
  return std::sqrt(difference / norm);
}

void compare(const BertWeights& a, const BertWeights& b, Storage storage) {
  for (const ModuleId id : a.checkpoint.modules()) {
    const ModuleView x = a.module(id);
    const ModuleView y = b.module(id);
    const std::string name = bert::module_name(id);
    EXPECT_EQ(x.weight.name, y.weight.name);
    const bool norm = name.ends_with("LayerNorm");
    const bool exact = norm || (storage == Storage::kInt8 && (id.kind == ModuleKind::kTokenTypeEmbeddings ||
                                                              id.kind == ModuleKind::kNspClassifier));
    EXPECT_EQ(y.weight.dtype, exact                       ? DType::kF32
                              : storage == Storage::kInt8 ? DType::kI8
                                                          : DType::kF16)
        << name;
    EXPECT_LE(relative_error(x.weight, y.weight), exact                       ? 0
                                                  : storage == Storage::kInt8 ? 0.009
                                                                              : 0.0004)
        << name;
    if (x.bias.empty()) continue;
    EXPECT_EQ(y.bias.dtype, DType::kF32);
    EXPECT_EQ(floats(x.bias), floats(y.bias)) << name;
  }
}

TEST(QuantizePlan, WritesFilesThatReadBack) {
  for (const Storage storage : {Storage::kInt8, Storage::kF16}) {
    for (const bool tied : {true, false}) {
      for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
        CheckpointSpec spec = small_spec();
        spec.config.tie_word_embeddings = tied;
        spec.dtype = dtype;
        spec.gamma_beta = tied;
        spec.shards = tied ? 3 : 1;
        const auto opened = bert_test::make_and_open(spec);
        ASSERT_TRUE(opened) << opened.error().message;
        const auto written = quantized(opened->weights, storage);
        ASSERT_TRUE(written) << written.error().message;
        const auto again = reopen(*written, spec.config);
        ASSERT_TRUE(again) << again.error().message;
        compare(opened->weights, *again, storage);
        EXPECT_EQ(again->checkpoint.headers()[0].metadata().at("bertlens.storage"),
                  storage == Storage::kInt8 ? "int8" : "f16");
        EXPECT_EQ(again->checkpoint.headers()[0].metadata().at("format"), "pt");
        EXPECT_EQ(again->checkpoint.stored_parameters().base(),
                  opened->weights.checkpoint.stored_parameters().base());
        EXPECT_EQ(again->checkpoint.stored_parameters().unused, 0U);
        for (const auto& tensor : again->checkpoint.headers()[0].tensors())
          EXPECT_EQ(tensor.offset % bert::dtype_size(tensor.dtype), 0U) << tensor.name;
      }
    }
  }
}

TEST(QuantizePlan, LeavesOutHeadsThatAreNotThere) {
  CheckpointSpec spec = small_spec();
  spec.mlm_head = spec.nsp_head = false;
  const auto opened = bert_test::make_and_open(spec);
  ASSERT_TRUE(opened);
  const auto written = quantized(opened->weights, Storage::kInt8);
  ASSERT_TRUE(written);
  const auto again = reopen(*written, spec.config);
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->mlm);
  EXPECT_TRUE(again->pooler);
}

TEST(QuantizePlan, TwiceIsOnce) {
  const auto opened = bert_test::make_and_open(small_spec());
  ASSERT_TRUE(opened);
  const auto once = quantized(opened->weights, Storage::kInt8);
  ASSERT_TRUE(once);
  const auto weights = reopen(*once, small_spec().config);
  ASSERT_TRUE(weights);
  const auto twice = quantized(*weights, Storage::kInt8);
  ASSERT_TRUE(twice) << twice.error().message;
  EXPECT_EQ(once->bytes, twice->bytes);
}

TEST(QuantizePlan, MemoryIsAFewRows) {
  CheckpointSpec spec = small_spec();
  spec.config.vocab_size = 30000;
  const auto opened = bert_test::make_and_open(spec);
  ASSERT_TRUE(opened);
  const auto written = quantized(opened->weights, Storage::kInt8);
  ASSERT_TRUE(written);
  EXPECT_LE(written->largest, std::size_t{256} << 10);
}

TEST(QuantizePlan, RefusesWhatCannotBeStored) {
  for (const Storage storage : {Storage::kInt8, Storage::kF16}) {
    for (const float bad : {NAN, INFINITY, 65520.0F}) {
      auto opened = bert_test::make_and_open(small_spec());
      ASSERT_TRUE(opened);
      const auto& weight = opened->weights.layers[1].output.weight;
      auto& bytes = opened->bytes[0];
      std::memcpy(bytes.data() + (weight.data.data() - bytes.data()) + 4 * (3 * weight.columns + 1), &bad, 4);
      const auto written = quantized(opened->weights, storage);
      ASSERT_EQ(written.has_value(), storage == Storage::kInt8 && bad == 65520.0F);
      if (written) continue;
      EXPECT_EQ(written.error().code, bert::ErrorCode::kInvalidModel);
      EXPECT_THAT(written.error().message, HasSubstr("'bert.encoder.layer.1.output.dense.weight', row 3"));
    }
  }
}

TEST(QuantizePlan, PassesTheWritersErrorOn) {
  const auto opened = bert_test::make_and_open(small_spec());
  ASSERT_TRUE(opened);
  const auto plan = QuantizePlan::create(opened->weights.checkpoint, Storage::kInt8);
  ASSERT_TRUE(plan);
  const auto status = plan->write({ModuleKind::kQuery, 0}, opened->weights.layers[0].query,
                                  [](std::uint64_t, std::span<const std::byte>) {
                                    return Status(bert::fail(bert::ErrorCode::kIo, "disk full"));
                                  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "disk full");
}

}  // namespace
