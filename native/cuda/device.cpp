// Allocations and statuses of the CUDA runtime.
#include "cuda/device.h"

#include <string>

namespace bert::cuda {

Status check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return {};
  const auto code = status == cudaErrorMemoryAllocation ? ErrorCode::kOutOfMemory : ErrorCode::kInternal;
  (void)cudaGetLastError();  // an error that is not sticky must not show up in a later call
  return fail(code, std::string("CUDA: ") + what + ": " + cudaGetErrorString(status) + " (" +
                        cudaGetErrorName(status) + ")");
}

FirstDevice::FirstDevice() {
  (void)cudaGetDevice(&before_);
  // also where it is the first already: a new thread has its number, but not yet its context
  status_ = cudaSetDevice(0);
}

FirstDevice::~FirstDevice() {
  if (before_ != 0) (void)cudaSetDevice(before_);
}

Expected<Memory> Memory::make(Place place, std::size_t bytes) {
  Memory memory;
  void* data = nullptr;
  const std::size_t least = bytes == 0 ? 1 : bytes;
  const cudaError_t status =
      place == Place::kDevice ? cudaMalloc(&data, least) : cudaHostAlloc(&data, least, cudaHostAllocDefault);
  const std::string what = (place == Place::kDevice ? "device memory of " : "page-locked memory of ") +
                           std::to_string(bytes) + " bytes";
  if (const Status done = check(status, what.c_str()); !done) return tl::unexpected(done.error());
  memory.data_ = static_cast<std::byte*>(data);
  memory.size_ = bytes;
  memory.place_ = place;
  return memory;
}

Memory::~Memory() {
  if (data_ == nullptr) return;
  if (place_ == Place::kDevice) {
    (void)cudaFree(data_);
  } else {
    (void)cudaFreeHost(data_);
  }
}

}  // namespace bert::cuda
