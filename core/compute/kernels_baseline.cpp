// The kernels for what every machine of a target has: vectors of 16 bytes (SSE2, NEON, WebAssembly SIMD).
#include "compute/kernels.h"

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>

#include "compute/machine.h"
#endif

namespace bert::compute {
namespace {
constexpr std::size_t kBytes = 16;
#if defined(__wasm_relaxed_simd__)
constexpr std::size_t kTileRows = 6;  // with two columns, a factor and V8's own it is all 16 registers of x86
constexpr std::size_t kActivated = 4;
#else
constexpr std::size_t kTileRows = 4;  // what is multiplied has to stay somewhere before it is added
// the columns of a tile
constexpr std::size_t kActivated = 2;
#endif
constexpr std::size_t kTileVectors = 2;
constexpr std::size_t kPanel = 8;
constexpr std::size_t kDepth = 768;
constexpr std::size_t kFewRows = 0;
constexpr std::size_t kFewDepth = 64;
constexpr std::size_t kRows = 1024;
constexpr std::size_t kColumns = kPanelColumns;
constexpr std::size_t kFetchEvery = 0;
constexpr std::size_t kFetchLeast = 64;
constexpr std::size_t kFetchLines = 2;
constexpr int kFetchLevel = 3;
#if defined(__wasm__)
constexpr std::size_t kTouch = 12;  // three tiles touch all of a block of weights
constexpr bool kRowByRow = true;
constexpr bool kOwnF32 = true;  // on x86 alone, see machine.cpp
#else
constexpr std::size_t kTouch = 0;
constexpr bool kRowByRow = false;
constexpr bool kOwnF32 = false;   // XNNPACK has kernels for each of these targets
#endif
#if defined(__wasm_simd128__) && !defined(__wasm_relaxed_simd__)
constexpr bool kOwnInt8 = true;
#else
constexpr bool kOwnInt8 = false;  // with relaxed SIMD linear_relaxed.cpp is better, natively XNNPACK's
#endif
using Vector = float __attribute__((vector_size(kBytes)));
using Bits = std::int32_t __attribute__((vector_size(kBytes)));
using Pairs = std::int16_t __attribute__((vector_size(kBytes)));
#if defined(__wasm_relaxed_simd__)
constexpr const char* kName = "relaxed";
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
/// a[2i] b[2i] + a[2i + 1] b[2i + 1].
inline Bits multiply_pairs(Pairs a, Pairs b) {
#if defined(__wasm_simd128__)
  return reinterpret_cast<Bits>(
      wasm_i32x4_dot_i16x8(reinterpret_cast<v128_t>(a), reinterpret_cast<v128_t>(b)));
#else
  const Bits x = reinterpret_cast<Bits>(a), y = reinterpret_cast<Bits>(b);
  return (x << 16 >> 16) * (y << 16 >> 16) + (x >> 16) * (y >> 16);
#endif
}
template <class AnyVector>
void settle(AnyVector&) {}
inline bool may_touch([[maybe_unused]] const std::byte* end) {
#if defined(__wasm__)
  return is_memory(end);
#else
  return false;
#endif
}
#include "compute/simd_kernels.inl"
}  // namespace

const Kernels* baseline_kernels() {
  return &kKernels;
}
}  // namespace bert::compute
