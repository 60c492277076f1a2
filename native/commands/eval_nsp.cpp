// `bertlens eval-nsp`: next-sentence prediction held against labels; without a format the reports of
// Exercise 5.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "app/answer.h"
#include "app/command.h"
#include "app/engine.h"
#include "app/model_folder.h"
#include "app/options.h"
#include "app/request.h"
#include "app/stream.h"
#include "io/csv.h"
#include "io/error_line.h"
#include "io/line_reader.h"
#include "io/table.h"
#include "io/utf8.h"

namespace bert::cli {
namespace {

constexpr std::size_t kPairsPerBatch = 256;

struct Options {
  EngineOptions engine;
  FormatOptions output;
  TruncationOptions truncation;
  std::string file = "-";
  double threshold = 0.5;
};

struct Pair {
  std::string text, pair, topic;
  bool is_next = false;
};

// All that was read and answered so far.
struct Evaluation {
  std::vector<Pair> pairs;
  std::vector<NextSentence> answers;
  std::vector<std::uint8_t> labels;
  BadLines lines;
};

Expected<Pair> pair_of_json(const std::string& line) {
  Pair pair;
  const Expected<nlohmann::json> object = parse_object(line);
  if (!object) return tl::unexpected(object.error());
  for (const auto& [name, target] : {std::pair{"text", &pair.text}, {"pair", &pair.pair}}) {
    Expected<std::string> value = text_field(*object, name);
    if (!value) return tl::unexpected(value.error());
    *target = std::move(*value);
  }
  const Expected<bool> is_next = boolean_field(*object, "is_next");
  if (!is_next) return tl::unexpected(is_next.error());
  pair.is_next = *is_next;
  const Expected<std::optional<std::string>> topic = optional_text_field(*object, "topic");
  if (!topic) return tl::unexpected(topic.error());
  pair.topic = topic->value_or("");
  return pair;
}

// Without white space at both ends, ASCII letters small.
std::string plain_word(std::string_view text) {
  constexpr std::string_view kSpaces = " \t";
  const std::size_t begin = std::min(text.find_first_not_of(kSpaces), text.size());
  std::string word;
  for (const char c : text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin))
    word += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return word;
}

Expected<bool> truth(const std::string& text) {
  const std::string word = plain_word(text);
  if (word == "true" || word == "1" || word == "yes") return true;
  if (word == "false" || word == "0" || word == "no") return false;
  return fail(ErrorCode::kInvalidArgument, "is_next must be true or false, got " + in_quotes(text));
}

// Whether a line is the first of a table: any other that is no JSON is one bad line of a stream.
bool names_columns(const std::string& line) {
  const auto records = parse_csv(line);
  if (!records || records->empty()) return false;
  std::vector<std::string> names;
  for (const std::string& name : records->front()) names.push_back(plain_word(name));
  const auto named = [&](const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  return named("text") && named("pair") && named("is_next");
}

// The table's columns are found by their names.
Expected<std::vector<Pair>> pairs_of_csv(const std::string& text) {
  const auto records = parse_csv(text);
  if (!records) return tl::unexpected(records.error());
  if (records->empty()) return std::vector<Pair>{};
  std::vector<std::string> header;
  for (const std::string& name : records->front()) header.push_back(plain_word(name));
  std::array<std::size_t, 4> columns{};
  constexpr std::array<const char*, 4> kNames = {"text", "pair", "is_next", "topic"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    columns[i] =
        static_cast<std::size_t>(std::find(header.begin(), header.end(), kNames[i]) - header.begin());
    if (columns[i] == header.size() && i < 3) {
      return fail(
          ErrorCode::kInvalidArgument,
          "neither a JSON object a line nor a CSV table whose first line names the columns text, pair, "
          "is_next: it begins with " +
              in_quotes(text.substr(0, text.find_first_of("\r\n"))) + ", without " + kNames[i]);
    }
  }
  std::vector<Pair> pairs;
  for (std::size_t row = 1; row < records->size(); ++row) {
    const std::vector<std::string>& record = (*records)[row];
    const std::string place = "record " + std::to_string(row) + ": ";
    if (record.size() != header.size()) {
      return fail(ErrorCode::kInvalidArgument, place + std::to_string(record.size()) +
                                                   " fields, the first line has " +
                                                   std::to_string(header.size()));
    }
    const Expected<bool> is_next = truth(record[columns[2]]);
    if (!is_next) return fail(is_next.error().code, place + is_next.error().message);
    pairs.push_back({record[columns[0]], record[columns[1]],
                     columns[3] < record.size() ? record[columns[3]] : std::string(), *is_next});
  }
  return pairs;
}

std::string input_name(const Options& options) {
  return options.file == "-" ? "standard input" : in_quotes(options.file);
}

// Answers a batch in order. A bad pair becomes an error object in a stream, and ends everything elsewhere.
Status answer(const Options& options, Tasks& tasks, std::span<const Expected<Pair>> batch,
              std::uint64_t first, Progress& progress, Output& out, Evaluation& evaluation) {
  std::vector<TextInput> inputs;
  for (const Expected<Pair>& pair : batch) {
    if (pair) inputs.emplace_back(TextSequence(pair->text), TextSequence(pair->pair));
  }
  const auto show = [&](std::size_t done, std::size_t) { progress.update(first + done, 0); };
  const std::vector<Expected<NextSentence>> answers =
      tasks.next_sentence_batch(inputs, {.aborted = {}, .progress = show});
  const auto named = [&](const Error& error) {
    return of_model(find_model_folder(options.engine).value_or(""), error);
  };
  std::size_t next = 0;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Expected<NextSentence> result =
        batch[i] ? answers[next++] : Expected<NextSentence>(tl::unexpected(batch[i].error()));
    if (result) {
      evaluation.pairs.push_back(*batch[i]);
      evaluation.answers.push_back(*result);
      evaluation.labels.push_back(batch[i]->is_next ? 1 : 0);
    } else if (options.output.json_lines) {
      std::string text;
      JsonWriter json(text);
      write_error(json, named(result.error()));
      out.line(text);
      if (evaluation.lines.bad++ == 0) evaluation.lines.first = first + i + 1;
    } else {
      return fail(result.error().code, input_name(options) + ", pair " + std::to_string(first + i + 1) +
                                           ": " + in_option_names(named(result.error()).message));
    }
  }
  return options.output.json_lines ? out.flush() : Status();
}

Status read_and_answer(const Options& options, Tasks& tasks, Output& out, Evaluation& evaluation) {
  if (options.file == "-" && ::isatty(STDIN_FILENO) != 0)
    usage_error("no pairs: give them with --file or on standard input");
  Expected<LineReader> reader = LineReader::open(options.file);
  if (!reader) return tl::unexpected(reader.error());
  Progress progress("eval-nsp", Progress::Unit::kCount, true);
  std::vector<Expected<Pair>> batch;
  std::uint64_t done = 0, lines = 0;
  std::string line, csv;
  enum class Form { kUnknown, kJsonLines, kCsv } form = Form::kUnknown;
  for (;;) {
    const Expected<bool> more = reader->next(line);
    if (!more) return tl::unexpected(more.error());
    // spreadsheets put a byte order mark first
    if (lines++ == 0 && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);
    if (lines == 1 && options.output.json_lines && names_columns(line)) {
      return fail(ErrorCode::kInvalidArgument,
                  input_name(options) + " is a CSV table: --jsonl takes a JSON object a line, --json both");
    }
    if (*more && form == Form::kUnknown && !options.output.json_lines) {
      const std::size_t start = line.find_first_not_of(" \t\r");
      if (start == std::string::npos) continue;
      if (line[start] == '[') {
        return fail(ErrorCode::kInvalidArgument,
                    input_name(options) + ": a JSON list, where one object a line is expected (jq -c '.[]')");
      }
      form = line[start] == '{' ? Form::kJsonLines : Form::kCsv;
    }
    if (*more && form == Form::kCsv) {
      csv += line + "\n";
      continue;
    }
    // as in a table, empty lines are left out; in a stream each line has its answer
    if (*more && !options.output.json_lines && line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (*more) batch.push_back(pair_of_json(line));
    if (form == Form::kCsv) {
      Expected<std::vector<Pair>> pairs = pairs_of_csv(csv);
      if (!pairs) return fail(pairs.error().code, input_name(options) + ": " + pairs.error().message);
      for (Pair& pair : *pairs) batch.emplace_back(std::move(pair));
    }
    // a stream's errors are told as soon as its writer pauses
    const bool pauses = options.output.json_lines && *more && !reader->ready();
    if (!batch.empty() && (!*more || pauses || batch.size() == kPairsPerBatch)) {
      if (Status answered = answer(options, tasks, batch, done, progress, out, evaluation); !answered)
        return answered;
      evaluation.lines.all = done += batch.size();
      batch.clear();
      progress.update(done, 0);
    }
    if (!*more) return {};
  }
}

void write_report(JsonWriter& json, const NextSentenceReport& report, const Evaluation& evaluation) {
  json.begin_object();
  const bool empty = report.pairs.empty();
  for (const auto& [name, value] : {std::pair{"accuracy", report.accuracy},
                                    {"precision", report.precision},
                                    {"recall", report.recall},
                                    {"f1", report.f1}}) {
    json.key(name);
    empty ? json.null() : json.number(value);
  }
  json.key("confusion").begin_object();
  json.key("tp").number(report.true_positives).key("fp").number(report.false_positives);
  json.key("tn").number(report.true_negatives).key("fn").number(report.false_negatives).end_object();
  const auto write_pair = [&](std::size_t i) {
    const JudgedPair& pair = report.pairs[i];
    json.begin_object().key("index").number(i);
    json.key("text").string(evaluation.pairs[i].text).key("pair").string(evaluation.pairs[i].pair);
    if (!evaluation.pairs[i].topic.empty()) json.key("topic").string(evaluation.pairs[i].topic);
    json.key("label").boolean(pair.label).key("predicted").boolean(pair.predicted);
    json.key("correct").boolean(pair.correct()).key("confidence").number(pair.answer.confidence());
    json.key("is_next").number(pair.answer.is_next).key("not_next").number(pair.answer.not_next);
    json.key("logits").numbers(std::span<const float>(pair.answer.logits)).end_object();
  };
  json.key("highest_confidence");
  empty ? void(json.null()) : write_pair(report.highest_confidence);
  json.key("mean_confidence");
  empty ? json.null() : json.number(report.mean_confidence);
  json.key("threshold").number(report.threshold);
  json.key("distribution").begin_object().key("from").number(0.5).key("step").number(0.05);
  json.key("correct").numbers(std::span<const std::size_t>(report.correct_by_confidence));
  json.key("wrong").numbers(std::span<const std::size_t>(report.wrong_by_confidence)).end_object();
  json.key("pairs").begin_array();
  for (std::size_t i = 0; i < report.pairs.size(); ++i) write_pair(i);
  json.end_array().end_object();
}

std::string percent(double share) {
  return fixed(100 * share, 2) + "%";
}
const char* next_word(bool is_next) {
  return is_next ? "IS next" : "NOT next";
}

void print_report(Output& out, const NextSentenceReport& report, const Evaluation& evaluation) {
  const std::string line(90, '=');
  const auto heading = [&](const char* text) {
    out.line(line);
    out.line(text);
    out.line(line);
  };
  const auto shortened = [](const std::string& text) {
    return printable(first_characters(text, 65)) + "...";
  };
  heading("NEXT SENTENCE PREDICTION RESULTS");
  for (std::size_t i = 0; i < report.pairs.size(); ++i) {
    const JudgedPair& pair = report.pairs[i];
    const Pair& source = evaluation.pairs[i];
    out.line();
    out.line("Pair " + std::to_string(i + 1) +
             (source.topic.empty() ? "" : " (" + printable(source.topic) + ")") + " - " +
             (pair.correct() ? "\xe2\x9c\x93 CORRECT" : "\xe2\x9c\x97 WRONG"));
    out.line("  A: " + shortened(source.text));
    out.line("  B: " + shortened(source.pair));
    // with another threshold than 0.5 the prediction may go against the surer side
    const bool against = pair.predicted != (pair.answer.is_next > pair.answer.not_next);
    out.line(std::string("  True: ") + next_word(pair.label) + " | Predicted: " + next_word(pair.predicted) +
             (against ? " (by the threshold)" : ""));
    out.line("  Confidence: " + percent(pair.answer.confidence()) + " | P(is_next)=" +
             fixed(pair.answer.is_next, 3) + ", P(not_next)=" + fixed(pair.answer.not_next, 3));
  }
  out.line();
  heading("PERFORMANCE METRICS");
  const std::size_t correct = report.true_positives + report.true_negatives;
  out.line("Accuracy:  " + percent(report.accuracy) + " (" + std::to_string(correct) + "/" +
           std::to_string(report.pairs.size()) + " correct)");
  out.line("Precision: " + percent(report.precision) + " (of predicted 'IS next', how many were correct)");
  out.line("Recall:    " + percent(report.recall) + " (of true 'IS next', how many were found)");
  out.line("F1-Score:  " + percent(report.f1));
  if (report.threshold != 0.5) out.line("Threshold: P(is_next) > " + fixed(report.threshold, 4));
  out.line();
  heading("HIGHEST CONFIDENCE PREDICTION");
  const JudgedPair& highest = report.pairs[report.highest_confidence];
  out.line("Pair " + std::to_string(report.highest_confidence + 1) + " with " +
           percent(highest.answer.confidence()) + " confidence (logit margin " +
           fixed(highest.answer.margin(), 4) + ")");
  out.line(std::string("  Prediction: ") + next_word(highest.predicted));
  out.line(std::string("  Actually: ") + next_word(highest.label));
  out.line(highest.correct() ? "  Status: Correct \xe2\x9c\x93" : "  Status: Wrong \xe2\x9c\x97");
  out.line();
  heading("CONFUSION MATRIX");
  Table matrix(
      {{"", Align::kLeft}, {"predicted IS next", Align::kRight}, {"predicted NOT next", Align::kRight}});
  matrix.add({"true IS next", std::to_string(report.true_positives), std::to_string(report.false_negatives)});
  matrix.add(
      {"true NOT next", std::to_string(report.false_positives), std::to_string(report.true_negatives)});
  out.write(matrix.markdown());
  out.line();
  heading("CONFIDENCE DISTRIBUTION (# correct, x wrong)");
  std::size_t most = 1;
  for (std::size_t i = 0; i < 10; ++i) {
    most = std::max(most, report.correct_by_confidence[i] + report.wrong_by_confidence[i]);
  }
  const std::size_t scale = (most + 59) / 60;
  for (std::size_t i = 0; i < 10; ++i) {
    const double from = 0.5 + 0.05 * static_cast<double>(i);
    out.line("  " + fixed(from, 2) + " - " + fixed(from + 0.05, 2) + "  " +
             std::string((report.correct_by_confidence[i] + scale - 1) / scale, '#') +
             std::string((report.wrong_by_confidence[i] + scale - 1) / scale, 'x'));
  }
}

Table pair_table(const NextSentenceReport& report, const Evaluation& evaluation) {
  Table table({{"pair", Align::kRight},
               {"topic", Align::kLeft},
               {"label", Align::kLeft},
               {"predicted", Align::kLeft},
               {"correct", Align::kLeft},
               {"is_next", Align::kRight},
               {"not_next", Align::kRight},
               {"logit_margin", Align::kRight}});
  const auto word = [](bool value) { return std::string(value ? "true" : "false"); };
  for (std::size_t i = 0; i < report.pairs.size(); ++i) {
    const JudgedPair& pair = report.pairs[i];
    table.add({std::to_string(i + 1), evaluation.pairs[i].topic, word(pair.label), word(pair.predicted),
               word(pair.correct()), decimal(pair.answer.is_next, 6), decimal(pair.answer.not_next, 6),
               decimal(pair.answer.margin(), 4)});
  }
  return table;
}

Expected<int> run(const Options& options) {
  const auto loaded = load_tasks(options.engine, encode_options(options.truncation), 1, Head::kNsp);
  if (!loaded) return tl::unexpected(loaded.error());
  Tasks& tasks = *loaded->front();
  Output out(1, "standard output");
  Evaluation evaluation;
  if (Status read = read_and_answer(options, tasks, out, evaluation); !read)
    return tl::unexpected(read.error());
  Expected<NextSentenceReport> report;
  // a stream ends with its object even where no line was a pair
  if (options.output.json_lines && evaluation.pairs.empty()) {
    report->threshold = options.threshold;
  } else {
    report = evaluate_next_sentence(evaluation.answers, evaluation.labels, options.threshold);
  }
  if (!report) return fail(report.error().code, input_name(options) + ": " + report.error().message);
  const Expected<int> status =
      print_answer(out, options.output.format(),
                   {.json = [&](JsonWriter& json) { write_report(json, *report, evaluation); },
                    .table = [&] { return pair_table(*report, evaluation); },
                    .report = [&] { print_report(out, *report, evaluation); }},
                   evaluation.lines.bad > 0 ? kFailed : kOk);
  if (!status) return status;
  if (tasks.truncation_implied()) warn_of_implied_truncation();
  return status_of("eval-nsp", evaluation.lines);
}

}  // namespace

Action define_eval_nsp(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--file", options->file,
                 "pairs, a JSON object a line or a CSV table; default: standard input")
      ->type_name("PATH")
      ->check(not_empty())
      ->group("Input");
  app.add_option("--threshold", options->threshold,
                 "\"is next\" is predicted where P(is next) is greater; default: 0.5")
      ->type_name("P")
      ->check(number_between(0, 1));
  add_truncation_options(app, options->truncation);
  add_format_options(app, options->output);
  add_engine_options(app, options->engine);
  app.footer(
      "A line holds \"text\", \"pair\", \"is_next\" (true or false) and perhaps \"topic\"; a CSV table has a "
      "first line that\n"
      "names these columns. \"is next\" is the positive class. --jsonl: a bad line gives an error object in "
      "its place, and\n"
      "one object comes at the end; it names every pair, so all pairs are held in memory.\n"
      "\n"
      "examples\n"
      "  bertlens eval-nsp --file pairs.csv                          # Exercise 5 of the notebook\n"
      "  bertlens eval-nsp --json --threshold 0.9 --file pairs.jsonl");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
