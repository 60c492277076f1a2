// Threads by pthreadpool. How long one without work waits before it sleeps stands in
// cmake/xnnpack/pthreads.c.
#include "compute/threads.h"

#include <pthreadpool.h>

#include <string>

#include "compute/machine.h"

namespace bert::compute {

void Threads::DeletePool::operator()(pthreadpool* pool) const {
  pthreadpool_destroy(pool);
}

Expected<Threads> Threads::make(std::size_t count) {
  Threads threads;
  threads.count_ = count;
  if (count == 1) return threads;
  // pthreadpool waits for ever for a thread that could not be started
  if (can_start_threads(count - 1)) threads.pool_.reset(pthreadpool_create(count));
  if (threads.pool_ == nullptr)
    return fail(ErrorCode::kOutOfMemory, "no " + std::to_string(count) + " threads to be had");
  return threads;
}

void Threads::in_parallel(std::size_t count, std::size_t grain, Work work) const {
  struct Context {
    Work work;
    std::size_t count, grain;
  } context{work, count, grain};
  const auto piece = [](void* opaque, std::size_t thread, std::size_t index) {
    const Context& c = *static_cast<const Context*>(opaque);
    const std::size_t begin = index * c.grain;
    c.work(begin, begin + c.grain < c.count ? begin + c.grain : c.count, thread);
  };
  pthreadpool_parallelize_1d_with_thread(pool_.get(), piece, &context, (count + grain - 1) / grain, 0);
}

}  // namespace bert::compute
