// Work on single rows: embeddings, layer norms, activations, gathering, conversion. One warp a row where a
// row is summed.
#include "cuda/elements.cuh"
#include "cuda/kernels.h"

namespace bert::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

constexpr unsigned blocks_for(std::size_t items, std::size_t of_a_block) {
  return static_cast<unsigned>((items + of_a_block - 1) / of_a_block);
}

/// What a row norm reads: one or two rows of activations.
template <class T>
struct Sum {
  const T* input;
  const T* residual;
  std::size_t input_stride, residual_stride;
  struct Row {
    const T* input;
    const T* residual;
    __device__ float at(std::size_t i) const {
      return load(input + i) + (residual == nullptr ? 0.0F : load(residual + i));
    }
    __device__ Four four(std::size_t i) const {
      Four sum = load_four(input + i);
      if (residual == nullptr) return sum;
      const Four other = load_four(residual + i);
      for (int e = 0; e < 4; ++e) sum.x[e] += other.x[e];
      return sum;
    }
  };
  __device__ Row row(std::size_t r) const {
    return {input + r * input_stride, residual == nullptr ? nullptr : residual + r * residual_stride};
  }
};

/// ... or one row each of three tables.
template <class T>
struct Lookup {
  const T *words, *positions, *types;
  const std::int32_t* ids;
  std::size_t rows, size;
  struct Row {
    const T *word, *position, *type;
    __device__ float at(std::size_t i) const { return load(word + i) + load(position + i) + load(type + i); }
    __device__ Four four(std::size_t i) const {
      Four sum = load_four(word + i);
      const Four b = load_four(position + i);
      const Four c = load_four(type + i);
      for (int e = 0; e < 4; ++e) sum.x[e] += b.x[e] + c.x[e];
      return sum;
    }
  };
  __device__ Row row(std::size_t r) const {
    return {words + static_cast<std::size_t>(ids[r]) * size,
            positions + static_cast<std::size_t>(ids[2 * rows + r]) * size,
            types + static_cast<std::size_t>(ids[rows + r]) * size};
  }
};

/// Rows of 128 * kFours elements, held in registers between the passes.
template <class T, class Source, int kFours>
__global__ void __launch_bounds__(kThreads)
    norm_in_registers(Source source, DeviceNorm norm, std::size_t rows, T* sum, std::size_t sum_stride,
                      T* output, std::size_t output_stride) {
  const std::size_t r = static_cast<std::size_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (r >= rows) return;
  const std::size_t lane = threadIdx.x % 32;
  const auto row = source.row(r);
  Four values[kFours];
  float total = 0;
#pragma unroll
  for (int v = 0; v < kFours; ++v) {
    values[v] = row.four(128 * v + 4 * lane);
#pragma unroll
    for (int e = 0; e < 4; ++e) total += values[v].x[e];
  }
  const float mean = warp_sum(total) / (128 * kFours);
  float squares = 0;
#pragma unroll
  for (int v = 0; v < kFours; ++v) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const float distance = values[v].x[e] - mean;
      squares += distance * distance;
    }
  }
  const float factor = 1.0F / sqrtf(warp_sum(squares) / (128 * kFours) + norm.epsilon);
#pragma unroll
  for (int v = 0; v < kFours; ++v) {
    const std::size_t i = 128 * v + 4 * lane;
    if (sum != nullptr) store_four(sum + r * sum_stride + i, values[v]);
    const Four gamma = load_four(norm.gamma + i);
    const Four beta = load_four(norm.beta + i);
    Four result;
#pragma unroll
    for (int e = 0; e < 4; ++e) result.x[e] = (values[v].x[e] - mean) * factor * gamma.x[e] + beta.x[e];
    store_four(output + r * output_stride + i, result);
  }
}

/// Rows of any size, read three times.
template <class T, class Source>
__global__ void __launch_bounds__(kThreads)
    norm_of_any_size(Source source, DeviceNorm norm, std::size_t rows, T* sum, std::size_t sum_stride,
                     T* output, std::size_t output_stride) {
  const std::size_t r = static_cast<std::size_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (r >= rows) return;
  const std::size_t lane = threadIdx.x % 32;
  const auto row = source.row(r);
  const auto size = static_cast<float>(norm.size);
  float total = 0;
  for (std::size_t i = lane; i < norm.size; i += 32) total += row.at(i);
  const float mean = warp_sum(total) / size;
  float squares = 0;
  for (std::size_t i = lane; i < norm.size; i += 32) {
    const float distance = row.at(i) - mean;
    squares += distance * distance;
  }
  const float factor = 1.0F / sqrtf(warp_sum(squares) / size + norm.epsilon);
  for (std::size_t i = lane; i < norm.size; i += 32) {
    const float value = row.at(i);
    if (sum != nullptr) store(sum + r * sum_stride + i, value);
    store(output + r * output_stride + i, (value - mean) * factor * norm.gamma[i] + norm.beta[i]);
  }
}

constexpr int kPackedRows = 4;  // of a warp
constexpr int kPackedThreads = 128;

struct PackedNorm {
  const __half* input;
  __half* output;
  std::size_t input_stride, output_stride, rows;
  const float *gamma, *beta;
  float epsilon;
};

/// Eight halves that nobody asks for again: the L1 need not keep them. The compiler leaves these loads in
/// their order and before all sums, so that they are under way together.
__device__ __forceinline__ uint4 load_eight(const __half* source) {
  uint4 bits;
  asm volatile("ld.global.L1::no_allocate.v4.b32 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(bits.x), "=r"(bits.y), "=r"(bits.z), "=r"(bits.w)
               : "l"(source)
               : "memory");
  return bits;
}

__device__ __forceinline__ void to_floats(const uint4& bits, float (&x)[8]) {
  const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    const float2 two = unpack(words[w]);
    x[2 * w] = two.x;
    x[2 * w + 1] = two.y;
  }
}

/// Keeps the compiler from holding as floats, from one pass to the next, what is held as halves.
__device__ __forceinline__ void forget_floats(uint4& bits) {
  asm volatile("" : "+r"(bits.x), "+r"(bits.y), "+r"(bits.z), "+r"(bits.w));
}

/// warp_sum of each.
template <int kCount>
__device__ __forceinline__ void warp_sums(float (&values)[kCount]) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
#pragma unroll
    for (int i = 0; i < kCount; ++i) values[i] += __shfl_xor_sync(kAllLanes, values[i], step);
}

/// Rows of 256 * kEights halves, held as they were read and converted anew in each pass: that takes half the
/// registers of floats, so that a warp has four rows under way, which gamma and beta are loaded for once.
template <int kEights>
__global__ void __launch_bounds__(kPackedThreads, 4) norm_of_packed(PackedNorm a) {
  constexpr int kSize = 256 * kEights;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const std::size_t warp = static_cast<std::size_t>(blockIdx.x) * (kPackedThreads / 32) + threadIdx.x / 32;
  const std::size_t first = warp * kPackedRows;
  if (first >= a.rows) return;
  uint4 bits[kPackedRows][kEights];
#pragma unroll
  for (int r = 0; r < kPackedRows; ++r) {
    const std::size_t row = first + r < a.rows ? first + r : first;
#pragma unroll
    for (int v = 0; v < kEights; ++v)
      bits[r][v] = load_eight(a.input + row * a.input_stride + 256 * v + 8 * lane);
  }
  float mean[kPackedRows], factor[kPackedRows];
#pragma unroll
  for (int r = 0; r < kPackedRows; ++r) {
    mean[r] = 0;
#pragma unroll
    for (int v = 0; v < kEights; ++v) {
      float x[8];
      to_floats(bits[r][v], x);
#pragma unroll
      for (int e = 0; e < 8; ++e) mean[r] += x[e];
    }
  }
  warp_sums(mean);
#pragma unroll
  for (int r = 0; r < kPackedRows; ++r) {
    mean[r] *= 1.0F / kSize;
    factor[r] = 0;
#pragma unroll
    for (int v = 0; v < kEights; ++v) {
      forget_floats(bits[r][v]);
      float x[8];
      to_floats(bits[r][v], x);
#pragma unroll
      for (int e = 0; e < 8; ++e) factor[r] = fmaf(x[e] - mean[r], x[e] - mean[r], factor[r]);
    }
  }
  warp_sums(factor);
#pragma unroll
  for (int r = 0; r < kPackedRows; ++r) factor[r] = rsqrtf(factor[r] * (1.0F / kSize) + a.epsilon);
#pragma unroll
  for (int v = 0; v < kEights; ++v) {
    const int i = 256 * v + 8 * lane;
    unsigned results[kPackedRows][4];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Four gamma = load_four(a.gamma + i + 4 * half);
      const Four beta = load_four(a.beta + i + 4 * half);
#pragma unroll
      for (int r = 0; r < kPackedRows; ++r) {
        forget_floats(bits[r][v]);
        const unsigned words[4] = {bits[r][v].x, bits[r][v].y, bits[r][v].z, bits[r][v].w};
#pragma unroll
        for (int w = 0; w < 2; ++w) {
          const float2 two = unpack(words[2 * half + w]);
          results[r][2 * half + w] =
              pack((two.x - mean[r]) * factor[r] * gamma.x[2 * w] + beta.x[2 * w],
                   (two.y - mean[r]) * factor[r] * gamma.x[2 * w + 1] + beta.x[2 * w + 1]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kPackedRows; ++r)
      if (first + r < a.rows)
        *reinterpret_cast<uint4*>(a.output + (first + r) * a.output_stride + i) =
            make_uint4(results[r][0], results[r][1], results[r][2], results[r][3]);
  }
}

template <class T>
bool in_fours(const std::byte* data, std::size_t stride) {
  return reinterpret_cast<std::uintptr_t>(data) % (4 * sizeof(T)) == 0 && stride % 4 == 0;
}

/// `fours`: whether all that is read and written lies in whole fours.
template <class T, class Source>
cudaError_t launch_norm(const Source& source, bool fours, const DeviceNorm& norm, std::size_t rows,
                        DeviceRows sum, DeviceRows output, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  const auto launch = [&](auto* kernel) {
    kernel<<<blocks_for(rows, kWarps), kThreads, 0, stream>>>(
        source, norm, rows, reinterpret_cast<T*>(sum.data), sum.stride, reinterpret_cast<T*>(output.data),
        output.stride);
    return cudaGetLastError();
  };
  const bool registers = fours && norm.size % 128 == 0 && in_fours<T>(sum.data, sum.stride) &&
                         in_fours<T>(output.data, output.stride) &&
                         in_fours<float>(reinterpret_cast<const std::byte*>(norm.gamma), 0) &&
                         in_fours<float>(reinterpret_cast<const std::byte*>(norm.beta), 0);
  switch (registers ? norm.size / 128 : 0) {
    case 1:
      return launch(norm_in_registers<T, Source, 1>);
    case 2:
      return launch(norm_in_registers<T, Source, 2>);
    case 3:
      return launch(norm_in_registers<T, Source, 3>);
    case 4:
      return launch(norm_in_registers<T, Source, 4>);
    case 6:
      return launch(norm_in_registers<T, Source, 6>);
    case 8:
      return launch(norm_in_registers<T, Source, 8>);
    default:
      return launch(norm_of_any_size<T, Source>);
  }
}

template <class T>
cudaError_t embed(const EmbedCall& call, cudaStream_t stream) {
  const Lookup<T> source{reinterpret_cast<const T*>(call.words),
                         reinterpret_cast<const T*>(call.positions),
                         reinterpret_cast<const T*>(call.types),
                         call.ids,
                         call.rows,
                         call.norm.size};
  // tables start at the beginning of an allocation
  return launch_norm<T>(source, call.norm.size % 4 == 0, call.norm, call.rows, call.sum, call.output, stream);
}

template <class T>
cudaError_t add_normalise(const DeviceNorm& norm, std::size_t rows, DeviceRows input, DeviceRows residual,
                          DeviceRows output, cudaStream_t stream) {
  const Sum<T> source{reinterpret_cast<const T*>(input.data), reinterpret_cast<const T*>(residual.data),
                      input.stride, residual.stride};
  const bool fours = in_fours<T>(input.data, input.stride) && in_fours<T>(residual.data, residual.stride);
  return launch_norm<T>(source, fours, norm, rows, {}, output, stream);
}

bool in_sixteens(const void* data, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && bytes % 16 == 0;
}

/// Whether norm_of_packed takes rows of such a norm.
bool packed_norm_takes(const DeviceNorm& norm, DeviceRows input, DeviceRows output) {
  return norm.size % 256 == 0 && norm.size > 0 && norm.size <= 1024 &&
         in_sixteens(input.data, input.stride * sizeof(__half)) &&
         in_sixteens(output.data, output.stride * sizeof(__half)) && in_sixteens(norm.gamma, 0) &&
         in_sixteens(norm.beta, 0);
}

cudaError_t normalise_packed(const DeviceNorm& norm, std::size_t rows, DeviceRows input, DeviceRows output,
                             cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  const PackedNorm arguments{reinterpret_cast<const __half*>(input.data),
                             reinterpret_cast<__half*>(output.data),
                             input.stride,
                             output.stride,
                             rows,
                             norm.gamma,
                             norm.beta,
                             norm.epsilon};
  const auto launch = [&](auto* kernel) {
    kernel<<<blocks_for(rows, kPackedThreads / 32 * kPackedRows), kPackedThreads, 0, stream>>>(arguments);
    return cudaGetLastError();
  };
  switch (norm.size / 256) {
    case 1:
      return launch(norm_of_packed<1>);
    case 2:
      return launch(norm_of_packed<2>);
    case 3:
      return launch(norm_of_packed<3>);
    case 4:
      return launch(norm_of_packed<4>);
    default:
      return cudaErrorInvalidValue;
  }
}

template <Activation activation>
__device__ float activated(float x) {
  if constexpr (activation == Activation::kGelu) return 0.5F * x * erfcf(-x * 0.70710678118654752440F);
  if constexpr (activation == Activation::kGeluNew)
    return 0.5F * x * (1.0F + tanhf(0.79788456080286535588F * (x + 0.044715F * x * x * x)));
  if constexpr (activation == Activation::kRelu) return fmaxf(x, 0.0F);
  if constexpr (activation == Activation::kTanh) return tanhf(x);
  return x;
}

template <class T, Activation activation>
__global__ void __launch_bounds__(kThreads) activate(T* values, std::size_t count) {
  const std::size_t i = (static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x) * 4;
  if (i + 4 <= count) {
    Four four = load_four(values + i);
#pragma unroll
    for (int e = 0; e < 4; ++e) four.x[e] = activated<activation>(four.x[e]);
    store_four(values + i, four);
    return;
  }
  for (std::size_t j = i; j < count; ++j) store(values + j, activated<activation>(load(values + j)));
}

/// For rows that do not lie in fours.
template <class T, Activation activation>
__global__ void __launch_bounds__(kThreads) activate_each(T* values, std::size_t count) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) store(values + i, activated<activation>(load(values + i)));
}

template <class T, Activation activation>
cudaError_t launch_activated(std::byte* values, std::size_t count, cudaStream_t stream) {
  auto* const elements = reinterpret_cast<T*>(values);
  if (in_fours<T>(values, 0)) {
    activate<T, activation><<<blocks_for(count, 4 * kThreads), kThreads, 0, stream>>>(elements, count);
  } else {
    activate_each<T, activation><<<blocks_for(count, kThreads), kThreads, 0, stream>>>(elements, count);
  }
  return cudaGetLastError();
}

template <class T>
cudaError_t activate_all(Activation activation, std::byte* values, std::size_t count, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  switch (activation) {
    case Activation::kGelu:
      return launch_activated<T, Activation::kGelu>(values, count, stream);
    case Activation::kGeluNew:
      return launch_activated<T, Activation::kGeluNew>(values, count, stream);
    case Activation::kRelu:
      return launch_activated<T, Activation::kRelu>(values, count, stream);
    case Activation::kTanh:
      return launch_activated<T, Activation::kTanh>(values, count, stream);
    case Activation::kNone:
      break;
  }
  return cudaSuccess;
}

/// T: as much as one thread moves.
template <class T>
__global__ void __launch_bounds__(kThreads)
    gather_rows(const std::uint32_t* indices, std::size_t rows, std::size_t units, const T* input,
                std::size_t input_stride, T* output, std::size_t output_stride) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  const std::size_t r = i / units;
  if (r >= rows) return;
  output[r * output_stride + i % units] = input[indices[r] * input_stride + i % units];
}

template <class T>
cudaError_t gather_by(std::size_t element, const std::uint32_t* indices, std::size_t rows,
                      std::size_t columns, DeviceRows input, DeviceRows output, cudaStream_t stream) {
  const std::size_t units = columns * element / sizeof(T);
  gather_rows<T><<<blocks_for(rows * units, kThreads), kThreads, 0, stream>>>(
      indices, rows, units, reinterpret_cast<const T*>(input.data), input.stride * element / sizeof(T),
      reinterpret_cast<T*>(output.data), output.stride * element / sizeof(T));
  return cudaGetLastError();
}

template <class From, class To>
__global__ void __launch_bounds__(kThreads) convert(const From* source, To* target, std::size_t count) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) store(target + i, load(source + i));
}

__device__ float as_float(const float* source, std::size_t i) {
  return source[i];
}
__device__ float as_float(const __half* source, std::size_t i) {
  return __half2float(source[i]);
}
__device__ float as_float(const std::uint16_t* source, std::size_t i) {  // bf16
  return __uint_as_float(static_cast<unsigned>(source[i]) << 16);
}
__device__ float as_float(const std::int8_t* source, std::size_t i) {
  return static_cast<float>(source[i]);
}

template <class From, class To>
__global__ void __launch_bounds__(kThreads)
    convert_weight(const From* source, const float* scales, std::size_t columns, To* target,
                   std::size_t count) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  store(target + i, as_float(source, i) * (scales == nullptr ? 1.0F : scales[i / columns]));
}

template <class From>
cudaError_t convert_weight_from(const std::byte* source, const float* scales, std::size_t rows,
                                std::size_t columns, Element to, std::byte* target, cudaStream_t stream) {
  const std::size_t count = rows * columns;
  if (count == 0) return cudaSuccess;
  const auto* const from = reinterpret_cast<const From*>(source);
  if (to == Element::kF32) {
    convert_weight<<<blocks_for(count, kThreads), kThreads, 0, stream>>>(
        from, scales, columns, reinterpret_cast<float*>(target), count);
  } else {
    convert_weight<<<blocks_for(count, kThreads), kThreads, 0, stream>>>(
        from, scales, columns, reinterpret_cast<__half*>(target), count);
  }
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_embed(Element element, const EmbedCall& call, cudaStream_t stream) {
  return element == Element::kF32 ? embed<float>(call, stream) : embed<__half>(call, stream);
}

cudaError_t launch_add_normalise(Element element, const DeviceNorm& norm, std::size_t rows, DeviceRows input,
                                 DeviceRows residual, DeviceRows output, cudaStream_t stream) {
  if (element == Element::kF16 && residual.data == nullptr && packed_norm_takes(norm, input, output))
    return normalise_packed(norm, rows, input, output, stream);
  return element == Element::kF32 ? add_normalise<float>(norm, rows, input, residual, output, stream)
                                  : add_normalise<__half>(norm, rows, input, residual, output, stream);
}

cudaError_t launch_activation(Element element, Activation activation, std::byte* values, std::size_t count,
                              cudaStream_t stream) {
  return element == Element::kF32 ? activate_all<float>(activation, values, count, stream)
                                  : activate_all<__half>(activation, values, count, stream);
}

cudaError_t launch_gather(Element element, const std::uint32_t* indices, std::size_t rows,
                          std::size_t columns, DeviceRows input, DeviceRows output, cudaStream_t stream) {
  if (rows == 0 || columns == 0) return cudaSuccess;
  const std::size_t size = element_size(element);
  const auto whole = [&](const DeviceRows& row) {
    return reinterpret_cast<std::uintptr_t>(row.data) % 16 == 0 && row.stride * size % 16 == 0;
  };
  if (columns * size % 16 == 0 && whole(input) && whole(output))
    return gather_by<uint4>(size, indices, rows, columns, input, output, stream);
  if (size == 4) return gather_by<std::uint32_t>(size, indices, rows, columns, input, output, stream);
  return gather_by<std::uint16_t>(size, indices, rows, columns, input, output, stream);
}

cudaError_t launch_convert(Element from, const std::byte* source, Element to, std::byte* target,
                           std::size_t count, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  const unsigned blocks = blocks_for(count, kThreads);
  const auto* const floats = reinterpret_cast<const float*>(source);
  const auto* const halves = reinterpret_cast<const __half*>(source);
  if (from == Element::kF32 && to == Element::kF32) {
    convert<<<blocks, kThreads, 0, stream>>>(floats, reinterpret_cast<float*>(target), count);
  } else if (from == Element::kF32) {
    convert<<<blocks, kThreads, 0, stream>>>(floats, reinterpret_cast<__half*>(target), count);
  } else if (to == Element::kF32) {
    convert<<<blocks, kThreads, 0, stream>>>(halves, reinterpret_cast<float*>(target), count);
  } else {
    convert<<<blocks, kThreads, 0, stream>>>(halves, reinterpret_cast<__half*>(target), count);
  }
  return cudaGetLastError();
}

cudaError_t launch_convert_weight(WeightType type, const std::byte* source, const float* scales,
                                  std::size_t rows, std::size_t columns, Element to, std::byte* target,
                                  cudaStream_t stream) {
  switch (type) {
    case WeightType::kF32:
      return convert_weight_from<float>(source, nullptr, rows, columns, to, target, stream);
    case WeightType::kF16:
      return convert_weight_from<__half>(source, nullptr, rows, columns, to, target, stream);
    case WeightType::kBF16:
      return convert_weight_from<std::uint16_t>(source, nullptr, rows, columns, to, target, stream);
    case WeightType::kInt8:
      return convert_weight_from<std::int8_t>(source, scales, rows, columns, to, target, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace bert::cuda
