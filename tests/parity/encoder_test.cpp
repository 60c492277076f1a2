// The whole encoder, layer by layer, on every backend: against PyTorch's golden values, and against itself
// where two ways to ask must give the same.
#include "bert/encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/backends.h"
#include "support/checkpoint_maker.h"
#include "support/golden_models.h"

namespace {

using namespace bert;
using bert_test::GoldenCase;
using bert_test::GoldenModel;
using bert_test::GoldenTensor;
using bert_test::value_of;

GoldenModel golden(const std::string& name) {
  auto model = bert_test::load_golden(name);
  if (!model) {
    ADD_FAILURE() << "golden model " << name << " cannot be read";
    std::abort();
  }
  return std::move(*model);
}

std::vector<Sequence> sequences_of(const GoldenCase& c) {
  return value_of(make_sequences(c.batch, c.tokens, c.input_ids, c.token_type_ids, c.attention_mask));
}

/// Everything that there is to ask.
Request everything(const ModelConfig& config, const Encoder& encoder, const GoldenCase& c) {
  Request request;
  for (std::size_t i = 0; i <= config.num_hidden_layers; ++i) request.hidden_states.push_back(i);
  for (std::size_t i = 0; i < config.num_hidden_layers; ++i) request.attentions.push_back(i);
  request.probes.push_back({Probe::kEmbeddingSum, 0});
  for (std::size_t i = 0; i < config.num_hidden_layers; ++i)
    for (const Probe probe : {Probe::kQuery, Probe::kKey, Probe::kValue, Probe::kScores, Probe::kContext,
                              Probe::kAttentionOutput, Probe::kFeedForward})
      request.probes.push_back({probe, i});
  request.pooler = encoder.has_pooler();
  request.nsp = encoder.has_nsp_head();
  for (std::size_t s = 0; encoder.has_mlm_head() && s < c.batch; ++s)
    for (std::size_t t = 0; t < c.tokens; ++t) request.mlm.push_back({s, t});
  request.padding_rows = true;
  return request;
}

/// Largest difference, over the elements for which `counts(index of the row of `width` elements)`.
template <class Counts>
double largest_error(std::span<const float> actual, std::span<const float> expected, std::size_t width,
                     const Counts& counts) {
  EXPECT_EQ(actual.size(), expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    if (!counts(i / width)) continue;
    const double error = std::fabs(static_cast<double>(actual[i]) - expected[i]);
    if (!(error <= worst)) worst = error;
  }
  return worst;
}
double largest_error(std::span<const float> actual, std::span<const float> expected) {
  return largest_error(actual, expected, 1, [](std::size_t) { return true; });
}

std::vector<float> joined(const std::vector<Tensor>& tensors) {
  std::vector<float> all;
  for (const Tensor& tensor : tensors) all.insert(all.end(), tensor.data.begin(), tensor.data.end());
  return all;
}

struct Variant {
  std::string name;
  Expected<std::shared_ptr<Backend>> (*make)(Precision);
  bool cuda = false;
};
Expected<std::shared_ptr<Backend>> reference(Precision) {
  return make_reference_backend();
}
template <std::size_t threads>
Expected<std::shared_ptr<Backend>> xnnpack(Precision) {
  return make_xnnpack_backend(threads);
}
Expected<std::shared_ptr<Backend>> narrowest(Precision) {
  return make_xnnpack_backend(1, simd_names().back());
}
std::ostream& operator<<(std::ostream& out, const Variant& variant) {
  return out << variant.name;
}

class Encoders : public testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    if (!GetParam().cuda) return;
    if (const auto made = GetParam().make(Precision::kF32); !made) GTEST_SKIP() << made.error().message;
  }
  static std::shared_ptr<Backend> backend(Precision precision) {
    return value_of(GetParam().make(precision));
  }
  static std::shared_ptr<Backend> backend() { return backend(Precision::kF32); }

  /// How far a hidden state may be from PyTorch's. CUDA adds up in an order of its own, which 12 layers show.
  static double hidden_error() { return GetParam().cuda ? 5e-5 : 2e-5; }
  /// How far parts of a result may be from the whole. CUDA takes other kernels for few rows than for many.
  static double part_error() { return GetParam().cuda ? 2e-5 : 4e-6; }
};

// -- against PyTorch
// -----------------------------------------------------------------------------------------------

TEST_P(Encoders, AgreeWithPyTorchLayerByLayer) {
  const auto names = bert_test::golden_names();
  ASSERT_GE(names.size(), 5U);
  for (const std::string& name : names) {
    const GoldenModel model = golden(name);
    const auto opened = value_of(bert_test::make_and_open(model.spec));
    const auto encoder = value_of(Encoder::create(opened.weights, backend(), Precision::kF32));
    const auto session = value_of(Session::create(encoder));
    const ModelConfig& config = encoder->config();
    for (const GoldenCase& c : model.cases) {
      const std::string where = name + ", case " + c.name;
      const Request request = everything(config, *encoder, c);
      const Output output = value_of(session->run(sequences_of(c), request));
      ASSERT_EQ(output.rows.size(), c.batch * c.tokens);

      ASSERT_EQ(output.hidden_states.size(), c.hidden_states.size());
      for (std::size_t i = 0; i < c.hidden_states.size(); ++i)
        EXPECT_LE(largest_error(output.hidden_states[i].data, c.hidden_states[i].data), hidden_error())
            << where << ", hidden state " << i;
      for (std::size_t i = 0; i < c.attentions.size(); ++i)
        EXPECT_LE(largest_error(joined(output.attentions[i]), c.attentions[i].data), 1e-5)
            << where << ", attention of layer " << i;
      if (c.embedding_sum)
        EXPECT_LE(largest_error(output.probes[0].data, c.embedding_sum->data), 2e-6)
            << where << ", embedding sum";
      std::size_t nth_scores = 0;
      for (std::size_t i = 1; i < request.probes.size(); ++i) {
        const ProbeRequest& probe = request.probes[i];
        const bool is_scores = probe.probe == Probe::kScores;
        const std::vector<float> values =
            is_scores ? joined(output.scores[nth_scores++]) : output.probes[i].data;
        if (c.probes.size() <= probe.layer) continue;
        const auto& known = c.probes[probe.layer];
        const auto at = known.find(std::string(probe_name(probe.probe)));
        ASSERT_NE(at, known.end()) << where << ": no golden " << probe_name(probe.probe);
        EXPECT_LE(largest_error(values, at->second.data), hidden_error())
            << where << ", layer " << probe.layer << ", " << probe_name(probe.probe);
      }
      if (c.pooler_output)
        EXPECT_LE(largest_error(output.pooler.data, c.pooler_output->data), hidden_error()) << where;
      if (c.nsp_logits) EXPECT_LE(largest_error(output.nsp.data, c.nsp_logits->data), 1e-4) << where;
      if (c.mlm_logits) EXPECT_LE(largest_error(output.mlm.data, c.mlm_logits->data), 1e-4) << where;
    }
  }
}

/// Narrow weights against PyTorch's f32 values: every hidden vector of every layer keeps its direction. (The
/// golden models' random weights are the hardest case; int8 alone turns vectors by more.)
TEST_P(Encoders, AgreeWithPyTorchInF16) {
  for (const std::string& name : bert_test::golden_names()) {
    const GoldenModel model = golden(name);
    const auto opened = value_of(bert_test::make_and_open(model.spec));
    const auto encoder = value_of(Encoder::create(opened.weights, backend(Precision::kF16), Precision::kF16));
    const auto session = value_of(Session::create(encoder));
    const std::size_t layers = encoder->config().num_hidden_layers;
    const std::size_t hidden = encoder->config().hidden_size;
    for (const GoldenCase& c : model.cases)
      for (const bool padding_rows : {true, false}) {
        Request request;
        for (std::size_t i = 0; i <= layers; ++i) request.hidden_states.push_back(i);
        request.padding_rows = padding_rows;
        const Output output = value_of(session->run(sequences_of(c), request));
        for (std::size_t state = 0; state <= layers; ++state) {
          double least = 1;
          for (std::size_t r = 0; r < output.rows.size(); ++r) {
            const Position& at = output.rows[r];
            double ab = 0, aa = 0, bb = 0;
            for (std::size_t i = 0; i < hidden; ++i) {
              const double a = output.hidden_states[state].data[r * hidden + i];
              const double b = c.hidden_states[state].data[(at.sequence * c.tokens + at.token) * hidden + i];
              ab += a * b;
              aa += a * a;
              bb += b * b;
            }
            const double cosine = ab / std::sqrt(aa * bb);
            if (!(cosine >= least)) least = cosine;
          }
          EXPECT_GE(least, 0.9995) << name << ", case " << c.name << ", hidden state " << state
                                   << (padding_rows ? ", padded" : ", packed");
        }
      }
  }
}

TEST_P(Encoders, ComputeRealTokensAloneJustAsWell) {
  for (const std::string& name : bert_test::golden_names()) {
    const GoldenModel model = golden(name);
    const auto opened = value_of(bert_test::make_and_open(model.spec));
    const auto encoder = value_of(Encoder::create(opened.weights, backend(), Precision::kF32));
    const auto session = value_of(Session::create(encoder));
    const std::size_t layers = encoder->config().num_hidden_layers;
    const std::size_t heads = encoder->config().num_attention_heads;
    const std::size_t hidden = encoder->config().hidden_size;
    for (const GoldenCase& c : model.cases) {
      const std::string where = name + ", case " + c.name;
      Request request;
      for (std::size_t i = 0; i <= layers; ++i) request.hidden_states.push_back(i);
      request.attentions = {0, layers - 1};
      const Output output = value_of(session->run(sequences_of(c), request));
      std::size_t real = 0;
      for (std::size_t i = 0; i < c.attention_mask.size(); ++i) {
        if (c.attention_mask[i] == 0) continue;
        ASSERT_LT(real, output.rows.size()) << where;
        EXPECT_EQ(output.rows[real], (Position{i / c.tokens, i % c.tokens})) << where;
        for (std::size_t state = 0; state <= layers; ++state) {
          const auto row = std::span(output.hidden_states[state].data).subspan(real * hidden, hidden);
          const auto known = std::span(c.hidden_states[state].data).subspan(i * hidden, hidden);
          EXPECT_LE(largest_error(row, known), hidden_error())
              << where << ", token " << i << ", hidden state " << state;
        }
        ++real;
      }
      EXPECT_EQ(real, output.rows.size()) << where;
      // attention rows of real tokens, with zeros at hidden keys; rows of hidden tokens are 0
      for (std::size_t which = 0; which < 2 && !c.attentions.empty(); ++which) {
        const std::vector<float> values = joined(output.attentions[which]);
        const GoldenTensor& known = c.attentions[request.attentions[which]];
        const auto is_real = [&](std::size_t row) {  // [sequence][head][query]
          return c.attention_mask[row / (heads * c.tokens) * c.tokens + row % c.tokens] != 0;
        };
        EXPECT_LE(largest_error(values, known.data, c.tokens, is_real), 1e-5) << where;
        const std::vector<float> zeros(values.size());
        EXPECT_EQ(largest_error(values, zeros, c.tokens, [&](std::size_t row) { return !is_real(row); }), 0)
            << where;
      }
    }
  }
}

TEST_P(Encoders, GiveTheSameForPartsAsForAll) {
  for (const std::string& name : bert_test::golden_names()) {
    const GoldenModel model = golden(name);
    const auto opened = value_of(bert_test::make_and_open(model.spec));
    const auto encoder = value_of(Encoder::create(opened.weights, backend(), Precision::kF32));
    const auto session = value_of(Session::create(encoder));
    const std::size_t layers = encoder->config().num_hidden_layers;
    const std::size_t hidden = encoder->config().hidden_size;
    for (const GoldenCase& c : model.cases) {
      const auto batch = sequences_of(c);
      Request all = everything(encoder->config(), *encoder, c);
      all.padding_rows = false;
      std::erase_if(
          all.mlm, [&](const Position& p) { return c.attention_mask[p.sequence * c.tokens + p.token] == 0; });
      const Output whole = value_of(session->run(batch, all));
      const auto row_of = [&](const Tensor& tensor, std::size_t row) {
        return std::span(tensor.data).subspan(row * tensor.shape[1], tensor.shape[1]);
      };

      // hidden states: some rows of each state alone, in any order and twice
      const std::size_t last = whole.rows.size() - 1;
      for (std::size_t state = 0; state <= layers; ++state) {
        Request request;
        request.hidden_states = {state};
        request.rows = RowChoice::kPositions;
        const std::vector<std::size_t> chosen = {last, 0, last};
        for (const std::size_t row : chosen) request.positions.push_back(whole.rows[row]);
        const Output some = value_of(session->run(batch, request));
        ASSERT_EQ(some.hidden_states[0].shape, (std::vector<std::size_t>{3, hidden}));
        EXPECT_EQ(some.rows, request.positions);
        for (std::size_t i = 0; i < 3; ++i)
          EXPECT_LE(
              largest_error(row_of(some.hidden_states[0], i), row_of(whole.hidden_states[state], chosen[i])),
              part_error())
              << name << ", state " << state;
        request.rows = RowChoice::kFirst;
        const Output first = value_of(session->run(batch, request));
        ASSERT_EQ(first.rows.size(), c.batch);
        for (std::size_t s = 0; s < c.batch; ++s) {
          const auto at = std::find(whole.rows.begin(), whole.rows.end(), first.rows[s]) - whole.rows.begin();
          EXPECT_LE(largest_error(row_of(first.hidden_states[0], s),
                                  row_of(whole.hidden_states[state], static_cast<std::size_t>(at))),
                    part_error());
        }
      }
      // attentions of one layer and of chosen heads
      for (std::size_t layer = 0; layer < layers; ++layer) {
        Request request;
        request.attentions = {layer};
        request.attention_heads = {encoder->config().num_attention_heads - 1, 0};
        const Output some = value_of(session->run(batch, request));
        for (std::size_t s = 0; s < c.batch; ++s) {
          const Tensor& full = whole.attentions[layer][s];
          const Tensor& part = some.attentions[0][s];
          const std::size_t matrix = c.tokens * c.tokens;
          ASSERT_EQ(part.shape, (std::vector<std::size_t>{2, c.tokens, c.tokens}));
          for (std::size_t i = 0; i < 2; ++i)
            EXPECT_LE(
                largest_error(std::span(part.data).subspan(i * matrix, matrix),
                              std::span(full.data).subspan(request.attention_heads[i] * matrix, matrix)),
                part_error() / 2)
                << name << ", layer " << layer;
        }
      }
      // each probe alone, of the first row
      std::size_t nth_scores = 0;
      for (std::size_t i = 0; i < all.probes.size(); ++i) {
        Request request;
        request.probes = {all.probes[i]};
        request.rows = RowChoice::kPositions;
        request.positions = {whole.rows[last]};
        const Output some = value_of(session->run(batch, request));
        if (all.probes[i].probe == Probe::kScores) {
          EXPECT_LE(largest_error(joined(some.scores[0]), joined(whole.scores[nth_scores++])), part_error())
              << name;
          continue;
        }
        EXPECT_LE(largest_error(some.probes[0].data, row_of(whole.probes[i], last)), 2 * part_error())
            << name << ", " << probe_name(all.probes[i].probe) << " of layer " << all.probes[i].layer;
      }
      // heads
      if (encoder->has_pooler()) {
        Request request;
        request.pooler = true;
        EXPECT_LE(largest_error(value_of(session->run(batch, request)).pooler.data, whole.pooler.data),
                  part_error())
            << name;
      }
      if (encoder->has_nsp_head()) {
        Request request;
        request.nsp = true;
        EXPECT_LE(largest_error(value_of(session->run(batch, request)).nsp.data, whole.nsp.data),
                  5 * part_error())
            << name;
      }
      if (encoder->has_mlm_head()) {
        Request request;
        request.mlm = {whole.rows[last], whole.rows[0]};
        const Output some = value_of(session->run(batch, request));
        ASSERT_EQ(some.mlm.shape, (std::vector<std::size_t>{2, encoder->config().vocab_size}));
        EXPECT_LE(largest_error(row_of(some.mlm, 0), row_of(whole.mlm, last)), 5 * part_error()) << name;
        EXPECT_LE(largest_error(row_of(some.mlm, 1), row_of(whole.mlm, 0)), 5 * part_error()) << name;
      }
    }
  }
}

// -- batches
// ---------------------------------------------------------------------------------------------------------

bert_test::CheckpointSpec small_spec() {
  bert_test::CheckpointSpec spec;
  spec.config.vocab_size = 300;
  spec.config.hidden_size = 64;
  spec.config.num_hidden_layers = 3;
  spec.config.num_attention_heads = 4;
  spec.config.intermediate_size = 160;
  spec.config.max_position_embeddings = 80;
  spec.seed = 77;
  return spec;
}

std::vector<std::int32_t> some_ids(std::size_t count, std::uint32_t seed) {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < count; ++i) {
    seed = seed * 1664525U + 1013904223U;
    ids.push_back(static_cast<std::int32_t>((seed >> 8) % 300));
  }
  return ids;
}

TEST_P(Encoders, PaddedPackedAndSingleAreEqual) {
  const auto opened = value_of(bert_test::make_and_open(small_spec()));
  for (const Precision precision : {Precision::kF32, Precision::kF16, Precision::kInt8}) {
    const auto encoder = value_of(Encoder::create(opened.weights, backend(precision), precision));
    const auto session = value_of(Session::create(encoder));
    const std::vector<std::size_t> lengths = {5, 1, 33, 80, 16};
    const std::size_t tokens = 80;
    std::vector<std::int32_t> padded, mask, ragged_ids;
    std::vector<Sequence> ragged;
    std::size_t total = 0;
    for (const std::size_t length : lengths) total += length;
    ragged_ids = some_ids(total, 9);
    std::size_t at = 0;
    for (const std::size_t length : lengths) {
      ragged.push_back({std::span(ragged_ids).subspan(at, length), {}, {}});
      for (std::size_t t = 0; t < tokens; ++t) {
        padded.push_back(t < length ? ragged_ids[at + t] : 0);
        mask.push_back(t < length ? 1 : 0);
      }
      at += length;
    }
    Request request;
    request.hidden_states = {0, 1, 2, 3};
    request.pooler = true;
    const Output packed = value_of(session->run(ragged, request));
    const Output from_padded =
        value_of(session->run(value_of(make_sequences(lengths.size(), tokens, padded, {}, mask)), request));
    ASSERT_EQ(packed.rows.size(), total);
    EXPECT_EQ(packed.rows, from_padded.rows);
    for (std::size_t state = 0; state < 4; ++state)
      EXPECT_EQ(packed.hidden_states[state].data, from_padded.hidden_states[state].data) << state;
    EXPECT_EQ(packed.pooler.data, from_padded.pooler.data);

    request.padding_rows = true;
    const Output faithful =
        value_of(session->run(value_of(make_sequences(lengths.size(), tokens, padded, {}, mask)), request));
    request.padding_rows = false;
    // int8: a sum that differs in its last bit may round an input to the next step
    // CUDA in f16: a sum of another order may round to the next f16, which is 2^-9 of values from 2 to 4
    const double tolerance = GetParam().cuda                 ? (precision == Precision::kF32 ? 2e-5 : 0.02)
                             : precision == Precision::kInt8 ? 0.03
                                                             : 1e-5;
    std::size_t row = 0;
    for (std::size_t s = 0; s < lengths.size(); ++s) {
      const Output single = value_of(session->run(std::span(ragged).subspan(s, 1), request));
      for (std::size_t state = 0; state < 4; ++state) {
        const auto of_batch = std::span(packed.hidden_states[state].data).subspan(row * 64, lengths[s] * 64);
        const auto of_padded =
            std::span(faithful.hidden_states[state].data).subspan(s * tokens * 64, lengths[s] * 64);
        EXPECT_LE(largest_error(single.hidden_states[state].data, of_batch), tolerance)
            << precision_name(precision) << ", sequence " << s << ", state " << state;
        EXPECT_LE(largest_error(of_padded, of_batch), tolerance)
            << precision_name(precision) << ", padded, sequence " << s << ", state " << state;
      }
      row += lengths[s];
    }
  }
}

TEST_P(Encoders, MaskOffChangesWhatRealTokensSee) {
  const auto opened = value_of(bert_test::make_and_open(small_spec()));
  const auto encoder = value_of(Encoder::create(opened.weights, backend(), Precision::kF32));
  const auto session = value_of(Session::create(encoder));
  std::vector<std::int32_t> ids = some_ids(12, 3);
  std::fill(ids.begin() + 7, ids.end(), 0);
  const std::vector<std::int32_t> mask = {1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0};
  Request request;
  request.hidden_states = {3};
  request.rows = RowChoice::kFirst;
  const auto with = value_of(session->run(std::vector<Sequence>{{ids, {}, mask}}, request));
  const auto without = value_of(session->run(std::vector<Sequence>{{ids, {}, {}}}, request));
  EXPECT_GT(largest_error(with.hidden_states[0].data, without.hidden_states[0].data), 1e-3);
}

TEST_P(Encoders, FirstRowIsTheFirstRealToken) {
  const auto opened = value_of(bert_test::make_and_open(small_spec()));
  const auto encoder = value_of(Encoder::create(opened.weights, backend(), Precision::kF32));
  const auto session = value_of(Session::create(encoder));
  const std::vector<std::int32_t> ids = some_ids(9, 5);
  const std::vector<std::int32_t> left = {0, 0, 0, 1, 1, 1, 1, 1, 1};
  Request request;
  request.hidden_states = {3};
  request.rows = RowChoice::kFirst;
  EXPECT_EQ(value_of(session->run(std::vector<Sequence>{{ids, {}, left}}, request)).rows[0],
            (Position{0, 3}));
  request.padding_rows = true;
  EXPECT_EQ(value_of(session->run(std::vector<Sequence>{{ids, {}, left}}, request)).rows[0],
            (Position{0, 0}));
  // nothing to attend to: uniform attention, as a padded implementation has it
  const std::vector<std::int32_t> none(9, 0);
  request.attentions = {0};
  const Output output = value_of(session->run(std::vector<Sequence>{{ids, {}, none}}, request));
  for (const float p : output.attentions[0][0].data) EXPECT_NEAR(p, 1.0F / 9, 1e-6F);
}

TEST_P(Encoders, RepeatThemselvesToTheBit) {
  const auto opened = value_of(bert_test::make_and_open(small_spec()));
  for (const Precision precision : {Precision::kF32, Precision::kF16, Precision::kInt8}) {
    const auto encoder = value_of(Encoder::create(opened.weights, backend(precision), precision));
    const std::vector<std::int32_t> a = some_ids(71, 1), b = some_ids(4, 2);
    const std::vector<Sequence> batch = {{a, {}, {}}, {b, {}, {}}};
    Request request;
    request.hidden_states = {3};
    request.mlm = {{0, 5}, {1, 3}};
    const auto session = value_of(Session::create(encoder));
    const Output first = value_of(session->run(batch, request));
    value_of(session->run(std::span(batch).subspan(1), Request{}));
    const Output second = value_of(session->run(batch, request));
    const Output other = value_of(value_of(Session::create(encoder))->run(batch, request));
    EXPECT_EQ(first.hidden_states[0].data, second.hidden_states[0].data);
    EXPECT_EQ(first.mlm.data, second.mlm.data);
    EXPECT_EQ(first.hidden_states[0].data, other.hidden_states[0].data);
  }
}

// -- precision
// -------------------------------------------------------------------------------------------------------

TEST_P(Encoders, NarrowWeightsStayClose) {
  const auto opened = value_of(bert_test::make_and_open(small_spec()));
  const std::vector<std::int32_t> ids = some_ids(64, 21);
  const std::vector<Sequence> batch = {{ids, {}, {}}};
  Request request;
  request.hidden_states = {0, 1, 2, 3};
  for (std::size_t t = 0; t < 64; ++t) request.mlm.push_back({0, t});
  std::vector<Output> outputs;
  for (const Precision precision : {Precision::kF32, Precision::kF16, Precision::kInt8}) {
    const auto encoder = value_of(Encoder::create(opened.weights, backend(precision), precision));
    outputs.push_back(value_of(value_of(Session::create(encoder))->run(batch, request)));
  }
  for (std::size_t which = 1; which < 3; ++which) {
    double least = 1;
    for (std::size_t state = 0; state < 4; ++state)
      for (std::size_t row = 0; row < 64; ++row) {
        double ab = 0, aa = 0, bb = 0;
        for (std::size_t i = 0; i < 64; ++i) {
          const double a = outputs[0].hidden_states[state].data[row * 64 + i];
          const double b = outputs[which].hidden_states[state].data[row * 64 + i];
          ab += a * b;
          aa += a * a;
          bb += b * b;
        }
        least = std::min(least, ab / std::sqrt(aa * bb));
      }
    std::size_t same = 0;
    for (std::size_t row = 0; row < 64; ++row) {
      const auto best = [row](const Output& output) {
        const auto begin = output.mlm.data.begin() + static_cast<std::ptrdiff_t>(row * 300);
        return std::max_element(begin, begin + 300) - begin;
      };
      same += best(outputs[0]) == best(outputs[which]) ? 1 : 0;
    }
    RecordProperty(which == 1 ? "f16_least_cosine" : "int8_least_cosine", std::to_string(least));
    // weights without any structure, so the hardest case; a trained model does better
    // (CUDA's f16 rounds activations too)
    EXPECT_GE(least, which != 1 ? 0.999 : GetParam().cuda ? 0.99999 : 0.999999) << "precision " << which;
    EXPECT_GE(same, which != 1 ? 60U : GetParam().cuda ? 62U : 64U) << "precision " << which;
    EXPECT_LT(least, 1.0 - 1e-12) << "precision " << which << " is not what it says";
  }
}

// -- building
// --------------------------------------------------------------------------------------------------------

TEST_P(Encoders, BuildFromAStreamAsFromMemory) {
  for (const std::string& name : bert_test::golden_names()) {
    const GoldenModel model = golden(name);
    const auto opened = value_of(bert_test::make_and_open(model.spec));
    const auto whole = value_of(Encoder::create(opened.weights, backend(), Precision::kF32));
    EncoderBuilder builder(opened.weights.checkpoint.config(), backend(), Precision::kF32, TableBytes::kCopy);
    ModuleStream stream(opened.weights.checkpoint, [&builder](ModuleId id, const ModuleView& module) {
      return builder.add(id, module);
    });
    for (std::size_t f = 0; f < opened.files.size(); ++f) {
      const auto offset = static_cast<std::size_t>(opened.weights.checkpoint.headers()[f].data_offset());
      ASSERT_TRUE(stream.push(opened.files[f].subspan(offset))) << name;
    }
    ASSERT_TRUE(stream.finish()) << name;
    const auto streamed = value_of(builder.finish());
    EXPECT_FALSE(builder.finish());
    if (GetParam().cuda)  // a device reads no caller's memory
      EXPECT_EQ(streamed->owned_bytes(), whole->owned_bytes());
    else
      EXPECT_GT(streamed->owned_bytes(), whole->owned_bytes());
    const GoldenCase& c = model.cases[0];
    Request request;
    request.hidden_states = {whole->config().num_hidden_layers};
    EXPECT_EQ(whole->has_mlm_head(), model.spec.mlm_head);
    EXPECT_EQ(whole->has_pooler(), model.spec.pooler);
    EXPECT_EQ(streamed->has_mlm_head(), model.spec.mlm_head);
    if (whole->has_mlm_head()) request.mlm = {{0, 0}};
    const Output a = value_of(value_of(Session::create(whole))->run(sequences_of(c), request));
    const Output b = value_of(value_of(Session::create(streamed))->run(sequences_of(c), request));
    EXPECT_EQ(a.hidden_states[0].data, b.hidden_states[0].data) << name;
    EXPECT_EQ(a.mlm.data, b.mlm.data) << name;
  }
}

TEST_P(Encoders, ReleaseWhatTheyHaveRead) {
  const auto opened = value_of(bert_test::make_and_open(small_spec()));
  std::size_t released = 0;
  const std::byte* words = opened.weights.word_embeddings.data.data();
  bool touches_words = false;
  const auto encoder = value_of(
      Encoder::create(opened.weights, backend(), Precision::kF32, [&](std::span<const std::byte> bytes) {
        released += bytes.size();
        touches_words = touches_words || (words >= bytes.data() && words < bytes.data() + bytes.size());
      }));
  const std::uint64_t data = opened.files[0].size() - opened.weights.checkpoint.headers()[0].data_offset();
  if (GetParam().cuda) {  // the device has its own copy of the words
    EXPECT_EQ(released, data);
    return;
  }
  EXPECT_EQ(released, data - 300 * 64 * sizeof(float));
  EXPECT_FALSE(touches_words);
}

TEST(EncoderBuilder, NamesWhatIsMissingOrTwice) {
  const auto opened = value_of(bert_test::make_and_open(small_spec()));
  EncoderBuilder builder(opened.weights.checkpoint.config(), make_reference_backend(), Precision::kF32,
                         TableBytes::kCopy);
  for (const ModuleId id : opened.weights.checkpoint.modules()) {
    if (id == ModuleId{ModuleKind::kOutput, 1}) continue;
    ASSERT_TRUE(builder.add(id, opened.weights.module(id)));
  }
  const auto twice = builder.add({ModuleKind::kKey, 2}, opened.weights.module({ModuleKind::kKey, 2}));
  ASSERT_FALSE(twice);
  EXPECT_NE(twice.error().message.find(module_name({ModuleKind::kKey, 2})), std::string::npos);
  EXPECT_FALSE(builder.add({ModuleKind::kKey, 3}, opened.weights.module({ModuleKind::kKey, 2})));
  const auto wrong =
      builder.add({ModuleKind::kOutput, 1}, opened.weights.module({ModuleKind::kIntermediate, 1}));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kInvalidModel);
  const auto missing = builder.finish();
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kMissingTensor);
  EXPECT_NE(missing.error().message.find(module_name({ModuleKind::kOutput, 1})), std::string::npos)
      << missing.error().message;
}

// -- errors
// ----------------------------------------------------------------------------------------------------------

class Refusals : public testing::Test {
 protected:
  void SetUp() override {
    opened_.emplace(value_of(bert_test::make_and_open(small_spec())));
    encoder_ =
        value_of(Encoder::create(opened_->weights, value_of(make_xnnpack_backend(1)), Precision::kF32));
    session_ = value_of(Session::create(encoder_));
  }
  void expect(std::span<const Sequence> batch, const Request& request, ErrorCode code, const char* part) {
    const auto output = session_->run(batch, request);
    ASSERT_FALSE(output) << part;
    EXPECT_EQ(output.error().code, code) << output.error().message;
    EXPECT_NE(output.error().message.find(part), std::string::npos) << output.error().message;
    EXPECT_EQ(output.error().message.find('\n'), std::string::npos);
  }
  void refuse(const Sequence& sequence, ErrorCode code, const char* part) {
    Request request;
    request.hidden_states = {1};
    expect(std::span(&sequence, 1), request, code, part);
  }
  void refuse(const Request& request, ErrorCode code, const char* part) {
    const std::vector<std::int32_t> mask = {1, 1, 0, 1, 1};
    const std::vector<Sequence> batch = {{ids_, {}, mask}};
    expect(batch, request, code, part);
  }
  std::optional<bert_test::OpenedCheckpoint> opened_;
  std::shared_ptr<const Encoder> encoder_;
  std::unique_ptr<Session> session_;
  const std::vector<std::int32_t> ids_ = {2, 5, 6, 7, 3};
};

TEST_F(Refusals, OfBatches) {
  expect({}, {}, ErrorCode::kInvalidArgument, "empty batch");
  refuse(Sequence{}, ErrorCode::kInvalidArgument, "no tokens");
  const auto long_ids = some_ids(81, 1);
  refuse(Sequence{long_ids}, ErrorCode::kTooLong, "81");
  refuse(Sequence{std::span<const std::int32_t>(long_ids).first(81)}, ErrorCode::kTooLong, "80");
  for (const std::int32_t id : {-1, 300, 2147483647, -2147483647}) {
    const std::vector<std::int32_t> ids = {2, id, 3};
    refuse(Sequence{ids}, ErrorCode::kInvalidArgument, std::to_string(id).c_str());
  }
  const std::vector<std::int32_t> types = {0, 0, 2, 0, 0}, mask = {1, 1, 1, 2, 1}, four = {1, 1, 1, 1},
                                  none(5, 0);
  refuse(Sequence{ids_, types}, ErrorCode::kInvalidArgument, "type id 2");
  refuse(Sequence{ids_, {}, mask}, ErrorCode::kInvalidArgument, "mask 2");
  refuse(Sequence{ids_, four}, ErrorCode::kInvalidArgument, "4 token type");
  refuse(Sequence{ids_, {}, four}, ErrorCode::kInvalidArgument, "4 attention");
  refuse(Sequence{ids_, {}, none}, ErrorCode::kInvalidArgument, "hides every token");
  EXPECT_FALSE(make_sequences(2, 3, ids_, {}, {}));
  EXPECT_FALSE(make_sequences(1, 5, ids_, four, {}));
  EXPECT_FALSE(make_sequences(1, 5, ids_, {}, four));
  EXPECT_FALSE(make_sequences(SIZE_MAX / 2, 4, ids_, {}, {}));
}

#if UINTPTR_MAX == 0xffffffff
// with 64 bits it is only much memory
TEST_F(Refusals, OfAnswersThatNoAddressSpaceHolds) {
  const auto ids = some_ids(80, 1);
  const std::vector<Sequence> batch(6000, Sequence{ids});
  Request request;
  request.attentions = {0, 1, 2};
  expect(batch, request, ErrorCode::kOutOfMemory, "more memory than can be addressed");
  EXPECT_TRUE(session_->run(std::span(batch).first(1), request)) << "the session is usable afterwards";
}
#endif

TEST_F(Refusals, OfRequests) {
  Request request;
  request.hidden_states = {4};
  refuse(request, ErrorCode::kInvalidArgument, "hidden state 4");
  request = {};
  request.attentions = {3};
  refuse(request, ErrorCode::kInvalidArgument, "attention layer 3");
  request = {};
  request.attentions = {0};
  request.attention_heads = {4};
  refuse(request, ErrorCode::kInvalidArgument, "head 4");
  request = {};
  request.probes = {{Probe::kQuery, 3}};
  refuse(request, ErrorCode::kInvalidArgument, "probe layer 3");
  request = {};
  request.probes = {{Probe::kEmbeddingSum, 1}};
  refuse(request, ErrorCode::kInvalidArgument, "embedding_sum");
  request = {};
  request.mlm = {{1, 0}};
  refuse(request, ErrorCode::kInvalidArgument, "sequence 1");
  request.mlm = {{0, 5}};
  refuse(request, ErrorCode::kInvalidArgument, "no token 5");
  request.mlm = {{0, 2}};
  refuse(request, ErrorCode::kInvalidArgument, "mask 0");
  request = {};
  request.rows = RowChoice::kPositions;
  request.positions = {{0, 2}};
  request.hidden_states = {1};
  refuse(request, ErrorCode::kInvalidArgument, "mask 0");
}

TEST_F(Refusals, NotOfNoPositions) {
  Request request;
  request.rows = RowChoice::kPositions;
  request.hidden_states = {1};
  const Sequence sequence{.input_ids = ids_};
  const auto output = value_of(session_->run({&sequence, 1}, request));
  EXPECT_TRUE(output.rows.empty());
  EXPECT_TRUE(output.hidden_states.front().data.empty());
}

TEST_F(Refusals, OfMissingHeads) {
  auto spec = small_spec();
  spec.pooler = spec.mlm_head = spec.nsp_head = false;
  const auto bare = value_of(bert_test::make_and_open(spec));
  encoder_ = value_of(Encoder::create(bare.weights, value_of(make_xnnpack_backend(1)), Precision::kF32));
  session_ = value_of(Session::create(encoder_));
  Request request;
  request.pooler = true;
  refuse(request, ErrorCode::kMissingTensor, "pooler");
  request = {};
  request.nsp = true;
  refuse(request, ErrorCode::kMissingTensor, "pooler");
  request = {};
  request.mlm = {{0, 1}};
  refuse(request, ErrorCode::kMissingTensor, "cls.predictions");
  request = {};
  request.hidden_states = {3};
  const std::vector<Sequence> batch = {{ids_, {}, {}}};
  EXPECT_TRUE(session_->run(batch, request));
}

TEST_F(Refusals, AbortBetweenLayers) {
  const std::vector<Sequence> batch = {{ids_, {}, {}}};
  Request request;
  request.hidden_states = {3};
  for (int limit = 0; limit < 4; ++limit) {
    int polls = 0;
    request.aborted = [&polls, limit] { return polls++ == limit; };
    const auto output = session_->run(batch, request);
    ASSERT_FALSE(output);
    EXPECT_EQ(output.error().code, ErrorCode::kAborted);
  }
  int polls = 0;
  request.aborted = [&polls] { return ++polls > 1000; };
  EXPECT_TRUE(session_->run(batch, request)) << "the session is usable after an abort";
  EXPECT_EQ(polls, 4);
}

TEST_F(Refusals, NothingAskedCostsNothing) {
  const std::vector<Sequence> batch = {{ids_, {}, {}}};
  Request request;
  int polls = 0;
  request.aborted = [&polls] { return ++polls > 1000; };
  EXPECT_TRUE(session_->run(batch, request));
  EXPECT_EQ(polls, 1) << "no layer runs";
  request.hidden_states = {1};
  EXPECT_TRUE(session_->run(batch, request));
  EXPECT_EQ(polls, 3) << "one layer runs";
}

std::vector<Variant> variants() {
  std::vector<Variant> all = {
      {"reference", reference}, {"xnnpack", xnnpack<1>}, {"xnnpack_narrow", narrowest}};
  // a WebAssembly build without threads refuses two
  if (make_xnnpack_backend(2)) all.push_back({"xnnpack_threads", xnnpack<2>});
  if (bert_test::kWithCuda) all.push_back({"cuda", bert_test::cuda_backend, true});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Backends, Encoders, testing::ValuesIn(variants()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
