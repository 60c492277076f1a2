// cuBLASLt counts columns first: its output is ours transposed, outputs x rows, the weight is its first
// factor.
#include "cuda/matmul.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace bert::cuda {
namespace {

Status check(cublasStatus_t status, const Product& product) {
  if (status == CUBLAS_STATUS_SUCCESS) return {};
  const auto code = status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::kOutOfMemory : ErrorCode::kInternal;
  return fail(code, std::string("cuBLASLt: product of [") + std::to_string(product.rows) + ", " +
                        std::to_string(product.inputs) + "] and [" + std::to_string(product.outputs) + ", " +
                        std::to_string(product.inputs) + "]: " + cublasLtGetStatusString(status));
}

cudaDataType_t data_type(Element element) {
  return element == Element::kF32 ? CUDA_R_32F : CUDA_R_16F;
}

cublasLtEpilogue_t epilogue_of(const Product& product) {
  const bool bias = product.bias != nullptr;
  switch (product.activation) {
    case Activation::kGelu:
    case Activation::kGeluNew:
      return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    case Activation::kRelu:
      return bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    default:
      return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  }
}

/// The largest power of two up to 256 that the address is a multiple of.
unsigned alignment_of(const std::byte* data) {
  const auto address = reinterpret_cast<std::uintptr_t>(data) | 256U;
  return static_cast<unsigned>(address & (~address + 1));
}

}  // namespace

bool in_epilogue(Activation activation, Element output_element) {
  switch (activation) {
    case Activation::kNone:
    case Activation::kRelu:
      return true;
    case Activation::kGelu:
    case Activation::kGeluNew:
      return output_element == Element::kF16;
    case Activation::kTanh:
      return false;
  }
  return false;
}

Expected<std::unique_ptr<Products>> Products::make() {
  auto products = std::make_unique<Products>();
  const cublasStatus_t status = cublasLtCreate(&products->handle_);
  if (status != CUBLAS_STATUS_SUCCESS)
    return fail(ErrorCode::kInternal, std::string("cuBLASLt: ") + cublasLtGetStatusString(status));
  return products;
}

Products::~Products() {
  if (handle_ != nullptr) (void)cublasLtDestroy(handle_);
}

Expected<cublasLtMatmulAlgo_t> Products::choose(Problem& problem, const Product& product) {
  cublasLtMatmulPreferenceOpaque_t preference;
  const std::size_t workspace = kWorkspace;
  cublasStatus_t status = cublasLtMatmulPreferenceInit(&preference);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    if (status == CUBLAS_STATUS_SUCCESS)
      status = cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value);
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace);
  // sums of parts of the inputs (split-K) must not be rounded to f16 before they are added
  const std::uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reduction);
  const std::uint32_t bytes = problem.alignment;
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, bytes);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, bytes);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, bytes);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, bytes);
  std::array<cublasLtMatmulHeuristicResult_t, kCandidates> candidates{};
  int found = 0;
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatmulAlgoGetHeuristic(handle_, &problem.operation, &problem.weight, &problem.input,
                                            &problem.residual, &problem.output, &preference, kCandidates,
                                            candidates.data(), &found);
  if (status == CUBLAS_STATUS_SUCCESS && found == 0) status = CUBLAS_STATUS_NOT_SUPPORTED;
  if (const Status done = check(status, product); !done) return tl::unexpected(done.error());
  if (found == 1) return candidates[0].algo;

  // the one that takes least time, of these runs with real data: cuBLASLt orders them by a model of the
  // device
  constexpr int kRuns = 8;
  constexpr const char* kWhat = "timing a product";
  cudaEvent_t begin = nullptr, end = nullptr;
  const auto time_of = [&](const cublasLtMatmulAlgo_t& algorithm) -> Expected<float> {
    Status done = check(run_with(algorithm, problem, product), product);
    if (done) done = check(cudaEventRecord(begin, problem.stream), kWhat);
    for (int i = 0; done && i < kRuns; ++i) done = check(run_with(algorithm, problem, product), product);
    if (done) done = check(cudaEventRecord(end, problem.stream), kWhat);
    if (done) done = check(cudaEventSynchronize(end), kWhat);
    float time = 0;
    if (done) done = check(cudaEventElapsedTime(&time, begin, end), kWhat);
    if (!done) return tl::unexpected(done.error());
    return time;
  };
  const cublasLtMatmulAlgo_t* best = nullptr;
  float least = 0;
  Status done = check(cudaEventCreate(&begin), kWhat);
  if (done) done = check(cudaEventCreate(&end), kWhat);
  const std::size_t tried = done ? static_cast<std::size_t>(found) : 0;
  for (std::size_t c = 0; c < tried; ++c) {
    const auto time = time_of(candidates[c].algo);
    if (!time) {
      done = tl::unexpected(time.error());
    } else if (best == nullptr || *time < least) {
      least = *time;
      best = &candidates[c].algo;
    }
  }
  if (begin != nullptr) (void)cudaEventDestroy(begin);
  if (end != nullptr) (void)cudaEventDestroy(end);
  // no guess where none could be timed: what is chosen stays for the process
  if (best == nullptr) return tl::unexpected(done.error());
  return *best;
}

cublasStatus_t Products::run_with(const cublasLtMatmulAlgo_t& algorithm, Problem& problem,
                                  const Product& product) {
  const float one = 1, zero = 0;
  const bool adds = product.residual != nullptr;
  return cublasLtMatmul(handle_, &problem.operation, &one, product.weight, &problem.weight, product.input,
                        &problem.input, adds ? &one : &zero, adds ? product.residual : product.output,
                        &problem.residual, product.output, &problem.output, &algorithm, problem.workspace,
                        kWorkspace, problem.stream);
}

Status Products::run(const Product& product, std::byte* workspace, cudaStream_t stream) {
  if (product.rows == 0) return {};
  Problem problem;
  problem.workspace = workspace;
  problem.stream = stream;
  const cublasLtEpilogue_t epilogue = epilogue_of(product);
  const cublasOperation_t transposed = CUBLAS_OP_T;
  cublasStatus_t status = cublasLtMatmulDescInit(&problem.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    if (status == CUBLAS_STATUS_SUCCESS)
      status = cublasLtMatmulDescSetAttribute(&problem.operation, attribute, &value, sizeof value);
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, transposed);
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  const auto bias = reinterpret_cast<std::uintptr_t>(product.bias);
  if (product.bias != nullptr) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  const auto layout = [&](cublasLtMatrixLayoutOpaque_t& matrix, Element element, std::size_t rows,
                          std::size_t columns, std::size_t stride) {
    if (status == CUBLAS_STATUS_SUCCESS)
      status = cublasLtMatrixLayoutInit(&matrix, data_type(element), rows, columns,
                                        static_cast<std::int64_t>(stride));
  };
  layout(problem.weight, product.element, product.inputs, product.outputs, product.inputs);
  layout(problem.input, product.element, product.inputs, product.rows, product.input_stride);
  layout(problem.output, product.output_element, product.outputs, product.rows, product.output_stride);
  layout(problem.residual, product.output_element, product.outputs, product.rows,
         product.residual == nullptr ? product.output_stride : product.residual_stride);
  if (const Status done = check(status, product); !done) return done;
  problem.alignment = std::min({alignment_of(product.input), alignment_of(product.weight),
                                alignment_of(product.output), alignment_of(product.residual)});

  Shape shape{static_cast<std::size_t>(product.element),
              static_cast<std::size_t>(product.output_element),
              product.rows,
              product.inputs,
              product.outputs,
              product.input_stride,
              product.output_stride,
              product.residual != nullptr ? 1U : 0U,
              product.residual_stride,
              static_cast<std::size_t>(epilogue),
              problem.alignment};
  if (product.rows > kExactRows) shape[2] = (product.rows + kExactRows - 1) / kExactRows * kExactRows;
  while (true) {
    const auto algorithm = find(shape, problem, product);
    if (!algorithm) return tl::unexpected(algorithm.error());
    status = run_with(*algorithm, problem, product);
    // one that was found with other rows need not take these: it says so before it starts
    if (status == CUBLAS_STATUS_SUCCESS || shape[2] == product.rows) return check(status, product);
    shape[2] = product.rows;
  }
}

Expected<cublasLtMatmulAlgo_t> Products::find(const Shape& shape, Problem& problem, const Product& product) {
  const std::scoped_lock lock(mutex_);
  const auto known = algorithms_.find(shape);
  if (known != algorithms_.end()) return known->second;
  const auto chosen = choose(problem, product);
  if (chosen) algorithms_.emplace(shape, *chosen);
  return chosen;
}

}  // namespace bert::cuda
