// What can be said of a tensor in one reading.
#include <cmath>
#include <vector>

#include "bert/model.h"

namespace bert {
namespace {

/// Mean and sum of squared deviations of finite values.
struct Moments {
  double count = 0;
  double mean = 0;
  double squares = 0;

  /// Joins two sets (Chan, Golub, LeVeque 1979): stable, unlike the difference of two large sums.
  void add(const Moments& other) {
    if (other.count == 0) return;
    const double total = count + other.count;
    const double delta = other.mean - mean;
    mean += delta * other.count / total;
    squares += other.squares + delta * delta * count * other.count / total;
    count = total;
  }
};

Moments moments_of(std::span<const float> values) {
  Moments moments;
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    moments.count += 1;
    moments.mean += value;
  }
  if (moments.count == 0) return moments;
  moments.mean /= moments.count;
  for (const float value : values) {
    if (std::isfinite(value)) moments.squares += (value - moments.mean) * (value - moments.mean);
  }
  return moments;
}

}  // namespace

TensorStatistics tensor_statistics(const TensorView& tensor) {
  TensorStatistics result;
  result.elements = tensor.elements();
  std::vector<float> row(tensor.columns);
  Moments all;
  bool first = true;
  for (std::size_t r = 0; r < tensor.rows; ++r) {
    tensor.row_to_float(r, row);
    for (const float value : row) {
      if (std::isnan(value)) {
        ++result.nans;
        continue;
      }
      if (value == 0) ++result.zeros;
      if (std::isinf(value)) ++result.infinities;
      result.min = first || value < result.min ? value : result.min;
      result.max = first || value > result.max ? value : result.max;
      first = false;
    }
    all.add(moments_of(row));
  }
  result.mean = all.mean;
  result.deviation = all.count == 0 ? 0 : std::sqrt(all.squares / all.count);
  return result;
}

}  // namespace bert
