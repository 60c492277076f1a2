// Device memory with an owner, and CUDA's status codes as errors.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "bert/result.h"

namespace bert::cuda {

/// Success, kOutOfMemory, or kInternal with CUDA's own name and text; `what` says what was tried.
Status check(cudaError_t status, const char* what);

/// How activations and weights are kept on the device.
enum class Element : std::uint8_t { kF32, kF16 };
constexpr std::size_t element_size(Element element) {
  return element == Element::kF32 ? 4 : 2;
}

/// Makes the first device the calling thread's own while this lives; the caller's comes back afterwards. All
/// that allocates, makes streams or events, or launches needs it. What frees or waits does not: CUDA knows
/// whose the memory or the stream is.
class FirstDevice {
 public:
  FirstDevice();
  FirstDevice(const FirstDevice&) = delete;
  ~FirstDevice();
  /// Of making it so.
  cudaError_t status() const { return status_; }

 private:
  int before_ = 0;
  cudaError_t status_;
};

enum class Place { kDevice, kPinned };

/// Uninitialised memory on the device or page-locked on the host (which the device can read and write as
/// well).
class Memory {
 public:
  Memory() = default;
  static Expected<Memory> make(Place place, std::size_t bytes);
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(place_, other.place_);
    return *this;
  }
  ~Memory();

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  Place place_ = Place::kDevice;
};

}  // namespace bert::cuda
