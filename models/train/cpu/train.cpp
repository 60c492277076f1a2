// Trains a small BERT on a CPU: on AMX tiles in bfloat16 where the compiler's target has them, else in float
// on AVX2 with FMA; the weights and their gradients are floats.
//
// The model, its data and its result are those of ../train.py; this program exists because it is
// two to ten times faster than PyTorch on the same cores. Build and figures: ../README.md. Options: run it
// without arguments.
#include <atomic>
#include <barrier>
#include <chrono>
#include <csignal>
#include <cstdarg>
#include <ctime>
#include <thread>

#include "data.h"
#include "network.h"

namespace {

using network::Buffer;
using network::Config;
using network::Result;
using network::Tensor;
using network::Weights;
using network::Worker;

struct Settings {
  std::vector<std::string> train, held;
  std::string vocabulary, folder, embeddings, start;
  Config config;
  int threads = 2, rows = 1024, batches = 4, batches_late = 8, warmup = 400;
  std::vector<int> lengths{64}, late_lengths{128, 64, 512, 64};
  double seconds = 0, until = 0, pieces = 0, rate = 1e-3, mask_rate = 0.15, late_from = 0.75;
  std::uint64_t seed = 1;
  int steps = 0;
  std::string dump;
};

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

constexpr const char* kUsage =
    "usage: train --vocab FILE --out FOLDER --train SHARD ... --held SHARD ... [options]\n"
    "  --seconds N | --until UNIX_TIME | --pieces N   when the learning rate reaches zero\n"
    "  --layers --hidden --heads --intermediate --positions   the model\n"
    "  --start FOLDER       a model of the same size to start from, its weights F32 or I8 with scales\n"
    "  --embeddings FILE    float32 [vocabulary, hidden] to start the word embeddings from\n"
    "  --lengths N ...      the longest sequence of each batch, in turn; --late-lengths N ... after the "
    "share\n"
    "                       --late-from of the run\n"
    "  --batches --batches-late   a step, in the first and the second half of the run; of --rows pieces "
    "each\n"
    "  --rate --warmup --mask-rate --threads --seed\n"
    "  --steps N            stop after step N\n"
    "  --dump FOLDER        write one batch, its losses and its gradients, then stop (checked by "
    "check_gradients.py)\n";

Settings parse(int argc, char** argv) {
  Settings s;
  auto number = [&](int& i) -> double {
    if (i + 1 >= argc) data::fail(std::string(argv[i]) + " needs a value");
    char* end = nullptr;
    const double v = std::strtod(argv[++i], &end);
    if (*end) data::fail(std::string("not a number: ") + argv[i]);
    return v;
  };
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    auto list = [&](std::vector<std::string>& out) {
      while (i + 1 < argc && argv[i + 1][0] != '-') out.push_back(argv[++i]);
    };
    auto text = [&] {
      if (i + 1 >= argc) data::fail(a + " needs a value");
      return std::string(argv[++i]);
    };
    auto lengths = [&](std::vector<int>& out) {
      out.clear();
      do out.push_back(static_cast<int>(number(i)));
      while (i + 1 < argc && argv[i + 1][0] != '-');
    };
    auto integer = [&] { return static_cast<int>(number(i)); };
    if (a == "--train")
      list(s.train);
    else if (a == "--held")
      list(s.held);
    else if (a == "--vocab")
      s.vocabulary = text();
    else if (a == "--out")
      s.folder = text();
    else if (a == "--embeddings")
      s.embeddings = text();
    else if (a == "--start")
      s.start = text();
    else if (a == "--dump")
      s.dump = text();
    else if (a == "--seconds")
      s.seconds = number(i);
    else if (a == "--until")
      s.until = number(i);
    else if (a == "--pieces")
      s.pieces = number(i);
    else if (a == "--layers")
      s.config.layers = integer();
    else if (a == "--hidden")
      s.config.hidden = integer();
    else if (a == "--heads")
      s.config.heads = integer();
    else if (a == "--intermediate")
      s.config.intermediate = integer();
    else if (a == "--positions")
      s.config.positions = integer();
    else if (a == "--rate")
      s.rate = number(i);
    else if (a == "--warmup")
      s.warmup = integer();
    else if (a == "--batches")
      s.batches = integer();
    else if (a == "--batches-late")
      s.batches_late = integer();
    else if (a == "--rows")
      s.rows = integer();
    else if (a == "--mask-rate")
      s.mask_rate = number(i);
    else if (a == "--late-from")
      s.late_from = number(i);
    else if (a == "--lengths")
      lengths(s.lengths);
    else if (a == "--late-lengths")
      lengths(s.late_lengths);
    else if (a == "--threads")
      s.threads = integer();
    else if (a == "--seed")
      s.seed = static_cast<std::uint64_t>(number(i));
    else if (a == "--steps")
      s.steps = std::max(1, integer());
    else
      data::fail("unknown option " + a + "\n" + kUsage);
  }
  if (s.train.empty() || s.held.empty() || s.vocabulary.empty() || s.folder.empty() ||
      (s.seconds > 0) + (s.until > 0) + (s.pieces > 0) != 1)
    data::fail(kUsage);
  const Config& c = s.config;
  if (c.hidden % 32 || c.intermediate % 32 || c.hidden % c.heads || c.hidden / c.heads % 32)
    data::fail("hidden, intermediate and the heads' sizes must be multiples of 32");
  if (s.rows % 32 || s.rows < 512) data::fail("--rows must be a multiple of 32, at least 512");
  return s;
}

class Trainer {
 public:
  explicit Trainer(const Settings& settings)
      : s_(settings),
        vocabulary_(s_.vocabulary),
        corpus_(s_.train),
        held_(s_.held),
        examples_(corpus_, vocabulary_, s_.seed),
        held_examples_(held_, vocabulary_, 7),
        weights_((s_.config.vocabulary = vocabulary_.size(), s_.config)),
        first_(weights_.layout.total),
        second_(weights_.layout.total),
        barrier_(s_.threads) {
    for (std::vector<int>* lengths : {&s_.lengths, &s_.late_lengths})
      for (int& n : *lengths) {
        if (n < 16 || n > s_.rows) data::fail("no batch can have sequences of " + std::to_string(n));
        longest_ = std::max(longest_, n = std::min(n, s_.config.positions));
      }
    for (int i = 0; i < s_.threads; ++i)
      workers_.push_back(std::make_unique<Worker>(weights_, s_.rows, (longest_ + 31) / 32 * 32));
    held_examples_.shuffle(0);
    log_ = std::fopen((s_.folder + "/log.txt").c_str(), "a");
    if (!log_) data::fail("cannot write " + s_.folder + "/log.txt");
    if (!resume()) s_.start.empty() ? initialise() : load_start();
    weights_.close_padding();
    examples_.shuffle(pass_);
  }

  void run() {
    std::vector<std::thread> threads;
    for (int i = 1; i < s_.threads; ++i) threads.emplace_back([this, i] { work(i); });
    work(0);
    for (std::thread& t : threads) t.join();
  }

 private:
  void say(const char* format, ...) __attribute__((format(printf, 2, 3))) {
    va_list arguments, copy;
    va_start(arguments, format);
    va_copy(copy, arguments);
    std::vprintf(format, arguments);
    std::vfprintf(log_, format, copy);
    std::fflush(stdout);
    std::fflush(log_);
    va_end(copy);
    va_end(arguments);
  }

  // Starts from the weights of model.safetensors in s_.start: F32, or I8 with a scale a row in NAME_scale.
  void load_start() {
    const std::string path = s_.start + "/model.safetensors";
    const auto file = data::read_array<char>(path);
    std::uint64_t size = 0;
    if (file.size() >= 8) std::memcpy(&size, file.data(), 8);
    if (file.size() < 8 || size > file.size() - 8) data::fail(path + " is no safetensors file");
    std::string header(file.data() + 8, size);
    std::erase_if(header, [](char c) { return c == ' ' || c == '\n'; });
    struct Stored {
      std::string type;
      const char* data;
      std::size_t bytes;
    };
    auto find = [&](const std::string& name) -> Stored {
      const std::size_t at = header.find("\"" + name + "\":{");
      if (at == std::string::npos) data::fail(path + " has no " + name);
      const std::string entry = header.substr(at, header.find('}', at) - at);
      char type[8] = {};
      unsigned long long from = 0, to = 0;
      const std::size_t t = entry.find("\"dtype\":\""), o = entry.find("\"data_offsets\":[");
      if (t == std::string::npos || o == std::string::npos ||
          std::sscanf(entry.c_str() + t, "\"dtype\":\"%7[A-Z0-9]", type) != 1 ||
          std::sscanf(entry.c_str() + o, "\"data_offsets\":[%llu,%llu", &from, &to) != 2 || from > to ||
          to > file.size() - 8 - size)
        data::fail(path + ": the header's entry of " + name + " is damaged");
      return {type, file.data() + 8 + size + from, to - from};
    };
    for (const Tensor& t : weights_.layout.tensors) {
      float* to = weights_.flat.get() + t.offset;
      const Stored s = find(t.name);
      if (s.type != "F32" && s.type != "I8")
        data::fail(path + ": " + t.name + " is of type " + s.type + ", neither F32 nor I8");
      if (s.bytes != t.count * (s.type == "F32" ? 4 : 1))
        data::fail(path + ": " + t.name + " is not of the size that the options say");
      if (s.type == "F32") {
        std::memcpy(to, s.data, s.bytes);
        continue;
      }
      const Stored scales = find(t.name + "_scale");
      const std::size_t rows = static_cast<std::size_t>(t.shape[0]), columns = t.count / rows;
      if (scales.type != "F32" || scales.bytes != 4 * rows)
        data::fail(path + ": " + t.name + "_scale is not one F32 a row");
      for (std::size_t r = 0; r < rows; ++r) {
        float scale;
        std::memcpy(&scale, scales.data + 4 * r, 4);
        for (std::size_t c = 0; c < columns; ++c)
          to[r * columns + c] = scale * static_cast<float>(static_cast<signed char>(s.data[r * columns + c]));
      }
    }
    spread_ = static_cast<std::uint64_t>(s_.config.positions);  // they are trained
    start_ = now();
  }

  void initialise() {
    std::mt19937_64 random(s_.seed);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    for (const Tensor& t : weights_.layout.tensors) {
      float* p = weights_.flat.get() + t.offset;
      const bool norm = t.name.find("LayerNorm") != std::string::npos;
      const bool bias = t.name.size() > 5 && t.name.substr(t.name.size() - 5) == ".bias";
      for (std::size_t i = 0; i < t.count; ++i) p[i] = bias ? 0.0f : norm ? 1.0f : normal(random);
    }
    if (!s_.embeddings.empty()) {
      const auto e = data::read_array<float>(s_.embeddings);
      const Tensor& words = weights_.layout.tensors[0];
      if (e.size() != words.count) data::fail(s_.embeddings + " has the wrong size");
      std::copy(e.begin(), e.end(), weights_.flat.get() + words.offset);
    }
    // The decoder's bias starts at the logarithm of how frequent each piece is.
    std::vector<double> count(static_cast<std::size_t>(vocabulary_.size()), 1.0);
    for (auto t : corpus_.tokens) count[t] += 1;
    float* bias = weights_.flat.get() + weights_.layout["cls.predictions.bias"];
    for (int v = 0; v < vocabulary_.size(); ++v)
      bias[v] = static_cast<float>(
          std::log(count[v] / (static_cast<double>(corpus_.tokens.size()) / vocabulary_.size())));
    start_ = now();
  }

  struct Header {
    char magic[8] = {'b', 'e', 'r', 't', 'c', 'k', 'p', '1'};
    std::uint64_t total = 0, step = 0, cursor = 0, pass = 0, tokens = 0, spread = 0;
    double start = 0;
  };
  std::string checkpoint() const { return s_.folder + "/checkpoint.bin"; }

  bool resume() {
    std::ifstream file(checkpoint(), std::ios::binary);
    if (!file) return false;
    Header h;
    const Header fresh;
    file.read(reinterpret_cast<char*>(&h), sizeof h);
    if (!file || std::memcmp(h.magic, fresh.magic, 8) || h.total != weights_.layout.total)
      data::fail(checkpoint() + " is of another model");
    for (const Buffer<float>* b : {&weights_.flat, &first_, &second_})
      file.read(reinterpret_cast<char*>(b->get()), static_cast<std::streamsize>(4 * h.total));
    if (!file) data::fail(checkpoint() + " is cut short");
    step_ = h.step, cursor_ = h.cursor, pass_ = h.pass, tokens_ = h.tokens, spread_ = h.spread,
    start_ = h.start;
    say("resumed at step %lu\n", static_cast<unsigned long>(step_));
    return true;
  }

  void save() {
    const std::string temporary = checkpoint() + ".new";
    std::ofstream file(temporary, std::ios::binary);
    Header h;
    h.total = weights_.layout.total, h.step = step_, h.cursor = cursor_, h.pass = pass_, h.tokens = tokens_;
    h.spread = spread_, h.start = start_;
    file.write(reinterpret_cast<const char*>(&h), sizeof h);
    for (const Buffer<float>* b : {&weights_.flat, &first_, &second_})
      file.write(reinterpret_cast<const char*>(b->get()), static_cast<std::streamsize>(4 * h.total));
    file.close();
    if (!file || std::rename(temporary.c_str(), checkpoint().c_str()))
      data::fail("cannot write " + checkpoint());
    write_safetensors(s_.folder + "/model.safetensors");
    write_config();
    saved_ = now();
  }

  void write_safetensors(const std::string& path) const {
    std::string header = "{\"__metadata__\":{\"format\":\"pt\"}";
    std::size_t offset = 0;
    for (const Tensor& t : weights_.layout.tensors) {
      header += ",\"" + t.name + "\":{\"dtype\":\"F32\",\"shape\":[";
      for (std::size_t i = 0; i < t.shape.size(); ++i) header += (i ? "," : "") + std::to_string(t.shape[i]);
      header +=
          "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(offset + 4 * t.count) + "]}";
      offset += 4 * t.count;
    }
    header += "}";
    while (header.size() % 8) header += " ";
    std::ofstream file(path + ".new", std::ios::binary);
    const std::uint64_t size = header.size();
    file.write(reinterpret_cast<const char*>(&size), 8);
    file << header;
    for (const Tensor& t : weights_.layout.tensors)
      file.write(reinterpret_cast<const char*>(weights_.flat.get() + t.offset),
                 static_cast<std::streamsize>(4 * t.count));
    file.close();
    if (!file || std::rename((path + ".new").c_str(), path.c_str())) data::fail("cannot write " + path);
  }

  void write_config() const {
    const Config& c = s_.config;
    std::ofstream file((s_.dump.empty() ? s_.folder : s_.dump) + "/config.json");
    file << "{\n  \"architectures\": [\"BertForPreTraining\"],\n  \"attention_probs_dropout_prob\": 0.1,\n"
         << "  \"hidden_act\": \"gelu\",\n  \"hidden_dropout_prob\": 0.1,\n  \"hidden_size\": " << c.hidden
         << ",\n  \"initializer_range\": 0.02,\n  \"intermediate_size\": " << c.intermediate
         << ",\n  \"layer_norm_eps\": 1e-12,\n  \"max_position_embeddings\": " << c.positions
         << ",\n  \"model_type\": \"bert\",\n  \"num_attention_heads\": " << c.heads
         << ",\n  \"num_hidden_layers\": " << c.layers << ",\n  \"pad_token_id\": " << vocabulary_.pad
         << ",\n  \"type_vocab_size\": 2,\n  \"vocab_size\": " << c.vocabulary << "\n}\n";
    if (!file) data::fail("cannot write " + (s_.dump.empty() ? s_.folder : s_.dump) + "/config.json");
  }

  // The share of the pieces that were read, or of the time that has passed; time spent stopped counts, so
  // that the end is kept.
  double progress() const {
    if (s_.pieces > 0) return std::min(1.0, static_cast<double>(tokens_) / s_.pieces);
    const double end = s_.until > 0 ? s_.until : start_ + s_.seconds;
    return std::clamp((now() - start_) / std::max(1.0, end - start_), 0.0, 1.0);
  }
  double rate(double f) const {
    const double up = std::min(1.0, static_cast<double>(step_ + 1) / s_.warmup);
    return s_.rate * up * std::min(1.0, (1.0 - f) / 0.9);
  }

  // Batch `number` of the step that starts at example `cursor_`: takes its share of the examples.
  data::Batch make_batch(data::Random& random, std::atomic<std::uint64_t>& cursor,
                         const data::Options& options) {
    data::Batch batch;
    while (true) {
      const std::uint64_t index = cursor.fetch_add(1);
      if (!examples_.append(index, random, options, s_.rows, batch)) break;
    }
    return batch;
  }

  // Calls done(i) for each i below count, shared out among the threads that call this with the same counter.
  template <class Done>
  static void share(std::atomic<int>& counter, int count, Done&& done) {
    for (int i; (i = counter.fetch_add(1)) < count;) done(i);
  }

  void plan_step();
  void pack(int counter);
  void update(int counter, double scale);
  void evaluate(int index);
  void report();
  void mark();
  void dump();
  void work(int index);

  Settings s_;
  data::Vocabulary vocabulary_;
  data::Corpus corpus_, held_;
  data::Examples examples_, held_examples_;
  Weights weights_;
  Buffer<float> first_, second_;
  std::barrier<> barrier_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::FILE* log_ = nullptr;
  std::uint64_t step_ = 0, cursor_ = 0, pass_ = 0, tokens_ = 0, spread_ = 0;
  double start_ = 0;
  int longest_ = 0;
  // Shared by the threads within a step:
  std::atomic<int> counters_[5];
  std::atomic<std::uint64_t> shared_cursor_{0};
  std::atomic<double> square_{0};
  std::vector<Result> results_;
  data::Options options_;
  std::vector<int> lengths_;
  std::vector<Result> held_results_;
  struct Piece {
    std::size_t from, to;
    bool decays;
  };
  std::vector<Piece> pieces_;
  std::vector<std::pair<network::PackedLinear*, int>> packs_;  // and the first of 256 rows
  double rate_ = 0, reported_ = 0, saved_ = 0;
  std::clock_t reported_clock_ = 0;
  std::uint64_t reported_tokens_ = 0;
  Result recent_;
  int batches_ = 0;
  bool stop_ = false;
};

std::atomic<bool> interrupted{false};

constexpr int kReportEvery = 50, kEvaluateEvery = 200, kHeldBatches = 12;
constexpr double kSaveSeconds = 240;

void Trainer::plan_step() {
  const double f = progress();
  stop_ = f >= 1.0 || interrupted || (s_.steps && step_ >= static_cast<std::uint64_t>(s_.steps));
  options_.mask_rate = s_.mask_rate;
  lengths_ = f < s_.late_from ? s_.lengths : s_.late_lengths;
  // Longer sequences meet new positions: these start as copies of trained ones.
  const int reach = *std::max_element(lengths_.begin(), lengths_.end()), h = s_.config.hidden;
  float* positions = weights_.flat.get() + weights_.layout["bert.embeddings.position_embeddings.weight"];
  if (spread_ == 0) spread_ = static_cast<std::uint64_t>(reach);
  const int trained = static_cast<int>(spread_), first = trained / 4;
  for (int to = trained; to < reach; ++to) {
    const float* from = positions + (first + (to - first) % (trained - first)) * h;
    std::copy(from, from + h, positions + to * h);
  }
  spread_ = static_cast<std::uint64_t>(std::max(trained, reach));
  batches_ = f < 0.5 ? s_.batches : s_.batches_late;
  rate_ = rate(f);
  for (auto& c : counters_) c = 0;
  shared_cursor_ = cursor_;
  square_ = 0;
  results_.assign(static_cast<std::size_t>(s_.threads), {});
}

void Trainer::pack(int counter) {
  std::vector<products::Element> scratch;
  share(counters_[counter], static_cast<int>(packs_.size()), [&](int i) {
    auto [linear, from] = packs_[static_cast<std::size_t>(i)];
    network::pack_rows(weights_.flat.get() + linear->weight, *linear, from, std::min(linear->out, from + 256),
                       scratch);
  });
}

// AdamW (Loshchilov and Hutter 2019); clears the gradients.
void Trainer::update(int counter, double scale) {
  constexpr float kFirst = 0.9f, kSecond = 0.98f, kEpsilon = 1e-6f, kDecay = 0.01f;
  const double t = static_cast<double>(step_ + 1);
  const float step = static_cast<float>(rate_ / (1 - std::pow(kFirst, t)));
  const float correct = static_cast<float>(1 / std::sqrt(1 - std::pow(kSecond, t)));
  const float decay = static_cast<float>(rate_) * kDecay, factor = static_cast<float>(scale);
  share(counters_[counter], static_cast<int>(pieces_.size()), [&](int i) {
    const Piece& piece = pieces_[static_cast<std::size_t>(i)];
    float *w = weights_.flat.get(), *m = first_.get(), *v = second_.get(), *g = workers_[0]->gradients.get();
    const float keep = piece.decays ? 1 - decay : 1;
    for (std::size_t j = piece.from; j < piece.to; ++j) {
      const float d = g[j] * factor;
      g[j] = 0;
      m[j] = kFirst * m[j] + (1 - kFirst) * d;
      v[j] = kSecond * v[j] + (1 - kSecond) * d * d;
      w[j] = w[j] * keep - step * m[j] / (std::sqrt(v[j]) * correct + kEpsilon);
    }
  });
}

void Trainer::evaluate(int index) {
  if (index == 0) {
    held_results_.assign(static_cast<std::size_t>(s_.threads), {});
    counters_[4] = 0;
  }
  barrier_.arrive_and_wait();
  data::Options options;
  options.max_length = s_.lengths[0];
  share(counters_[4], kHeldBatches, [&](int i) {
    data::Random random(static_cast<std::uint64_t>(1000 + i));
    data::Batch batch;
    std::size_t example = held_examples_.count() / kHeldBatches * static_cast<std::size_t>(i);
    while (held_examples_.append(example, random, options, s_.rows, batch)) ++example;
    held_results_[static_cast<std::size_t>(index)] +=
        workers_[static_cast<std::size_t>(index)]->run(batch, 0, false);
  });
  barrier_.arrive_and_wait();
  if (index != 0) return;
  Result r;
  for (const Result& x : held_results_) r += x;
  say("held out: mlm loss %.4f, right %.2f %% of %ld; next sentence loss %.4f, right %.2f %% of %ld\n",
      r.mlm_loss / static_cast<double>(r.masked),
      100.0 * static_cast<double>(r.mlm_right) / static_cast<double>(r.masked), r.masked,
      r.nsp_loss / static_cast<double>(r.pairs),
      100.0 * static_cast<double>(r.nsp_right) / static_cast<double>(r.pairs), r.pairs);
}

void Trainer::report() {
  const double tokens = static_cast<double>(tokens_ - reported_tokens_);
  const double processor = static_cast<double>(std::clock() - reported_clock_) / CLOCKS_PER_SEC;
  say("step %lu: %.1f M tokens (%.0f a second, %.0f a processor second), %.1f %% of the run, rate %.2e, mlm "
      "loss %.4f, next sentence "
      "loss %.4f, "
      "right %.1f %%\n",
      static_cast<unsigned long>(step_), static_cast<double>(tokens_) / 1e6, tokens / (now() - reported_),
      tokens / processor, 100 * progress(), rate_, recent_.mlm_loss / static_cast<double>(recent_.masked),
      recent_.nsp_loss / static_cast<double>(recent_.pairs),
      100.0 * static_cast<double>(recent_.nsp_right) / static_cast<double>(recent_.pairs));
  recent_ = {};
  mark();
}

// The next report's speed counts from here.
void Trainer::mark() {
  reported_ = now();
  reported_clock_ = std::clock();
  reported_tokens_ = tokens_;
}

// What a check against another implementation needs: weights, one batch, losses, and gradients in the order
// of the layout.
void Trainer::dump() {
  write_safetensors(s_.dump + "/model.safetensors");
  write_config();
  data::Random random(3);
  data::Batch batch;
  options_.max_length = longest_;
  shared_cursor_ = 0;
  batch = make_batch(random, shared_cursor_, options_);
  const float weight = 5.0f;
  const Result r = workers_[0]->run(batch, weight, true);
  std::ofstream file(s_.dump + "/batch.txt");
  file.precision(9);
  file << r.mlm_loss << ' ' << r.nsp_loss << ' ' << weight << '\n';
  for (const data::Sequence& s : batch.sequences) {
    file << s.length << ' ' << s.label;
    for (int i = s.row; i < s.row + s.length; ++i) {
      int target = -100;
      for (std::size_t k = 0; k < batch.masked_row.size(); ++k)
        if (batch.masked_row[k] == i) target = batch.masked_target[k];
      file << ' ' << batch.ids[i] << ' ' << batch.types[i] << ' ' << target;
    }
    file << '\n';
  }
  std::ofstream gradients(s_.dump + "/gradients.f32", std::ios::binary);
  for (const Tensor& t : weights_.layout.tensors)
    gradients.write(reinterpret_cast<const char*>(workers_[0]->gradients.get() + t.offset),
                    static_cast<std::streamsize>(4 * t.count));
  if (!file || !gradients) data::fail("cannot write to " + s_.dump);
}

void Trainer::work(int index) {
  products::begin_thread();
  Worker& worker = *workers_[static_cast<std::size_t>(index)];
  if (index == 0) {
    for (const Tensor& t : weights_.layout.tensors)
      for (std::size_t from = 0; from < t.count; from += 65536)
        pieces_.push_back({t.offset + from, t.offset + std::min(t.count, from + 65536), t.decays});
    for (network::PackedLinear* linear : weights_.linears())
      for (int from = 0; from < linear->out; from += 256) packs_.emplace_back(linear, from);
    plan_step();
    saved_ = now();
  }
  barrier_.arrive_and_wait();
  pack(3);
  barrier_.arrive_and_wait();
  if (!s_.dump.empty()) {
    if (index == 0) dump();
    return;
  }
  evaluate(index);
  if (index == 0) mark();
  while (true) {
    if (index == 0) plan_step();
    barrier_.arrive_and_wait();
    if (stop_) break;
    Result& result = results_[static_cast<std::size_t>(index)];
    share(counters_[0], batches_, [&](int i) {
      data::Random random(s_.seed * 0x9e3779b97f4a7c15u + step_ * 1009u + static_cast<std::uint64_t>(i));
      data::Options options = options_;
      options.max_length =
          lengths_[(step_ * static_cast<std::uint64_t>(batches_) + static_cast<std::uint64_t>(i)) %
                   lengths_.size()];
      const data::Batch batch = make_batch(random, shared_cursor_, options);
      long pairs = 0;
      for (const data::Sequence& s : batch.sequences) pairs += s.label >= 0;
      result += worker.run(
          batch, static_cast<float>(batch.masked_row.size()) / static_cast<float>(std::max(1L, pairs)), true);
    });
    barrier_.arrive_and_wait();
    double square = 0;
    share(counters_[1], static_cast<int>(pieces_.size()), [&](int i) {
      float* g = workers_[0]->gradients.get();
      const Piece& piece = pieces_[static_cast<std::size_t>(i)];
      for (int t = 1; t < s_.threads; ++t) {
        float* other = workers_[static_cast<std::size_t>(t)]->gradients.get();
        for (std::size_t j = piece.from; j < piece.to; ++j) {
          g[j] += other[j];
          other[j] = 0;
        }
      }
      float sum = 0;
      for (std::size_t j = piece.from; j < piece.to; ++j) sum += g[j] * g[j];
      square += sum;
    });
    square_ += square;
    barrier_.arrive_and_wait();
    Result total;
    for (const Result& r : results_) total += r;
    const double mean = 1.0 / static_cast<double>(total.masked), norm = std::sqrt(square_) * mean;
    if (!(norm < 1e6)) data::fail("the gradient is not finite at step " + std::to_string(step_));
    update(2, mean * std::min(1.0, 1.0 / (norm + 1e-6)));
    barrier_.arrive_and_wait();
    pack(3);
    barrier_.arrive_and_wait();
    if (index == 0) {
      ++step_;
      tokens_ += static_cast<std::uint64_t>(total.tokens);
      recent_ += total;
      cursor_ = shared_cursor_;
      if (cursor_ >= examples_.count()) {
        cursor_ = 0;
        examples_.shuffle(++pass_);
      }
      if (step_ % kReportEvery == 0) report();
      if (now() - saved_ > kSaveSeconds) save();
    }
    barrier_.arrive_and_wait();
    if (step_ % kEvaluateEvery == 0) {
      evaluate(index);
      if (index == 0) mark();
    }
  }
  if (index == 0) save();
  evaluate(index);
}

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = parse(argc, argv);
  if (const char* reason = products::unavailable()) data::fail(reason);
  for (int s : {SIGINT, SIGTERM}) std::signal(s, [](int) { interrupted = true; });
  Trainer(settings).run();
}
