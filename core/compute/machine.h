// What depends on the machine beside its kernels (kernels.h): cores and threads, large pages, instructions
// that only XNNPACK uses.
#pragma once

#include <cstddef>

namespace bert::compute {

/// Whether so many threads can run at once beside those that are there: they are started, and end.
bool can_start_threads(std::size_t count);

/// Bytes of a large page, or 0 where they cannot be asked for. Weights in large pages are read up to 1.7
/// times as fast: a small batch reads all weights once, in pages of 4 KB one table walk for each.
std::size_t large_page();

/// Asks for large pages under the whole ones of `size` bytes from `data` on, which is aligned to one.
void use_large_pages(void* data, std::size_t size);

/// Whether there are instructions that multiply int8 and sum into int32 (VNNI): XNNPACK's int8 operators use
/// them.
bool has_int8_dot_products();

#if defined(__wasm__)
/// Whether all bytes before `end` can be read: kernels read what others would fetch ahead, for want of an
/// instruction that does so and never faults.
inline bool is_memory(const std::byte* end) {
  return reinterpret_cast<std::size_t>(end) / 65536 < __builtin_wasm_memory_size(0);
}
#endif

}  // namespace bert::compute
