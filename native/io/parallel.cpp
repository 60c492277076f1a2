// Threads that take chunks of work from one counter.
#include "io/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace bert::cli {

std::size_t available_cores() {
  cpu_set_t cores;
  if (::sched_getaffinity(0, sizeof cores, &cores) == 0) return static_cast<std::size_t>(CPU_COUNT(&cores));
  return std::max(1u, std::thread::hardware_concurrency());
}

void parallel_for(std::size_t count, std::size_t threads, const std::function<void(std::size_t)>& body) {
  constexpr std::size_t kChunk = 16;
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t begin; (begin = next.fetch_add(kChunk)) < count;) {
      for (std::size_t i = begin; i < std::min(count, begin + kChunk); ++i) body(i);
    }
  };
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < std::min(threads, (count + kChunk - 1) / kChunk); ++i)
    others.emplace_back(work);
  work();
}

}  // namespace bert::cli
