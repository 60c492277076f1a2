// Attention over packed rows of sequences of any lengths.
#include <atomic>
#include <cmath>

#include "cuda/elements.cuh"
#include "cuda/kernels.h"
#include "cuda/tensor_cores.cuh"

namespace bert::cuda {
namespace {

// ---- any type, head size, hiding and results: a warp takes up to four queries of a head, its lanes the keys
// ----

constexpr int kQueriesOfWarp = 4;

template <class T>
struct PlainArguments {
  const T *query, *key, *value;
  T* context;
  std::size_t query_stride, key_stride, value_stride, context_stride;
  int head_size;
  float scale;
  const DeviceSequence* sequences;
  const QueryTile* tiles;
  std::size_t longest;
  const std::uint8_t* visible;
  float *probabilities, *scores;
};

/// One block: the tile blockIdx.x of head blockIdx.y; shared memory [warps][4][longest] floats.
template <class T>
__global__ void plain_attention(PlainArguments<T> a) {
  extern __shared__ float shared[];
  const QueryTile tile = a.tiles[blockIdx.x];
  const DeviceSequence sequence = a.sequences[tile.sequence];
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int first = tile.first + warp * kQueriesOfWarp;
  const int queries = min(kQueriesOfWarp, sequence.query_count - first);
  if (queries <= 0) return;  // no barrier of the block follows
  const int keys = sequence.key_count;
  const int head = static_cast<int>(blockIdx.y);
  const std::size_t column = static_cast<std::size_t>(head) * a.head_size;
  float* const weights = shared + static_cast<std::size_t>(warp) * kQueriesOfWarp * a.longest;

  const T* query[kQueriesOfWarp];
  std::size_t matrix[kQueriesOfWarp];  // where the query's row of probabilities and scores begins
#pragma unroll
  for (int q = 0; q < kQueriesOfWarp; ++q) {
    const int own = min(
        first + q, sequence.query_count - 1);  // beyond the last: that one again, its results are not kept
    query[q] = a.query + (static_cast<std::size_t>(sequence.query_row) + own) * a.query_stride + column;
    matrix[q] = static_cast<std::size_t>(sequence.matrix) +
                (static_cast<std::size_t>(head) * sequence.query_count + own) * keys;
  }

  float largest[kQueriesOfWarp];
#pragma unroll
  for (int q = 0; q < kQueriesOfWarp; ++q) largest[q] = -INFINITY;
  for (int k = lane; k < keys; k += 32) {
    const T* const key = a.key + (static_cast<std::size_t>(sequence.key_row) + k) * a.key_stride + column;
    float sums[kQueriesOfWarp] = {};
    for (int d = 0; d < a.head_size; ++d) {
      const float value = load(key + d);
#pragma unroll
      for (int q = 0; q < kQueriesOfWarp; ++q) sums[q] += load(query[q] + d) * value;
    }
    const bool hidden =
        sequence.hiding == Hiding::kSome && a.visible[static_cast<std::size_t>(sequence.key_row) + k] == 0;
#pragma unroll
    for (int q = 0; q < kQueriesOfWarp; ++q) {
      float score = sums[q] * a.scale;
      if (a.scores != nullptr && q < queries) a.scores[matrix[q] + k] = score;
      if (sequence.hiding == Hiding::kAll) score = 0;
      if (hidden) score = -INFINITY;
      weights[q * a.longest + k] = score;
      largest[q] = fmaxf(largest[q], score);
    }
  }
#pragma unroll
  for (int q = 0; q < kQueriesOfWarp; ++q) {
    const float most = warp_max(largest[q]);
    float sum = 0;
    for (int k = lane; k < keys; k += 32) {
      const float weight = expf(weights[q * a.longest + k] - most);
      weights[q * a.longest + k] = weight;
      sum += weight;
    }
    const float share = 1.0F / warp_sum(sum);
    for (int k = lane; k < keys; k += 32) {
      const float probability = weights[q * a.longest + k] * share;
      weights[q * a.longest + k] = probability;
      if (a.probabilities != nullptr && q < queries) a.probabilities[matrix[q] + k] = probability;
    }
  }
  __syncwarp();
  for (int d = lane; d < a.head_size; d += 32) {
    float sums[kQueriesOfWarp] = {};
    for (int k = 0; k < keys; ++k) {
      const float value =
          load(a.value + (static_cast<std::size_t>(sequence.key_row) + k) * a.value_stride + column + d);
#pragma unroll
      for (int q = 0; q < kQueriesOfWarp; ++q) sums[q] += weights[q * a.longest + k] * value;
    }
    for (int q = 0; q < queries; ++q)
      store(a.context + (static_cast<std::size_t>(sequence.query_row) + first + q) * a.context_stride +
                column + d,
            sums[q]);
  }
}

template <class T>
cudaError_t launch_plain(const DeviceAttention& call, cudaStream_t stream) {
  const std::size_t queries = plain_queries(call.longest);
  const std::size_t shared = queries * call.longest * sizeof(float);
  const PlainArguments<T> arguments{reinterpret_cast<const T*>(call.query.data),
                                    reinterpret_cast<const T*>(call.key.data),
                                    reinterpret_cast<const T*>(call.value.data),
                                    reinterpret_cast<T*>(call.context.data),
                                    call.query.stride,
                                    call.key.stride,
                                    call.value.stride,
                                    call.context.stride,
                                    static_cast<int>(call.head_size),
                                    call.scale,
                                    call.sequences,
                                    call.tiles,
                                    call.longest,
                                    call.visible,
                                    call.probabilities,
                                    call.scores};
  const dim3 grid(static_cast<unsigned>(call.tile_count), static_cast<unsigned>(call.heads));
  plain_attention<T>
      <<<grid, static_cast<unsigned>(32 * queries / kQueriesOfWarp), shared, stream>>>(arguments);
  return cudaGetLastError();
}

// ---- tensor cores: warps of 16 queries each, all of a block take the same 32 keys at a time ----

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kOfWarp = 16;  // queries
constexpr int kTileQueries = kOfWarp * kWarps;
constexpr int kStep = 32;  // keys
static_assert(kTileQueries == static_cast<int>(kFlashQueries));

struct FlashArguments {
  const __half *query, *key, *value;
  __half* context;
  std::size_t query_stride, key_stride, value_stride, context_stride;
  int heads;
  float scale;  // times log2(e): powers of two are cheaper
  const DeviceSequence* sequences;
  const QueryTile* tiles;
};

/// Bytes from row to row of a head in shared memory: 16 more than needed, so that eight rows at one column
/// lie in different banks.
template <int kSize>
constexpr int kPitch = 2 * (kSize + 8);

/// Bytes of the keys of a step, or of their values.
template <int kSize>
constexpr int kPart = kStep* kPitch<kSize>;

/// The tile's queries, later the result; then keys and values of a step, and those of the next where a
/// sequence has more keys than one step takes.
template <int kSize>
constexpr std::size_t flash_shared(bool many) {
  return static_cast<std::size_t>(kTileQueries * kPitch<kSize> + (many ? 4 : 2) * kPart<kSize>);
}

/// `count` rows into shared memory, then zeros up to a multiple of kWhole rows.
template <int kSize, int kWhole>
__device__ __forceinline__ void copy_rows(unsigned target, const __half* source, std::size_t stride,
                                          int count) {
  constexpr int kUnits = kSize / 8;  // of 16 bytes in a row
  constexpr int kPass = kThreads / kUnits;
  static_assert(kThreads % kUnits == 0);
  const int rows = (count + kWhole - 1) / kWhole * kWhole;
  const int unit = static_cast<int>(threadIdx.x) % kUnits;
  int row = static_cast<int>(threadIdx.x) / kUnits;
  const __half* from = source + static_cast<std::size_t>(row) * stride + unit * 8;
  unsigned to = target + static_cast<unsigned>(row * kPitch<kSize> + unit * 16);
#pragma unroll 4
  for (; row < rows; row += kPass) {
    copy_16(to, row < count ? from : source, row < count);
    from += kPass * stride;
    to += kPass * kPitch<kSize>;
  }
}

/// This lane's part of the address of 16 x 16 elements: of a first factor, or of a second one whose rows lie
/// as rows.
template <int kSize>
__device__ inline unsigned lane_in_rows() {
  const unsigned lane = threadIdx.x % 32;
  return lane % 16 * kPitch<kSize> + lane / 16 * 16;
}
/// ... of a second factor whose columns lie as rows.
template <int kSize>
__device__ inline unsigned lane_in_columns() {
  const unsigned lane = threadIdx.x % 32;
  return (lane / 16 * 8 + lane % 8) * kPitch<kSize> + lane / 8 % 2 * 16;
}

// Of scores [16, 32] a lane has scores[n][e]: columns n * 8 + 2 * (lane % 4) + e % 2, of row lane / 4 (e < 2)
// and of row lane / 4 + 8. Of the context likewise.

template <int kSize>
__device__ __forceinline__ void load_queries(unsigned (&query)[kSize / 16][4], unsigned rows) {
#pragma unroll
  for (int slice = 0; slice < kSize / 16; ++slice)
    load_matrices(query[slice], rows + lane_in_rows<kSize>() + slice * 32);
}

/// scores [16, 32] = queries keys^T
template <int kSize>
__device__ __forceinline__ void score(float (&scores)[kStep / 8][4], const unsigned (&query)[kSize / 16][4],
                                      unsigned keys) {
  const float zeros[4] = {0, 0, 0, 0};
#pragma unroll
  for (int slice = 0; slice < kSize / 16; ++slice) {
#pragma unroll
    for (int group = 0; group < kStep / 16; ++group) {
      unsigned m[4];
      load_matrices(m, keys + lane_in_columns<kSize>() + group * 16 * kPitch<kSize> + slice * 32);
      if (slice == 0) {
        multiply_add(scores[2 * group], query[slice], m[0], m[1], zeros);
        multiply_add(scores[2 * group + 1], query[slice], m[2], m[3], zeros);
      } else {
        multiply_add(scores[2 * group], query[slice], m[0], m[1], scores[2 * group]);
        multiply_add(scores[2 * group + 1], query[slice], m[2], m[3], scores[2 * group + 1]);
      }
    }
  }
}

/// Hides the keys from `count` on.
__device__ __forceinline__ void hide_beyond(float (&scores)[kStep / 8][4], int count) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int n = 0; n < kStep / 8; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e)
      if (n * 8 + 2 * (lane % 4) + e % 2 >= count) scores[n][e] = -INFINITY;
}

/// context [16, kSize] += weights [16, 32] values [32, kSize]
template <int kSize>
__device__ __forceinline__ void add_values(float (&context)[kSize / 8][4],
                                           const unsigned (&weights)[kStep / 16][4], unsigned values) {
#pragma unroll
  for (int group = 0; group < kStep / 16; ++group) {
#pragma unroll
    for (int n = 0; n < kSize / 8; n += 2) {
      unsigned m[4];
      load_matrices_transposed(m, values + lane_in_rows<kSize>() + group * 16 * kPitch<kSize> + n * 16);
      multiply_add(context[n], weights[group], m[0], m[1], context[n]);
      multiply_add(context[n + 1], weights[group], m[2], m[3], context[n + 1]);
    }
  }
}

// Over the four lanes that share a row.
__device__ inline float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}
__device__ inline float row_sum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

/// Shares of the total into the warp's rows of shared memory, then out in units of 16 bytes.
template <int kSize>
__device__ __forceinline__ void write_rows(const float (&context)[kSize / 8][4], const float (&total)[2],
                                           unsigned rows, __half* target, std::size_t stride, int count) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    // 0 where there are no keys; where the total is not a number, the context is none either and stays so
    const float share = total[r] > 0 ? __fdividef(1.0F, total[r]) : 0;
#pragma unroll
    for (int n = 0; n < kSize / 8; ++n)
      store_shared(rows + (lane / 4 + 8 * r) * kPitch<kSize> + n * 16 + lane % 4 * 4,
                   pack(context[n][2 * r] * share, context[n][2 * r + 1] * share));
  }
  __syncwarp();
  constexpr int kUnits = kSize / 8;
  const int unit = lane % kUnits;
#pragma unroll
  for (int i = 0; i < kOfWarp * kUnits / 32; ++i) {
    const int row = lane / kUnits + i * (32 / kUnits);
    const uint4 bits = load_shared_16(rows + row * kPitch<kSize> + unit * 16);
    if (row < count)
      *reinterpret_cast<uint4*>(target + static_cast<std::size_t>(row) * stride + unit * 8) = bits;
  }
}

/// For a warp without queries, which never reads these: else they would count as live in the whole loop.
template <int kCount>
__device__ __forceinline__ void forget(unsigned (&weights)[kCount][4]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i)
#pragma unroll
    for (int e = 0; e < 4; ++e) weights[i][e] = 0;
}

/// One block: a tile of one head; the heads of a tile follow each other, as they lie in memory. While a warp
/// makes a step's scores its values arrive, then the keys of the next. A processor needs several blocks at
/// once to fill what waiting leaves idle: the second bound keeps the registers to what lets so many in.
template <int kSize>
__global__ void __launch_bounds__(kThreads, kSize == 128 ? 2 : 6) flash_attention(FlashArguments a) {
  extern __shared__ __align__(16) unsigned char bytes[];
  constexpr float kSlack = 8;  // weights of up to 2^8: far within the range of f16
  const unsigned queries_at = shared_address(bytes);
  const unsigned steps_at = queries_at + kTileQueries * kPitch<kSize>;
  const int head = static_cast<int>(blockIdx.x) % a.heads;
  const QueryTile tile = a.tiles[static_cast<int>(blockIdx.x) / a.heads];
  const DeviceSequence sequence = a.sequences[tile.sequence];
  const int queries = min(kTileQueries, sequence.query_count - tile.first);
  const int keys = sequence.key_count;
  const int column = head * kSize;
  const std::size_t first_query = static_cast<std::size_t>(sequence.query_row) + tile.first;
  const __half* const key = a.key + static_cast<std::size_t>(sequence.key_row) * a.key_stride + column;
  const __half* const value = a.value + static_cast<std::size_t>(sequence.key_row) * a.value_stride + column;
  // the rows of a step, if there is such a step; each call is one group of copies
  const auto copy_step = [&](int step, const __half* source, std::size_t stride, unsigned part) {
    const int count = min(keys - step * kStep, kStep);
    if (count > 0)
      copy_rows<kSize, kStep>(steps_at + step % 2 * 2 * kPart<kSize> + part,
                              source + static_cast<std::size_t>(step) * kStep * stride, stride, count);
    commit_copies();
  };
  const auto copy_keys = [&](int step) { copy_step(step, key, a.key_stride, 0); };
  const auto copy_values = [&](int step) { copy_step(step, value, a.value_stride, kPart<kSize>); };
  copy_rows<kSize, kOfWarp>(queries_at, a.query + first_query * a.query_stride + column, a.query_stride,
                            queries);
  copy_keys(0);
  copy_values(0);
  copy_keys(1);

  const int first = static_cast<int>(threadIdx.x) / 32 * kOfWarp;
  const bool works = first < queries;
  const unsigned rows = queries_at + first * kPitch<kSize>;
  float context[kSize / 8][4] = {};
  // of the rows lane / 4 and lane / 4 + 8
  float reference[2] = {-INFINITY, -INFINITY};
  float total[2] = {};
  const int steps = (keys + kStep - 1) / kStep;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    const int left = min(keys - step * kStep, kStep);
    const unsigned keys_at = steps_at + step % 2 * 2 * kPart<kSize>;
    unsigned weights[kStep / 16][4];
    if (!works) forget(weights);
    wait_for_copies<2>();
    __syncthreads();  // the keys are there, and the values before these are no longer needed
    copy_values(step + 1);
    if (works) {
      // loaded anew for each step: kept, they would take the registers of more warps
      unsigned query[kSize / 16][4];
      load_queries<kSize>(query, rows);
      float scores[kStep / 8][4];
      score<kSize>(scores, query, keys_at);
      if (left < kStep) hide_beyond(scores, left);
      float most[2] = {-INFINITY, -INFINITY};
#pragma unroll
      for (int n = 0; n < kStep / 8; ++n)
#pragma unroll
        for (int r = 0; r < 2; ++r) most[r] = fmaxf(most[r], fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
      most[0] = row_max(most[0]);
      most[1] = row_max(most[1]);
      // the sums are scaled anew only where the largest score has grown by more than kSlack powers of two.
      // What is done to a row depends on nothing but the row: results must not change with its neighbours.
      const bool grows[2] = {(most[0] - reference[0]) * a.scale > kSlack,
                             (most[1] - reference[1]) * a.scale > kSlack};
      if (__any_sync(kAllLanes, grows[0] || grows[1])) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const float shrink =
              grows[r] ? power_of_two((reference[r] - most[r]) * a.scale) : 1.0F;  // 0 at first
          if (grows[r]) reference[r] = most[r];
          total[r] *= shrink;
#pragma unroll
          for (int n = 0; n < kSize / 8; ++n) {
            context[n][2 * r] *= shrink;
            context[n][2 * r + 1] *= shrink;
          }
        }
      }
      const float offset[2] = {-reference[0] * a.scale, -reference[1] * a.scale};
#pragma unroll
      for (int n = 0; n < kStep / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) scores[n][e] = power_of_two(fmaf(scores[n][e], a.scale, offset[e / 2]));
#pragma unroll
        for (int r = 0; r < 2; ++r) total[r] += scores[n][2 * r] + scores[n][2 * r + 1];
#pragma unroll
        for (int r = 0; r < 2; ++r)
          weights[n / 2][n % 2 * 2 + r] = pack(scores[n][2 * r], scores[n][2 * r + 1]);
      }
    }
    wait_for_copies<2>();
    __syncthreads();  // the values are there, and these keys are no longer needed
    copy_keys(step + 2);
    if (works) add_values<kSize>(context, weights, keys_at + kPart<kSize>);
  }
  if (steps == 0) {  // then nobody has waited for the queries, whose place the result takes
    wait_for_copies<0>();
    __syncthreads();
  }
  if (!works) return;
  total[0] = row_sum(total[0]);
  total[1] = row_sum(total[1]);
  write_rows<kSize>(context, total, rows, a.context + (first_query + first) * a.context_stride + column,
                    a.context_stride, queries - first);
}

template <int kSize>
cudaError_t launch_flash(const DeviceAttention& call, cudaStream_t stream) {
  const FlashArguments arguments{reinterpret_cast<const __half*>(call.query.data),
                                 reinterpret_cast<const __half*>(call.key.data),
                                 reinterpret_cast<const __half*>(call.value.data),
                                 reinterpret_cast<__half*>(call.context.data),
                                 call.query.stride,
                                 call.key.stride,
                                 call.value.stride,
                                 call.context.stride,
                                 static_cast<int>(call.heads),
                                 call.scale * 1.44269504088896340736F,
                                 call.sequences,
                                 call.tiles};
  const auto blocks = static_cast<unsigned>(call.tile_count * call.heads);
  const std::size_t shared = flash_shared<kSize>(call.longest > static_cast<std::size_t>(kStep));
  flash_attention<kSize><<<blocks, kThreads, shared, stream>>>(arguments);
  return cudaGetLastError();
}

// of a block; prepare_kernels asks the device, for each backend that is made, while others may be at work
std::atomic<std::size_t> most_shared = 48 << 10;

template <class Kernel>
cudaError_t allow_shared(Kernel* kernel, std::size_t bytes) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
}

template <int kSize>
cudaError_t allow_flash() {
  return allow_shared(flash_attention<kSize>, flash_shared<kSize>(true));
}

}  // namespace

bool flash_attention_takes(Element element, const DeviceAttention& call, bool hides) {
  const auto whole = [](const DeviceRows& rows) {
    return reinterpret_cast<std::uintptr_t>(rows.data) % 16 == 0 && rows.stride % 8 == 0;
  };
  return element == Element::kF16 &&
         (call.head_size == 32 || call.head_size == 64 || call.head_size == 128) && !hides &&
         call.probabilities == nullptr && call.scores == nullptr && whole(call.query) && whole(call.key) &&
         whole(call.value) && whole(call.context);
}

cudaError_t launch_flash_attention(const DeviceAttention& call, cudaStream_t stream) {
  if (call.tile_count == 0 || call.heads == 0) return cudaSuccess;
  switch (call.head_size) {
    case 32:
      return launch_flash<32>(call, stream);
    case 64:
      return launch_flash<64>(call, stream);
    case 128:
      return launch_flash<128>(call, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

std::size_t plain_queries(std::size_t longest) {
  const std::size_t most = most_shared.load(std::memory_order_relaxed);
  std::size_t queries = kPlainQueries;
  while (queries >= kQueriesOfWarp && queries * longest * sizeof(float) > most) queries /= 2;
  return queries >= kQueriesOfWarp ? queries : 0;
}

cudaError_t launch_plain_attention(Element element, const DeviceAttention& call, cudaStream_t stream) {
  if (call.tile_count == 0 || call.heads == 0) return cudaSuccess;
  return element == Element::kF32 ? launch_plain<float>(call, stream) : launch_plain<__half>(call, stream);
}

cudaError_t prepare_kernels() {
  int device = 0;
  int shared = 0;
  cudaError_t status = cudaGetDevice(&device);
  if (status == cudaSuccess)
    status = cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (status != cudaSuccess) return status;
  const auto most = static_cast<std::size_t>(shared);
  most_shared.store(most, std::memory_order_relaxed);
  for (const cudaError_t allowed :
       {allow_shared(plain_attention<float>, most), allow_shared(plain_attention<__half>, most),
        allow_flash<32>(), allow_flash<64>(), allow_flash<128>()})
    if (allowed != cudaSuccess) return allowed;
  return cudaSuccess;
}

}  // namespace bert::cuda
