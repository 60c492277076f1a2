// `bertlens bench`: how long the encoder takes, on fixed ids without padding.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "app/answer.h"
#include "app/command.h"
#include "app/engine.h"
#include "app/options.h"
#include "io/table.h"

namespace bert::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  EngineOptions engine;
  FormatOptions output;
  std::size_t batch = 1;
  std::size_t tokens = 128;
  std::size_t runs = 5;
};

// The same ids as the benchmarks of other libraries use: a linear congruential generator, [CLS] first, [SEP]
// last.
std::vector<std::int32_t> fixed_ids(std::size_t batch, std::size_t tokens, std::size_t vocabulary) {
  std::vector<std::int32_t> ids(batch * tokens);
  const std::uint32_t least = vocabulary > 2000 ? 1000 : 0;
  const auto range = static_cast<std::uint32_t>(vocabulary) - least;
  std::uint32_t state = 12345;
  for (std::int32_t& id : ids) {
    state = state * 1664525u + 1013904223u;
    id = static_cast<std::int32_t>(least + (state >> 8) % range);
  }
  for (std::size_t row = 0; row < batch && vocabulary > 102; ++row) {
    ids[row * tokens] = 101;
    ids[row * tokens + tokens - 1] = 102;
  }
  return ids;
}

// Floating-point operations of one run, two for each multiply-add of the matrix products: last hidden state
// and pooler.
double operations(const ModelConfig& config, bool pooler, std::size_t batch, std::size_t tokens) {
  const auto hidden = static_cast<double>(config.hidden_size),
             inner = static_cast<double>(config.intermediate_size);
  const auto length = static_cast<double>(tokens), rows = static_cast<double>(batch);
  const double layer = length * (4 * hidden * hidden + 2 * hidden * inner) + 2 * length * length * hidden;
  return 2 * rows * (static_cast<double>(config.num_hidden_layers) * layer + (pooler ? hidden * hidden : 0));
}

double peak_megabytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e6;
}

Expected<int> run(const Options& options) {
  const Expected<LoadedEncoder> loaded = load_encoder(options.engine);
  if (!loaded) return tl::unexpected(loaded.error());
  const Encoder& encoder = *loaded->encoder;
  const ModelConfig& config = encoder.config();
  if (options.tokens > config.max_position_embeddings) {
    usage_error("--seq: must be from 2 to " + std::to_string(config.max_position_embeddings) +
                " (the model's positions), got " + std::to_string(options.tokens));
  }
  Expected<std::unique_ptr<Session>> session = Session::create(loaded->encoder);
  if (!session) return tl::unexpected(session.error());
  const std::vector<std::int32_t> ids = fixed_ids(options.batch, options.tokens, config.vocab_size);
  std::vector<Sequence> batch;
  batch.reserve(options.batch);
  for (std::size_t row = 0; row < options.batch; ++row) {
    batch.push_back({.input_ids = std::span(ids).subspan(row * options.tokens, options.tokens)});
  }
  Request request;
  request.hidden_states = {config.num_hidden_layers};
  request.pooler = encoder.has_pooler();
  std::vector<double> times;
  Progress progress("bench", Progress::Unit::kCount, true);
  // the first run warms up and is not counted
  for (std::size_t i = 0; i <= options.runs; ++i) {
    const Clock::time_point start = Clock::now();
    const Expected<bert::Output> output = (*session)->run(batch, request);
    if (!output) return tl::unexpected(output.error());
    if (i > 0) times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    progress.update(i, options.runs);
  }
  progress.wipe();
  std::vector<double> sorted = times;
  std::sort(sorted.begin(), sorted.end());
  const double median = (sorted[sorted.size() / 2] + sorted[(sorted.size() - 1) / 2]) / 2;
  const double work = operations(config, request.pooler, options.batch, options.tokens);
  const double gflops = work / median / 1e6;
  const double per_second = static_cast<double>(ids.size()) / median * 1e3;
  Output out(1, "standard output");
  const auto write = [&](JsonWriter& json) {
    json.begin_object().key("ms").numbers(times).key("median_ms").number(median);
    json.key("gflops").number(gflops).key("tokens_per_second").number(per_second);
    json.key("peak_rss_mb").number(peak_megabytes()).key("load_ms").number(loaded->load_ms);
    json.key("backend").string(encoder.backend().name()).key("kernels").string(encoder.backend().kernels());
    json.key("threads").number(encoder.backend().threads());
    json.key("precision").string(precision_name(encoder.precision()));
    json.key("batch").number(options.batch).key("seq").number(options.tokens).end_object();
  };
  const auto table = [&] {
    Table one({{"batch", Align::kRight},
               {"tokens", Align::kRight},
               {"precision", Align::kLeft},
               {"threads", Align::kRight},
               {"median ms", Align::kRight},
               {"least ms", Align::kRight},
               {"GFLOP/s", Align::kRight},
               {"tokens/s", Align::kRight},
               {"peak MB", Align::kRight}});
    one.add({std::to_string(options.batch), std::to_string(options.tokens),
             std::string(precision_name(encoder.precision())), std::to_string(encoder.backend().threads()),
             decimal(median, 2), decimal(sorted.front(), 2), decimal(gflops, 1), decimal(per_second, 0),
             decimal(peak_megabytes(), 1)});
    return one;
  };
  const auto report = [&] {
    out.line(loaded->folder + ": loaded in " + fixed(loaded->load_ms, 0) + " ms; " +
             std::string(encoder.backend().name()) + ", " + encoder.backend().kernels());
    out.line();
    out.write(table().markdown());
  };
  return print_answer(out, options.output.format(), {.json = write, .table = table, .report = report});
}

}  // namespace

Action define_bench(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--batch", options->batch, "sequences; default: 1")
      ->type_name("B")
      ->check(whole_number(1, 1 << 16));
  app.add_option("--seq", options->tokens, "tokens of each; default: 128")
      ->type_name("S")
      ->check(whole_number(2, 1 << 20));
  app.add_option("--runs", options->runs, "runs that count, after one that does not; default: 5")
      ->type_name("N")
      ->check(whole_number(1, 1 << 20));
  add_format_options(app, options->output);
  add_engine_options(app, options->engine);
  app.footer(
      "GFLOP/s counts the matrix products (two operations for each multiply-add); int8 counts the same.\n"
      "\n"
      "examples\n"
      "  bertlens bench --batch 8 --seq 128 --threads 1\n"
      "  bertlens bench --json --precision int8 --runs 20");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
