// `bertlens score`: how likely a text is to the model, each token masked in turn.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "app/answer.h"
#include "app/command.h"
#include "app/task_command.h"
#include "io/error_line.h"

namespace bert::cli {
namespace {

struct Options : TaskOptions {
  ScoreOptions scoring;
};

std::string token_of(const Tokenizer& tokenizer, std::int32_t id) {
  return std::string(tokenizer.id_to_token(id).value_or(""));
}

void write_answer(JsonWriter& json, const Tokenizer& tokenizer, const Score& score) {
  json.begin_object()
      .key("pseudo_log_likelihood")
      .number(score.pseudo_log_likelihood)
      .key("tokens")
      .begin_array();
  for (const ScoredToken& token : score.tokens) {
    const std::int32_t id = score.encoding.ids[token.position];
    json.begin_object().key("token").string(token_of(tokenizer, id)).key("id").number(id);
    json.key("log_probability").number(token.log_probability).key("rank").number(token.rank);
    json.key("best")
        .string(token_of(tokenizer, token.best_id))
        .key("best_probability")
        .number(token.best_probability);
    json.end_object();
  }
  json.end_array().end_object();
}

StreamHandler stream_handler(const Options& options, Tasks& tasks) {
  const auto score = [&options, &tasks](const StreamLine& line) {
    return read_text(line).and_then(
        [&](const OwnedText& text) { return tasks.score(text.input(), options.scoring); });
  };
  const auto write = [&tasks](JsonWriter& json, const Score& one) {
    write_answer(json, tasks.tokenizer(), one);
  };
  return solve_in_turn(score, write);
}

Table token_table(const Tokenizer& tokenizer, std::span<const Score> scores) {
  Table table({{"row", Align::kRight},
               {"token", Align::kLeft},
               {"log_probability", Align::kRight},
               {"probability", Align::kRight},
               {"rank", Align::kRight},
               {"best", Align::kLeft},
               {"best_probability", Align::kRight}});
  for (std::size_t row = 0; row < scores.size(); ++row) {
    for (const ScoredToken& token : scores[row].tokens) {
      table.add({std::to_string(row), token_of(tokenizer, scores[row].encoding.ids[token.position]),
                 decimal(token.log_probability, 4), probability_cell(std::exp(token.log_probability)),
                 std::to_string(token.rank), token_of(tokenizer, token.best_id),
                 probability_cell(token.best_probability)});
    }
  }
  return table;
}

void print_text(Output& out, const Tokenizer& tokenizer, const std::vector<std::string>& texts,
                const std::vector<Score>& scores) {
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const std::size_t count = scores[i].tokens.size();
    if (i > 0) out.line();
    out.line("Text: " + printable(texts[i]));
    out.line("Pseudo-log-likelihood: " + fixed(scores[i].pseudo_log_likelihood, 4) + " over " +
             std::to_string(count) + (count == 1 ? " token" : " tokens") +
             (count > 0
                  ? "; pseudo-perplexity " +
                        fixed(std::exp(-scores[i].pseudo_log_likelihood / static_cast<double>(count)), 2)
                  : ""));
    out.line();
    out.write(token_table(tokenizer, std::span(&scores[i], 1)).markdown());
  }
}

Expected<int> one_answer(const Options& options, Tasks& tasks, Output& out) {
  const Expected<std::vector<std::string>> texts = all_texts(options.input);
  if (!texts) return tl::unexpected(texts.error());
  std::vector<Score> scores;
  for (std::size_t i = 0; i < texts->size(); ++i) {
    Progress progress("score", Progress::Unit::kCount);
    Expected<Score> score = tasks.score((*texts)[i], options.scoring, control_with(progress));
    if (!score) return text_error(score.error(), options.input, i);
    scores.push_back(std::move(*score));
  }
  return print_answer(out, options.output.format(),
                      {.json =
                           [&](JsonWriter& json) {
                             write_list(json, scores, [&](JsonWriter& list, const Score& score) {
                               write_answer(list, tasks.tokenizer(), score);
                             });
                           },
                       .table = [&] { return token_table(tasks.tokenizer(), scores); },
                       .report = [&] { print_text(out, tasks.tokenizer(), *texts, scores); }});
}

}  // namespace

Action define_score(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_task_options(app, *options, "TEXT", "the texts");
  app.add_flag("--hide-rest-of-word", options->scoring.hide_rest_of_word,
               "mask the later pieces of a token's word with it, so that its end does not give it away");
  app.footer(
      "With --jsonl a line holds \"text\" and perhaps \"pair\", whose tokens are scored too, each text "
      "seeing the other.\n"
      "\n"
      "examples\n"
      "  bertlens score \"The cat sat on the mat.\" \"The cat sat on the moon.\"\n"
      "  printf '{\"text\": \"The cat sat on the mat.\"}\\n' | bertlens score --jsonl");
  return [options] { return run_task(*options, "score", stream_handler, one_answer, Head::kMlm); };
}

}  // namespace bert::cli
