// What BERT was trained for, and what people use it for: masked words, next sentences, sentence embeddings,
// scores, and the effect of the attention mask. Text in, answers out; the tokenizer and the encoder do the
// work.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bert/encoder.h"
#include "bert/result.h"
#include "bert/tokenizer.h"

namespace bert {

namespace tasks {
struct Data;  // internal
}

/// How a caller watches or ends a call. Both are called on the caller's thread, between batches and layers.
struct CallControl {
  std::function<bool()> aborted;                                      ///< true ends the call with kAborted
  std::function<void(std::size_t done, std::size_t total)> progress;  ///< sequences computed so far, of all
};

/// The label of positions that a loss leaves out (PyTorch's ignore_index).
inline constexpr std::int32_t kIgnoredLabel = -100;

// ---- masked language model ------------------------------------------------------------------------------

/// How several [MASK]s of one text are filled.
enum class MaskOrder {
  kIndependent,    ///< each as if alone: every other one stays [MASK]; the probabilities are not joint
  kLeftToRight,    ///< each filled with its best prediction before the next is computed
  kMostConfident,  ///< as kLeftToRight, but always the one whose best prediction is the most probable
};

/// "independent", "left_to_right", "most_confident"; literals that live for ever.
std::string_view mask_order_name(MaskOrder order);

struct FillMaskInput {
  TextInput text;
  /// Score these words alone (their probabilities stay those over the whole vocabulary). A target is looked
  /// up as it stands ("##ing" is possible), else tokenised; one of several pieces takes that many masks.
  std::span<const std::string> targets;
  /// The text with its masks filled rightly, for labels and loss. Must have as many tokens as `text`, and
  /// leave none of its masks.
  std::optional<std::string_view> label_text;
};

struct FillMaskOptions {
  /// Predictions per mask, 1 to the vocabulary's size; unset: 5, or all targets where there are any.
  std::optional<std::size_t> top_k;
  MaskOrder order = MaskOrder::kIndependent;
};

/// A token, or a target of several pieces, at a mask.
struct Prediction {
  std::string token;                 ///< as the vocabulary writes it; a target of several pieces as given
  std::vector<std::int32_t> pieces;  ///< its ids; one unless it is a target of several pieces
  /// Softmax over the whole vocabulary. Of several pieces: the product of P(piece | the pieces before it, the
  /// masks of those after it), n masks standing in place of the one; comparable only with targets of n
  /// pieces.
  double probability = 0;
  float logit = 0;        ///< NaN for several pieces
  double loss = 0;        ///< -ln(probability): the cross-entropy if this were the label
  std::size_t rank = 0;   ///< among the whole vocabulary, from 1; 0 for several pieces
  double cumulative = 0;  ///< probability of this and of all predictions before it in the list
};

struct MaskAnswer {
  std::size_t position = 0;             ///< token of the encoding, from 0
  std::size_t step = 0;                 ///< when it was filled, from 0; 0 for all if independent
  std::vector<Prediction> predictions;  ///< most probable first; equal ones by id
  std::optional<Prediction> label;      ///< the label's own figures, where a label text was given
};

struct FillMaskAnswer {
  Encoding encoding;                    ///< of the text as given
  std::vector<MaskAnswer> masks;        ///< by position; at least one
  std::vector<std::int32_t> filled;     ///< ids with each mask replaced by its best prediction
  std::string sequence;                 ///< `filled` as text, without special tokens
  std::vector<std::int32_t> label_ids;  ///< ids of the label text; empty without one
  std::vector<std::int32_t> labels;     ///< the same with kIgnoredLabel wherever `text` has no mask
  std::optional<double> loss;           ///< mean of the masks' losses, where a label text was given
};

/// One word that `mask_words` took out.
struct MaskedWord {
  std::size_t word = 0;        ///< its index among the words between white space, from 0
  std::string original;        ///< without punctuation around it
  std::size_t first_mask = 0;  ///< its first [MASK] among those of the whole text, from 0
  std::size_t masks = 1;
};

struct MaskedText {
  std::string text;
  std::vector<MaskedWord> words;  ///< in the order of the text
};

/// Replaces words by [MASK] (Exercise 4 of the notebook). `positions` count the words between white space
/// from 0; punctuation at a word's ends stays. With `one_mask_per_piece` a word of several pieces becomes
/// that many masks, so that the model can give it back; else one. Errors: kInvalidArgument for a position
/// that is not there, that is punctuation only, or that comes twice.
Expected<MaskedText> mask_words(const Tokenizer& tokenizer, std::string_view text,
                                std::span<const std::size_t> positions, bool one_mask_per_piece = true);

// ---- score ----------------------------------------------------------------------------------------------

struct ScoreOptions {
  /// When a token is masked, mask the later pieces of its word too, so that a long word is not given away by
  /// its own end (https://arxiv.org/abs/2305.10588).
  bool hide_rest_of_word = false;
};

struct ScoredToken {
  std::size_t position = 0;    ///< token of the encoding
  double log_probability = 0;  ///< ln P(token | all others), the token itself masked
  std::size_t rank = 0;        ///< of the token among the whole vocabulary, from 1
  std::int32_t best_id = 0;    ///< what the model would have put there
  double best_probability = 0;
};

/// Pseudo-log-likelihood of https://arxiv.org/abs/1910.14659: the sum over the tokens, special ones left out.
struct Score {
  Encoding encoding;
  std::vector<ScoredToken> tokens;
  double pseudo_log_likelihood = 0;  ///< 0 for a text without tokens
};

// ---- next sentence --------------------------------------------------------------------------------------

struct NextSentence {
  double is_next = 0;   ///< softmax of the logits; index 0 is "is next"
  double not_next = 0;  ///< 1 - is_next, computed without loss
  std::array<float, 2> logits{};

  double confidence() const { return is_next > not_next ? is_next : not_next; }
  /// |logits[0] - logits[1]|: tells answers apart that are all 1.000.
  double margin() const;
};

struct JudgedPair {
  NextSentence answer;
  bool label = false;      ///< true: the second sentence does follow
  bool predicted = false;  ///< is_next > threshold
  bool correct() const { return label == predicted; }
};

/// Metrics of Exercise 5; "is next" is the positive class. A ratio without a denominator is 0.
struct NextSentenceReport {
  double threshold = 0.5;
  double accuracy = 0, precision = 0, recall = 0, f1 = 0;
  std::size_t true_positives = 0, false_positives = 0, true_negatives = 0, false_negatives = 0;
  std::size_t highest_confidence =
      0;  ///< index of the surest pair, right or wrong; ties broken by the margin
  double mean_confidence = 0;
  /// Pairs by confidence in ten steps of 0.05 from 0.5 to 1, right and wrong ones apart.
  std::array<std::size_t, 10> correct_by_confidence{};
  std::array<std::size_t, 10> wrong_by_confidence{};
  std::vector<JudgedPair> pairs;
};

/// Holds answers against labels (1: is next, 0: not). Errors: kInvalidArgument for no pair, for counts that
/// differ, or a threshold outside 0 ... 1.
Expected<NextSentenceReport> evaluate_next_sentence(std::span<const NextSentence> answers,
                                                    std::span<const std::uint8_t> labels,
                                                    double threshold = 0.5);

// ---- embeddings -----------------------------------------------------------------------------------------

enum class Pooling {
  kCls,   ///< the last hidden state of [CLS]
  kMean,  ///< the mean over all tokens, [CLS] and [SEP] too, as sentence-transformers takes it
  kMax,   ///< the greatest value of each component over the same tokens
};

/// "cls", "mean", "max"; literals that live for ever.
std::string_view pooling_name(Pooling pooling);

struct EmbedOptions {
  Pooling pooling = Pooling::kMean;
  bool normalize = false;  ///< to length 1; a zero vector stays zero
};

/// Cosine of the angle between two vectors of one length, from -1 to 1; 0 where one is zero, NaN where one
/// has a number that is not finite.
double cosine_similarity(std::span<const float> a, std::span<const float> b);

// ---- effect of the attention mask -----------------------------------------------------------------------

/// One sequence of a padded batch, computed with and without the mask. A hidden state is 0 (the embeddings)
/// or a layer's output, so there are layers + 1 of them.
struct MaskEffect {
  std::size_t tokens = 0;                      ///< real ones
  std::size_t padding = 0;                     ///< 0: both computations are the same, all distances are 0
  double cls_l2 = 0;                           ///< distance of the [CLS] vectors of the last hidden state
  std::vector<double> per_layer;               ///< the same for every hidden state
  std::vector<std::vector<double>> per_token;  ///< [hidden state][real token]
};

// ---- the tasks ------------------------------------------------------------------------------------------

/// One tokenizer and one encoder behind the tasks, with the working memory of one caller: not for two threads
/// at once; make one per thread (tokenizer and weights are shared). Batches give one result per input, so
/// that one bad input does not spoil the others; what fails as a whole (abort, memory) fails every input
/// left. Common errors: kTooLong (more tokens than the model has positions), kMissingTensor (the checkpoint
/// lacks the head), kAborted, kOutOfMemory.
class Tasks {
 public:
  /// `encoding` says how texts become tokens (truncation, special tokens in text); its padding is not used.
  /// Truncation without a `max_length` cuts at what the tokenizer and the model both take.
  /// Errors: kInvalidModel when the tokenizer has more entries than the model, or lacks a special token.
  static Expected<std::unique_ptr<Tasks>> create(std::shared_ptr<const Tokenizer> tokenizer,
                                                 std::shared_ptr<const Encoder> encoder,
                                                 const EncodeOptions& encoding = {});
  ~Tasks();

  /// How texts become tokens from now on, as in create().
  void set_encoding(const EncodeOptions& encoding);

  const Tokenizer& tokenizer() const;
  const Encoder& encoder() const;
  /// The session that the tasks run on, for calls that need more than they give.
  Session& session();

  /// The tokens of a text as the tasks take them, for such calls.
  Expected<Encoding> encode(const TextInput& text);
  /// Whether any text so far was cut because `max_length` was given without `truncation`.
  bool truncation_implied() const;

  /// Errors: kInvalidText (no [MASK] in the text; a label text of another length or with a [MASK] left),
  /// kInvalidArgument (top_k out of range; a target without pieces in the vocabulary).
  Expected<FillMaskAnswer> fill_mask(const FillMaskInput& input, const FillMaskOptions& options = {},
                                     const CallControl& control = {});
  std::vector<Expected<FillMaskAnswer>> fill_mask_batch(std::span<const FillMaskInput> inputs,
                                                        const FillMaskOptions& options = {},
                                                        const CallControl& control = {});

  Expected<Score> score(const TextInput& text, const ScoreOptions& options = {},
                        const CallControl& control = {});

  /// Errors: kInvalidText for an input without a second text.
  Expected<NextSentence> next_sentence(const TextInput& pair, const CallControl& control = {});
  std::vector<Expected<NextSentence>> next_sentence_batch(std::span<const TextInput> pairs,
                                                          const CallControl& control = {});

  /// [hidden] floats.
  Expected<std::vector<float>> embed(const TextInput& text, const EmbedOptions& options = {},
                                     const CallControl& control = {});
  std::vector<Expected<std::vector<float>>> embed_batch(std::span<const TextInput> texts,
                                                        const EmbedOptions& options = {},
                                                        const CallControl& control = {});

  /// The texts padded to the longest, with the mask and without it (cell 7 of the notebook). Errors:
  /// kInvalidArgument for no text.
  Expected<std::vector<MaskEffect>> mask_effect(std::span<const TextInput> texts,
                                                const CallControl& control = {});
  /// cls_l2 of one text for each of these numbers of padding tokens, which stand on its right, whatever the
  /// tokenizer's padding side.
  Expected<std::vector<double>> mask_effect_curve(const TextInput& text,
                                                  std::span<const std::size_t> paddings,
                                                  const CallControl& control = {});

 private:
  explicit Tasks(std::unique_ptr<tasks::Data> data);
  std::unique_ptr<tasks::Data> data_;
};

}  // namespace bert
