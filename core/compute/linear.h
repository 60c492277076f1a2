// What the kinds of linear layers have in common: how one is packed and run, how its product is parted among
// threads. Each kind has a file linear_*.cpp, and a function here that makes it.
#pragma once

#include <cstddef>
#include <memory>

#include "compute/host.h"
#include "compute/kernels.h"
#include "compute/threads.h"
#include "compute/workspace.h"

namespace bert::compute {

/// The arguments of Stream::linear, at least one row.
struct LinearCall {
  Activation activation;
  std::size_t rows;
  Rows input, output;
};

/// Some outputs and some rows of a product.
struct Piece {
  std::size_t first, columns;  ///< outputs; `first` is a multiple of kPanelColumns
  std::size_t begin, end;      ///< rows
};

/// A linear layer with its weights packed for one kind of product. Immutable: may run on many streams at
/// once.
class PackedLinear : public Linear {
 public:
  std::size_t inputs() const final { return inputs_; }
  std::size_t outputs() const final { return outputs_; }

  /// Stream::linear, with what the stream lends.
  virtual Status run(const LinearCall& call, Workspace& space) const = 0;

 protected:
  explicit PackedLinear(const LinearRows& rows) : inputs_(rows.inputs()), outputs_(rows.outputs()) {}

  /// work(piece, thread) for the pieces of a product of `rows` rows: as large as the caches and the number of
  /// threads allow.
  void for_each_piece(const Workspace& space, std::size_t rows,
                      FunctionRef<void(const Piece& piece, std::size_t thread)> work) const;

 private:
  std::size_t inputs_, outputs_;
};

/// pack(index) for all panels of a layer, several at once; the first error. What it runs out of it must
/// return as one: see Threads::in_parallel.
Status pack_all(const Threads& threads, std::size_t panels, FunctionRef<Status(std::size_t index)> pack);

/// Where the results of a piece go, in any of the products of kernels.h.
template <class Product>
void set_output(Product& product, const LinearCall& call, const Piece& piece) {
  product.rows = piece.end - piece.begin;
  product.output = row_of(call.output, piece.begin) + piece.first;
  product.output_stride = call.output.stride;
  product.activation = call.activation;
}

/// Whether there are sets of kernels with product_paired or product_bytes. Where there are none, in
/// WebAssembly above all, layers for them are not linked.
#if defined(__x86_64__) || defined(__i386__)
inline constexpr bool kDotProducts = true;
#else
inline constexpr bool kDotProducts = false;
#endif
/// The same of WebAssembly's relaxed dot products.
#if defined(__wasm_relaxed_simd__)
inline constexpr bool kRelaxedDots = true;
#else
inline constexpr bool kRelaxedDots = false;
#endif

/// Steps of their inputs, see Backend::int8_input_steps.
inline constexpr std::size_t kByteSteps = 255, kPairedSteps = 127, kRelaxedSteps = 127;

// The kinds. Errors of all: kInvalidModel for a scale of int8 weights that is not a positive, normal number,
// or a weight that f16 cannot hold; kOutOfMemory.

/// For Kernels::product_f32, product_f16 or product_int8, by its precision.
Expected<std::unique_ptr<Linear>> make_panel_linear(const LinearRows& rows, Precision precision,
                                                    const Kernels& kernels, const Threads& threads);
/// Int8 for Kernels::product_bytes, kDotProducts alone.
Expected<std::unique_ptr<Linear>> make_byte_linear(const LinearRows& rows, const Threads& threads);
/// Int8 for Kernels::product_paired, kDotProducts alone.
Expected<std::unique_ptr<Linear>> make_paired_linear(const LinearRows& rows, const Threads& threads);
/// Int8 for relaxed dot products, kRelaxedDots alone.
Expected<std::unique_ptr<Linear>> make_relaxed_linear(const LinearRows& rows, const Threads& threads);
/// For XNNPACK's operators, f32 or int8. Errors: also the library's.
Expected<std::unique_ptr<Linear>> make_xnn_linear(const LinearRows& rows, Precision precision,
                                                  const Threads& threads);
/// Must have succeeded before make_xnn_linear. Errors: kUnsupported where XNNPACK cannot run, kOutOfMemory.
Status start_xnnpack();

}  // namespace bert::compute
