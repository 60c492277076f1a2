// What a stream of the XNNPACK backend lends to the linear layers that run on it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>

#include "compute/host.h"
#include "compute/kernels.h"
#include "compute/threads.h"

namespace bert::compute {

/// Something that a layer keeps on a stream from one run to the next: what can serve one caller at a time.
class StreamState {
 public:
  virtual ~StreamState() = default;
};

/// The name of such a state on any stream. No two are equal, not even to one that is gone.
class StateKey {
 public:
  StateKey() : number_(next()) {}
  StateKey(const StateKey&) = delete;
  StateKey& operator=(const StateKey&) = delete;
  std::uint64_t number() const { return number_; }

 private:
  static std::uint64_t next() {
    static std::atomic<std::uint64_t> made{0};
    return made++;
  }
  const std::uint64_t number_;
};

/// The states that one stream holds, each until the stream ends, even where its layer is gone before.
class StreamStates {
 public:
  /// That of `key`, which is always of the same class: made when it is first asked for.
  template <class State>
  State& of(const StateKey& key) {
    std::unique_ptr<StreamState>& state = states_[key.number()];
    if (state == nullptr) state = std::make_unique<State>();
    return static_cast<State&>(*state);
  }

 private:
  std::map<std::uint64_t, std::unique_ptr<StreamState>> states_;
};

/// What a stream lends to each layer that runs on it.
struct Workspace {
  const Kernels& kernels;
  const Threads& threads;
  // memory of the run alone, for reserve(): parts for each thread, quantised rows and their steps and zeros
  AlignedBytes scratch{}, quantised{}, row_params{};
  StreamStates states{};
};

}  // namespace bert::compute
