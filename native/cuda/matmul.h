// Matrix products by cuBLASLt with bias and activation in the epilogue.
#pragma once

#include <cublasLt.h>

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

#include "bert/backend.h"
#include "bert/result.h"
#include "cuda/device.h"

namespace bert::cuda {

/// output [rows, outputs] = activation(input [rows, inputs] x weight [outputs, inputs]^T + bias [outputs] +
/// residual [rows, outputs]), all dense.
struct Product {
  Element element = Element::kF32;         ///< of input and weight
  Element output_element = Element::kF32;  ///< of output and bias
  std::size_t rows = 0, inputs = 0, outputs = 0;
  std::size_t input_stride = 0, output_stride = 0;  ///< elements from row to row
  const std::byte* input = nullptr;
  const std::byte* weight = nullptr;
  const std::byte* bias = nullptr;      ///< may be null
  const std::byte* residual = nullptr;  ///< may be null; of the output's element; not the output itself
  std::size_t residual_stride = 0;
  std::byte* output = nullptr;
  /// One of those that `in_epilogue` names, or kNone.
  Activation activation = Activation::kNone;
};

/// Whether cuBLASLt applies the activation itself. Its GELU is the tanh form, at most 5e-4 from the one with
/// the error function: less than f16 rounds for values beyond 1, so f16 takes it for both; f32 does not.
bool in_epilogue(Activation activation, Element output_element);

/// cuBLASLt's handle and the fastest of its algorithms for each shape, found by trying those that it advises
/// when the shape is first met. So two processes may differ in the last bits; calls of one do not, whatever
/// their backend, as all share one of these. Safe to use from several threads.
class Products {
 public:
  static constexpr std::size_t kWorkspace = std::size_t{32} << 20;  ///< what NVIDIA advises for Hopper

  static Expected<std::unique_ptr<Products>> make();
  Products() = default;
  Products(const Products&) = delete;
  ~Products();

  /// Queues the product. `workspace` holds kWorkspace bytes and belongs to the stream. Sums are in f32,
  /// without TF32.
  Status run(const Product& product, std::byte* workspace, cudaStream_t stream);

 private:
  /// Products of more rows than this share an algorithm with those of up to so many more.
  static constexpr std::size_t kExactRows = 256;
  static constexpr int kCandidates = 8;  ///< algorithms that are tried for a shape
  /// All that the choice of an algorithm rests on.
  using Shape = std::array<std::size_t, 11>;
  /// A product in cuBLASLt's terms.
  struct Problem {
    cublasLtMatmulDescOpaque_t operation{};
    cublasLtMatrixLayoutOpaque_t weight{}, input{}, residual{}, output{};
    unsigned alignment = 0;  ///< bytes, of all matrices
    std::byte* workspace = nullptr;
    cudaStream_t stream = nullptr;
  };

  /// The algorithm of a shape: known, or found now.
  Expected<cublasLtMatmulAlgo_t> find(const Shape& shape, Problem& problem, const Product& product);
  /// Tries those that cuBLASLt advises, with the product's own data; its output is written several times. An
  /// error where none of them runs.
  Expected<cublasLtMatmulAlgo_t> choose(Problem& problem, const Product& product);
  cublasStatus_t run_with(const cublasLtMatmulAlgo_t& algorithm, Problem& problem, const Product& product);

  cublasLtHandle_t handle_ = nullptr;
  std::mutex mutex_;
  std::map<Shape, cublasLtMatmulAlgo_t> algorithms_;
};

}  // namespace bert::cuda
