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
constexpr std::size_t kActivated = 2;
// A block of a panel, 16 KB, stays in the first-level cache while all rows pass; theirs, 144 KB at most, in
// the second-level one while all panels pass.
constexpr std::size_t kPanel = 16;
constexpr std::size_t kDepth = 256;
constexpr std::size_t kFewRows = 0;
constexpr std::size_t kFewDepth = 64;
constexpr std::size_t kRows = 144;
constexpr std::size_t kColumns = 8192;
constexpr std::size_t kFetchEvery = 4;
constexpr std::size_t kFetchLeast = 64;
constexpr std::size_t kFetchLines = 2;
constexpr int kFetchLevel = 3;
constexpr std::size_t kTouch = 0;
constexpr bool kRowByRow = false;
constexpr bool kOwnF32 = true;
constexpr bool kOwnInt8 = false;  // product_paired is better, and XNNPACK's where there is AVX-VNNI
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
constexpr bool may_touch(const std::byte*) {
  return false;
}
#include "compute/simd_kernels.inl"

// -- Int8 products of pairs (linear_pairs.cpp) -------------------------------------------------------------

inline __m256i load_bytes(const void* source) {
  return _mm256_load_si256(static_cast<const __m256i*>(source));
}
inline __m256i splat_four(const void* source) {
  std::int32_t four;
  __builtin_memcpy(&four, source, sizeof(four));
  return _mm256_set1_epi32(four);
}

void quantise_paired(const float* row, std::size_t count, PairedInputs* target) {
  constexpr float kSteps = 127;
  constexpr float kLeastNormal = 0x1p-126F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  for (; count > 0; row += kPairedGroup, ++target) {
    alignas(kBytes) float part[kPairedGroup];
    const float* values = row;
    const std::size_t some = count < kPairedGroup ? count : kPairedGroup;
    if (some < kPairedGroup) {
      __builtin_memset(part, 0, sizeof(part));
      __builtin_memcpy(part, row, some * sizeof(float));
      values = part;
    }
    count -= some;
    Vector low{}, high{}, wrong{};  // x - x is not 0 where x is not finite: all of such a group becomes NaN
    for (std::size_t i = 0; i < kPairedGroup; i += kWidth) {
      const Vector x = load(values + i);
      low = smaller(low, x);
      high = larger(high, x);
      wrong += x - x;  // NOLINT(misc-redundant-expression)
    }
    const float least = -largest_of(-low);
    float step = (largest_of(high) - least) / kSteps + sum_of(wrong);
    if (step < kLeastNormal) step = 1;  // zeros, or as good as zeros
    const float zero = __builtin_isnan(step) ? 0 : __builtin_nearbyintf(-least / step);
    target->step = step;
    target->minus_zero = static_cast<std::int16_t>(-static_cast<std::int32_t>(zero));
    target->nothing = 0;
    const Vector factor = splat(1 / step), offset = splat(kRound + zero);
    for (std::size_t i = 0; i < kPairedGroup; i += 4 * kWidth) {
      __m256i whole[4];
      for (std::size_t j = 0; j < 4; ++j) {
        const Vector scaled = load(values + i + j * kWidth) * factor;
        whole[j] = reinterpret_cast<__m256i>(as_bits(scaled + offset) - as_bits(splat(kRound)));
      }
      // packing goes by halves of registers, the last instruction puts fours in order
      const __m256i bytes =
          _mm256_packus_epi16(_mm256_packs_epi32(whole[0], whole[1]), _mm256_packs_epi32(whole[2], whole[3]));
      const __m256i limited = _mm256_min_epu8(bytes, _mm256_set1_epi8(static_cast<char>(kSteps)));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(target->values + i),
                          _mm256_permutevar8x32_epi32(limited, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
    }
  }
}

constexpr std::size_t kPairedRows = 4;

/// `rows` rows times the panel of number `panel`; what `fetch` tells comes into the cache meanwhile.
template <std::size_t rows>
void paired_tile(const PairedProduct& p, std::size_t panel, std::size_t row, Fetch& fetch) {
  constexpr std::size_t kVectors = 2;
  const std::size_t groups = p.groups;  // settling has memory read anew
  __m256i ones = _mm256_set1_epi16(1);
  settle(ones);
  const PairedWeights* group = p.panels + panel * groups;
  const PairedExtra* extra = p.extras[panel];
  const PairedInputs* input = p.input + row * groups;
  float* const output = p.output + row * p.output_stride + panel * kPairedPanel;
  const std::size_t rest = p.columns - panel * kPairedPanel;
  const std::size_t columns = rest < kPairedPanel ? rest : kPairedPanel;
  fetch_tile<rows, kVectors>(output, p.output_stride);
  const std::byte* ahead = fetch.at;
  const std::size_t ahead_step = fetch.step;
  Vector totals[rows][kVectors] = {};
  for (std::size_t g = 0; g < groups; ++g, ++group, ++input) {
    __m256i sums[rows][kVectors];
    for (std::size_t r = 0; r < rows; ++r) {
      const __m256i minus_zero = splat_four(&input[r * groups].minus_zero);
      for (std::size_t j = 0; j < kVectors; ++j)
        sums[r][j] = _mm256_madd_epi16(load_bytes(group->sums + j * kWidth), minus_zero);
    }
    const std::size_t eights = g + 1 < groups ? kPairedGroup / 8 : p.last_eights;
    for (std::size_t k = 0; k < eights; ++k, ahead += ahead_step) {
      __builtin_prefetch(ahead);
      __builtin_prefetch(ahead + ahead_step / 2);
      __m256i weights[2][kVectors];
      for (std::size_t half = 0; half < 2; ++half)
        for (std::size_t j = 0; j < kVectors; ++j)
          weights[half][j] = load_bytes(group->weights[k][half][j * kWidth]);
      for (std::size_t r = 0; r < rows; ++r) {
        const __m256i a = splat_four(input[r * groups].values + 8 * k);
        const __m256i b = splat_four(input[r * groups].values + 8 * k + 4);
        for (std::size_t j = 0; j < kVectors; ++j) {
          const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(a, weights[0][j]),
                                                 _mm256_maddubs_epi16(b, weights[1][j]));
          sums[r][j] = _mm256_add_epi32(sums[r][j], _mm256_madd_epi16(pairs, ones));
        }
        for (std::size_t j = 0; j < kVectors; ++j) settle(sums[r][j]);
      }
    }
    for (; extra->group == g; ++extra)
      for (std::size_t r = 0; r < rows; ++r) {
        const __m256i four = splat_four(input[r * groups].values + extra->place);
        for (std::size_t j = 0; j < kVectors; ++j) {
          const __m256i pairs = _mm256_maddubs_epi16(four, load_bytes(extra->weights[j * kWidth]));
          sums[r][j] = _mm256_add_epi32(sums[r][j], _mm256_madd_epi16(pairs, ones));
        }
      }
    for (std::size_t r = 0; r < rows; ++r) {
      const Vector step = splat(input[r * groups].step);
      for (std::size_t j = 0; j < kVectors; ++j) {
        const Vector part = __builtin_convertvector(reinterpret_cast<Bits>(sums[r][j]), Vector) * step;
        totals[r][j] += part;
      }
    }
  }
  fetch.at = ahead;
  for (std::size_t j = 0; j < kVectors && j * kWidth < columns; ++j) {
    const Vector scales = load(p.scales + panel * kPairedPanel + j * kWidth);
    const Vector bias = load(p.bias + panel * kPairedPanel + j * kWidth);
    const std::size_t left = columns - j * kWidth;
    for (std::size_t r = 0; r < rows; ++r) {
      const Vector scaled = totals[r][j] * scales;
      store_part(output + r * p.output_stride + j * kWidth, scaled + bias, left < kWidth ? left : kWidth);
    }
  }
  activate_rows(p.activation, output, p.output_stride, rows, columns);
}

void product_paired(const PairedProduct& p) {
  constexpr void (*kTiles[kPairedRows])(const PairedProduct&, std::size_t, std::size_t, Fetch&) = {
      paired_tile<1>, paired_tile<2>, paired_tile<3>, paired_tile<4>};
  const RowTiles tiles{p.rows, kPairedRows};
  const std::size_t bytes = p.groups * sizeof(PairedWeights);
  const std::size_t step = tiles.tiles == 1 ? 144 : 72;  // of what one tile reads meanwhile: all, or half
  for (std::size_t panel = 0; panel * kPairedPanel < p.columns; ++panel) {
    const auto* const weights = reinterpret_cast<const std::byte*>(p.panels + panel * p.groups);
    Fetch fetch{weights + bytes, step};  // the next panel
    for (std::size_t number = 0, row = 0; number < tiles.tiles; row += tiles.height(number++)) {
      if (fetch.at >= weights + 2 * bytes) fetch = {weights, 0};
      kTiles[tiles.height(number) - 1](p, panel, row, fetch);
    }
  }
}

constexpr Kernels with_pairs(Kernels kernels) {
  kernels.product_paired = product_paired;
  kernels.quantise_paired = quantise_paired;
  return kernels;
}
constexpr Kernels kAll = with_pairs(kKernels);
}  // namespace

const Kernels* avx2_kernels() {
  return &kAll;
}
}  // namespace bert::compute

#else
namespace bert::compute {
const Kernels* avx2_kernels() {
  return nullptr;
}
}  // namespace bert::compute
#endif
