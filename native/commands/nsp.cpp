// `bertlens nsp`: does the second text follow the first? Without a format it prints the report of the
// notebook's cell 11.
#include <memory>
#include <string>
#include <vector>

#include "app/command.h"
#include "app/engine.h"
#include "app/options.h"
#include "app/request.h"
#include "app/stream.h"
#include "app/texts.h"
#include "io/table.h"

namespace bert::cli {
namespace {

struct Options {
  EngineOptions engine;
  InputOptions input;
  FormatOptions output;
  TruncationOptions truncation;
};

void write_answer(JsonWriter& json, const NextSentence& answer) {
  json.begin_object().key("is_next").number(answer.is_next).key("not_next").number(answer.not_next);
  json.key("logits").numbers(std::span<const float>(answer.logits)).end_object();
}

Expected<int> stream(const Options& options, Tasks& tasks, Output& out) {
  struct Pair {
    std::string text, pair;
  };
  const auto handler = [&](std::span<StreamLine> lines, const Emit&) {
    std::vector<Pair> pairs;
    std::vector<std::size_t> owners;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const Expected<nlohmann::json> object = lines[i].object();
      Expected<std::string> text =
          object.and_then([](const auto& value) { return text_field(value, "text"); });
      Expected<std::string> pair =
          text.and_then([&](const std::string&) { return text_field(*object, "pair"); });
      if (pair) {
        pairs.push_back({std::move(*text), std::move(*pair)});
        owners.push_back(i);
      } else {
        lines[i].refuse(pair.error());
      }
    }
    std::vector<TextInput> inputs;
    inputs.reserve(pairs.size());
    for (const Pair& pair : pairs) inputs.emplace_back(TextSequence(pair.text), TextSequence(pair.pair));
    const std::vector<Expected<NextSentence>> answers = tasks.next_sentence_batch(inputs);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i]) {
        lines[owners[i]].answer([&](JsonWriter& json) { write_answer(json, *answers[i]); });
      } else {
        lines[owners[i]].refuse(answers[i].error());
      }
    }
  };
  return run_stream(options.input, out, "nsp", handler);
}

Expected<int> one_answer(const Options& options, Tasks& tasks, Output& out) {
  const Expected<std::vector<std::string>> texts = all_texts(options.input);
  if (!texts) return tl::unexpected(texts.error());
  if (texts->size() < 2)
    usage_error("a first text and at least one that may follow it are needed, got one text");
  std::vector<TextInput> inputs;
  inputs.reserve(texts->size() - 1);
  for (std::size_t i = 1; i < texts->size(); ++i) {
    inputs.emplace_back(TextSequence(texts->front()), TextSequence((*texts)[i]));
  }
  std::vector<NextSentence> answers;
  for (const Expected<NextSentence>& answer : tasks.next_sentence_batch(inputs)) {
    if (!answer) return tl::unexpected(answer.error());
    answers.push_back(*answer);
  }
  const Format format = options.output.format();
  if (format == Format::kJson) {
    std::string text;
    JsonWriter json(text);
    if (answers.size() > 1) json.begin_array();
    for (const NextSentence& answer : answers) write_answer(json, answer);
    if (answers.size() > 1) json.end_array();
    out.line(text);
  } else if (format == Format::kText) {
    out.line("Starting sentence: '" + texts->front() + "'");
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const NextSentence& answer = answers[i];
      out.line();
      out.line("Candidate sentence: '" + (*texts)[i + 1] + "'");
      out.line(answer.is_next > answer.not_next ? "Prediction: IS the next sentence"
                                                : "Prediction: IS NOT the next sentence");
      out.line("  P(is next)     = " + fixed(answer.is_next, 4));
      out.line("  P(is NOT next) = " + fixed(answer.not_next, 4));
      out.line("  logits         = [" + fixed(static_cast<double>(answer.logits[0]), 4) + ", " +
               fixed(static_cast<double>(answer.logits[1]), 4) + "]");
    }
  } else {
    Table table({{"candidate", Align::kLeft},
                 {"is_next", Align::kRight},
                 {"not_next", Align::kRight},
                 {"logit_is_next", Align::kRight},
                 {"logit_not_next", Align::kRight}});
    for (std::size_t i = 0; i < answers.size(); ++i) {
      table.add({(*texts)[i + 1], fixed(answers[i].is_next, 6), fixed(answers[i].not_next, 6),
                 fixed(static_cast<double>(answers[i].logits[0]), 4),
                 fixed(static_cast<double>(answers[i].logits[1]), 4)});
    }
    out.write(format == Format::kCsv ? table.csv() : table.markdown());
  }
  return finish(out);
}

Expected<int> run(Options& options) {
  check_input(options.input);
  if (options.output.json_lines && !options.input.texts.empty()) {
    usage_error("with --jsonl the pairs come from --file or standard input, not as arguments");
  }
  const Expected<std::unique_ptr<Tasks>> tasks =
      load_tasks(options.engine, encode_options(options.truncation));
  if (!tasks) return tl::unexpected(tasks.error());
  Output out(1, "standard output");
  return options.output.json_lines ? stream(options, **tasks, out) : one_answer(options, **tasks, out);
}

}  // namespace

Action define_nsp(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_input_options(app, options->input, "TEXT", "the first text, then each text that may follow it");
  add_truncation_options(app, options->truncation);
  add_format_options(app, options->output);
  add_engine_options(app, options->engine);
  app.footer(
      "With --jsonl a line holds \"text\" and \"pair\". Index 0 of the logits is \"is next\".\n"
      "\n"
      "examples\n"
      "  bertlens nsp \"The weather is beautiful today.\" \"I think I'll go for a walk in the park.\" \\\n"
      "      \"Deep Learning is a branch of Machine Learning.\"              # cell 11 of the notebook\n"
      "  printf '{\"text\": \"It rains.\", \"pair\": \"Take an umbrella.\"}\\n' | bertlens nsp --jsonl");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
