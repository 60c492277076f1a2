// make_checkpoint: writes a model folder with seeded random weights, so that nobody needs a download to
// measure or test.
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "support/checkpoint_maker.h"
#include "support/test_files.h"

namespace {

constexpr std::string_view kUsage =
    R"(usage: make_checkpoint (--size SIZE | --models FILE [--model NAME]) --out DIR [options]
  --size SIZE      tiny (L2 H128), mini (L4 H256), small (L4 H512) or base (L12 H768); vocabulary 30,522
  --models FILE    the specs of tests/golden/models.json; without --model all of them, each in DIR/NAME
  --model NAME     the one to make, in DIR
  --seed N         of --size; default 1
  --dtype TYPE     of --size: F32 (default), F16 or BF16
  --shards N       of --size: number of safetensors files, default 1
  --vocab FILE     copied as vocab.txt instead of made-up words
Writes config.json, model.safetensors (or shards with their index), vocab.txt and tokenizer_config.json.
)";

struct Arguments {
  std::string size, models, model, out, vocab;
  std::string seed = "1", dtype = "F32", shards = "1";
};

/// 0, or the exit status after a message.
int usage_error(const std::string& message) {
  std::cerr << "make_checkpoint: " << message << "\n" << kUsage;
  return 2;
}

bool write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.close();
  if (!out) std::cerr << "make_checkpoint: cannot write " << path << "\n";
  return static_cast<bool>(out);
}

bool write_weights(const std::filesystem::path& path, const bert_test::MadeFile& file, std::uint64_t seed) {
  std::ofstream out(path, std::ios::binary);
  out.write(file.header.data(), static_cast<std::streamsize>(file.header.size()));
  for (const bert_test::MadeTensor& tensor : file.tensors) {
    const std::vector<std::byte> bytes = bert_test::tensor_bytes(tensor, seed);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  out.close();
  if (!out) std::cerr << "make_checkpoint: cannot write " << path << "\n";
  return static_cast<bool>(out);
}

bool write_folder(const bert_test::CheckpointSpec& spec, const std::filesystem::path& folder,
                  const std::string& vocab) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const bert_test::MadeCheckpoint made = bert_test::plan_checkpoint(spec);
  bool ok = write_file(folder / "config.json", made.config_json);
  ok = ok && write_file(folder / "vocab.txt",
                        vocab.empty() ? bert_test::make_vocabulary(spec.config.vocab_size) : vocab);
  ok = ok && write_file(folder / "tokenizer_config.json",
                        "{\n  \"do_lower_case\": true,\n  \"model_max_length\": " +
                            std::to_string(spec.config.max_position_embeddings) + "\n}\n");
  if (made.index_json) ok = ok && write_file(folder / "model.safetensors.index.json", *made.index_json);
  for (const bert_test::MadeFile& file : made.files)
    ok = ok && write_weights(folder / file.name, file, made.seed);
  return ok;
}

/// Fills `arguments`; the name of a wrong argument, or nothing.
std::optional<std::string> parse(int count, char** values, Arguments& arguments) {
  const std::initializer_list<std::pair<std::string_view, std::string*>> kOptions = {
      {"--size", &arguments.size},     {"--models", &arguments.models}, {"--model", &arguments.model},
      {"--out", &arguments.out},       {"--seed", &arguments.seed},     {"--dtype", &arguments.dtype},
      {"--shards", &arguments.shards}, {"--vocab", &arguments.vocab}};
  for (int i = 1; i < count; i += 2) {
    bool known = false;
    for (const auto& [name, target] : kOptions) {
      if (name != values[i] || i + 1 == count) continue;
      *target = values[i + 1];
      known = true;
    }
    if (!known) return values[i];
  }
  return std::nullopt;
}

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

int make_named(const Arguments& arguments, const std::string& vocab) {
  bert_test::CheckpointSpec spec;
  const auto config = bert_test::named_config(arguments.size);
  const auto seed = number(arguments.seed);
  const auto shards = number(arguments.shards);
  if (!config) return usage_error("no such size: " + arguments.size);
  if (!seed || !shards || *shards < 1 || *shards > 64)
    return usage_error("--seed and --shards (1 to 64) are numbers");
  spec.config = *config;
  spec.seed = *seed;
  spec.shards = static_cast<std::size_t>(*shards);
  if (arguments.dtype == "F16")
    spec.dtype = bert::DType::kF16;
  else if (arguments.dtype == "BF16")
    spec.dtype = bert::DType::kBF16;
  else if (arguments.dtype != "F32")
    return usage_error("no such type: " + arguments.dtype);
  return write_folder(spec, arguments.out, vocab) ? 0 : 1;
}

int make_listed(const Arguments& arguments, const std::string& vocab) {
  const auto text = bert_test::read_file(arguments.models);
  if (!text) return usage_error("cannot read " + arguments.models);
  const auto models = nlohmann::json::parse(*text, nullptr, false);
  if (!models.is_object()) return usage_error(arguments.models + " is not a JSON object");
  bool found = false;
  for (const auto& [name, json] : models.items()) {
    if (!arguments.model.empty() && name != arguments.model) continue;
    const auto spec = bert_test::parse_spec(json.dump());
    if (!spec) return usage_error("model " + name + " of " + arguments.models + " is not a spec");
    const std::filesystem::path out = arguments.out;
    if (!write_folder(*spec, arguments.model.empty() ? out / name : out, vocab)) return 1;
    found = true;
  }
  return found ? 0 : usage_error("no model " + arguments.model + " in " + arguments.models);
}

}  // namespace

int main(int count, char** values) {
  Arguments arguments;
  if (const auto wrong = parse(count, values, arguments)) return usage_error("cannot use " + *wrong);
  if (arguments.out.empty() || arguments.size.empty() == arguments.models.empty())
    return usage_error("--out and one of --size and --models are needed");
  std::string vocab;
  if (!arguments.vocab.empty()) {
    const auto text = bert_test::read_file(arguments.vocab);
    if (!text) return usage_error("cannot read " + arguments.vocab);
    vocab = *text;
  }
  return arguments.models.empty() ? make_named(arguments, vocab) : make_listed(arguments, vocab);
}
