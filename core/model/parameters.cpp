// The parameter table (Exercise 3): counts with the formulas that give them.
#include "bert/model.h"

namespace bert {
namespace {

std::string times(std::size_t a, std::size_t b) {
  return std::to_string(a) + " x " + std::to_string(b);
}
std::string dense(std::size_t in, std::size_t out) {
  return times(in, out) + " + " + std::to_string(out);
}

ParameterCount sum(std::string name, std::initializer_list<const ParameterCount*> parts) {
  ParameterCount total{std::move(name), "", 0};
  for (const ParameterCount* part : parts) {
    total.formula += (total.formula.empty() ? "" : " + ") + std::to_string(part->count);
    total.count += part->count;
  }
  return total;
}

}  // namespace

ParameterTable parameter_table(const ModelConfig& config) {
  const std::uint64_t vocab = config.vocab_size;
  const std::uint64_t hidden = config.hidden_size;
  const std::uint64_t inner = config.intermediate_size;
  const std::uint64_t positions = config.max_position_embeddings;
  const std::uint64_t types = config.type_vocab_size;
  const std::uint64_t layers = config.num_hidden_layers;
  const std::string norm = times(2, config.hidden_size);
  const std::string square = dense(config.hidden_size, config.hidden_size);

  ParameterTable t;
  t.word_embeddings = {"word_embeddings", times(config.vocab_size, config.hidden_size), vocab * hidden};
  t.position_embeddings = {"position_embeddings", times(config.max_position_embeddings, config.hidden_size),
                           positions * hidden};
  t.token_type_embeddings = {"token_type_embeddings", times(config.type_vocab_size, config.hidden_size),
                             types * hidden};
  t.embeddings_norm = {"layer_norm", norm, 2 * hidden};
  t.embeddings = sum("embeddings", {&t.word_embeddings, &t.position_embeddings, &t.token_type_embeddings,
                                    &t.embeddings_norm});
  t.self_attention = {"self_attention", "4 x (" + square + ") + " + norm,
                      4 * (hidden * hidden + hidden) + 2 * hidden};
  t.intermediate = {"intermediate", dense(config.hidden_size, config.intermediate_size),
                    hidden * inner + inner};
  t.output = {"output", dense(config.intermediate_size, config.hidden_size) + " + " + norm,
              inner * hidden + hidden + 2 * hidden};
  t.encoder_layer = sum("encoder_layer", {&t.self_attention, &t.intermediate, &t.output});
  t.encoder = {"encoder",
               std::to_string(config.num_hidden_layers) + " x " + std::to_string(t.encoder_layer.count),
               layers * t.encoder_layer.count};
  t.pooler = {"pooler", square, hidden * hidden + hidden};
  t.mlm_transform = {"mlm_transform", square, hidden * hidden + hidden};
  t.mlm_norm = {"mlm_layer_norm", norm, 2 * hidden};
  t.mlm_decoder = config.tie_word_embeddings
                      ? ParameterCount{"mlm_decoder", "tied to word_embeddings", 0}
                      : ParameterCount{"mlm_decoder", t.word_embeddings.formula, vocab * hidden};
  t.mlm_bias = {"mlm_bias", std::to_string(config.vocab_size), vocab};
  t.mlm_head = sum("mlm_head", {&t.mlm_transform, &t.mlm_norm, &t.mlm_decoder, &t.mlm_bias});
  t.nsp_head = {"nsp_head", dense(config.hidden_size, 2), hidden * 2 + 2};
  t.total = t.embeddings.count + t.encoder.count + t.pooler.count;
  t.trainable = t.total;
  t.with_mlm_head = t.total - t.pooler.count + t.mlm_head.count;
  t.with_nsp_head = t.total + t.nsp_head.count;
  t.with_both_heads = t.total + t.mlm_head.count + t.nsp_head.count;
  return t;
}

}  // namespace bert
