// Linear layers packed for the products of panels that are ours (kernels.h).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compute/host.h"
#include "compute/kernels.h"

namespace bert::compute {

/// The panels of one layer: f32, f16 or int8 by its precision.
class Panels {
 public:
  /// Memory for the panels of `rows`, of `width` columns each (Kernels::panel); pack() fills them.
  /// Errors: kOutOfMemory.
  static Expected<Panels> make(const LinearRows& rows, Precision precision, std::size_t width);

  std::size_t count() const { return (outputs_ + width_ - 1) / width_; }
  /// Packs panel `index` of the rows that the panels were made for. Panels may be packed by several threads
  /// at once. Errors: kInvalidModel for a scale that is not a positive, normal number, or a weight that f16
  /// cannot hold; kOutOfMemory.
  Status pack(const LinearRows& rows, std::size_t index);

  std::size_t owned_bytes() const { return packed_.size() + (bias_.size() + scales_.size()) * sizeof(float); }
  Precision precision() const { return precision_; }
  std::size_t outputs() const { return outputs_; }

  // What a product with outputs from `first` on, which begin a panel, reads of the weights.
  PanelProduct floats(std::size_t first, std::size_t columns) const;
  Int8Product integers(std::size_t first, std::size_t columns) const;

 private:
  std::byte* panel(std::size_t first) const { return packed_.data() + first * bytes_each_; }

  std::size_t inputs_ = 0, outputs_ = 0, width_ = 0;
  std::size_t bytes_each_ = 0;  // of one output
  Precision precision_ = Precision::kF32;
  AlignedBytes packed_;
  std::vector<float> bias_, scales_;  // [outputs], scales of int8 alone
};

}  // namespace bert::compute
