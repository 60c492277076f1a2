// Int8 layers packed for Kernels::product_bytes.
#pragma once

#include <vector>

#include "compute/host.h"
#include "compute/kernels.h"

namespace bert::compute {

/// The weights of one int8 layer, for processors that multiply four pairs of bytes and add them to a sum of
/// 32 bits (VNNI).
///
/// Rows are quantised asymmetrically to 8 bits, 0..255, with a step and a zero of their own; an output is
/// step * sum((input - zero) * weight), times the scale of its weights, plus its bias. Sums are whole numbers
/// and exact, to 66,000 inputs.
class ByteDots {
 public:
  static constexpr std::size_t kSteps = 255;

  /// Memory for the panels of `rows`; pack() fills them. Errors: kOutOfMemory.
  static Expected<ByteDots> make(const LinearRows& rows);
  std::size_t count() const { return (outputs_ + kBytePanel - 1) / kBytePanel; }
  /// Packs panel `index` of the rows that the panels were made for; several threads may pack at once.
  /// Errors: kInvalidModel for a scale that is not a positive, normal number; kOutOfMemory.
  Status pack(const LinearRows& rows, std::size_t index);

  std::size_t outputs() const { return outputs_; }
  std::size_t fours() const { return (inputs_ + 3) / 4; }
  std::size_t owned_bytes() const;

  /// What a product with outputs [first, first + columns) reads of the weights; `first` begins a panel.
  ByteProduct product(std::size_t first, std::size_t columns) const;

 private:
  std::size_t inputs_ = 0, outputs_ = 0;
  AlignedBytes packed_;               // [panel][four][kBytePanel][4]
  std::vector<std::int32_t> sums_;    // [panels * kBytePanel]
  std::vector<float> scales_, bias_;  // [panels * kBytePanel]
};

}  // namespace bert::compute
