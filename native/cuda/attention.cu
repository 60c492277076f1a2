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

// ---- tensor cores: warps of 16 or 32 queries each, keys copied by 64 and taken by 32 ----

constexpr int kBlock = 64;  // keys that are copied together
constexpr int kStep = 32;   // keys of a step of the running softmax
constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;

struct FlashArguments {
  const __half *query, *key, *value;
  __half* context;
  std::size_t query_stride, key_stride, value_stride, context_stride;
  int heads;
  float scale;  // times log2(e): powers of two are cheaper
  const DeviceSequence* sequences;
  const QueryTile* tiles;
};

/// Rows of a head in shared memory: 16 bytes more than needed, so that eight rows at one column lie in
/// different banks.
template <int kSize, int kRows>
struct Tile {
  static constexpr int kStride = kSize + 8;
  __half values[kRows * kStride];
};

template <int kSize>
struct KeyBlock {
  Tile<kSize, kBlock> key, value;
};
/// The second block is there only where a sequence has more keys than one takes.
template <int kSize, int kParts>
struct FlashShared {
  Tile<kSize, 16 * kParts * kWarps> query;  // later the result
  KeyBlock<kSize> blocks[2];
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
/// 2^x, 0 where that is less than any normal float.
__device__ float power_of_two(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(result) : "f"(x));
  return result;
}

/// `count` rows from row `first` on into the tile, zeros after them.
template <int kSize, int kRows>
__device__ void copy_rows(Tile<kSize, kRows>& tile, const __half* source, std::size_t stride, int count) {
  constexpr int kUnits = kSize / 8;  // of 16 bytes in a row
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kUnits; i += kThreads) {
    const int row = i / kUnits;
    const int unit = i % kUnits;
    const bool wanted = row < count;
    copy_16(tile.values + row * Tile<kSize, kRows>::kStride + unit * 8,
            source + static_cast<std::size_t>(wanted ? row : 0) * stride + unit * 8, wanted);
  }
}

/// One block: a tile of one head; the heads of a tile follow each other, as they lie in memory. A warp takes
/// kParts times 16 queries: what it loads of keys and values serves all of them.
template <int kSize, int kParts>
__global__ void __launch_bounds__(kThreads) flash_attention(FlashArguments a) {
  extern __shared__ __align__(16) unsigned char bytes[];
  FlashShared<kSize, kParts>& shared = *reinterpret_cast<FlashShared<kSize, kParts>*>(bytes);
  constexpr int kRows = 16 * kParts;  // of a warp
  constexpr int kStride = Tile<kSize, kBlock>::kStride;
  constexpr int kSlices = kSize / 16;  // of 16 columns of a head
  constexpr int kColumns = kSize / 8;  // of 8 columns of the result
  const int head = static_cast<int>(blockIdx.x) % a.heads;
  const QueryTile tile = a.tiles[static_cast<int>(blockIdx.x) / a.heads];
  const DeviceSequence sequence = a.sequences[tile.sequence];
  const int queries = min(kRows * kWarps, sequence.query_count - tile.first);
  const int keys = sequence.key_count;
  const std::size_t column = static_cast<std::size_t>(head) * kSize;
  const std::size_t first_query = static_cast<std::size_t>(sequence.query_row) + tile.first;
  const __half* const key = a.key + static_cast<std::size_t>(sequence.key_row) * a.key_stride + column;
  const __half* const value = a.value + static_cast<std::size_t>(sequence.key_row) * a.value_stride + column;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);

  copy_rows(shared.query, a.query + first_query * a.query_stride + column, a.query_stride, queries);
  copy_rows(shared.blocks[0].key, key, a.key_stride, keys);
  copy_rows(shared.blocks[0].value, value, a.value_stride, keys);
  commit_copies();

  const bool works = warp * kRows < queries;
  unsigned query[kParts][kSlices][4];
  float context[kParts][kColumns][4] = {};
  // of the rows lane / 4 and lane / 4 + 8 of each part
  float largest[kParts][2];
  float total[kParts][2];
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    largest[part][0] = largest[part][1] = -INFINITY;
    total[part][0] = total[part][1] = 0;
  }

  const int blocks = (keys + kBlock - 1) / kBlock;
  for (int block = 0; block < blocks; ++block) {
    const int left = keys - block * kBlock;
    if (block + 1 < blocks) {
      const std::size_t next = static_cast<std::size_t>(block + 1) * kBlock;
      KeyBlock<kSize>& target = shared.blocks[(block + 1) % 2];
      copy_rows(target.key, key + next * a.key_stride, a.key_stride, left - kBlock);
      copy_rows(target.value, value + next * a.value_stride, a.value_stride, left - kBlock);
    }
    commit_copies();
    wait_for_copies<1>();
    __syncthreads();
    if (block == 0) {
#pragma unroll
      for (int part = 0; part < kParts; ++part)
#pragma unroll
        for (int slice = 0; slice < kSlices; ++slice)
          load_matrices(query[part][slice], shared.query.values +
                                                (warp * kRows + part * 16 + lane % 16) * kStride +
                                                slice * 16 + lane / 16 * 8);
    }
#pragma unroll 1
    for (int first = 0; works && first < min(left, kBlock); first += kStep) {
      const __half* const step_key = shared.blocks[block % 2].key.values + first * kStride;
      const __half* const step_value = shared.blocks[block % 2].value.values + first * kStride;
      const int rest = left - first;
      float scores[kParts][kStep / 8][4] = {};  // columns 2 * (lane % 4) and the next, of both rows
#pragma unroll
      for (int group = 0; group < kStep / 16; ++group) {
        if (group * 16 >= rest) continue;
#pragma unroll
        for (int slice = 0; slice < kSlices; ++slice) {
          unsigned matrices[4];
          load_matrices(matrices, step_key + (group * 16 + lane / 16 * 8 + lane % 8) * kStride + slice * 16 +
                                      lane / 8 % 2 * 8);
#pragma unroll
          for (int part = 0; part < kParts; ++part) {
            multiply_add(scores[part][2 * group], query[part][slice], matrices[0], matrices[1]);
            multiply_add(scores[part][2 * group + 1], query[part][slice], matrices[2], matrices[3]);
          }
        }
      }
      unsigned weights[kParts][kStep / 16][4];
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        float(&own)[kStep / 8][4] = scores[part];
        if (rest < kStep) {
#pragma unroll
          for (int n = 0; n < kStep / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
              if (n * 8 + 2 * (lane % 4) + e % 2 >= rest) own[n][e] = -INFINITY;
        }
        float offset[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          float most = largest[part][r];
#pragma unroll
          for (int n = 0; n < kStep / 8; ++n) most = fmaxf(most, fmaxf(own[n][2 * r], own[n][2 * r + 1]));
          most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, 1));
          most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, 2));
          // 0 at first: the largest is -infinity
          const float shrink = power_of_two((largest[part][r] - most) * a.scale);
          largest[part][r] = most;
          offset[r] = -most * a.scale;
          total[part][r] *= shrink;
#pragma unroll
          for (int n = 0; n < kColumns; ++n) {
            context[part][n][2 * r] *= shrink;
            context[part][n][2 * r + 1] *= shrink;
          }
        }
#pragma unroll
        for (int n = 0; n < kStep / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            own[n][e] = power_of_two(fmaf(own[n][e], a.scale, offset[e / 2]));
            total[part][e / 2] += own[n][e];
          }
        }
#pragma unroll
        for (int n = 0; n < kStep / 8; ++n) {
          weights[part][n / 2][n % 2 * 2] = pack(own[n][0], own[n][1]);
          weights[part][n / 2][n % 2 * 2 + 1] = pack(own[n][2], own[n][3]);
        }
      }
#pragma unroll
      for (int group = 0; group < kStep / 16; ++group) {
        if (group * 16 >= rest) continue;
#pragma unroll
        for (int n = 0; n < kColumns; n += 2) {
          unsigned matrices[4];
          load_matrices_transposed(
              matrices,
              step_value + (group * 16 + lane / 8 % 2 * 8 + lane % 8) * kStride + n * 8 + lane / 16 * 8);
#pragma unroll
          for (int part = 0; part < kParts; ++part) {
            multiply_add(context[part][n], weights[part][group], matrices[0], matrices[1]);
            multiply_add(context[part][n + 1], weights[part][group], matrices[2], matrices[3]);
          }
        }
      }
    }
    if (block + 1 < blocks) __syncthreads();  // before the next but one block overwrites this one
  }
  if (!works) return;

  // each warp's rows of the query tile are its own by now: the result goes there, then out in units of 16
  // bytes
  __half* const own = shared.query.values + warp * kRows * kStride;
#pragma unroll
  for (int part = 0; part < kParts; ++part)
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float sum = total[part][r];
      sum += __shfl_xor_sync(kAllLanes, sum, 1);
      sum += __shfl_xor_sync(kAllLanes, sum, 2);
      const float share = sum > 0 ? 1.0F / sum : 0;
#pragma unroll
      for (int n = 0; n < kColumns; ++n)
        *reinterpret_cast<unsigned*>(own + (part * 16 + lane / 4 + 8 * r) * kStride + n * 8 +
                                     2 * (lane % 4)) =
            pack(context[part][n][2 * r] * share, context[part][n][2 * r + 1] * share);
    }
  __syncwarp();
  constexpr int kUnits = kSize / 8;
  for (int i = lane; i < kRows * kUnits; i += 32) {
    const int row = i / kUnits;
    if (warp * kRows + row >= queries) break;
    *reinterpret_cast<uint4*>(a.context + (first_query + warp * kRows + row) * a.context_stride + column +
                              i % kUnits * 8) =
        *reinterpret_cast<const uint4*>(own + row * kStride + i % kUnits * 8);
  }
}

static_assert(16 * kWarps == static_cast<int>(kFlashQueries));
static_assert(32 * kWarps == static_cast<int>(kManyFlashQueries));

template <int kSize, int kParts>
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
  std::size_t shared = sizeof(FlashShared<kSize, kParts>);
  if (call.longest <= static_cast<std::size_t>(kBlock)) shared -= sizeof(KeyBlock<kSize>);
  flash_attention<kSize, kParts><<<blocks, kThreads, shared, stream>>>(arguments);
  return cudaGetLastError();
}

template <int kSize>
cudaError_t launch_flash_of(const DeviceAttention& call, cudaStream_t stream) {
  return call.tile_queries == kManyFlashQueries ? launch_flash<kSize, 2>(call, stream)
                                                : launch_flash<kSize, 1>(call, stream);
}

std::size_t most_shared = 48 << 10;  // of a block; prepare_kernels asks the device

template <class Kernel>
cudaError_t allow_shared(Kernel* kernel, std::size_t bytes) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
}

template <int kSize>
cudaError_t allow_flash() {
  const cudaError_t few = allow_shared(flash_attention<kSize, 1>, sizeof(FlashShared<kSize, 1>));
  return few != cudaSuccess ? few : allow_shared(flash_attention<kSize, 2>, sizeof(FlashShared<kSize, 2>));
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
      return launch_flash_of<32>(call, stream);
    case 64:
      return launch_flash_of<64>(call, stream);
    case 128:
      return launch_flash_of<128>(call, stream);
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
        allow_flash<32>(), allow_flash<64>(), allow_flash<128>()})
    if (allowed != cudaSuccess) return allowed;
  return cudaSuccess;
}

}  // namespace bert::cuda
