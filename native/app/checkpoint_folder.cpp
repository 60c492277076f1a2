// Opens checkpoints.
#include "app/checkpoint_folder.h"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "app/model_folder.h"
#include "io/error_line.h"

namespace bert::cli {
namespace {

constexpr const char* kWeights = "/model.safetensors";
constexpr const char* kIndex = "/model.safetensors.index.json";

}  // namespace

tl::unexpected<Error> named(const std::string& path, const Error& error) {
  for (const std::string_view kind : {"config.json", "model.safetensors.index.json"}) {
    if (error.message.starts_with(kind))
      return fail(error.code, in_quotes(path) + error.message.substr(kind.size()));
  }
  return fail(error.code, in_quotes(path) + ": " + error.message);
}

Expected<ModelConfig> read_config(const std::string& path, std::string* text) {
  const Expected<MappedFile> file = MappedFile::open(path);
  if (!file) return tl::unexpected(file.error());
  Expected<ModelConfig> config = ModelConfig::parse(file->text());
  if (!config) return named(path, config.error());
  if (text) *text = file->text();
  return config;
}

bool has_weights(const std::string& folder) {
  return exists(folder + kWeights) || exists(folder + kIndex);
}

Expected<CheckpointFolder> open_checkpoint(const std::string& folder) {
  Expected<ModelConfig> config = read_config(folder + "/config.json");
  if (!config) return tl::unexpected(config.error());
  std::vector<std::string> paths;
  std::optional<ShardIndex> index;
  if (exists(folder + kWeights)) {
    paths = {folder + kWeights};
  } else if (exists(folder + kIndex)) {
    const Expected<MappedFile> file = MappedFile::open(folder + kIndex);
    if (!file) return tl::unexpected(file.error());
    Expected<ShardIndex> parsed = ShardIndex::parse(file->text());
    if (!parsed) return named(folder + kIndex, parsed.error());
    index = std::move(*parsed);
    for (const std::string& name : index->files) paths.emplace_back(folder).append("/").append(name);
  } else if (exists(folder + "/pytorch_model.bin")) {
    return fail(ErrorCode::kUnsupported, in_quotes(folder) + ": " + kPickleAdvice);
  } else {
    return fail(ErrorCode::kNotFound, "the folder " + in_quotes(folder) + " has no model.safetensors");
  }
  auto files = std::make_shared<MappedFiles>();
  std::vector<SafetensorsHeader> headers;
  std::uint64_t bytes = 0;
  for (const std::string& path : paths) {
    Expected<MappedFile> file = MappedFile::open(path);
    if (!file) return tl::unexpected(file.error());
    Expected<SafetensorsHeader> header = SafetensorsHeader::parse(file->bytes(), file->bytes().size());
    if (!header) return named(path, header.error());
    headers.push_back(std::move(*header));
    bytes += file->bytes().size();
    files->push_back(std::move(*file));
  }
  Expected<Checkpoint> checkpoint =
      Checkpoint::create(std::move(*config), std::move(headers), index ? &*index : nullptr);
  if (!checkpoint) return named(folder, checkpoint.error());
  return CheckpointFolder{std::move(*checkpoint), std::move(files), bytes};
}

Expected<BertWeights> bind_weights(const CheckpointFolder& folder) {
  std::vector<std::span<const std::byte>> files;
  files.reserve(folder.files->size());
  for (const MappedFile& file : *folder.files) files.push_back(file.bytes());
  Expected<BertWeights> weights = BertWeights::bind(folder.checkpoint, files);
  if (weights) weights->owner = folder.files;
  return weights;
}

void release_pages(std::span<const std::byte> bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t skipped = (page - reinterpret_cast<std::uintptr_t>(bytes.data()) % page) % page;
  if (bytes.size() < skipped + page) return;
  // only advice: the pages come back from the file should anyone read them again
  ::madvise(const_cast<std::byte*>(bytes.data() + skipped), (bytes.size() - skipped) / page * page,
            MADV_DONTNEED);
}

}  // namespace bert::cli
