// Looks for model folders and vocabularies.
#include "app/model_folder.h"

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "io/error_line.h"
#include "io/mapped_file.h"

namespace bert::cli {
namespace {

namespace fs = std::filesystem;

// The vocabulary that set-up makes.
std::string known_vocabulary_path() {
  const std::string cache = cache_folder();
  return cache.empty() ? cache : cache + "/vocab/bert-base-uncased.txt";
}

// The program's own folder, with links followed.
fs::path program_folder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

// Where the model that comes with bertlens may be: seen from build/native/bertlens, from bin/bertlens, and
// from wherever it was built.
std::optional<std::string> default_model_folder() {
  const fs::path here = program_folder();
  for (const fs::path& folder : {here / "../../models/default", here / "../share/bertlens/models/default",
                                 fs::path(BERTLENS_SOURCE_MODELS) / "default"}) {
    std::error_code error;
    if (fs::exists(folder / "config.json", error)) return fs::weakly_canonical(folder, error).string();
  }
  return std::nullopt;
}

// OWNER/NAME as `pull` keeps it, not the folder of all that OWNER has.
std::optional<std::string> pulled_folder(const std::string& name) {
  const std::string cache = cache_folder();
  if (cache.empty() || name.empty() || name.front() == '/' || name.find("..") != std::string::npos) return {};
  std::string folder = cache + "/models/" + name;
  return exists(folder + "/config.json") ? std::optional(folder) : std::nullopt;
}

Expected<std::string> checked_folder(const std::string& path, const std::string& origin) {
  if (is_folder(path)) return path;
  if (auto pulled = pulled_folder(path)) return *pulled;
  if (exists(path))
    return fail(ErrorCode::kInvalidArgument, origin + " " + in_quotes(path) + " is not a folder");
  const bool may_be_pulled = path.find('/') != std::string::npos && is_repository(path);
  return fail(ErrorCode::kNotFound, origin + " " + in_quotes(path) + ": there is no such folder" +
                                        (may_be_pulled ? "; where it is a model of the hub, `bertlens pull " +
                                                             one_line(path, 80) + "` fetches it"
                                                       : ""));
}

// The files of a tokenizer, which must stay mapped while it is loaded.
struct TokenizerSources {
  std::string place;  // the folder or the one file, for messages
  std::optional<MappedFile> vocab, tokenizer, config;

  // Messages of the library begin with the kind of file, e.g. "vocab.txt: ...": here with where it is.
  Error located(const Error& error) const {
    const std::size_t colon = error.message.find(": ");
    const std::string kind = error.message.substr(0, colon);
    if (colon == std::string::npos || kind.find(' ') != std::string::npos)
      return {error.code, in_quotes(place) + ": " + error.message};
    const std::string path = is_folder(place) ? place + "/" + kind : place;
    return {error.code, in_quotes(path) + error.message.substr(colon)};
  }
};

Status map_if_there(const std::string& path, std::optional<MappedFile>& file) {
  if (!exists(path)) return {};
  Expected<MappedFile> mapped = MappedFile::open(path);
  if (!mapped) return tl::unexpected(mapped.error());
  file.emplace(std::move(*mapped));
  return {};
}

Expected<TokenizerSources> sources_of_folder(const std::string& folder, bool asked_for = false) {
  TokenizerSources sources{.place = folder, .vocab = {}, .tokenizer = {}, .config = {}};
  for (const auto& [name, file] : {std::pair{"vocab.txt", &sources.vocab},
                                   {"tokenizer.json", &sources.tokenizer},
                                   {"tokenizer_config.json", &sources.config}}) {
    if (Status mapped = map_if_there(folder + "/" + name, *file); !mapped)
      return tl::unexpected(mapped.error());
  }
  if (sources.vocab || sources.tokenizer) return sources;
  if (!is_folder(folder)) return fail(ErrorCode::kNotFound, in_quotes(folder) + ": there is no such folder");
  const std::string lacks = in_quotes(folder) + " has neither vocab.txt nor tokenizer.json";
  if (asked_for) return fail(ErrorCode::kNotFound, "--vocab: the folder " + lacks);
  const bool own = default_model_folder() == folder;
  return fail(ErrorCode::kNotFound,
              "the folder " + lacks + "; " + (own ? "./run setup makes it" : "--vocab names one elsewhere"));
}

Expected<TokenizerSources> sources_of_path(const std::string& path) {
  if (is_folder(path)) return sources_of_folder(path, true);
  TokenizerSources sources{.place = path, .vocab = {}, .tokenizer = {}, .config = {}};
  Expected<MappedFile> file = MappedFile::open(path);
  if (!file) return tl::unexpected(Error{file.error().code, "--vocab " + file.error().message});
  (path.ends_with(".json") ? sources.tokenizer : sources.vocab).emplace(std::move(*file));
  return sources;
}

Expected<TokenizerSources> find_sources(const EngineOptions& options, bool bare) {
  if (!options.vocab.empty()) return sources_of_path(options.vocab);
  const char* variable = std::getenv("BERTLENS_MODEL");
  const bool model_named = !options.model.empty() || (variable && *variable);
  const std::string known = known_vocabulary_path();
  if (!model_named && bare && !default_model_folder() && exists(known)) return sources_of_path(known);
  const Expected<std::string> folder = find_model_folder(options);
  if (!folder) return tl::unexpected(folder.error());
  return sources_of_folder(*folder);
}

}  // namespace

bool is_repository(const std::string& name) {
  std::size_t slashes = 0, length = 0;
  for (const char c : name) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (c == '/' ? length == 0 || ++slashes > 1 : !plain && (c != '.' || length == 0)) return false;
    length = c == '/' ? 0 : length + 1;
  }
  return length > 0;
}

bool is_folder(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

Status remove_leftover(const std::string& path) {
  std::error_code error;
  const bool removed = fs::remove(path, error);
  if (error) return fail(ErrorCode::kIo, in_quotes(path) + ": " + error.message());
  if (removed) print_warning(in_quotes(path) + " of a model before was removed");
  return {};
}

Expected<std::string> find_model_folder(const EngineOptions& options) {
  if (!options.model.empty()) return checked_folder(options.model, "--model");
  if (const char* variable = std::getenv("BERTLENS_MODEL"); variable && *variable) {
    return checked_folder(variable, "BERTLENS_MODEL");
  }
  if (auto folder = default_model_folder()) return *folder;
  return fail(ErrorCode::kNotFound,
              "no model: models/default has none; --model DIR or BERTLENS_MODEL names "
              "one, and `bertlens pull google-bert/bert-base-uncased` fetches one");
}

Expected<std::shared_ptr<const Tokenizer>> load_tokenizer(const EngineOptions& options, bool bare) {
  const Expected<TokenizerSources> sources = find_sources(options, bare);
  if (!sources) return tl::unexpected(sources.error());
  TokenizerFiles files;
  if (sources->vocab) files.vocab_txt = sources->vocab->text();
  if (sources->tokenizer) files.tokenizer_json = sources->tokenizer->text();
  if (sources->config) files.tokenizer_config_json = sources->config->text();
  if (sources->vocab && files.vocab_txt.empty() && !sources->tokenizer) {
    return tl::unexpected(sources->located({ErrorCode::kInvalidModel, "vocab.txt: the file is empty"}));
  }
  Expected<Tokenizer> tokenizer = Tokenizer::load(files, options.tokenizer);
  if (!tokenizer) return tl::unexpected(sources->located(tokenizer.error()));
  return std::make_shared<const Tokenizer>(std::move(*tokenizer));
}

}  // namespace bert::cli
