// The kernels for AVX-512 (F, BW, DQ, VL). This file alone is compiled for it; see machine.cpp for the
// choice.
#include "compute/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#include <immintrin.h>

namespace bert::compute {
namespace {
constexpr std::size_t kBytes = 64;
constexpr std::size_t kTileRows = 6;
constexpr bool kFetchesAhead = true;
constexpr bool kOwnF32 = true;
constexpr std::size_t kTileVectors = 4;
constexpr const char* kName = "avx512";
using Vector = float __attribute__((vector_size(kBytes)));
inline Vector multiply_add(Vector a, Vector b, Vector c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline Vector load_half(const std::byte* source) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)));
}
#include "compute/simd_kernels.inl"
}  // namespace

const Kernels* avx512_kernels() {
  return &kKernels;
}
}  // namespace bert::compute

#else
namespace bert::compute {
const Kernels* avx512_kernels() {
  return nullptr;
}
}  // namespace bert::compute
#endif
