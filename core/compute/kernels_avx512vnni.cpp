// The kernels for AVX-512 with VNNI: products of bytes, and for all else those for AVX-512. This file alone
// is compiled for it; see machine.cpp for the choice.
#include "compute/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && \
    defined(__AVX512VNNI__)
#include <immintrin.h>

namespace bert::compute {
namespace {

constexpr std::size_t kWidth = 16;   // of 32 bits in a vector
constexpr std::size_t kVectors = 4;  // of a panel
static_assert(kVectors * kWidth == kBytePanel);
constexpr std::size_t kStepBytes = 4 * kBytePanel;  // of a panel for four inputs
/// Rows of a tile: with four vectors of sums each, one of inputs and four of weights they fill 29 registers
/// of 32.
constexpr std::size_t kTileRows = 6;

inline __mmask16 first_lanes(std::size_t count) {
  return static_cast<__mmask16>(count >= kWidth ? 0xffffU : (1U << count) - 1);
}

/// Least, largest and a sum that is not a number where one of the values is not finite.
struct Range {
  __m512 low = _mm512_setzero_ps(), high = low, wrong = low;
  void add(__m512 x) {
    low = _mm512_min_ps(low, x);
    high = _mm512_max_ps(high, x);
    wrong = _mm512_add_ps(wrong, _mm512_sub_ps(x, x));
  }
};

void quantise_bytes(const float* row, std::size_t count, std::uint8_t* target, float* step,
                    std::int32_t* zero) {
  constexpr float kSteps = 255;
  constexpr float kLeastNormal = 0x1p-126F;
  constexpr std::size_t kTogether = 4;  // each step of a range waits for the one before
  const std::size_t whole = count / kWidth * kWidth;
  const __mmask16 rest = first_lanes(count - whole);
  Range ranges[kTogether];
  std::size_t i = 0;
  for (; i + kTogether * kWidth <= whole; i += kTogether * kWidth)
    for (std::size_t j = 0; j < kTogether; ++j) ranges[j].add(_mm512_loadu_ps(row + i + j * kWidth));
  for (; i < whole; i += kWidth) ranges[0].add(_mm512_loadu_ps(row + i));
  ranges[0].add(_mm512_maskz_loadu_ps(rest, row + whole));
  Range all = ranges[0];
  for (std::size_t j = 1; j < kTogether; ++j) {
    all.low = _mm512_min_ps(all.low, ranges[j].low);
    all.high = _mm512_max_ps(all.high, ranges[j].high);
    all.wrong = _mm512_add_ps(all.wrong, ranges[j].wrong);
  }
  const float least = _mm512_reduce_min_ps(all.low);
  // all outputs of a row with a number that is not finite become NaN
  float size = (_mm512_reduce_max_ps(all.high) - least) / kSteps + _mm512_reduce_add_ps(all.wrong);
  if (size < kLeastNormal) size = 1;  // zeros, or as good as zeros
  const float offset = __builtin_isnan(size) ? 0 : __builtin_nearbyintf(-least / size);
  *step = size;
  *zero = static_cast<std::int32_t>(offset);
  const __m512 factor = _mm512_set1_ps(1 / size);
  const __m512i offsets = _mm512_set1_epi32(*zero);
  const auto steps_of = [&](__m512 x) {
    const __m512i steps = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x, factor)), offsets);
    return _mm512_cvtusepi32_epi8(_mm512_max_epi32(steps, _mm512_setzero_si512()));
  };
  for (i = 0; i < whole; i += kWidth)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target + i), steps_of(_mm512_loadu_ps(row + i)));
  _mm_mask_storeu_epi8(target + whole, rest, steps_of(_mm512_maskz_loadu_ps(rest, row + whole)));
}

/// What comes into the second-level cache while a product runs; see Fetch in simd_kernels.inl.
struct Fetch {
  const std::int8_t* at;
  std::size_t step;
};

inline __m512i four_of(const std::uint8_t* source) {
  std::int32_t four;
  __builtin_memcpy(&four, source, sizeof(four));
  return _mm512_set1_epi32(four);
}

/// `rows` rows times one panel.
template <std::size_t rows>
void byte_tile(const ByteProduct& p, std::size_t panel, std::size_t row, Fetch& fetch) {
  const std::size_t fours = p.fours, stride = p.input_stride, step = fetch.step;
  const std::int8_t* weights = p.panels + panel * fours * kStepBytes;
  const std::uint8_t* input = p.input + row * stride;
  const std::int8_t* ahead = fetch.at;
  const std::size_t column = panel * kBytePanel;
  __m512i sums[rows][kVectors];
  for (std::size_t j = 0; j < kVectors; ++j) {
    const __m512i of_weights = _mm512_loadu_si512(p.sums + column + j * kWidth);
    for (std::size_t i = 0; i < rows; ++i)
      sums[i][j] = _mm512_mullo_epi32(of_weights, _mm512_set1_epi32(-p.zeros[row + i]));
  }
  for (std::size_t k = 0; k < fours; ++k, weights += kStepBytes, input += 4, ahead += step) {
    __builtin_prefetch(ahead, 0, 2);
    __builtin_prefetch(ahead + step / 2, 0, 2);
    __m512i columns[kVectors];
    for (std::size_t j = 0; j < kVectors; ++j) columns[j] = _mm512_loadu_si512(weights + 4 * j * kWidth);
    for (std::size_t i = 0; i < rows; ++i) {
      const __m512i four = four_of(input + i * stride);
      for (std::size_t j = 0; j < kVectors; ++j) {
        sums[i][j] = _mm512_dpbusd_epi32(sums[i][j], four, columns[j]);
        __asm__(
            ""
            : "+v"(sums[i][j]));  // in a register, in this order: compilers that change it run out of them
      }
    }
  }
  fetch.at = ahead;
  const std::size_t left = p.columns - column;
  const std::size_t columns = left < kBytePanel ? left : kBytePanel;
  float* const output = p.output + row * p.output_stride + column;
  for (std::size_t j = 0; j < kVectors && j * kWidth < columns; ++j) {
    const __m512 scales = _mm512_loadu_ps(p.scales + column + j * kWidth);
    const __m512 bias = _mm512_loadu_ps(p.bias + column + j * kWidth);
    const __mmask16 lanes = first_lanes(columns - j * kWidth);
    for (std::size_t i = 0; i < rows; ++i) {
      const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(p.steps[row + i]));
      _mm512_mask_storeu_ps(output + i * p.output_stride + j * kWidth, lanes,
                            _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[i][j]), scale, bias));
    }
  }
  if (p.activation != Activation::kNone)
    avx512_kernels()->activate(p.activation, output, p.output_stride, rows, columns);
}

void product_bytes(const ByteProduct& p) {
  constexpr void (*kTiles[kTileRows])(const ByteProduct&, std::size_t, std::size_t, Fetch&) = {
      byte_tile<1>, byte_tile<2>, byte_tile<3>, byte_tile<4>, byte_tile<5>, byte_tile<6>};
  const std::size_t tiles = (p.rows + kTileRows - 1) / kTileRows;
  const std::size_t bytes = p.fours * kStepBytes;
  const std::size_t spread = (kStepBytes + tiles - 1) / tiles;  // over all tiles
  const std::size_t step = spread > 128 ? 128 : spread;
  for (std::size_t panel = 0; panel * kBytePanel < p.columns; ++panel) {
    const std::int8_t* const weights = p.panels + panel * bytes;
    Fetch fetch{weights + bytes, step};  // the next panel
    for (std::size_t tile = 0, row = 0; tile < tiles; ++tile) {
      // tiles of nearly equal height
      const std::size_t rows = p.rows / tiles + (tile < p.rows % tiles ? 1 : 0);
      if (fetch.at >= weights + 2 * bytes) fetch = {weights, 0};
      kTiles[rows - 1](p, panel, row, fetch);
      row += rows;
    }
  }
}

}  // namespace

const Kernels* avx512vnni_kernels() {
  static const Kernels all = [] {
    Kernels kernels = *avx512_kernels();
    kernels.name = "avx512vnni";
    kernels.product_bytes = product_bytes;
    kernels.quantise_bytes = quantise_bytes;
    return kernels;
  }();
  return &all;
}
}  // namespace bert::compute

#else
namespace bert::compute {
const Kernels* avx512vnni_kernels() {
  return nullptr;
}
}  // namespace bert::compute
#endif
