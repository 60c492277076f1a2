// Launches of our own kernels. All are queued on a stream and give the status of the launch; pointers are the
// device's.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "bert/backend.h"
#include "cuda/device.h"

namespace bert::cuda {

/// Rows of activations: row i starts at element i * stride.
struct DeviceRows {
  std::byte* data = nullptr;
  std::size_t stride = 0;
};

struct DeviceNorm {
  const float* gamma = nullptr;
  const float* beta = nullptr;
  float epsilon = 0;
  std::size_t size = 0;
};

struct EmbedCall {
  const std::byte* words = nullptr;  ///< tables [.., norm.size] of the element type
  const std::byte* positions = nullptr;
  const std::byte* types = nullptr;
  DeviceNorm norm;
  const std::int32_t* ids = nullptr;  ///< three lists behind each other, [3, rows]: words, types, positions
  std::size_t rows = 0;
  DeviceRows sum;  ///< may be null
  DeviceRows output;
};
cudaError_t launch_embed(Element element, const EmbedCall& call, cudaStream_t stream);

/// norm(input + residual); the residual may be null, the output may be either of the two.
cudaError_t launch_add_normalise(Element element, const DeviceNorm& norm, std::size_t rows, DeviceRows input,
                                 DeviceRows residual, DeviceRows output, cudaStream_t stream);

/// activation(values) in place, `count` elements. The GELU is the one with the error function.
cudaError_t launch_activation(Element element, Activation activation, std::byte* values, std::size_t count,
                              cudaStream_t stream);

/// Row indices[i] of `input` into row i of `output`.
cudaError_t launch_gather(Element element, const std::uint32_t* indices, std::size_t rows,
                          std::size_t columns, DeviceRows input, DeviceRows output, cudaStream_t stream);

/// `count` elements from one type to another.
cudaError_t launch_convert(Element from, const std::byte* source, Element to, std::byte* target,
                           std::size_t count, cudaStream_t stream);

/// A checkpoint's weight [rows, columns] (`scales` [rows] with kInt8) as elements.
cudaError_t launch_convert_weight(WeightType type, const std::byte* source, const float* scales,
                                  std::size_t rows, std::size_t columns, Element to, std::byte* target,
                                  cudaStream_t stream);

/// How keys are hidden from the queries of a sequence.
enum class Hiding : std::int32_t { kNone, kSome, kAll };

struct DeviceSequence {
  std::int32_t query_row = 0, query_count = 0;
  std::int32_t key_row = 0, key_count = 0;
  Hiding hiding = Hiding::kNone;
  std::int32_t unused = 0;
  std::int64_t matrix = 0;  ///< first float of its probabilities and scores
};

/// Consecutive queries of one sequence that one block of threads takes.
struct QueryTile {
  std::int32_t sequence = 0;
  std::int32_t first = 0;
};

struct DeviceAttention {
  DeviceRows query, key, value, context;
  std::size_t heads = 0;
  std::size_t head_size = 0;
  float scale = 0;
  const DeviceSequence* sequences = nullptr;
  const QueryTile* tiles = nullptr;  ///< of kFlashQueries or plain_queries(longest) queries each
  std::size_t tile_count = 0;
  std::size_t longest = 0;                ///< most keys of a sequence
  const std::uint8_t* visible = nullptr;  ///< by key row; read where Hiding is kSome
  float* probabilities = nullptr;         ///< may be null
  float* scores = nullptr;                ///< may be null
};

/// Whether the tensor-core kernel can take a call: f16, a head size that it is built for, rows that start at
/// multiples of 16 bytes, nothing hidden, no matrices asked for.
bool flash_attention_takes(Element element, const DeviceAttention& call, bool hides);
inline constexpr std::size_t kFlashQueries = 64;  ///< a tile of launch_flash_attention
inline constexpr std::size_t kPlainQueries =
    16;  ///< a tile of launch_plain_attention at most (see plain_queries)
/// Attention without matrices in memory: scores of 16 queries by 32 keys at a time, with a running softmax
/// (Dao et al. 2022, https://arxiv.org/abs/2205.14135), on the tensor cores.
cudaError_t launch_flash_attention(const DeviceAttention& call, cudaStream_t stream);
/// Queries of a tile of launch_plain_attention for sequences of up to `longest` keys; 0: too long for the
/// device.
std::size_t plain_queries(std::size_t longest);
/// Any type, head size, hiding and results; sums in f32.
cudaError_t launch_plain_attention(Element element, const DeviceAttention& call, cudaStream_t stream);

/// See Stream::best; `count` is at most kMostBestWords.
inline constexpr std::size_t kMostBestWords = 256;
cudaError_t launch_best(const float* logits, std::size_t rows, std::size_t columns, std::size_t tokens,
                        std::size_t count, double* log_sums, std::int32_t* ids, float* best,
                        cudaStream_t stream);

/// Lets the attention kernels use all of the current device's shared memory. May be repeated, also while
/// other threads compute.
cudaError_t prepare_kernels();

}  // namespace bert::cuda
