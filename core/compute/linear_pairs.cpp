// Int8 layers for AVX2, which sums two products of bytes into 16 bits.
#include <algorithm>
#include <cstring>
#include <vector>

#include "compute/linear.h"

namespace bert::compute {

namespace {

/// Rows are quantised as by RelaxedLinear: asymmetrically to 7 bits, 0..127, in groups of kPairedGroup inputs
/// with a step and a zero each; an output is the sum over the groups of step * sum((input - zero) * weight),
/// times the scale of its weights, plus its bias. The sums of a group are whole numbers and exact. How much
/// this rounding costs stands in linear_relaxed.cpp.
///
/// Two sums of 16 bits have room for each other as long as the four weights of one sign make 258 at most.
/// They nearly always do; where they do not, two of them go into an extra entry of their own.
class PairedLinear : public PackedLinear {
 public:
  explicit PairedLinear(const LinearRows& rows) : PackedLinear(rows), bias_(rows.bias()) {}
  std::size_t owned_bytes() const override;
  Status run(const LinearCall& call, Workspace& space) const override;
  Status pack(const LinearRows& rows, const Threads& threads);

 private:
  Status pack_panel(const LinearRows& rows, std::size_t index);
  std::size_t panels() const { return (outputs() + kPairedPanel - 1) / kPairedPanel; }
  std::size_t groups() const { return (inputs() + kPairedGroup - 1) / kPairedGroup; }

  AlignedBytes packed_;               // PairedWeights [panel][group]
  std::vector<AlignedBytes> extras_;  // [panel], PairedExtra, each with one of no group at its end
  std::vector<const PairedExtra*> extra_starts_;  // [panel]
  std::vector<float> scales_, bias_;              // [panels * kPairedPanel]
};

/// Whether the products of eight neighbouring inputs, 0..127 each, may be added in 16 bits as
/// Kernels::product_paired does it: the first two of each four with each other, and the last two.
bool fits(const std::int8_t* weights) {
  constexpr int kMost = 32767 / static_cast<int>(kPairedSteps);
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

Status PairedLinear::pack(const LinearRows& rows, const Threads& threads) {
  const std::size_t size = panels() * groups() * sizeof(PairedWeights);
  packed_ = AlignedBytes(size);
  if (!packed_.ok()) return out_of_memory("a linear layer", size);
  extras_.resize(panels());
  extra_starts_.resize(panels());
  bias_.resize(panels() * kPairedPanel);
  scales_.resize(panels() * kPairedPanel);
  return pack_all(threads, panels(), [&](std::size_t index) { return pack_panel(rows, index); });
}

Status PairedLinear::pack_panel(const LinearRows& rows, std::size_t index) {
  auto* const target = reinterpret_cast<PairedWeights*>(packed_.data()) + index * groups();
  std::memset(static_cast<void*>(target), 0, groups() * sizeof(PairedWeights));
  const std::size_t first = index * kPairedPanel;
  const std::size_t columns = std::min(kPairedPanel, outputs() - first);
  const std::size_t padded = groups() * kPairedGroup;
  const bool in_place = rows.in_place(WeightType::kInt8);
  const AlignedBytes memory(columns * padded + (in_place ? 0 : inputs()));
  if (!memory.ok()) return out_of_memory("packing a linear layer", memory.size());
  auto* const integers = reinterpret_cast<std::int8_t*>(memory.data());  // zeros behind each row
  std::int8_t* const scratch = in_place ? nullptr : integers + columns * padded;
  std::memset(integers, 0, columns * padded);
  for (std::size_t o = 0; o < columns; ++o) {
    float& scale = scales_[first + o];
    const std::int8_t* const row = rows.integers(first + o, scratch, &scale);
    if (const Status done = check_scale(scale); !done) return done;
    std::memcpy(integers + o * padded, row, inputs());
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

std::size_t PairedLinear::owned_bytes() const {
  std::size_t bytes = packed_.size() + (bias_.size() + scales_.size()) * sizeof(float);
  for (const AlignedBytes& extras : extras_) bytes += extras.size();
  return bytes;
}

Status PairedLinear::run(const LinearCall& call, Workspace& space) const {
  const std::size_t size = call.rows * groups() * sizeof(PairedInputs);
  if (const Status done = reserve(space.quantised, size); !done) return done;
  auto* const quantised = reinterpret_cast<PairedInputs*>(space.quantised.data());
  space.threads.in_parallel(call.rows, 16, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t r = begin; r < end; ++r)
      space.kernels.quantise_paired(row_of(call.input, r), inputs(), quantised + r * groups());
  });
  for_each_piece(space, call.rows, [&](const Piece& piece, std::size_t) {
    PairedProduct product{};
    const std::size_t panel = piece.first / kPairedPanel;
    product.panels = reinterpret_cast<const PairedWeights*>(packed_.data()) + panel * groups();
    product.extras = extra_starts_.data() + panel;
    product.scales = scales_.data() + piece.first;
    product.bias = bias_.data() + piece.first;
    product.groups = groups();
    product.last_eights = (inputs() - (groups() - 1) * kPairedGroup + 7) / 8;
    product.columns = piece.columns;
    product.input = quantised + piece.begin * groups();
    set_output(product, call, piece);
    space.kernels.product_paired(product);
  });
  return {};
}

}  // namespace

Expected<std::unique_ptr<Linear>> make_paired_linear(const LinearRows& rows, const Threads& threads) {
  auto linear = std::make_unique<PairedLinear>(rows);
  if (const Status done = linear->pack(rows, threads); !done) return tl::unexpected(done.error());
  return linear;
}

}  // namespace bert::compute
