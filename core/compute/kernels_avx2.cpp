// The kernels for AVX2 with FMA and F16C. This file alone is compiled for it; see machine.cpp for the
// choice.
#include "compute/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>

namespace bert::compute {
namespace {
constexpr std::size_t kBytes = 32;
constexpr std::size_t kTileRows = 6;
constexpr std::size_t kTileVectors = 2;
// A block of a panel, 16 KB, stays in the first-level cache while all rows pass; theirs, 144 KB at most, in
// the second-level one while all panels pass.
constexpr std::size_t kPanel = 16;
constexpr std::size_t kDepth = 256;
constexpr std::size_t kRows = 144;
constexpr std::size_t kColumns = 8192;
constexpr std::size_t kFetchEvery = 4;
constexpr std::size_t kFetchLeast = 64;
constexpr bool kOwnF32 = true;
constexpr bool kOwnInt8 = true;  // save where there is AVX-VNNI: see machine.cpp
constexpr const char* kName = "avx2";
using Vector = float __attribute__((vector_size(kBytes)));
using Bits = std::int32_t __attribute__((vector_size(kBytes)));
using Pairs = std::int16_t __attribute__((vector_size(kBytes)));
inline Vector multiply_add(Vector a, Vector b, Vector c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline Vector load_half(const std::byte* source) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
}
/// a[2i] b[2i] + a[2i + 1] b[2i + 1].
inline Bits multiply_pairs(Pairs a, Pairs b) {
  return reinterpret_cast<Bits>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
/// Has `value` in a register before anything else is read: loads that compilers move up cost registers.
template <class AnyVector>
void settle(AnyVector& value) {
  __asm__ volatile("" : "+v"(value) : : "memory");
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
