// `bertlens quantize`: a model's folder with its weights as int8 or f16, which loads like the original.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

#include "app/answer.h"
#include "app/checkpoint_folder.h"
#include "app/command.h"
#include "app/model_folder.h"
#include "app/options.h"
#include "io/error_line.h"
#include "io/json_writer.h"
#include "io/progress.h"
#include "io/table.h"

namespace bert::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  EngineOptions engine;
  FormatOptions output;
  std::string out;
};

tl::unexpected<Error> system_error(const std::string& path, int error) {
  return fail(ErrorCode::kIo, in_quotes(path) + ": " + std::strerror(error));
}

// The file that a signal which ends the program takes with it; nullptr: none. Half a model helps nobody, and
// no later call goes on with it.
std::atomic<const char*> unfinished{nullptr};
static_assert(std::atomic<const char*>::is_always_lock_free, "a signal handler reads it");

extern "C" void remove_unfinished(int signal) {
  if (const char* const path = unfinished) ::unlink(path);
  // by its default the signal then ends the program, as the parent expects of it
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

// Signals that are ignored, as nohup has it, stay so.
void remove_on_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (std::signal(signal, remove_unfinished) == SIG_IGN) std::signal(signal, SIG_IGN);
  }
}

// A file that appears under its name only once it is whole.
class NewFile {
 public:
  explicit NewFile(std::string path) : path_(std::move(path)), part_(path_ + ".part") {}
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (fd_ >= 0) ::close(fd_);
    if (made_) ::unlink(part_.c_str());
    unfinished = nullptr;
  }

  Status create() {
    unfinished = part_.c_str();
    remove_on_signals();
    fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    made_ = fd_ >= 0;
    return made_ ? Status() : system_error(part_, errno);
  }
  Status write(std::uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t wrote = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return system_error(part_, errno);
      offset += static_cast<std::uint64_t>(wrote);
      bytes = bytes.subspan(static_cast<std::size_t>(wrote));
    }
    return {};
  }
  Status finish() {
    const int closed = ::fsync(fd_) == 0 ? ::close(fd_) : -1;
    fd_ = -1;
    if (closed != 0 || ::rename(part_.c_str(), path_.c_str()) != 0) return system_error(path_, errno);
    made_ = false;
    return {};
  }

 private:
  std::string path_, part_;
  int fd_ = -1;
  bool made_ = false;
};

Status write_weights(const CheckpointFolder& source, const QuantizePlan& plan, const std::string& path) {
  const Expected<BertWeights> weights = bind_weights(source);
  if (!weights) return tl::unexpected(weights.error());
  NewFile file(path);
  if (Status made = file.create(); !made) return made;
  if (Status wrote = file.write(0, plan.header()); !wrote) return wrote;
  Progress progress("quantizing", Progress::Unit::kCount, true);
  std::size_t done = 0;
  const std::size_t total = source.checkpoint.modules().size();
  const Status visited = visit_modules(
      *weights,
      [&](ModuleId id, const ModuleView& module) -> Expected<BytesUse> {
        const Status wrote =
            plan.write(id, module, [&](std::uint64_t offset, std::span<const std::byte> bytes) {
              return file.write(offset, bytes);
            });
        if (!wrote) return tl::unexpected(wrote.error());
        progress.update(++done, total);
        return BytesUse::kCopied;
      },
      release_pages);
  if (!visited) return visited;
  return file.finish();
}

// Everything beside the weights that other programs look for. What the source lacks goes from the target:
// left from a model before, it would be taken for this one's.
Status copy_small_files(const std::string& from, const std::string& to) {
  for (const char* name : {"config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json",
                           "special_tokens_map.json", "added_tokens.json"}) {
    std::error_code error;
    if (!fs::exists(from + "/" + name, error)) {
      if (Status removed = remove_leftover(to + "/" + name); !removed) return removed;
      continue;
    }
    fs::copy_file(from + "/" + name, to + "/" + name, fs::copy_options::overwrite_existing, error);
    if (error) {
      return fail(ErrorCode::kIo, in_quotes(from + "/" + name) + " cannot be copied to " +
                                      in_quotes(to + "/" + name) + ": " + error.message());
    }
  }
  return {};
}

Expected<int> run(const Options& options) {
  const Precision precision = options.engine.precision.value_or(Precision::kInt8);
  if (precision == Precision::kF32) usage_error("--precision f32: quantize makes int8 or f16");
  const Expected<std::string> folder = find_model_folder(options.engine);
  if (!folder) return tl::unexpected(folder.error());
  const Expected<CheckpointFolder> source = open_checkpoint(*folder);
  if (!source) return tl::unexpected(source.error());
  std::error_code error;
  if (fs::exists(options.out, error) && !fs::is_directory(options.out, error)) {
    return fail(ErrorCode::kInvalidArgument, "--out " + in_quotes(options.out) + " is not a folder");
  }
  if (fs::equivalent(options.out, *folder, error)) {
    return fail(ErrorCode::kInvalidArgument,
                "--out " + in_quotes(options.out) + " is the model's own folder");
  }
  const Storage storage = precision == Precision::kInt8 ? Storage::kInt8 : Storage::kF16;
  const Expected<QuantizePlan> plan = QuantizePlan::create(source->checkpoint, storage);
  if (!plan) return tl::unexpected(plan.error());
  fs::create_directories(options.out, error);
  if (error) return fail(ErrorCode::kIo, "--out " + in_quotes(options.out) + ": " + error.message());
  if (Status wrote = write_weights(*source, *plan, options.out + "/model.safetensors"); !wrote) {
    return tl::unexpected(of_model(*folder, wrote.error()));
  }
  if (Status copied = copy_small_files(*folder, options.out); !copied) return tl::unexpected(copied.error());
  // an index of shards left from before would hide the new file from other programs
  if (Status removed = remove_leftover(options.out + "/model.safetensors.index.json"); !removed)
    return tl::unexpected(removed.error());

  Output out(1, "standard output");
  const auto megabytes = [](std::uint64_t bytes) {
    return fixed(static_cast<double>(bytes) / 1e6, 1) + " MB";
  };
  const auto write = [&](JsonWriter& json) {
    json.begin_object().key("out").string(options.out).key("precision").string(precision_name(precision));
    json.key("bytes").number(plan->file_bytes()).key("source_bytes").number(source->bytes).end_object();
  };
  const auto table = [&] {
    Table one({{"out", Align::kLeft},
               {"precision", Align::kLeft},
               {"bytes", Align::kRight},
               {"source_bytes", Align::kRight}});
    one.add({options.out, std::string(precision_name(precision)), std::to_string(plan->file_bytes()),
             std::to_string(source->bytes)});
    return one;
  };
  const auto report = [&] {
    out.line(options.out + ": " + std::string(precision_name(precision)) + ", " +
             megabytes(plan->file_bytes()) + " (before: " +
             std::string(dtype_name(source->checkpoint.storage())) + ", " + megabytes(source->bytes) + ")");
  };
  return print_answer(out, options.output.format(), {.json = write, .table = table, .report = report});
}

}  // namespace

Action define_quantize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--out", options->out, "folder to write; made if it is not there")
      ->type_name("DIR")
      ->check(not_empty())
      ->required();
  add_format_options(app, options->output, JsonLines::kOutput);
  add_engine_options(app, options->engine, {.vocabulary = false, .backend = false, .threads = false});
  app.footer(
      "int8 (the default here) keeps a quarter of the bytes: every matrix per output channel, embeddings per "
      "row. f16 keeps\n"
      "half. The result is an ordinary model folder.\n"
      "\n"
      "examples\n"
      "  bertlens quantize --model bert-base-uncased --out bert-int8 --precision int8\n"
      "  bertlens fill-mask --model bert-int8 \"The capital of France is [MASK].\"");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
