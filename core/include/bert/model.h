// From model bytes to named tensors: config.json, safetensors files, BERT's modules, the parameter table.
// The bytes belong to the caller (a memory map, a heap block, a download in progress); no weights are kept
// here.
//
// Three ways in, one for each kind of caller:
//   headers only       Checkpoint::create(config, headers): parameter table, tensor list, which heads are
//   there all bytes at hand  BertWeights::bind(checkpoint, files): typed views; visit_modules() in file order
//   bytes arriving     ModuleStream(checkpoint, visitor): each module as soon as it is complete
//
// Every byte is untrusted: each size, offset and shape is checked before a view is made, and an error names
// its tensor. Thread rule: const members and free functions may be called from any number of threads at once,
// unless said otherwise.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bert/result.h"

namespace bert {

// -- config.json --------------------------------------------------------------------------------------------

/// The feed-forward (and MLM transform) activation.
enum class HiddenAct : std::uint8_t {
  kGelu,     ///< x/2 (1 + erf(x / sqrt 2)); in config.json "gelu" or "gelu_python"
  kGeluNew,  ///< x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); "gelu_new", "gelu_fast" or
             ///< "gelu_pytorch_tanh"
  kRelu,     ///< max(x, 0); "relu"
};

/// "gelu", "gelu_new" or "relu"; a literal that lives for ever.
[[nodiscard]] std::string_view hidden_act_name(HiddenAct hidden_act);

/// The fields of a BERT config.json that decide what is computed. All sizes are at least 1 and small enough
/// that any product of three of them fits in 64 bits (see `parse`).
struct ModelConfig {
  std::size_t vocab_size = 0;
  std::size_t hidden_size = 0;
  std::size_t num_hidden_layers = 0;
  std::size_t num_attention_heads = 0;
  std::size_t intermediate_size = 0;
  std::size_t max_position_embeddings = 512;
  std::size_t type_vocab_size = 2;
  HiddenAct hidden_act = HiddenAct::kGelu;
  double layer_norm_eps = 1e-12;
  /// The MLM decoder's weight is the word embedding table; a decoder weight in the file is then not used (as
  /// in Hugging Face's implementation, where the tie wins).
  bool tie_word_embeddings = true;
  std::vector<std::string> architectures;  ///< e.g. {"BertForMaskedLM"}; informative only

  /// hidden_size / num_attention_heads, exact.
  [[nodiscard]] std::size_t head_size() const { return hidden_size / num_attention_heads; }

  /// Reads config.json. The five sizes without a default above must be there; the others default to Hugging
  /// Face's values. Unknown fields are ignored.
  /// Errors: kInvalidModel for bytes that are not JSON, a field of the wrong kind or out of range (vocab_size
  /// up to 2^24, hidden_size, intermediate_size and types 2^16, positions 2^20, layers 2^10, heads dividing
  /// the hidden size); kUnsupported for another model_type, activation or position_embedding_type, and for
  /// decoders.
  [[nodiscard]] static Expected<ModelConfig> parse(std::string_view json);

  /// config.json of this configuration, as Hugging Face writes it (two-space indent, sorted keys, newline at
  /// the end).
  [[nodiscard]] std::string to_json() const;
};

// -- safetensors --------------------------------------------------------------------------------------------

/// Element types of the safetensors format. Weights may be F32, F16, BF16, or I8 with scales; the others may
/// stand in a file (a position_ids buffer is I64) and are counted, but not read.
enum class DType : std::uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool,
};

/// The format's own name, e.g. "BF16"; a literal.
[[nodiscard]] std::string_view dtype_name(DType dtype);
/// Bytes per element: 1, 2, 4 or 8.
[[nodiscard]] std::size_t dtype_size(DType dtype);

/// One entry of a safetensors header.
struct TensorInfo {
  std::string name;                  ///< exactly as in the file
  DType dtype = DType::kF32;         ///< element type
  std::vector<std::uint64_t> shape;  ///< outermost first; empty for a scalar
  std::uint64_t offset = 0;          ///< of the first byte, from the start of the file
  std::uint64_t bytes = 0;           ///< product of the shape times the element size
  std::size_t file = 0;              ///< which file of the checkpoint, 0 for a single file

  /// Product of the shape.
  [[nodiscard]] std::uint64_t elements() const { return bytes / dtype_size(dtype); }
};

/// The validated header of one safetensors file: tensors without overlap and without gaps, as the format
/// demands.
class SafetensorsHeader {
 public:
  /// Length of the whole header (the 8 length bytes included) of a file that starts with `prefix`, which
  /// holds at least its first 8 bytes. Errors: kInvalidModel if the length is absurd (over kMaxHeaderBytes)
  /// or `prefix` is too short.
  [[nodiscard]] static Expected<std::uint64_t> size_from(std::span<const std::byte> prefix);

  /// Parses the header. `bytes` starts at the file's first byte and holds the whole header; what follows is
  /// not looked at. `file_bytes` is the file's true length where known; it must then be exactly what the
  /// header describes.
  /// Errors: kInvalidModel, naming the tensor: not JSON, a name twice, a type, shape or range that cannot be,
  /// ranges that overlap, leave a gap or run past the end.
  [[nodiscard]] static Expected<SafetensorsHeader> parse(
      std::span<const std::byte> bytes, std::optional<std::uint64_t> file_bytes = std::nullopt);

  /// All tensors, in the order of their bytes in the file.
  [[nodiscard]] const std::vector<TensorInfo>& tensors() const { return tensors_; }
  /// The `__metadata__` strings, e.g. {"format", "pt"}.
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// Where the data begins: 8 + the length of the JSON.
  [[nodiscard]] std::uint64_t data_offset() const { return data_offset_; }
  /// Length of the file that the header describes.
  [[nodiscard]] std::uint64_t file_bytes() const { return file_bytes_; }

  /// Longer headers are refused; bert-large's takes 60 KB.
  static constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{16} << 20;

 private:
  friend class Checkpoint;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
  std::uint64_t data_offset_ = 0;
  std::uint64_t file_bytes_ = 0;
};

/// model.safetensors.index.json: which tensor lies in which file.
struct ShardIndex {
  std::vector<std::string> files;  ///< distinct file names, sorted; plain names without any separator
  std::map<std::string, std::size_t> shard;  ///< tensor name -> index into `files`

  /// Errors: kInvalidModel for bytes that are not JSON, no weight_map, a file name that leaves the folder.
  [[nodiscard]] static Expected<ShardIndex> parse(std::string_view json);
};

// -- Views of tensors ---------------------------------------------------------------------------------------

/// One tensor's bytes where the caller keeps them: valid as long as those bytes are. Rows are along the first
/// axis; a vector is one row. Bytes need not be aligned.
struct TensorView {
  std::string_view name;                   ///< as in the file; lives as long as the Checkpoint
  DType dtype = DType::kF32;               ///< kF32, kF16, kBF16 or kI8
  std::size_t rows = 0;                    ///< 1 for a vector
  std::size_t columns = 0;                 ///< elements per row
  std::span<const std::byte> data;         ///< rows * columns elements, row-major, little-endian
  std::span<const std::byte> scales = {};  ///< kI8 only: `rows` F32; element = scales[row] * int8

  [[nodiscard]] bool empty() const { return data.empty(); }
  [[nodiscard]] std::size_t elements() const { return rows * columns; }
  /// The elements themselves if they are F32 and aligned to 4 bytes, else nullptr. No copy.
  [[nodiscard]] const float* f32() const;
  /// The elements themselves if they are I8, else nullptr. No copy.
  [[nodiscard]] const std::int8_t* i8() const;
  /// The scale of a row of an I8 tensor; 1 for other types.
  [[nodiscard]] float scale(std::size_t row) const;
  /// One row as f32. `row` < rows; `out` holds exactly `columns`. F16 and BF16 convert exactly, I8 rounds
  /// once.
  void row_to_float(std::size_t row, std::span<float> out) const;
  /// All elements as f32; `out` holds exactly elements().
  void to_float(std::span<float> out) const;
};

/// Bits of an IEEE half to float, exactly (infinities and NaN too).
[[nodiscard]] float half_to_float(std::uint16_t bits);
/// Nearest half, ties to even; beyond 65504 infinity, NaN stays NaN.
[[nodiscard]] std::uint16_t float_to_half(float value);

// -- BERT's modules -----------------------------------------------------------------------------------------

/// The modules that own tensors, in the order of the computation. Shapes with H hidden, I intermediate, V
/// vocabulary:
enum class ModuleKind : std::uint8_t {
  kWordEmbeddings,       ///< weight [V, H]
  kPositionEmbeddings,   ///< weight [positions, H]
  kTokenTypeEmbeddings,  ///< weight [types, H]
  kEmbeddingsNorm,       ///< weight [H] (gamma), bias [H] (beta)
  kQuery,                ///< weight [H, H] as [out, in], bias [H]
  kKey,                  ///< weight [H, H], bias [H]
  kValue,                ///< weight [H, H], bias [H]
  kAttentionOutput,      ///< weight [H, H], bias [H]
  kAttentionNorm,        ///< weight [H], bias [H]
  kIntermediate,         ///< weight [I, H], bias [I]
  kOutput,               ///< weight [H, I], bias [H]
  kOutputNorm,           ///< weight [H], bias [H]
  kPooler,               ///< weight [H, H], bias [H]
  kMlmTransform,         ///< weight [H, H], bias [H]
  kMlmNorm,              ///< weight [H], bias [H]
  kMlmDecoder,           ///< weight [V, H] (tied: the word embeddings), bias [V]
  kNspClassifier,        ///< weight [2, H], bias [2]
};

/// A module of one model: its kind and, for the eight kinds inside a layer, the layer from 0 (else 0).
struct ModuleId {
  ModuleKind kind = ModuleKind::kWordEmbeddings;
  std::size_t layer = 0;
  friend bool operator==(const ModuleId&, const ModuleId&) = default;
};

/// Hugging Face's name of the module, e.g. "bert.encoder.layer.3.attention.self.query" or
/// "cls.seq_relationship".
[[nodiscard]] std::string module_name(ModuleId id);

/// A module's tensors. Norms and biases are vectors (rows 1) of F32, F16 or BF16; embeddings have no bias
/// (empty).
struct ModuleView {
  TensorView weight;
  TensorView bias;
};

/// The parts of a checkpoint that need not be there.
enum class Head : std::uint8_t { kPooler, kMlm, kNsp };
/// "pooler", "mlm" or "nsp".
[[nodiscard]] std::string_view head_name(Head head);

/// One line of the parameter table.
struct ParameterCount {
  std::string name;         ///< e.g. "word_embeddings"
  std::string formula;      ///< e.g. "30522 x 768", "4 x (768 x 768 + 768) + 2 x 768"
  std::uint64_t count = 0;  ///< what the formula gives
};

/// The notebook's Exercise 3: where the parameters are. Counts follow from the configuration; scales of int8
/// storage are no parameters. `total` is the base model with its pooler, as Hugging Face's BertModel counts
/// it.
struct ParameterTable {
  ParameterCount word_embeddings, position_embeddings, token_type_embeddings, embeddings_norm;
  ParameterCount embeddings;      ///< sum of the four above
  ParameterCount self_attention;  ///< query, key, value, output and its norm, of one layer
  ParameterCount intermediate;    ///< first feed-forward matrix of one layer
  ParameterCount output;          ///< second feed-forward matrix and its norm, of one layer
  ParameterCount encoder_layer;   ///< sum of the three above
  ParameterCount encoder;         ///< all layers
  ParameterCount pooler;
  ParameterCount mlm_transform, mlm_norm, mlm_bias;
  ParameterCount mlm_decoder;  ///< 0 if tied
  ParameterCount mlm_head;     ///< sum of the four above
  ParameterCount nsp_head;
  std::uint64_t total = 0;            ///< embeddings + encoder + pooler (bert-base-uncased: 109,482,240)
  std::uint64_t trainable = 0;        ///< = total: BERT freezes nothing
  std::uint64_t with_mlm_head = 0;    ///< BertForMaskedLM, which has no pooler (109,514,298)
  std::uint64_t with_nsp_head = 0;    ///< BertForNextSentencePrediction (109,483,778)
  std::uint64_t with_both_heads = 0;  ///< BertForPreTraining (110,106,428)
};

/// The table of a configuration alone; no weights needed.
[[nodiscard]] ParameterTable parameter_table(const ModelConfig& config);

/// What a checkpoint's headers say: every tensor found by its BERT name, whatever the naming (gamma/beta or
/// weight/bias, with or without "bert.", heads or not, one file or several), with types and shapes checked
/// against the config. Holds no tensor bytes. Immutable; copying is cheap (shared).
class Checkpoint {
 public:
  /// `headers` in the order in which the files are later given to bind() or ModuleStream. `index` of a
  /// sharded checkpoint is checked against the headers (same number, `index->files` order).
  /// Errors: kInvalidModel for a wrong shape or type, a tensor twice (also under two spellings);
  /// kMissingTensor for a tensor of the embeddings or encoder that is not there. Heads may be missing or
  /// incomplete: see `require`.
  [[nodiscard]] static Expected<Checkpoint> create(ModelConfig config, std::vector<SafetensorsHeader> headers,
                                                   const ShardIndex* index = nullptr);

  [[nodiscard]] const ModelConfig& config() const;
  [[nodiscard]] const std::vector<SafetensorsHeader>& headers() const;

  /// True if every tensor of the head is there.
  [[nodiscard]] bool has(Head head) const;
  /// Success if the head is there, else kMissingTensor naming the first tensor that is not.
  [[nodiscard]] Status require(Head head) const;
  /// True if the MLM decoder's weight is the word embedding table.
  [[nodiscard]] bool decoder_is_tied() const;

  /// The modules that are there (a head only if complete), in the order in which their bytes are complete
  /// when files are read from the first to the last. A tied kMlmDecoder counts by its bias.
  [[nodiscard]] const std::vector<ModuleId>& modules() const;

  /// The stored type of the large matrices (of the first layer's query weight): kF32, kF16, kBF16 or kI8.
  [[nodiscard]] DType storage() const;

  /// One tensor of the files, with what it is to BERT.
  struct Entry {
    const TensorInfo* info = nullptr;  ///< lives as long as this Checkpoint or a copy of it
    std::optional<ModuleId>
        module;  ///< none for what no module uses (position_ids, other heads, a decoder under a tie)
    enum class Role : std::uint8_t { kWeight, kBias, kScales, kUnused } role = Role::kUnused;
  };
  /// Every tensor of every file, in the order of files and bytes.
  [[nodiscard]] const std::vector<Entry>& entries() const;

  /// Number of elements that the files hold for the given part, summed from the headers tensor by tensor
  /// (scales not counted): the check of the table. `base` counts embeddings, encoder and, if there, pooler.
  struct StoredParameters {
    std::uint64_t embeddings = 0, encoder = 0, pooler = 0, mlm_head = 0, nsp_head = 0, unused = 0;
    [[nodiscard]] std::uint64_t base() const { return embeddings + encoder + pooler; }
  };
  [[nodiscard]] StoredParameters stored_parameters() const;

 private:
  struct Data;
  std::shared_ptr<const Data> data_;
  friend class BertWeights;
  friend class ModuleStream;
};

// -- All bytes at hand --------------------------------------------------------------------------------------

/// Typed views of all weights over the caller's bytes; valid as long as those bytes and a copy of the
/// Checkpoint live.
class BertWeights {
 public:
  struct Layer {
    ModuleView query, key, value, attention_output, attention_norm, intermediate, output, output_norm;
  };
  struct MlmHead {
    ModuleView transform, norm;
    ModuleView decoder;  ///< if tied, decoder.weight is word_embeddings' view
  };

  /// `files[i]` is the whole file of header i, its header included. Errors: kInvalidModel if a file's length
  /// is not what its header says.
  [[nodiscard]] static Expected<BertWeights> bind(const Checkpoint& checkpoint,
                                                  std::span<const std::span<const std::byte>> files);

  Checkpoint checkpoint;
  /// Whatever keeps the bytes in being (a memory map), if the caller wants that to last as long as any copy
  /// of this; may be null.
  std::shared_ptr<const void> owner;
  TensorView word_embeddings, position_embeddings, token_type_embeddings;
  ModuleView embeddings_norm;
  std::vector<Layer> layers;         ///< num_hidden_layers of them
  std::optional<ModuleView> pooler;  ///< heads: as Checkpoint::has
  std::optional<MlmHead> mlm;
  std::optional<ModuleView> nsp;

  /// The views of a module that `checkpoint.modules()` names.
  [[nodiscard]] ModuleView module(ModuleId id) const;
};

/// What a visitor has done with a module's bytes.
enum class BytesUse : std::uint8_t {
  kCopied,  ///< packed or copied: these bytes will not be read again and may be released
  kKept,    ///< views into them stay in use
};

/// Called for each module; an error stops the visit and is returned.
using ModuleVisitor = std::function<Expected<BytesUse>(ModuleId id, const ModuleView& module)>;
/// Told of bytes inside the caller's files that nobody will read again. A memory map gives the whole pages in
/// them back (madvise). May be empty.
using ReleaseHook = std::function<void(std::span<const std::byte> bytes)>;

/// Tells `release` of all bytes of a module.
void release_module(const ModuleView& module, const ReleaseHook& release);

/// Visits all modules in file order, and releases each tensor's bytes after a visit that copied them. The
/// word embeddings of a tied checkpoint are visited once as kWordEmbeddings; the tied kMlmDecoder comes with
/// an empty weight and its bias, after kWordEmbeddings: use what was made of the table. So a visitor must
/// keep, in some form, the table for lookups and for the decoder, and peak memory is the packed weights plus
/// one tensor. The visit is the same as ModuleStream's, so that one visitor serves both.
[[nodiscard]] Status visit_modules(const BertWeights& weights, const ModuleVisitor& visitor,
                                   const ReleaseHook& release = {});

// -- Bytes arriving -----------------------------------------------------------------------------------------

/// Turns the bytes of safetensors files, in order as a download brings them, into visits of complete modules.
/// Holds only tensors of modules that are not complete yet (of files in the usual orders: one matrix). Not
/// for concurrent use.
///
/// For each file, `buffer()` says where its next bytes are to be put and `commit(n)` that n of them are
/// there:
///
///   while (auto room = stream.buffer(); !room.empty()) { n = read into room; stream.commit(n); }
///
/// or `push(bytes)` copies them in. Bytes start right after the header (SafetensorsHeader::data_offset).
/// Files come one after the other in the Checkpoint's order. Views given to the visitor are valid during the
/// visit only, aligned to 64 bytes, and `BytesUse` is not looked at: the bytes are always gone afterwards.
class ModuleStream {
 public:
  ModuleStream(Checkpoint checkpoint, ModuleVisitor visitor);
  ~ModuleStream();
  ModuleStream(ModuleStream&&) noexcept;
  ModuleStream& operator=(ModuleStream&&) noexcept;

  /// The file whose bytes are wanted now; headers().size() when all are in.
  [[nodiscard]] std::size_t file() const;
  /// How many bytes of that file's data section are in.
  [[nodiscard]] std::uint64_t position() const;
  /// Room for that file's next bytes, at most to the end of a tensor; valid until the next call. Empty once
  /// all are in. Tensors that no module uses are given a small scratch room over and over.
  [[nodiscard]] Expected<std::span<std::byte>> buffer();
  /// `bytes` of the last buffer() are filled. Visits the module that they complete. After an error, which is
  /// the visitor's own or kInvalidArgument for more bytes than room, every later call returns it again.
  [[nodiscard]] Status commit(std::size_t bytes);
  /// buffer, copy and commit over any number of bytes, which must not run past the current file's end.
  [[nodiscard]] Status push(std::span<const std::byte> bytes);
  /// Success if everything came; else kInvalidModel naming the tensor at which the bytes end.
  [[nodiscard]] Status finish() const;
  /// Bytes held now for modules that are not complete.
  [[nodiscard]] std::size_t held_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// -- Looking at tensors -------------------------------------------------------------------------------------

/// Statistics over one tensor's elements as f32 (int8: with scales). NaN is counted and left out of the
/// others.
struct TensorStatistics {
  std::uint64_t elements = 0;
  std::uint64_t zeros = 0;
  std::uint64_t nans = 0;
  std::uint64_t infinities = 0;
  float min = 0;         ///< of the elements that are not NaN; 0 if there is none
  float max = 0;         ///< likewise
  double mean = 0;       ///< of the finite elements, in double
  double deviation = 0;  ///< standard deviation of the finite elements, divided by their number
};

[[nodiscard]] TensorStatistics tensor_statistics(const TensorView& tensor);

// -- Quantising ---------------------------------------------------------------------------------------------

/// Quantises one row symmetrically: row[i] is near scale * out[i], with out in -127..127 and scale > 0 (1 for
/// a row of zeros). Of the scales max|row| / 127 and several smaller ones, which clip, the one with the least
/// squared error is taken, each refitted by least squares to the integers it gives. Every element must be
/// finite. `out` is as long as `row`. Returns the scale.
[[nodiscard]] float quantize_row(std::span<const float> row, std::span<std::int8_t> out);

/// What the weights are stored as.
enum class Storage : std::uint8_t {
  kInt8,  ///< matrices and the word and position tables I8 with F32 scales per row; norms, biases, token
          ///< types, NSP F32
  kF16,   ///< matrices and tables F16; norms and biases F32
};

/// Plans a safetensors file with the weights of a checkpoint in another storage, and makes its tensors one by
/// one in any order: all sizes follow from the headers, so that a writer can place each tensor when it comes.
///
/// The int8 storage: a plain safetensors file. `NAME` of type I8 keeps its shape [rows, columns]; beside it
/// stands `NAME_scale`, F32 [rows]; element [r, c] = NAME_scale[r] * NAME[r, c]. `__metadata__` says
/// {"format": "pt", "bertlens.storage": "int8"}. All F32 tensors come first, so that every tensor is aligned
/// and a stream has scales and biases before the matrices that they belong to. Tensors keep their names; what
/// no module uses (buffers, a decoder under a tie, other heads) is left out.
class QuantizePlan {
 public:
  /// A position in the planned file and the bytes that belong there.
  using Writer = std::function<Status(std::uint64_t offset, std::span<const std::byte> bytes)>;

  [[nodiscard]] static Expected<QuantizePlan> create(const Checkpoint& checkpoint, Storage storage);

  /// The file's header, to be written at offset 0.
  [[nodiscard]] std::span<const std::byte> header() const;
  /// Length of the whole file.
  [[nodiscard]] std::uint64_t file_bytes() const;
  /// Converts the tensors of one module and writes them (a tied decoder: its bias). Memory: a few rows.
  /// Errors: kInvalidModel naming the tensor (a value that is not finite, or for f16 beyond 65504); the
  /// writer's own.
  [[nodiscard]] Status write(ModuleId id, const ModuleView& module, const Writer& writer) const;

 private:
  struct Data;
  std::shared_ptr<const Data> data_;
};

}  // namespace bert
