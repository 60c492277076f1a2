// Threads that take chunks of work from one counter.
#include "io/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace bert::cli {

void parallel_for(std::size_t count, std::size_t threads, const std::function<void(std::size_t)>& body) {
  // each thread comes back for more a few times, so that one with long pieces of work does not end last
  const std::size_t chunk = std::clamp<std::size_t>(count / (4 * std::max<std::size_t>(threads, 1)), 1, 16);
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;
  // an exception that left a thread would end the program
  const auto work = [&] {
    try {
      for (std::size_t begin; (begin = next.fetch_add(chunk)) < count;) {
        for (std::size_t i = begin; i < std::min(count, begin + chunk); ++i) body(i);
      }
    } catch (...) {
      next = count;
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    try {
      for (std::size_t i = 1; i < std::min(threads, (count + chunk - 1) / chunk); ++i)
        others.emplace_back(work);
    } catch (const std::system_error&) {
      throw std::runtime_error("--threads: no " + std::to_string(threads) + " threads to be had");
    }
    work();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace bert::cli
