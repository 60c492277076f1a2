// config.json: what is read, what is refused and how the refusal reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bert/model.h"

namespace {

using bert::ErrorCode;
using bert::HiddenAct;
using bert::ModelConfig;
using nlohmann::json;
using testing::HasSubstr;

json base_config() {
  return {
      {"model_type", "bert"},           {"vocab_size", 30522},        {"hidden_size", 768},
      {"num_hidden_layers", 12},        {"num_attention_heads", 12},  {"intermediate_size", 3072},
      {"max_position_embeddings", 512}, {"type_vocab_size", 2},       {"hidden_act", "gelu"},
      {"layer_norm_eps", 1e-12},        {"hidden_dropout_prob", 0.1}, {"architectures", {"BertForMaskedLM"}}};
}

bert::Expected<ModelConfig> parse_with(const char* field, const json& value) {
  json config = base_config();
  config[field] = value;
  return ModelConfig::parse(config.dump());
}

TEST(Config, ReadsAllFields) {
  json text = base_config();
  text["layer_norm_eps"] = 1e-5;
  text["tie_word_embeddings"] = false;
  text["pad_token_id"] = 30522;  // the tokenizer's matter
  const auto config = ModelConfig::parse(text.dump());
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->vocab_size, 30522U);
  EXPECT_EQ(config->hidden_size, 768U);
  EXPECT_EQ(config->num_hidden_layers, 12U);
  EXPECT_EQ(config->num_attention_heads, 12U);
  EXPECT_EQ(config->intermediate_size, 3072U);
  EXPECT_EQ(config->max_position_embeddings, 512U);
  EXPECT_EQ(config->type_vocab_size, 2U);
  EXPECT_EQ(config->head_size(), 64U);
  EXPECT_EQ(config->layer_norm_eps, 1e-5);
  EXPECT_FALSE(config->tie_word_embeddings);
  EXPECT_EQ(config->architectures, std::vector<std::string>{"BertForMaskedLM"});
}

TEST(Config, DefaultsAreHuggingFaces) {
  const auto config = ModelConfig::parse(
      R"({"vocab_size": 100, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
          "layer_norm_eps": null})");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->max_position_embeddings, 512U);
  EXPECT_EQ(config->type_vocab_size, 2U);
  EXPECT_EQ(config->hidden_act, HiddenAct::kGelu);
  EXPECT_EQ(config->layer_norm_eps, 1e-12);
  EXPECT_TRUE(config->tie_word_embeddings);
}

TEST(Config, KnowsTheNamesOfActivations) {
  const std::pair<const char*, HiddenAct> kNames[] = {{"gelu", HiddenAct::kGelu},
                                                      {"gelu_python", HiddenAct::kGelu},
                                                      {"gelu_new", HiddenAct::kGeluNew},
                                                      {"gelu_fast", HiddenAct::kGeluNew},
                                                      {"gelu_pytorch_tanh", HiddenAct::kGeluNew},
                                                      {"relu", HiddenAct::kRelu}};
  for (const auto& [name, act] : kNames) {
    const auto config = parse_with("hidden_act", name);
    ASSERT_TRUE(config) << name;
    EXPECT_EQ(config->hidden_act, act) << name;
  }
}

TEST(Config, RefusesWithTheFieldAndTheValue) {
  struct Bad {
    const char* field;
    json value;
    ErrorCode code;
    const char* text;
  };
  const Bad kBad[] = {
      {"vocab_size", 0, ErrorCode::kInvalidModel, "vocab_size is '0'"},
      {"vocab_size", -5, ErrorCode::kInvalidModel, "'-5'"},
      {"vocab_size", 1e30, ErrorCode::kInvalidModel, "vocab_size"},
      {"vocab_size", "30522", ErrorCode::kInvalidModel, "whole number"},
      {"hidden_size", 768.5, ErrorCode::kInvalidModel, "768.5"},
      {"hidden_size", 770, ErrorCode::kInvalidModel, "cannot be divided by num_attention_heads 12"},
      {"num_hidden_layers", 100000, ErrorCode::kInvalidModel, "from 1 to 1024"},
      {"intermediate_size", nullptr, ErrorCode::kInvalidModel, "intermediate_size"},
      {"layer_norm_eps", -1, ErrorCode::kInvalidModel, "layer_norm_eps"},
      {"layer_norm_eps", "small", ErrorCode::kInvalidModel, "layer_norm_eps"},
      {"tie_word_embeddings", "yes", ErrorCode::kInvalidModel, "true or false"},
      {"hidden_act", "swish", ErrorCode::kUnsupported, "swish"},
      {"hidden_act", 3, ErrorCode::kInvalidModel, "hidden_act"},
      {"model_type", "roberta", ErrorCode::kUnsupported, "roberta"},
      {"position_embedding_type", "relative_key", ErrorCode::kUnsupported, "relative_key"},
      {"is_decoder", true, ErrorCode::kUnsupported, "is_decoder"},
      {"add_cross_attention", true, ErrorCode::kUnsupported, "add_cross_attention"},
  };
  for (const Bad& bad : kBad) {
    const auto config = parse_with(bad.field, bad.value);
    ASSERT_FALSE(config) << bad.field << " " << bad.value;
    EXPECT_EQ(config.error().code, bad.code) << bad.field << " " << bad.value;
    EXPECT_THAT(config.error().message, HasSubstr(bad.text));
    EXPECT_LT(config.error().message.size(), 300U);
  }
  for (const char* field :
       {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"}) {
    json config = base_config();
    config.erase(field);
    const auto parsed = ModelConfig::parse(config.dump());
    ASSERT_FALSE(parsed) << field;
    EXPECT_THAT(parsed.error().message, HasSubstr(field));
  }
  for (const char* text : {"", "{", "[]", "7", "nonsense", "{\"vocab_size\":"})
    EXPECT_EQ(ModelConfig::parse(text).error().code, ErrorCode::kInvalidModel) << text;
}

TEST(Config, ErrorsAreOneShortLineOfPlainCharacters) {
  const auto config = parse_with("hidden_act", std::string(5000, 'x') + "\n\x1b[31m\xf0\x9f\x98\x80");
  ASSERT_FALSE(config);
  EXPECT_LT(config.error().message.size(), 300U);
  for (const char c : config.error().message) EXPECT_TRUE(c >= 0x20 && c < 0x7F);
}

TEST(Config, WritesWhatItReads) {
  auto config = *parse_with("hidden_act", "gelu_new");
  config.layer_norm_eps = 1e-5;
  config.tie_word_embeddings = false;
  const std::string text = config.to_json();
  EXPECT_THAT(text, HasSubstr("\"layer_norm_eps\": 1e-05"));
  const auto again = ModelConfig::parse(text);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->to_json(), text);
  EXPECT_EQ(again->hidden_act, HiddenAct::kGeluNew);
  EXPECT_EQ(again->layer_norm_eps, 1e-5);
  EXPECT_FALSE(again->tie_word_embeddings);
}

}  // namespace
