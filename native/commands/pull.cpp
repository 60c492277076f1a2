// `bertlens pull`: fetches a checkpoint from the Hugging Face hub, or from a mirror of it.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "app/answer.h"
#include "app/checkpoint_folder.h"
#include "app/command.h"
#include "app/model_folder.h"
#include "app/options.h"
#include "io/download.h"
#include "io/error_line.h"
#include "io/json_writer.h"
#include "io/table.h"

namespace bert::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHub = "https://huggingface.co";

struct Options {
  EngineOptions engine;
  FormatOptions output;
  std::string name;
  std::string out;
  std::string revision = "main";
  std::string hub;
  std::string token;
  int tries = 5;
};

/// What HF_TOKEN, the variable of the hub's own tools, holds: repositories that are not open to all want it.
/// It is shown to no hub where others could read it on the way.
std::string token_for(const std::string& hub) {
  const char* variable = std::getenv("HF_TOKEN");
  const std::string token = variable ? variable : "";
  if (std::any_of(token.begin(), token.end(), [](unsigned char c) { return c <= ' ' || c > '~'; }))
    usage_error("HF_TOKEN is not a token: it holds a blank or another character that none has");
  const auto is_at = [&hub](std::string_view host) {
    return hub.starts_with(host) &&
           (hub.size() == host.size() || hub[host.size()] == ':' || hub[host.size()] == '/');
  };
  // (a name before an @ is no host)
  const bool here = hub.find('@') == std::string::npos &&
                    (is_at("http://127.0.0.1") || is_at("http://localhost") || is_at("http://[::1]"));
  return here || hub.starts_with("https://") ? token : "";
}

// One pull: where from, where to, and what came.
class Pull {
 public:
  Pull(Downloader downloader, std::string base, std::string folder)
      : downloader_(std::move(downloader)), base_(std::move(base)), folder_(std::move(folder)) {}

  /// Fetches a file that need not be there; true if it is.
  Expected<bool> optional(const std::string& name) {
    const Expected<Fetched> fetched =
        downloader_.fetch(base_ + percent_encoded(name), folder_ + "/" + name, name);
    if (!fetched) return tl::unexpected(fetched.error());
    if (*fetched == Fetched::kMissing) {
      absent_.push_back(name);
      return false;
    }
    files_.push_back(name);
    return true;
  }
  Status required(const std::string& name) {
    const Expected<bool> there = optional(name);
    if (!there) return tl::unexpected(there.error());
    if (!*there)
      return fail(ErrorCode::kNotFound, in_quotes(base_ + name) + ": there is no such file (HTTP 404)");
    return {};
  }

  Status vocabulary() {
    bool any = false;
    for (const char* name : {"tokenizer_config.json", "vocab.txt", "tokenizer.json"}) {
      const Expected<bool> there = optional(name);
      if (!there) return tl::unexpected(there.error());
      any |= *there && std::string_view(name) != "tokenizer_config.json";
    }
    if (!any)
      return fail(ErrorCode::kNotFound, in_quotes(base_) + " has neither vocab.txt nor tokenizer.json");
    return {};
  }

  Status weights() {
    const Expected<bool> whole = optional("model.safetensors");
    if (!whole) return tl::unexpected(whole.error());
    if (*whole) {
      absent_.emplace_back("model.safetensors.index.json");  // of the shards of a model before
      return {};
    }
    const Expected<bool> sharded = optional("model.safetensors.index.json");
    if (!sharded) return tl::unexpected(sharded.error());
    if (!*sharded) {
      const Expected<bool> pickle = downloader_.exists(base_ + "pytorch_model.bin");
      if (!pickle) return tl::unexpected(pickle.error());
      if (*pickle) return fail(ErrorCode::kUnsupported, kPickleAdvice);
      return fail(ErrorCode::kNotFound, in_quotes(base_) + " has no model.safetensors");
    }
    const std::string path = folder_ + "/model.safetensors.index.json";
    const Expected<MappedFile> file = MappedFile::open(path);
    if (!file) return tl::unexpected(file.error());
    const Expected<ShardIndex> index = ShardIndex::parse(file->text());
    if (!index) return named(path, index.error());
    for (const std::string& shard : index->files) {
      if (Status fetched = required(shard); !fetched) return fetched;
    }
    return {};
  }

  /// Once all has come: removes what this model does not have. Left from a model before, it would be taken
  /// for this one's.
  Status remove_absent() const {
    for (const std::string& name : absent_) {
      if (Status removed = remove_leftover(folder_ + "/" + name); !removed) return removed;
    }
    return {};
  }

  const std::vector<std::string>& files() const { return files_; }

 private:
  Downloader downloader_;
  std::string base_, folder_;
  std::vector<std::string> files_, absent_;
};

Expected<int> pull_into(const Options& options, const std::string& folder) {
  Expected<Downloader> downloader = Downloader::create(options.tries, options.token);
  if (!downloader) return tl::unexpected(downloader.error());
  Pull pull(std::move(*downloader),
            options.hub + "/" + options.name + "/resolve/" + percent_encoded(options.revision) + "/", folder);
  if (Status fetched = pull.required("config.json"); !fetched) return tl::unexpected(fetched.error());
  // a model that is no BERT is found out before its weights come
  if (const Expected<ModelConfig> config = read_config(folder + "/config.json"); !config) {
    return tl::unexpected(config.error());
  }
  if (Status fetched = pull.vocabulary(); !fetched) return tl::unexpected(fetched.error());
  if (Status fetched = pull.weights(); !fetched) return tl::unexpected(fetched.error());
  if (Status removed = pull.remove_absent(); !removed) return tl::unexpected(removed.error());
  const Expected<CheckpointFolder> checkpoint = open_checkpoint(folder);
  if (!checkpoint) return tl::unexpected(checkpoint.error());

  Output out(1, "standard output");
  const auto write = [&](JsonWriter& json) {
    json.begin_object().key("out").string(folder).key("files").strings(pull.files());
    json.key("bytes").number(checkpoint->bytes);
    json.key("parameters").number(parameter_table(checkpoint->checkpoint.config()).total).end_object();
  };
  const auto table = [&] {
    Table files({{"file", Align::kLeft}, {"bytes", Align::kRight}});
    for (const std::string& name : pull.files()) {
      std::error_code error;
      const fs::path path = fs::path(folder) / name;
      files.add({path.string(), std::to_string(fs::file_size(path, error))});
    }
    return files;
  };
  return print_answer(out, options.output.format(),
                      {.json = write, .table = table, .report = [&] { out.line(folder); }});
}

Expected<int> run(Options& options) {
  if (!is_repository(options.name)) {
    usage_error(in_quotes(options.name) +
                " is not the name of a repository; it looks like google-bert/bert-base-uncased");
  }
  if (options.hub.empty()) {
    const char* variable = std::getenv("BERTLENS_HUB");
    options.hub = variable && *variable ? variable : kHub;
  }
  const std::size_t scheme = options.hub.starts_with("http://")    ? 7
                             : options.hub.starts_with("https://") ? 8
                                                                   : std::string::npos;
  if (options.hub.find_first_not_of('/', scheme) == std::string::npos) {
    usage_error("--hub: " + in_quotes(options.hub) +
                " is not an address that starts with https:// or http://");
  }
  while (options.hub.ends_with('/')) options.hub.pop_back();
  options.token = token_for(options.hub);
  std::string folder = options.out;
  if (folder.empty()) {
    const std::string cache = cache_folder();
    if (cache.empty())
      return fail(ErrorCode::kNotFound, "there is no cache folder (HOME is not set): --out names one");
    folder = cache + "/models/" + options.name;
  }
  std::error_code error;
  std::vector<fs::path> made;  // the folder and those it lies in
  for (fs::path path = folder; !path.empty() && !fs::exists(path, error); path = path.parent_path())
    made.push_back(path);
  fs::create_directories(folder, error);
  if (error) return fail(ErrorCode::kIo, in_quotes(folder) + ": " + error.message());
  const Expected<int> done = pull_into(options, folder);
  // where nothing came, as for a name that is misspelt, no folder is left that would pass for a model
  for (const fs::path& path : made) {
    if (!done) fs::remove(path, error);  // an empty one
  }
  return done;
}

}  // namespace

Action define_pull(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("name", options->name, "the repository")->type_name("OWNER/NAME")->required();
  app.add_option("--out", options->out,
                 "folder to fetch into; default: models/OWNER/NAME in the cache folder, where "
                 "--model OWNER/NAME finds it")
      ->type_name("DIR")
      ->check(not_empty());
  app.add_option("--revision", options->revision, "branch, tag or commit; default: main")
      ->type_name("NAME")
      ->check(not_empty());
  app.add_option("--hub", options->hub,
                 "address of the hub or a mirror; default: $BERTLENS_HUB, else " + std::string(kHub))
      ->type_name("URL")
      ->check(not_empty());
  app.add_option("--tries", options->tries, "failures in a row before it gives up; default: 5")
      ->type_name("N")
      ->transform(whole_number(1, 1000));
  add_format_options(app, options->output, JsonLines::kOutput);
  add_engine_options(
      app, options->engine,
      {.model = false, .vocabulary = false, .backend = false, .threads = false, .precision = false});
  app.footer(
      "Fetches config.json, the vocabulary and the safetensors files. A download that was cut off goes on "
      "where it\n"
      "stopped when the command is given again; each file's hash is checked where the hub names it. A "
      "repository that is\n"
      "not open to all wants a token of the hub in the variable HF_TOKEN.\n"
      "\n"
      "examples\n"
      "  bertlens pull google-bert/bert-base-uncased\n"
      "  bertlens fill-mask --model google-bert/bert-base-uncased \"The capital of France is [MASK].\"\n"
      "  bertlens pull google-bert/bert-base-uncased --out bert-base-uncased --hub https://mirror.example");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
