// Options that many commands share, and the output formats.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "bert/backend.h"
#include "bert/tokenizer.h"

namespace bert::cli {

/// Whether this build has --backend cuda.
#ifdef BERTLENS_CUDA
inline constexpr bool kHasCuda = true;
#else
inline constexpr bool kHasCuda = false;
#endif

/// Where the model is and how to run it. Every command takes these; what has no use for one ignores it.
struct EngineOptions {
  std::string model;  ///< empty: BERTLENS_MODEL, else the default model
  std::string vocab;  ///< a vocab.txt, tokenizer.json or folder; empty: the model's own
  TokenizerOptions tokenizer;
  std::string backend = "xnnpack";
  std::size_t threads = 0;             ///< never 0 once parsed
  std::optional<Precision> precision;  ///< unset: as the model is stored
};
/// Which of them a command has a use for; the help says so.
struct EngineUse {
  bool model = true, vocabulary = true, backend = true, threads = true, precision = true;
};
void add_engine_options(CLI::App& app, EngineOptions& options, const EngineUse& use = {});

enum class Format { kText, kJson, kCsv, kMarkdown, kJsonLines };

struct FormatOptions {
  bool json = false, csv = false, markdown = false, json_lines = false;
  Format format() const {
    return json_lines ? Format::kJsonLines
           : json     ? Format::kJson
           : csv      ? Format::kCsv
           : markdown ? Format::kMarkdown
                      : Format::kText;
  }
};
/// What a command does with --jsonl.
enum class JsonLines {
  kNone,    ///< it has no such option
  kStream,  ///< reads lines and answers each
  kOutput,  ///< reads nothing, so that only the answer is in lines
};
/// --json, --csv, --md, and --jsonl; at most one of them may be given.
void add_format_options(CLI::App& app, FormatOptions& options, JsonLines lines = JsonLines::kStream);

/// Texts as arguments, from a file or from standard input.
struct InputOptions {
  std::vector<std::string> texts;
  std::string file;       ///< "-" or empty: standard input
  std::size_t batch = 0;  ///< 0: not given
};
/// `what` names the positional arguments, e.g. "TEXT"; `help` says what they are. `lines`: the command has
/// --jsonl.
void add_input_options(CLI::App& app, InputOptions& options, const std::string& what, const std::string& help,
                       bool lines = true);

/// How texts become tokens, beside padding.
struct TruncationOptions {
  std::optional<Truncation> truncation;
  std::optional<std::uint32_t> max_length;
  bool untrusted = false;
};
void add_truncation_options(CLI::App& app, TruncationOptions& options);
EncodeOptions encode_options(const TruncationOptions& options);
/// Says on standard error that --max-length alone has let texts be cut, as encodings with
/// `truncation_implied` tell. After the answers, because an error stands there alone.
void warn_of_implied_truncation();

/// A whole number in base 10 from `least` to `most`, with a message that says so. It is for `transform`, not
/// for `check`: it takes zeros in front away.
CLI::Validator whole_number(std::int64_t least, std::int64_t most);
/// What stands between the commas of an option: one text more than commas.
std::vector<std::string> split_at_commas(const std::string& list);
/// The whole numbers of such a list, each from `least` to `most`; else a usage error of `option` (thrown).
std::vector<std::size_t> whole_numbers(const std::string& option, const std::string& list, std::int64_t least,
                                       std::int64_t most);
/// A check that refuses an empty value, which a shell gives for a variable that is not set.
CLI::Validator not_empty();
/// A number from `least` to `most`, likewise.
CLI::Validator number_between(double least, double most);

/// An option that takes one of a few names and stores what the name stands for.
template <class T, class Target>
CLI::Option* add_choice(CLI::App& app, const std::string& name, Target& target,
                        const std::vector<std::pair<std::string, T>>& choices, const std::string& help) {
  std::string names;
  for (const auto& choice : choices) names += (names.empty() ? "" : "|") + choice.first;
  const auto set = [&target, choices, names, name](const std::string& value) {
    for (const auto& choice : choices) {
      if (choice.first == value) {
        target = choice.second;
        return;
      }
    }
    throw CLI::ValidationError(name, "'" + value + "' is not one of " + names);
  };
  return app.add_option_function<std::string>(name, set, help)->type_name(names);
}

/// Where the project's cache is: $BERTLENS_CACHE, else bertlens in the user's cache folder; empty if unknown.
std::string cache_folder();

}  // namespace bert::cli
