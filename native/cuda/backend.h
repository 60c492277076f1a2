// The CUDA backend: matrix products by cuBLASLt, all else by kernels of our own. The encoder sees only the
// Backend interface.
#pragma once

#include <memory>

#include "bert/backend.h"
#include "bert/result.h"

namespace bert::cuda {

/// A backend on the first CUDA device, whichever is current in the threads that use it (see FirstDevice).
/// `precision` holds for all weights that it makes, whatever a call asks for. kF32 computes in f32 throughout
/// (no TF32). kF16 keeps weights and activations in f16 and sums in f32 on the tensor cores; its GELU is the
/// tanh form, also for models with the error function (see in_epilogue). kInt8 is the same with the
/// checkpoint's int8 weights dequantised to f16 when they are loaded; weights that are not int8 are rounded
/// to f16. Errors: kUnsupported without a device, a driver or compute capability 8.0; kOutOfMemory.
Expected<std::shared_ptr<Backend>> make_backend(Precision precision);

}  // namespace bert::cuda
