// What the encoder needs of a machine: weights in the machine's own form and a few coarse operations on rows.
// The reference backend is the definition; XNNPACK (native and WebAssembly) and CUDA are other ways to the
// same numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bert/result.h"

namespace bert {

/// How linear layers keep their weights and compute.
enum class Precision {
  kF32,   ///< f32 weights and arithmetic
  kF16,   ///< weights rounded to f16, arithmetic in f32 (a GPU: activations in f16, sums in f32)
  kInt8,  ///< weights int8 per output channel, inputs quantised by rows or parts of rows at run time, sums
          ///< exact (a GPU: the same weights in f16, computed as kF16)
};

/// "f32", "f16" or "int8"; a literal that lives for ever.
constexpr std::string_view precision_name(Precision precision) {
  return precision == Precision::kF32 ? "f32" : precision == Precision::kF16 ? "f16" : "int8";
}

/// Element types of weights in a caller's memory, little-endian.
enum class WeightType { kF32, kF16, kBF16, kInt8 };

/// A weight [rows, columns] in row-major order in memory that the caller owns. It need not be aligned.
/// An int8 element q of row r means q * scales[r]. A vector is one row.
struct WeightView {
  WeightType type = WeightType::kF32;
  const std::byte* data = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  const std::byte* scales = nullptr;  ///< float32 [rows], for kInt8 alone
};

/// One weight [outputs, inputs] with its bias (one row of `outputs` floats; no data means zero).
struct LinearView {
  WeightView weight;
  WeightView bias;
};

/// What a linear layer does to its sums. kGelu is x * Phi(x) with the error function; kGeluNew is the tanh
/// form of https://arxiv.org/abs/1606.08415.
enum class Activation { kNone, kGelu, kGeluNew, kRelu, kTanh };

/// f32 memory of a backend, possibly on a device: only the backend that made it can look inside.
class Buffer {
 public:
  virtual ~Buffer() = default;
  /// Capacity in floats.
  virtual std::size_t size() const = 0;
};

/// Rows of floats within a buffer: row i starts at float `offset + i * stride`.
struct Rows {
  Buffer* buffer = nullptr;
  std::size_t offset = 0;
  std::size_t stride = 0;
};

/// A weight in the backend's form. Immutable; may be used from many streams and threads at once.
class Weight {
 public:
  virtual ~Weight() = default;
  /// Bytes that the backend owns for it; 0 where it reads the caller's memory.
  virtual std::size_t owned_bytes() const = 0;
};

/// Rows that are looked up by id or multiplied by all hidden rows (the vocabulary): [rows, columns].
class Table : public Weight {
 public:
  virtual std::size_t rows() const = 0;
  virtual std::size_t columns() const = 0;
};

/// y = activation(x W^T + b), W [outputs, inputs].
class Linear : public Weight {
 public:
  virtual std::size_t inputs() const = 0;
  virtual std::size_t outputs() const = 0;
};

/// A plain vector of floats: a bias.
class Vector : public Weight {
 public:
  virtual std::size_t size() const = 0;
};

/// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta over a row; https://arxiv.org/abs/1607.06450,
/// biased variance.
class LayerNorm : public Weight {
 public:
  virtual std::size_t size() const = 0;
};

/// The three looked-up parts of BERT's input, summed and normalised.
struct EmbeddingWeights {
  const Table* words = nullptr;
  const Table* positions = nullptr;
  const Table* types = nullptr;
  const LayerNorm* norm = nullptr;
};

/// Which rows belong to one sequence of an attention call.
struct AttentionSequence {
  std::size_t query_row = 0;    ///< first row of `query` and `context`
  std::size_t query_count = 0;  ///< may be 0
  std::size_t key_row = 0;      ///< first row of `key` and `value`
  std::size_t key_count = 0;
};

/// softmax(q k^T * scale) v for each sequence and head; head h uses columns [h * head_size, (h + 1) *
/// head_size).
struct AttentionCall {
  Rows query, key, value;  ///< each row at least heads * head_size wide
  Rows context;            ///< result; may not overlap the inputs
  std::size_t heads = 0;
  std::size_t head_size = 0;
  float scale = 0;
  std::span<const AttentionSequence> sequences;
  /// One byte per key row of the buffers, counted from the row of `key.offset`: 0 hides the key. Empty hides
  /// none. Where every key of a sequence is hidden the probabilities are uniform over all of them, as in
  /// Hugging Face's code.
  std::span<const std::uint8_t> key_visible;
  /// Optional results. Sequences follow each other; each is [heads, query_count, key_count], dense, from
  /// float 0 on.
  Buffer* probabilities = nullptr;  ///< hidden keys have 0
  Buffer* scores = nullptr;         ///< q k^T * scale, before the mask, of hidden keys too
};

/// Whether a backend of this build may find best words (WorkSizes::best_words). WebAssembly's does not, and
/// what is for them is left out of it, as every visitor of a page downloads it.
#ifdef __EMSCRIPTEN__
inline constexpr bool kMayFindBestWords = false;
/// WorkSizes::tokens by default: fewer where memory is dear.
inline constexpr std::size_t kRunTokens = 512;
#else
inline constexpr bool kMayFindBestWords = true;
inline constexpr std::size_t kRunTokens = 2048;
#endif

/// How much work a backend takes best at once, and what it can do beyond the operations that all have.
struct WorkSizes {
  std::size_t block_rows = 128;      ///< rows that go from the attention to the end of a layer together
  std::size_t vocabulary_rows = 64;  ///< rows whose vocabulary logits are computed together
  std::size_t tokens = kRunTokens;   ///< tokens of one run, where a caller cuts a long list into runs
  std::size_t best_words = 0;        ///< most words that Stream::best finds; 0: the caller reads all logits
};

/// Where Stream::best puts its results; the caller owns the memory.
struct BestWords {
  std::span<double> log_sums;   ///< [rows] ln of the sum of exp(logit) over all columns; NaN where a logit
                                ///< is not finite
  std::span<std::int32_t> ids;  ///< [rows, count] columns, best first; of equal logits the smaller column
                                ///< comes first. Under a NaN the first is the column that is not finite
  std::span<float> logits;      ///< [rows, count] theirs
};

/// Runs operations in order for one caller at a time. Each call returns when its results may be read, or (a
/// device) when they are queued; `download` waits. Buffers and streams belong to the backend that made them,
/// which must outlive them. Errors: kOutOfMemory, kInternal with the library's own status; after an error the
/// contents of results are undefined and the stream stays usable. Sizes and ids are the caller's duty (the
/// encoder checks them).
class Stream {
 public:
  virtual ~Stream() = default;

  /// New memory of `floats` floats, contents undefined.
  virtual Expected<std::unique_ptr<Buffer>> allocate(std::size_t floats) = 0;
  /// Copies host floats into a buffer, from float `offset` on.
  virtual Status upload(std::span<const float> source, Buffer& target, std::size_t offset) = 0;
  /// Copies `target.size()` floats from float `offset` on to the host, when all earlier operations are done.
  virtual Status download(const Buffer& source, std::size_t offset, std::span<float> target) = 0;

  /// words[ids[i]] + positions[position_ids[i]] + types[type_ids[i]] into row i of `sum` (when its buffer is
  /// set), and its layer norm into row i of `output`.
  virtual Status embed(const EmbeddingWeights& weights, std::span<const std::int32_t> ids,
                       std::span<const std::int32_t> type_ids, std::span<const std::int32_t> position_ids,
                       Rows sum, Rows output) = 0;
  /// `rows` rows of `input` (dense: stride = inputs) through the layer into `output` (dense: stride =
  /// outputs). No overlap.
  virtual Status linear(const Linear& layer, Activation activation, std::size_t rows, Rows input,
                        Rows output) = 0;
  /// norm(input + residual), or norm(input) when the residual's buffer is null. `output` may be `input` or
  /// `residual`. Uses the input up: what its rows hold afterwards is not defined.
  virtual Status add_normalise(const LayerNorm& norm, std::size_t rows, Rows input, Rows residual,
                               Rows output) = 0;
  /// See AttentionCall.
  virtual Status attention(const AttentionCall& call) = 0;
  /// input x table^T + bias: logits [rows, table.rows()] of `rows` rows of [table.columns()]. The table is
  /// read once for all rows, in its own row-major form: a tied decoder needs no second copy. `bias` may be
  /// null.
  virtual Status vocabulary(const Table& table, const Vector* bias, std::size_t rows, Rows input,
                            Rows output) = 0;
  /// Row indices[i] of `input` into row i of `output`, `columns` floats each. No overlap.
  virtual Status gather(std::span<const std::uint32_t> indices, std::size_t columns, Rows input,
                        Rows output) = 0;
  /// What `rows` dense rows of logits [columns] say: the best ones among the first `tokens` columns. Returns
  /// when the results are there. `count` is at most WorkSizes::best_words and at most `tokens`; kUnsupported
  /// from a backend that has none.
  virtual Status best([[maybe_unused]] std::size_t rows, [[maybe_unused]] std::size_t columns,
                      [[maybe_unused]] std::size_t tokens, [[maybe_unused]] std::size_t count,
                      [[maybe_unused]] Rows logits, [[maybe_unused]] const BestWords& results) {
    // inline, as code built with type information could not derive from a class whose virtual function
    // is defined in core, which is built without
    return fail(ErrorCode::kUnsupported, "this backend finds no best words");
  }
  /// Forgets operations that are queued and have not begun: nobody will read their results, which are
  /// undefined afterwards. Nothing to do where operations run at once.
  virtual void discard() {}
};

/// Whether a table may read the caller's bytes in place, or must have its own copy because they will go.
enum class TableBytes { kBorrow, kCopy };

/// A factory of weights and streams, immutable after construction: every call may be made from several
/// threads at once. Weights are converted while the call runs; the caller's bytes may go afterwards, save
/// where a Table says otherwise.
class Backend {
 public:
  virtual ~Backend() = default;

  /// "reference", "xnnpack", "cuda".
  virtual std::string_view name() const = 0;
  /// Which kernels run on this machine, one line for people, e.g. "f32 bertlens, int8 XNNPACK, simd avx2":
  /// whose products, and the instructions of the rest.
  virtual std::string kernels() const = 0;
  /// Threads that work on one operation, the caller's included.
  virtual std::size_t threads() const = 0;
  /// Steps between the least and the largest value of a row, or of each part of it that has steps of its own
  /// (zero among them), when int8 layers quantise their inputs; 0 for inputs taken as they are.
  virtual std::size_t int8_input_steps() const = 0;
  /// The defaults suit a processor's caches.
  virtual WorkSizes work_sizes() const { return {}; }

  /// A table. A source as narrow as the precision or narrower keeps its type (so f16 stays f16 under kF32);
  /// under kBorrow it is read in the caller's memory where the backend can, and those bytes must outlive the
  /// table. A wider one is narrowed into memory of its own: to f16, or to int8 with one scale per row
  /// (max-abs). Errors: kInvalidModel as make_linear.
  virtual Expected<std::unique_ptr<Table>> make_table(const WeightView& source, Precision precision,
                                                      TableBytes bytes) = 0;
  /// A linear layer; several parts with equal inputs are stacked, outputs in the order of the parts (query,
  /// key, value). Int8 sources keep their own integers and scales under kInt8; others are quantised per
  /// output channel (max-abs). Errors: kInvalidArgument for parts that do not fit each other; kInvalidModel
  /// where a scale of int8 weights is not a positive, normal number (as one of a NaN is not), or a weight is
  /// beyond f16's range under kF16 (a GPU: whatever it keeps as f16, so under kInt8, in tables and biases
  /// too).
  virtual Expected<std::unique_ptr<Linear>> make_linear(std::span<const LinearView> parts,
                                                        Precision precision) = 0;
  /// A bias or another row of floats.
  virtual Expected<std::unique_ptr<Vector>> make_vector(const WeightView& source) = 0;
  virtual Expected<std::unique_ptr<LayerNorm>> make_layer_norm(const WeightView& gamma,
                                                               const WeightView& beta, float epsilon) = 0;
  /// One stream per concurrent caller. With more than one thread, operations of different streams take turns.
  virtual Expected<std::unique_ptr<Stream>> make_stream() = 0;
};

/// What every backend refuses, in the same words; a backend outside of core calls these before it converts a
/// weight. kInvalidModel unless every scale of int8 weights is positive and normal; other types have none.
Status check_scales(const WeightView& weight);
/// The same for a weight that becomes f16, and kInvalidModel where an element, times its scale, is no number
/// or rounds to an infinite half. Reads all elements once, at the speed of memory; of int8 only rows whose
/// scale is so large that one could be.
Status check_halves(const WeightView& weight);

/// Plain loops with sums in double: the definition of every operation, one thread. Precisions: all. Its int8
/// layers take their inputs as they are, so that the cost of quantising those in another backend shows
/// against it.
std::shared_ptr<Backend> make_reference_backend();

/// Cores that this process may run on, at least 1.
std::size_t usable_cores();

/// XNNPACK's matrix products, SIMD of our own for the rest. `threads` 0 means the cores that this process may
/// use; 1 means the caller's thread alone. `simd` forces one of our kernel sets by name, for comparisons;
/// empty is the best one. Errors: kUnsupported where XNNPACK or the set cannot run on this machine,
/// kOutOfMemory.
Expected<std::shared_ptr<Backend>> make_xnnpack_backend(std::size_t threads = 0, std::string_view simd = {});

/// Names of our kernel sets that this machine can run, best first, e.g. "avx512", "avx2", "simd128".
std::vector<std::string_view> simd_names();

}  // namespace bert
