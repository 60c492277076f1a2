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
