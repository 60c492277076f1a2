// The lean XNNPACK: each operator that the encoder may use, against plain loops, with one thread and with
// two.
#include <gtest/gtest.h>
#include <pthreadpool.h>
#include <xnnpack.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kExtra = XNN_EXTRA_BYTES / sizeof(float);  // kernels may read past the end of an input

using Operator = std::unique_ptr<xnn_operator, decltype(&xnn_delete_operator)>;
using Pool = std::unique_ptr<pthreadpool, decltype(&pthreadpool_destroy)>;

std::vector<float> random_values(size_t n, uint32_t seed, size_t extra = kExtra) {
  std::mt19937 bits(seed);
  std::vector<float> values(n + extra);
  for (float& v : values) v = static_cast<float>(bits() >> 8) / 8388608.0f - 1.0f;
  return values;
}

// y[m][n] = sum_k x[m][k] w[n][k] + bias[n], in double
std::vector<double> linear(const std::vector<float>& x, const std::vector<float>& w,
                           const std::vector<float>& bias, size_t m, size_t k, size_t n) {
  std::vector<double> y(m * n);
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j < n; ++j) {
      double sum = static_cast<double>(bias[j]);
      for (size_t c = 0; c < k; ++c)
        sum += static_cast<double>(x[i * k + c]) * static_cast<double>(w[j * k + c]);
      y[i * n + j] = sum;
    }
  return y;
}

double max_error(const std::vector<float>& a, const std::vector<double>& b) {
  double worst = 0;
  for (size_t i = 0; i < b.size(); ++i) worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]));
  return worst;
}

class Xnnpack : public testing::TestWithParam<size_t> {
 protected:
  void SetUp() override { ASSERT_EQ(xnn_initialize(nullptr), xnn_status_success); }
  Operator own(xnn_operator_t op) { return {op, &xnn_delete_operator}; }

  Pool pool_{pthreadpool_create(GetParam()), &pthreadpool_destroy};
  static constexpr size_t kIn = 67, kOut = 45;  // no multiple of any kernel's tile
};

TEST_P(Xnnpack, FullyConnectedF32) {
  // the others: layers with so few outputs have kernels of their own
  for (const size_t outputs : {kOut, size_t{2}, size_t{1}}) {
    const auto w = random_values(outputs * kIn, 1), bias = random_values(outputs, 2);
    xnn_operator_t op = nullptr;
    ASSERT_EQ(xnn_create_fully_connected_nc_f32(kIn, outputs, kIn, outputs, w.data(), bias.data(), -kInfinity,
                                                kInfinity, 0, nullptr, nullptr, &op),
              xnn_status_success);
    const Operator owner = own(op);
    for (size_t m = 1; m <= 17; ++m) {  // every specialisation of the kernels for few rows
      const auto x = random_values(m * kIn, 3);
      std::vector<float> y(m * outputs + kExtra);
      ASSERT_EQ(xnn_reshape_fully_connected_nc_f32(op, m, pool_.get()), xnn_status_success);
      ASSERT_EQ(xnn_setup_fully_connected_nc_f32(op, x.data(), y.data()), xnn_status_success);
      ASSERT_EQ(xnn_run_operator(op, pool_.get()), xnn_status_success);
      EXPECT_LT(max_error(y, linear(x, w, bias, m, kIn, outputs)), 1e-5)
          << m << " rows, " << outputs << " outputs";
    }
  }
}

#if BERT_XNNPACK_INT8
TEST_P(Xnnpack, FullyConnectedInt8WithRowsQuantisedAtRunTime) {
  std::mt19937 bits(4);
  std::vector<int8_t> w(kOut * kIn + XNN_EXTRA_BYTES);
  for (int8_t& v : w) v = static_cast<int8_t>(static_cast<int>(bits() % 255) - 127);
  std::vector<float> scale(kOut + kExtra), real(kOut * kIn);
  for (size_t j = 0; j < kOut; ++j) scale[j] = 0.001f * static_cast<float>(j + 1);
  for (size_t i = 0; i < real.size(); ++i) real[i] = static_cast<float>(w[i]) * scale[i / kIn];
  const auto bias = random_values(kOut, 5);
  xnn_operator_t fc = nullptr, convert = nullptr;
  ASSERT_EQ(
      xnn_create_fully_connected_nc_qd8_f32_qc8w(kIn, kOut, kIn, kOut, scale.data(), w.data(), bias.data(),
                                                 -kInfinity, kInfinity, 0, nullptr, nullptr, &fc),
      xnn_status_success);
  const Operator fc_owner = own(fc);
  ASSERT_EQ(xnn_create_convert_nc_f32_qd8(0, &convert), xnn_status_success);
  const Operator convert_owner = own(convert);
  for (size_t m = 1; m <= 17; ++m) {
    const auto x = random_values(m * kIn, 6);
    std::vector<int8_t> q(m * kIn + XNN_EXTRA_BYTES);
    std::vector<xnn_quantization_params> rows(m + XNN_EXTRA_QUANTIZATION_PARAMS);
    ASSERT_EQ(xnn_reshape_convert_nc_f32_qd8(convert, m, kIn, kIn, kIn, pool_.get()), xnn_status_success);
    ASSERT_EQ(xnn_setup_convert_nc_f32_qd8(convert, x.data(), q.data(), rows.data()), xnn_status_success);
    ASSERT_EQ(xnn_run_operator(convert, pool_.get()), xnn_status_success);
    // the product is exact on what the rows were rounded to
    std::vector<float> rounded(m * kIn);
    for (size_t i = 0; i < rounded.size(); ++i) {
      const auto& row = rows[i / kIn];
      rounded[i] = static_cast<float>(q[i] - row.zero_point) * row.scale;
      ASSERT_NEAR(rounded[i], x[i], row.scale);
    }
    std::vector<float> y(m * kOut + kExtra);
    ASSERT_EQ(xnn_reshape_fully_connected_nc_qd8_f32_qc8w(fc, m, pool_.get()), xnn_status_success);
    ASSERT_EQ(xnn_setup_fully_connected_nc_qd8_f32_qc8w(fc, q.data(), y.data(), rows.data()),
              xnn_status_success);
    ASSERT_EQ(xnn_run_operator(fc, pool_.get()), xnn_status_success);
    EXPECT_LT(max_error(y, linear(rounded, real, bias, m, kIn, kOut)), 2e-4) << m << " rows";
  }
}
#endif

INSTANTIATE_TEST_SUITE_P(Threads, Xnnpack, testing::Values(1, 2),
                         [](const auto& info) { return std::to_string(info.param); });

}  // namespace
