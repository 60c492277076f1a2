// Finds the model and its vocabulary on this machine and loads them.
#pragma once

#include <memory>
#include <string>

#include "app/options.h"
#include "bert/result.h"
#include "bert/tokenizer.h"

namespace bert::cli {

/// The folder of the model: --model (a folder, or the OWNER/NAME of one that `pull` fetched), else
/// $BERTLENS_MODEL, else the model that comes with bertlens: the folder with a config.json under models/ of
/// the source tree or under share/bertlens/models of the installation. Errors: kNotFound, naming what was
/// asked for.
Expected<std::string> find_model_folder(const EngineOptions& options);

/// Loads the vocabulary: --vocab, else the files of the model's folder (tokenizer.json, vocab.txt,
/// tokenizer_config.json). With `bare`, bert-base-uncased's vocabulary in the project's cache serves as long
/// as there is no model at all.
Expected<std::shared_ptr<const Tokenizer>> load_tokenizer(const EngineOptions& options, bool bare = true);

/// OWNER/NAME of the hub (or an old model's NAME alone) that is safe in an address and as a folder.
bool is_repository(const std::string& name);

/// True where `path` is a folder.
bool is_folder(const std::string& path);
/// True where anything is at `path`.
bool exists(const std::string& path);

/// Removes a file that a model before left in a folder, and would be taken for the new one's; says so on
/// standard error. What is not there is no error. Errors: kIo.
Status remove_leftover(const std::string& path);

}  // namespace bert::cli
