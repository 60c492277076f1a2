// Checks a batch and a request, and decides which rows and layers are computed.
#include "encoder/plan.h"

#include <algorithm>
#include <string>

namespace bert {

namespace {

std::string text(std::size_t number) {
  return std::to_string(number);
}

tl::unexpected<Error> out_of_range(const char* what, std::size_t value, const char* of, std::size_t count) {
  return fail(ErrorCode::kInvalidArgument, std::string(what) + " " + text(value) +
                                               " is out of range: the model has " + text(count) + " " + of);
}

/// Checks one sequence's numbers; `where` names it in errors.
Status check(const Sequence& sequence, const std::string& where, const ModelConfig& config) {
  const std::size_t tokens = sequence.input_ids.size();
  if (tokens == 0) return fail(ErrorCode::kInvalidArgument, where + " has no tokens");
  if (tokens > config.max_position_embeddings)
    return fail(ErrorCode::kTooLong, where + " has " + text(tokens) + " tokens, more than the model's " +
                                         text(config.max_position_embeddings) + " positions: truncate it");
  if (!sequence.token_type_ids.empty() && sequence.token_type_ids.size() != tokens)
    return fail(ErrorCode::kInvalidArgument, where + " has " + text(tokens) + " ids but " +
                                                 text(sequence.token_type_ids.size()) + " token type ids");
  if (!sequence.attention_mask.empty() && sequence.attention_mask.size() != tokens)
    return fail(ErrorCode::kInvalidArgument, where + " has " + text(tokens) + " ids but " +
                                                 text(sequence.attention_mask.size()) +
                                                 " attention mask values");
  const auto in_range = [](std::int32_t value, std::size_t count) {
    return value >= 0 && static_cast<std::size_t>(value) < count;
  };
  for (std::size_t i = 0; i < tokens; ++i) {
    const auto at = [&where, i] { return where + ", token " + text(i) + ": "; };
    if (!in_range(sequence.input_ids[i], config.vocab_size))
      return fail(ErrorCode::kInvalidArgument, at() + "id " + std::to_string(sequence.input_ids[i]) +
                                                   " is not in the vocabulary of " + text(config.vocab_size));
    if (!sequence.token_type_ids.empty() && !in_range(sequence.token_type_ids[i], config.type_vocab_size))
      return fail(ErrorCode::kInvalidArgument,
                  at() + "token type id " + std::to_string(sequence.token_type_ids[i]) +
                      " is out of range: the model has " + text(config.type_vocab_size));
    if (!sequence.attention_mask.empty() && !in_range(sequence.attention_mask[i], 2))
      return fail(
          ErrorCode::kInvalidArgument,
          at() + "attention mask " + std::to_string(sequence.attention_mask[i]) + " is neither 0 nor 1");
  }
  return {};
}

bool uses_attention_matrix(const Request& request, std::size_t layer) {
  const auto is_scores = [layer](const ProbeRequest& probe) {
    return probe.probe == Probe::kScores && probe.layer == layer;
  };
  return std::find(request.attentions.begin(), request.attentions.end(), layer) != request.attentions.end() ||
         std::any_of(request.probes.begin(), request.probes.end(), is_scores);
}

}  // namespace

Expected<std::uint32_t> PackedBatch::row_of(Position position) const {
  if (position.sequence >= sequence_count() || position.token >= tokens[position.sequence])
    return fail(ErrorCode::kInvalidArgument, "the batch has no token " + text(position.token) +
                                                 " in a sequence " + text(position.sequence));
  const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(first_row[position.sequence]);
  const auto end = rows.begin() + static_cast<std::ptrdiff_t>(first_row[position.sequence + 1]);
  const auto at = std::lower_bound(begin, end, position.token,
                                   [](const Position& row, std::size_t token) { return row.token < token; });
  if (at == end || at->token != position.token)
    return fail(ErrorCode::kInvalidArgument, "position " + text(position.token) + " of sequence " +
                                                 text(position.sequence) +
                                                 " has attention mask 0; ask for padding rows to compute it");
  return static_cast<std::uint32_t>(at - rows.begin());
}

Expected<PackedBatch> PackedBatch::make(std::span<const Sequence> batch, const ModelConfig& config,
                                        const Request& request) {
  if (batch.empty()) return fail(ErrorCode::kInvalidArgument, "an empty batch");
  PackedBatch packed;
  bool hides = false;
  for (std::size_t s = 0; s < batch.size(); ++s) {
    const Sequence& sequence = batch[s];
    const std::string name = batch.size() > 1 || request.first_sequence
                                 ? "sequence " + text(request.first_sequence.value_or(0) + s)
                                 : "the sequence";
    const Status checked = check(sequence, name, config);
    if (!checked) return tl::unexpected(checked.error());
    packed.first_row.push_back(packed.row_count());
    packed.tokens.push_back(sequence.input_ids.size());
    for (std::size_t i = 0; i < sequence.input_ids.size(); ++i) {
      const bool real = sequence.attention_mask.empty() || sequence.attention_mask[i] != 0;
      if (!real && !request.padding_rows) continue;
      hides = hides || !real;
      packed.ids.push_back(sequence.input_ids[i]);
      packed.type_ids.push_back(sequence.token_type_ids.empty() ? 0 : sequence.token_type_ids[i]);
      packed.position_ids.push_back(static_cast<std::int32_t>(i));
      packed.rows.push_back({s, i});
      packed.visible.push_back(real ? 1 : 0);
    }
    if (packed.row_count() == packed.first_row.back())
      return fail(ErrorCode::kInvalidArgument, "the attention mask of " + name + " hides every token");
  }
  packed.first_row.push_back(packed.row_count());
  if (!hides) packed.visible.clear();
  return packed;
}

Expected<Plan> Plan::make(const PackedBatch& batch, const Request& request, const Encoder& encoder) {
  const ModelConfig& config = encoder.config();
  const std::size_t layers = config.num_hidden_layers;
  Plan plan;

  // how far
  std::size_t whole = 0;  // layers whose output is read
  std::size_t part = 0;   // layers whose inside is read
  for (const std::size_t state : request.hidden_states) {
    if (state > layers) return out_of_range("hidden state", state, "layers", layers);
    whole = std::max(whole, state);
  }
  for (const std::size_t layer : request.attentions) {
    if (layer >= layers) return out_of_range("attention layer", layer, "layers", layers);
    part = std::max(part, layer + 1);
  }
  for (const std::size_t head : request.attention_heads)
    if (head >= config.num_attention_heads)
      return out_of_range("attention head", head, "heads", config.num_attention_heads);
  for (const ProbeRequest& probe : request.probes) {
    if (probe.layer >= layers) return out_of_range("probe layer", probe.layer, "layers", layers);
    if (probe.probe == Probe::kEmbeddingSum) {
      if (probe.layer != 0)
        return fail(ErrorCode::kInvalidArgument,
                    "probe embedding_sum is of layer 0, not " + text(probe.layer));
    } else if (probe.probe == Probe::kAttentionOutput || probe.probe == Probe::kFeedForward) {
      whole = std::max(whole, probe.layer + 1);
    } else {
      part = std::max(part, probe.layer + 1);
    }
  }
  if (request.pooler && !encoder.has_pooler())
    return fail(ErrorCode::kMissingTensor, "the checkpoint has no pooler (bert.pooler.dense)");
  if (request.nsp && !encoder.has_nsp_head())
    return fail(ErrorCode::kMissingTensor,
                encoder.has_pooler()
                    ? "the checkpoint has no next-sentence head (cls.seq_relationship)"
                    : "the checkpoint has no pooler (bert.pooler.dense), which next sentence needs");
  if (!request.mlm.empty() && !encoder.has_mlm_head())
    return fail(ErrorCode::kMissingTensor,
                "the checkpoint has no masked-language-model head (cls.predictions)");
  if (kMayFindBestWords && request.mlm_best > 0) {
    const std::size_t most = encoder.backend().work_sizes().best_words;
    if (request.mlm_best > most)
      return fail(ErrorCode::kInvalidArgument, text(request.mlm_best) + " best words: the " +
                                                   std::string(encoder.backend().name()) +
                                                   " backend finds at most " + text(most));
    if (request.mlm_tokens > config.vocab_size)
      return fail(ErrorCode::kInvalidArgument, "best words among " + text(request.mlm_tokens) +
                                                   " tokens: the vocabulary has " + text(config.vocab_size));
    const std::size_t among = request.mlm_tokens == 0 ? config.vocab_size : request.mlm_tokens;
    if (request.mlm_best > among)
      return fail(ErrorCode::kInvalidArgument,
                  text(request.mlm_best) + " best words among " + text(among) + " tokens");
  }
  if (request.pooler || request.nsp || !request.mlm.empty()) whole = layers;
  plan.layers = std::max(whole, part);
  plan.last_in_full = whole >= part;

  // which rows
  std::vector<std::uint32_t> first(batch.first_row.begin(), batch.first_row.end() - 1);
  const bool shows = !request.hidden_states.empty() || !request.probes.empty();
  if (shows && request.rows == RowChoice::kAll) {
    plan.shown.resize(batch.row_count());
    for (std::size_t r = 0; r < plan.shown.size(); ++r) plan.shown[r] = static_cast<std::uint32_t>(r);
  } else if (shows && request.rows == RowChoice::kFirst) {
    plan.shown = first;
  }
  if (request.rows == RowChoice::kPositions)
    for (const Position& position : request.positions) {
      const auto row = batch.row_of(position);
      if (!row) return tl::unexpected(row.error());
      if (shows) plan.shown.push_back(*row);
    }
  if (request.pooler || request.nsp) plan.first = std::move(first);
  for (const Position& position : request.mlm) {
    const auto row = batch.row_of(position);
    if (!row) return tl::unexpected(row.error());
    plan.mlm.push_back(*row);
  }

  // what of the last layer that runs: its rows are read by nothing but what was asked for
  if (plan.layers == 0) return plan;
  if (uses_attention_matrix(request, plan.layers - 1)) {
    plan.last.resize(batch.row_count());
    for (std::size_t r = 0; r < plan.last.size(); ++r) plan.last[r] = static_cast<std::uint32_t>(r);
    return plan;
  }
  plan.last = plan.shown;
  plan.last.insert(plan.last.end(), plan.first.begin(), plan.first.end());
  plan.last.insert(plan.last.end(), plan.mlm.begin(), plan.mlm.end());
  // a heap sort; model/safetensors.cpp says why
  std::partial_sort(plan.last.begin(), plan.last.end(), plan.last.end());
  plan.last.erase(std::unique(plan.last.begin(), plan.last.end()), plan.last.end());
  return plan;
}

}  // namespace bert
