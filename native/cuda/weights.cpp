// Copies a checkpoint's weights to the device and converts them there.
#include "cuda/weights.h"

#include <string>

namespace bert::cuda {
namespace {

std::size_t bytes_of(WeightType type) {
  return type == WeightType::kF32 ? 4 : type == WeightType::kInt8 ? 1 : 2;
}

/// The weight's bytes to the device, and there into elements from `target` on. The default stream orders the
/// steps and `cudaMemcpy` waits for what reads the caller's bytes.
Status convert(const WeightView& source, Element element, std::byte* target) {
  // the host reads each weight just before it is copied, so that the copy finds it in the processor's cache
  if (const Status fine = element == Element::kF16 ? check_halves(source) : check_scales(source); !fine)
    return fine;
  const std::size_t count = source.rows * source.columns;
  const std::size_t bytes = count * bytes_of(source.type);
  auto raw = Memory::make(Place::kDevice, bytes);
  if (!raw) return tl::unexpected(raw.error());
  Memory scales;
  if (source.type == WeightType::kInt8) {
    auto made = Memory::make(Place::kDevice, source.rows * sizeof(float));
    if (!made) return tl::unexpected(made.error());
    scales = std::move(*made);
    if (const Status done =
            check(cudaMemcpy(scales.data(), source.scales, scales.size(), cudaMemcpyHostToDevice),
                  "copying scales");
        !done)
      return done;
  }
  if (const Status done =
          check(cudaMemcpy(raw->data(), source.data, bytes, cudaMemcpyHostToDevice), "copying weights");
      !done)
    return done;
  if (const Status done =
          check(launch_convert_weight(source.type, raw->data(), reinterpret_cast<const float*>(scales.data()),
                                      source.rows, source.columns, element, target, nullptr),
                "converting weights");
      !done)
    return done;
  return check(cudaStreamSynchronize(nullptr), "converting weights");
}

Expected<Memory> converted(const WeightView& source, Element element) {
  auto memory = Memory::make(Place::kDevice, source.rows * source.columns * element_size(element));
  if (!memory) return memory;
  if (const Status done = convert(source, element, memory->data()); !done)
    return tl::unexpected(done.error());
  return memory;
}

}  // namespace

Expected<std::unique_ptr<Table>> CudaTable::make(const WeightView& source, Element element) {
  auto values = converted(source, element);
  if (!values) return tl::unexpected(values.error());
  auto table = std::make_unique<CudaTable>();
  table->rows_ = source.rows;
  table->columns_ = source.columns;
  table->values_ = std::move(*values);
  return table;
}

Expected<std::unique_ptr<Linear>> CudaLinear::make(std::span<const LinearView> parts, Element element) {
  auto linear = std::make_unique<CudaLinear>();
  if (parts.empty()) return fail(ErrorCode::kInvalidArgument, "a linear layer without parts");
  linear->inputs_ = parts.front().weight.columns;
  for (const LinearView& part : parts) {
    if (part.weight.columns != linear->inputs_)
      return fail(ErrorCode::kInvalidArgument, "parts of a linear layer have " +
                                                   std::to_string(linear->inputs_) + " and " +
                                                   std::to_string(part.weight.columns) + " inputs");
    if (part.bias.data != nullptr && part.bias.rows * part.bias.columns != part.weight.rows)
      return fail(ErrorCode::kInvalidArgument,
                  "a bias has " + std::to_string(part.bias.rows * part.bias.columns) + " values for " +
                      std::to_string(part.weight.rows) + " outputs");
    linear->outputs_ += part.weight.rows;
  }
  const std::size_t size = element_size(element);
  auto weight = Memory::make(Place::kDevice, linear->inputs_ * linear->outputs_ * size);
  if (!weight) return tl::unexpected(weight.error());
  auto bias = Memory::make(Place::kDevice, linear->outputs_ * size);
  if (!bias) return tl::unexpected(bias.error());
  linear->weight_ = std::move(*weight);
  linear->bias_ = std::move(*bias);
  std::size_t row = 0;
  for (const LinearView& part : parts) {
    if (const Status done =
            convert(part.weight, element, linear->weight_.data() + row * linear->inputs_ * size);
        !done)
      return tl::unexpected(done.error());
    std::byte* const target = linear->bias_.data() + row * size;
    const Status done = part.bias.data != nullptr
                            ? convert(part.bias, element, target)
                            : check(cudaMemset(target, 0, part.weight.rows * size), "clearing a bias");
    if (!done) return tl::unexpected(done.error());
    row += part.weight.rows;
  }
  // the streams that will read it do not wait for the default stream
  if (const Status done = check(cudaStreamSynchronize(nullptr), "loading weights"); !done)
    return tl::unexpected(done.error());
  return linear;
}

Expected<std::unique_ptr<Vector>> CudaVector::make(const WeightView& source) {
  auto values = converted(source, Element::kF32);
  if (!values) return tl::unexpected(values.error());
  auto vector = std::make_unique<CudaVector>();
  vector->size_ = source.rows * source.columns;
  vector->values_ = std::move(*values);
  return vector;
}

Expected<std::unique_ptr<LayerNorm>> CudaNorm::make(const WeightView& gamma, const WeightView& beta,
                                                    float epsilon) {
  const std::size_t size = gamma.rows * gamma.columns;
  if (beta.rows * beta.columns != size)
    return fail(ErrorCode::kInvalidArgument, "a layer norm has " + std::to_string(size) +
                                                 " values of gamma and " +
                                                 std::to_string(beta.rows * beta.columns) + " of beta");
  auto norm = std::make_unique<CudaNorm>();
  auto gammas = converted(gamma, Element::kF32);
  if (!gammas) return tl::unexpected(gammas.error());
  auto betas = converted(beta, Element::kF32);
  if (!betas) return tl::unexpected(betas.error());
  norm->size_ = size;
  norm->epsilon_ = epsilon;
  norm->gamma_ = std::move(*gammas);
  norm->beta_ = std::move(*betas);
  return norm;
}

void Retired::add(Memory memory) {
  const std::scoped_lock lock(mutex_);
  memory_.push_back(std::move(memory));
}

void Retired::free() {
  std::vector<Memory> memory;
  {
    const std::scoped_lock lock(mutex_);
    memory.swap(memory_);
  }
}

}  // namespace bert::cuda
