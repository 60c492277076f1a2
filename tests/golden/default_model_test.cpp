// The model that comes with bertlens (models/default) against PyTorch's values for the same int8 weights:
// with f32 arithmetic to rounding, with int8 arithmetic within its stated bounds. Every layer is compared.
// And how often int8 arithmetic changes the first guess at a masked word.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "bert/encoder.h"
#include "bert/tokenizer.h"
#include "support/backends.h"
#include "support/golden_models.h"
#include "support/test_files.h"

namespace {

using namespace bert;
using bert_test::GoldenCase;
using bert_test::value_of;

constexpr double kHiddenError = 2e-5;      // largest of any hidden state, f32
constexpr double kLogitError = 1e-4;       // largest of any logit, f32
constexpr double kCudaError = 5e-5;        // of CUDA's f32, which adds up in an order of its own
constexpr double kF16Cosine = 0.9995;      // of any hidden vector, f16
constexpr double kSmallestCosine = 0.999;  // of any hidden vector, int8
constexpr double kShareError = 0.03;       // largest of any probability, int8 with inputs in 255 steps
constexpr double kSameGuesses = 0.97;  // least share of masked words whose first guess int8 leaves as it is

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

Expected<std::shared_ptr<Backend>> make(const std::string& backend, Precision precision) {
  if (backend == "cuda") return bert_test::cuda_backend(precision);
  if (backend == "xnnpack") return make_xnnpack_backend();
  return make_reference_backend();
}

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
  return value_of(Encoder::create(weights, value_of(make(backend, precision)), precision));
}

class DefaultModel : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() != "cuda") return;
    if (const auto made = make("cuda", Precision::kF32); !made) GTEST_SKIP() << made.error().message;
  }
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
  const double error = GetParam() == "cuda" ? kCudaError : kHiddenError;
  for (const auto& [golden, output] : run_all(Precision::kF32)) {
    for (std::size_t i = 0; i < golden.hidden_states.size(); ++i)
      EXPECT_LE(largest_error(output.hidden_states[i].data, golden.hidden_states[i].data), error)
          << golden.name << ", hidden state " << i;
    for (std::size_t i = 0; i < golden.attentions.size(); ++i)
      EXPECT_LE(largest_error(output.attentions[i][0].data, golden.attentions[i].data), error)
          << golden.name << ", attention " << i;
    EXPECT_LE(largest_error(output.pooler.data, golden.pooler_output->data), error) << golden.name;
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

TEST_P(DefaultModel, F16ArithmeticStaysClose) {
  for (const auto& [golden, output] : run_all(Precision::kF16))
    for (std::size_t i = 0; i < golden.hidden_states.size(); ++i)
      EXPECT_GE(smallest_cosine(output.hidden_states[i].data, golden.hidden_states[i].data,
                                golden.hidden_states[i].shape.back()),
                kF16Cosine)
          << golden.name << ", hidden state " << i;
}

TEST_P(DefaultModel, Int8ArithmeticStaysClose) {
  // fewer steps round more coarsely; a backend that keeps f16 has none
  const std::size_t steps = value_of(make(GetParam(), Precision::kInt8))->int8_input_steps();
  const double share_error = kShareError * (steps == 0 ? 1 : 255 / static_cast<double>(steps));
  double least = 1;
  for (const auto& [golden, output] : run_all(Precision::kInt8)) {
    for (std::size_t i = 0; i < golden.hidden_states.size(); ++i) {
      const double cosine = smallest_cosine(output.hidden_states[i].data, golden.hidden_states[i].data,
                                            golden.hidden_states[i].shape.back());
      EXPECT_GE(cosine, kSmallestCosine) << golden.name << ", hidden state " << i;
      if (!(cosine >= least)) least = cosine;
    }
    for (std::size_t i = 0; i < golden.attentions.size(); ++i)
      EXPECT_LE(largest_error(output.attentions[i][0].data, golden.attentions[i].data), share_error)
          << golden.name << ", attention " << i;
    EXPECT_NEAR(is_next(output.nsp.data), is_next(golden.nsp_logits->data), share_error) << golden.name;
    for (std::size_t m = 0; m < golden.mlm_words.size(); ++m) {
      const auto& words = golden.mlm_words[m];
      const float* row = output.mlm.data.data() + m * output.mlm.shape[1];
      const double sum = log_sum(output.mlm, m);
      for (std::size_t i = 0; i < words.ids.size(); ++i)
        EXPECT_NEAR(std::exp(static_cast<double>(row[words.ids[i]]) - sum),
                    std::exp(static_cast<double>(words.logits[i]) - words.log_sum), share_error)
            << golden.name << ", word " << words.ids[i];
    }
  }
  RecordProperty("least_cosine", std::to_string(least));  // a figure of the model's card
}

TEST(DefaultModelInInt8, FillsMasksWithTheSameWords) {
  const std::string vocabulary = bytes_of("vocab.txt");
  TokenizerFiles files;
  files.vocab_txt = vocabulary;
  const Tokenizer tokenizer = value_of(Tokenizer::load(files));
  const std::int32_t mask = tokenizer.token_to_id("[MASK]").value();
  const auto sentences = bert_test::read_file(bert_test::test_path("golden/sentences.txt"));
  ASSERT_TRUE(sentences);
  std::istringstream lines(*sentences);
  const auto session = value_of(Session::create(load("xnnpack", Precision::kF32)));
  const auto narrow = value_of(Session::create(load("xnnpack", Precision::kInt8)));
  std::size_t guesses = 0, same = 0;
  for (std::string text; std::getline(lines, text);) {
    const std::vector<std::int32_t> ids = value_of(tokenizer.encode({text})).ids;
    std::vector<std::vector<std::int32_t>> masked;  // each token in turn
    Request request;
    for (std::size_t token = 1; token + 1 < ids.size(); ++token) {
      request.mlm.push_back({masked.size(), token});
      masked.push_back(ids);
      masked.back()[token] = mask;
    }
    std::vector<Sequence> rows;
    rows.reserve(masked.size());
    for (const auto& row : masked) rows.push_back({row, {}, {}});
    const Output exact = value_of(session->run(rows, request));
    const Output rounded = value_of(narrow->run(rows, request));
    for (std::size_t row = 0; row < rows.size(); ++row, ++guesses) {
      const auto guess = [&](const Output& output) {
        const auto width = static_cast<std::ptrdiff_t>(output.mlm.shape[1]);
        const auto first = output.mlm.data.begin() + static_cast<std::ptrdiff_t>(row) * width;
        return std::max_element(first, first + width) - first;
      };
      same += guess(exact) == guess(rounded) ? 1 : 0;
    }
  }
  RecordProperty("guesses", static_cast<int>(guesses));
  RecordProperty("same", static_cast<int>(same));
  EXPECT_GT(guesses, 500U);
  EXPECT_GE(static_cast<double>(same), kSameGuesses * static_cast<double>(guesses))
      << same << " of " << guesses;
}

std::vector<std::string> backends() {
  std::vector<std::string> all = {"reference", "xnnpack"};
  if (bert_test::kWithCuda) all.emplace_back("cuda");
  return all;
}
INSTANTIATE_TEST_SUITE_P(Backends, DefaultModel, testing::ValuesIn(backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
