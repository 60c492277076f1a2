// Packs int8 layers for sums of pairs.
#include "compute/paired_dots.h"

#include <algorithm>
#include <cstring>

namespace bert::compute {

namespace {

/// Whether the products of eight neighbouring inputs, 0..127 each, may be added in 16 bits as
/// Kernels::product_paired does it: the first two of each four with each other, and the last two.
bool fits(const std::int8_t* weights) {
  constexpr int kMost = 32767 / static_cast<int>(PairedDots::kSteps);
  for (std::size_t half = 0; half < 2; ++half) {
    int positive = 0, negative = 0;
    for (const std::size_t i : {0U, 1U, 4U, 5U}) {
      const std::int8_t weight = weights[2 * half + i];
      (weight > 0 ? positive : negative) += weight;
    }
    if (positive > kMost || negative < -kMost) return false;
  }
  return true;
}

}  // namespace

Expected<PairedDots> PairedDots::make(const LinearRows& rows) {
  PairedDots dots;
  dots.inputs_ = rows.inputs();
  dots.outputs_ = rows.outputs();
  const std::size_t size = dots.count() * dots.groups() * sizeof(PairedWeights);
  dots.packed_ = AlignedBytes(size);
  if (!dots.packed_.ok()) return out_of_memory("a linear layer", size);
  dots.extras_.resize(dots.count());
  dots.extra_starts_.resize(dots.count());
  dots.bias_ = rows.bias();
  dots.bias_.resize(dots.count() * kPairedPanel);
  dots.scales_.resize(dots.count() * kPairedPanel);
  return dots;
}

Status PairedDots::pack(const LinearRows& rows, std::size_t index) {
  auto* const target = reinterpret_cast<PairedWeights*>(packed_.data()) + index * groups();
  std::memset(static_cast<void*>(target), 0, groups() * sizeof(PairedWeights));
  const std::size_t first = index * kPairedPanel;
  const std::size_t columns = std::min(kPairedPanel, outputs_ - first);
  const std::size_t padded = groups() * kPairedGroup;
  const bool in_place = rows.in_place(WeightType::kInt8);
  const AlignedBytes memory(columns * padded + (in_place ? 0 : inputs_));
  if (!memory.ok()) return out_of_memory("packing a linear layer", memory.size());
  auto* const integers = reinterpret_cast<std::int8_t*>(memory.data());  // zeros behind each row
  std::int8_t* const scratch = in_place ? nullptr : integers + columns * padded;
  std::memset(integers, 0, columns * padded);
  for (std::size_t o = 0; o < columns; ++o) {
    float& scale = scales_[first + o];
    const std::int8_t* const row = rows.integers(first + o, scratch, &scale);
    if (const Status done = check_scale(scale); !done) return done;
    std::memcpy(integers + o * padded, row, inputs_);
  }
  const auto fit_together = [&](const std::int8_t* from, std::size_t eight) {
    bool together = true;
    for (std::size_t o = 0; o < columns; ++o) together = together && fits(from + o * padded + 8 * eight);
    return together;
  };
  std::size_t apart = 0;
  for (std::size_t eight = 0; eight < padded / 8; ++eight) apart += fit_together(integers, eight) ? 0 : 1;
  extras_[index] = AlignedBytes((apart + 1) * sizeof(PairedExtra));
  if (!extras_[index].ok()) return out_of_memory("a linear layer", extras_[index].size());
  auto* extras = reinterpret_cast<PairedExtra*>(extras_[index].data());
  extra_starts_[index] = extras;
  for (std::size_t g = 0; g < groups(); ++g) {
    PairedWeights& group = target[g];
    const std::int8_t* const from = integers + g * kPairedGroup;
    for (std::size_t o = 0; o < columns; ++o)
      for (std::size_t i = 0; i < kPairedGroup; ++i) group.sums[o] += from[o * padded + i];
    for (std::size_t eight = 0; eight < kPairedGroup / 8; ++eight) {
      const bool together = fit_together(from, eight);
      PairedExtra extra{};
      for (std::size_t o = 0; o < columns; ++o) {
        const std::int8_t* const weights = from + o * padded + 8 * eight;
        std::memcpy(group.weights[eight][0][o], weights, 4);
        std::memcpy(together ? group.weights[eight][1][o] : extra.weights[o], weights + 4, 4);
      }
      if (together) continue;
      extra.group = static_cast<std::uint32_t>(g);
      extra.place = static_cast<std::uint32_t>(8 * eight + 4);
      *extras++ = extra;
    }
  }
  PairedExtra end{};
  end.group = static_cast<std::uint32_t>(groups());
  *extras = end;
  return {};
}

std::size_t PairedDots::owned_bytes() const {
  std::size_t bytes = packed_.size() + (bias_.size() + scales_.size()) * sizeof(float);
  for (const AlignedBytes& extras : extras_) bytes += extras.size();
  return bytes;
}

PairedProduct PairedDots::product(std::size_t first, std::size_t columns) const {
  PairedProduct product{};
  const std::size_t panel = first / kPairedPanel;
  product.panels = reinterpret_cast<const PairedWeights*>(packed_.data()) + panel * groups();
  product.extras = extra_starts_.data() + panel;
  product.scales = scales_.data() + first;
  product.bias = bias_.data() + first;
  product.groups = groups();
  product.last_eights = (inputs_ - (groups() - 1) * kPairedGroup + 7) / 8;
  product.columns = columns;
  return product;
}

}  // namespace bert::compute
