// The kernels for what every machine of a target has: vectors of 16 bytes (SSE2, NEON, WebAssembly SIMD).
#include "compute/kernels.h"

#if defined(__wasm_relaxed_simd__)
#include <wasm_simd128.h>
#endif

namespace bert::compute {
namespace {
constexpr std::size_t kBytes = 16;
constexpr std::size_t kTileRows = 4;
constexpr bool kFetchesAhead = false;
constexpr bool kOwnF32 = false;  // XNNPACK has kernels for each of these targets
constexpr std::size_t kTileVectors = 2;
using Vector = float __attribute__((vector_size(kBytes)));
#if defined(__wasm_relaxed_simd__)
constexpr const char* kName = "relaxed simd";
inline Vector multiply_add(Vector a, Vector b, Vector c) {
  return reinterpret_cast<Vector>(wasm_f32x4_relaxed_madd(
      reinterpret_cast<v128_t>(a), reinterpret_cast<v128_t>(b), reinterpret_cast<v128_t>(c)));
}
#else
constexpr const char* kName = "simd128";
inline Vector multiply_add(Vector a, Vector b, Vector c) {
  return a * b + c;
}
#endif

/// Four halves to floats by integers: the exponent is moved up, and 2^112 mends its bias and the subnormals.
inline Vector load_half(const std::byte* source) {
  using Words = std::uint32_t __attribute__((vector_size(kBytes)));
  std::uint16_t __attribute__((vector_size(kBytes / 2))) halves;
  __builtin_memcpy(&halves, source, sizeof(halves));
  const Words words = __builtin_convertvector(halves, Words);
  const Vector size = reinterpret_cast<Vector>((words & 0x7fffU) << 13) * 0x1p112F;
  const Words bits = reinterpret_cast<Words>(size);
  const Words special = reinterpret_cast<Words>(size >= 65536.0F) & 0x7f800000U;  // infinities and NaN
  return reinterpret_cast<Vector>(bits | special | (words & 0x8000U) << 16);
}
#include "compute/simd_kernels.inl"
}  // namespace

const Kernels* baseline_kernels() {
  return &kKernels;
}
}  // namespace bert::compute
