// Sessions of one encoder on several threads at once. Native only: WebAssembly runs one session per worker,
// and builds without threads cannot start any.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>

#include "bert/encoder.h"
#include "support/backends.h"
#include "support/checkpoint_maker.h"

namespace {

using namespace bert;

using bert_test::value_of;

/// Four threads with a session each of one encoder.
void run_threads(const std::function<std::shared_ptr<Backend>(Precision)>& make, const std::string& where) {
  bert_test::CheckpointSpec spec;
  spec.config.vocab_size = 200;
  spec.config.hidden_size = 48;
  spec.config.num_hidden_layers = 2;
  spec.config.num_attention_heads = 3;
  spec.config.intermediate_size = 96;
  spec.config.max_position_embeddings = 64;
  const auto opened = value_of(bert_test::make_and_open(spec));
  for (const Precision precision : {Precision::kF32, Precision::kF16, Precision::kInt8}) {
    const auto encoder = value_of(Encoder::create(opened.weights, make(precision), precision));
    Request request;
    request.hidden_states = {2};
    request.attentions = {1};
    request.nsp = true;
    request.mlm = {{0, 0}};
    // each thread has its own text, and must get each time what it gets alone
    constexpr std::size_t kThreads = 4;
    std::vector<std::vector<std::int32_t>> ids(kThreads);
    std::vector<Output> alone(kThreads);
    for (std::size_t t = 0; t < kThreads; ++t) {
      for (std::size_t i = 0; i < 7 + 9 * t; ++i)
        ids[t].push_back(static_cast<std::int32_t>((i * 31 + t * 7) % 200));
      const Sequence sequence{ids[t], {}, {}};
      alone[t] = value_of(value_of(Session::create(encoder))->run(std::span(&sequence, 1), request));
    }
    std::vector<int> wrong(kThreads);
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (std::size_t t = 0; t < kThreads; ++t)
      threads.emplace_back([&, t] {
        const auto session = value_of(Session::create(encoder));
        const Sequence sequence{ids[t], {}, {}};
        for (int again = 0; again < 20; ++again) {
          const Output output = value_of(session->run(std::span(&sequence, 1), request));
          if (output.hidden_states[0].data != alone[t].hidden_states[0].data ||
              output.nsp.data != alone[t].nsp.data || output.mlm.data != alone[t].mlm.data ||
              output.attentions[0][0].data != alone[t].attentions[0][0].data)
            ++wrong[t];
        }
      });
    for (std::thread& thread : threads) thread.join();
    for (const int count : wrong) EXPECT_EQ(count, 0) << precision_name(precision) << ", " << where;
  }
}

TEST(EncoderThreads, SessionsDoNotDisturbEachOther) {
  for (const std::size_t pool : {1U, 2U})
    run_threads([pool](Precision) { return value_of(make_xnnpack_backend(pool)); },
                "pool of " + std::to_string(pool));
}

#ifdef BERTLENS_CUDA
TEST(EncoderThreads, SessionsOnCudaDoNotDisturbEachOther) {
  if (const auto made = bert_test::cuda_backend(Precision::kF32); !made) GTEST_SKIP() << made.error().message;
  run_threads([](Precision precision) { return value_of(bert_test::cuda_backend(precision)); }, "cuda");
}
#endif

}  // namespace
