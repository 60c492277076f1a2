// Names of BERT's tensors. The spellings in use: with or without "bert.", LayerNorm as weight and bias or as
// gamma and beta.
#include "model/names.h"

namespace bert::model {
namespace {

using Role = Checkpoint::Entry::Role;

struct KindName {
  ModuleKind kind;
  std::string_view name;  ///< without "bert." and without "encoder.layer.N."
};
/// In the order of ModuleKind.
constexpr std::array<KindName, 17> kNames = {{
    {ModuleKind::kWordEmbeddings, "embeddings.word_embeddings"},
    {ModuleKind::kPositionEmbeddings, "embeddings.position_embeddings"},
    {ModuleKind::kTokenTypeEmbeddings, "embeddings.token_type_embeddings"},
    {ModuleKind::kEmbeddingsNorm, "embeddings.LayerNorm"},
    {ModuleKind::kQuery, "attention.self.query"},
    {ModuleKind::kKey, "attention.self.key"},
    {ModuleKind::kValue, "attention.self.value"},
    {ModuleKind::kAttentionOutput, "attention.output.dense"},
    {ModuleKind::kAttentionNorm, "attention.output.LayerNorm"},
    {ModuleKind::kIntermediate, "intermediate.dense"},
    {ModuleKind::kOutput, "output.dense"},
    {ModuleKind::kOutputNorm, "output.LayerNorm"},
    {ModuleKind::kPooler, "pooler.dense"},
    {ModuleKind::kMlmTransform, "cls.predictions.transform.dense"},
    {ModuleKind::kMlmNorm, "cls.predictions.transform.LayerNorm"},
    {ModuleKind::kMlmDecoder, "cls.predictions.decoder"},
    {ModuleKind::kNspClassifier, "cls.seq_relationship"},
}};

constexpr std::string_view kLayerPrefix = "encoder.layer.";
constexpr std::string_view kDecoderBias = "cls.predictions.bias";

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// "12." at the start; no leading zeros, so that no layer has two names.
std::optional<std::size_t> take_number(std::string_view& text) {
  std::size_t digits = 0;
  std::size_t value = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9' && digits < 5)
    value = value * 10 + static_cast<std::size_t>(text[digits++] - '0');
  if (digits == 0 || digits == 5 || (digits > 1 && text[0] == '0')) return std::nullopt;
  if (digits == text.size() || text[digits] != '.') return std::nullopt;
  text.remove_prefix(digits + 1);
  return value;
}

std::optional<Role> role_of(std::string_view leaf, ModuleKind kind) {
  const bool norm = is_norm(kind);
  if (leaf == "weight" || (norm && leaf == "gamma")) return Role::kWeight;
  if (has_bias(kind) && (leaf == "bias" || (norm && leaf == "beta"))) return Role::kBias;
  if (!norm && leaf == "weight_scale") return Role::kScales;
  return std::nullopt;
}

bool is_cls(ModuleKind kind) {
  return kind >= ModuleKind::kMlmTransform;
}

}  // namespace

std::optional<Slot> parse_name(std::string_view name) {
  if (name == kDecoderBias) return Slot{{ModuleKind::kMlmDecoder, 0}, Role::kBias, false};
  const bool prefixed = take(name, "bert.");
  std::size_t layer = 0;
  const bool layered = take(name, kLayerPrefix);
  if (layered) {
    const auto number = take_number(name);
    if (!number) return std::nullopt;
    layer = *number;
  }
  for (const KindName& known : kNames) {
    if (in_layer(known.kind) != layered || (prefixed && is_cls(known.kind))) continue;
    std::string_view rest = name;
    if (!take(rest, known.name) || !take(rest, ".")) continue;
    const auto role = role_of(rest, known.kind);
    if (!role) return std::nullopt;
    const bool alias = known.kind == ModuleKind::kMlmDecoder && *role == Role::kBias;
    return Slot{{known.kind, layer}, *role, alias};
  }
  return std::nullopt;
}

std::string canonical_name(ModuleId module, Role role) {
  if (module.kind == ModuleKind::kMlmDecoder && role == Role::kBias) return std::string(kDecoderBias);
  return module_name(module) + (role == Role::kBias     ? ".bias"
                                : role == Role::kScales ? ".weight_scale"
                                                        : ".weight");
}

std::size_t module_count(std::size_t layers) {
  return kEmbeddingKinds + layers * kLayerKinds.size() + kHeadKinds;
}

std::size_t module_number(ModuleId module, std::size_t layers) {
  const auto kind = static_cast<std::size_t>(module.kind);
  if (kind < kEmbeddingKinds) return kind;
  if (in_layer(module.kind))
    return kEmbeddingKinds + module.layer * kLayerKinds.size() + kind - kEmbeddingKinds;
  return kEmbeddingKinds + layers * kLayerKinds.size() + kind - static_cast<std::size_t>(ModuleKind::kPooler);
}

ModuleId module_at(std::size_t number, std::size_t layers) {
  if (number < kEmbeddingKinds) return {static_cast<ModuleKind>(number), 0};
  number -= kEmbeddingKinds;
  if (number < layers * kLayerKinds.size())
    return {kLayerKinds[number % kLayerKinds.size()], number / kLayerKinds.size()};
  number -= layers * kLayerKinds.size();
  return {static_cast<ModuleKind>(static_cast<std::size_t>(ModuleKind::kPooler) + number), 0};
}

ModuleShape module_shape(ModuleKind kind, const ModelConfig& config) {
  const std::size_t hidden = config.hidden_size;
  switch (kind) {
    case ModuleKind::kWordEmbeddings:
      return {config.vocab_size, hidden, 0};
    case ModuleKind::kPositionEmbeddings:
      return {config.max_position_embeddings, hidden, 0};
    case ModuleKind::kTokenTypeEmbeddings:
      return {config.type_vocab_size, hidden, 0};
    case ModuleKind::kEmbeddingsNorm:
    case ModuleKind::kAttentionNorm:
    case ModuleKind::kOutputNorm:
    case ModuleKind::kMlmNorm:
      return {1, hidden, hidden};
    case ModuleKind::kIntermediate:
      return {config.intermediate_size, hidden, config.intermediate_size};
    case ModuleKind::kOutput:
      return {hidden, config.intermediate_size, hidden};
    case ModuleKind::kMlmDecoder:
      return {config.vocab_size, hidden, config.vocab_size};
    case ModuleKind::kNspClassifier:
      return {2, hidden, 2};
    default:
      return {hidden, hidden, hidden};
  }
}

std::optional<Head> head_of(ModuleKind kind) {
  switch (kind) {
    case ModuleKind::kPooler:
      return Head::kPooler;
    case ModuleKind::kMlmTransform:
    case ModuleKind::kMlmNorm:
    case ModuleKind::kMlmDecoder:
      return Head::kMlm;
    case ModuleKind::kNspClassifier:
      return Head::kNsp;
    default:
      return std::nullopt;
  }
}

}  // namespace bert::model

namespace bert {

std::string module_name(ModuleId id) {
  using namespace model;
  const std::string_view name = kNames[static_cast<std::size_t>(id.kind)].name;
  if (is_cls(id.kind)) return std::string(name);
  if (!in_layer(id.kind)) return "bert." + std::string(name);
  return "bert." + std::string(kLayerPrefix) + std::to_string(id.layer) + "." + std::string(name);
}

std::string_view head_name(Head head) {
  switch (head) {
    case Head::kPooler:
      return "pooler";
    case Head::kMlm:
      return "mlm";
    case Head::kNsp:
      return "nsp";
  }
  return "pooler";
}

}  // namespace bert
