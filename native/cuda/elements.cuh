// Elements as floats, four at a time where they lie so, and sums over a warp.
#pragma once

#include <cuda_fp16.h>

namespace bert::cuda {

__device__ inline float load(const float* source) {
  return *source;
}
__device__ inline float load(const __half* source) {
  return __half2float(*source);
}
__device__ inline void store(float* target, float value) {
  *target = value;
}
__device__ inline void store(__half* target, float value) {
  *target = __float2half_rn(value);
}

struct Four {
  float x[4];
};
/// Needs an address that is a multiple of four elements.
__device__ inline Four load_four(const float* source) {
  const float4 four = *reinterpret_cast<const float4*>(source);
  return {{four.x, four.y, four.z, four.w}};
}
__device__ inline Four load_four(const __half* source) {
  const uint2 bits = *reinterpret_cast<const uint2*>(source);
  const float2 low = __half22float2(*reinterpret_cast<const __half2*>(&bits.x));
  const float2 high = __half22float2(*reinterpret_cast<const __half2*>(&bits.y));
  return {{low.x, low.y, high.x, high.y}};
}
__device__ inline void store_four(float* target, const Four& four) {
  *reinterpret_cast<float4*>(target) = make_float4(four.x[0], four.x[1], four.x[2], four.x[3]);
}
__device__ inline void store_four(__half* target, const Four& four) {
  const __half2 low = __floats2half2_rn(four.x[0], four.x[1]);
  const __half2 high = __floats2half2_rn(four.x[2], four.x[3]);
  uint2 bits;
  bits.x = *reinterpret_cast<const unsigned*>(&low);
  bits.y = *reinterpret_cast<const unsigned*>(&high);
  *reinterpret_cast<uint2*>(target) = bits;
}

inline constexpr unsigned kAllLanes = 0xffffffffU;

__device__ inline float warp_sum(float value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}
__device__ inline float warp_max(float value) {
  for (int step = 16; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, step));
  return value;
}

}  // namespace bert::cuda
