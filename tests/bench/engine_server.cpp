// The engine behind a line protocol, for engine.bench.ts: one JSON request a line on standard input, one
// answer a line.
//   {"op": "load", "folder", "precision", "threads"}                  -> load_ms, kernels
//   {"op": "run", "batch", "tokens", "ids", "mask", "mlm", "runs"}    -> ms, cpu_ms (a number per run),
//   hidden, logits
//   {"op": "peak"}                                                    -> f32, int8: GFLOP/s of one core, see
//   peak.h
// `hidden` holds the last hidden state's first four numbers of each sequence, `logits` those at each asked
// position. Without `mlm` a run gives the last hidden state and the pooler, with it the vocabulary logits
// alone. Every answer has peak_mb.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "bert/encoder.h"
#include "peak.h"

namespace {

using namespace bert;
using nlohmann::json;

double milliseconds() {
  using namespace std::chrono;
  return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}
double cpu_milliseconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}
double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1000;
}

/// A whole file in memory pages; empty if it cannot be mapped. Stays until the program ends.
std::span<const std::byte> map_file(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (file < 0 || fstat(file, &status) != 0) return {};
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (data == MAP_FAILED) return {};
  return {static_cast<const std::byte*>(data), size};
}

/// Gives the whole pages in `bytes` back.
void release(std::span<const std::byte> bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t skip = (page - reinterpret_cast<std::uintptr_t>(bytes.data()) % page) % page;
  if (bytes.size() <= skip) return;
  auto* const first = const_cast<std::byte*>(bytes.data()) + skip;
  madvise(first, (bytes.size() - skip) / page * page, MADV_DONTNEED);
}

struct Server {
  std::span<const std::byte> file;
  std::unique_ptr<Session> session;

  Expected<json> load(const json& request) {
    const double start = milliseconds();
    const std::string folder = request.value("folder", "");
    const std::string precision = request.value("precision", "f32");
    std::ifstream config_file(folder + "/config.json");
    const std::string text{std::istreambuf_iterator<char>(config_file), {}};
    auto config = ModelConfig::parse(text);
    if (!config) return tl::unexpected(config.error());
    file = map_file(folder + "/model.safetensors");
    if (file.empty()) return fail(ErrorCode::kNotFound, "cannot map " + folder + "/model.safetensors");
    auto header = SafetensorsHeader::parse(file, file.size());
    if (!header) return tl::unexpected(header.error());
    auto checkpoint = Checkpoint::create(std::move(*config), {std::move(*header)});
    if (!checkpoint) return tl::unexpected(checkpoint.error());
    auto weights = BertWeights::bind(*checkpoint, std::span(&file, 1));
    if (!weights) return tl::unexpected(weights.error());
    auto backend = make_xnnpack_backend(request.value("threads", std::size_t{1}));
    if (!backend) return tl::unexpected(backend.error());
    auto encoder = Encoder::create(*weights, *backend,
                                   precision == "int8"  ? Precision::kInt8
                                   : precision == "f16" ? Precision::kF16
                                                        : Precision::kF32,
                                   release);
    if (!encoder) return tl::unexpected(encoder.error());
    auto made = Session::create(*encoder);
    if (!made) return tl::unexpected(made.error());
    session = std::move(*made);
    return json{{"load_ms", milliseconds() - start}, {"kernels", (*backend)->kernels()}};
  }

  Expected<json> run(const json& request) {
    if (session == nullptr) return fail(ErrorCode::kInvalidArgument, "load first");
    const auto batch = request.value("batch", std::size_t{1});
    const auto tokens = request.value("tokens", std::size_t{1});
    const auto ids = request.value("ids", std::vector<std::int32_t>{});
    const auto mask = request.value("mask", std::vector<std::int32_t>{});
    auto sequences = make_sequences(batch, tokens, ids, {}, mask);
    if (!sequences) return tl::unexpected(sequences.error());
    Request what;
    for (const json& position : request.value("mlm", json::array()))
      what.mlm.push_back({position[0].get<std::size_t>(), position[1].get<std::size_t>()});
    if (what.mlm.empty()) {
      what.hidden_states = {session->encoder().config().num_hidden_layers};
      what.pooler = session->encoder().has_pooler();
    }
    json answer{{"ms", json::array()}, {"cpu_ms", json::array()}};
    for (std::size_t i = 0; i < request.value("runs", std::size_t{1}); ++i) {
      const double start = milliseconds();
      const double cpu_start = cpu_milliseconds();
      const auto output = session->run(*sequences, what);
      answer["ms"].push_back(milliseconds() - start);
      answer["cpu_ms"].push_back(cpu_milliseconds() - cpu_start);
      if (!output) return tl::unexpected(output.error());
      if (i != 0) continue;
      const auto first_of = [](const Tensor& tensor, std::size_t row) {
        const auto begin = tensor.data.begin() + static_cast<std::ptrdiff_t>(row * tensor.shape[1]);
        return std::vector<float>(begin, begin + 4);
      };
      for (std::size_t row = 0; !output->hidden_states.empty() && row < output->rows.size(); ++row)
        if (output->rows[row].token == 0) answer["hidden"].push_back(first_of(output->hidden_states[0], row));
      for (std::size_t row = 0; row < what.mlm.size(); ++row)
        answer["logits"].push_back(first_of(output->mlm, row));
    }
    return answer;
  }
};

}  // namespace

int main() {
  Server server;
  for (std::string line; std::getline(std::cin, line);) {
    const json request = json::parse(line, nullptr, false);
    Expected<json> answer = fail(ErrorCode::kInvalidArgument, "not a request: " + line.substr(0, 80));
    if (request.is_object() && request.value("op", "") == "load") answer = server.load(request);
    if (request.is_object() && request.value("op", "") == "run") answer = server.run(request);
    if (request.is_object() && request.value("op", "") == "peak") {
      const bert_bench::Peak peak = bert_bench::measure_peak();
      answer = json{{"f32", peak.f32}, {"int8", peak.int8}};
    }
    json reply = answer ? *answer : json{{"error", answer.error().message}};
    reply["peak_mb"] = peak_megabytes();
    std::cout << reply.dump() << '\n' << std::flush;
  }
}
