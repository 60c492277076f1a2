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

/// Two elements of f16 in a word.
__device__ inline unsigned pack(float low, float high) {
  const __half2 halves = __floats2half2_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&halves);
}
__device__ inline float2 unpack(unsigned word) {
  return __half22float2(*reinterpret_cast<const __half2*>(&word));
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
  const float2 low = unpack(bits.x);
  const float2 high = unpack(bits.y);
  return {{low.x, low.y, high.x, high.y}};
}
__device__ inline void store_four(float* target, const Four& four) {
  *reinterpret_cast<float4*>(target) = make_float4(four.x[0], four.x[1], four.x[2], four.x[3]);
}
__device__ inline void store_four(__half* target, const Four& four) {
  *reinterpret_cast<uint2*>(target) = make_uint2(pack(four.x[0], four.x[1]), pack(four.x[2], four.x[3]));
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
