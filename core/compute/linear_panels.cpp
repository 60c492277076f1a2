// Linear layers in f32, f16 or int8 for our own products of panels (kernels.h).
#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "compute/linear.h"

namespace bert::compute {

namespace {

class PanelLinear : public PackedLinear {
 public:
  /// Panels of `width` columns, which is Kernels::panel.
  PanelLinear(const LinearRows& rows, Precision precision, std::size_t width);
  std::size_t owned_bytes() const override {
    return packed_.size() + (bias_.size() + scales_.size()) * sizeof(float);
  }
  Status run(const LinearCall& call, Workspace& space) const override {
    return precision_ == Precision::kInt8 ? run_int8(call, space) : run_floats(call, space);
  }
  Status pack(const LinearRows& rows, const Threads& threads);

 private:
  Status run_int8(const LinearCall& call, Workspace& space) const;
  Status run_floats(const LinearCall& call, Workspace& space) const;
  Status pack_panel(const LinearRows& rows, std::size_t index);
  /// The panel that output `first` begins.
  std::byte* panel(std::size_t first) const { return packed_.data() + first * bytes_each_; }

  std::size_t width_;
  std::size_t bytes_each_;  // of one output
  Precision precision_;
  AlignedBytes packed_;
  std::vector<float> bias_, scales_;  // [outputs], scales of int8 alone
};

/// Lays the first `count` items of each row side by side: item i of row o becomes item i * width + o.
template <class Item>
void spread(std::span<const void* const> rows, std::size_t count, std::size_t width, std::byte* panel) {
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t o = 0; o < rows.size(); ++o)
      std::memcpy(panel + (i * width + o) * sizeof(Item),
                  static_cast<const std::byte*>(rows[o]) + i * sizeof(Item), sizeof(Item));
}

PanelLinear::PanelLinear(const LinearRows& rows, Precision precision, std::size_t width)
    : PackedLinear(rows),
      width_(width),
      bytes_each_(precision == Precision::kInt8  ? (inputs() + 1) / 2 * 2
                  : precision == Precision::kF16 ? inputs() * sizeof(std::uint16_t)
                                                 : inputs() * sizeof(float)),
      precision_(precision),
      bias_(rows.bias()),
      scales_(precision == Precision::kInt8 ? outputs() : 0) {}

Status PanelLinear::pack(const LinearRows& rows, const Threads& threads) {
  const std::size_t panels = (outputs() + width_ - 1) / width_;
  const std::size_t size = panels * width_ * bytes_each_;
  packed_ = AlignedBytes(size);
  if (!packed_.ok()) return out_of_memory("a linear layer", size);
  return pack_all(threads, panels, [&](std::size_t index) { return pack_panel(rows, index); });
}

Status PanelLinear::pack_panel(const LinearRows& rows, std::size_t index) {
  const std::size_t first = index * width_;
  const std::size_t columns = std::min(width_, outputs() - first);
  std::byte* const target = panel(first);
  if (columns < width_ || inputs() % 2 != 0) std::memset(target, 0, width_ * bytes_each_);
  const void* sources[kPanelColumns];
  const std::span<const void* const> all(sources, columns);
  // rows that do not lie as they are packed are made here
  const WeightType type = precision_ == Precision::kInt8 ? WeightType::kInt8 : WeightType::kF32;
  const std::size_t row_bytes = inputs() * element_size(type);
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
    spread<Pair>(all, inputs() / 2, width_, target);
    for (std::size_t o = 0; inputs() % 2 != 0 && o < columns; ++o)
      target[(inputs() / 2 * width_ + o) * sizeof(Pair)] =
          static_cast<const std::byte*>(sources[o])[inputs() - 1];
    return {};
  }
  for (std::size_t o = 0; o < columns; ++o)
    sources[o] = rows.floats(first + o, reinterpret_cast<float*>(room(o)));
  if (precision_ == Precision::kF32) {
    spread<float>(all, inputs(), width_, target);
    return {};
  }
  const AlignedBytes halves(columns * inputs() * sizeof(std::uint16_t));
  if (!halves.ok()) return out_of_memory("packing a linear layer", halves.size());
  for (std::size_t o = 0; o < columns; ++o) {
    auto* const half = reinterpret_cast<std::uint16_t*>(halves.data()) + o * inputs();
    const Status held = narrow_row(static_cast<const float*>(sources[o]), inputs(), half);
    if (!held) return held;
    sources[o] = half;
  }
  spread<std::uint16_t>(all, inputs(), width_, target);
  return {};
}

Status PanelLinear::run_floats(const LinearCall& call, Workspace& space) const {
  const std::size_t size = space.threads.count() * kPanelScratch * sizeof(float);
  if (const Status done = reserve(space.scratch, size); !done) return done;
  const auto run = precision_ == Precision::kF16 ? space.kernels.product_f16 : space.kernels.product_f32;
  for_each_piece(space, call.rows, [&](const Piece& piece, std::size_t thread) {
    PanelProduct product{};
    product.panels = panel(piece.first);
    product.bias = bias_.data() + piece.first;
    product.inputs = inputs();
    product.columns = piece.columns;
    product.input = row_of(call.input, piece.begin);
    product.input_stride = call.input.stride;
    product.scratch = space.scratch.floats() + thread * kPanelScratch;
    set_output(product, call, piece);
    run(product);
  });
  return {};
}

Status PanelLinear::run_int8(const LinearCall& call, Workspace& space) const {
  const std::size_t stride = (inputs() + 1) / 2 * 2;  // of the quantised rows
  const std::size_t size = call.rows * stride * sizeof(std::int16_t);
  if (const Status done = reserve(space.quantised, size); !done) return done;
  if (const Status done = reserve(space.row_params, call.rows * sizeof(float)); !done) return done;
  auto* const quantised = reinterpret_cast<std::int16_t*>(space.quantised.data());
  float* const scales = space.row_params.floats();
  space.threads.in_parallel(call.rows, 16, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t r = begin; r < end; ++r)
      space.kernels.quantise(row_of(call.input, r), inputs(), quantised + r * stride, scales + r);
  });
  for_each_piece(space, call.rows, [&](const Piece& piece, std::size_t) {
    Int8Product product{};
    product.panels = panel(piece.first);
    product.scales = scales_.data() + piece.first;
    product.bias = bias_.data() + piece.first;
    product.pairs = stride / 2;
    product.columns = piece.columns;
    product.input = quantised + piece.begin * stride;
    product.input_stride = stride;
    product.input_scales = scales + piece.begin;
    set_output(product, call, piece);
    space.kernels.product_int8(product);
  });
  return {};
}

}  // namespace

Expected<std::unique_ptr<Linear>> make_panel_linear(const LinearRows& rows, Precision precision,
                                                    const Kernels& kernels, const Threads& threads) {
  auto linear = std::make_unique<PanelLinear>(rows, precision, kernels.panel);
  if (const Status done = linear->pack(rows, threads); !done) return tl::unexpected(done.error());
  return linear;
}

}  // namespace bert::compute
