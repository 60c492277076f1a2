// Loops of nothing but independent multiply-adds, on the widest vectors that the machine has.
#include "peak.h"

#include <ctime>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace bert_bench {

#if defined(__x86_64__)
namespace {

constexpr int kChains = 12;  // more than the latency times the instructions of a cycle
constexpr long kSteps = 2'000'000;

double seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// NOLINTBEGIN(bugprone-macro-parentheses): a type and a statement
// Each loop: kSteps times kChains vectors. The empty assembly keeps the compiler from working the result out
// and from using one product twice. A macro, because a lambda does not take over its function's target.
#define BERT_BENCH_LOOP(Vector, zero, STEP)    \
  Vector sums[kChains];                        \
  for (Vector & sum : sums) sum = zero();      \
  Vector a = zero(), b = zero();               \
  for (long i = 0; i < kSteps; ++i)            \
    for (Vector & sum : sums) {                \
      __asm__ volatile("" : "+v"(a), "+v"(b)); \
      STEP;                                    \
      __asm__ volatile("" : "+v"(sum));        \
    }
// NOLINTEND(bugprone-macro-parentheses)

__attribute__((target("avx2,fma"))) void f32_avx2() {
  BERT_BENCH_LOOP(__m256, _mm256_setzero_ps, sum = _mm256_fmadd_ps(a, b, sum))
}
__attribute__((target("avx512f"))) void f32_avx512() {
  BERT_BENCH_LOOP(__m512, _mm512_setzero_ps, sum = _mm512_fmadd_ps(a, b, sum))
}
__attribute__((target("avx2"))) void int8_avx2() {
  BERT_BENCH_LOOP(__m256i, _mm256_setzero_si256, sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)))
}
__attribute__((target("avx2,avxvnni"))) void int8_avxvnni() {
  BERT_BENCH_LOOP(__m256i, _mm256_setzero_si256, sum = _mm256_dpbusd_avx_epi32(sum, a, b))
}
__attribute__((target("avx512f,avx512bw"))) void int8_avx512() {
  BERT_BENCH_LOOP(__m512i, _mm512_setzero_si512, sum = _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)))
}
__attribute__((target("avx512f,avx512vnni"))) void int8_avx512vnni() {
  BERT_BENCH_LOOP(__m512i, _mm512_setzero_si512, sum = _mm512_dpbusd_epi32(sum, a, b))
}

/// Speed of a loop whose vectors hold `products` products each.
double speed(void (*loop)(), int products) {
  double best = 0;
  for (int i = 0; i < 8; ++i) {
    const double start = seconds();
    loop();
    const double rate = 2.0 * products * kChains * kSteps / (seconds() - start) * 1e-9;
    if (rate > best) best = rate;
  }
  return best;
}

bool has_avxvnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & 1U << 4) != 0;
}

}  // namespace

Peak measure_peak() {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return {};
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
  Peak peak{};
  peak.f32 = wide ? speed(f32_avx512, 16) : speed(f32_avx2, 8);
  peak.int8 = wide && __builtin_cpu_supports("avx512vnni") ? speed(int8_avx512vnni, 64)
              : has_avxvnni()                              ? speed(int8_avxvnni, 32)
              : wide                                       ? speed(int8_avx512, 32)
                                                           : speed(int8_avx2, 16);
  return peak;
}

#else
Peak measure_peak() {
  return {};
}
#endif

}  // namespace bert_bench
