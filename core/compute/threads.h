// The threads that share the work of one backend.
#pragma once

#include <cstddef>
#include <memory>

#include "bert/result.h"

struct pthreadpool;

namespace bert::compute {

/// A function that is there for as long as it may be called: refers to it, owns nothing, allocates nothing.
template <class Signature>
class FunctionRef;
template <class Result, class... Arguments>
class FunctionRef<Result(Arguments...)> {
 public:
  template <class Function>
  FunctionRef(const Function& function)
      : function_(&function), call_([](const void* any, Arguments... arguments) -> Result {
          return (*static_cast<const Function*>(any))(arguments...);
        }) {}
  Result operator()(Arguments... arguments) const { return call_(function_, arguments...); }

 private:
  const void* function_;
  Result (*call_)(const void*, Arguments...);
};

/// A fixed number of threads, the caller's included. They serve several callers in turn.
class Threads {
 public:
  /// Errors: kOutOfMemory where so many are not to be had.
  static Expected<Threads> make(std::size_t count);
  std::size_t count() const { return count_; }

  /// In how many pieces work is parted at least, so that several threads end at about the same time.
  std::size_t pieces() const { return count_ == 1 ? 1 : 8 * count_; }

  using Work = FunctionRef<void(std::size_t begin, std::size_t end, std::size_t thread)>;
  /// Calls `work` for pieces of at most `grain` of 0..count, and returns when all are done. `thread` is below
  /// count(), and no two pieces have the same at a time. What fails in `work` must be kept as a value until
  /// the end: it runs on threads of a library in C, which an exception cannot leave.
  void in_parallel(std::size_t count, std::size_t grain, Work work) const;

 private:
  struct DeletePool {
    void operator()(pthreadpool* pool) const;
  };
  std::unique_ptr<pthreadpool, DeletePool> pool_;  // null: one thread, the caller's
  std::size_t count_ = 1;
};

}  // namespace bert::compute
