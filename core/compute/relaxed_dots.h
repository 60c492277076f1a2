// Int8 layers on WebAssembly's relaxed dot products: packed weights, quantised rows and their product.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "compute/host.h"

namespace bert::compute {

/// The weights of one int8 layer, and what is done with them. Only relaxed builds have it (`available`).
///
/// Rows are quantised asymmetrically to 7 bits, 0..127, in groups of kGroup inputs with a step and a zero
/// each; an output is the sum over the groups of step * sum((input - zero) * weight), times the scale of its
/// weights, plus its bias. The sums of a group are whole numbers and exact; the groups are added in order in
/// f32, multiplied and added one after the other, so that every machine gives the same bits.
class RelaxedDots {
 public:
  static constexpr std::size_t kGroup = 64;  ///< inputs with one step and one zero
  static constexpr std::size_t kPanel = 8;   ///< outputs that are packed together
  static constexpr std::size_t kSteps = 127;

  /// Whether this build has relaxed SIMD; where it has not, nothing else here may be called.
  static bool available();

  /// Memory for the panels of `rows`; pack() fills them. Errors: kOutOfMemory.
  static Expected<RelaxedDots> make(const LinearRows& rows);
  std::size_t count() const { return (outputs_ + kPanel - 1) / kPanel; }
  /// Packs panel `index` of the rows that the panels were made for; several threads may pack at once.
  /// Errors: kInvalidModel for a scale that is not a positive, normal number.
  Status pack(const LinearRows& rows, std::size_t index);

  std::size_t outputs() const { return outputs_; }
  std::size_t owned_bytes() const {
    return packed_.size() + roomy_.size() + (bias_.size() + scales_.size()) * sizeof(float);
  }

  /// Bytes of a quantised row.
  std::size_t row_bytes() const { return groups() * sizeof(Group); }
  /// Quantises a row of inputs to `target`, aligned to 4 bytes.
  void quantise(const float* row, std::byte* target) const;
  /// Outputs [first, first + columns) of `rows` quantised rows; `first` begins a panel. `output` is where the
  /// first of them goes, `stride` the floats from one row of outputs to the next.
  void product(const std::byte* input, std::size_t rows, std::size_t first, std::size_t columns,
               float* output, std::size_t stride) const;

 private:
  /// A group of a row. Inputs behind a row's last are 0, as their weights are.
  struct Group {
    float step;
    std::int16_t minus_zero;
    std::int16_t nothing;  ///< 0: sums of weights are multiplied by both, their upper halves by this one
    std::uint8_t inputs[kGroup];
  };
  /// A group of a panel: sums of the weights, which 16 bits hold, then weights by fours of inputs.
  struct PanelGroup {
    std::int32_t sums[kPanel];
    std::int8_t weights[kGroup / 4][kPanel][4];
  };
  /// What a tile of outputs is made of besides its rows.
  struct Panel {
    const PanelGroup* groups;
    const std::uint8_t* roomy;  ///< [groups], only where `saturating`
    std::size_t count;          ///< of groups
    std::size_t last_quads;     ///< fours of inputs in the last group
    const float* scales;
    const float* bias;
  };
  template <std::size_t rows, bool saturating>
  static void tile(const Group* input, const Panel& panel, float* output, std::size_t stride);
  static bool has_room(const PanelGroup& group);

  std::size_t groups() const { return (inputs_ + kGroup - 1) / kGroup; }
  PanelGroup* panel(std::size_t index) const {
    return reinterpret_cast<PanelGroup*>(packed_.data()) + index * groups();
  }

  std::size_t inputs_ = 0, outputs_ = 0;
  AlignedBytes packed_;               // [panel][group]
  std::vector<std::uint8_t> roomy_;   // [panel][group], see has_room; empty on machines that do not ask
  std::vector<float> scales_, bias_;  // [panels * kPanel]
};

}  // namespace bert::compute
