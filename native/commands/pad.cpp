// `bertlens pad`: the padding strategies side by side (the notebook's cell 6) and what they cost (Exercise
// 2).
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
#include "app/texts.h"
#include "io/error_line.h"
#include "io/table.h"

namespace bert::cli {
namespace {

struct Options {
  EngineOptions engine;
  InputOptions input;
  FormatOptions output;
  std::optional<std::uint32_t> max_length;
  std::uint32_t pad_to_multiple_of = 0;
  std::optional<Side> padding_side;
  bool tables = false;
};

// The batch under one strategy.
struct Padded {
  std::string name;
  std::vector<Encoding> rows;
  PaddingStatistics statistics;

  std::string shape() const {
    return "[" + std::to_string(statistics.rows) + ", " + std::to_string(statistics.columns) + "]";
  }
};

Expected<Padded> pad_batch(const Options& options, const Tokenizer& tokenizer,
                           std::span<const TextInput> inputs, Padding padding) {
  EncodeOptions encoding;
  encoding.padding = padding;
  encoding.padding_side = options.padding_side;
  encoding.pad_to_multiple_of = options.pad_to_multiple_of;
  encoding.truncation = Truncation::kLongestFirst;
  // the other strategies know no length but the model's, as in the notebook
  if (padding == Padding::kMaxLength) encoding.max_length = options.max_length;
  Expected<std::vector<Encoding>> rows = tokenizer.encode_batch(inputs, encoding);
  if (!rows) {
    // what cannot be is the length, for the first row as for any other
    const std::string& message = rows.error().message;
    return fail(rows.error().code,
                in_option_names(message.substr(message.starts_with("row ") ? message.find(": ") + 2 : 0)));
  }
  Padded padded{padding == Padding::kNone      ? "none"
                : padding == Padding::kLongest ? "longest"
                                               : "max_length",
                std::move(*rows),
                {}};
  padded.statistics = padding_statistics(padded.rows);
  return padded;
}

// One character a token: # real, . padding; cut at 100.
void print_grid(Output& out, const Padded& padded) {
  constexpr std::size_t kMost = 100;
  for (const Encoding& row : padded.rows) {
    std::string line = "  ";
    for (std::size_t i = 0; i < std::min(row.size(), kMost); ++i)
      line += row.attention_mask[i] != 0 ? '#' : '.';
    if (row.size() > kMost) line += " ... " + std::to_string(row.size());
    out.line(line);
  }
}

void print_statistics(Output& out, const Padded& padded) {
  const PaddingStatistics& s = padded.statistics;
  out.line("Input IDs shape: " + padded.shape());
  out.line("Attention Mask shape: " + padded.shape());
  out.line("Padding percentage: " + fixed(s.padding_percent, 2) + "% (" + with_separators(s.padding) +
           " of " + with_separators(s.cells) + " cells)");
  out.line("Attention scores between real tokens: " + with_separators(s.attention_useful) + " of " +
           with_separators(s.attention_cells) + " per head and layer");
}

void print_report(Output& out, const Options& options, const Tokenizer& tokenizer, const Padded& none,
                  const Padded& longest, const Padded& fixed_length) {
  const std::string limit = std::to_string(fixed_length.statistics.columns);
  out.line("--- No padding ---");
  if (const Expected<EncodedBatch> stacked = stack(none.rows); !stacked) {
    out.line("As one tensor: error: " + stacked.error().message);
  } else {
    out.line("As one tensor: shape " + none.shape());
  }
  print_grid(out, none);
  out.line();
  out.line("--- Padding to a fixed `max_length` (" + limit + ") ---");
  print_statistics(out, fixed_length);
  print_grid(out, fixed_length);
  if (options.tables) {
    out.line("First sequence input_ids (padded):");
    out.write(token_table(tokenizer, fixed_length.rows.front(), false).markdown());
  }
  out.line();
  out.line("--- Padding to the `longest` sequence in the batch ---");
  print_statistics(out, longest);
  print_grid(out, longest);
  if (options.tables) {
    const auto tokens = [](const Encoding& row) {
      return std::count(row.attention_mask.begin(), row.attention_mask.end(), 1);
    };
    const auto most =
        std::max_element(longest.rows.begin(), longest.rows.end(),
                         [&](const Encoding& a, const Encoding& b) { return tokens(a) < tokens(b); });
    out.line("Longest sequence input_ids:");
    out.write(token_table(tokenizer, *most, false).markdown());
  }
  out.line();
  out.line("Padding percentage (longest): " + fixed(longest.statistics.padding_percent, 2) + "%");
  out.line("Padding percentage (max_length=" + limit +
           "): " + fixed(fixed_length.statistics.padding_percent, 2) + "%");
  out.line("Efficiency gain: " +
           fixed(fixed_length.statistics.padding_percent - longest.statistics.padding_percent, 2) +
           "% less padding with 'longest'");
}

void write_json(JsonWriter& json, const Padded& padded) {
  const PaddingStatistics& s = padded.statistics;
  json.key(padded.name).begin_object();
  const Expected<EncodedBatch> stacked = stack(padded.rows);
  if (stacked) {
    json.key("shape").begin_array().number(s.rows).number(s.columns).end_array();
  } else {
    json.key("error").string(stacked.error().message);
  }
  json.key("padding_percent").number(s.padding_percent);
  json.key("padding").number(s.padding).key("cells").number(s.cells);
  json.key("attention_useful").number(s.attention_useful).key("attention_cells").number(s.attention_cells);
  for (const auto& [name, field] :
       {std::pair{"input_ids", &Encoding::ids}, {"attention_mask", &Encoding::attention_mask}}) {
    json.key(name).begin_array();
    for (const Encoding& row : padded.rows) json.numbers(row.*field);
    json.end_array();
  }
  json.end_object();
}

Table strategy_table(const Padded& longest, const Padded& fixed_length) {
  Table table({{"strategy", Align::kLeft},
               {"rows", Align::kRight},
               {"columns", Align::kRight},
               {"padding", Align::kRight},
               {"cells", Align::kRight},
               {"padding_percent", Align::kRight}});
  for (const Padded* padded : {&longest, &fixed_length}) {
    const PaddingStatistics& s = padded->statistics;
    table.add({padded->name, std::to_string(s.rows), std::to_string(s.columns), std::to_string(s.padding),
               std::to_string(s.cells), decimal(s.padding_percent, 2)});
  }
  return table;
}

Expected<int> run(const Options& options) {
  const Expected<std::shared_ptr<const Tokenizer>> tokenizer = load_tokenizer(options.engine);
  if (!tokenizer) return tl::unexpected(tokenizer.error());
  const Expected<std::vector<std::string>> texts = all_texts(options.input);
  if (!texts) return tl::unexpected(texts.error());
  const std::vector<TextInput> inputs(texts->begin(), texts->end());
  const Expected<Padded> none = pad_batch(options, **tokenizer, inputs, Padding::kNone);
  if (!none) return tl::unexpected(none.error());
  if (const std::size_t most = (*tokenizer)->settings().model_max_length; most > 0) {
    std::size_t cut = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (none->rows[i].size() < most) continue;
      const Expected<Encoding> whole = (*tokenizer)->encode(inputs[i]);
      if (!whole) return text_error(whole.error(), options.input, i);
      if (whole->size() > most) ++cut;
    }
    if (cut > 0) {
      print_warning(std::to_string(cut) + (cut == 1 ? " text has" : " texts have") +
                    " more than the model's " + std::to_string(most) + " tokens and counts as cut there");
    }
  }
  const Expected<Padded> longest = pad_batch(options, **tokenizer, inputs, Padding::kLongest);
  if (!longest) return tl::unexpected(longest.error());
  const Expected<Padded> fixed_length = pad_batch(options, **tokenizer, inputs, Padding::kMaxLength);
  if (!fixed_length) return tl::unexpected(fixed_length.error());
  Output out(1, "standard output");
  const auto write = [&](JsonWriter& json) {
    json.begin_object();
    for (const Padded* padded : {&*none, &*longest, &*fixed_length}) write_json(json, *padded);
    json.key("efficiency_gain_percent")
        .number(fixed_length->statistics.padding_percent - longest->statistics.padding_percent);
    json.end_object();
  };
  return print_answer(
      out, options.output.format(),
      {.json = write,
       .table = [&] { return strategy_table(*longest, *fixed_length); },
       .report = [&] { print_report(out, options, **tokenizer, *none, *longest, *fixed_length); }});
}

}  // namespace

Action define_pad(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_input_options(app, options->input, "TEXT", "the texts of the batch", false);
  const std::string group = "Tokens";
  app.add_option("--max-length", options->max_length,
                 "tokens per row for the strategy max_length; default: the "
                 "model's maximum")
      ->type_name("N")
      ->transform(whole_number(0, std::numeric_limits<std::int32_t>::max()))
      ->group(group);
  app.add_option("--pad-to-multiple-of", options->pad_to_multiple_of,
                 "round the padded length up to a multiple of N")
      ->type_name("N")
      ->transform(whole_number(1, std::numeric_limits<std::int32_t>::max()))
      ->group(group);
  add_choice<Side>(app, "--padding-side", options->padding_side,
                   {{"right", Side::kRight}, {"left", Side::kLeft}},
                   "where padding goes; default: as the model says, else right")
      ->group(group);
  app.add_flag("--tables", options->tables, "the token tables of the notebook's cell 6 too")->group("Output");
  add_format_options(app, options->output, JsonLines::kNone);
  const auto no_stream = [] {
    usage_error(
        "--jsonl: pad compares strategies for one batch, which --json answers; tokenize --jsonl --padding "
        "longest pads a stream");
  };
  app.add_flag_callback("--jsonl", no_stream)->group("");  // every other command has it
  add_engine_options(app, options->engine, {.backend = false, .threads = false, .precision = false});
  app.footer(
      "examples\n"
      "  bertlens pad --max-length 16 --tables \"This movie was amazing!\" \"Bad.\" \\\n"
      "      \"I would not watch it again, honestly.\"                       # cell 6 of the notebook\n"
      "  bertlens pad --max-length 64 --file sentences.txt               # Exercise 2\n"
      "  bertlens pad --json --max-length 64 --file sentences.txt");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
