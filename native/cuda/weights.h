// Weights on the device, and the buffers that streams compute in.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "bert/backend.h"
#include "cuda/device.h"
#include "cuda/kernels.h"

namespace bert::cuda {

class CudaTable : public Table {
 public:
  static Expected<std::unique_ptr<Table>> make(const WeightView& source, Element element);
  std::size_t rows() const override { return rows_; }
  std::size_t columns() const override { return columns_; }
  std::size_t owned_bytes() const override { return values_.size(); }
  const std::byte* data() const { return values_.data(); }

 private:
  std::size_t rows_ = 0, columns_ = 0;
  Memory values_;
};

class CudaLinear : public Linear {
 public:
  static Expected<std::unique_ptr<Linear>> make(std::span<const LinearView> parts, Element element);
  std::size_t inputs() const override { return inputs_; }
  std::size_t outputs() const override { return outputs_; }
  std::size_t owned_bytes() const override { return weight_.size() + bias_.size(); }
  const std::byte* weight() const { return weight_.data(); }
  const std::byte* bias() const { return bias_.data(); }

 private:
  std::size_t inputs_ = 0, outputs_ = 0;
  Memory weight_, bias_;
};

/// Always f32: logits are.
class CudaVector : public Vector {
 public:
  static Expected<std::unique_ptr<Vector>> make(const WeightView& source);
  std::size_t size() const override { return size_; }
  std::size_t owned_bytes() const override { return values_.size(); }
  const std::byte* data() const { return values_.data(); }

 private:
  std::size_t size_ = 0;
  Memory values_;
};

/// Always f32.
class CudaNorm : public LayerNorm {
 public:
  static Expected<std::unique_ptr<LayerNorm>> make(const WeightView& gamma, const WeightView& beta,
                                                   float epsilon);
  std::size_t size() const override { return size_; }
  std::size_t owned_bytes() const override { return gamma_.size() + beta_.size(); }
  DeviceNorm view() const {
    return {reinterpret_cast<const float*>(gamma_.data()), reinterpret_cast<const float*>(beta_.data()),
            epsilon_, size_};
  }

 private:
  std::size_t size_ = 0;
  float epsilon_ = 0;
  Memory gamma_, beta_;
};

/// Memory that queued operations may still read or write after its buffer is gone: it is freed when they are
/// done.
class Retired {
 public:
  void add(Memory memory);
  void free();

 private:
  std::mutex mutex_;
  std::vector<Memory> memory_;
};

/// Room for `size` floats. What lies in it has the type that its last writer gave it: logits, probabilities
/// and scores are f32 also where the activations are f16. Offsets and strides count elements of that type.
class CudaBuffer : public Buffer {
 public:
  CudaBuffer(Memory memory, std::size_t size, Element element, std::shared_ptr<Retired> retired)
      : memory_(std::move(memory)), size_(size), element_(element), retired_(std::move(retired)) {}
  ~CudaBuffer() override { retired_->add(std::move(memory_)); }
  CudaBuffer(const CudaBuffer&) = delete;

  std::size_t size() const override { return size_; }
  Element element() const { return element_; }
  void set_element(Element element) { element_ = element; }
  /// Element `offset`.
  std::byte* at(std::size_t offset) const { return memory_.data() + offset * element_size(element_); }

 private:
  Memory memory_;
  std::size_t size_;
  Element element_;
  std::shared_ptr<Retired> retired_;
};

}  // namespace bert::cuda
