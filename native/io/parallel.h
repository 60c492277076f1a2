// Spreads independent work over threads.
#pragma once

#include <cstddef>
#include <functional>

namespace bert::cli {

/// body(0) ... body(count - 1) on up to `threads` threads, in chunks; returns when all are done. Throws what
/// a call of `body` has thrown, once no other runs any more, and std::runtime_error where so many threads
/// cannot be had.
void parallel_for(std::size_t count, std::size_t threads, const std::function<void(std::size_t)>& body);

}  // namespace bert::cli
