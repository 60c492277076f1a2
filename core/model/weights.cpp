// Typed views of all weights over whole files in memory, and their visit in file order.
#include "base/quote.h"
#include "model/checkpoint_data.h"
#include "model/names.h"

namespace bert {

Expected<BertWeights> BertWeights::bind(const Checkpoint& checkpoint,
                                        std::span<const std::span<const std::byte>> files) {
  const Checkpoint::Data& data = *checkpoint.data_;
  if (files.size() != data.headers.size())
    return fail(ErrorCode::kInvalidArgument, std::to_string(files.size()) + " files were given for " +
                                                 std::to_string(data.headers.size()) + " headers");
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (files[i].size() == data.headers[i].file_bytes()) continue;
    std::string at;
    for (const TensorInfo& info : data.headers[i].tensors()) {
      if (info.offset + info.bytes <= files[i].size()) continue;
      at = "; it ends inside tensor " + quote(info.name);
      break;
    }
    return fail(ErrorCode::kInvalidModel, "safetensors: file has " + std::to_string(files[i].size()) +
                                              " bytes, but its header describes " +
                                              std::to_string(data.headers[i].file_bytes()) + at);
  }
  const auto bytes_of = [files](const TensorInfo* info) -> std::span<const std::byte> {
    if (info == nullptr) return {};
    return files[info->file].subspan(static_cast<std::size_t>(info->offset),
                                     static_cast<std::size_t>(info->bytes));
  };
  const auto view = [&](ModuleKind kind, std::size_t layer) {
    const Checkpoint::Data::Slots& slots = data.slots_of({kind, layer});
    ModuleView module;
    if (slots.weight != nullptr)
      module.weight = model::make_view(*slots.weight, bytes_of(slots.weight), bytes_of(slots.scales));
    if (slots.bias != nullptr) module.bias = model::make_view(*slots.bias, bytes_of(slots.bias), {});
    return module;
  };

  BertWeights weights;
  weights.checkpoint = checkpoint;
  weights.word_embeddings = view(ModuleKind::kWordEmbeddings, 0).weight;
  weights.position_embeddings = view(ModuleKind::kPositionEmbeddings, 0).weight;
  weights.token_type_embeddings = view(ModuleKind::kTokenTypeEmbeddings, 0).weight;
  weights.embeddings_norm = view(ModuleKind::kEmbeddingsNorm, 0);
  for (std::size_t i = 0; i < data.config.num_hidden_layers; ++i) {
    weights.layers.push_back({.query = view(ModuleKind::kQuery, i),
                              .key = view(ModuleKind::kKey, i),
                              .value = view(ModuleKind::kValue, i),
                              .attention_output = view(ModuleKind::kAttentionOutput, i),
                              .attention_norm = view(ModuleKind::kAttentionNorm, i),
                              .intermediate = view(ModuleKind::kIntermediate, i),
                              .output = view(ModuleKind::kOutput, i),
                              .output_norm = view(ModuleKind::kOutputNorm, i)});
  }
  if (checkpoint.has(Head::kPooler)) weights.pooler = view(ModuleKind::kPooler, 0);
  if (checkpoint.has(Head::kMlm)) {
    weights.mlm = MlmHead{.transform = view(ModuleKind::kMlmTransform, 0),
                          .norm = view(ModuleKind::kMlmNorm, 0),
                          .decoder = view(ModuleKind::kMlmDecoder, 0)};
    if (checkpoint.decoder_is_tied()) weights.mlm->decoder.weight = weights.word_embeddings;
  }
  if (checkpoint.has(Head::kNsp)) weights.nsp = view(ModuleKind::kNspClassifier, 0);
  return weights;
}

ModuleView BertWeights::module(ModuleId id) const {
  const auto layer = [&]() -> const Layer& { return layers[id.layer]; };
  switch (id.kind) {
    case ModuleKind::kWordEmbeddings:
      return {word_embeddings, {}};
    case ModuleKind::kPositionEmbeddings:
      return {position_embeddings, {}};
    case ModuleKind::kTokenTypeEmbeddings:
      return {token_type_embeddings, {}};
    case ModuleKind::kEmbeddingsNorm:
      return embeddings_norm;
    case ModuleKind::kQuery:
      return layer().query;
    case ModuleKind::kKey:
      return layer().key;
    case ModuleKind::kValue:
      return layer().value;
    case ModuleKind::kAttentionOutput:
      return layer().attention_output;
    case ModuleKind::kAttentionNorm:
      return layer().attention_norm;
    case ModuleKind::kIntermediate:
      return layer().intermediate;
    case ModuleKind::kOutput:
      return layer().output;
    case ModuleKind::kOutputNorm:
      return layer().output_norm;
    case ModuleKind::kPooler:
      return pooler.value_or(ModuleView{});
    case ModuleKind::kMlmTransform:
      return mlm ? mlm->transform : ModuleView{};
    case ModuleKind::kMlmNorm:
      return mlm ? mlm->norm : ModuleView{};
    case ModuleKind::kMlmDecoder:
      return mlm ? mlm->decoder : ModuleView{};
    case ModuleKind::kNspClassifier:
      return nsp.value_or(ModuleView{});
  }
  return {};
}

void release_module(const ModuleView& module, const ReleaseHook& release) {
  if (!release) return;
  for (const auto bytes : {module.weight.data, module.weight.scales, module.bias.data})
    if (!bytes.empty()) release(bytes);
}

Status visit_modules(const BertWeights& weights, const ModuleVisitor& visitor, const ReleaseHook& release) {
  const Checkpoint& checkpoint = weights.checkpoint;
  for (const ModuleId id : checkpoint.modules()) {
    ModuleView module = weights.module(id);
    if (id.kind == ModuleKind::kMlmDecoder && checkpoint.decoder_is_tied()) module.weight = {};
    const Expected<BytesUse> use = visitor(id, module);
    if (!use) return tl::unexpected(use.error());
    if (*use == BytesUse::kCopied) release_module(module, release);
  }
  return {};
}

}  // namespace bert
