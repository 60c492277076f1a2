// Reads a model's folder: config.json, the safetensors files (one or several), memory-mapped.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bert/model.h"
#include "bert/result.h"
#include "io/mapped_file.h"

namespace bert::cli {

/// The maps of a checkpoint's files; kept by whoever uses its bytes.
using MappedFiles = std::vector<MappedFile>;

/// An error of a parser, which knows the kind of its file alone ("config.json has no hidden_size"), with the
/// file's path, or the folder's, instead.
tl::unexpected<Error> named(const std::string& path, const Error& error);

/// config.json of a folder, and its text where `text` is given. Errors name the file.
Expected<ModelConfig> read_config(const std::string& path, std::string* text = nullptr);

/// A folder's checkpoint, headers checked, no weight read.
struct CheckpointFolder {
  Checkpoint checkpoint;
  std::shared_ptr<const MappedFiles> files;
  std::uint64_t bytes = 0;  ///< of all safetensors files
};
/// Errors: kNotFound without config.json or model.safetensors (or its shards); kUnsupported where there is
/// only pytorch_model.bin, saying what to do; those of the parsers, naming the file.
Expected<CheckpointFolder> open_checkpoint(const std::string& folder);

/// True where the folder holds weights in any form.
bool has_weights(const std::string& folder);

/// Typed views of all weights; the maps live as long as a copy of the result.
Expected<BertWeights> bind_weights(const CheckpointFolder& folder);

/// Gives whole pages of a memory map back once their bytes have been packed.
void release_pages(std::span<const std::byte> bytes);

/// What to say of a checkpoint in PyTorch's own format.
inline constexpr const char* kPickleAdvice =
    "pytorch_model.bin can run code when it is read, so bertlens takes safetensors only: save the model with "
    "save_pretrained(folder, safe_serialization=True) in transformers, or use a repository with "
    "model.safetensors";

}  // namespace bert::cli
