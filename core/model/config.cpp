// config.json: the fields that decide what is computed, each checked; and its writing.
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>

#include "bert/model.h"
#include "model/checked.h"

namespace bert {
namespace {

using model::quote;
using nlohmann::json;

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

std::string value_text(const json& value) {
  return quote(value.dump(-1, ' ', true, json::error_handler_t::replace));
}

tl::unexpected<Error> bad_field(const char* field, const json& value, const std::string& wanted) {
  return fail(ErrorCode::kInvalidModel,
              std::string("config.json: ") + field + " is " + value_text(value) + ", not " + wanted);
}

/// One field that holds a size from `least` to `most`; `target` keeps its value when an optional field is
/// absent.
Status read_size(const json& object, const char* field, bool required, std::size_t least, std::size_t most,
                 std::size_t& target) {
  const auto found = object.find(field);
  if (found == object.end() || (!required && found->is_null())) {
    if (required) return fail(ErrorCode::kInvalidModel, std::string("config.json has no ") + field);
    return {};
  }
  if (found->is_number_unsigned()) {
    const auto value = found->get<std::uint64_t>();
    if (value >= least && value <= most) {
      target = static_cast<std::size_t>(value);
      return {};
    }
  }
  return bad_field(field, *found,
                   "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
}

Status read_flag(const json& object, const char* field, bool& target) {
  const auto found = object.find(field);
  if (found == object.end() || found->is_null()) return {};
  if (!found->is_boolean()) return bad_field(field, *found, "true or false");
  target = found->get<bool>();
  return {};
}

/// A field that may only have the one value that this program computes.
Status require_text(const json& object, const char* field, std::string_view only) {
  const auto found = object.find(field);
  if (found == object.end() || found->is_null()) return {};
  if (found->is_string() && found->get_ref<const std::string&>() == only) return {};
  return fail(ErrorCode::kUnsupported, std::string("config.json: ") + field + " is " + value_text(*found) +
                                           "; only \"" + std::string(only) + "\" is computed here");
}

Status read_hidden_act(const json& object, HiddenAct& target) {
  const auto found = object.find("hidden_act");
  if (found == object.end() || found->is_null()) return {};
  if (!found->is_string()) return bad_field("hidden_act", *found, "a name");
  for (const NamedAct& known : kActs) {
    if (found->get_ref<const std::string&>() == known.name) {
      target = known.act;
      return {};
    }
  }
  return fail(ErrorCode::kUnsupported, "config.json: hidden_act is " + value_text(*found) +
                                           "; gelu, gelu_new and relu are computed here");
}

Status read_epsilon(const json& object, float& target) {
  const auto found = object.find("layer_norm_eps");
  if (found == object.end() || found->is_null()) return {};
  const double value = found->is_number() ? found->get<double>() : -1.0;
  if (!(value >= 0.0 && value <= 1.0)) return bad_field("layer_norm_eps", *found, "a number from 0 to 1");
  target = static_cast<float>(value);
  return {};
}

Status read_fields(const json& object, ModelConfig& config) {
  bool is_decoder = false;
  bool cross_attention = false;
  if (auto s = require_text(object, "model_type", "bert"); !s) return s;
  if (auto s = read_size(object, "vocab_size", true, 1, std::size_t{1} << 24, config.vocab_size); !s)
    return s;
  if (auto s = read_size(object, "hidden_size", true, 1, std::size_t{1} << 16, config.hidden_size); !s)
    return s;
  if (auto s = read_size(object, "num_hidden_layers", true, 1, 1024, config.num_hidden_layers); !s) return s;
  if (auto s =
          read_size(object, "num_attention_heads", true, 1, std::size_t{1} << 16, config.num_attention_heads);
      !s)
    return s;
  if (auto s =
          read_size(object, "intermediate_size", true, 1, std::size_t{1} << 20, config.intermediate_size);
      !s)
    return s;
  if (auto s = read_size(object, "max_position_embeddings", false, 1, std::size_t{1} << 20,
                         config.max_position_embeddings);
      !s)
    return s;
  if (auto s = read_size(object, "type_vocab_size", false, 1, std::size_t{1} << 16, config.type_vocab_size);
      !s)
    return s;
  if (auto s = read_size(object, "pad_token_id", false, 0, config.vocab_size - 1, config.pad_token_id); !s)
    return s;
  if (auto s = read_hidden_act(object, config.hidden_act); !s) return s;
  if (auto s = read_epsilon(object, config.layer_norm_eps); !s) return s;
  if (auto s = read_flag(object, "tie_word_embeddings", config.tie_word_embeddings); !s) return s;
  if (auto s = require_text(object, "position_embedding_type", "absolute"); !s) return s;
  if (auto s = read_flag(object, "is_decoder", is_decoder); !s) return s;
  if (auto s = read_flag(object, "add_cross_attention", cross_attention); !s) return s;
  if (is_decoder || cross_attention)
    return fail(ErrorCode::kUnsupported, std::string("config.json: ") +
                                             (is_decoder ? "is_decoder" : "add_cross_attention") +
                                             " is true; only encoders are computed here");
  return {};
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
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return fail(ErrorCode::kInvalidModel, "config.json is not a JSON object");
  ModelConfig config;
  if (auto s = read_fields(object, config); !s) return tl::unexpected(s.error());
  if (config.hidden_size % config.num_attention_heads != 0)
    return fail(ErrorCode::kInvalidModel, "config.json: hidden_size " + std::to_string(config.hidden_size) +
                                              " cannot be divided by num_attention_heads " +
                                              std::to_string(config.num_attention_heads));
  if (const auto found = object.find("architectures"); found != object.end() && found->is_array()) {
    for (const json& name : *found)
      if (name.is_string()) config.architectures.push_back(name.get<std::string>());
  }
  return config;
}

std::string ModelConfig::to_json() const {
  // The shortest decimal of the float (1e-12), not the float's value in double (9.99...e-13).
  std::array<char, 32> digits{};
  const auto printed = std::to_chars(digits.data(), digits.data() + digits.size(), layer_norm_eps);
  const json epsilon = json::parse(digits.data(), printed.ptr, nullptr, false);
  json object = {{"model_type", "bert"},
                 {"vocab_size", vocab_size},
                 {"hidden_size", hidden_size},
                 {"num_hidden_layers", num_hidden_layers},
                 {"num_attention_heads", num_attention_heads},
                 {"intermediate_size", intermediate_size},
                 {"max_position_embeddings", max_position_embeddings},
                 {"type_vocab_size", type_vocab_size},
                 {"hidden_act", hidden_act_name(hidden_act)},
                 {"layer_norm_eps", epsilon},
                 {"pad_token_id", pad_token_id},
                 {"tie_word_embeddings", tie_word_embeddings},
                 {"position_embedding_type", "absolute"}};
  if (!architectures.empty()) object["architectures"] = architectures;
  return object.dump(2, ' ', true, json::error_handler_t::replace) + "\n";
}

}  // namespace bert
