// The best words of rows of vocabulary logits, so that only those leave the device.
#include <cmath>

#include "cuda/kernels.h"

namespace bert::cuda {
namespace {

constexpr int kThreads = 256;

struct Candidate {
  float logit;
  std::int32_t id;
};
constexpr std::int32_t kNone = 0x7fffffff;

/// Whether `a` comes before `b`: the greater logit, of equal ones the smaller id.
__device__ bool before(Candidate a, Candidate b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/// The first of a thread's own entries (threadIdx.x, + kThreads, ...) that comes after `last`.
__device__ Candidate next_of(const float* logits, std::int32_t tokens, Candidate last) {
  Candidate best{-INFINITY, kNone};
  for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < tokens; i += kThreads) {
    const Candidate own{logits[i], i};
    if (before(last, own) && before(own, best)) best = own;
  }
  return best;
}

/// One block a row.
__global__ void __launch_bounds__(kThreads)
    best_words(const float* logits, std::int32_t columns, std::int32_t tokens, int count, double* log_sums,
               std::int32_t* ids, float* best) {
  __shared__ Candidate warps[kThreads / 32];
  __shared__ float warp_most[kThreads / 32];
  __shared__ std::int32_t warp_bad[kThreads / 32];
  __shared__ double warp_sums[kThreads / 32];
  __shared__ Candidate chosen;
  const std::size_t row = blockIdx.x;
  const float* const own_row = logits + row * static_cast<std::size_t>(columns);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);

  float most = -INFINITY;
  std::int32_t bad = kNone;
  for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < columns; i += kThreads) {
    const float logit = own_row[i];
    if (!isfinite(logit)) bad = min(bad, i);
    most = fmaxf(most, logit);
  }
  for (int step = 16; step > 0; step /= 2) {
    most = fmaxf(most, __shfl_xor_sync(0xffffffffU, most, step));
    bad = min(bad, __shfl_xor_sync(0xffffffffU, bad, step));
  }
  if (lane == 0) {
    warp_most[warp] = most;
    warp_bad[warp] = bad;
  }
  __syncthreads();
  for (int w = 0; w < kThreads / 32; ++w) {
    most = fmaxf(most, warp_most[w]);
    bad = min(bad, warp_bad[w]);
  }
  if (bad != kNone) {  // the same for the whole block
    if (threadIdx.x == 0) {
      log_sums[row] = NAN;
      ids[row * count] = bad;
      best[row * count] = own_row[bad];
    }
    return;
  }
  double sum = 0;
  for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < columns; i += kThreads)
    sum += expf(own_row[i] - most);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, step);
  if (lane == 0) warp_sums[warp] = sum;

  Candidate own = next_of(own_row, tokens, {INFINITY, -1});
  for (int n = 0; n < count; ++n) {
    Candidate first = own;
    for (int step = 16; step > 0; step /= 2) {
      const Candidate other{__shfl_xor_sync(0xffffffffU, first.logit, step),
                            __shfl_xor_sync(0xffffffffU, first.id, step)};
      if (before(other, first)) first = other;
    }
    if (lane == 0) warps[warp] = first;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int w = 1; w < kThreads / 32; ++w)
        if (before(warps[w], first)) first = warps[w];
      chosen = first;
      ids[row * count + n] = first.id;
      best[row * count + n] = first.logit;
    }
    __syncthreads();
    if (own.id == chosen.id && n + 1 < count) own = next_of(own_row, tokens, own);
  }
  if (threadIdx.x == 0) {
    double all = 0;
    for (int w = 0; w < kThreads / 32; ++w) all += warp_sums[w];
    log_sums[row] = static_cast<double>(most) + log(all);
  }
}

}  // namespace

cudaError_t launch_best(const float* logits, std::size_t rows, std::size_t columns, std::size_t tokens,
                        std::size_t count, double* log_sums, std::int32_t* ids, float* best,
                        cudaStream_t stream) {
  if (rows == 0 || count == 0) return cudaSuccess;
  best_words<<<static_cast<unsigned>(rows), kThreads, 0, stream>>>(
      logits, static_cast<std::int32_t>(columns), static_cast<std::int32_t>(tokens), static_cast<int>(count),
      log_sums, ids, best);
  return cudaGetLastError();
}

}  // namespace bert::cuda
