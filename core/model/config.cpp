// config.json: the fields that decide what is computed, each checked; and its writing.
#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include "base/quote.h"
#include "bert/model.h"
#include "json/document.h"

namespace bert {
namespace {

using json::Document;
using json::Value;

constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;

struct NamedAct {
  std::string_view name;
  HiddenAct act;
};
constexpr std::array<NamedAct, 6> kActs = {{{"gelu", HiddenAct::kGelu},
                                            {"gelu_python", HiddenAct::kGelu},
                                            {"gelu_new", HiddenAct::kGeluNew},
                                            {"gelu_fast", HiddenAct::kGeluNew},
                                            {"gelu_pytorch_tanh", HiddenAct::kGeluNew},
                                            {"relu", HiddenAct::kRelu}}};

/// Fields of config.json. The first one that cannot be used ends the reading, and `error` says why.
class Fields {
 public:
  explicit Fields(const Value& object) : object_(object) {}

  Error error;

  bool read(ModelConfig& config);

 private:
  /// A whole number from `least` to `most`; `target` keeps its value where an optional field is absent.
  bool size(std::string_view field, bool required, std::size_t least, std::size_t most, std::size_t& target);
  bool flag(std::string_view field, bool& target);
  /// A field that may only have the one value that this program computes.
  bool only(std::string_view field, std::string_view computed);
  bool hidden_act(HiddenAct& target);
  bool epsilon(double& target);

  bool invalid(const Value& value, const std::string& wanted) {
    error = {ErrorCode::kInvalidModel, is(value) + ", not " + wanted};
    return false;
  }
  bool unsupported(const Value& value, std::string_view computed) {
    error = {ErrorCode::kUnsupported, is(value) + "; " + std::string(computed) + " computed here"};
    return false;
  }
  static std::string is(const Value& value) {
    return "config.json: " + std::string(value.name()) + " is " + quote(value.shown());
  }

  const Value object_;
};

bool Fields::size(std::string_view field, bool required, std::size_t least, std::size_t most,
                  std::size_t& target) {
  const Value value = object_[field];
  if (!value) {
    if (required) error = {ErrorCode::kInvalidModel, "config.json has no " + std::string(field)};
    return !required;
  }
  const auto count = value.count();
  if (!count || *count < least || *count > most)
    return invalid(value, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  target = static_cast<std::size_t>(*count);
  return true;
}

bool Fields::flag(std::string_view field, bool& target) {
  const Value value = object_[field];
  if (!value) return true;
  if (!value.boolean()) return invalid(value, "true or false");
  target = *value.boolean();
  return true;
}

bool Fields::only(std::string_view field, std::string_view computed) {
  const Value value = object_[field];
  if (!value || value.string() == computed) return true;
  return unsupported(value, "only " + quote(computed) + " is");
}

bool Fields::hidden_act(HiddenAct& target) {
  const Value value = object_["hidden_act"];
  if (!value) return true;
  if (!value.string()) return invalid(value, "a name");
  for (const NamedAct& known : kActs) {
    if (value.string() == known.name) {
      target = known.act;
      return true;
    }
  }
  return unsupported(value, "gelu, gelu_new and relu are");
}

bool Fields::epsilon(double& target) {
  const Value value = object_["layer_norm_eps"];
  if (!value) return true;
  const double number = value.number().value_or(-1.0);
  if (!(number >= 0.0 && number <= 1.0)) return invalid(value, "a number from 0 to 1");
  target = number;
  return true;
}

bool Fields::read(ModelConfig& config) {
  constexpr std::size_t k64Ki = std::size_t{1} << 16;
  constexpr std::size_t kMi = std::size_t{1} << 20;
  if (!only("model_type", "bert") ||  //
      !size("vocab_size", true, 1, 16 * kMi, config.vocab_size) ||
      !size("hidden_size", true, 1, k64Ki, config.hidden_size) ||
      !size("num_hidden_layers", true, 1, 1024, config.num_hidden_layers) ||
      !size("num_attention_heads", true, 1, k64Ki, config.num_attention_heads) ||
      // int8 products are exact as long as 255 x 127 x inputs is below 2^31
      !size("intermediate_size", true, 1, k64Ki, config.intermediate_size) ||
      !size("max_position_embeddings", false, 1, kMi, config.max_position_embeddings) ||
      !size("type_vocab_size", false, 1, k64Ki, config.type_vocab_size) || !hidden_act(config.hidden_act) ||
      !epsilon(config.layer_norm_eps) || !flag("tie_word_embeddings", config.tie_word_embeddings) ||
      !only("position_embedding_type", "absolute"))
    return false;
  for (const std::string_view field : {"is_decoder", "add_cross_attention"}) {
    bool on = false;
    if (!flag(field, on)) return false;
    if (on) return unsupported(object_[field], "only encoders are");
  }
  return true;
}

}  // namespace

std::string_view hidden_act_name(HiddenAct hidden_act) {
  switch (hidden_act) {
    case HiddenAct::kGelu:
      return "gelu";
    case HiddenAct::kGeluNew:
      return "gelu_new";
    case HiddenAct::kRelu:
      return "relu";
  }
  return "gelu";
}

Expected<ModelConfig> ModelConfig::parse(std::string_view text) {
  if (text.size() > kMaxConfigBytes)
    return fail(ErrorCode::kInvalidModel, "config.json has " + std::to_string(text.size()) +
                                              " bytes; a BERT config has under a million");
  const Expected<Document> document = Document::parse(text, "config.json");
  if (!document) return tl::unexpected(document.error());
  ModelConfig config;
  Fields fields(document->root());
  if (!fields.read(config)) return tl::unexpected(std::move(fields.error));
  if (config.hidden_size % config.num_attention_heads != 0)
    return fail(ErrorCode::kInvalidModel, "config.json: hidden_size " + std::to_string(config.hidden_size) +
                                              " cannot be divided by num_attention_heads " +
                                              std::to_string(config.num_attention_heads));
  for (const Value name : document->root()["architectures"])
    if (name.string()) config.architectures.emplace_back(*name.string());
  return config;
}

std::string ModelConfig::to_json() const {
  nlohmann::json object = {{"model_type", "bert"},
                           {"vocab_size", vocab_size},
                           {"hidden_size", hidden_size},
                           {"num_hidden_layers", num_hidden_layers},
                           {"num_attention_heads", num_attention_heads},
                           {"intermediate_size", intermediate_size},
                           {"max_position_embeddings", max_position_embeddings},
                           {"type_vocab_size", type_vocab_size},
                           {"hidden_act", hidden_act_name(hidden_act)},
                           {"layer_norm_eps", layer_norm_eps},
                           {"tie_word_embeddings", tie_word_embeddings},
                           {"position_embedding_type", "absolute"}};
  if (!architectures.empty()) object["architectures"] = architectures;
  return object.dump(2, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace bert
