// The published figures of bert-base-uncased, and the notebook's, from its real weights. These are not part
// of the project: the environment variable BERTLENS_BERT_BASE_UNCASED names their folder, and without it all
// is skipped. Native only: 440 MB of weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bert/encoder.h"
#include "bert/tasks.h"
#include "support/test_files.h"

namespace {

using nlohmann::json;

/// The checkpoint, loaded once for all tests.
struct Model {
  std::string weights;  ///< model.safetensors
  std::shared_ptr<const bert::Encoder> encoder;
  std::unique_ptr<bert::Tasks> tasks;
};

template <class T>
T value_of(bert::Expected<T> expected, const char* what) {
  if (!expected) throw std::runtime_error(std::string(what) + ": " + expected.error().message);
  return std::move(*expected);
}

std::string text_of(const std::string& path) {
  auto text = bert_test::read_file(path);
  if (!text) throw std::runtime_error("cannot read " + path);
  return std::move(*text);
}

Model load(const std::string& folder) {
  Model model;
  model.weights = text_of(folder + "/model.safetensors");
  const std::string vocab = text_of(folder + "/vocab.txt");
  const auto bytes = std::as_bytes(std::span(model.weights));
  auto config = value_of(bert::ModelConfig::parse(text_of(folder + "/config.json")), "config.json");
  auto header = value_of(bert::SafetensorsHeader::parse(bytes, bytes.size()), "model.safetensors");
  const auto checkpoint =
      value_of(bert::Checkpoint::create(std::move(config), {std::move(header)}), "checkpoint");
  const std::span<const std::byte> files[] = {bytes};
  const auto weights = value_of(bert::BertWeights::bind(checkpoint, files), "weights");
  model.encoder = value_of(bert::Encoder::create(weights, value_of(bert::make_xnnpack_backend(), "backend"),
                                                 bert::Precision::kF32),
                           "encoder");
  bert::TokenizerFiles tokenizer_files;
  tokenizer_files.vocab_txt = vocab;
  auto tokenizer = value_of(bert::Tokenizer::load(tokenizer_files), "tokenizer");
  model.tasks = value_of(
      bert::Tasks::create(std::make_shared<const bert::Tokenizer>(std::move(tokenizer)), model.encoder),
      "tasks");
  return model;
}

class BertBaseUncased : public testing::Test {
 protected:
  static constexpr const char* kVariable = "BERTLENS_BERT_BASE_UNCASED";

  void SetUp() override {
    const std::string folder = bert_test::environment(kVariable);
    const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    if (folder.empty())
      GTEST_SKIP() << "BertBaseUncased." << name << ": " << kVariable
                   << " does not name the real checkpoint's folder";
    const auto published =
        bert_test::read_file(bert_test::shared_path("data/published/bert-base-uncased.json"));
    const auto notebook = bert_test::read_file(bert_test::shared_path("spec/notebook_expected.json"));
    if (!published || !notebook)
      GTEST_SKIP() << "BertBaseUncased." << name << ": the published figures are not beside the checkout";
    published_ = json::parse(*published);
    notebook_ = json::parse(*notebook);
    if (loaded == nullptr) loaded = new Model(load(folder));
  }
  static void TearDownTestSuite() {
    delete loaded;
    loaded = nullptr;
  }

  static bert::Tasks& tasks() { return *loaded->tasks; }

  /// Runs one sequence of an object's input_ids, attention_mask and token_type_ids.
  static bert::Output run(const json& object, const bert::Request& request) {
    const auto ids = object["input_ids"].get<std::vector<std::int32_t>>();
    const auto types = object.value("token_type_ids", std::vector<std::int32_t>{});
    const auto mask = object.value("attention_mask", std::vector<std::int32_t>{});
    const std::vector<bert::Sequence> batch = {{ids, types, mask}};
    return value_of(tasks().session().run(batch, request), "run");
  }

  /// Rows 1 to 3, columns 1 to 3 of [rows, width] against a 3 x 3 list.
  static void expect_corner(const bert::Tensor& actual, const json& expected, double tolerance) {
    ASSERT_EQ(actual.shape.size(), 2U);
    for (std::size_t row = 0; row < 3; ++row) {
      for (std::size_t column = 0; column < 3; ++column)
        EXPECT_NEAR(actual.data[(row + 1) * actual.shape[1] + column + 1],
                    expected[row][column].get<double>(), tolerance)
            << "row " << row + 1 << ", column " << column + 1;
    }
  }

  static bert::FillMaskAnswer fill_mask(const std::string& text, std::size_t top_k,
                                        const std::optional<std::string_view>& label_text = {}) {
    bert::FillMaskInput input;
    input.text = text;
    input.label_text = label_text;
    bert::FillMaskOptions options;
    options.top_k = top_k;
    return value_of(tasks().fill_mask(input, options), "fill_mask");
  }

  /// Each [token, ..., probability] among the predictions, with that probability.
  static void expect_predictions(const std::vector<bert::Prediction>& actual, const json& expected,
                                 double unit, double tolerance) {
    for (const json& entry : expected) {
      const auto token = entry.front().get<std::string>();
      const auto found = std::ranges::find(actual, token, &bert::Prediction::token);
      ASSERT_NE(found, actual.end()) << token;
      EXPECT_NEAR(found->probability * unit, entry.back().get<double>(), tolerance) << token;
    }
  }

  json published_;
  json notebook_;
  static inline Model* loaded = nullptr;
};

TEST_F(BertBaseUncased, HiddenStates) {
  const json& known = published_["encoder_hidden_states"];
  bert::Request request;
  request.hidden_states = {12};
  request.padding_rows = true;  // the first token is masked and row 1 must stay row 1
  expect_corner(run(known, request).hidden_states[0], known["last_hidden_state[0][1:4][1:4]"], 2e-4);
}

TEST_F(BertBaseUncased, HiddenStatesOfTheMlxExample) {
  bert::Request request;
  request.hidden_states = {12};
  const auto encoding =
      value_of(tasks().tokenizer().encode("This is an example of BERT working on MLX."), "encode");
  const auto output = run({{"input_ids", encoding.ids}}, request);
  const auto& state = output.hidden_states[0];
  const json& rows = published_["mlx_readme_hidden_states"]["rows"];
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(state.data[row * 768 + i], rows[row][i].get<double>(), 1e-3) << row << " " << i;
      EXPECT_NEAR(state.data[row * 768 + 765 + i], rows[row][4 + i].get<double>(), 1e-3) << row << " " << i;
    }
  }
}

TEST_F(BertBaseUncased, MaskedLanguageModelLogits) {
  const json& known = published_["masked_lm"];
  bert::Request request;
  for (std::size_t token = 0; token < known["input_ids"].size(); ++token) request.mlm.push_back({0, token});
  expect_corner(run(known, request).mlm, known["logits[0][1:4][1:4]"], 5e-4);
  const auto encoding =
      value_of(tasks().tokenizer().encode(known["text"].get_ref<const std::string&>()), "encode");
  EXPECT_EQ(encoding.ids, known["input_ids"].get<std::vector<std::int32_t>>());
}

TEST_F(BertBaseUncased, NextSentenceLogits) {
  const json& known = published_["next_sentence"];
  bert::Request request;
  request.nsp = true;
  const auto logits = run(known, request).nsp;
  EXPECT_NEAR(logits.data[0], known["logits"][0].get<double>(), 5e-4);
  EXPECT_NEAR(logits.data[1], known["logits"][1].get<double>(), 5e-4);
}

TEST_F(BertBaseUncased, FillMaskOfTheModelCard) {
  for (const json& known : published_["fill_mask_top5"]["cases"]) {
    const auto answer = fill_mask(known["text"], known["top"].size());
    ASSERT_EQ(answer.masks.size(), 1U);
    const auto& predictions = answer.masks[0].predictions;
    ASSERT_EQ(predictions.size(), known["top"].size());
    for (std::size_t i = 0; i < predictions.size(); ++i) {
      EXPECT_EQ(predictions[i].token, known["top"][i][0].get<std::string>()) << known["text"];
      EXPECT_EQ(predictions[i].pieces, std::vector<std::int32_t>{known["top"][i][1].get<std::int32_t>()});
      EXPECT_NEAR(predictions[i].probability, known["top"][i][2].get<double>(), 2e-4) << known["text"];
    }
  }
}

TEST_F(BertBaseUncased, NotebookMaskEffect) {
  std::vector<std::string> texts = notebook_["mask_effect"]["batch"];
  const std::vector<bert::TextInput> inputs(texts.begin(), texts.end());
  const auto effect = value_of(tasks().mask_effect(inputs), "mask_effect");
  const auto known = notebook_["mask_effect"]["cls_l2_with_vs_without_mask"].get<std::vector<double>>();
  ASSERT_EQ(effect.size(), known.size());
  for (std::size_t i = 0; i < known.size(); ++i) EXPECT_NEAR(effect[i].cls_l2, known[i], 1e-3);
}

TEST_F(BertBaseUncased, NotebookMaskedLanguageModel) {
  const json& known = notebook_["mlm"];
  const auto answer = fill_mask(known["text"], 10, known["label_text"].get_ref<const std::string&>());
  ASSERT_EQ(answer.masks.size(), 1U);
  EXPECT_EQ(answer.masks[0].predictions[0].pieces[0], known["target_id"].get<std::int32_t>());
  for (std::size_t i = 0; i < 10; ++i)
    EXPECT_EQ(answer.masks[0].predictions[i].token, known["top10"][i][0].get<std::string>());
  expect_predictions(answer.masks[0].predictions, known["top10"], 1, 2e-4);
  EXPECT_EQ(answer.labels, known["labels"][0].get<std::vector<std::int32_t>>());
  ASSERT_TRUE(answer.loss);
  EXPECT_NEAR(*answer.loss, known["loss"].get<double>(), 0.005);
}

TEST_F(BertBaseUncased, NotebookNextSentence) {
  const json& known = notebook_["nsp"];
  for (const json& pair : known["pairs"]) {
    const auto answer =
        value_of(tasks().next_sentence({std::string_view(known["first"].get_ref<const std::string&>()),
                                        std::string_view(pair["second"].get_ref<const std::string&>())}),
                 "next_sentence");
    EXPECT_NEAR(answer.is_next, pair["is_next"].get<double>(), 1e-4);
    EXPECT_NEAR(answer.not_next, pair["not_next"].get<double>(), 1e-4);
  }
}

TEST_F(BertBaseUncased, NotebookExercise4) {
  const json& known = notebook_["exercise_4_multiple_masks"];
  const auto positions = known["mask_word_positions"].get<std::vector<std::size_t>>();
  const auto masked = value_of(
      bert::mask_words(tasks().tokenizer(), known["sentence"].get_ref<const std::string&>(), positions),
      "mask_words");
  EXPECT_EQ(masked.text, known["masked"].get<std::string>());
  const auto answer = fill_mask(masked.text, 10);
  ASSERT_EQ(answer.masks.size(), positions.size());
  for (std::size_t i = 0; i < positions.size(); ++i)
    expect_predictions(answer.masks[i].predictions,
                       known["predictions_percent"][std::to_string(positions[i])], 100, 0.02);
}

TEST_F(BertBaseUncased, NotebookExercise5) {
  const json& known = notebook_["exercise_5_nsp_evaluation"];
  for (std::size_t i = 0; i < known["first_pairs_predicted"].size(); ++i) {
    const json& pair = known["pairs"][i];
    const auto answer =
        value_of(tasks().next_sentence({std::string_view(pair["a"].get_ref<const std::string&>()),
                                        std::string_view(pair["b"].get_ref<const std::string&>())}),
                 "next_sentence");
    EXPECT_NEAR(answer.is_next, known["first_pairs_predicted"][i][0].get<double>(), 6e-4);
    EXPECT_NEAR(answer.not_next, known["first_pairs_predicted"][i][1].get<double>(), 6e-4);
  }
}

}  // namespace
