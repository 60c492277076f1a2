// What the backends that compute in host memory share: aligned buffers, reading of weights, tables, norms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "bert/backend.h"

namespace bert::compute {

/// Uninitialised memory aligned to 64 bytes or, where it is large, to the machine's large pages; null when
/// there is none.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(std::size_t size);
  AlignedBytes(AlignedBytes&& other) noexcept;
  AlignedBytes& operator=(AlignedBytes&& other) noexcept;
  ~AlignedBytes();

  std::byte* data() const { return data_; }
  float* floats() const { return reinterpret_cast<float*>(data_); }
  std::size_t size() const { return size_; }
  /// False when memory was asked for and there was none.
  bool ok() const { return data_ != nullptr || size_ == 0; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t alignment_ = 64;
};

/// Makes `bytes` as large as `size` at least; what they held is lost when they grow. Errors: kOutOfMemory,
/// and they are empty then.
Status reserve(AlignedBytes& bytes, std::size_t size);

/// The error of an allocation of `bytes` for `what`.
tl::unexpected<Error> out_of_memory(std::string_view what, std::size_t bytes);

std::size_t element_size(WeightType type);
/// Elements [begin, begin + count) of row `row` of `view` as floats.
void read_part(const WeightView& view, std::size_t row, std::size_t begin, std::size_t count, float* target);
/// Row `row` of `view` as floats.
void read_row(const WeightView& view, std::size_t row, float* target);

class HostBuffer : public Buffer {
 public:
  explicit HostBuffer(std::size_t floats);
  std::size_t size() const override { return size_; }
  bool ok() const { return bytes_.ok(); }
  float* data() const { return bytes_.floats(); }

 private:
  std::size_t size_;
  AlignedBytes bytes_;
};

/// First float of row `row`.
inline float* row_of(const Rows& rows, std::size_t row) {
  return static_cast<HostBuffer*>(rows.buffer)->data() + rows.offset + row * rows.stride;
}

class HostTable : public Table {
 public:
  static Expected<std::unique_ptr<Table>> make(const WeightView& source, Precision precision,
                                               TableBytes bytes);
  std::size_t rows() const override { return view_.rows; }
  std::size_t columns() const override { return view_.columns; }
  std::size_t owned_bytes() const override { return owned_.size(); }
  const WeightView& view() const { return view_; }

 private:
  WeightView view_;
  AlignedBytes owned_;
};

class HostVector : public Vector {
 public:
  static Expected<std::unique_ptr<Vector>> make(const WeightView& source);
  std::size_t size() const override { return values_.size(); }
  std::size_t owned_bytes() const override { return values_.size() * sizeof(float); }
  const float* data() const { return values_.data(); }

 private:
  std::vector<float> values_;
};

class HostNorm : public LayerNorm {
 public:
  static Expected<std::unique_ptr<LayerNorm>> make(const WeightView& gamma, const WeightView& beta,
                                                   float epsilon);
  std::size_t size() const override { return gamma_.size(); }
  std::size_t owned_bytes() const override { return 2 * gamma_.size() * sizeof(float); }
  const float* gamma() const { return gamma_.data(); }
  const float* beta() const { return beta_.data(); }
  float epsilon() const { return epsilon_; }

 private:
  std::vector<float> gamma_, beta_;
  float epsilon_ = 0;
};

/// The parts of a linear layer as the rows of one: [outputs, inputs]. Refers to the parts' bytes.
class LinearRows {
 public:
  /// Errors: kInvalidArgument for parts that do not fit each other, kInvalidModel for a scale of int8 weights
  /// that is not a positive, normal number.
  static Expected<LinearRows> make(std::span<const LinearView> parts);
  std::size_t inputs() const { return inputs_; }
  std::size_t outputs() const { return bias_.size(); }
  const std::vector<float>& bias() const { return bias_; }
  /// Row `output` as floats: where it lies, if it is aligned f32, else in `scratch`, which holds [inputs].
  const float* floats(std::size_t output, float* scratch) const;
  /// The row as int8 and its scale: an int8 part keeps its own, of others the largest size becomes 127, and
  /// the scale is to be checked (check_scale). `scratch` holds [inputs]. Allocates nothing.
  const std::int8_t* integers(std::size_t output, std::int8_t* scratch, float* scale) const;
  /// True if every row lies somewhere as `type`, aligned for it, so that no scratch is needed for it.
  bool in_place(WeightType type) const;
  /// Where the rows lie behind each other as `type`, aligned for it; null if they do not.
  const std::byte* together(WeightType type) const;

 private:
  /// The part that row `output` is in; `output` becomes its row there.
  const WeightView& part_of(std::size_t& output) const;

  std::vector<WeightView> parts_;
  std::vector<float> bias_;  // [outputs]
  std::size_t inputs_ = 0;
};

/// kInvalidModel unless a scale of int8 weights is positive and normal.
Status check_scale(float scale);
/// kInvalidModel unless weights of sizes up to `largest` are numbers that f16 can hold.
Status check_half(float largest);

/// A linear layer's rows together, for a library that packs them: f32 weights, or int8 weights with scales.
struct StackedLinear {
  const float* weights = nullptr;  ///< [outputs, inputs]: in `memory`, or where they lay together before
  const std::int8_t* integers = nullptr;
  std::vector<float> scales;  ///< [outputs], with `integers`
  AlignedBytes memory;

  /// Int8 under kInt8, else f32. `rows` must outlive it.
  static Expected<StackedLinear> make(const LinearRows& rows, Precision precision);
};

/// A row as f16. Errors: kInvalidModel for a number that f16 cannot hold, or none.
Status narrow_row(const float* row, std::size_t count, std::uint16_t* target);

// A row is quantised symmetrically to -127..127 by its largest size, in one piece or in several.

/// The largest size among the values and `before`; what is no number is above all that are.
float largest_size(const float* values, std::size_t count, float before);
/// The scale of a row whose values are no larger: 1 for zeros.
float int8_scale(float largest);
/// Values of such a row. `values` and `target` may not overlap.
void quantise(const float* values, std::size_t count, float largest, std::int8_t* target);

/// Operations that only move floats.
class HostStream : public Stream {
 public:
  Expected<std::unique_ptr<Buffer>> allocate(std::size_t floats) override;
  Status upload(std::span<const float> source, Buffer& target, std::size_t offset) override;
  Status download(const Buffer& source, std::size_t offset, std::span<float> target) override;
  Status gather(std::span<const std::uint32_t> indices, std::size_t columns, Rows input,
                Rows output) override;
};

}  // namespace bert::compute
