// The BERT encoder of https://arxiv.org/abs/1810.04805: token ids in, hidden states, attentions, probes and
// logits out. Encoder holds the weights and is shared; Session holds the working memory of one caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "bert/backend.h"
#include "bert/model.h"
#include "bert/result.h"

namespace bert {

/// Token ids of one sequence, special tokens included; all spans have the length of `input_ids`, which must
/// not be empty. The caller owns the memory, which must last for the call.
struct Sequence {
  std::span<const std::int32_t> input_ids;
  std::span<const std::int32_t> token_type_ids = {};  ///< empty: all 0
  std::span<const std::int32_t> attention_mask =
      {};  ///< 1 real, 0 hidden, zeros anywhere; empty: all 1 (mask off)
};

/// The rows of a padded batch [batch, tokens] as sequences. `token_type_ids` and `attention_mask` may be
/// empty. Errors: kInvalidArgument when a size is not batch * tokens.
Expected<std::vector<Sequence>> make_sequences(std::size_t batch, std::size_t tokens,
                                               std::span<const std::int32_t> input_ids,
                                               std::span<const std::int32_t> token_type_ids,
                                               std::span<const std::int32_t> attention_mask);

/// kInvalidModel where one of the model's numbers is not finite, which only damaged weights give. `what`
/// names them in the plural: "hidden states".
Status check_finite(std::span<const float> values, std::string_view what);

/// One token of a batch: `token` counts from 0 within the sequence, padding included.
struct Position {
  std::size_t sequence = 0;
  std::size_t token = 0;
  friend bool operator==(const Position&, const Position&) = default;
};

/// Which tokens a result has rows for.
enum class RowChoice {
  kAll,        ///< every real token (every token with `padding_rows`), in batch order
  kFirst,      ///< [CLS]: the first real token of each sequence (with `padding_rows` token 0, as Hugging Face
               ///< takes it)
  kPositions,  ///< those of Request::positions, in that order
};

/// Inner values of a layer. The names are the same in every face of the project (`probe_name`).
enum class Probe {
  kEmbeddingSum,     ///< word + position + type embedding before the layer norm [rows, hidden]; layer is 0
  kQuery,            ///< [rows, hidden], heads side by side, as all below
  kKey,              ///< [rows, hidden]
  kValue,            ///< [rows, hidden]
  kScores,           ///< q k^T / sqrt(head size) before the mask: in the form of an attention, see Output
  kContext,          ///< probabilities times values, before the output projection [rows, hidden]
  kAttentionOutput,  ///< after the attention's residual and layer norm [rows, hidden]
  kFeedForward,      ///< after the activation [rows, intermediate]
};

/// "embedding_sum", "query", "key", "value", "scores", "context", "attention_output", "feed_forward".
std::string_view probe_name(Probe probe);

struct ProbeRequest {
  Probe probe = Probe::kQuery;
  std::size_t layer = 0;  ///< from 0
};

/// What a call should give. Nothing is computed that no field asks for: layers above the last one needed are
/// not run, the last one computes only the rows that are read, and attentions are kept only for the layers
/// named.
struct Request {
  /// Hidden states by number: 0 the embeddings, i the output of layer i; `layers` is last_hidden_state.
  std::vector<std::size_t> hidden_states;
  RowChoice rows = RowChoice::kAll;     ///< rows of the hidden states and of the probes
  std::vector<Position> positions;      ///< for RowChoice::kPositions
  std::vector<std::size_t> attentions;  ///< layers from 0
  std::vector<std::size_t>
      attention_heads;  ///< heads of attentions and score probes, in this order; empty: all
  std::vector<ProbeRequest> probes;
  bool pooler = false;  ///< tanh(W h + b), h the last hidden state of the row that RowChoice::kFirst names
  bool nsp = false;     ///< next-sentence logits: index 0 is "is next"
  std::vector<Position> mlm;  ///< vocabulary logits at these tokens
  /// Instead of all logits only so many of each position, the best ones, with what turns them into
  /// probabilities: at most WorkSizes::best_words of the backend. 0: all logits.
  std::size_t mlm_best = 0;
  std::size_t mlm_tokens = 0;  ///< with `mlm_best`: only ids below it are candidates; 0: all are
  /// Compute hidden states and attention rows of tokens with mask 0 too, as a padded implementation does.
  /// Without it they are left out of the computation, kAll skips them, attention rows and columns of theirs
  /// are 0, and a position that names one is an error. Real tokens' values are the same either way.
  bool padding_rows = false;
  /// The batch is a part of a longer one: the number there of its first sequence, for error messages.
  std::optional<std::size_t> first_sequence;
  /// Polled between layers on the calling thread; true ends the call with kAborted. May be empty.
  std::function<bool()> aborted;
};

/// An array of floats in row-major order; data.size() is the product of the shape.
struct Tensor {
  std::vector<std::size_t> shape;
  std::vector<float> data;
};

/// What Request::mlm_best asks for, position by position.
struct MlmBest {
  std::vector<double> log_sums;   ///< [positions] ln of the sum of exp(logit) over the whole vocabulary; NaN
                                  ///< where a logit is not finite
  std::vector<std::int32_t> ids;  ///< [positions, mlm_best] best first; of equal logits the smaller id comes
                                  ///< first. Under a NaN the first is that of a logit that is not finite
  std::vector<float> logits;      ///< [positions, mlm_best] theirs
};

/// The results, in the order of the request's lists; lists that were not asked for are empty.
struct Output {
  std::vector<Position> rows;         ///< which token each row of a hidden state or probe is
  std::vector<Tensor> hidden_states;  ///< [rows, hidden] each
  /// attentions[i][s]: [heads, tokens, tokens] of sequence s, query by key, tokens counted with padding.
  std::vector<std::vector<Tensor>> attentions;
  std::vector<Tensor> probes;               ///< [rows, width] each; empty shape for kScores
  std::vector<std::vector<Tensor>> scores;  ///< for each kScores probe in order: as attentions
  Tensor pooler;                            ///< [batch, hidden]
  Tensor nsp;                               ///< [batch, 2]
  Tensor mlm;                               ///< [positions, vocabulary]; empty with Request::mlm_best
  MlmBest mlm_best;                         ///< empty without
};

/// The weights of one checkpoint on one backend. Immutable: share one between any number of sessions and
/// threads.
class Encoder {
 public:
  /// Packs weights whose bytes are all at hand. Word embeddings (and an untied decoder) that need no
  /// narrowing stay in the caller's bytes, which must then outlive the encoder (`weights.owner` is kept); all
  /// others are read once and reported to `release`. Errors: kInvalidModel, kUnsupported, kOutOfMemory.
  static Expected<std::shared_ptr<const Encoder>> create(const BertWeights& weights,
                                                         std::shared_ptr<Backend> backend,
                                                         Precision precision,
                                                         const ReleaseHook& release = {});
  ~Encoder();

  const ModelConfig& config() const;
  Precision precision() const;
  const Backend& backend() const;
  bool has_pooler() const;
  bool has_mlm_head() const;
  bool has_nsp_head() const;  ///< needs the pooler too
  /// Bytes of packed weights, without tables that are read in the caller's bytes.
  std::size_t owned_bytes() const;

  struct Data;  ///< internal

 private:
  friend class EncoderBuilder;
  friend class Session;
  Encoder();
  std::unique_ptr<Data> data_;
};

/// Builds an encoder from modules in any order, as they arrive: `add` is a ModuleVisitor for visit_modules
/// and ModuleStream. Not for two threads at once.
class EncoderBuilder {
 public:
  /// `bytes` says whether tables may be read in place (kBorrow; `add` then answers kKept for them) or the
  /// views given to `add` end with the call (kCopy).
  EncoderBuilder(ModelConfig config, std::shared_ptr<Backend> backend, Precision precision, TableBytes bytes);
  ~EncoderBuilder();
  EncoderBuilder(EncoderBuilder&&) noexcept;
  EncoderBuilder& operator=(EncoderBuilder&&) noexcept;

  /// Packs one module. The parts of a stacked layer (query, key, value) wait until the last of them is there:
  /// copied under kCopy, under kBorrow where they are (`add` answers kKept, and the bytes are free once the
  /// last one is packed). Errors: kInvalidArgument for a module twice or of a layer that the config does not
  /// have, kInvalidModel for a shape that is not the config's, kOutOfMemory.
  Expected<BytesUse> add(ModuleId id, const ModuleView& module);
  /// The encoder, once. Errors: kMissingTensor naming the first module of embeddings or layers that did not
  /// come. An incomplete head is left out.
  Expected<std::shared_ptr<const Encoder>> finish();

 private:
  friend class Encoder;
  struct State;
  std::unique_ptr<State> state_;
};

/// One caller's working memory, which grows to the largest batch seen and is kept. Not for two threads at
/// once: make one session per thread. Sessions of one backend may run at the same time; with more than one
/// thread their operations take turns on the backend's threads.
class Session {
 public:
  static Expected<std::unique_ptr<Session>> create(std::shared_ptr<const Encoder> encoder);
  ~Session();

  /// Runs the encoder on a batch of sequences of any lengths. Hidden tokens cost nothing (see
  /// Request::padding_rows). A call gives the same bits each time on one machine, build and number of
  /// threads. Errors: kInvalidArgument (empty batch or sequence, sizes that differ, an id, type, mask value,
  /// layer, head or position out of range, a sequence without a real token and without `padding_rows`, more
  /// best words than the backend finds or there are), kTooLong (more tokens than the model has positions),
  /// kMissingTensor (a head that the checkpoint lacks), kAborted, kOutOfMemory. The session stays usable.
  Expected<Output> run(std::span<const Sequence> batch, const Request& request);

  const Encoder& encoder() const;

  struct Data;  ///< internal

 private:
  Session();
  std::unique_ptr<Data> data_;
};

}  // namespace bert
