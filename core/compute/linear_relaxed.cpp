// The int8 product of relaxed SIMD. Its instruction multiplies int8 by numbers that must stay within 0..127
// and is then exact on every machine; the inputs are those numbers. Seven bits for a whole row lose twice as
// much as XNNPACK's eight; a step and a zero for every 64 inputs win most of that back, and more where single
// inputs are far larger than their neighbours. Fifty sentences through the default model by plain loops, the
// inputs of its int8 layers rounded in each way, against its f32 arithmetic (last hidden states, and the most
// probable word at each of 1285 masked positions):
//
//   inputs of                         smallest, mean cosine     same word
//   8 bits, a row (XNNPACK's way)     0.99985   0.999954        99.1 %
//   7 bits, a row                     0.99936   0.999817        98.4 %
//   7 bits, 128 inputs                0.99964   0.999881        98.4 %
//   7 bits, 64 inputs (here)          0.99971   0.999916        99.0 %
//   8 bits, a row, weights of 7       0.99951   0.999810        97.4 %
#if defined(__wasm_relaxed_simd__)
#include <wasm_simd128.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "compute/linear.h"
#include "compute/machine.h"

namespace bert::compute {

namespace {

constexpr std::size_t kGroup = 64;  // inputs with one step and one zero
constexpr std::size_t kPanel = 8;   // outputs that are packed together

/// Rows are quantised asymmetrically to 7 bits, 0..127, in groups of kGroup inputs with a step and a zero
/// each; an output is the sum over the groups of step * sum((input - zero) * weight), times the scale of its
/// weights, plus its bias. The sums of a group are whole numbers and exact; the groups are added in order in
/// f32, multiplied and added one after the other, so that every machine gives the same bits.
class RelaxedLinear : public PackedLinear {
 public:
  explicit RelaxedLinear(const LinearRows& rows) : PackedLinear(rows), bias_(rows.bias()) {}
  std::size_t owned_bytes() const override {
    return packed_.size() + roomy_.size() + (bias_.size() + scales_.size()) * sizeof(float);
  }
  Status run(const LinearCall& call, Workspace& space) const override;
  Status pack(const LinearRows& rows, const Threads& threads);

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
  template <std::size_t rows, bool saturating, bool touches>
  static void tile(const Group* input, const Panel& panel, float* output, std::size_t stride,
                   const std::byte*& ahead);
  static bool has_room(const PanelGroup& group);

  Status pack_panel(const LinearRows& rows, std::size_t index);
  /// Quantises a row of inputs.
  void quantise(const float* row, Group* group) const;
  /// Outputs [first, first + columns) of `rows` quantised rows; `first` begins a panel. `output` is where the
  /// first of them goes, `stride` the floats from one row of outputs to the next.
  void product(const Group* input, std::size_t rows, std::size_t first, std::size_t columns, float* output,
               std::size_t stride) const;

  std::size_t panels() const { return (outputs() + kPanel - 1) / kPanel; }
  std::size_t groups() const { return (inputs() + kGroup - 1) / kGroup; }
  PanelGroup* panel(std::size_t index) const {
    return reinterpret_cast<PanelGroup*>(packed_.data()) + index * groups();
  }

  AlignedBytes packed_;               // [panel][group]
  std::vector<std::uint8_t> roomy_;   // [panel][group], see has_room; empty on machines that do not ask
  std::vector<float> scales_, bias_;  // [panels * kPanel]
};

/// Whether relaxed dot products saturate sums of two products that the rules do not cover: then this machine
/// makes them of pmaddubsw, and two instructions of its own do what it would need four for.
bool find_saturating() {
  volatile std::int8_t large = 127, beyond = -1;  // as an unsigned number 255
  const v128_t sums = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(wasm_i8x16_splat(large),
                                                             wasm_i8x16_splat(beyond), wasm_i32x4_splat(0));
  return wasm_i32x4_extract_lane(sums, 0) == 2 * 32767;
}

bool saturating() {
  static const bool found = find_saturating();
  return found;
}

Status RelaxedLinear::pack(const LinearRows& rows, const Threads& threads) {
  const std::size_t size = panels() * groups() * sizeof(PanelGroup);
  packed_ = AlignedBytes(size);
  if (!packed_.ok()) return out_of_memory("a linear layer", size);
  bias_.resize(panels() * kPanel);
  scales_.resize(panels() * kPanel);
  if (saturating()) roomy_.resize(panels() * groups());
  return pack_all(threads, panels(), [&](std::size_t index) { return pack_panel(rows, index); });
}

Status RelaxedLinear::pack_panel(const LinearRows& rows, std::size_t index) {
  PanelGroup* const target = panel(index);
  std::memset(static_cast<void*>(target), 0, groups() * sizeof(PanelGroup));
  const AlignedBytes scratch(rows.in_place(WeightType::kInt8) ? 0 : inputs());
  if (!scratch.ok()) return out_of_memory("packing a linear layer", inputs());
  for (std::size_t o = 0; o < kPanel && index * kPanel + o < outputs(); ++o) {
    float& scale = scales_[index * kPanel + o];
    const std::int8_t* const row =
        rows.integers(index * kPanel + o, reinterpret_cast<std::int8_t*>(scratch.data()), &scale);
    if (const Status done = check_scale(scale); !done) return done;
    PanelGroup* group = target;
    for (std::size_t begin = 0; begin < inputs(); begin += kGroup, ++group) {
      const std::size_t count = std::min(kGroup, inputs() - begin);
      for (std::size_t i = 0; i + 4 <= count; i += 4)
        std::memcpy(group->weights[i / 4][o], row + begin + i, 4);
      for (std::size_t i = count / 4 * 4; i < count; ++i) group->weights[i / 4][o][i % 4] = row[begin + i];
      for (std::size_t i = 0; i < count; ++i) group->sums[o] += row[begin + i];
    }
  }
  if (!roomy_.empty())
    for (std::size_t g = 0; g < groups(); ++g) roomy_[index * groups() + g] = has_room(target[g]) ? 1 : 0;
  return {};
}

float largest_of(v128_t values) {
  const v128_t two = wasm_f32x4_max(values, wasm_i32x4_shuffle(values, values, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(wasm_f32x4_max(two, wasm_i32x4_shuffle(two, two, 1, 0, 3, 2)), 0);
}

void RelaxedLinear::quantise(const float* row, Group* group) const {
  for (std::size_t begin = 0; begin < inputs(); begin += kGroup, ++group, row += kGroup) {
    float part[kGroup];
    const float* values = row;
    if (inputs() - begin < kGroup) {
      std::memset(part, 0, sizeof(part));
      std::memcpy(part, row, (inputs() - begin) * sizeof(float));
      values = part;
    }
    v128_t low = wasm_f32x4_splat(0), high = low;
    v128_t odd = low;  // x - x is not 0 where x is not finite: all of such a row becomes NaN
    for (std::size_t i = 0; i < kGroup; i += 4) {
      const v128_t x = wasm_v128_load(values + i);
      low = wasm_f32x4_pmin(low, x);
      high = wasm_f32x4_pmax(high, x);
      odd = wasm_f32x4_add(odd, wasm_f32x4_sub(x, x));
    }
    const float least = -largest_of(wasm_f32x4_neg(low));
    float step = (largest_of(high) - least) / static_cast<float>(kRelaxedSteps) + largest_of(odd);
    constexpr float kLeastNormal = 0x1p-126F;
    if (step < kLeastNormal) step = 1;  // zeros, or as good as zeros
    const float zero = step == step ? __builtin_nearbyintf(-least / step) : 0;
    group->step = step;
    group->minus_zero = static_cast<std::int16_t>(-static_cast<std::int32_t>(zero));
    group->nothing = 0;
    // adding 1.5 * 2^23 rounds to an integer, in the low bits
    constexpr float kRound = 12582912.0F;
    const v128_t factor = wasm_f32x4_splat(1 / step), offset = wasm_f32x4_splat(kRound + zero);
    for (std::size_t i = 0; i < kGroup; i += 16) {
      v128_t whole[4];
      for (std::size_t j = 0; j < 4; ++j) {
        const v128_t x = wasm_f32x4_mul(wasm_v128_load(values + i + 4 * j), factor);
        whole[j] = wasm_i32x4_sub(wasm_f32x4_add(x, offset), wasm_f32x4_splat(kRound));
      }
      const v128_t bytes = wasm_u8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(whole[0], whole[1]),
                                                   wasm_i16x8_narrow_i32x4(whole[2], whole[3]));
      wasm_v128_store(group->inputs + i, wasm_u8x16_min(bytes, wasm_u8x16_splat(kRelaxedSteps)));
    }
  }
}

/// Whether sums of two products of bytes have room in 16 bits for each other, throughout a group: those of
/// two neighbouring fours of inputs, which are 127 at most each.
bool RelaxedLinear::has_room(const PanelGroup& group) {
  const v128_t zero = wasm_i32x4_splat(0), ones = wasm_i8x16_splat(1);
  v128_t most = zero, least = zero;  // of the four weights of one sign, by which such sums are bounded
  for (std::size_t i = 0; i < kGroup / 4; i += 2) {
    for (std::size_t o = 0; o < kPanel; o += 4) {
      v128_t positive = zero, negative = zero;
      for (std::size_t j = 0; j < 2; ++j) {
        const v128_t weights = wasm_v128_load(group.weights[i + j][o]);
        positive =
            wasm_i16x8_add(positive, wasm_i16x8_relaxed_dot_i8x16_i7x16(wasm_i8x16_max(weights, zero), ones));
        negative =
            wasm_i16x8_add(negative, wasm_i16x8_relaxed_dot_i8x16_i7x16(wasm_i8x16_min(weights, zero), ones));
      }
      most = wasm_i16x8_max(most, positive);
      least = wasm_i16x8_min(least, negative);
    }
  }
  constexpr std::int16_t kRoom = 32767 / static_cast<int>(kRelaxedSteps);
  const v128_t full = wasm_v128_or(wasm_i16x8_gt(most, wasm_i16x8_splat(kRoom)),
                                   wasm_i16x8_lt(least, wasm_i16x8_splat(-kRoom)));
  return !wasm_v128_any_true(full);
}

/// For each four of inputs a tile reads a byte of the panel after its own, so many bytes behind the one
/// before: it is on its way from memory meanwhile, and all of it after three tiles.
constexpr std::size_t kTouch = 12;

inline void touch(const std::byte*& at, std::size_t fours) {
  (void)*static_cast<const volatile std::byte*>(at);
  at += kTouch * fours;
}

/// The outputs of `rows` rows, which follow each other from `input` on, and one panel, [rows][kPanel]. With
/// `touches` reads from `ahead` on, and leaves there where it came to.
template <std::size_t rows, bool saturating, bool touches>
void RelaxedLinear::tile(const Group* input, const Panel& panel, float* output, std::size_t stride,
                         const std::byte*& ahead) {
  constexpr std::size_t kVectors = kPanel / 4;
  const std::size_t groups = panel.count;
  const std::byte* touched = ahead;
  const v128_t ones = wasm_i16x8_splat(1);
  // sums of groups stand in the output until the last: there are no registers for both
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t j = 0; j < kVectors; ++j)
      wasm_v128_store(output + r * stride + 4 * j, wasm_f32x4_splat(0));
  for (std::size_t g = 0; g < groups; ++g, ++input) {
    const PanelGroup& group = panel.groups[g];
    v128_t part[rows][kVectors];
    for (std::size_t r = 0; r < rows; ++r) {
      const v128_t minus_zero = wasm_v128_load32_splat(&input[r * groups].minus_zero);
      for (std::size_t j = 0; j < kVectors; ++j)
        part[r][j] = wasm_i32x4_dot_i16x8(wasm_v128_load(group.sums + 4 * j), minus_zero);
    }
    const std::uint8_t* inputs = input->inputs;
    const std::int8_t(*weights)[kPanel][4] = group.weights;
    const std::size_t row = groups * sizeof(Group);  // bytes from one row's inputs to the next one's
    const std::uint8_t* const end = inputs + (g + 1 < groups ? kGroup : 4 * panel.last_quads);
    if (saturating && panel.roomy[g] != 0) {
      // two fours at a time; behind the last of them is another, of zeros, if their number is odd
#pragma clang loop unroll(disable)
      do {
        v128_t fours[2][kVectors];
        for (std::size_t i = 0; i < 2; ++i)
          for (std::size_t j = 0; j < kVectors; ++j) fours[i][j] = wasm_v128_load(weights[i][4 * j]);
        if (touches) touch(touched, 2);
        for (std::size_t r = 0; r < rows; ++r) {
          const v128_t first = wasm_v128_load32_splat(inputs + r * row);
          const v128_t second = wasm_v128_load32_splat(inputs + r * row + 4);
          for (std::size_t j = 0; j < kVectors; ++j) {
            const v128_t pairs = wasm_i16x8_add(wasm_i16x8_relaxed_dot_i8x16_i7x16(fours[0][j], first),
                                                wasm_i16x8_relaxed_dot_i8x16_i7x16(fours[1][j], second));
            part[r][j] = wasm_i32x4_add(part[r][j], wasm_i32x4_dot_i16x8(pairs, ones));
          }
          asm volatile("" ::: "memory");  // the next row's inputs are loaded when these have been used
        }
        inputs += 8;
        weights += 2;
      } while (inputs < end);
    } else {
      // unrolled, all loads would stand before all sums, in more registers than there are
#pragma clang loop unroll(disable)
      do {
        v128_t four[kVectors];
        for (std::size_t j = 0; j < kVectors; ++j) four[j] = wasm_v128_load((*weights)[4 * j]);
        if (touches) touch(touched, 1);
        for (std::size_t r = 0; r < rows; ++r) {
          const v128_t factor = wasm_v128_load32_splat(inputs + r * row);
          for (std::size_t j = 0; j < kVectors; ++j) {
            if constexpr (saturating) {
              const v128_t pairs = wasm_i16x8_relaxed_dot_i8x16_i7x16(four[j], factor);
              part[r][j] = wasm_i32x4_add(part[r][j], wasm_i32x4_dot_i16x8(pairs, ones));
            } else {
              part[r][j] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(four[j], factor, part[r][j]);
            }
          }
          asm volatile("" ::: "memory");  // the next row's inputs are loaded when these have been used
        }
        ++weights;
        inputs += 4;
      } while (inputs != end);
    }
    // from the last to the first: V8 orders what a loop multiplies the other way round than what uses it
    // behind the loop, and so uses up a row's inputs before it loads the next
    for (std::size_t r = rows; r-- > 0;) {
      const v128_t step = wasm_v128_load32_splat(&input[r * groups].step);
      for (std::size_t j = kVectors; j-- > 0;) {
        float* const target = output + r * stride + 4 * j;
        const v128_t more = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(part[r][j]), step);
        wasm_v128_store(target, wasm_f32x4_add(wasm_v128_load(target), more));
      }
    }
  }
  if (touches) ahead = touched;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t j = 0; j < kVectors; ++j) {
      float* const target = output + r * stride + 4 * j;
      const v128_t scaled = wasm_f32x4_mul(wasm_v128_load(target), wasm_v128_load(panel.scales + 4 * j));
      wasm_v128_store(target, wasm_f32x4_add(scaled, wasm_v128_load(panel.bias + 4 * j)));
    }
}

void RelaxedLinear::product(const Group* input, std::size_t rows, std::size_t first, std::size_t columns,
                            float* output, std::size_t stride) const {
  using Tile = void (*)(const Group*, const Panel&, float*, std::size_t, const std::byte*&);
  // rows of a tile: as many as the registers hold, and sums that do not wait for each other
  constexpr std::size_t kMost = 6, kMostSaturating = 4;
  constexpr Tile kTiles[kMost] = {tile<1, false, true>, tile<2, false, true>, tile<3, false, true>,
                                  tile<4, false, true>, tile<5, false, true>, tile<6, false, true>};
  constexpr Tile kSaturating[kMostSaturating] = {tile<1, true, true>, tile<2, true, true>,
                                                 tile<3, true, true>, tile<4, true, true>};
  // where nothing is left to touch; a tile of fewer rows is alone or the last, and touches its own panel
  constexpr std::size_t kLeast = 4;
  constexpr Tile kOthers[] = {tile<4, false, false>, tile<5, false, false>, tile<6, false, false>};
  constexpr Tile kSaturatingOthers[] = {tile<4, true, false>};
  const auto run = [&](std::size_t height, bool touches) {
    if (touches || height < kLeast) return saturating() ? kSaturating[height - 1] : kTiles[height - 1];
    return saturating() ? kSaturatingOthers[height - kLeast] : kOthers[height - kLeast];
  };
  const std::size_t most = saturating() ? kMostSaturating : kMost;
  const std::size_t tiles = (rows + most - 1) / most;
  Panel panel{};
  panel.count = groups();
  panel.last_quads = (inputs() - (groups() - 1) * kGroup + 3) / 4;
  for (std::size_t column = 0; column < columns; column += kPanel) {
    const std::size_t some = std::min(kPanel, columns - column);
    const std::size_t index = (first + column) / kPanel;
    panel.groups = this->panel(index);
    panel.roomy = roomy_.empty() ? nullptr : roomy_.data() + index * groups();
    panel.scales = scales_.data() + first + column;
    panel.bias = bias_.data() + first + column;
    // behind the last panel lies what is computed next, if anything does
    const auto* ahead = reinterpret_cast<const std::byte*>(panel.groups + groups());
    const std::byte* end = ahead + groups() * sizeof(PanelGroup);
    if (!is_memory(end + kTouch * (kGroup / 4 + 2) * groups())) end = ahead;
    for (std::size_t number = 0, row = 0; number < tiles; ++number) {
      const std::size_t height = rows / tiles + (number < rows % tiles ? 1 : 0);
      const auto* const tile_rows = input + row * groups();
      float* const target = output + row * stride + column;
      row += height;
      if (ahead >= end) ahead = end = reinterpret_cast<const std::byte*>(panel.groups);
      if (some == kPanel) {
        run(height, ahead < end)(tile_rows, panel, target, stride, ahead);
        continue;
      }
      // the last panel has places that the output has not
      float part[kMost * kPanel];
      run(height, ahead < end)(tile_rows, panel, part, kPanel, ahead);
      for (std::size_t r = 0; r < height; ++r)
        std::memcpy(target + r * stride, part + r * kPanel, some * sizeof(float));
    }
  }
}

Status RelaxedLinear::run(const LinearCall& call, Workspace& space) const {
  if (const Status done = reserve(space.quantised, call.rows * groups() * sizeof(Group)); !done) return done;
  auto* const quantised = reinterpret_cast<Group*>(space.quantised.data());
  space.threads.in_parallel(call.rows, 16, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t r = begin; r < end; ++r) quantise(row_of(call.input, r), quantised + r * groups());
  });
  for_each_piece(space, call.rows, [&](const Piece& piece, std::size_t) {
    float* const target = row_of(call.output, piece.begin) + piece.first;
    const std::size_t count = piece.end - piece.begin;
    product(quantised + piece.begin * groups(), count, piece.first, piece.columns, target,
            call.output.stride);
    space.kernels.activate(call.activation, target, call.output.stride, count, piece.columns);
  });
  return {};
}

}  // namespace

Expected<std::unique_ptr<Linear>> make_relaxed_linear(const LinearRows& rows, const Threads& threads) {
  auto linear = std::make_unique<RelaxedLinear>(rows);
  if (const Status done = linear->pack(rows, threads); !done) return tl::unexpected(done.error());
  return linear;
}

}  // namespace bert::compute

#endif
