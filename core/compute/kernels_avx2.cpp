// The kernels for AVX2 with FMA and F16C. This file alone is compiled for it; see machine.cpp for the
// choice.
#include "compute/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>

namespace bert::compute {
namespace {
constexpr std::size_t kBytes = 32;
constexpr std::size_t kTileRows = 6;
constexpr bool kFetchesAhead = true;
constexpr bool kOwnF32 = true;
constexpr std::size_t kTileVectors = 2;
constexpr const char* kName = "avx2";
using Vector = float __attribute__((vector_size(kBytes)));
inline Vector multiply_add(Vector a, Vector b, Vector c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline Vector load_half(const std::byte* source) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
}
#include "compute/simd_kernels.inl"
}  // namespace

const Kernels* avx2_kernels() {
  return &kKernels;
}
}  // namespace bert::compute

#else
namespace bert::compute {
const Kernels* avx2_kernels() {
  return nullptr;
}
}  // namespace bert::compute
#endif
