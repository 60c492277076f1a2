// Matrix products in bfloat16 with float accumulation on Intel AMX tiles, and the packings they need.
// All matrices are row-major; every dimension is a multiple of 32. Needs -march=sapphirerapids.
#pragma once

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "vector.h"

namespace products {

using Element = std::uint16_t;  // bfloat16, of the operands

inline Vector get(const Element* p) {
  const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16));
}
inline void put(Element* p, Vector v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(v.v));
}
// 32 aligned elements, past the cache: for what is next read much later.
inline void put_far(Element* p, Vector a, Vector b) {
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), (__m512i)_mm512_cvtne2ps_pbh(b.v, a.v));
}
inline float to_float(Element v) {
  const std::uint32_t bits = static_cast<std::uint32_t>(v) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

// Asks the kernel for the tiles; once a process. Says what is missing, or nothing.
inline const char* unavailable() {
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0 ? nullptr : "this machine has no AMX tiles";
}

// All tiles are 16 rows of 64 bytes; once a thread.
inline void begin_thread() {
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
inline void interleave_block(const Element* src, int ld, __m512i (&r)[16]) {
  for (int i = 0; i < 16; ++i) {
    const auto* even = reinterpret_cast<const __m256i*>(src + (2 * i) * ld);
    const auto* odd = reinterpret_cast<const __m256i*>(src + (2 * i + 1) * ld);
    r[i] = _mm512_or_si512(_mm512_cvtepu16_epi32(_mm256_loadu_si256(even)),
                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(odd)), 16));
  }
}
inline void store_block(Element* dst, const __m512i (&r)[16]) {
  for (int i = 0; i < 16; ++i) _mm512_store_si512(dst + 32 * i, r[i]);
}

// Right operand from [reduced, columns]: computes A * src. dst may be a part of an operand of `total` reduced
// rows.
inline void pack_right(int reduced, int columns, const Element* src, int ld, Element* dst, int total = 0) {
  const long blocks = (total ? total : reduced) / 32;
  __m512i r[16];
  for (int k = 0; k < reduced / 32; ++k)
    for (int n = 0; n < columns / 16; ++n) {
      interleave_block(src + 32 * k * ld + 16 * n, ld, r);
      store_block(dst + (n * blocks + k) * kBlock, r);
    }
}
// Right operand from [columns, reduced]: computes A * src^T.
inline void pack_right_transposed(int reduced, int columns, const Element* src, int ld, Element* dst) {
  const int blocks = reduced / 32;
  __m512i r[16];
  for (int n = 0; n < columns / 16; ++n)
    for (int k = 0; k < blocks; ++k) {
      for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(src + (16 * n + i) * ld + 32 * k);
      transpose16(r);
      store_block(dst + (n * blocks + k) * kBlock, r);
    }
}
// The part of a packed right operand that begins with reduced row `from`.
inline Element* right_from(Element* packed, int from) {
  return packed + 16L * from;
}
// Left operand from [reduced, rows]: computes src^T * B.
inline void pack_left_transposed(int reduced, int rows, const Element* src, int ld, Element* dst) {
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
  const Element* data;
  long row_bytes;  // from one row of a tile to the next
  long step;       // elements from one 32-column step to the next
  long tile;       // elements from one group of 16 rows to the next
};
inline Left row_major(const Element* data, int ld) {
  return {data, 2L * ld, 32, 16L * ld};
}
// Of an operand packed with `reduced` reduced rows, the part that begins with row `from` of these.
inline Left packed(const Element* data, int reduced, int from = 0) {
  return {data + 16L * from, 64, kBlock, static_cast<long>(reduced / 32) * kBlock};
}

// sums[column] += the sum over the reduced rows of weights[row] * packed[column, row].
inline void add_weighted(int reduced, int columns, const Element* packed, const float* weights, float* sums) {
  std::vector<Element> rounded_weights(static_cast<std::size_t>(reduced));
  for (int r = 0; r < reduced; r += 16) put(rounded_weights.data() + r, load(weights + r));
  for (int c = 0; c < columns; c += 16) {
    __m512 lanes[16] = {};
    for (int r = 0; r < reduced; r += 32, packed += kBlock) {
      const auto weight = (__m512bh)_mm512_loadu_si512(rounded_weights.data() + r);
      for (int i = 0; i < 16; ++i)
        lanes[i] = _mm512_dpbf16_ps(lanes[i], (__m512bh)_mm512_load_si512(packed + 32 * i), weight);
    }
    for (int i = 0; i < 16; ++i) sums[c + i] += add_up(lanes[i]);
  }
}

// For each 32 x 32 block of A * B calls before(row, column) ahead of it and done(row, column, block) after,
// block a float[32 * 32]. If b was packed with more reduced rows than take part, b_reduced is their number,
// and b points at the first block that does.
template <class Done, class Before = Nothing>
inline void multiply(int rows, int columns, int reduced, Left a, const Element* b, Done&& done,
                     int b_reduced = 0, Before&& before = {}) {
  constexpr int kRowBlock = 256;
  alignas(64) float block[32 * 32];
  const int steps = reduced / 32;
  const long b_tile = static_cast<long>(b_reduced ? b_reduced / 32 : steps) * kBlock;
  for (int outer = 0; outer < rows; outer += kRowBlock) {
    const int end = outer + kRowBlock < rows ? outer + kRowBlock : rows;
    for (int n = 0; n < columns; n += 32) {
      const Element* b0 = b + n / 16 * b_tile;
      const Element* b1 = b0 + b_tile;
      for (int m = outer; m < end; m += 32) {
        const Element* a0 = a.data + (m / 16) * a.tile;
        const Element* a1 = a0 + a.tile;
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

}  // namespace products
