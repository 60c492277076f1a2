// `bertlens tokenize`: texts to tokens. Without a format it prints the report of the notebook's cell 5, with
// --words that of Exercise 1, with --explain every step of the way.
#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "app/answer.h"
#include "app/command.h"
#include "app/encoding_output.h"
#include "app/model_folder.h"
#include "app/options.h"
#include "app/request.h"
#include "app/stream.h"
#include "app/texts.h"
#include "io/error_line.h"
#include "io/parallel.h"
#include "io/table.h"

namespace bert::cli {
namespace {

struct Options {
  EngineOptions engine;
  InputOptions input;
  FormatOptions output;
  TruncationOptions truncation;
  std::optional<std::string> pair;
  Padding padding = Padding::kNone;
  std::optional<Side> padding_side, truncation_side;
  std::optional<std::uint32_t> stride;
  std::uint32_t pad_to_multiple_of = 0;
  bool no_special_tokens = false;
  bool split_words = false;
  bool words = false;
  bool explain = false;

  EncodeOptions encoding() const {
    EncodeOptions options = encode_options(truncation);
    // converted by the tokenizer, once for all windows of a text
    options.offset_unit = OffsetUnit::kCodePoints;
    options.padding = padding;
    options.padding_side = padding_side;
    options.truncation_side = truncation_side;
    options.pad_to_multiple_of = pad_to_multiple_of;
    options.add_special_tokens = !no_special_tokens;
    if (stride) {
      options.stride = *stride;
      options.return_overflowing = true;
      // windows come from truncation alone, so a stride asks for it
      if (!options.truncation) options.truncation = Truncation::kLongestFirst;
    }
    return options;
  }
};

// One sequence of a row, owned, because the encoding's offsets refer to it.
struct Sequence {
  std::string text;
  std::vector<std::string> words;
  std::vector<std::string_view> views;

  TextSequence view(bool split) const { return split ? TextSequence(std::span(views)) : TextSequence(text); }
  // Words that came as a list stay as they are; their text is empty.
  void split_at_blanks() {
    for (std::size_t at = 0; (at = text.find_first_not_of(" \t", at)) != std::string::npos;) {
      const std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
      words.push_back(text.substr(at, end - at));
      at = end;
    }
    views.assign(words.begin(), words.end());
  }
};

// One row of a batch: an encoding, or why there is none.
struct Row {
  Sequence text;
  std::optional<Sequence> pair;
  bool split = false;
  Expected<Encoding> encoding;

  TextInput input() const {
    return pair ? TextInput(text.view(split), pair->view(split)) : TextInput(text.view(split));
  }
  void split_at_blanks() {
    split = true;
    text.split_at_blanks();
    if (pair) pair->split_at_blanks();
  }
};

// The batch is padded together, so rows are encoded without padding first. Truncation must then be as it
// would be with it: `max_length` alone implies truncation only where nothing is padded.
void encode_rows(const Tokenizer& tokenizer, const EncodeOptions& options, std::size_t threads,
                 std::span<Row> rows) {
  EncodeOptions alone = options;
  alone.padding = Padding::kNone;
  if (options.padding != Padding::kNone && !alone.truncation) alone.truncation = Truncation::kNone;
  parallel_for(rows.size(), threads, [&](std::size_t i) {
    if (rows[i].encoding) rows[i].encoding = tokenizer.encode(rows[i].input(), alone);
  });
  if (options.padding == Padding::kNone) return;
  std::vector<Encoding> good;
  for (Row& row : rows) {
    if (row.encoding) good.push_back(std::move(*row.encoding));
  }
  const Status padded = tokenizer.pad(good, options);
  std::size_t next = 0;
  for (Row& row : rows) {
    if (!row.encoding) continue;
    if (padded) {
      row.encoding = std::move(good[next++]);
    } else {
      row.encoding = tl::unexpected(padded.error());
    }
  }
}

// What the rows of a run give reason to warn of, once.
class Warnings {
 public:
  void look_at(std::span<const Row> rows) {
    for (const Row& row : rows) {
      if (!row.encoding) continue;
      implied_ |= row.encoding->truncation_implied;
      too_long_ |= row.encoding->too_long;
    }
  }
  void print(const Tokenizer& tokenizer) const {
    if (implied_) warn_of_implied_truncation();
    if (!too_long_) return;
    print_warning("more tokens than the model's maximum of " +
                  std::to_string(tokenizer.settings().model_max_length) + ": a model will refuse them");
  }

 private:
  bool implied_ = false, too_long_ = false;
};

// A text, or with --split-words perhaps the list of its words.
Status read_sequence(const nlohmann::json& object, const char* name, bool split, Sequence& sequence) {
  if (split && has_field(object, name) && object.at(name).is_array()) {
    Expected<std::vector<std::string>> list = text_list_field(object, name);
    if (!list) return tl::unexpected(list.error());
    sequence.words = std::move(*list);
    return {};
  }
  Expected<std::string> value = text_field(object, name);
  if (!value) return tl::unexpected(value.error());
  sequence.text = std::move(*value);
  return {};
}

Status read_row(const StreamLine& line, const Options& options, Row& row) {
  const Expected<nlohmann::json> object = line.object();
  if (!object) return tl::unexpected(object.error());
  if (Status read = read_sequence(*object, "text", options.split_words, row.text); !read) return read;
  if (has_field(*object, "pair")) {
    row.pair.emplace();
    if (Status read = read_sequence(*object, "pair", options.split_words, *row.pair); !read) return read;
  } else if (options.pair) {
    row.pair = Sequence{*options.pair, {}, {}};
  }
  if (options.split_words) row.split_at_blanks();
  return {};
}

// About how many tokens the answer to a line holds: windows repeat their stride, and padding counts too.
double tokens_of_answer(const Options& options, const Tokenizer& tokenizer, const StreamLine& line) {
  constexpr double kBytesPerToken = 4, kSpecial = 2;
  const double length = options.truncation.max_length.value_or(tokenizer.settings().model_max_length);
  const double step = length - kSpecial - options.stride.value_or(0);
  const double repeated = options.stride && step >= 1 ? length / step : 1;
  const double padded = options.padding == Padding::kMaxLength ? length : 0;
  return std::max(static_cast<double>(line.text.size()) / kBytesPerToken * repeated, padded);
}

Expected<int> stream(const Options& options, const Tokenizer& tokenizer, Output& out) {
  const EncodeOptions encoding = options.encoding();
  Warnings warnings;
  const auto answer = [&](std::span<StreamLine> lines) {
    std::vector<Row> rows(lines.size());
    parallel_for(lines.size(), options.engine.threads, [&](std::size_t i) {
      if (Status read = read_row(lines[i], options, rows[i]); !read)
        rows[i].encoding = tl::unexpected(read.error());
    });
    encode_rows(tokenizer, encoding, options.engine.threads, rows);
    warnings.look_at(rows);
    parallel_for(lines.size(), options.engine.threads, [&](std::size_t i) {
      if (!rows[i].encoding) {
        lines[i].refuse(rows[i].encoding.error());
        return;
      }
      lines[i].answer([&](JsonWriter& json) {
        write_encoding(json, tokenizer, *rows[i].encoding, options.stride.has_value(), options.words);
      });
    });
  };
  const StreamHandler handler = [&](std::span<StreamLine> lines, const Emit& emit) {
    // answers that are held together are some megabytes, except where rows are padded together
    constexpr double kMostTokens = 1 << 18;
    for (std::size_t begin = 0, end = 0; begin < lines.size(); begin = end) {
      for (double tokens = 0; end < lines.size(); ++end) {
        tokens += tokens_of_answer(options, tokenizer, lines[end]);
        if (tokens > kMostTokens && end > begin && options.padding != Padding::kLongest) break;
      }
      answer(lines.subspan(begin, end - begin));
      emit(end - 1);
    }
  };
  // a row is padded to the longest of its batch, so there a batch must not end when the writer pauses
  const Batching batching = options.padding == Padding::kLongest ? Batching::kFull : Batching::kPrompt;
  const Expected<int> status =
      run_stream(options.input, out, "tokenize", {&handler, 1}, {.batching = batching});
  if (status) warnings.print(tokenizer);
  return status;
}

// ---- reports for people ---------------------------------------------------------------------------------

bool have_windows(std::span<const Row> rows) {
  return std::ranges::any_of(rows, [](const Row& row) { return !row.encoding->overflowing.empty(); });
}

// All that is known of each token, for --csv and --md.
Table full_table(const Tokenizer& tokenizer, std::span<const Row> rows) {
  const bool windows = have_windows(rows);
  std::vector<Table::Column> columns = {{"row", Align::kRight}};
  if (windows) columns.push_back({"window", Align::kRight});
  columns.insert(columns.end(), {{"token", Align::kLeft},
                                 {"token_id", Align::kRight},
                                 {"attention_mask_id", Align::kRight},
                                 {"token_type_id", Align::kRight},
                                 {"begin", Align::kRight},
                                 {"end", Align::kRight},
                                 {"word_id", Align::kRight},
                                 {"special", Align::kRight}});
  Table table(std::move(columns));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto add = [&](std::size_t window, const Encoding& encoding) {
      for (std::size_t i = 0; i < encoding.size(); ++i) {
        std::vector<Cell> cells = {std::to_string(row)};
        if (windows) cells.emplace_back(std::to_string(window));
        cells.insert(cells.end(),
                     {std::string(tokenizer.id_to_token(encoding.ids[i]).value_or("")),
                      std::to_string(encoding.ids[i]), std::to_string(encoding.attention_mask[i]),
                      std::to_string(encoding.type_ids[i]), std::to_string(encoding.offsets[i].begin),
                      std::to_string(encoding.offsets[i].end),
                      encoding.word_ids[i] < 0 ? std::string() : std::to_string(encoding.word_ids[i]),
                      std::to_string(encoding.special_tokens_mask[i])});
        table.add(std::move(cells));
      }
    };
    add(0, *rows[row].encoding);
    for (std::size_t window = 0; window < rows[row].encoding->overflowing.size(); ++window)
      add(window + 1, rows[row].encoding->overflowing[window]);
  }
  return table;
}

// Cell 5.
void print_tokens(Output& out, const Tokenizer& tokenizer, const Row& row) {
  out.line("Original text: " + printable(row.text.text));
  if (row.pair) out.line("Second text:   " + printable(row.pair->text));
  std::size_t window = 0;
  const auto print = [&](const Encoding& encoding) {
    if (!row.encoding->overflowing.empty()) out.line("\nWindow " + std::to_string(++window) + ":");
    const std::vector<std::string> tokens = token_strings(tokenizer, encoding.ids);
    const std::string shape = " [1, " + std::to_string(tokens.size()) + "] ";
    out.line("Tokenized: " + python_list(tokens));
    out.line("Num of tokens: " + std::to_string(tokens.size()));
    out.line();
    out.line("input_ids" + shape + number_list(encoding.ids));
    out.line("token_type_ids" + shape + number_list(encoding.type_ids));
    out.line("attention_mask" + shape + number_list(encoding.attention_mask));
    out.line();
    out.write(token_table(tokenizer, encoding, row.pair.has_value()).markdown());
  };
  print(*row.encoding);
  for (const Encoding& overflow : row.encoding->overflowing) print(overflow);
}

// Exercise 1, with words of three and more pieces right.
void print_words(Output& out, const Tokenizer& tokenizer, const Row& row) {
  const std::vector<std::string> tokens = token_strings(tokenizer, row.encoding->ids);
  out.line("Tokens: " + python_list(tokens));
  out.line();
  out.line("Total number of tokens: " + std::to_string(tokens.size()));
  out.line();
  out.line("Words split into subwords:");
  const std::vector<Word> split = tokenizer.words(*row.encoding, 2);
  for (const Word& word : split) {
    std::string pieces;
    for (const std::string_view piece : word.pieces) {
      pieces += (pieces.empty() ? "'" : " + '") + std::string(piece) + "'";
    }
    out.line("  '" + printable(word.text) + "' was split into " + printable(pieces));
  }
  if (split.empty()) out.line("  none");
  out.line();
  Table table({{"token", Align::kLeft}, {"token_id", Align::kRight}, {"is_subword", Align::kLeft}});
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    table.add(
        {tokens[i], std::to_string(row.encoding->ids[i]), tokens[i].starts_with("##") ? "True" : "False"});
  }
  out.write(table.markdown());
}

// The words that were split, for --csv and --md.
Table word_table(const Tokenizer& tokenizer, std::span<const Row> rows) {
  const bool windows = have_windows(rows);
  std::vector<Table::Column> columns = {{"row", Align::kRight}};
  if (windows) columns.push_back({"window", Align::kRight});
  columns.insert(columns.end(), {{"text", Align::kLeft},
                                 {"pieces", Align::kLeft},
                                 {"first_token", Align::kRight},
                                 {"word_id", Align::kRight},
                                 {"sequence_id", Align::kRight},
                                 {"begin", Align::kRight},
                                 {"end", Align::kRight}});
  Table table(std::move(columns));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto add = [&](std::size_t window, const Encoding& encoding) {
      for (const Word& word : tokenizer.words(encoding, 2)) {
        std::string pieces;
        for (const std::string_view piece : word.pieces)
          pieces += (pieces.empty() ? "" : " ") + std::string(piece);
        std::vector<Cell> cells = {std::to_string(row)};
        if (windows) cells.emplace_back(std::to_string(window));
        cells.insert(cells.end(), {word.text, pieces, std::to_string(word.first_token),
                                   std::to_string(word.word_id), std::to_string(word.sequence_id),
                                   std::to_string(word.offsets.begin), std::to_string(word.offsets.end)});
        table.add(std::move(cells));
      }
    };
    add(0, *rows[row].encoding);
    for (std::size_t window = 0; window < rows[row].encoding->overflowing.size(); ++window)
      add(window + 1, rows[row].encoding->overflowing[window]);
  }
  return table;
}

// ---- every step -----------------------------------------------------------------------------------------

// With offsets in code points, as encodings have them here.
Expected<Explanation> explain(const Options& options, const Tokenizer& tokenizer, const std::string& text) {
  Expected<Explanation> explanation = tokenizer.explain(text, !options.truncation.untrusted);
  if (!explanation) return explanation;
  const auto each = [&](const auto& visit) {
    for (ExplainedStep& step : explanation->steps) {
      for (ExplainedChange& change : step.changes) visit(change.source);
    }
    for (ExplainedWord& word : explanation->words) visit(word.source);
    for (ExplainedWord& word : explanation->words) {
      for (Offsets& span : word.offsets) visit(span);
    }
  };
  std::vector<Offsets> all;
  each([&](Offsets span) { all.push_back(span); });
  convert_offsets(text, OffsetUnit::kCodePoints, all);
  auto next = all.begin();
  each([&](Offsets& span) { span = *next++; });
  return explanation;
}

Expected<Explanation> explain_line(const Options& options, const Tokenizer& tokenizer,
                                   const StreamLine& line) {
  const Expected<nlohmann::json> object = line.object();
  if (!object) return tl::unexpected(object.error());
  if (has_field(*object, "pair"))
    return fail(ErrorCode::kInvalidArgument, "--explain takes one text a line, without \"pair\"");
  const Expected<std::string> text = text_field(*object, "text");
  if (!text) return tl::unexpected(text.error());
  return explain(options, tokenizer, *text);
}

Expected<int> stream_explanations(const Options& options, const Tokenizer& tokenizer, Output& out) {
  const auto write = [&](JsonWriter& json, const Explanation& explanation) {
    write_explanation(json, tokenizer, explanation);
  };
  const StreamHandler handler = [&](std::span<StreamLine> lines, const Emit& emit) {
    constexpr std::size_t kTogether = 16;  // an explanation may be a hundred times as long as its text
    for (std::size_t begin = 0; begin < lines.size(); begin += kTogether) {
      const std::size_t count = std::min(kTogether, lines.size() - begin);
      parallel_for(count, options.engine.threads, [&](std::size_t i) {
        StreamLine& line = lines[begin + i];
        line.settle(explain_line(options, tokenizer, line), write);
      });
      emit(begin + count - 1);
    }
  };
  return run_stream(options.input, out, "tokenize", {&handler, 1});
}

void print_explanation(Output& out, const Tokenizer& tokenizer, const std::string& text,
                       const Explanation& explanation) {
  constexpr std::size_t kShown = 4000;
  out.line("Text: " + one_line(text, kShown));
  out.line();
  out.line("Normalise");
  for (const ExplainedStep& step : explanation.steps) {
    std::string line = "  " + std::string(step.name);
    line.resize(std::max<std::size_t>(line.size(), 26), ' ');
    if (!step.enabled) {
      line += "off";
    } else if (step.changes.empty()) {
      line += "no change";
    } else {
      line += std::to_string(step.changes.size()) + (step.changes.size() == 1 ? " change: " : " changes: ") +
              one_line(step.after, kShown);
    }
    out.line(line);
  }
  out.line();
  out.line("Greedy longest match, word by word (x: not in the vocabulary)");
  for (const ExplainedWord& word : explanation.words) {
    std::string tries;
    if (word.kind == WordKind::kAddedToken) tries = "found as a whole before anything else";
    if (word.kind == WordKind::kTooLong) tries = "too long for the match: unknown";
    for (const ExplainedCandidate& candidate : word.candidates) {
      tries += (tries.empty() ? "" : ", ") + printable(candidate.text) +
               (candidate.id < 0 ? " x" : " = " + std::to_string(candidate.id));
    }
    out.line("  " + printable(word.text) + "  ->  " + tries + "  =>  " +
             python_list(token_strings(tokenizer, word.ids)));
  }
}

// A report for people is written text by text.
Expected<int> explain_all(const Options& options, const Tokenizer& tokenizer,
                          std::span<const std::string> texts, Output& out) {
  std::vector<Explanation> all;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    Expected<Explanation> explanation = explain(options, tokenizer, texts[i]);
    if (!explanation) return text_error(explanation.error(), options.input, i);
    if (options.output.json) {
      all.push_back(std::move(*explanation));
      continue;
    }
    if (i > 0) out.line();
    print_explanation(out, tokenizer, texts[i], *explanation);
  }
  if (!options.output.json) return finish(out);
  const auto write = [&](JsonWriter& json, const Explanation& explanation) {
    write_explanation(json, tokenizer, explanation);
  };
  return print_answer(
      out, Format::kJson,
      {.json = [&](JsonWriter& json) { write_list(json, all, write); }, .table = {}, .report = {}});
}

Expected<int> one_answer(const Options& options, const Tokenizer& tokenizer, Output& out) {
  Expected<std::vector<std::string>> texts = all_texts(options.input);
  if (!texts) return tl::unexpected(texts.error());
  if (options.explain) return explain_all(options, tokenizer, *texts, out);
  std::vector<Row> rows(texts->size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].text.text = std::move((*texts)[i]);
    if (options.pair) rows[i].pair = Sequence{*options.pair, {}, {}};
    if (options.split_words) rows[i].split_at_blanks();
  }
  encode_rows(tokenizer, options.encoding(), options.engine.threads, rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].encoding) continue;
    const std::string& vocab = options.engine.vocab;
    const std::string from = vocab.empty() ? find_model_folder(options.engine).value_or("") : vocab;
    return text_error(of_model(from, rows[i].encoding.error()), options.input, i);
  }
  Warnings warnings;
  warnings.look_at(rows);
  warnings.print(tokenizer);
  const auto write = [&](JsonWriter& json, const Row& row) {
    write_encoding(json, tokenizer, *row.encoding, options.stride.has_value(), options.words);
  };
  return print_answer(
      out, options.output.format(),
      {.json = [&](JsonWriter& json) { write_list(json, rows, write); },
       .table = [&] { return options.words ? word_table(tokenizer, rows) : full_table(tokenizer, rows); },
       .report =
           [&] {
             for (const Row& row : rows) {
               if (&row != rows.data()) out.line();
               options.words ? print_words(out, tokenizer, row) : print_tokens(out, tokenizer, row);
             }
           }});
}

Expected<int> run(const Options& options) {
  check_input(options.input);
  const Expected<std::shared_ptr<const Tokenizer>> tokenizer = load_tokenizer(options.engine);
  if (!tokenizer) return tl::unexpected(tokenizer.error());
  Output out(1, "standard output");
  if (options.output.json_lines && options.explain) return stream_explanations(options, **tokenizer, out);
  if (options.output.json_lines) return stream(options, **tokenizer, out);
  return one_answer(options, **tokenizer, out);
}

}  // namespace

Action define_tokenize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_input_options(app, options->input, "TEXT", "the texts to tokenize");
  app.add_option("--pair", options->pair, "a second text for each text that comes without one")
      ->type_name("TEXT")
      ->group("Input");
  app.add_flag("--split-words", options->split_words,
               "texts are words already (split at blanks; in JSON a list of strings is possible)")
      ->group("Input");
  add_truncation_options(app, options->truncation);
  const std::string group = "Tokens";
  add_choice<Padding>(
      app, "--padding", options->padding,
      {{"longest", Padding::kLongest}, {"max_length", Padding::kMaxLength}, {"none", Padding::kNone}},
      "pad to the longest row of a batch, to --max-length, or not at all (default)")
      ->group(group);
  add_choice<Side>(app, "--padding-side", options->padding_side,
                   {{"right", Side::kRight}, {"left", Side::kLeft}},
                   "where padding goes; default: as the model says, else right")
      ->group(group);
  add_choice<Side>(app, "--truncation-side", options->truncation_side,
                   {{"right", Side::kRight}, {"left", Side::kLeft}},
                   "which end is cut; default: as the model says, else right")
      ->group(group);
  app.add_option("--stride", options->stride,
                 "keep what truncation cuts off as further windows that share N tokens (\"overflowing\")")
      ->type_name("N")
      ->transform(whole_number(0, std::numeric_limits<std::int32_t>::max()))
      ->group(group);
  app.add_option("--pad-to-multiple-of", options->pad_to_multiple_of,
                 "round the padded length up to a multiple of N")
      ->type_name("N")
      ->transform(whole_number(1, std::numeric_limits<std::int32_t>::max()))
      ->group(group);
  app.add_flag("--no-special-tokens", options->no_special_tokens, "do not add [CLS] and [SEP]")->group(group);
  add_format_options(app, options->output);
  app.add_flag("--words", options->words,
               "report which words were split in pieces (Exercise 1); in JSON as \"split_words\" beside the "
               "tokens")
      ->group("Output");
  app.add_flag(
         "--explain", options->explain,
         "show every step, of texts of up to 8192 bytes as they stand: the normaliser, then the tries of "
         "the match; with --json and --jsonl too; not with options that pair, split, cut or pad")
      ->group("Output");
  add_engine_options(app, options->engine, {.backend = false, .precision = false});
  app.footer(
      "examples\n"
      "  bertlens tokenize \"Tokenization and padding are fundamental steps in most NLP pipelines.\"\n"
      "  bertlens tokenize --words \"The pre-trained BERT model uses WordPiece tokenization with 30,522 "
      "tokens.\"\n"
      "  bertlens tokenize --explain \"Caf\xc3\xa9 [MASK] antidisestablishmentarianism\"\n"
      "  bertlens tokenize --explain --json \"unaffable\"\n"
      "  bertlens tokenize --json --max-length 128 --truncation longest_first --file sentences.txt\n"
      "  printf '{\"text\": \"hello world\"}\\n{\"text\": \"hello\"}\\n' | bertlens tokenize --jsonl "
      "--padding longest\n"
      "  bertlens tokenize --jsonl --max-length 64 --stride 16 < long.jsonl    # windows in \"overflowing\"");
  return [options, &app] {
    for (const char* name : {"--pair", "--split-words", "--truncation", "--max-length", "--truncation-side",
                             "--stride", "--padding", "--padding-side", "--pad-to-multiple-of",
                             "--no-special-tokens", "--words", "--csv", "--md"}) {
      if (options->explain && app.count(name) > 0) usage_error(std::string(name) + " excludes --explain");
    }
    return run(*options);
  };
}

}  // namespace bert::cli
