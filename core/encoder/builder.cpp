// From the modules of a checkpoint to packed weights, in whatever order the modules come.
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "base/quote.h"
#include "encoder/weights.h"

namespace bert {

namespace {

Expected<WeightView> view_of(const TensorView& tensor, std::size_t rows, std::size_t columns) {
  if (tensor.rows != rows || tensor.columns != columns)
    return fail(ErrorCode::kInvalidModel, "tensor " + quote(tensor.name) + " is [" +
                                              std::to_string(tensor.rows) + ", " +
                                              std::to_string(tensor.columns) + "], not [" +
                                              std::to_string(rows) + ", " + std::to_string(columns) + "]");
  WeightView view;
  switch (tensor.dtype) {
    case DType::kF32:
      view.type = WeightType::kF32;
      break;
    case DType::kF16:
      view.type = WeightType::kF16;
      break;
    case DType::kBF16:
      view.type = WeightType::kBF16;
      break;
    case DType::kI8:
      view.type = WeightType::kInt8;
      break;
    default:
      return fail(ErrorCode::kUnsupported, "tensor " + quote(tensor.name) + " is of type " +
                                               std::string(dtype_name(tensor.dtype)) +
                                               ", which holds no weights here");
  }
  view.data = tensor.data.data();
  view.rows = rows;
  view.columns = columns;
  if (view.type == WeightType::kInt8) {
    if (tensor.scales.size() != rows * sizeof(float))
      return fail(ErrorCode::kInvalidModel, "tensor " + quote(tensor.name) + " has " +
                                                std::to_string(tensor.scales.size()) +
                                                " bytes of scales for " + std::to_string(rows) + " rows");
    view.scales = tensor.scales.data();
  }
  return view;
}

Expected<LinearView> linear_view(const ModuleView& module, std::size_t outputs, std::size_t inputs) {
  auto weight = view_of(module.weight, outputs, inputs);
  if (!weight) return tl::unexpected(weight.error());
  auto bias = view_of(module.bias, 1, outputs);
  if (!bias) return tl::unexpected(bias.error());
  return LinearView{*weight, *bias};
}

Activation activation_of(HiddenAct hidden_act) {
  return hidden_act == HiddenAct::kGelu      ? Activation::kGelu
         : hidden_act == HiddenAct::kGeluNew ? Activation::kGeluNew
                                             : Activation::kRelu;
}

/// A linear layer's tensors for the time until its neighbours have come: a copy, or the caller's bytes.
struct HeldLinear {
  LinearView view;
  ModuleView source;                            // under kBorrow
  std::vector<std::byte> weight, scales, bias;  // under kCopy

  HeldLinear(const LinearView& linear, const ModuleView& module) : view(linear), source(module) {}
  explicit HeldLinear(const LinearView& source) : view(source) {
    const auto copy = [](const WeightView& tensor, std::vector<std::byte>& bytes) {
      const std::size_t size = tensor.type == WeightType::kF32 ? 4 : tensor.type == WeightType::kInt8 ? 1 : 2;
      bytes.assign(tensor.data, tensor.data + tensor.rows * tensor.columns * size);
      return bytes.data();
    };
    view.weight.data = copy(source.weight, weight);
    view.bias.data = copy(source.bias, bias);
    if (source.weight.scales != nullptr) {
      scales.assign(source.weight.scales, source.weight.scales + source.weight.rows * sizeof(float));
      view.weight.scales = scales.data();
    }
  }
};

}  // namespace

struct EncoderBuilder::State {
  std::shared_ptr<Encoder> encoder;
  TableBytes bytes = TableBytes::kCopy;
  std::vector<std::array<std::unique_ptr<HeldLinear>, 3>> held;  // query, key, value of each layer
  std::vector<bool> seen;
  std::vector<ModuleView> spent;  // held under kBorrow, and packed by the last add

  Encoder::Data& data() const { return *encoder->data_; }

  template <class T>
  Status keep(std::unique_ptr<T>& slot, Expected<std::unique_ptr<T>> made) {
    if (!made) return tl::unexpected(made.error());
    data().owned_bytes += (*made)->owned_bytes();
    slot = std::move(*made);
    return {};
  }
  Status linear(std::unique_ptr<Linear>& slot, const ModuleView& module, std::size_t outputs,
                std::size_t inputs, Precision precision) {
    auto view = linear_view(module, outputs, inputs);
    if (!view) return tl::unexpected(view.error());
    return keep(slot, data().backend->make_linear(std::span(&*view, 1), precision));
  }
  Status norm(std::unique_ptr<LayerNorm>& slot, const ModuleView& module, std::size_t size) {
    auto gamma = view_of(module.weight, 1, size);
    if (!gamma) return tl::unexpected(gamma.error());
    auto beta = view_of(module.bias, 1, size);
    if (!beta) return tl::unexpected(beta.error());
    return keep(slot, data().backend->make_layer_norm(*gamma, *beta,
                                                      static_cast<float>(data().config.layer_norm_eps)));
  }
  Status table(std::unique_ptr<Table>& slot, const TensorView& tensor, std::size_t rows, Precision precision,
               TableBytes how) {
    auto view = view_of(tensor, rows, data().config.hidden_size);
    if (!view) return tl::unexpected(view.error());
    return keep(slot, data().backend->make_table(*view, precision, how));
  }

  /// Packs query, key and value once all that belong together are there; `which` is the one that has just
  /// come.
  Status stacked(std::size_t index, std::size_t which, const ModuleView& module) {
    Encoder::Data& encoder_data = data();
    EncoderLayer& layer = encoder_data.layers[index];
    const std::size_t hidden = encoder_data.config.hidden_size;
    const bool last = index + 1 == encoder_data.layers.size();
    if (last && which == 0) return linear(layer.query, module, hidden, hidden, encoder_data.precision);
    auto view = linear_view(module, hidden, hidden);
    if (!view) return tl::unexpected(view.error());
    const std::size_t first = last ? 1 : 0;
    std::array<LinearView, 3> parts;
    bool complete = true;
    for (std::size_t i = first; i < 3; ++i) {
      if (i != which && held[index][i] == nullptr)
        complete = false;
      else
        parts[i] = i == which ? *view : held[index][i]->view;
    }
    if (!complete) {
      held[index][which] = bytes == TableBytes::kBorrow ? std::make_unique<HeldLinear>(*view, module)
                                                        : std::make_unique<HeldLinear>(*view);
      return {};
    }
    const Status done =
        keep(last ? layer.key_value : layer.query_key_value,
             encoder_data.backend->make_linear(std::span(parts).subspan(first), encoder_data.precision));
    for (auto& part : held[index]) {
      if (part != nullptr && bytes == TableBytes::kBorrow) spent.push_back(part->source);
      part.reset();
    }
    return done;
  }

  Status pack(ModuleId id, const ModuleView& module) {
    Encoder::Data& d = data();
    const ModelConfig& config = d.config;
    const std::size_t hidden = config.hidden_size;
    EncoderLayer& layer = d.layers[id.layer < d.layers.size() ? id.layer : 0];
    switch (id.kind) {
      case ModuleKind::kWordEmbeddings:
        return table(d.words, module.weight, config.vocab_size, d.precision, bytes);
      case ModuleKind::kPositionEmbeddings:  // small: never narrowed
        return table(d.positions, module.weight, config.max_position_embeddings, Precision::kF32,
                     TableBytes::kCopy);
      case ModuleKind::kTokenTypeEmbeddings:
        return table(d.types, module.weight, config.type_vocab_size, Precision::kF32, TableBytes::kCopy);
      case ModuleKind::kEmbeddingsNorm:
        return norm(d.embeddings_norm, module, hidden);
      case ModuleKind::kQuery:
        return stacked(id.layer, 0, module);
      case ModuleKind::kKey:
        return stacked(id.layer, 1, module);
      case ModuleKind::kValue:
        return stacked(id.layer, 2, module);
      case ModuleKind::kAttentionOutput:
        return linear(layer.attention_output, module, hidden, hidden, d.precision);
      case ModuleKind::kAttentionNorm:
        return norm(layer.attention_norm, module, hidden);
      case ModuleKind::kIntermediate:
        return linear(layer.intermediate, module, config.intermediate_size, hidden, d.precision);
      case ModuleKind::kOutput:
        return linear(layer.output, module, hidden, config.intermediate_size, d.precision);
      case ModuleKind::kOutputNorm:
        return norm(layer.output_norm, module, hidden);
      case ModuleKind::kPooler:
        return linear(d.pooler, module, hidden, hidden, d.precision);
      case ModuleKind::kMlmTransform:
        return linear(d.mlm_transform, module, hidden, hidden, d.precision);
      case ModuleKind::kMlmNorm:
        return norm(d.mlm_norm, module, hidden);
      case ModuleKind::kMlmDecoder: {
        auto bias = view_of(module.bias, 1, config.vocab_size);
        if (!bias) return tl::unexpected(bias.error());
        Status done = keep(d.mlm_bias, d.backend->make_vector(*bias));
        if (!done || module.weight.empty()) return done;  // tied: the word embeddings serve
        return table(d.mlm_decoder, module.weight, config.vocab_size, d.precision, bytes);
      }
      case ModuleKind::kNspClassifier:  // two rows: f32 costs nothing
        return linear(d.nsp, module, 2, hidden, Precision::kF32);
    }
    return fail(ErrorCode::kInternal, "module kind without a place");
  }

  static std::size_t index_of(ModuleId id) {
    constexpr std::size_t kKinds = static_cast<std::size_t>(ModuleKind::kNspClassifier) + 1;
    return id.layer * kKinds + static_cast<std::size_t>(id.kind);
  }
  static bool in_layer(ModuleKind kind) {
    return kind >= ModuleKind::kQuery && kind <= ModuleKind::kOutputNorm;
  }
};

EncoderBuilder::EncoderBuilder(ModelConfig config, std::shared_ptr<Backend> backend, Precision precision,
                               TableBytes bytes)
    : state_(std::make_unique<State>()) {
  state_->encoder = std::shared_ptr<Encoder>(new Encoder);
  state_->bytes = bytes;
  Encoder::Data& data = state_->data();
  data.config = std::move(config);
  data.backend = std::move(backend);
  data.precision = precision;
  data.activation = activation_of(data.config.hidden_act);
  data.layers.resize(data.config.num_hidden_layers);
  state_->held.resize(data.layers.size());
  state_->seen.resize(State::index_of({ModuleKind::kNspClassifier, data.layers.size()}) + 1);
}
EncoderBuilder::~EncoderBuilder() = default;
EncoderBuilder::EncoderBuilder(EncoderBuilder&&) noexcept = default;
EncoderBuilder& EncoderBuilder::operator=(EncoderBuilder&&) noexcept = default;

Expected<BytesUse> EncoderBuilder::add(ModuleId id, const ModuleView& module) {
  if (state_->encoder == nullptr) return fail(ErrorCode::kInvalidArgument, "the encoder is finished already");
  const std::size_t layers = state_->data().layers.size();
  if (id.layer >= (State::in_layer(id.kind) ? layers : 1))
    return fail(ErrorCode::kInvalidArgument,
                "module " + module_name(id) + ": the model has " + std::to_string(layers) + " layers");
  if (state_->seen[State::index_of(id)])
    return fail(ErrorCode::kInvalidArgument, "module " + module_name(id) + " twice");
  const Status done = state_->pack(id, module);
  if (!done) return tl::unexpected(done.error());
  state_->seen[State::index_of(id)] = true;
  const Encoder::Data& data = state_->data();
  const auto is_held = [this, id](ModuleKind kind, std::size_t part) {
    return id.kind == kind && state_->held[id.layer][part] != nullptr;
  };
  if (state_->bytes == TableBytes::kBorrow &&
      (is_held(ModuleKind::kQuery, 0) || is_held(ModuleKind::kKey, 1) || is_held(ModuleKind::kValue, 2)))
    return BytesUse::kKept;
  const Table* table = id.kind == ModuleKind::kWordEmbeddings ? data.words.get()
                       : id.kind == ModuleKind::kMlmDecoder   ? data.mlm_decoder.get()
                                                              : nullptr;
  return table != nullptr && table->owned_bytes() == 0 ? BytesUse::kKept : BytesUse::kCopied;
}

Expected<std::shared_ptr<const Encoder>> EncoderBuilder::finish() {
  if (state_->encoder == nullptr) return fail(ErrorCode::kInvalidArgument, "the encoder is finished already");
  const auto missing = [this](ModuleKind kind, std::size_t layer) {
    return !state_->seen[State::index_of({kind, layer})];
  };
  Encoder::Data& data = state_->data();
  for (auto kind = ModuleKind::kWordEmbeddings; kind <= ModuleKind::kOutputNorm;
       kind = static_cast<ModuleKind>(static_cast<int>(kind) + 1))
    for (std::size_t layer = 0; layer < (State::in_layer(kind) ? data.layers.size() : 1); ++layer)
      if (missing(kind, layer))
        return fail(ErrorCode::kMissingTensor,
                    "the weights of " + module_name({kind, layer}) + " did not come");
  return std::exchange(state_->encoder, nullptr);
}

Encoder::Encoder() : data_(std::make_unique<Data>()) {}
Encoder::~Encoder() = default;

Expected<std::shared_ptr<const Encoder>> Encoder::create(const BertWeights& weights,
                                                         std::shared_ptr<Backend> backend,
                                                         Precision precision, const ReleaseHook& release) {
  EncoderBuilder builder(weights.checkpoint.config(), std::move(backend), precision, TableBytes::kBorrow);
  const auto add = [&builder, &release](ModuleId id, const ModuleView& module) {
    auto use = builder.add(id, module);
    for (const ModuleView& spent : std::exchange(builder.state_->spent, {})) release_module(spent, release);
    return use;
  };
  const Status done = visit_modules(weights, add, release);
  if (!done) return tl::unexpected(done.error());
  auto encoder = builder.finish();
  if (encoder) (*encoder)->data_->bytes_owner = weights.owner;
  return encoder;
}

const ModelConfig& Encoder::config() const {
  return data_->config;
}
Precision Encoder::precision() const {
  return data_->precision;
}
const Backend& Encoder::backend() const {
  return *data_->backend;
}
bool Encoder::has_pooler() const {
  return data_->pooler != nullptr;
}
bool Encoder::has_mlm_head() const {
  return data_->mlm_transform != nullptr && data_->mlm_norm != nullptr && data_->mlm_bias != nullptr;
}
bool Encoder::has_nsp_head() const {
  return data_->nsp != nullptr && has_pooler();
}
std::size_t Encoder::owned_bytes() const {
  return data_->owned_bytes;
}

}  // namespace bert
