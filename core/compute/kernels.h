// The inner loops that are ours: activations, layer norm, attention, dot products with table rows, products
// with f16 weights. Written once in simd_kernels.inl with vector types and compiled for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bert/backend.h"

namespace bert::compute {

/// Rows of attention scores are padded to this many floats, the widest vector.
inline constexpr std::size_t kPadding = 16;
/// Floats that a buffer has behind its last one, which kernels (ours and XNNPACK's) may read.
inline constexpr std::size_t kBufferPadding = 32;

/// One head of one sequence. All strides in floats. See AttentionCall for what is computed.
struct AttentionHead {
  const float* query;
  const float* key;
  const float* value;
  float* context;
  std::size_t query_stride, key_stride, value_stride, context_stride;
  std::size_t queries, keys, head_size;
  float scale;
  const std::uint8_t* visible;  ///< [keys] or null
  float* probabilities;         ///< [queries, keys] or null
  float* scores;                ///< [queries, keys] or null
  float* scratch;               ///< attention_scratch(keys, head_size) floats
};

/// Dot products of `rows` rows x (any number) with table rows [first, last): out[r * out_stride + t].
struct TableProduct {
  WeightType type;
  const std::byte* table;   ///< [.., columns], unaligned
  const std::byte* scales;  ///< float per table row, unaligned, for kInt8
  const float* bias;        ///< per table row, or null
  std::size_t columns, first, last;
  const float* input;
  std::size_t input_stride, rows;
  float* output;
  std::size_t output_stride;
};

/// A caller puts a multiple of this many columns into one product of panels: a multiple of every
/// Kernels::panel.
inline constexpr std::size_t kPanelColumns = 64;
inline constexpr std::size_t kPanelScratch = 768 * kPanelColumns;

/// Neighbouring panels of out = activation(in W^T + bias) with weights that are f32 or f16. Packed weights
/// are [panel][input][Kernels::panel], zeros in unused columns.
struct PanelProduct {
  const std::byte* panels;
  const float* bias;  ///< [columns]
  std::size_t inputs;
  std::size_t columns;  ///< of all the panels together
  const float* input;
  std::size_t input_stride, rows;
  float* output;  ///< first column of the first panel
  std::size_t output_stride;
  Activation activation;
  float* scratch;  ///< kPanelScratch floats, for f16
};

/// The same with int8 weights, [panel][pair of inputs][Kernels::panel][2], zeros in unused places, and rows
/// that Kernels::quantise made. Sums are exact: to 66,000 inputs.
struct Int8Product {
  const std::byte* panels;
  const float* scales;  ///< [columns], of the weights
  const float* bias;    ///< [columns]
  std::size_t pairs, columns;
  const std::int16_t* input;
  const float* input_scales;  ///< [rows]
  std::size_t input_stride, rows;
  float* output;
  std::size_t output_stride;
  Activation activation;
};

/// Inputs with one step and one zero, and outputs that are packed together, in products of pairs: see
/// linear_pairs.cpp.
inline constexpr std::size_t kPairedGroup = 64;
inline constexpr std::size_t kPairedPanel = 16;

/// A group of a quantised row. Inputs behind the row's last have any value: their weights are 0.
struct PairedInputs {
  float step;
  std::int16_t minus_zero;
  std::int16_t nothing;  ///< 0: what is multiplied is both
  std::uint8_t values[kPairedGroup];
};
/// A group of a panel: sums of all weights, and the weights by eights of inputs.
struct alignas(64) PairedWeights {
  std::int32_t sums[kPairedPanel];
  std::int8_t weights[kPairedGroup / 8][2][kPairedPanel][4];
};
/// Weights of four inputs, from number `place` of group `group` on, that have no room among the others.
struct alignas(32) PairedExtra {
  std::int8_t weights[kPairedPanel][4];
  std::uint32_t group, place;
};

/// Neighbouring panels of out = activation(in W^T + bias) with int8 weights and rows that
/// Kernels::quantise_paired made.
struct PairedProduct {
  const PairedWeights* panels;       ///< [panel][groups]
  const PairedExtra* const* extras;  ///< [panel], by rising groups, the last one's group is `groups`
  const float* scales;               ///< [panels * kPairedPanel], of the weights
  const float* bias;                 ///< [panels * kPairedPanel]
  std::size_t groups;
  std::size_t last_eights;  ///< eights of inputs in the last group
  std::size_t columns;
  const PairedInputs* input;  ///< [rows][groups]
  std::size_t rows;
  float* output;
  std::size_t output_stride;
  Activation activation;
};

/// Outputs that are packed together in products of bytes: see linear_bytes.cpp.
inline constexpr std::size_t kBytePanel = 64;

/// Neighbouring panels of out = activation(in W^T + bias) with int8 weights and rows that
/// Kernels::quantise_bytes made.
struct ByteProduct {
  const std::int8_t* panels;  ///< [panel][fours][kBytePanel][4], zeros in unused places
  const std::int32_t* sums;   ///< [panels * kBytePanel], of a column's weights
  const float* scales;        ///< [panels * kBytePanel], of the weights
  const float* bias;          ///< [panels * kBytePanel]
  std::size_t fours, columns;
  const std::uint8_t* input;  ///< what lies behind a row's last input, up to three, may have any value
  std::size_t input_stride;   ///< bytes
  const float* steps;         ///< [rows]
  const std::int32_t* zeros;  ///< [rows]
  std::size_t rows;
  float* output;
  std::size_t output_stride;
  Activation activation;
};

/// One instruction set's functions. All are pure: no state, no allocation.
struct Kernels {
  const char* name;
  std::size_t panel;  ///< columns of a panel of packed weights
  /// Most rows and columns of one product of panels, so that what it reads again and again stays in the
  /// cache.
  std::size_t rows, columns;
  void (*activate)(Activation activation, float* values, std::size_t stride, std::size_t rows,
                   std::size_t columns);
  /// output = norm(input + residual); residual may be null; output may be either.
  void (*normalise)(const float* input, const float* residual, const float* gamma, const float* beta,
                    float epsilon, std::size_t count, float* output);
  void (*attend)(const AttentionHead& head);
  void (*table_product)(const TableProduct& product);
  void (*product_f16)(const PanelProduct& product);
  /// Null where XNNPACK's f32 operators are the better choice.
  void (*product_f32)(const PanelProduct& product);
  /// Null where XNNPACK's int8 operators are.
  void (*product_int8)(const Int8Product& product);
  /// For product_int8, null with it. A row as whole steps of `scale`, which make 255 from its least to its
  /// largest value, zero among them. Writes an even number of values, the last of which may be a zero behind
  /// the row.
  void (*quantise)(const float* row, std::size_t count, std::int16_t* target, float* scale);
  /// Null where product_int8 or XNNPACK's int8 operators are better.
  void (*product_paired)(const PairedProduct& product) = nullptr;
  /// For product_paired, null with it: a row of `count` floats. One with a number that is not finite makes
  /// all its outputs NaN.
  void (*quantise_paired)(const float* row, std::size_t count, PairedInputs* target) = nullptr;
  /// Null where the processor has no instruction for it.
  void (*product_bytes)(const ByteProduct& product) = nullptr;
  /// For product_bytes, null with it: a row of `count` floats as steps of its own, 0..255, among them `zero`
  /// for 0. One with a number that is not finite makes all its outputs NaN.
  void (*quantise_bytes)(const float* row, std::size_t count, std::uint8_t* target, float* step,
                         std::int32_t* zero) = nullptr;
};

/// Floats of scratch that one `attend` needs.
std::size_t attention_scratch(std::size_t keys, std::size_t head_size);

/// The sets compiled in that this machine can run, best first, null at the end.
const Kernels* const* available_kernels();

// One per file kernels_*.cpp; null where the target has no such set.
const Kernels* baseline_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* avx512vnni_kernels();

}  // namespace bert::compute
