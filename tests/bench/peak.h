// How fast one core of this machine multiplies and adds at most: what the engine's speed is a share of.
#pragma once

namespace bert_bench {

/// Billions of operations a second of processor time, a multiplication and an addition counting as two; 0
/// where this is not measured (all but x86-64 with AVX2).
struct Peak {
  double f32;
  /// int8 products summed into int32 without overflow: by one instruction where there is one, else widened to
  /// int16.
  double int8;
};

/// Measures for some hundredths of a second.
Peak measure_peak();

}  // namespace bert_bench
