// `bertlens vocab`: the vocabulary. Without a search it prints the reports of the notebook's cells 3 and 4.
#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "app/answer.h"
#include "app/command.h"
#include "app/encoding_output.h"
#include "app/model_folder.h"
#include "app/options.h"
#include "io/error_line.h"
#include "io/table.h"

namespace bert::cli {
namespace {

struct Options {
  EngineOptions engine;
  FormatOptions output;
  std::string find, script;
  std::optional<VocabularyFacet> facet;
  std::optional<std::size_t> limit;
  std::size_t offset = 0;
  std::vector<std::int32_t> ids;
};

// The numbers of --id.
std::vector<std::int32_t> read_ids(const std::string& text) {
  std::vector<std::int32_t> ids;
  for (const std::size_t id : whole_numbers("--id", text, 0, std::numeric_limits<std::int32_t>::max()))
    ids.push_back(static_cast<std::int32_t>(id));
  return ids;
}

Expected<VocabularyMatches> find_entries(const Options& options, const Tokenizer& tokenizer) {
  if (options.ids.empty()) {
    return tokenizer.find({.text = options.find,
                           .facet = options.facet.value_or(VocabularyFacet::kAll),
                           .script = options.script,
                           .offset = options.offset,
                           .limit = options.limit.value_or(0)});
  }
  for (const std::int32_t id : options.ids) {
    if (!tokenizer.id_to_token(id)) {
      usage_error("--id: no token has the id " + std::to_string(id) + "; there are " +
                  std::to_string(tokenizer.vocab_size()) + " entries, from 0");
    }
  }
  return VocabularyMatches{options.ids, options.ids.size()};
}

// Cells 3 and 4.
Status print_overview(Output& out, const Tokenizer& tokenizer) {
  std::vector<std::string> special;
  special.reserve(tokenizer.special_tokens().size());
  for (const SpecialToken& token : tokenizer.special_tokens()) special.push_back(token.content);
  out.line("Max length: " + std::to_string(tokenizer.settings().model_max_length));
  out.line("Vocab size: " + std::to_string(tokenizer.vocab_size()));
  out.line("Special tokens: " + python_list(special));
  for (const SpecialToken& token : tokenizer.special_tokens()) {
    out.line(printable(token.content) + " -> " + std::to_string(token.id));
  }
  const Expected<VocabularyMatches> unused =
      tokenizer.find({.text = {}, .facet = VocabularyFacet::kUnused, .script = {}});
  if (!unused) return tl::unexpected(unused.error());
  const std::span<const std::int32_t> ids(unused->ids);
  const std::size_t shown = std::min<std::size_t>(10, ids.size());
  out.line();
  out.line("[unused] tokens: " + std::to_string(ids.size()));
  if (shown == 0) return {};
  out.line("First " + std::to_string(shown) +
           " [unused] tokens: " + python_list(token_strings(tokenizer, ids.first(shown))));
  out.line("Last " + std::to_string(shown) +
           " [unused] tokens: " + python_list(token_strings(tokenizer, ids.last(shown))));
  return {};
}

Expected<int> run(const Options& options) {
  const Expected<std::shared_ptr<const Tokenizer>> loaded = load_tokenizer(options.engine);
  if (!loaded) return tl::unexpected(loaded.error());
  const Tokenizer& tokenizer = **loaded;
  Output out(1, "standard output");
  const bool search = !options.find.empty() || !options.script.empty() || options.facet || options.limit ||
                      options.offset > 0 || !options.ids.empty();
  const Format format = options.output.format();
  if (!search && format == Format::kText) {
    if (Status printed = print_overview(out, tokenizer); !printed) return tl::unexpected(printed.error());
    return finish(out);
  }
  Expected<VocabularyMatches> matches = find_entries(options, tokenizer);
  if (!matches) return tl::unexpected(matches.error());
  if (options.limit == 0) matches->ids.clear();
  Table table({{"id", Align::kRight}, {"token", Align::kLeft}});
  std::string text;
  JsonWriter array(text);
  if (format == Format::kJson) array.begin_array();
  for (const std::int32_t id : matches->ids) {
    const std::string token(tokenizer.id_to_token(id).value_or(""));
    const auto write = [&](JsonWriter& json) {
      json.begin_object().key("id").number(id).key("token").string(token).end_object();
    };
    if (format == Format::kJson) {
      write(array);
    } else if (format == Format::kJsonLines) {
      JsonWriter line(text);
      write(line);
      text += "\n";
    } else {
      table.add({std::to_string(id), token});
    }
  }
  if (format == Format::kJson) {
    array.end_array();
    text += "\n";
  }
  out.write(text);
  if (format == Format::kCsv) out.write(table.csv());
  if (format == Format::kMarkdown || format == Format::kText) out.write(table.markdown());
  if (format == Format::kText) {
    out.line();
    out.line(with_separators(matches->ids.size()) + " of " + with_separators(matches->total) + " matches, " +
             with_separators(tokenizer.vocab_size()) + " entries in all");
  }
  return finish(out);
}

}  // namespace

Action define_vocab(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--find", options->find, "tokens that contain this (letters compared without case)")
      ->type_name("TEXT");
  add_choice<VocabularyFacet>(app, "--facet", options->facet,
                              {{"unused", VocabularyFacet::kUnused},
                               {"special", VocabularyFacet::kSpecial},
                               {"subword", VocabularyFacet::kSubword},
                               {"word", VocabularyFacet::kWord},
                               {"all", VocabularyFacet::kAll}},
                              "one kind of entry: [unused0] ..., [CLS] ..., ##ing ..., or whole words");
  app.add_option("--script", options->script, "tokens of one script, e.g. Latin, Greek, Han, Common")
      ->type_name("NAME")
      ->check(CLI::Validator(
          [](const std::string& name) {
            const std::span<const std::string_view> names = script_names();
            const bool known = std::find(names.begin(), names.end(), name) != names.end();
            return known ? std::string() : in_quotes(name) + " is not the name of a script of Unicode";
          },
          "", "script"));
  app.add_option("--limit", options->limit, "at most N entries")
      ->type_name("N")
      ->transform(whole_number(0, std::numeric_limits<std::int32_t>::max()));
  app.add_option("--offset", options->offset, "leave out the first N matches")
      ->type_name("N")
      ->transform(whole_number(0, std::numeric_limits<std::int32_t>::max()));
  CLI::Option* ids = app.add_option_function<std::string>(
                            "--id", [options](const std::string& text) { options->ids = read_ids(text); },
                            "the entries with these ids: 101,102")
                         ->type_name("N,...");
  for (const char* name : {"--find", "--facet", "--script", "--limit", "--offset"})
    ids->excludes(app.get_option(name));
  add_format_options(app, options->output, JsonLines::kOutput);
  add_engine_options(app, options->engine, {.backend = false, .threads = false, .precision = false});
  app.footer(
      "examples\n"
      "  bertlens vocab                             # sizes, special tokens, the [unused] ones\n"
      "  bertlens vocab --find token --limit 20\n"
      "  bertlens vocab --id 7592,2088\n"
      "  bertlens vocab --facet subword --find ization\n"
      "  bertlens vocab --json --facet special");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
