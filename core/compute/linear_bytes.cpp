// Int8 layers for processors that multiply four pairs of bytes and add them to a sum of 32 bits (VNNI).
#include <algorithm>
#include <cstring>
#include <vector>

#include "compute/linear.h"

namespace bert::compute {

namespace {

/// Rows are quantised asymmetrically to 8 bits, 0..255, with a step and a zero of their own; an output is
/// step * sum((input - zero) * weight), times the scale of its weights, plus its bias. Sums are whole numbers
/// and exact, to 66,000 inputs.
class ByteLinear : public PackedLinear {
 public:
  explicit ByteLinear(const LinearRows& rows) : PackedLinear(rows), bias_(rows.bias()) {}
  std::size_t owned_bytes() const override;
  Status run(const LinearCall& call, Workspace& space) const override;
  Status pack(const LinearRows& rows, const Threads& threads);

 private:
  Status pack_panel(const LinearRows& rows, std::size_t index);
  std::size_t panels() const { return (outputs() + kBytePanel - 1) / kBytePanel; }
  std::size_t fours() const { return (inputs() + 3) / 4; }

  AlignedBytes packed_;               // [panel][four][kBytePanel][4]
  std::vector<std::int32_t> sums_;    // [panels * kBytePanel]
  std::vector<float> scales_, bias_;  // [panels * kBytePanel]
};

Status ByteLinear::pack(const LinearRows& rows, const Threads& threads) {
  const std::size_t size = panels() * fours() * kBytePanel * 4;
  packed_ = AlignedBytes(size);
  if (!packed_.ok()) return out_of_memory("a linear layer", size);
  bias_.resize(panels() * kBytePanel);
  scales_.resize(panels() * kBytePanel);
  sums_.resize(panels() * kBytePanel);
  return pack_all(threads, panels(), [&](std::size_t index) { return pack_panel(rows, index); });
}

Status ByteLinear::pack_panel(const LinearRows& rows, std::size_t index) {
  const std::size_t bytes = fours() * kBytePanel * 4;
  auto* const target = reinterpret_cast<std::int8_t*>(packed_.data()) + index * bytes;
  std::memset(target, 0, bytes);
  const std::size_t first = index * kBytePanel;
  const std::size_t columns = std::min(kBytePanel, outputs() - first);
  const AlignedBytes scratch(rows.in_place(WeightType::kInt8) ? 0 : inputs());
  if (!scratch.ok()) return out_of_memory("packing a linear layer", inputs());
  for (std::size_t o = 0; o < columns; ++o) {
    float& scale = scales_[first + o];
    const std::int8_t* const row =
        rows.integers(first + o, reinterpret_cast<std::int8_t*>(scratch.data()), &scale);
    if (const Status done = check_scale(scale); !done) return done;
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < inputs(); ++i) sum += row[i];
    sums_[first + o] = sum;
    std::int8_t* to = target + o * 4;
    std::size_t i = 0;
    for (; i + 4 <= inputs(); i += 4, to += kBytePanel * 4) std::memcpy(to, row + i, 4);
    if (i < inputs()) std::memcpy(to, row + i, inputs() - i);
  }
  return {};
}

std::size_t ByteLinear::owned_bytes() const {
  return packed_.size() + (bias_.size() + scales_.size()) * sizeof(float) +
         sums_.size() * sizeof(std::int32_t);
}

Status ByteLinear::run(const LinearCall& call, Workspace& space) const {
  const std::size_t rows = call.rows, stride = 4 * fours();
  if (const Status done = reserve(space.quantised, rows * stride); !done) return done;
  if (const Status done = reserve(space.row_params, rows * (sizeof(float) + sizeof(std::int32_t))); !done)
    return done;
  auto* const quantised = reinterpret_cast<std::uint8_t*>(space.quantised.data());
  float* const steps = space.row_params.floats();
  auto* const zeros = reinterpret_cast<std::int32_t*>(space.row_params.data() + rows * sizeof(float));
  space.threads.in_parallel(rows, 16, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t r = begin; r < end; ++r)
      space.kernels.quantise_bytes(row_of(call.input, r), inputs(), quantised + r * stride, steps + r,
                                   zeros + r);
  });
  for_each_piece(space, rows, [&](const Piece& piece, std::size_t) {
    ByteProduct product{};
    product.panels = reinterpret_cast<const std::int8_t*>(packed_.data()) + piece.first * stride;
    product.sums = sums_.data() + piece.first;
    product.scales = scales_.data() + piece.first;
    product.bias = bias_.data() + piece.first;
    product.fours = fours();
    product.columns = piece.columns;
    product.input = quantised + piece.begin * stride;
    product.input_stride = stride;
    product.steps = steps + piece.begin;
    product.zeros = zeros + piece.begin;
    set_output(product, call, piece);
    space.kernels.product_bytes(product);
  });
  return {};
}

}  // namespace

Expected<std::unique_ptr<Linear>> make_byte_linear(const LinearRows& rows, const Threads& threads) {
  auto linear = std::make_unique<ByteLinear>(rows);
  if (const Status done = linear->pack(rows, threads); !done) return tl::unexpected(done.error());
  return linear;
}

}  // namespace bert::compute
