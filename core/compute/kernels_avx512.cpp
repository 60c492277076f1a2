// The kernels for AVX-512 (F, BW, DQ, VL). This file alone is compiled for it; see machine.cpp for the
// choice.
#include "compute/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#include <immintrin.h>

namespace bert::compute {
namespace {
constexpr std::size_t kBytes = 64;
constexpr std::size_t kTileRows = 6;
constexpr std::size_t kTileVectors = 4;
constexpr std::size_t kActivated = 2;
constexpr std::size_t kPanel = 64;
constexpr std::size_t kDepth = 768;
constexpr std::size_t kFewRows = 40;
constexpr std::size_t kFewDepth = 96;
constexpr std::size_t kRows = 256;
constexpr std::size_t kColumns = kPanelColumns;
constexpr std::size_t kFetchEvery = 4;
constexpr std::size_t kFetchLeast = 128;
constexpr std::size_t kFetchLines = 8;
constexpr int kFetchLevel = 2;
constexpr std::size_t kTouch = 0;
constexpr bool kRowByRow = false;
constexpr bool kOwnF32 = true;
constexpr bool kOwnInt8 = false;
constexpr const char* kName = "avx512";
using Vector = float __attribute__((vector_size(kBytes)));
using Bits = std::int32_t __attribute__((vector_size(kBytes)));
using Pairs = std::int16_t __attribute__((vector_size(kBytes)));
inline Vector multiply_add(Vector a, Vector b, Vector c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline Vector load_half(const std::byte* source) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)));
}
/// a[2i] b[2i] + a[2i + 1] b[2i + 1].
inline Bits multiply_pairs(Pairs a, Pairs b) {
  return reinterpret_cast<Bits>(
      _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
/// Has `value` in a register before anything else is read: loads that compilers move up cost registers.
template <class AnyVector>
void settle(AnyVector& value) {
  __asm__ volatile("" : "+v"(value) : : "memory");
}
constexpr bool may_touch(const std::byte*) {
  return false;
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
