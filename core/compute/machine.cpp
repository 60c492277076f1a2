// What depends on the machine: which kernels it can run, cores and threads, large pages. The one place that
// asks it.
#include "compute/machine.h"

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "compute/kernels.h"

#if defined(__linux__)
#include <sched.h>
#include <sys/mman.h>
#endif
#if !defined(__EMSCRIPTEN__)
#include <pthread.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace bert::compute {

std::size_t attention_scratch(std::size_t keys, std::size_t head_size) {
  const std::size_t padded = (keys + kPadding - 1) / kPadding * kPadding;
  constexpr std::size_t kMostRows = 8;
  return padded * (head_size + 1 + kMostRows) + head_size * kPadding;
}

#if defined(__wasm__)
namespace {

/// WebAssembly leaves the sign of a NaN that an operation makes to the processor: set on x86 alone.
bool is_x86() {
  const volatile float infinity = __builtin_inff();
  return __builtin_signbit(infinity - infinity) != 0;
}

}  // namespace
#endif

const Kernels* const* available_kernels() {
  struct List {
    const Kernels* entries[5] = {};
    List() {
      std::size_t count = 0;
#if defined(__x86_64__) || defined(__i386__)
      __builtin_cpu_init();
      if (avx512_kernels() != nullptr && __builtin_cpu_supports("avx512f") &&
          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl")) {
        if (avx512vnni_kernels() != nullptr && __builtin_cpu_supports("avx512vnni"))
          entries[count++] = avx512vnni_kernels();
        entries[count++] = avx512_kernels();
      }
      if (avx2_kernels() != nullptr && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
          __builtin_cpu_supports("f16c"))
        entries[count++] = avx2_kernels();
#endif
      entries[count++] = baseline_kernels();
#if defined(__wasm__)
      // Engines translate XNNPACK's f32 kernels into code that spills the 16 registers of x86, or is for
      // fewer rows than those would hold. Other processors have 32, and XNNPACK kernels that use them.
      static Kernels others = *baseline_kernels();
      others.name = "xnnpack f32";
      others.product_f32 = nullptr;
      entries[count] = &others;
      if (!is_x86()) std::swap(entries[0], entries[1]);
#endif
    }
  };
  static const List list;
  return list.entries;
}

bool has_int8_dot_products() {
#if defined(__x86_64__) || defined(__i386__)
  if (__builtin_cpu_supports("avx512vnni")) return true;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kAvxVnni = 1U << 4;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kAvxVnni) != 0;
#else
  return false;
#endif
}

bool can_start_threads([[maybe_unused]] std::size_t count) {
#if defined(__EMSCRIPTEN__)
  return true;  // they are there before the module runs
#else
  pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
  const auto wait = [](void* mutex) -> void* {
    pthread_mutex_lock(static_cast<pthread_mutex_t*>(mutex));
    pthread_mutex_unlock(static_cast<pthread_mutex_t*>(mutex));
    return nullptr;
  };
  constexpr std::size_t kMost = 1 << 16;  // no system has so many, and their list takes memory too
  if (count > kMost) return false;
  std::vector<pthread_t> threads(count);
  std::size_t started = 0;
  pthread_mutex_lock(&gate);
  while (started < count && pthread_create(&threads[started], nullptr, wait, &gate) == 0) ++started;
  pthread_mutex_unlock(&gate);
  for (std::size_t i = 0; i < started; ++i) pthread_join(threads[i], nullptr);
  return started == count;
#endif
}

#if defined(__linux__)
std::size_t large_page() {
  return std::size_t{2} << 20;
}
void use_large_pages(void* data, std::size_t size) {
  // only a hint: where there are none the memory works as before
  (void)madvise(data, size / large_page() * large_page(), MADV_HUGEPAGE);
}
#else
std::size_t large_page() {
  return 0;
}
void use_large_pages(void*, std::size_t) {}
#endif

}  // namespace bert::compute

namespace bert {

std::size_t usable_cores() {
#if defined(__linux__) && !defined(__EMSCRIPTEN__)
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return static_cast<std::size_t>(CPU_COUNT(&cores));
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

std::vector<std::string_view> simd_names() {
  std::vector<std::string_view> names;
  for (const compute::Kernels* const* entry = compute::available_kernels(); *entry != nullptr; ++entry)
    names.emplace_back((*entry)->name);
  return names;
}

}  // namespace bert
