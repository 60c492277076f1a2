// Declares the shared options.
#include "app/options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iterator>
#include <limits>

#include "app/command.h"
#include "io/error_line.h"

namespace bert::cli {
namespace {

template <class Number>
bool parse_number(const std::string& text, Number& value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

}  // namespace

CLI::Validator whole_number(std::int64_t least, std::int64_t most) {
  const auto check = [least, most](std::string& text) -> std::string {
    const std::size_t sign = text.starts_with('-') ? 1 : 0;
    if (text.size() == sign || text.find_first_not_of("0123456789", sign) != std::string::npos)
      return in_quotes(text) + " is not a whole number";
    std::int64_t value = 0;
    if (parse_number(text, value) && value >= least && value <= most) {
      // CLI11 would take zeros in front for base 8
      text = std::to_string(value);
      return {};
    }
    const bool open_ended = most >= std::numeric_limits<std::int32_t>::max();
    const bool too_small = sign == 1 || (value > 0 && value < least) || text == "0";
    const std::string range = open_ended && too_small
                                  ? "at least " + std::to_string(least)
                                  : "from " + std::to_string(least) + " to " + std::to_string(most);
    return "must be " + range + ", got " + text;
  };
  return CLI::Validator(check, "", "whole_number");
}

CLI::Validator number_between(double least, double most) {
  const auto check = [least, most](std::string& text) -> std::string {
    double value = 0;
    if (!parse_number(text, value)) return in_quotes(text) + " is not a number";
    if (value >= least && value <= most) return {};
    char message[96];
    std::snprintf(message, sizeof message, "must be from %g to %g, got ", least, most);
    return message + in_quotes(text);
  };
  return CLI::Validator(check, "", "number");
}

std::vector<std::string> split_at_commas(const std::string& list) {
  std::vector<std::string> items;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    items.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return items;
}

std::vector<std::size_t> whole_numbers(const std::string& option, const std::string& list, std::int64_t least,
                                       std::int64_t most) {
  std::vector<std::size_t> numbers;
  for (std::string& item : split_at_commas(list)) {
    if (const std::string wrong = whole_number(least, most)(item); !wrong.empty())
      throw CLI::ValidationError(option, wrong);
    std::from_chars(item.data(), item.data() + item.size(), numbers.emplace_back());
  }
  return numbers;
}

CLI::Validator not_empty() {
  return CLI::Validator([](std::string& text) { return std::string(text.empty() ? "is empty" : ""); }, "",
                        "not_empty");
}

void add_engine_options(CLI::App& app, EngineOptions& options, const EngineUse& use) {
  const std::string group = "Model";
  const auto help = [](bool used, const std::string& text) {
    return used ? text : std::string("as for other commands; without effect here");
  };
  app.add_option("--model", options.model,
                 help(use.model,
                      "folder of the model (config.json, safetensors, vocabulary), or OWNER/NAME as pull "
                      "fetched it; default: $BERTLENS_MODEL, else the model that comes with bertlens"))
      ->type_name("DIR")
      ->check(not_empty())
      ->group(group);
  app.add_option(
         "--vocab", options.vocab,
         help(use.vocabulary, "vocab.txt, tokenizer.json or a folder with one, instead of the model's"))
      ->type_name("PATH")
      ->check(not_empty())
      ->group(group);
  add_choice<std::string>(
      app, "--backend", options.backend,
      {{"xnnpack", "xnnpack"}, {"reference", "reference"}, {"cuda", "cuda"}},
      help(use.backend, std::string("xnnpack: fast (default); reference: plain loops, the definition; ") +
                            "cuda: " + (kHasCuda ? "an NVIDIA GPU" : "not in this build")))
      ->group(group);
  options.threads = usable_cores();
  app.add_option("--threads", options.threads,
                 help(use.threads,
                      std::string("threads; ") +
                          (kHasCuda ? "with --backend cuda up to 8 that read, tokenize and write; " : "") +
                          "default: the cores available (here " + std::to_string(options.threads) + ")"))
      ->type_name("N")
      ->transform(whole_number(1, 1024))
      ->group(group);
  add_choice<Precision>(
      app, "--precision", options.precision,
      {{"f32", Precision::kF32}, {"f16", Precision::kF16}, {"int8", Precision::kInt8}},
      help(use.precision, "how to keep the weights and compute; default: as the model is stored"))
      ->group(group);
  // none of them is worth a line of help where no text is read
  const std::string normaliser = use.vocabulary ? "Normaliser" : "";
  const auto add_switch = [&](const std::string& name, std::optional<bool>& target, const std::string& what) {
    add_choice<bool>(app, name, target, {{"true", true}, {"false", false}}, what)->group(normaliser);
  };
  add_switch("--do-lower-case", options.tokenizer.lowercase, "lower case; default: as the model says");
  add_switch("--strip-accents", options.tokenizer.strip_accents, "drop accents; default: as lower case");
  add_switch("--tokenize-chinese-chars", options.tokenizer.tokenize_chinese_chars,
             "every CJK ideograph is a word; default: true");
  add_switch("--clean-text", options.tokenizer.clean_text, "drop control characters; default: true");
}

void add_format_options(CLI::App& app, FormatOptions& options, JsonLines lines) {
  const std::string group = "Output";
  app.add_flag("--json", options.json,
               std::string("one JSON value") +
                   (lines == JsonLines::kStream ? "; a list where several texts have an answer each" : ""))
      ->group(group);
  app.add_flag("--csv", options.csv, "comma-separated values with a header")->group(group);
  app.add_flag("--md", options.markdown, "a Markdown table alone")->group(group);
  std::vector<std::string> names = {"--json", "--csv", "--md"};
  if (lines != JsonLines::kNone) {
    app.add_flag("--jsonl", options.json_lines,
                 lines == JsonLines::kStream ? "a stream: one JSON object a line in, one out, in order"
                                             : "one JSON object a line")
        ->group(group);
    names.emplace_back("--jsonl");
  }
  app.parse_complete_callback([&app, names] {
    std::vector<std::string> given;
    std::copy_if(names.begin(), names.end(), std::back_inserter(given),
                 [&](const std::string& name) { return app.count(name) > 0; });
    if (given.size() > 1) usage_error(given[0] + " and " + given[1] + " exclude each other");
  });
}

void add_input_options(CLI::App& app, InputOptions& options, const std::string& what, const std::string& help,
                       bool lines) {
  app.add_option("texts", options.texts, help)->type_name(what)->option_text(what + " ...");
  app.add_option("--file", options.file,
                 std::string("read from this file, a text ") + (lines ? "(with --jsonl: an object) " : "") +
                     "a line; - is standard input, which is also read when no text is given")
      ->type_name("PATH")
      ->check(not_empty())
      ->group("Input");
  if (!lines) return;
  app.add_option(
         "--batch", options.batch,
         std::string(
             "with --jsonl: at most so many lines are computed and answered together; fewer when no more are "
             "there yet; default: 256") +
             (kHasCuda ? ", for tasks with --backend cuda 512" : ""))
      ->type_name("N")
      ->transform(whole_number(1, 1 << 20))
      ->group("Input");
}

void add_truncation_options(CLI::App& app, TruncationOptions& options) {
  const std::string group = "Tokens";
  add_choice<Truncation>(app, "--truncation", options.truncation,
                         {{"none", Truncation::kNone},
                          {"longest_first", Truncation::kLongestFirst},
                          {"only_first", Truncation::kOnlyFirst},
                          {"only_second", Truncation::kOnlySecond}},
                         "which text is cut when there are more than --max-length tokens")
      ->group(group);
  app.add_option("--max-length", options.max_length,
                 "tokens per row, special ones included; default: the model's "
                 "maximum")
      ->type_name("N")
      ->transform(whole_number(0, std::numeric_limits<std::int32_t>::max()))
      ->group(group);
  app.add_flag("--untrusted", options.untrusted, "read [MASK], [SEP] ... in texts as plain characters")
      ->group(group);
}

EncodeOptions encode_options(const TruncationOptions& options) {
  EncodeOptions encoding;
  encoding.truncation = options.truncation;
  encoding.max_length = options.max_length;
  encoding.recognize_special_tokens = !options.untrusted;
  return encoding;
}

void warn_of_implied_truncation() {
  print_warning("--max-length without --truncation truncates longest_first");
}

std::string cache_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (std::string own = variable("BERTLENS_CACHE"); !own.empty()) return own;
  if (const std::string shared = variable("XDG_CACHE_HOME"); !shared.empty()) return shared + "/bertlens";
  if (const std::string home = variable("HOME"); !home.empty()) return home + "/.cache/bertlens";
  return {};
}

}  // namespace bert::cli
