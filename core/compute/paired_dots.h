// Int8 layers packed for Kernels::product_paired.
#pragma once

#include <vector>

#include "compute/host.h"
#include "compute/kernels.h"

namespace bert::compute {

/// The weights of one int8 layer.
///
/// Rows are quantised as in RelaxedDots: asymmetrically to 7 bits, 0..127, in groups of kPairedGroup inputs
/// with a step and a zero each; an output is the sum over the groups of step * sum((input - zero) * weight),
/// times the scale of its weights, plus its bias. The sums of a group are whole numbers and exact. How much
/// this rounding costs stands in relaxed_dots.cpp.
///
/// AVX2 sums two products of bytes into 16 bits, where two such sums have room for each other as long as the
/// four weights of one sign make 258 at most. They nearly always do; where they do not, two of them go into
/// an extra entry of their own.
class PairedDots {
 public:
  static constexpr std::size_t kSteps = 127;

  /// Memory for the panels of `rows`; pack() fills them. Errors: kOutOfMemory.
  static Expected<PairedDots> make(const LinearRows& rows);
  std::size_t count() const { return (outputs_ + kPairedPanel - 1) / kPairedPanel; }
  /// Packs panel `index` of the rows that the panels were made for; several threads may pack at once.
  /// Errors: kInvalidModel for a scale that is not a positive, normal number; kOutOfMemory.
  Status pack(const LinearRows& rows, std::size_t index);

  std::size_t outputs() const { return outputs_; }
  std::size_t groups() const { return (inputs_ + kPairedGroup - 1) / kPairedGroup; }
  std::size_t owned_bytes() const;

  /// What a product with outputs [first, first + columns) reads of the weights; `first` begins a panel.
  PairedProduct product(std::size_t first, std::size_t columns) const;

 private:
  std::size_t inputs_ = 0, outputs_ = 0;
  AlignedBytes packed_;               // PairedWeights [panel][group]
  std::vector<AlignedBytes> extras_;  // [panel], PairedExtra, each with one of no group at its end
  std::vector<const PairedExtra*> extra_starts_;  // [panel]
  std::vector<float> scales_, bias_;              // [panels * kPairedPanel]
};

}  // namespace bert::compute
