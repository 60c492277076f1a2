// Spreads independent work over threads.
#pragma once

#include <cstddef>
#include <functional>

namespace bert::cli {

/// Cores that this process may run on.
std::size_t available_cores();

/// body(0) ... body(count - 1) on up to `threads` threads, in chunks; returns when all are done.
void parallel_for(std::size_t count, std::size_t threads, const std::function<void(std::size_t)>& body);

}  // namespace bert::cli
