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

/// The error of an allocation of `bytes` for `what`.
tl::unexpected<Error> out_of_memory(std::string_view what, std::size_t bytes);

std::size_t element_size(WeightType type);
float half_to_float(std::uint16_t half);
std::uint16_t float_to_half(float value);
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

/// The parts of a linear layer stacked into one: f32 weights, or int8 weights with scales.
struct StackedLinear {
  std::size_t inputs = 0, outputs = 0;
  const float* weights =
      nullptr;  ///< [outputs, inputs]: in `memory`, or in the source where it was one aligned f32 part
  const std::int8_t* integers = nullptr;
  std::vector<float> scales;  ///< [outputs], with `integers`
  std::vector<float> bias;    ///< [outputs]
  AlignedBytes memory;

  /// Under kInt8 int8 parts keep their integers and others are quantised by rows (max-abs); else all become
  /// f32.
  static Expected<StackedLinear> make(std::span<const LinearView> parts, Precision precision);
};

/// Quantises a row symmetrically to -127..127 by its largest size; returns the scale (1 for a row of zeros).
float quantise_row(const float* row, std::size_t count, std::int8_t* target);

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
