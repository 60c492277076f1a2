// The tasks against PyTorch's golden values, against the encoder's own logits put together by hand, and
// against figures worked out on paper.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "bert/backend.h"
#include "bert/encoder.h"
#include "bert/tasks.h"
#include "bert/tokenizer.h"
#include "support/checkpoint_maker.h"
#include "support/golden_models.h"

namespace {

using bert::ErrorCode;

constexpr std::int32_t kMask = 4;

// A word that is one token: "aa", "ba", ... The last three entries of the vocabulary continue words.
std::string word(std::int32_t id) {
  const std::int32_t n = id - 5;
  return {static_cast<char>('a' + n % 26), static_cast<char>('a' + n / 26)};
}

std::string vocabulary(std::size_t size) {
  std::string text = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (std::size_t id = 5; id < size - 3; ++id) text += word(static_cast<std::int32_t>(id)) + "\n";
  return text + "##x\n##y\n##z\n";
}

// A golden model behind the tasks. Its text is words whose ids are the golden ones.
class Model {
 public:
  explicit Model(const std::string& name) : golden(*bert_test::load_golden(name)) {
    opened = std::make_unique<bert_test::OpenedCheckpoint>(*bert_test::make_and_open(golden.spec));
    encoder = *bert::Encoder::create(opened->weights, bert::make_reference_backend(), bert::Precision::kF32);
    const std::string vocab = vocabulary(size());
    tokenizer = std::make_shared<const bert::Tokenizer>(
        *bert::Tokenizer::load({.vocab_txt = vocab, .tokenizer_json = {}, .tokenizer_config_json = {}}));
    tasks = *bert::Tasks::create(tokenizer, encoder);
  }

  std::size_t size() const { return golden.spec.config.vocab_size; }
  std::string text(std::span<const std::int32_t> ids) const {
    std::string text;
    for (const std::int32_t id : ids.subspan(1, ids.size() - 2)) {
      text += (text.empty() ? "" : " ") + std::string(tokenizer->id_to_token(id).value_or("?"));
    }
    return text;
  }
  // ln softmax of the logits at one position, from the session itself
  std::vector<double> log_probabilities(std::span<const std::int32_t> ids, std::size_t position) {
    const bert::Sequence sequence{.input_ids = ids};
    bert::Request request;
    request.mlm = {{.sequence = 0, .token = position}};
    const auto output = tasks->session().run({&sequence, 1}, request);
    std::vector<double> values(output->mlm.data.begin(), output->mlm.data.end());
    double sum = 0;
    for (const double value : values) sum += std::exp(value);
    for (double& value : values) value -= std::log(sum);
    return values;
  }

  bert_test::GoldenModel golden;
  std::unique_ptr<bert_test::OpenedCheckpoint> opened;  // outlives the encoder, which reads its bytes
  std::shared_ptr<const bert::Encoder> encoder;
  std::shared_ptr<const bert::Tokenizer> tokenizer;
  std::unique_ptr<bert::Tasks> tasks;
};

// Ids that the words of the test vocabulary can stand for: none of those that continue words.
bool expressible(const Model& model, std::span<const std::int32_t> ids) {
  return ids.size() > 2 && ids.front() == 2 && ids.back() == 3 &&
         std::all_of(ids.begin() + 1, ids.end() - 1, [&](std::int32_t id) {
           return id == kMask || (id >= 5 && static_cast<std::size_t>(id) < model.size() - 3);
         });
}

TEST(Tasks, ScoreIsPyTorchs) {
  std::size_t compared = 0;
  for (const std::string& name : bert_test::golden_names()) {
    Model model(name);
    if (!model.encoder->has_mlm_head()) continue;
    for (const auto& c : model.golden.cases) {
      if (!expressible(model, c.scored_ids)) continue;
      const auto score = model.tasks->score(model.text(c.scored_ids));
      ASSERT_TRUE(score) << score.error().message;
      ASSERT_EQ(score->tokens.size(), c.log_probabilities.size());
      double sum = 0;
      for (std::size_t i = 0; i < score->tokens.size(); ++i) {
        EXPECT_NEAR(score->tokens[i].log_probability, c.log_probabilities[i], 1e-4) << name << " token " << i;
        EXPECT_EQ(score->tokens[i].position, i + 1);
        sum += c.log_probabilities[i];
      }
      EXPECT_NEAR(score->pseudo_log_likelihood, sum, 1e-3);
      ++compared;
    }
  }
  EXPECT_GE(compared, 2U);
}

TEST(Tasks, LossesArePyTorchs) {
  std::size_t compared = 0;
  for (const std::string& name : bert_test::golden_names()) {
    Model model(name);
    if (!model.encoder->has_mlm_head()) continue;
    for (const auto& c : model.golden.cases) {
      if (c.batch != 1 || c.labels.empty() || !expressible(model, c.input_ids)) continue;
      std::vector<std::int32_t> right = c.input_ids;
      bool at_masks = true;  // every label lies at a mask and every mask has one
      for (std::size_t i = 0; i < right.size(); ++i) {
        at_masks &= (right[i] == kMask) == (c.labels[i] != bert::kIgnoredLabel);
        if (c.labels[i] != bert::kIgnoredLabel) right[i] = c.labels[i];
      }
      if (!at_masks || !c.mlm_loss || !expressible(model, right)) continue;
      const std::string text = model.text(c.input_ids), label_text = model.text(right);
      bert::FillMaskInput input;
      input.text = text;
      input.label_text = label_text;
      const auto answer = model.tasks->fill_mask(input);
      ASSERT_TRUE(answer) << answer.error().message;
      EXPECT_EQ(answer->labels, c.labels);
      ASSERT_EQ(answer->masks.size(), c.mlm_losses.size());
      for (std::size_t i = 0; i < answer->masks.size(); ++i) {
        EXPECT_NEAR(answer->masks[i].label->loss, c.mlm_losses[i], 1e-4) << name;
      }
      EXPECT_NEAR(*answer->loss, *c.mlm_loss, 1e-4);
      ++compared;
    }
  }
  EXPECT_GE(compared, 1U);
}

TEST(Tasks, TopKIsTheSoftmaxOverAll) {
  Model model("deep");
  const std::vector<std::int32_t> ids = {2, 10, kMask, 12, 3};
  const std::vector<double> expected = model.log_probabilities(ids, 2);
  const std::string text = model.text(ids);
  bert::FillMaskInput input;
  input.text = text;
  const auto all = model.tasks->fill_mask(input, {.top_k = model.size(), .order = {}});
  ASSERT_TRUE(all);
  ASSERT_EQ(all->masks.size(), 1U);
  const auto& predictions = all->masks[0].predictions;
  ASSERT_EQ(predictions.size(), model.size());
  EXPECT_NEAR(predictions.back().cumulative, 1, 1e-9);
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    EXPECT_NEAR(-predictions[i].loss, expected[static_cast<std::size_t>(predictions[i].pieces[0])], 1e-9);
    EXPECT_NEAR(predictions[i].probability, std::exp(-predictions[i].loss), 1e-12);
    EXPECT_EQ(predictions[i].rank, i + 1);
    if (i > 0) EXPECT_GE(predictions[i - 1].probability, predictions[i].probability);
  }
  const auto five = model.tasks->fill_mask(input);
  ASSERT_EQ(five->masks[0].predictions.size(), 5U);
  EXPECT_EQ(five->masks[0].predictions[0].token, predictions[0].token);
  EXPECT_EQ(five->filled[2], predictions[0].pieces[0]);
}

TEST(Tasks, TargetsKeepTheirProbability) {
  Model model("deep");
  const std::vector<std::int32_t> ids = {2, 10, kMask, 12, 3};
  const std::vector<double> expected = model.log_probabilities(ids, 2);
  const std::string text = model.text(ids);
  const std::vector<std::string> targets = {word(20), "AA", word(21), word(20)};
  bert::FillMaskInput input;
  input.text = text;
  input.targets = targets;
  const auto answer = model.tasks->fill_mask(input);
  ASSERT_TRUE(answer) << answer.error().message;
  ASSERT_EQ(answer->masks[0].predictions.size(), 3U);  // a target that comes twice counts once
  for (const auto& prediction : answer->masks[0].predictions) {
    const auto id = static_cast<std::size_t>(prediction.pieces[0]);
    EXPECT_NEAR(std::log(prediction.probability), expected[id], 1e-9);
    EXPECT_EQ(prediction.rank,
              1U + static_cast<std::size_t>(std::count_if(expected.begin(), expected.end(),
                                                          [&](double p) { return p > expected[id]; })));
  }
}

TEST(Tasks, TargetOfSeveralPiecesIsAChain) {
  Model model("deep");
  const auto x = static_cast<std::int32_t>(model.size()) - 3, y = x + 1;
  // P(aa | three masks) P(##x | aa, two masks) P(##y | aa ##x, one mask)
  const std::vector<double> first =
      model.log_probabilities(std::vector<std::int32_t>{2, 10, 4, 4, 4, 12, 3}, 2);
  const std::vector<double> second =
      model.log_probabilities(std::vector<std::int32_t>{2, 10, 5, 4, 4, 12, 3}, 3);
  const std::vector<double> third =
      model.log_probabilities(std::vector<std::int32_t>{2, 10, 5, x, 4, 12, 3}, 4);
  const double expected = first[5] + second[static_cast<std::size_t>(x)] + third[static_cast<std::size_t>(y)];
  const std::string text = word(10) + " [MASK] " + word(12);
  const std::vector<std::string> targets = {"aaxy"};
  bert::FillMaskInput input;
  input.text = text;
  input.targets = targets;
  const auto answer = model.tasks->fill_mask(input);
  ASSERT_TRUE(answer) << answer.error().message;
  const bert::Prediction& prediction = answer->masks[0].predictions.front();
  EXPECT_EQ(prediction.pieces, (std::vector<std::int32_t>{5, x, y}));
  EXPECT_NEAR(-prediction.loss, expected, 1e-9);
  EXPECT_TRUE(std::isnan(prediction.logit));
  EXPECT_EQ(answer->filled, (std::vector<std::int32_t>{2, 10, 5, x, y, 12, 3}));
  EXPECT_EQ(answer->sequence, word(10) + " aaxy " + word(12));
}

TEST(Tasks, MasksAreFilledInTheirOrder) {
  Model model("deep");
  const auto best = [&](const std::vector<std::int32_t>& ids, std::size_t position) {
    const std::vector<double> p = model.log_probabilities(ids, position);
    const auto most = std::max_element(p.begin(), p.end());
    return std::pair(static_cast<std::int32_t>(most - p.begin()), *most);
  };
  const std::vector<std::int32_t> ids = {2, kMask, 30, kMask, 3};
  const auto [left, left_p] = best(ids, 1);
  const auto [right, right_p] = best(ids, 3);
  const std::string text = model.text(ids);
  bert::FillMaskInput input;
  input.text = text;

  const auto independent = model.tasks->fill_mask(input);
  ASSERT_TRUE(independent);
  EXPECT_EQ(independent->filled, (std::vector<std::int32_t>{2, left, 30, right, 3}));

  const auto in_order = model.tasks->fill_mask(input, {.top_k = {}, .order = bert::MaskOrder::kLeftToRight});
  ASSERT_TRUE(in_order);
  const auto [then, then_p] = best({2, left, 30, kMask, 3}, 3);
  EXPECT_EQ(in_order->filled, (std::vector<std::int32_t>{2, left, 30, then, 3}));
  EXPECT_NEAR(-in_order->masks[1].predictions[0].loss, then_p, 1e-9);
  EXPECT_EQ(in_order->masks[0].step, 0U);
  EXPECT_EQ(in_order->masks[1].step, 1U);

  const auto confident =
      model.tasks->fill_mask(input, {.top_k = {}, .order = bert::MaskOrder::kMostConfident});
  ASSERT_TRUE(confident);
  const bool left_first = left_p >= right_p;
  EXPECT_EQ(confident->masks[left_first ? 0 : 1].step, 0U);
  EXPECT_EQ(confident->masks[left_first ? 1 : 0].step, 1U);
  const auto last = left_first ? best({2, left, 30, kMask, 3}, 3) : best({2, kMask, 30, right, 3}, 1);
  EXPECT_EQ(confident->filled[left_first ? 3 : 1], last.first);
}

TEST(Tasks, BatchIsTheSumOfItsParts) {
  Model model("deep");
  const std::vector<std::string> texts = {word(7) + " [MASK]", "no mask here",
                                          "[MASK] " + word(9) + " [MASK]"};
  std::vector<bert::FillMaskInput> inputs(3);
  for (std::size_t i = 0; i < 3; ++i) inputs[i].text = texts[i];
  const auto answers = model.tasks->fill_mask_batch(inputs);
  ASSERT_EQ(answers.size(), 3U);
  EXPECT_EQ(answers[1].error().code, ErrorCode::kInvalidText);
  for (const std::size_t i : {std::size_t{0}, std::size_t{2}}) {
    const auto alone = model.tasks->fill_mask(inputs[i]);
    ASSERT_TRUE(answers[i] && alone);
    EXPECT_EQ(answers[i]->filled, alone->filled);
    EXPECT_NEAR(answers[i]->masks[0].predictions[0].probability, alone->masks[0].predictions[0].probability,
                1e-6);
  }
}

TEST(Tasks, NextSentenceReadsTheLogits) {
  Model model("wide");
  const std::string a = word(10) + " " + word(11), b = word(12);
  const std::vector<std::int32_t> ids = {2, 10, 11, 3, 12, 3};
  const std::vector<std::int32_t> types(6, 0);
  if (model.golden.spec.config.type_vocab_size < 2) {
    // a model without a second token type cannot tell the texts apart: the encoder refuses the pair
    const auto refused = model.tasks->next_sentence({a, b});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  }
  Model deep("deep");
  const std::vector<std::int32_t> pair_types = {0, 0, 0, 0, 1, 1};
  const bert::Sequence sequence{.input_ids = ids, .token_type_ids = pair_types};
  bert::Request request;
  request.nsp = true;
  const auto output = deep.tasks->session().run({&sequence, 1}, request);
  ASSERT_TRUE(output);
  const auto answer = deep.tasks->next_sentence({a, b});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->logits[0], output->nsp.data[0]);
  EXPECT_EQ(answer->logits[1], output->nsp.data[1]);
  const double x = std::exp(static_cast<double>(output->nsp.data[0]));
  const double y = std::exp(static_cast<double>(output->nsp.data[1]));
  EXPECT_NEAR(answer->is_next, x / (x + y), 1e-12);
  EXPECT_NEAR(answer->is_next + answer->not_next, 1, 1e-12);
  EXPECT_EQ(deep.tasks->next_sentence(bert::TextInput(a)).error().code, ErrorCode::kInvalidText);
}

TEST(Tasks, EmbeddingsPoolTheLastState) {
  Model model("deep");
  const std::vector<std::int32_t> ids = {2, 10, 11, 3};
  const bert::Sequence sequence{.input_ids = ids};
  bert::Request request;
  request.hidden_states = {model.golden.spec.config.num_hidden_layers};
  const auto output = model.tasks->session().run({&sequence, 1}, request);
  ASSERT_TRUE(output);
  const std::vector<float>& states = output->hidden_states[0].data;
  const std::size_t hidden = model.golden.spec.config.hidden_size;
  const std::string text = model.text(ids);
  const auto cls = model.tasks->embed(text, {.pooling = bert::Pooling::kCls, .normalize = false});
  const auto mean = model.tasks->embed(text, {.pooling = bert::Pooling::kMean, .normalize = false});
  const auto most = model.tasks->embed(text, {.pooling = bert::Pooling::kMax, .normalize = false});
  const auto unit = model.tasks->embed(text, {.pooling = bert::Pooling::kMean, .normalize = true});
  ASSERT_TRUE(cls && mean && most && unit);
  double length = 0;
  for (std::size_t i = 0; i < hidden; ++i) {
    const float column[4] = {states[i], states[hidden + i], states[2 * hidden + i], states[3 * hidden + i]};
    EXPECT_NEAR((*cls)[i], column[0], 1e-6);
    EXPECT_NEAR((*mean)[i], (column[0] + column[1] + column[2] + column[3]) / 4, 1e-6);
    EXPECT_EQ((*most)[i], *std::max_element(column, column + 4));
    length += static_cast<double>((*unit)[i]) * static_cast<double>((*unit)[i]);
  }
  EXPECT_NEAR(length, 1, 1e-6);
  EXPECT_NEAR(bert::cosine_similarity(*mean, *unit), 1, 1e-6);
  EXPECT_NEAR(bert::cosine_similarity(std::vector<float>{1, 0}, std::vector<float>{0, 2}), 0, 0);
  EXPECT_EQ(bert::cosine_similarity(std::vector<float>{0, 0}, std::vector<float>{1, 2}), 0);
}

TEST(Tasks, MaskEffectIsTheDistance) {
  Model model("deep");
  const std::string longer = word(10) + " " + word(11), shorter = word(10);
  const std::vector<bert::TextInput> texts = {longer, shorter};
  const auto effects = model.tasks->mask_effect(texts);
  ASSERT_TRUE(effects) << effects.error().message;
  EXPECT_EQ((*effects)[0].cls_l2, 0);
  EXPECT_EQ((*effects)[0].padding, 0U);
  EXPECT_EQ((*effects)[1].padding, 1U);
  // [CLS] aa [SEP] [PAD] with the padding seen, against [CLS] aa [SEP] alone
  const std::vector<std::int32_t> padded = {2, 10, 3, 0}, alone = {2, 10, 3};
  const std::vector<bert::Sequence> batch = {{.input_ids = padded}, {.input_ids = alone}};
  const std::size_t layers = model.golden.spec.config.num_hidden_layers;
  const std::size_t hidden = model.golden.spec.config.hidden_size;
  bert::Request request;
  request.rows = bert::RowChoice::kFirst;
  request.hidden_states = {0, 1, layers};
  const auto output = model.tasks->session().run(batch, request);
  ASSERT_TRUE(output);
  const std::vector<std::size_t> states = {0, 1, layers};
  for (std::size_t k = 0; k < states.size(); ++k) {
    double squares = 0;
    for (std::size_t i = 0; i < hidden; ++i) {
      const double d = static_cast<double>(output->hidden_states[k].data[i]) -
                       static_cast<double>(output->hidden_states[k].data[hidden + i]);
      squares += d * d;
    }
    EXPECT_NEAR((*effects)[1].per_layer[states[k]], std::sqrt(squares), 1e-5);
  }
  EXPECT_EQ((*effects)[1].per_layer.size(), layers + 1);
  EXPECT_GT((*effects)[1].cls_l2, 0.01);
  EXPECT_EQ((*effects)[1].cls_l2, (*effects)[1].per_layer.back());
  EXPECT_EQ((*effects)[1].per_token[0].size(), 3U);

  const std::vector<std::size_t> paddings = {0, 1, 3};
  const auto curve = model.tasks->mask_effect_curve(shorter, paddings);
  ASSERT_TRUE(curve);
  EXPECT_EQ((*curve)[0], 0);
  EXPECT_NEAR((*curve)[1], (*effects)[1].cls_l2, 1e-5);
  const std::vector<std::size_t> too_many = {1000};
  EXPECT_EQ(model.tasks->mask_effect_curve(shorter, too_many).error().code, ErrorCode::kTooLong);
  EXPECT_EQ(model.tasks->mask_effect({}).error().code, ErrorCode::kInvalidArgument);
}

TEST(Tasks, ErrorsNameTheirCause) {
  Model model("deep");
  const std::string masked = word(10) + " [MASK]";
  bert::FillMaskInput input;
  input.text = masked;
  EXPECT_EQ(model.tasks->fill_mask(input, {.top_k = 0, .order = {}}).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(model.tasks->fill_mask(input, {.top_k = model.size() + 1, .order = {}}).error().code,
            ErrorCode::kInvalidArgument);
  for (const char* target : {"\xc3\xa9", "", " "}) {
    const std::vector<std::string> targets = {target};
    input.targets = targets;
    EXPECT_EQ(model.tasks->fill_mask(input).error().code, ErrorCode::kInvalidArgument) << target;
  }
  input.targets = {};
  const std::string wrong = word(10) + " " + word(11) + " " + word(12);
  input.label_text = wrong;
  EXPECT_EQ(model.tasks->fill_mask(input).error().code, ErrorCode::kInvalidText);
  input.label_text = masked;
  EXPECT_EQ(model.tasks->fill_mask(input).error().code, ErrorCode::kInvalidText);
  std::string endless;
  for (int i = 0; i < 40; ++i) endless += word(10) + " ";
  EXPECT_EQ(model.tasks->embed(endless).error().code, ErrorCode::kTooLong);
  EXPECT_EQ(model.tasks->score(endless).error().code, ErrorCode::kTooLong);
  // the tokenizer's own limit is 512
  bert::EncodeOptions cut;
  cut.truncation = bert::Truncation::kLongestFirst;
  model.tasks->set_encoding(cut);
  const std::size_t positions = model.golden.spec.config.max_position_embeddings;
  EXPECT_EQ(model.tasks->encode(endless)->size(), positions);
  EXPECT_TRUE(model.tasks->embed(endless));
  cut.max_length = static_cast<std::uint32_t>(positions) + 1;
  model.tasks->set_encoding(cut);
  EXPECT_EQ(model.tasks->embed(endless).error().code, ErrorCode::kTooLong);
  model.tasks->set_encoding({});
  EXPECT_EQ(model.tasks->embed(endless).error().code, ErrorCode::kTooLong);
  const bert::CallControl stop{.aborted = [] { return true; }, .progress = {}};
  EXPECT_EQ(model.tasks->embed(word(10), {}, stop).error().code, ErrorCode::kAborted);
  EXPECT_TRUE(model.tasks->embed(word(10)));
  Model without_heads("plain");
  EXPECT_EQ(without_heads.tasks->score(word(10)).error().code, ErrorCode::kMissingTensor);
  EXPECT_EQ(without_heads.tasks->next_sentence({word(10), word(11)}).error().code, ErrorCode::kMissingTensor);
}

TEST(Tasks, OneBadInputSpoilsNoOther) {
  Model model("deep");
  // a damaged position spoils the texts that reach it, and those alone
  const bert::TensorView positions =
      model.opened->weights.module({.kind = bert::ModuleKind::kPositionEmbeddings, .layer = 0}).weight;
  const float odd = std::nanf("");
  std::memcpy(const_cast<std::byte*>(positions.data.data()) + 6 * positions.columns * sizeof(float), &odd,
              sizeof odd);
  model.encoder =
      *bert::Encoder::create(model.opened->weights, bert::make_reference_backend(), bert::Precision::kF32);
  model.tasks = *bert::Tasks::create(model.tokenizer, model.encoder);
  const std::string few = "aa [MASK]", many = "aa ba ca da [MASK] fa ga";
  const auto expect = [](const auto& results, std::string_view what) {
    ASSERT_EQ(results.size(), 3U);
    EXPECT_TRUE(results[0]) << results[0].error().message;
    EXPECT_TRUE(results[2]) << results[2].error().message;
    ASSERT_FALSE(results[1]);
    EXPECT_EQ(results[1].error().code, ErrorCode::kInvalidModel);
    EXPECT_NE(results[1].error().message.find("its weights are damaged"), std::string::npos);
    EXPECT_NE(results[1].error().message.find(what), std::string::npos) << results[1].error().message;
  };
  const std::vector<bert::FillMaskInput> masked = {{few, {}, {}}, {many, {}, {}}, {few, {}, {}}};
  expect(model.tasks->fill_mask_batch(masked), "logit for token id");
  expect(model.tasks->fill_mask_batch(masked, {.top_k = {}, .order = bert::MaskOrder::kLeftToRight}),
         "logit for token id");
  const std::vector<bert::TextInput> texts = {few, many, few};
  for (const bert::Pooling pooling : {bert::Pooling::kCls, bert::Pooling::kMean, bert::Pooling::kMax})
    expect(model.tasks->embed_batch(texts, {.pooling = pooling}), "hidden states");
  const std::vector<bert::TextInput> pairs = {{"aa", "ba"}, {"aa ba ca", "da ea fa"}, {"aa", "ba"}};
  expect(model.tasks->next_sentence_batch(pairs), "next-sentence logits");
  // texts compared with each other are one question
  for (const auto& effect :
       {model.tasks->mask_effect(texts).map([](const auto&) {}),
        model.tasks->mask_effect_curve(few, std::vector<std::size_t>{0, 1, 5}).map([](const auto&) {})}) {
    ASSERT_FALSE(effect);
    EXPECT_EQ(effect.error().message, "the model's hidden states are not finite: its weights are damaged");
  }
}

TEST(Tasks, APairNeedsTwoTokenTypes) {
  Model model("wide");  // which has one
  const std::vector<bert::TextInput> texts = {"aa", {"aa", "ba"}, "ba"};
  const auto all = model.tasks->embed_batch(texts);
  EXPECT_TRUE(all[0]) << all[0].error().message;
  EXPECT_TRUE(all[2]) << all[2].error().message;
  ASSERT_FALSE(all[1]);
  EXPECT_EQ(all[1].error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(all[1].error().message,
            "the text has the token type id 1, the model's ids are below 1: it takes no pairs");
}

TEST(Tasks, VocabularyMustFitTheModel) {
  Model model("deep");
  const std::string larger = vocabulary(model.size() + 10);
  auto tokenizer = std::make_shared<const bert::Tokenizer>(
      *bert::Tokenizer::load({.vocab_txt = larger, .tokenizer_json = {}, .tokenizer_config_json = {}}));
  EXPECT_EQ(bert::Tasks::create(tokenizer, model.encoder).error().code, ErrorCode::kInvalidModel);
}

TEST(Tasks, AModelMayHaveMoreLogitsThanTokens) {
  Model model("deep");
  const std::size_t tokens = 20;
  auto tokenizer = std::make_shared<const bert::Tokenizer>(*bert::Tokenizer::load(
      {.vocab_txt = vocabulary(tokens), .tokenizer_json = {}, .tokenizer_config_json = {}}));
  auto tasks = bert::Tasks::create(tokenizer, model.encoder);
  ASSERT_TRUE(tasks) << tasks.error().message;
  const std::string text = model.text({{2, 10, kMask, 12, 3}});
  bert::FillMaskInput input;
  input.text = text;
  const auto few = (*tasks)->fill_mask(input, {.top_k = model.size(), .order = {}});
  const auto all = model.tasks->fill_mask(input, {.top_k = model.size(), .order = {}});
  ASSERT_TRUE(few) << few.error().message;
  // those that have a token, with the probability that they have among all
  ASSERT_EQ(few->masks[0].predictions.size(), tokens);
  std::size_t next = 0;
  for (const bert::Prediction& prediction : all->masks[0].predictions) {
    if (static_cast<std::size_t>(prediction.pieces[0]) >= tokens) continue;
    EXPECT_EQ(few->masks[0].predictions[next].pieces, prediction.pieces);
    EXPECT_EQ(few->masks[0].predictions[next++].probability, prediction.probability);
  }
}

// A tokenizer.json may leave out an id, of which the model has a logit all the same.
TEST(Tasks, GuessesNoIdWithoutAToken) {
  Model model("deep");
  const std::string text = model.text({{2, 10, kMask, 12, 3}});
  bert::FillMaskInput input;
  input.text = text;
  const auto all = model.tasks->fill_mask(input, {.top_k = model.size(), .order = {}});
  ASSERT_TRUE(all);
  // the best word that the text does not need
  std::int32_t gap = 0;
  for (const bert::Prediction& prediction : all->masks[0].predictions) {
    gap = prediction.pieces[0];
    if (gap > 12 && gap < static_cast<std::int32_t>(model.size()) - 3) break;
  }
  std::string vocab;
  for (std::size_t id = 0; id < model.size(); ++id) {
    if (static_cast<std::int32_t>(id) == gap) continue;
    vocab += (vocab.empty() ? "\"" : ",\"") +
             std::string(*model.tokenizer->id_to_token(static_cast<std::int32_t>(id))) +
             "\":" + std::to_string(id);
  }
  const std::string json = R"({"model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {)" + vocab +
                           R"(}}, "normalizer": {"type": "BertNormalizer"},
      "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor":
      {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
      "added_tokens": [{"id": 4, "content": "[MASK]", "special": true}]})";
  auto tokenizer =
      bert::Tokenizer::load({.vocab_txt = {}, .tokenizer_json = json, .tokenizer_config_json = {}});
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto tasks =
      bert::Tasks::create(std::make_shared<const bert::Tokenizer>(std::move(*tokenizer)), model.encoder);
  ASSERT_TRUE(tasks) << tasks.error().message;
  const auto answer = (*tasks)->fill_mask(input, {.top_k = model.size(), .order = {}});
  ASSERT_TRUE(answer) << answer.error().message;
  std::vector<std::vector<std::int32_t>> expected, found;
  for (const bert::Prediction& prediction : all->masks[0].predictions)
    if (prediction.pieces[0] != gap) expected.push_back(prediction.pieces);
  for (const bert::Prediction& prediction : answer->masks[0].predictions) found.push_back(prediction.pieces);
  EXPECT_EQ(found, expected);
  const auto score = (*tasks)->score(text);
  ASSERT_TRUE(score) << score.error().message;
  for (const bert::ScoredToken& token : score->tokens) EXPECT_NE(token.best_id, gap);
}

// The reference backend with a stream that finds best words, as a device does.
class SummarisingStream : public bert::Stream {
 public:
  explicit SummarisingStream(std::unique_ptr<bert::Stream> plain) : plain_(std::move(plain)) {}

  bert::Expected<std::unique_ptr<bert::Buffer>> allocate(std::size_t floats) override {
    return plain_->allocate(floats);
  }
  bert::Status upload(std::span<const float> source, bert::Buffer& target, std::size_t offset) override {
    return plain_->upload(source, target, offset);
  }
  bert::Status download(const bert::Buffer& source, std::size_t offset, std::span<float> target) override {
    return plain_->download(source, offset, target);
  }
  bert::Status embed(const bert::EmbeddingWeights& weights, std::span<const std::int32_t> ids,
                     std::span<const std::int32_t> type_ids, std::span<const std::int32_t> position_ids,
                     bert::Rows sum, bert::Rows output) override {
    return plain_->embed(weights, ids, type_ids, position_ids, sum, output);
  }
  bert::Status linear(const bert::Linear& layer, bert::Activation activation, std::size_t rows,
                      bert::Rows input, bert::Rows output) override {
    return plain_->linear(layer, activation, rows, input, output);
  }
  bert::Status add_normalise(const bert::LayerNorm& norm, std::size_t rows, bert::Rows input,
                             bert::Rows residual, bert::Rows output) override {
    return plain_->add_normalise(norm, rows, input, residual, output);
  }
  bert::Status attention(const bert::AttentionCall& call) override { return plain_->attention(call); }
  bert::Status vocabulary(const bert::Table& table, const bert::Vector* bias, std::size_t rows,
                          bert::Rows input, bert::Rows output) override {
    return plain_->vocabulary(table, bias, rows, input, output);
  }
  bert::Status gather(std::span<const std::uint32_t> indices, std::size_t columns, bert::Rows input,
                      bert::Rows output) override {
    return plain_->gather(indices, columns, input, output);
  }
  bert::Status best(std::size_t rows, std::size_t columns, std::size_t tokens, std::size_t count,
                    bert::Rows logits, const bert::BestWords& results) override {
    for (std::size_t r = 0; r < rows; ++r) {
      std::vector<float> row(columns);
      if (bert::Status done = download(*logits.buffer, logits.offset + r * logits.stride, row); !done)
        return done;
      std::vector<std::int32_t> order(tokens);
      for (std::size_t i = 0; i < tokens; ++i) order[i] = static_cast<std::int32_t>(i);
      const auto value = [&](std::int32_t id) { return row[static_cast<std::size_t>(id)]; };
      std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
        return value(a) > value(b) || (value(a) == value(b) && a < b);
      });
      double sum = 0;
      for (const float logit : row) sum += std::exp(static_cast<double>(logit));
      results.log_sums[r] = std::log(sum);
      if (damaged >= 0) {
        results.log_sums[r] = std::numeric_limits<double>::quiet_NaN();
        order.front() = damaged;
      }
      for (std::size_t i = 0; i < count; ++i) {
        results.ids[r * count + i] = order[i];
        results.logits[r * count + i] = value(order[i]);
      }
      ++summaries;
    }
    return {};
  }

  void discard() override {
    ++discards;
    plain_->discard();
  }

  inline static std::size_t summaries = 0;
  inline static std::size_t discards = 0;
  inline static std::int32_t damaged = -1;  // the column that is not finite

 private:
  std::unique_ptr<bert::Stream> plain_;
};

class SummarisingBackend : public bert::Backend {
 public:
  std::string_view name() const override { return "summarising"; }
  std::string kernels() const override { return plain_->kernels(); }
  std::size_t threads() const override { return 1; }
  std::size_t int8_input_steps() const override { return 0; }
  bert::WorkSizes work_sizes() const override {
    return {.block_rows = 3, .vocabulary_rows = 2, .tokens = 12, .best_words = 6};
  }
  bert::Expected<std::unique_ptr<bert::Table>> make_table(const bert::WeightView& source,
                                                          bert::Precision precision,
                                                          bert::TableBytes bytes) override {
    return plain_->make_table(source, precision, bytes);
  }
  bert::Expected<std::unique_ptr<bert::Linear>> make_linear(std::span<const bert::LinearView> parts,
                                                            bert::Precision precision) override {
    return plain_->make_linear(parts, precision);
  }
  bert::Expected<std::unique_ptr<bert::Vector>> make_vector(const bert::WeightView& source) override {
    return plain_->make_vector(source);
  }
  bert::Expected<std::unique_ptr<bert::LayerNorm>> make_layer_norm(const bert::WeightView& gamma,
                                                                   const bert::WeightView& beta,
                                                                   float epsilon) override {
    return plain_->make_layer_norm(gamma, beta, epsilon);
  }
  bert::Expected<std::unique_ptr<bert::Stream>> make_stream() override {
    auto plain = plain_->make_stream();
    if (!plain) return plain;
    return std::make_unique<SummarisingStream>(std::move(*plain));
  }

 private:
  std::shared_ptr<bert::Backend> plain_ = bert::make_reference_backend();
};

// A device would run what a call that failed has queued with the next one.
TEST(Tasks, AFailedCallDiscardsItsWork) {
  Model model("deep");
  const auto encoder = *bert::Encoder::create(model.opened->weights, std::make_shared<SummarisingBackend>(),
                                              bert::Precision::kF32);
  const auto session = *bert::Session::create(encoder);
  const std::vector<std::int32_t> ids = {1, 2, 3};
  const std::vector<bert::Sequence> batch = {{ids, {}, {}}};
  bert::Request request;
  request.hidden_states = {encoder->config().num_hidden_layers};
  SummarisingStream::discards = 0;
  EXPECT_TRUE(session->run(batch, request));
  EXPECT_EQ(SummarisingStream::discards, 0U);
  int polls = 0;
  request.aborted = [&polls] { return ++polls == 2; };
  EXPECT_EQ(session->run(batch, request).error().code, ErrorCode::kAborted);
  EXPECT_EQ(SummarisingStream::discards, 1U);
  EXPECT_TRUE(session->run(batch, request));
  EXPECT_EQ(SummarisingStream::discards, 1U);
}

TEST(Tasks, BestWordsOfTheBackendGiveTheSameAnswers) {
  if (!bert::kMayFindBestWords) GTEST_SKIP() << "no backend here finds best words";
  Model model("deep");
  const auto encoder = *bert::Encoder::create(model.opened->weights, std::make_shared<SummarisingBackend>(),
                                              bert::Precision::kF32);
  const std::size_t tokens = model.size() - 4;  // the others have a logit and no token
  auto tokenizer = std::make_shared<const bert::Tokenizer>(*bert::Tokenizer::load(
      {.vocab_txt = vocabulary(tokens), .tokenizer_json = {}, .tokenizer_config_json = {}}));
  const auto summarised = *bert::Tasks::create(tokenizer, encoder);
  const auto plain = *bert::Tasks::create(tokenizer, model.encoder);
  const std::vector<std::string> texts = {"[MASK] " + word(10), word(11) + " [MASK] " + word(9) + " [MASK]",
                                          "[MASK]", "no mask", word(8) + " [MASK] [MASK] [MASK]"};
  std::vector<bert::FillMaskInput> inputs(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) inputs[i].text = texts[i];
  const auto compare = [&](const bert::FillMaskOptions& options, std::size_t summaries) {
    SummarisingStream::summaries = 0;
    const auto ours = summarised->fill_mask_batch(inputs, options);
    const auto expected = plain->fill_mask_batch(inputs, options);
    EXPECT_EQ(SummarisingStream::summaries, summaries);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      ASSERT_EQ(ours[i].has_value(), expected[i].has_value()) << texts[i];
      if (!ours[i]) continue;
      EXPECT_EQ(ours[i]->sequence, expected[i]->sequence);
      for (std::size_t m = 0; m < expected[i]->masks.size(); ++m) {
        const auto &some = ours[i]->masks[m].predictions, &wanted = expected[i]->masks[m].predictions;
        ASSERT_EQ(some.size(), wanted.size());
        for (std::size_t p = 0; p < wanted.size(); ++p) {
          EXPECT_EQ(some[p].token, wanted[p].token);
          EXPECT_EQ(some[p].pieces, wanted[p].pieces);
          EXPECT_EQ(some[p].rank, wanted[p].rank);
          EXPECT_EQ(some[p].logit, wanted[p].logit);
          EXPECT_NEAR(some[p].probability, wanted[p].probability, 1e-12);
          EXPECT_NEAR(some[p].loss, wanted[p].loss, 1e-12);
          EXPECT_NEAR(some[p].cumulative, wanted[p].cumulative, 1e-12);
        }
      }
    }
  };
  compare({}, 7);
  compare({.top_k = 6, .order = {}}, 7);
  compare({.top_k = 7, .order = {}}, 0);  // more than the backend finds
  compare({.top_k = {}, .order = bert::MaskOrder::kLeftToRight}, 0);
  const std::vector<std::string> targets = {word(12), word(13)};
  inputs[0].targets = targets;
  compare({}, 0);

  inputs[0].targets = {};
  SummarisingStream::damaged = 7;
  const auto damaged = summarised->fill_mask(inputs[0]);
  SummarisingStream::damaged = -1;
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().message,
            "the model's logit for token id 7 is not a finite number: its weights are damaged");

  const std::vector<std::int32_t> ids = {2, kMask, 3};
  const bert::Sequence sequence{.input_ids = ids};
  bert::Request request;
  request.mlm = {{.sequence = 0, .token = 1}};
  for (const auto& [best, among, message] :
       {std::tuple(7, 0, "7 best words: the summarising backend finds at most 6"),
        {6, 5, "6 best words among 5 tokens"},
        {1, 1 << 20, "best words among 1048576 tokens: the vocabulary has "}}) {
    request.mlm_best = static_cast<std::size_t>(best);
    request.mlm_tokens = static_cast<std::size_t>(among);
    const auto refused = summarised->session().run({&sequence, 1}, request);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(refused.error().message.starts_with(message)) << refused.error().message;
  }
  request.mlm_best = 2;
  request.mlm_tokens = 0;
  const auto output = summarised->session().run({&sequence, 1}, request);
  ASSERT_TRUE(output);
  EXPECT_TRUE(output->mlm.data.empty());
  EXPECT_EQ(output->mlm_best.log_sums.size(), 1U);
  EXPECT_EQ(output->mlm_best.ids.size(), 2U);
  EXPECT_EQ(output->mlm_best.logits.size(), 2U);
  EXPECT_EQ(plain->session().run({&sequence, 1}, request).error().code, ErrorCode::kInvalidArgument);
}

TEST(MaskWords, KeepPunctuationAndCountPieces) {
  Model model("deep");
  const std::string text = "aa (baxy), ca";
  const std::vector<std::size_t> second = {1};
  const auto whole = bert::mask_words(*model.tokenizer, text, second);
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->text, "aa ([MASK] [MASK] [MASK]), ca");
  EXPECT_EQ(whole->words[0].original, "baxy");
  EXPECT_EQ(whole->words[0].masks, 3U);
  const auto one = bert::mask_words(*model.tokenizer, text, second, false);
  EXPECT_EQ(one->text, "aa ([MASK]), ca");
  const std::vector<std::size_t> outer = {2, 0};
  const auto two = bert::mask_words(*model.tokenizer, text, outer);
  ASSERT_TRUE(two);
  EXPECT_EQ(two->text, "[MASK] (baxy), [MASK]");
  EXPECT_EQ(two->words[1].first_mask, 1U);
  const std::vector<std::size_t> after = {1};
  EXPECT_EQ(bert::mask_words(*model.tokenizer, "[MASK] ba", after)->words[0].first_mask, 1U);
  for (const std::vector<std::size_t>& bad : {std::vector<std::size_t>{3}, {0, 0}}) {
    EXPECT_EQ(bert::mask_words(*model.tokenizer, text, bad).error().code, ErrorCode::kInvalidArgument);
  }
  const std::vector<std::size_t> dash = {1};
  EXPECT_EQ(bert::mask_words(*model.tokenizer, "aa - ba", dash).error().code, ErrorCode::kInvalidArgument);
}

TEST(NextSentenceMetrics, WorkedOutByHand) {
  const auto answer = [](float is_next, float not_next) {
    const double p = 1 / (1 + std::exp(static_cast<double>(not_next - is_next)));
    return bert::NextSentence{.is_next = p, .not_next = 1 - p, .logits = {is_next, not_next}};
  };
  // true positive twice, false negative, false positive, true negative; two of them are certain to all digits
  const std::vector<bert::NextSentence> answers = {answer(60, -60), answer(1, 0), answer(-1, 0), answer(2, 0),
                                                   answer(-61, 60)};
  const std::vector<std::uint8_t> labels = {1, 1, 1, 0, 0};
  const auto report = bert::evaluate_next_sentence(answers, labels);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->true_positives, 2U);
  EXPECT_EQ(report->false_negatives, 1U);
  EXPECT_EQ(report->false_positives, 1U);
  EXPECT_EQ(report->true_negatives, 1U);
  EXPECT_DOUBLE_EQ(report->accuracy, 3.0 / 5);
  EXPECT_DOUBLE_EQ(report->precision, 2.0 / 3);
  EXPECT_DOUBLE_EQ(report->recall, 2.0 / 3);
  EXPECT_DOUBLE_EQ(report->f1, 2.0 / 3);
  EXPECT_EQ(report->highest_confidence, 4U);
  EXPECT_EQ(report->correct_by_confidence[9], 2U);
  EXPECT_EQ(report->correct_by_confidence[4], 1U);  // 0.731
  EXPECT_EQ(report->wrong_by_confidence[4], 1U);
  EXPECT_EQ(report->wrong_by_confidence[7], 1U);  // 0.881
  const auto strict = bert::evaluate_next_sentence(answers, labels, 0.9);
  EXPECT_EQ(strict->true_positives, 1U);
  EXPECT_EQ(strict->false_positives, 0U);
  EXPECT_DOUBLE_EQ(strict->precision, 1);
  const std::vector<std::uint8_t> none = {0, 0, 0, 0, 0};
  EXPECT_EQ(bert::evaluate_next_sentence(answers, none)->recall, 0);
  EXPECT_EQ(bert::evaluate_next_sentence({}, {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(bert::evaluate_next_sentence(answers, std::vector<std::uint8_t>{1}).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(bert::evaluate_next_sentence(answers, labels, 1.5).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(bert::evaluate_next_sentence(answers, labels, std::nan("")).error().code,
            ErrorCode::kInvalidArgument);
}

}  // namespace
