// Packs linear layers into panels.
#include "compute/panels.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace bert::compute {

namespace {

/// Lays the first `count` items of each row side by side: item i of row o becomes item i * width + o.
template <class Item>
void spread(std::span<const void* const> rows, std::size_t count, std::size_t width, std::byte* panel) {
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t o = 0; o < rows.size(); ++o)
      std::memcpy(panel + (i * width + o) * sizeof(Item),
                  static_cast<const std::byte*>(rows[o]) + i * sizeof(Item), sizeof(Item));
}

}  // namespace

Expected<Panels> Panels::make(const LinearRows& rows, Precision precision, std::size_t width) {
  Panels panels;
  panels.inputs_ = rows.inputs();
  panels.outputs_ = rows.outputs();
  panels.width_ = width;
  panels.precision_ = precision;
  panels.bytes_each_ = precision == Precision::kInt8  ? (rows.inputs() + 1) / 2 * 2
                       : precision == Precision::kF16 ? rows.inputs() * sizeof(std::uint16_t)
                                                      : rows.inputs() * sizeof(float);
  const std::size_t size = panels.count() * width * panels.bytes_each_;
  panels.packed_ = AlignedBytes(size);
  if (!panels.packed_.ok()) return out_of_memory("a linear layer", size);
  panels.bias_ = rows.bias();
  if (precision == Precision::kInt8) panels.scales_.resize(rows.outputs());
  return panels;
}

Status Panels::pack(const LinearRows& rows, std::size_t index) {
  const std::size_t first = index * width_;
  const std::size_t columns = std::min(width_, outputs_ - first);
  std::byte* const target = panel(first);
  if (columns < width_ || inputs_ % 2 != 0) std::memset(target, 0, width_ * bytes_each_);
  const void* sources[kPanelColumns];
  const std::span<const void* const> all(sources, columns);
  // rows that do not lie as they are packed are made here
  const WeightType type = precision_ == Precision::kInt8 ? WeightType::kInt8 : WeightType::kF32;
  const std::size_t row_bytes = inputs_ * element_size(type);
  const AlignedBytes scratch(rows.in_place(type) ? 0 : columns * row_bytes);
  if (!scratch.ok()) return out_of_memory("packing a linear layer", columns * row_bytes);
  const auto room = [&](std::size_t o) {
    return scratch.size() == 0 ? nullptr : scratch.data() + o * row_bytes;
  };
  if (precision_ == Precision::kInt8) {
    for (std::size_t o = 0; o < columns; ++o) {
      float& scale = scales_[first + o];
      sources[o] = rows.integers(first + o, reinterpret_cast<std::int8_t*>(room(o)), &scale);
      if (const Status done = check_scale(scale); !done) return done;
    }
    using Pair = std::uint16_t;
    spread<Pair>(all, inputs_ / 2, width_, target);
    for (std::size_t o = 0; inputs_ % 2 != 0 && o < columns; ++o)
      target[(inputs_ / 2 * width_ + o) * sizeof(Pair)] =
          static_cast<const std::byte*>(sources[o])[inputs_ - 1];
    return {};
  }
  for (std::size_t o = 0; o < columns; ++o)
    sources[o] = rows.floats(first + o, reinterpret_cast<float*>(room(o)));
  if (precision_ == Precision::kF32) {
    spread<float>(all, inputs_, width_, target);
    return {};
  }
  const AlignedBytes halves(columns * inputs_ * sizeof(std::uint16_t));
  if (!halves.ok()) return out_of_memory("packing a linear layer", halves.size());
  for (std::size_t o = 0; o < columns; ++o) {
    auto* const half = reinterpret_cast<std::uint16_t*>(halves.data()) + o * inputs_;
    const Status held = narrow_row(static_cast<const float*>(sources[o]), inputs_, half);
    if (!held) return held;
    sources[o] = half;
  }
  spread<std::uint16_t>(all, inputs_, width_, target);
  return {};
}

PanelProduct Panels::floats(std::size_t first, std::size_t columns) const {
  PanelProduct product{};
  product.panels = panel(first);
  product.bias = bias_.data() + first;
  product.inputs = inputs_;
  product.columns = columns;
  return product;
}

Int8Product Panels::integers(std::size_t first, std::size_t columns) const {
  Int8Product product{};
  product.panels = panel(first);
  product.scales = scales_.data() + first;
  product.bias = bias_.data() + first;
  product.pairs = (inputs_ + 1) / 2;
  product.columns = columns;
  return product;
}

}  // namespace bert::compute
