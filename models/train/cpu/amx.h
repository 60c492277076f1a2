// Matrix products in bfloat16 with float accumulation on Intel AMX tiles, and the packings they need.
// All matrices are row-major; every dimension is a multiple of 32. Needs -march=sapphirerapids.
#pragma once

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

namespace amx {

using bf16 = std::uint16_t;

inline __m512 load_bf16(const bf16* p) {
  const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16));
}
inline void store_bf16(bf16* p, __m512 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(v));
}
inline float to_float(bf16 v) {
  const std::uint32_t bits = static_cast<std::uint32_t>(v) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

// Asks the kernel for the tiles; once a process. False if this machine has none.
inline bool request() {
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

// All tiles are 16 rows of 64 bytes; once a thread.
inline void configure() {
  struct alignas(64) {
    std::uint8_t palette = 1, start = 0, reserved[14] = {};
    std::uint16_t column_bytes[16] = {};
    std::uint8_t rows[16] = {};
  } config;
  for (int i = 0; i < 8; ++i) {
    config.column_bytes[i] = 64;
    config.rows[i] = 16;
  }
  _tile_loadconfig(&config);
}

// A block is 16 rows of 32 bf16, 1 KB. Packed operands are blocks [columns / 16][reduced / 32].
constexpr int kBlock = 512;

// Transposes 16 x 16 double words.
inline void transpose16(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

// 32 rows x 16 columns -> 16 double words of row pairs a row.
inline void interleave_block(const bf16* src, int ld, __m512i (&r)[16]) {
  for (int i = 0; i < 16; ++i) {
    const auto* even = reinterpret_cast<const __m256i*>(src + (2 * i) * ld);
    const auto* odd = reinterpret_cast<const __m256i*>(src + (2 * i + 1) * ld);
    r[i] = _mm512_or_si512(_mm512_cvtepu16_epi32(_mm256_loadu_si256(even)),
                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(odd)), 16));
  }
}
inline void store_block(bf16* dst, const __m512i (&r)[16]) {
  for (int i = 0; i < 16; ++i) _mm512_store_si512(dst + 32 * i, r[i]);
}

// Right operand from [reduced, columns]: computes A * src.
inline void pack_right(int reduced, int columns, const bf16* src, int ld, bf16* dst) {
  const int blocks = reduced / 32;
  __m512i r[16];
  for (int k = 0; k < blocks; ++k)
    for (int n = 0; n < columns / 16; ++n) {
      interleave_block(src + 32 * k * ld + 16 * n, ld, r);
      store_block(dst + (n * blocks + k) * kBlock, r);
    }
}
// Right operand from [columns, reduced]: computes A * src^T.
inline void pack_right_transposed(int reduced, int columns, const bf16* src, int ld, bf16* dst) {
  const int blocks = reduced / 32;
  __m512i r[16];
  for (int n = 0; n < columns / 16; ++n)
    for (int k = 0; k < blocks; ++k) {
      for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(src + (16 * n + i) * ld + 32 * k);
      transpose16(r);
      store_block(dst + (n * blocks + k) * kBlock, r);
    }
}
// Left operand from [reduced, rows]: computes src^T * B.
inline void pack_left_transposed(int reduced, int rows, const bf16* src, int ld, bf16* dst) {
  const int blocks = reduced / 32;
  __m512i r[16];
  for (int k = 0; k < blocks; ++k)
    for (int m = 0; m < rows / 16; ++m) {
      interleave_block(src + 32 * k * ld + 16 * m, ld, r);
      transpose16(r);
      store_block(dst + (m * blocks + k) * kBlock, r);
    }
}

// A left operand: row-major with leading dimension ld, or packed blocks.
struct Left {
  const bf16* data;
  long row_bytes;  // from one row of a tile to the next
  long step;       // elements from one 32-column step to the next
  long tile;       // elements from one group of 16 rows to the next
};
inline Left row_major(const bf16* data, int ld) {
  return {data, 2L * ld, 32, 16L * ld};
}
inline Left packed(const bf16* data, int reduced) {
  return {data, 64, kBlock, static_cast<long>(reduced / 32) * kBlock};
}

struct Nothing {
  void operator()(int, int) const {}
};
// Asks for memory that will be read or written soon.
inline void fetch(const void* p, int bytes) {
  for (int i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(p) + i, 1, 2);
}
// The 32 x 32 block of a float matrix that a product is about to add to.
inline auto fetch_floats(const float* matrix, int width) {
  return [matrix, width](int row, int column) {
    for (int i = 0; i < 32; ++i) fetch(matrix + static_cast<long>(row + i) * width + column, 128);
  };
}

// For each 32 x 32 block of A * B calls before(row, column) ahead of it and done(row, column, block) after,
// block a float[32 * 32]. If b was packed with more reduced rows than take part, b_reduced is their number,
// and b points at the first block that does.
template <class Done, class Before = Nothing>
inline void multiply(int rows, int columns, int reduced, Left a, const bf16* b, Done&& done,
                     int b_reduced = 0, Before&& before = {}) {
  constexpr int kRowBlock = 256;
  alignas(64) float block[32 * 32];
  const int steps = reduced / 32;
  const long b_tile = static_cast<long>(b_reduced ? b_reduced / 32 : steps) * kBlock;
  for (int outer = 0; outer < rows; outer += kRowBlock) {
    const int end = outer + kRowBlock < rows ? outer + kRowBlock : rows;
    for (int n = 0; n < columns; n += 32) {
      const bf16* b0 = b + n / 16 * b_tile;
      const bf16* b1 = b0 + b_tile;
      for (int m = outer; m < end; m += 32) {
        const bf16* a0 = a.data + (m / 16) * a.tile;
        const bf16* a1 = a0 + a.tile;
        before(m, n);
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int k = 0; k < steps; ++k) {
          _tile_loadd(4, a0 + k * a.step, a.row_bytes);
          _tile_loadd(6, b0 + k * kBlock, 64);
          _tile_loadd(7, b1 + k * kBlock, 64);
          _tile_loadd(5, a1 + k * a.step, a.row_bytes);
          _tile_dpbf16ps(0, 4, 6);
          _tile_dpbf16ps(1, 4, 7);
          _tile_dpbf16ps(2, 5, 6);
          _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(0, block, 128);
        _tile_stored(1, block + 16, 128);
        _tile_stored(2, block + 16 * 32, 128);
        _tile_stored(3, block + 16 * 32 + 16, 128);
        done(m, n, static_cast<const float*>(block));
      }
    }
  }
}

// e^x with a relative error below 1e-5 for |x| < 80; 0 below.
inline __m512 exp(__m512 x) {
  x = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
  const __m512 n = _mm512_roundscale_ps(x, 0);
  x = _mm512_sub_ps(x, n);  // 2^x on [-0.5, 0.5] by its series
  __m512 p = _mm512_set1_ps(1.33335581e-3f);
  p = _mm512_fmadd_ps(p, x, _mm512_set1_ps(9.61812911e-3f));
  p = _mm512_fmadd_ps(p, x, _mm512_set1_ps(5.55041087e-2f));
  p = _mm512_fmadd_ps(p, x, _mm512_set1_ps(2.40226507e-1f));
  p = _mm512_fmadd_ps(p, x, _mm512_set1_ps(6.93147181e-1f));
  p = _mm512_fmadd_ps(p, x, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

// The normal distribution function of x, and its density at x (Abramowitz and Stegun 7.1.26, error below
// 1e-6).
inline void normal(__m512 x, __m512& distribution, __m512& density) {
  const __m512 one = _mm512_set1_ps(1.0f);
  const __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.70710678f));
  const __m512 b = _mm512_fmadd_ps(z, _mm512_set1_ps(0.3275911f), one);
  __m512 t = _mm512_rcp14_ps(b);  // with one step of Newton's, much faster than a division
  t = _mm512_mul_ps(t, _mm512_fnmadd_ps(b, t, _mm512_set1_ps(2.0f)));
  const __m512 e = exp(_mm512_mul_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(-0.5f)));
  __m512 p = _mm512_set1_ps(1.061405429f);
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-1.453152027f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(1.421413741f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0.284496736f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.254829592f));
  const __m512 tail = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(p, t), e), _mm512_set1_ps(0.5f));
  const __mmask16 positive = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GE_OQ);
  distribution = _mm512_mask_sub_ps(tail, positive, one, tail);
  density = _mm512_mul_ps(e, _mm512_set1_ps(0.39894228f));
}

}  // namespace amx
