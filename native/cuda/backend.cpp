// Chooses the device, and makes weights and streams for it.
#include "cuda/backend.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <mutex>
#include <string>

#include "cuda/stream.h"

namespace bert::cuda {
namespace {

class CudaBackend : public Backend {
 public:
  CudaBackend(Precision precision, std::string kernels, std::shared_ptr<Products> products)
      : precision_(precision), kernels_(std::move(kernels)), products_(std::move(products)) {}

  std::string_view name() const override { return "cuda"; }
  std::string kernels() const override { return kernels_; }
  std::size_t threads() const override { return 1; }
  std::size_t int8_input_steps() const override { return 0; }
  /// A device wants all rows at once; the limits keep a run's memory at some hundred megabytes.
  WorkSizes work_sizes() const override {
    return {.block_rows = std::size_t{1} << 20,
            .vocabulary_rows = 1024,
            .tokens = std::size_t{1} << 14,
            .best_words = kMostBestWords};
  }

  Expected<std::unique_ptr<Table>> make_table(const WeightView& source, Precision, TableBytes) override {
    const FirstDevice current;
    return CudaTable::make(source, element());
  }
  Expected<std::unique_ptr<Linear>> make_linear(std::span<const LinearView> parts, Precision) override {
    const FirstDevice current;
    return CudaLinear::make(parts, element());
  }
  Expected<std::unique_ptr<Vector>> make_vector(const WeightView& source) override {
    const FirstDevice current;
    return CudaVector::make(source);
  }
  Expected<std::unique_ptr<LayerNorm>> make_layer_norm(const WeightView& gamma, const WeightView& beta,
                                                       float epsilon) override {
    const FirstDevice current;
    return CudaNorm::make(gamma, beta, epsilon);
  }
  Expected<std::unique_ptr<Stream>> make_stream() override {
    const FirstDevice current;
    return CudaStream::make(element(), products_);
  }

 private:
  Element element() const { return precision_ == Precision::kF32 ? Element::kF32 : Element::kF16; }
  Precision precision_;
  std::string kernels_;
  std::shared_ptr<Products> products_;
};

/// One for the process, so that all its backends compute with the same algorithms, to the last bit. It is not
/// taken down at the end: CUDA may be gone before it then.
Expected<std::shared_ptr<Products>> shared_products() {
  static std::mutex mutex;
  static auto& products = *new std::shared_ptr<Products>;
  const std::scoped_lock lock(mutex);
  if (!products) {
    auto made = Products::make();
    if (!made) return tl::unexpected(made.error());
    products = std::move(*made);
  }
  return products;
}

}  // namespace

Expected<std::shared_ptr<Backend>> make_backend(Precision precision) {
  int devices = 0;
  const cudaError_t counted = cudaGetDeviceCount(&devices);
  if (counted != cudaSuccess || devices == 0) {
    (void)cudaGetLastError();
    return fail(ErrorCode::kUnsupported,
                std::string("--backend cuda: no CUDA device can be used here") +
                    (counted == cudaSuccess ? "" : std::string(": ") + cudaGetErrorString(counted)));
  }
  const FirstDevice current;
  if (const Status done = check(current.status(), "choosing the device"); !done)
    return tl::unexpected(done.error());
  cudaDeviceProp properties{};
  if (const Status done = check(cudaGetDeviceProperties(&properties, 0), "asking for the device"); !done)
    return tl::unexpected(done.error());
  const std::string capability = std::to_string(properties.major) + "." + std::to_string(properties.minor);
  if (properties.major < 8)
    return fail(ErrorCode::kUnsupported, std::string("--backend cuda: ") + properties.name +
                                             " has compute capability " + capability + ", needed is 8.0");
  if (const Status done = check(prepare_kernels(), "preparing the kernels"); !done)
    return tl::unexpected(done.error());
  const auto products = shared_products();
  if (!products) return tl::unexpected(products.error());
  const std::size_t version = cublasLtGetVersion();
  const std::string kernels = std::string(properties.name) + ", compute capability " + capability +
                              ", cuBLASLt " + std::to_string(version / 10000) + "." +
                              std::to_string(version / 100 % 100) +
                              (precision == Precision::kF32 ? ", f32" : ", f16 with f32 sums");
  return std::make_shared<CudaBackend>(precision, kernels, *products);
}

}  // namespace bert::cuda
