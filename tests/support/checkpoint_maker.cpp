// Checkpoints of any size in Hugging Face's exact layout, with seeded random weights.
#include "support/checkpoint_maker.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

namespace bert_test {
namespace {

using bert::DType;
using bert::ModelConfig;
using bert::ModuleId;
using bert::ModuleKind;

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15U;

std::uint64_t fnv1a(std::uint64_t hash, std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001B3U;
  return hash;
}
constexpr std::uint64_t kFnvStart = 0xCBF29CE484222325U;

/// Step `index` of splitmix64 (Steele, Lea, Flood 2014), so that any element can be made alone.
std::uint64_t splitmix(std::uint64_t key, std::uint64_t index) {
  std::uint64_t z = key + (index + 1) * kGolden;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

/// Values near a normal distribution: the sum of four 16-bit numbers less its mean has deviation 37837. The
/// sum and the shift are whole numbers below 2^24, so the one multiplication is all that rounds, alike in
/// every language.
class Generator {
 public:
  Generator(const MadeTensor& tensor, std::uint64_t seed)
      : key_(fnv1a(kFnvStart, std::as_bytes(std::span(tensor.key))) ^ (seed * kGolden)),
        step_(static_cast<float>(tensor.deviation / 37837.0)),
        shift_(std::llround(tensor.mean / (tensor.deviation / 37837.0))) {}

  [[nodiscard]] float value(std::uint64_t index) const {
    const std::uint64_t z = splitmix(key_, index);
    const auto sum =
        static_cast<std::int64_t>((z & 0xFFFFU) + ((z >> 16) & 0xFFFFU) + ((z >> 32) & 0xFFFFU) + (z >> 48));
    return static_cast<float>(sum - 131070 + shift_) * step_;
  }

 private:
  std::uint64_t key_;
  float step_;
  std::int64_t shift_;
};

/// The distribution of one module's tensors: sizes that keep every layer's output near deviation 1, attention
/// neither flat nor one-hot, and vocabulary logits as spread as a trained model's.
struct Spread {
  double weight = 0;  ///< deviation times sqrt(inputs); of a norm: plain
  double bias = 0;
};
Spread spread_of(ModuleKind kind) {
  switch (kind) {
    case ModuleKind::kWordEmbeddings:
      return {3.0, 0};
    case ModuleKind::kPositionEmbeddings:
      return {1.5, 0};
    case ModuleKind::kTokenTypeEmbeddings:
      return {0.6, 0};
    case ModuleKind::kEmbeddingsNorm:
    case ModuleKind::kAttentionNorm:
    case ModuleKind::kOutputNorm:
    case ModuleKind::kMlmNorm:
      return {0.15, 0.1};
    case ModuleKind::kQuery:
    case ModuleKind::kKey:
      return {1.3, 0.1};
    case ModuleKind::kIntermediate:
    case ModuleKind::kOutput:
    case ModuleKind::kMlmTransform:
      return {1.2, 0.1};
    case ModuleKind::kMlmDecoder:
      return {3.0, 0.3};
    case ModuleKind::kNspClassifier:
      return {2.0, 0.3};
    default:
      return {1.0, 0.1};
  }
}
constexpr double kNormMean = 0.9;

bool is_norm(ModuleKind kind) {
  return kind == ModuleKind::kEmbeddingsNorm || kind == ModuleKind::kAttentionNorm ||
         kind == ModuleKind::kOutputNorm || kind == ModuleKind::kMlmNorm;
}

std::vector<std::uint64_t> weight_shape(ModuleKind kind, const ModelConfig& c) {
  switch (kind) {
    case ModuleKind::kWordEmbeddings:
    case ModuleKind::kMlmDecoder:
      return {c.vocab_size, c.hidden_size};
    case ModuleKind::kPositionEmbeddings:
      return {c.max_position_embeddings, c.hidden_size};
    case ModuleKind::kTokenTypeEmbeddings:
      return {c.type_vocab_size, c.hidden_size};
    case ModuleKind::kIntermediate:
      return {c.intermediate_size, c.hidden_size};
    case ModuleKind::kOutput:
      return {c.hidden_size, c.intermediate_size};
    case ModuleKind::kNspClassifier:
      return {2, c.hidden_size};
    default:
      if (is_norm(kind)) return {c.hidden_size};
      return {c.hidden_size, c.hidden_size};
  }
}

void replace_first(std::string& text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  if (at != std::string::npos) text.replace(at, from.size(), to);
}

std::string spelled(std::string key, const CheckpointSpec& spec) {
  if (!spec.bert_prefix && key.starts_with("bert.")) key.erase(0, 5);
  if (spec.gamma_beta) {
    replace_first(key, "LayerNorm.weight", "LayerNorm.gamma");
    replace_first(key, "LayerNorm.bias", "LayerNorm.beta");
  }
  if (spec.decoder_bias_name) replace_first(key, "cls.predictions.bias", "cls.predictions.decoder.bias");
  return key;
}

MadeTensor made(std::string key, const CheckpointSpec& spec, std::vector<std::uint64_t> shape,
                double deviation, double mean) {
  MadeTensor tensor;
  tensor.name = spelled(key, spec);
  tensor.key = std::move(key);
  tensor.dtype = spec.dtype;
  tensor.shape = std::move(shape);
  tensor.bytes = bert::dtype_size(spec.dtype);
  for (const std::uint64_t size : tensor.shape) tensor.bytes *= size;
  tensor.deviation = deviation;
  tensor.mean = mean;
  return tensor;
}

void add_module(ModuleId id, const CheckpointSpec& spec, std::vector<MadeTensor>& tensors) {
  const std::string name = bert::module_name(id);
  const Spread spread = spread_of(id.kind);
  std::vector<std::uint64_t> shape = weight_shape(id.kind, spec.config);
  const std::uint64_t outputs = shape.front();
  const bool tied = id.kind == ModuleKind::kMlmDecoder && spec.config.tie_word_embeddings;
  if (is_norm(id.kind)) {
    tensors.push_back(made(name + ".weight", spec, shape, spread.weight, kNormMean));
  } else if (!tied || spec.decoder_copy) {
    const double inputs = static_cast<double>(shape.back());
    tensors.push_back(made(name + ".weight", spec, std::move(shape), spread.weight / std::sqrt(inputs), 0));
  }
  if (spread.bias == 0) return;
  const std::string bias = id.kind == ModuleKind::kMlmDecoder ? "cls.predictions.bias" : name + ".bias";
  tensors.push_back(made(bias, spec, {outputs}, spread.bias, 0));
}

std::vector<ModuleId> modules_of(const CheckpointSpec& spec) {
  std::vector<ModuleId> ids = {{ModuleKind::kWordEmbeddings, 0},
                               {ModuleKind::kPositionEmbeddings, 0},
                               {ModuleKind::kTokenTypeEmbeddings, 0},
                               {ModuleKind::kEmbeddingsNorm, 0}};
  for (std::size_t layer = 0; layer < spec.config.num_hidden_layers; ++layer) {
    for (const ModuleKind kind : {ModuleKind::kQuery, ModuleKind::kKey, ModuleKind::kValue,
                                  ModuleKind::kAttentionOutput, ModuleKind::kAttentionNorm,
                                  ModuleKind::kIntermediate, ModuleKind::kOutput, ModuleKind::kOutputNorm})
      ids.push_back({kind, layer});
  }
  if (spec.pooler) ids.push_back({ModuleKind::kPooler, 0});
  if (spec.mlm_head) {
    for (const ModuleKind kind : {ModuleKind::kMlmTransform, ModuleKind::kMlmNorm, ModuleKind::kMlmDecoder})
      ids.push_back({kind, 0});
  }
  if (spec.nsp_head) ids.push_back({ModuleKind::kNspClassifier, 0});
  return ids;
}

std::string header_of(const std::vector<MadeTensor>& tensors) {
  nlohmann::ordered_json json = {{"__metadata__", {{"format", "pt"}}}};
  std::uint64_t begin = 0;
  for (const MadeTensor& tensor : tensors) {
    json[tensor.name] = {{"dtype", bert::dtype_name(tensor.dtype)},
                         {"shape", tensor.shape},
                         {"data_offsets", {begin, begin + tensor.bytes}}};
    begin += tensor.bytes;
  }
  std::string text = json.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  std::string header(8, '\0');
  std::memcpy(header.data(), &length, 8);
  return header + text;
}

std::string shard_name(std::size_t shard, std::size_t shards) {
  if (shards == 1) return "model.safetensors";
  std::array<char, 64> name{};
  std::snprintf(name.data(), name.size(), "model-%05zu-of-%05zu.safetensors", shard + 1, shards);
  return name.data();
}

std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >>
                                    16);  // to nearest, ties to even
}

}  // namespace

MadeCheckpoint plan_checkpoint(const CheckpointSpec& spec) {
  std::vector<MadeTensor> tensors;
  for (const ModuleId id : modules_of(spec)) add_module(id, spec, tensors);
  if (spec.position_ids) {
    MadeTensor ids =
        made("bert.embeddings.position_ids", spec, {1, spec.config.max_position_embeddings}, 0, 0);
    ids.dtype = DType::kI64;
    ids.bytes = 8 * spec.config.max_position_embeddings;
    tensors.push_back(ids);
  }
  // I64 first, then by name, as safetensors' own writer does to keep tensors aligned.
  std::ranges::sort(tensors, {},
                    [](const MadeTensor& t) { return std::pair(t.dtype != DType::kI64, t.name); });
  if (spec.reverse_order) std::ranges::reverse(tensors);

  MadeCheckpoint checkpoint;
  checkpoint.seed = spec.seed;
  ModelConfig config = spec.config;
  const bool both = spec.mlm_head && spec.nsp_head;
  config.architectures = {both            ? "BertForPreTraining"
                          : spec.mlm_head ? "BertForMaskedLM"
                          : spec.nsp_head ? "BertForNextSentencePrediction"
                                          : "BertModel"};
  checkpoint.config_json = config.to_json();
  nlohmann::json weight_map;
  std::uint64_t total = 0;
  for (std::size_t shard = 0; shard < spec.shards; ++shard) {
    MadeFile file;
    file.name = shard_name(shard, spec.shards);
    const std::size_t first = tensors.size() * shard / spec.shards;
    const std::size_t end = tensors.size() * (shard + 1) / spec.shards;
    for (std::size_t i = first; i < end; ++i) {
      weight_map[tensors[i].name] = file.name;
      total += tensors[i].bytes;
      file.tensors.push_back(tensors[i]);
    }
    file.header = header_of(file.tensors);
    checkpoint.files.push_back(std::move(file));
  }
  if (spec.shards > 1)
    checkpoint.index_json =
        nlohmann::json({{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}}).dump(2) + "\n";
  return checkpoint;
}

std::vector<std::byte> tensor_bytes(const MadeTensor& tensor, std::uint64_t seed) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(tensor.bytes));
  const std::size_t size = bert::dtype_size(tensor.dtype);
  const std::size_t count = bytes.size() / size;
  if (tensor.dtype == DType::kI64) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto id = static_cast<std::int64_t>(i);
      std::memcpy(bytes.data() + i * 8, &id, 8);
    }
    return bytes;
  }
  const Generator generator(tensor, seed);
  for (std::size_t i = 0; i < count; ++i) {
    const float value = generator.value(i);
    if (tensor.dtype == DType::kF32) {
      std::memcpy(bytes.data() + i * 4, &value, 4);
      continue;
    }
    const std::uint16_t bits = tensor.dtype == DType::kF16 ? bert::float_to_half(value) : to_bfloat16(value);
    std::memcpy(bytes.data() + i * 2, &bits, 2);
  }
  return bytes;
}

std::vector<std::byte> file_bytes(const MadeCheckpoint& checkpoint, std::size_t file) {
  const MadeFile& made = checkpoint.files[file];
  const auto header = std::as_bytes(std::span(made.header));
  std::vector<std::byte> bytes(header.begin(), header.end());
  for (const MadeTensor& tensor : made.tensors) {
    const std::vector<std::byte> data = tensor_bytes(tensor, checkpoint.seed);
    bytes.insert(bytes.end(), data.begin(), data.end());
  }
  return bytes;
}

std::uint64_t weights_checksum(const bert::BertWeights& weights) {
  std::uint64_t hash = kFnvStart;
  const auto add = [&hash](const bert::TensorView& tensor) {
    std::vector<float> values(tensor.elements());
    tensor.to_float(values);
    hash = fnv1a(hash, std::as_bytes(std::span<const float>(values)));
  };
  const auto module = [&add](const bert::ModuleView& view) {
    add(view.weight);
    add(view.bias);
  };
  for (const auto& table :
       {weights.word_embeddings, weights.position_embeddings, weights.token_type_embeddings})
    add(table);
  module(weights.embeddings_norm);
  for (const auto& l : weights.layers) {
    for (const auto& view : {l.query, l.key, l.value, l.attention_output, l.attention_norm, l.intermediate,
                             l.output, l.output_norm})
      module(view);
  }
  if (weights.pooler) module(*weights.pooler);
  if (weights.mlm) {
    module(weights.mlm->transform);
    module(weights.mlm->norm);
    if (!weights.checkpoint.decoder_is_tied()) add(weights.mlm->decoder.weight);
    add(weights.mlm->decoder.bias);
  }
  if (weights.nsp) module(*weights.nsp);
  return hash;
}

std::string make_vocabulary(std::size_t size) {
  std::vector<std::string> pieces = {"[PAD]"};
  if (size >= 1000) {
    for (int i = 0; i < 99; ++i) pieces.push_back("[unused" + std::to_string(i) + "]");
  }
  for (const char* special : {"[UNK]", "[CLS]", "[SEP]", "[MASK]"}) pieces.emplace_back(special);
  for (char c = '!'; c <= '~'; ++c) {
    if (c < 'A' || c > 'Z') pieces.emplace_back(1, c);
  }
  for (const char* range : {"abcdefghijklmnopqrstuvwxyz", "0123456789"}) {
    for (const char* c = range; *c != '\0'; ++c) pieces.push_back(std::string("##") + *c);
  }
  constexpr std::string_view kConsonants = "bcdfghjklmnpqrstvwxz";
  constexpr std::string_view kVowels = "aeiou";
  const auto syllable = [&](std::size_t n) {
    return std::string{kConsonants[n / kVowels.size()], kVowels[n % kVowels.size()]};
  };
  constexpr std::size_t kSyllables = kConsonants.size() * kVowels.size();
  for (std::size_t i = 0; pieces.size() < size; ++i) {
    std::string word = syllable(i % kSyllables);
    for (std::size_t rest = i / kSyllables + 1; rest != 0; rest /= kSyllables + 1)
      word += rest % (kSyllables + 1) == 0 ? "yo" : syllable(rest % (kSyllables + 1) - 1);
    pieces.push_back(word);
  }
  pieces.resize(size);
  std::string text;
  for (const std::string& piece : pieces) text += piece + "\n";
  return text;
}

std::optional<ModelConfig> named_config(std::string_view name) {
  struct Size {
    std::string_view name;
    std::size_t layers, hidden, heads;
  };
  constexpr std::array<Size, 4> kSizes = {
      {{"tiny", 2, 128, 2}, {"mini", 4, 256, 4}, {"small", 4, 512, 8}, {"base", 12, 768, 12}}};
  for (const Size& size : kSizes) {
    if (size.name != name) continue;
    ModelConfig config;
    config.vocab_size = 30522;
    config.hidden_size = size.hidden;
    config.num_hidden_layers = size.layers;
    config.num_attention_heads = size.heads;
    config.intermediate_size = 4 * size.hidden;
    return config;
  }
  return std::nullopt;
}

std::optional<CheckpointSpec> parse_spec(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("config")) return std::nullopt;
  const auto config = bert::ModelConfig::parse(json["config"].dump());
  if (!config) return std::nullopt;
  CheckpointSpec spec;
  spec.config = *config;
  spec.seed = json.value("seed", spec.seed);
  spec.shards = json.value("shards", spec.shards);
  for (const auto& [name, field] :
       std::initializer_list<std::pair<const char*, bool*>>{{"bert_prefix", &spec.bert_prefix},
                                                            {"gamma_beta", &spec.gamma_beta},
                                                            {"pooler", &spec.pooler},
                                                            {"mlm_head", &spec.mlm_head},
                                                            {"nsp_head", &spec.nsp_head},
                                                            {"position_ids", &spec.position_ids},
                                                            {"decoder_copy", &spec.decoder_copy},
                                                            {"decoder_bias_name", &spec.decoder_bias_name},
                                                            {"reverse_order", &spec.reverse_order}})
    *field = json.value(name, *field);
  const std::string dtype = json.value("dtype", "F32");
  for (const DType known : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (dtype == bert::dtype_name(known)) {
      spec.dtype = known;
      return spec;
    }
  }
  return std::nullopt;
}

bert::Expected<OpenedCheckpoint> make_and_open(const CheckpointSpec& spec) {
  const MadeCheckpoint made = plan_checkpoint(spec);
  OpenedCheckpoint opened;
  std::vector<bert::SafetensorsHeader> headers;
  for (std::size_t i = 0; i < made.files.size(); ++i) {
    opened.bytes.push_back(file_bytes(made, i));
    opened.files.emplace_back(opened.bytes.back());
    auto header = bert::SafetensorsHeader::parse(opened.files.back(), opened.files.back().size());
    if (!header) return tl::unexpected(header.error());
    headers.push_back(std::move(*header));
  }
  auto config = bert::ModelConfig::parse(made.config_json);
  if (!config) return tl::unexpected(config.error());
  std::optional<bert::ShardIndex> index;
  if (made.index_json) {
    auto parsed = bert::ShardIndex::parse(*made.index_json);
    if (!parsed) return tl::unexpected(parsed.error());
    index = std::move(*parsed);
  }
  auto checkpoint =
      bert::Checkpoint::create(std::move(*config), std::move(headers), index ? &*index : nullptr);
  if (!checkpoint) return tl::unexpected(checkpoint.error());
  auto weights = bert::BertWeights::bind(*checkpoint, opened.files);
  if (!weights) return tl::unexpected(weights.error());
  opened.weights = std::move(*weights);
  return opened;
}

}  // namespace bert_test
