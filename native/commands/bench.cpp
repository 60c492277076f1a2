// `bertlens bench`: how long the encoder takes, on fixed ids without padding.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "app/answer.h"
#include "app/command.h"
#include "app/engine.h"
#include "app/options.h"
#include "io/error_line.h"
#include "io/table.h"

namespace bert::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  EngineOptions engine;
  FormatOptions output;
  std::size_t batch = 1;
  std::size_t tokens = 128;
  std::vector<std::size_t> lengths;  // instead of the two above
  std::size_t runs = 5;
  bool states = true;  // the last hidden states, beside the pooler
};

constexpr std::size_t kMostSequences = 1 << 16;

// The numbers of --lengths.
std::vector<std::size_t> read_lengths(const std::string& text) {
  std::vector<std::size_t> lengths = whole_numbers("--lengths", text, 1, 1 << 20);
  if (lengths.size() > kMostSequences)
    throw CLI::ValidationError("--lengths", "at most " + std::to_string(kMostSequences) + " sequences, got " +
                                                std::to_string(lengths.size()));
  return lengths;
}

// The same ids as the benchmarks of other libraries use: a linear congruential generator, [CLS] first, [SEP]
// last.
std::vector<std::int32_t> fixed_ids(std::span<const std::size_t> lengths, std::size_t vocabulary) {
  std::vector<std::int32_t> ids(std::accumulate(lengths.begin(), lengths.end(), std::size_t{0}));
  const std::uint32_t least = vocabulary > 2000 ? 1000 : 0;
  const auto range = static_cast<std::uint32_t>(vocabulary) - least;
  std::uint32_t state = 12345;
  for (std::int32_t& id : ids) {
    state = state * 1664525u + 1013904223u;
    id = static_cast<std::int32_t>(least + (state >> 8) % range);
  }
  std::size_t at = 0;
  for (const std::size_t length : lengths) {
    if (vocabulary <= 102) break;
    ids[at + length - 1] = 102;
    ids[at] = 101;  // alone where there is one token
    at += length;
  }
  return ids;
}

// Floating-point operations of one run, two for each multiply-add of the matrix products. Of the last layer
// the pooler alone needs keys and values of all tokens and the rest of the first one.
double operations(const ModelConfig& config, bool pooler, bool states, std::span<const std::size_t> lengths) {
  const auto hidden = static_cast<double>(config.hidden_size),
             inner = static_cast<double>(config.intermediate_size);
  const auto layer = [=](double keys, double queries) {
    return 2 * keys * hidden * hidden + queries * (2 * hidden * hidden + 2 * hidden * inner) +
           2 * queries * keys * hidden;
  };
  double sum = 0;
  for (const std::size_t tokens : lengths) {
    const auto length = static_cast<double>(tokens);
    sum += static_cast<double>(config.num_hidden_layers - 1) * layer(length, length);
    sum += layer(length, states ? length : 1) + (pooler ? hidden * hidden : 0);
  }
  return 2 * sum;
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
  const bool mixed = !options.lengths.empty();
  const std::vector<std::size_t> lengths =
      mixed ? options.lengths : std::vector<std::size_t>(options.batch, options.tokens);
  const std::size_t longest = *std::max_element(lengths.begin(), lengths.end());
  if (longest > config.max_position_embeddings) {
    usage_error(std::string(mixed ? "--lengths" : "--seq") + ": must be from 1 to " +
                std::to_string(config.max_position_embeddings) + " (the model's positions), got " +
                std::to_string(longest));
  }
  if (!options.states && !encoder.has_pooler())
    return fail(ErrorCode::kMissingTensor,
                in_quotes(loaded->folder) + ": the checkpoint has no pooler, which --output pooler is of");
  Expected<std::unique_ptr<Session>> session = Session::create(loaded->encoder);
  if (!session) return tl::unexpected(session.error());
  const std::vector<std::int32_t> ids = fixed_ids(lengths, config.vocab_size);
  std::vector<Sequence> batch;
  batch.reserve(lengths.size());
  std::span<const std::int32_t> rest(ids);
  for (const std::size_t length : lengths) {
    batch.push_back({.input_ids = rest.first(length)});
    rest = rest.subspan(length);
  }
  Request request;
  if (options.states) request.hidden_states = {config.num_hidden_layers};
  request.pooler = encoder.has_pooler();
  std::vector<double> times;
  Progress progress("bench", Progress::Unit::kCount, true);
  // the first run warms up and is not counted
  for (std::size_t i = 0; i <= options.runs; ++i) {
    const Clock::time_point start = Clock::now();
    const Expected<bert::Output> output = (*session)->run(batch, request);
    if (!output) return tl::unexpected(of_model(loaded->folder, output.error()));
    if (i > 0) times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    progress.update(i, options.runs);
  }
  progress.wipe();
  std::vector<double> sorted = times;
  std::sort(sorted.begin(), sorted.end());
  const double median = (sorted[sorted.size() / 2] + sorted[(sorted.size() - 1) / 2]) / 2;
  const double work = operations(config, request.pooler, options.states, lengths);
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
    json.key("batch").number(lengths.size()).key("seq").number(longest);
    json.key("tokens").number(ids.size()).end_object();
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
    const std::size_t shortest = *std::min_element(lengths.begin(), lengths.end());
    one.add({std::to_string(lengths.size()),
             (shortest < longest ? std::to_string(shortest) + " to " : "") + std::to_string(longest),
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
      ->transform(whole_number(1, kMostSequences));
  app.add_option("--seq", options->tokens, "tokens of each; default: 128")
      ->type_name("S")
      ->transform(whole_number(1, 1 << 20));
  app.add_option_function<std::string>(
         "--lengths", [options](const std::string& text) { options->lengths = read_lengths(text); },
         "tokens of each sequence, instead of --batch and --seq: 9,128,31")
      ->type_name("N,...");
  add_choice<bool>(app, "--output", options->states, {{"states", true}, {"pooler", false}},
                   "what is computed: the last hidden state of every token and the pooler (default), or the "
                   "pooler alone");
  app.add_option("--runs", options->runs, "runs that count, after one that does not; default: 5")
      ->type_name("N")
      ->transform(whole_number(1, 1 << 20));
  app.get_option("--lengths")->excludes("--batch")->excludes("--seq");
  add_format_options(app, options->output, JsonLines::kOutput);
  add_engine_options(app, options->engine, {.vocabulary = false});
  app.footer(
      "GFLOP/s counts the matrix products (two operations for each multiply-add); int8 counts the same.\n"
      "\n"
      "examples\n"
      "  bertlens bench --batch 8 --seq 128 --threads 1\n"
      "  bertlens bench --json --precision int8 --runs 20\n"
      "  bertlens bench --lengths 9,128,31 --output pooler");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
