// The model that comes with bertlens (models/default) against PyTorch's values for the same int8 weights:
// with f32 arithmetic to rounding, with int8 arithmetic within its stated bounds. Every layer is compared.
// And how often int8 arithmetic changes the first guess at a masked word.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "bert/encoder.h"
#include "bert/tokenizer.h"
#include "support/golden_models.h"
#include "support/test_files.h"

namespace {

using namespace bert;
using bert_test::GoldenCase;

constexpr double kHiddenError = 2e-5;      // largest of any hidden state, f32
constexpr double kLogitError = 1e-4;       // largest of any logit, f32
constexpr double kSmallestCosine = 0.999;  // of any hidden vector, int8
constexpr double kShareError = 0.03;       // largest of any probability, int8
constexpr double kSameGuesses = 0.97;  // least share of masked words whose first guess int8 leaves as it is

template <class T>
T value_of(Expected<T> expected) {
  if (!expected) {
    ADD_FAILURE() << expected.error().message;
    std::abort();
  }
  return std::move(*expected);
}

std::string bytes_of(const std::string& name) {
  auto bytes = bert_test::read_file(bert_test::test_path("../models/default/" + name));
  if (!bytes) {
    ADD_FAILURE() << "models/default/" << name << " cannot be read";
    std::abort();
  }
  return std::move(*bytes);
}

/// One case computed on one backend in one precision.
struct Computed {
  GoldenCase golden;
  Output output;
};

/// The default model on the backend of that name.
std::shared_ptr<const Encoder> load(const std::string& backend, Precision precision) {
  const auto file = std::make_shared<const std::string>(bytes_of("model.safetensors"));
  const auto bytes = std::as_bytes(std::span(*file));
  auto config = value_of(ModelConfig::parse(bytes_of("config.json")));
  auto header = value_of(SafetensorsHeader::parse(bytes, bytes.size()));
  const auto checkpoint = value_of(Checkpoint::create(std::move(config), {std::move(header)}));
  const std::span<const std::byte> files[] = {bytes};
  auto weights = value_of(BertWeights::bind(checkpoint, files));
  weights.owner = file;
  auto made = backend == "reference" ? make_reference_backend() : value_of(make_xnnpack_backend());
  return value_of(Encoder::create(weights, std::move(made), precision));
}

class DefaultModel : public testing::TestWithParam<std::string> {
 protected:
  std::vector<Computed> run_all(Precision precision) {
    const auto encoder = load(GetParam(), precision);
    const auto session = value_of(Session::create(encoder));
    auto cases = bert_test::load_default_golden();
    EXPECT_TRUE(cases && !cases->empty()) << "golden/default_model.json cannot be read";
    std::vector<Computed> runs;
    for (GoldenCase& c : cases.value_or(std::vector<GoldenCase>())) {
      Request request;
      for (std::size_t i = 0; i <= encoder->config().num_hidden_layers; ++i)
        request.hidden_states.push_back(i);
      for (std::size_t i = 0; i < encoder->config().num_hidden_layers; ++i) request.attentions.push_back(i);
      request.pooler = request.nsp = true;
      for (const auto& words : c.mlm_words) request.mlm.push_back({0, words.token});
      const auto batch =
          value_of(make_sequences(c.batch, c.tokens, c.input_ids, c.token_type_ids, c.attention_mask));
      Output output = value_of(session->run(batch, request));
      EXPECT_EQ(output.hidden_states.size(), c.hidden_states.size());
      EXPECT_EQ(output.attentions.size(), c.attentions.size());
      runs.push_back({std::move(c), std::move(output)});
    }
    return runs;
  }
};

double largest_error(const std::vector<float>& actual, const std::vector<float>& expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    const double error = std::fabs(static_cast<double>(actual[i]) - static_cast<double>(expected[i]));
    if (!(error <= worst)) worst = error;  // and so for what is not a number
  }
  return worst;
}

double smallest_cosine(const std::vector<float>& actual, const std::vector<float>& expected,
                       std::size_t width) {
  EXPECT_EQ(actual.size(), expected.size());
  double worst = 1;
  for (std::size_t row = 0; row + width <= std::min(actual.size(), expected.size()); row += width) {
    double both = 0, first = 0, second = 0;
    for (std::size_t i = row; i < row + width; ++i) {
      const double a = static_cast<double>(actual[i]), b = static_cast<double>(expected[i]);
      both += a * b;
      first += a * a;
      second += b * b;
    }
    const double cosine = both / std::sqrt(first * second);
    if (!(cosine >= worst)) worst = cosine;
  }
  return worst;
}

double is_next(const std::vector<float>& logits) {
  return 1 / (1 + std::exp(static_cast<double>(logits[1]) - static_cast<double>(logits[0])));
}

/// Logarithm of the sum of exponentials of row `row`.
double log_sum(const Tensor& logits, std::size_t row) {
  const std::size_t width = logits.shape[1];
  double sum = 0;
  for (std::size_t i = 0; i < width; ++i) sum += std::exp(static_cast<double>(logits.data[row * width + i]));
  return std::log(sum);
}

TEST_P(DefaultModel, F32ArithmeticIsPyTorchs) {
  for (const auto& [golden, output] : run_all(Precision::kF32)) {
    for (std::size_t i = 0; i < golden.hidden_states.size(); ++i)
      EXPECT_LE(largest_error(output.hidden_states[i].data, golden.hidden_states[i].data), kHiddenError)
          << golden.name << ", hidden state " << i;
    for (std::size_t i = 0; i < golden.attentions.size(); ++i)
      EXPECT_LE(largest_error(output.attentions[i][0].data, golden.attentions[i].data), kHiddenError)
          << golden.name << ", attention " << i;
    EXPECT_LE(largest_error(output.pooler.data, golden.pooler_output->data), kHiddenError) << golden.name;
    EXPECT_LE(largest_error(output.nsp.data, golden.nsp_logits->data), kLogitError) << golden.name;
    for (std::size_t m = 0; m < golden.mlm_words.size(); ++m) {
      const auto& words = golden.mlm_words[m];
      const float* row = output.mlm.data.data() + m * output.mlm.shape[1];
      for (std::size_t i = 0; i < words.ids.size(); ++i)
        EXPECT_NEAR(row[words.ids[i]], words.logits[i], kLogitError)
            << golden.name << ", word " << words.ids[i];
      EXPECT_NEAR(log_sum(output.mlm, m), words.log_sum, kLogitError) << golden.name;
    }
  }
}

TEST_P(DefaultModel, Int8ArithmeticStaysClose) {
  for (const auto& [golden, output] : run_all(Precision::kInt8)) {
    for (std::size_t i = 0; i < golden.hidden_states.size(); ++i)
      EXPECT_GE(smallest_cosine(output.hidden_states[i].data, golden.hidden_states[i].data,
                                golden.hidden_states[i].shape.back()),
                kSmallestCosine)
          << golden.name << ", hidden state " << i;
    for (std::size_t i = 0; i < golden.attentions.size(); ++i)
      EXPECT_LE(largest_error(output.attentions[i][0].data, golden.attentions[i].data), kShareError)
          << golden.name << ", attention " << i;
    EXPECT_NEAR(is_next(output.nsp.data), is_next(golden.nsp_logits->data), kShareError) << golden.name;
    for (std::size_t m = 0; m < golden.mlm_words.size(); ++m) {
      const auto& words = golden.mlm_words[m];
      const float* row = output.mlm.data.data() + m * output.mlm.shape[1];
      const double sum = log_sum(output.mlm, m);
      for (std::size_t i = 0; i < words.ids.size(); ++i)
        EXPECT_NEAR(std::exp(static_cast<double>(row[words.ids[i]]) - sum),
                    std::exp(static_cast<double>(words.logits[i]) - words.log_sum), kShareError)
            << golden.name << ", word " << words.ids[i];
    }
  }
}

TEST(DefaultModelInInt8, FillsMasksWithTheSameWords) {
  const std::string vocabulary = bytes_of("vocab.txt");
  TokenizerFiles files;
  files.vocab_txt = vocabulary;
  const Tokenizer tokenizer = value_of(Tokenizer::load(files));
  const std::int32_t mask = tokenizer.token_to_id("[MASK]").value();
  const std::vector<std::string> texts = {
      "The capital of France is Paris.",
      "The weather is beautiful today, so we will go for a walk in the park.",
      "She opened the door and saw that nobody was in the room.",
      "The king lived in a castle on the hill with his two sons.",
      "He wrote his first book when he was only twenty years old.",
      "Water boils at one hundred degrees and freezes at zero.",
      "The city has a large harbour and is known for its old churches.",
      "They did not know what to say when the train finally arrived.",
      "In the spring the birds come back from the south and build their nests.",
      "The doctor said that the boy would be well again in a week.",
  };
  const auto session = value_of(Session::create(load("xnnpack", Precision::kF32)));
  const auto narrow = value_of(Session::create(load("xnnpack", Precision::kInt8)));
  std::size_t guesses = 0, same = 0;
  for (const std::string& text : texts) {
    const std::vector<std::int32_t> ids = value_of(tokenizer.encode({text})).ids;
    for (std::size_t token = 1; token + 1 < ids.size(); ++token, ++guesses) {
      std::vector<std::int32_t> masked = ids;
      masked[token] = mask;
      Request request;
      request.mlm = {{0, token}};
      const auto guess = [&](Session& one) {
        const auto output = value_of(one.run(std::vector<Sequence>{{masked, {}, {}}}, request));
        return std::max_element(output.mlm.data.begin(), output.mlm.data.end()) - output.mlm.data.begin();
      };
      same += guess(*session) == guess(*narrow) ? 1 : 0;
    }
  }
  EXPECT_GT(guesses, 100U);
  EXPECT_GE(static_cast<double>(same), kSameGuesses * static_cast<double>(guesses))
      << same << " of " << guesses;
}

INSTANTIATE_TEST_SUITE_P(Backends, DefaultModel, testing::Values("reference", "xnnpack"),
                         [](const auto& info) { return info.param; });

}  // namespace
