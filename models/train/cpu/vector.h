// Sixteen floats at once: one AVX-512 register where the products are AMX's, else two of AVX2. And what both
// kinds of products share.
#pragma once

#include <immintrin.h>

#ifdef __AMX_BF16__

struct Vector {
  __m512 v;
  Vector() = default;
  Vector(__m512 value) : v(value) {}
  explicit Vector(float value) : v(_mm512_set1_ps(value)) {}
};
inline Vector load(const float* p) {
  return _mm512_loadu_ps(p);
}
inline void store(float* p, Vector a) {
  _mm512_storeu_ps(p, a.v);
}
inline Vector operator+(Vector a, Vector b) {
  return _mm512_add_ps(a.v, b.v);
}
inline Vector operator-(Vector a, Vector b) {
  return _mm512_sub_ps(a.v, b.v);
}
inline Vector operator*(Vector a, Vector b) {
  return _mm512_mul_ps(a.v, b.v);
}
// a * b + c
inline Vector fused(Vector a, Vector b, Vector c) {
  return _mm512_fmadd_ps(a.v, b.v, c.v);
}
inline Vector smaller(Vector a, Vector b) {
  return _mm512_min_ps(a.v, b.v);
}
inline Vector larger(Vector a, Vector b) {
  return _mm512_max_ps(a.v, b.v);
}
inline float add_up(Vector a) {
  return _mm512_reduce_add_ps(a.v);
}
inline float largest(Vector a) {
  return _mm512_reduce_max_ps(a.v);
}
inline Vector rounded(Vector a) {
  return _mm512_roundscale_ps(a.v, 0);
}
// a * 2^n for whole n; 0 if that is too small.
inline Vector scaled(Vector a, Vector n) {
  return _mm512_scalef_ps(a.v, n.v);
}
inline Vector magnitude(Vector a) {
  return _mm512_abs_ps(a.v);
}
// About 1 / a.
inline Vector inverse_estimate(Vector a) {
  return _mm512_rcp14_ps(a.v);
}
// Where x >= 0 a, else b.
inline Vector choose(Vector x, Vector a, Vector b) {
  return _mm512_mask_mov_ps(b.v, _mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_GE_OQ), a.v);
}

#else

struct Vector {
  __m256 low, high;
  Vector() = default;
  Vector(__m256 a, __m256 b) : low(a), high(b) {}
  explicit Vector(float value) : low(_mm256_set1_ps(value)), high(low) {}
};
inline Vector load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
inline void store(float* p, Vector a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
inline Vector operator+(Vector a, Vector b) {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
inline Vector operator-(Vector a, Vector b) {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
inline Vector operator*(Vector a, Vector b) {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
// a * b + c
inline Vector fused(Vector a, Vector b, Vector c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline Vector smaller(Vector a, Vector b) {
  return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
inline Vector larger(Vector a, Vector b) {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
inline float add_up(Vector a) {
  const __m256 eight = _mm256_add_ps(a.low, a.high);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}
inline float largest(Vector a) {
  const __m256 eight = _mm256_max_ps(a.low, a.high);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}
inline Vector rounded(Vector a) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.low, kNearest), _mm256_round_ps(a.high, kNearest)};
}
// a * 2^n for whole n; 0 if that is too small.
inline Vector scaled(Vector a, Vector n) {
  auto half = [](__m256 x, __m256 power) {
    const __m256 least = _mm256_set1_ps(-126.0f);
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(_mm256_max_ps(power, least)), 23);
    const __m256 y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponent));
    return _mm256_and_ps(y, _mm256_cmp_ps(power, least, _CMP_GT_OQ));
  };
  return {half(a.low, n.low), half(a.high, n.high)};
}
inline Vector magnitude(Vector a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
// About 1 / a.
inline Vector inverse_estimate(Vector a) {
  return {_mm256_rcp_ps(a.low), _mm256_rcp_ps(a.high)};
}
// Where x >= 0 a, else b.
inline Vector choose(Vector x, Vector a, Vector b) {
  return {_mm256_blendv_ps(a.low, b.low, x.low), _mm256_blendv_ps(a.high, b.high, x.high)};
}

#endif

// e^x with a relative error below 1e-5 for |x| < 80; 0 far below.
inline Vector exponential(Vector x) {
  x = larger(x, Vector(-200.0f)) * Vector(1.44269504f);
  const Vector n = rounded(x);
  x = x - n;  // 2^x on [-0.5, 0.5] by its series
  Vector p(1.33335581e-3f);
  p = fused(p, x, Vector(9.61812911e-3f));
  p = fused(p, x, Vector(5.55041087e-2f));
  p = fused(p, x, Vector(2.40226507e-1f));
  p = fused(p, x, Vector(6.93147181e-1f));
  p = fused(p, x, Vector(1.0f));
  return scaled(p, n);
}

// The normal distribution function of x, and its density at x (Abramowitz and Stegun 7.1.26, error below
// 1e-6).
inline void normal(Vector x, Vector& distribution, Vector& density) {
  const Vector one(1.0f);
  const Vector z = magnitude(x) * Vector(0.70710678f);
  const Vector b = fused(z, Vector(0.3275911f), one);
  Vector t = inverse_estimate(b);  // with one step of Newton's, much faster than a division
  t = t * (Vector(2.0f) - b * t);
  const Vector e = exponential(x * x * Vector(-0.5f));
  Vector p(1.061405429f);
  p = fused(p, t, Vector(-1.453152027f));
  p = fused(p, t, Vector(1.421413741f));
  p = fused(p, t, Vector(-0.284496736f));
  p = fused(p, t, Vector(0.254829592f));
  const Vector tail = p * t * e * Vector(0.5f);
  distribution = choose(x, one - tail, tail);
  density = e * Vector(0.39894228f);
}

namespace products {

struct Nothing {
  void operator()(int, int) const {}
};
// Asks for memory that will be read or written soon.
inline void fetch(const void* p, int bytes) {
  for (int i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(p) + i, 1, 2);
}

}  // namespace products
