// Symmetric int8 by rows: scales chosen by squared error.
#include <algorithm>
#include <array>
#include <cmath>

#include "bert/model.h"

namespace bert {
namespace {

constexpr float kMost = 127.0F;
/// Shares of max|row| that become 127. Eight bits leave little to gain by clipping: what pays lies close
/// to 1.
constexpr std::array<float, 11> kShares = {1.0F,  0.995F, 0.99F, 0.985F, 0.98F, 0.97F,
                                           0.96F, 0.94F,  0.92F, 0.89F,  0.85F};
/// Rows smaller than this throughout are stored as zeros: their scale would leave the range of normal floats.
constexpr float kTiny = 1e-30F;
constexpr std::size_t kLanes = 16;

/// Nearest integer, ties to even, of |x| < 2^22: the sum's unit is 1. Unlike std::nearbyint it becomes SIMD
/// everywhere.
float round_even(float x) {
  constexpr float kUnit = 12582912.0F;
  return (x + kUnit) - kUnit;
}

float quantised(float value, float inverse) {
  return round_even(std::min(std::max(value * inverse, -kMost), kMost));
}

/// Sums over a row with integers q of w.q and q.q, which give the best scale for q and the error that it
/// leaves.
struct Fit {
  double wq = 0;
  double qq = 0;

  /// What the scale wq / qq takes away from the squared norm of the row: the more the better.
  [[nodiscard]] double gain() const { return qq > 0 ? wq * wq / qq : 0; }
};

Fit fit(std::span<const float> row, float inverse) {
  std::array<float, kLanes> wq{};
  std::array<float, kLanes> qq{};
  const std::size_t whole = row.size() / kLanes * kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float q = quantised(row[i + lane], inverse);
      wq[lane] += row[i + lane] * inverse * q;
      qq[lane] += q * q;
    }
  }
  Fit sums;
  for (std::size_t i = whole; i < row.size(); ++i) {
    const float q = quantised(row[i], inverse);
    sums.wq += static_cast<double>(row[i] * inverse) * q;
    sums.qq += static_cast<double>(q) * q;
  }
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    sums.wq += wq[lane];
    sums.qq += qq[lane];
  }
  sums.wq /= inverse;
  return sums;
}

float largest_magnitude(std::span<const float> row) {
  float most = 0;
  for (const float value : row) most = std::max(most, std::fabs(value));
  return most;
}

}  // namespace

float quantize_row(std::span<const float> row, std::span<std::int8_t> out) {
  const float most = largest_magnitude(row);
  if (most < kTiny) {
    std::ranges::fill(out, std::int8_t{0});
    return 1.0F;
  }
  float best_inverse = kMost / most;
  Fit best;
  for (const float share : kShares) {
    const float inverse = kMost / (share * most);
    const Fit candidate = fit(row, inverse);
    if (candidate.gain() > best.gain()) {
      best = candidate;
      best_inverse = inverse;
    }
  }
  for (std::size_t i = 0; i < row.size(); ++i)
    out[i] = static_cast<std::int8_t>(quantised(row[i], best_inverse));
  return static_cast<float>(best.wq / best.qq);
}

}  // namespace bert
