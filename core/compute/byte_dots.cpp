// Packs int8 layers for sums of four products.
#include "compute/byte_dots.h"

#include <algorithm>
#include <cstring>

namespace bert::compute {

Expected<ByteDots> ByteDots::make(const LinearRows& rows) {
  ByteDots dots;
  dots.inputs_ = rows.inputs();
  dots.outputs_ = rows.outputs();
  const std::size_t size = dots.count() * dots.fours() * kBytePanel * 4;
  dots.packed_ = AlignedBytes(size);
  if (!dots.packed_.ok()) return out_of_memory("a linear layer", size);
  dots.bias_ = rows.bias();
  dots.bias_.resize(dots.count() * kBytePanel);
  dots.scales_.resize(dots.count() * kBytePanel);
  dots.sums_.resize(dots.count() * kBytePanel);
  return dots;
}

Status ByteDots::pack(const LinearRows& rows, std::size_t index) {
  const std::size_t bytes = fours() * kBytePanel * 4;
  auto* const target = reinterpret_cast<std::int8_t*>(packed_.data()) + index * bytes;
  std::memset(target, 0, bytes);
  const std::size_t first = index * kBytePanel;
  const std::size_t columns = std::min(kBytePanel, outputs_ - first);
  const AlignedBytes scratch(rows.in_place(WeightType::kInt8) ? 0 : inputs_);
  if (!scratch.ok()) return out_of_memory("packing a linear layer", inputs_);
  for (std::size_t o = 0; o < columns; ++o) {
    float& scale = scales_[first + o];
    const std::int8_t* const row =
        rows.integers(first + o, reinterpret_cast<std::int8_t*>(scratch.data()), &scale);
    if (const Status done = check_scale(scale); !done) return done;
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < inputs_; ++i) sum += row[i];
    sums_[first + o] = sum;
    std::int8_t* to = target + o * 4;
    std::size_t i = 0;
    for (; i + 4 <= inputs_; i += 4, to += kBytePanel * 4) std::memcpy(to, row + i, 4);
    if (i < inputs_) std::memcpy(to, row + i, inputs_ - i);
  }
  return {};
}

std::size_t ByteDots::owned_bytes() const {
  return packed_.size() + (bias_.size() + scales_.size()) * sizeof(float) +
         sums_.size() * sizeof(std::int32_t);
}

ByteProduct ByteDots::product(std::size_t first, std::size_t columns) const {
  ByteProduct product{};
  product.panels = reinterpret_cast<const std::int8_t*>(packed_.data()) + first * fours() * 4;
  product.sums = sums_.data() + first;
  product.scales = scales_.data() + first;
  product.bias = bias_.data() + first;
  product.fours = fours();
  product.columns = columns;
  return product;
}

}  // namespace bert::compute
