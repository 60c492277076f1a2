// Matrix products in float on AVX2 with FMA, and the packings they need: the interface of amx.h for every
// other x86-64. All matrices are row-major; every dimension is a multiple of 32.
#pragma once

#include "vector.h"

namespace products {

using Element = float;  // of the operands

inline const char* unavailable() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
             ? nullptr
             : "this machine has no AVX2 with FMA";
}
inline void begin_thread() {}

// Sixteen elements.
inline Vector get(const Element* p) {
  return load(p);
}
inline void put(Element* p, Vector v) {
  store(p, v);
}
// 32 aligned elements, past the cache: for what is next read much later.
inline void put_far(Element* p, Vector a, Vector b) {
  _mm256_stream_ps(p, a.low);
  _mm256_stream_ps(p + 8, a.high);
  _mm256_stream_ps(p + 16, b.low);
  _mm256_stream_ps(p + 24, b.high);
}
inline float to_float(Element v) {
  return v;
}

inline void transpose8(__m256 (&r)[8]) {
  __m256 t[8], u[8];
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    u[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    u[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
    u[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    u[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
  }
}

// Right operands are panels of 16 columns, [columns / 16][reduced][16].

// Right operand from [reduced, columns]: computes A * src. dst may be a part of an operand of `total` reduced
// rows.
inline void pack_right(int reduced, int columns, const Element* src, int ld, Element* dst, int total = 0) {
  const long panel = 16L * (total ? total : reduced);
  for (int k = 0; k < reduced; ++k)
    for (int n = 0; n < columns; n += 16)
      store(dst + n / 16 * panel + 16L * k, load(src + static_cast<long>(k) * ld + n));
}
// Right operand from [columns, reduced]: computes A * src^T.
inline void pack_right_transposed(int reduced, int columns, const Element* src, int ld, Element* dst) {
  __m256 r[8];
  for (int n = 0; n < columns; n += 8)
    for (int k = 0; k < reduced; k += 8) {
      for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(src + static_cast<long>(n + i) * ld + k);
      transpose8(r);
      Element* to = dst + static_cast<long>(n / 16) * 16 * reduced + 16L * k + n % 16;
      for (int i = 0; i < 8; ++i) _mm256_storeu_ps(to + 16 * i, r[i]);
    }
}
// The part of a packed right operand that begins with reduced row `from`.
inline Element* right_from(Element* packed, int from) {
  return packed + 16L * from;
}

// Left operand from [reduced, rows], [rows / 32][reduced][32]: computes src^T * B.
inline void pack_left_transposed(int reduced, int rows, const Element* src, int ld, Element* dst) {
  for (int k = 0; k < reduced; ++k)
    for (int m = 0; m < rows; m += 32) {
      const Element* from = src + static_cast<long>(k) * ld + m;
      Element* to = dst + static_cast<long>(m) * reduced + 32L * k;
      store(to, load(from));
      store(to + 16, load(from + 16));
    }
}

// A left operand: row-major with leading dimension ld, or packed by pack_left_transposed.
struct Left {
  const Element* data;
  long tile;  // elements from one group of 32 rows to the next
  long ld;    // 0: packed
};
inline Left row_major(const Element* data, int ld) {
  return {data, 32L * ld, ld};
}
// Of an operand packed with `reduced` reduced rows, the part that begins with row `from` of these.
inline Left packed(const Element* data, int reduced, int from = 0) {
  return {data + 32L * from, 32L * reduced, 0};
}

// sums[column] += the sum over the reduced rows of weights[row] * packed[column, row].
inline void add_weighted(int reduced, int columns, const Element* packed, const float* weights, float* sums) {
  for (int m = 0; m < columns; m += 32) {
    Vector a = load(sums + m), b = load(sums + m + 16);
    for (int k = 0; k < reduced; ++k, packed += 32) {
      const Vector weight(weights[k]);
      a = fused(load(packed), weight, a);
      b = fused(load(packed + 16), weight, b);
    }
    store(sums + m, a);
    store(sums + m + 16, b);
  }
}

// kRows x 16 of the product: twelve sums for six rows, two registers for the panel, one for the left operand.
template <int kRows, bool kPacked>
inline void tile(int steps, const Element* a, long ld, const Element* b, float* block) {
  __m256 sums[kRows][2];
  for (auto& row : sums) row[0] = row[1] = _mm256_setzero_ps();
#pragma GCC unroll 2
  for (int k = 0; k < steps; ++k) {
    const __m256 b0 = _mm256_loadu_ps(b + 16L * k), b1 = _mm256_loadu_ps(b + 16L * k + 8);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      const __m256 x = _mm256_broadcast_ss(kPacked ? a + 32L * k + i : a + i * ld + k);
      sums[i][0] = _mm256_fmadd_ps(x, b0, sums[i][0]);
      sums[i][1] = _mm256_fmadd_ps(x, b1, sums[i][1]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    _mm256_store_ps(block + 32 * i, sums[i][0]);
    _mm256_store_ps(block + 32 * i + 8, sums[i][1]);
  }
}
template <bool kPacked>
inline void tiles(int steps, const Element* a, long ld, const Element* b, float* block) {
  const long row = kPacked ? 1 : ld;
  for (int i = 0; i < 24; i += 6) tile<6, kPacked>(steps, a + i * row, ld, b, block + 32 * i);
  for (int i = 24; i < 32; i += 4) tile<4, kPacked>(steps, a + i * row, ld, b, block + 32 * i);
}

// For each 32 x 32 block of A * B calls before(row, column) ahead of it and done(row, column, block) after,
// block a float[32 * 32]. If b was packed with more reduced rows than take part, b_reduced is their number,
// and b points at the first that does.
template <class Done, class Before = Nothing>
inline void multiply(int rows, int columns, int reduced, Left a, const Element* b, Done&& done,
                     int b_reduced = 0, Before&& before = {}) {
  constexpr int kRowBlock = 256;  // so many rows of A stay in the second cache while B passes by
  alignas(64) float block[32 * 32];
  const long panel = 16L * (b_reduced ? b_reduced : reduced);
  for (int outer = 0; outer < rows; outer += kRowBlock) {
    const int end = outer + kRowBlock < rows ? outer + kRowBlock : rows;
    for (int n = 0; n < columns; n += 32)
      for (int m = outer; m < end; m += 32) {
        const Element* left = a.data + m / 32 * a.tile;
        before(m, n);
        for (int half = 0; half < 2; ++half) {
          const Element* right = b + (n / 16 + half) * panel;
          if (a.ld)
            tiles<false>(reduced, left, a.ld, right, block + 16 * half);
          else
            tiles<true>(reduced, left, 0, right, block + 16 * half);
        }
        done(m, n, static_cast<const float*>(block));
      }
  }
}

}  // namespace products
