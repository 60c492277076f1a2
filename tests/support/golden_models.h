// The golden values of tests/golden/bert (made by PyTorch, see tests/golden/README.md), read for comparison.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "support/checkpoint_maker.h"

namespace bert_test {

/// An array of floats, row-major.
struct GoldenTensor {
  std::vector<std::size_t> shape;
  std::vector<float> data;
};

/// The words with the highest logits at one position of a batch of one sequence.
struct GoldenWords {
  std::size_t token = 0;
  std::vector<std::int32_t> ids;  ///< highest first
  std::vector<float> logits;
  double log_sum = 0;  ///< logarithm of the sum of all words' exponentials
};

/// One input and everything that the model gives for it. Fields that the file leaves out are empty. Every
/// position is there, padding too: values of padding positions are those of a padded computation.
struct GoldenCase {
  std::string name;
  std::size_t batch = 0, tokens = 0;
  std::vector<std::int32_t> input_ids, token_type_ids, attention_mask;  ///< [batch, tokens]
  std::vector<std::int32_t> labels;               ///< [batch, tokens], -100: not counted
  std::vector<std::int32_t> next_sentence_label;  ///< [batch], 0: is next
  std::vector<GoldenTensor> hidden_states;        ///< layers + 1 of [batch, tokens, hidden]
  std::vector<GoldenTensor> attentions;           ///< layers of [batch, heads, tokens, tokens]
  std::optional<GoldenTensor> pooler_output;      ///< [batch, hidden]
  std::optional<GoldenTensor> nsp_logits;         ///< [batch, 2]
  std::optional<GoldenTensor> mlm_logits;         ///< [batch, tokens, vocabulary]
  std::vector<GoldenWords> mlm_words;             ///< instead of mlm_logits, at the masks
  std::vector<double> mlm_losses;                 ///< for each label that counts, in order
  std::optional<double> mlm_loss, nsp_loss;       ///< means
  std::optional<GoldenTensor> embedding_sum;      ///< [batch, tokens, hidden]
  /// By layer and name ("query", "key", "value", "context", "attention_output", "feed_forward": [batch,
  /// tokens, width]; "scores": [batch, heads, tokens, tokens], before the mask).
  std::vector<std::map<std::string, GoldenTensor>> probes;
  std::vector<std::int32_t> scored_ids;   ///< one sequence with [CLS] and [SEP]
  std::vector<double> log_probabilities;  ///< of each id between them, masked in turn (as id 4)
};

struct GoldenModel {
  std::string name;
  CheckpointSpec spec;
  std::uint64_t weights_fnv1a = 0;  ///< what weights_checksum() of the right weights gives
  double float32_error = 0;         ///< how far PyTorch's own float32 hidden states are from these
  std::vector<GoldenCase> cases;
};

/// The names in tests/golden/models.json.
std::vector<std::string> golden_names();

/// Nothing if a file is missing or is not what make_golden.py writes.
std::optional<GoldenModel> load_golden(const std::string& name);

/// The cases of the default model (models/default), as make_default_golden.py writes them; else nothing.
std::optional<std::vector<GoldenCase>> load_default_golden();

}  // namespace bert_test
