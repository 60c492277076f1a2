// `bertlens nsp`: does the second text follow the first? Without a format it prints the report of the
// notebook's cell 11.
#include <memory>
#include <string>
#include <vector>

#include "app/answer.h"
#include "app/command.h"
#include "app/request.h"
#include "app/task_command.h"
#include "io/error_line.h"

namespace bert::cli {
namespace {

struct Pair {
  std::string text, pair;
};

Expected<Pair> read_pair(const StreamLine& line) {
  const Expected<nlohmann::json> object = line.object();
  if (!object) return tl::unexpected(object.error());
  Expected<std::string> text = text_field(*object, "text");
  if (!text) return tl::unexpected(text.error());
  Expected<std::string> pair = text_field(*object, "pair");
  if (!pair) return tl::unexpected(pair.error());
  return Pair{std::move(*text), std::move(*pair)};
}

void write_answer(JsonWriter& json, const NextSentence& answer) {
  json.begin_object().key("is_next").number(answer.is_next).key("not_next").number(answer.not_next);
  json.key("logits").numbers(std::span<const float>(answer.logits)).end_object();
}

StreamHandler stream_handler(const TaskOptions&, Tasks& tasks) {
  const auto judge_all = [&tasks](std::span<const Pair> pairs, const CallControl& control) {
    std::vector<TextInput> inputs;
    inputs.reserve(pairs.size());
    for (const Pair& pair : pairs) inputs.emplace_back(TextSequence(pair.text), TextSequence(pair.pair));
    return tasks.next_sentence_batch(inputs, control);
  };
  return solve_together(read_pair, judge_all, write_answer);
}

// Cell 11.
void print_text(Output& out, std::span<const std::string> texts, std::span<const NextSentence> answers) {
  out.line("Starting sentence: '" + printable(texts.front()) + "'");
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const NextSentence& answer = answers[i];
    out.line();
    out.line("Candidate sentence: '" + printable(texts[i + 1]) + "'");
    out.line(answer.is_next > answer.not_next ? "Prediction: IS the next sentence"
                                              : "Prediction: IS NOT the next sentence");
    out.line("  P(is next)     = " + fixed(answer.is_next, 4));
    out.line("  P(is NOT next) = " + fixed(answer.not_next, 4));
    out.line("  logits         = [" + fixed(static_cast<double>(answer.logits[0]), 4) + ", " +
             fixed(static_cast<double>(answer.logits[1]), 4) + "]");
  }
}

Table candidate_table(std::span<const std::string> texts, std::span<const NextSentence> answers) {
  Table table({{"candidate", Align::kLeft},
               {"is_next", Align::kRight},
               {"not_next", Align::kRight},
               {"logit_is_next", Align::kRight},
               {"logit_not_next", Align::kRight}});
  for (std::size_t i = 0; i < answers.size(); ++i) {
    table.add({texts[i + 1], decimal(answers[i].is_next, 6), decimal(answers[i].not_next, 6),
               decimal(answers[i].logits[0], 4), decimal(answers[i].logits[1], 4)});
  }
  return table;
}

Expected<int> one_answer(const TaskOptions& options, Tasks& tasks, Output& out) {
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
    if (!answer) return text_error(answer.error(), options.input, answers.size() + 1);
    answers.push_back(*answer);
  }
  return print_answer(out, options.output.format(),
                      {.json = [&](JsonWriter& json) { write_list(json, answers, write_answer); },
                       .table = [&] { return candidate_table(*texts, answers); },
                       .report = [&] { print_text(out, *texts, answers); }});
}

}  // namespace

Action define_nsp(CLI::App& app) {
  auto options = std::make_shared<TaskOptions>();
  add_task_options(app, *options, "TEXT", "the first text, then each text that may follow it");
  app.footer(
      "With --jsonl a line holds \"text\" and \"pair\". Index 0 of the logits is \"is next\".\n"
      "\n"
      "examples\n"
      "  bertlens nsp \"The weather is beautiful today.\" \"I think I'll go for a walk in the park.\" \\\n"
      "      \"Deep Learning is a branch of Machine Learning.\"              # cell 11 of the notebook\n"
      "  printf '{\"text\": \"It rains.\", \"pair\": \"Take an umbrella.\"}\\n' | bertlens nsp --jsonl");
  return [options] {
    if (options->output.json_lines && !options->input.texts.empty()) {
      usage_error("with --jsonl the pairs come from --file or standard input, not as arguments");
    }
    return run_task(*options, "nsp", stream_handler, one_answer, Head::kNsp);
  };
}

}  // namespace bert::cli
