// Attention over packed rows of sequences of any lengths.
#include <cmath>

#include "cuda/elements.cuh"
#include "cuda/kernels.h"

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

// ---- tensor cores: four warps of 16 queries each, 64 keys at a time ----

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kBlock = 64;  // queries of a tile, keys of a step
static_assert(kBlock == static_cast<int>(kFlashQueries));

struct FlashArguments {
  const __half *query, *key, *value;
  __half* context;
  std::size_t query_stride, key_stride, value_stride, context_stride;
  float scale;  // times log2(e): powers of two are cheaper
  const DeviceSequence* sequences;
  const QueryTile* tiles;
};

/// Rows of a head in shared memory: 16 bytes more than needed, so that eight rows at one column lie in
/// different banks.
template <int kSize>
struct Tile {
  static constexpr int kStride = kSize + 8;
  __half values[kBlock * kStride];
};

template <int kSize>
struct FlashShared {
  Tile<kSize> query;  // later the result
  Tile<kSize> key[2];
  Tile<kSize> value[2];
};

__device__ unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

/// 16 bytes from global to shared memory, or zeros, in the background.
__device__ void copy_16(void* target, const void* source, bool wanted) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(target)), "l"(source),
               "r"(wanted ? 16 : 0));
}
__device__ void commit_copies() {
  asm volatile("cp.async.commit_group;\n");
}
template <int kPending>
__device__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending));
}

/// Four 8x8 matrices; each lane names the address of one row.
__device__ void load_matrices(unsigned (&matrices)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(shared_address(row)));
}
__device__ void load_matrices_transposed(unsigned (&matrices)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(shared_address(row)));
}
/// sums [16, 8] += a [16, 16] b [16, 8]
__device__ void multiply_add(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};\n"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ unsigned pack(float low, float high) {
  const __half2 halves = __floats2half2_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&halves);
}

/// `count` rows from row `first` on into the tile, zeros after them.
template <int kSize>
__device__ void copy_rows(Tile<kSize>& tile, const __half* source, std::size_t stride, int count) {
  constexpr int kUnits = kSize / 8;  // of 16 bytes in a row
  for (int i = static_cast<int>(threadIdx.x); i < kBlock * kUnits; i += kThreads) {
    const int row = i / kUnits;
    const int unit = i % kUnits;
    const bool wanted = row < count;
    copy_16(tile.values + row * Tile<kSize>::kStride + unit * 8,
            source + static_cast<std::size_t>(wanted ? row : 0) * stride + unit * 8, wanted);
  }
}

/// One block: the tile blockIdx.x of head blockIdx.y.
template <int kSize>
__global__ void __launch_bounds__(kThreads) flash_attention(FlashArguments a) {
  extern __shared__ __align__(16) unsigned char bytes[];
  FlashShared<kSize>& shared = *reinterpret_cast<FlashShared<kSize>*>(bytes);
  constexpr int kStride = Tile<kSize>::kStride;
  constexpr int kSteps = kSize / 16;   // of 16 columns of a head
  constexpr int kColumns = kSize / 8;  // of 8 columns of the result
  const QueryTile tile = a.tiles[blockIdx.x];
  const DeviceSequence sequence = a.sequences[tile.sequence];
  const int queries = min(kBlock, sequence.query_count - tile.first);
  const int keys = sequence.key_count;
  const std::size_t column = static_cast<std::size_t>(blockIdx.y) * kSize;
  const std::size_t first_query = static_cast<std::size_t>(sequence.query_row) + tile.first;
  const __half* const key = a.key + static_cast<std::size_t>(sequence.key_row) * a.key_stride + column;
  const __half* const value = a.value + static_cast<std::size_t>(sequence.key_row) * a.value_stride + column;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);

  copy_rows<kSize>(shared.query, a.query + first_query * a.query_stride + column, a.query_stride, queries);
  copy_rows<kSize>(shared.key[0], key, a.key_stride, keys);
  copy_rows<kSize>(shared.value[0], value, a.value_stride, keys);
  commit_copies();

  const bool works = warp * 16 < queries;
  unsigned query[kSteps][4];
  float context[kColumns][4] = {};
  // of the rows lane / 4 and lane / 4 + 8 of the warp
  float largest[2] = {-INFINITY, -INFINITY};
  float total[2] = {0, 0};

  const int blocks = (keys + kBlock - 1) / kBlock;
  for (int block = 0; block < blocks; ++block) {
    const int left = keys - block * kBlock;
    if (block + 1 < blocks) {
      const std::size_t next = static_cast<std::size_t>(block + 1) * kBlock;
      copy_rows<kSize>(shared.key[(block + 1) % 2], key + next * a.key_stride, a.key_stride, left - kBlock);
      copy_rows<kSize>(shared.value[(block + 1) % 2], value + next * a.value_stride, a.value_stride,
                       left - kBlock);
    }
    commit_copies();
    wait_for_copies<1>();
    __syncthreads();
    if (block == 0) {
#pragma unroll
      for (int step = 0; step < kSteps; ++step)
        load_matrices(query[step],
                      shared.query.values + (warp * 16 + lane % 16) * kStride + step * 16 + lane / 16 * 8);
    }
    if (works) {
      const __half* const block_key = shared.key[block % 2].values;
      const __half* const block_value = shared.value[block % 2].values;
      float scores[8][4];  // [keys / 8]: columns 2 * (lane % 4) and the next, of both rows
#pragma unroll
      for (int group = 0; group < 4; ++group) {  // of 16 keys
        float(&low)[4] = scores[2 * group];
        float(&high)[4] = scores[2 * group + 1];
#pragma unroll
        for (int e = 0; e < 4; ++e) low[e] = high[e] = 0;
        if (group * 16 >= left) continue;
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
          unsigned matrices[4];
          load_matrices(matrices, block_key + (group * 16 + lane / 16 * 8 + lane % 8) * kStride + step * 16 +
                                      lane / 8 % 2 * 8);
          multiply_add(low, query[step], matrices[0], matrices[1]);
          multiply_add(high, query[step], matrices[2], matrices[3]);
        }
      }
      float most[2] = {largest[0], largest[1]};
#pragma unroll
      for (int n = 0; n < 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int at = n * 8 + 2 * (lane % 4) + e % 2;
          scores[n][e] = at < left ? scores[n][e] * a.scale : -INFINITY;
          most[e / 2] = fmaxf(most[e / 2], scores[n][e]);
        }
      }
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        most[r] = fmaxf(most[r], __shfl_xor_sync(kAllLanes, most[r], 1));
        most[r] = fmaxf(most[r], __shfl_xor_sync(kAllLanes, most[r], 2));
        const float shrink = exp2f(largest[r] - most[r]);  // 0 at first: the largest is -infinity
        largest[r] = most[r];
        total[r] *= shrink;
#pragma unroll
        for (int n = 0; n < kColumns; ++n) {
          context[n][2 * r] *= shrink;
          context[n][2 * r + 1] *= shrink;
        }
      }
#pragma unroll
      for (int n = 0; n < 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          scores[n][e] = exp2f(scores[n][e] - largest[e / 2]);
          total[e / 2] += scores[n][e];
        }
      }
#pragma unroll
      for (int group = 0; group < 4; ++group) {
        if (group * 16 >= left) continue;
        const float(&low)[4] = scores[2 * group];
        const float(&high)[4] = scores[2 * group + 1];
        const unsigned weights[4] = {pack(low[0], low[1]), pack(low[2], low[3]), pack(high[0], high[1]),
                                     pack(high[2], high[3])};
#pragma unroll
        for (int n = 0; n < kColumns; n += 2) {
          unsigned matrices[4];
          load_matrices_transposed(
              matrices,
              block_value + (group * 16 + lane / 8 % 2 * 8 + lane % 8) * kStride + n * 8 + lane / 16 * 8);
          multiply_add(context[n], weights, matrices[0], matrices[1]);
          multiply_add(context[n + 1], weights, matrices[2], matrices[3]);
        }
      }
    }
    __syncthreads();  // before the next but one block overwrites this one
  }
  if (!works) return;

  // each warp's rows of the query tile are its own by now: the result goes there, then out in units of 16
  // bytes
  __half* const own = shared.query.values + warp * 16 * kStride;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    total[r] += __shfl_xor_sync(kAllLanes, total[r], 1);
    total[r] += __shfl_xor_sync(kAllLanes, total[r], 2);
    const float share = total[r] > 0 ? 1.0F / total[r] : 0;
#pragma unroll
    for (int n = 0; n < kColumns; ++n)
      *reinterpret_cast<unsigned*>(own + (lane / 4 + 8 * r) * kStride + n * 8 + 2 * (lane % 4)) =
          pack(context[n][2 * r] * share, context[n][2 * r + 1] * share);
  }
  __syncwarp();
  constexpr int kUnits = kSize / 8;
  for (int i = lane; i < 16 * kUnits; i += 32) {
    const int row = i / kUnits;
    if (warp * 16 + row >= queries) break;
    *reinterpret_cast<uint4*>(a.context + (first_query + warp * 16 + row) * a.context_stride + column +
                              i % kUnits * 8) =
        *reinterpret_cast<const uint4*>(own + row * kStride + i % kUnits * 8);
  }
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
                                 call.scale * 1.44269504088896340736F,
                                 call.sequences,
                                 call.tiles};
  const dim3 grid(static_cast<unsigned>(call.tile_count), static_cast<unsigned>(call.heads));
  flash_attention<kSize><<<grid, kThreads, sizeof(FlashShared<kSize>), stream>>>(arguments);
  return cudaGetLastError();
}

std::size_t most_shared = 48 << 10;  // of a block; prepare_kernels asks the device

template <class Kernel>
cudaError_t allow_shared(Kernel* kernel, std::size_t bytes) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
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
  std::size_t queries = kPlainQueries;
  while (queries >= kQueriesOfWarp && queries * longest * sizeof(float) > most_shared) queries /= 2;
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
  most_shared = static_cast<std::size_t>(shared);
  for (const cudaError_t allowed :
       {allow_shared(plain_attention<float>, most_shared), allow_shared(plain_attention<__half>, most_shared),
        allow_shared(flash_attention<32>, sizeof(FlashShared<32>)),
        allow_shared(flash_attention<64>, sizeof(FlashShared<64>)),
        allow_shared(flash_attention<128>, sizeof(FlashShared<128>))})
    if (allowed != cudaSuccess) return allowed;
  return cudaSuccess;
}

}  // namespace bert::cuda
