// `bertlens score`: how likely a text is to the model, each token masked in turn.
#include <cmath>
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

Expected<int> stream(const Options& options, Tasks& tasks, Output& out) {
  const auto handler = [&](std::span<StreamLine> lines, const Emit& emit) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const Expected<std::string> text =
          lines[i].object().and_then([](const nlohmann::json& object) { return text_field(object, "text"); });
      const Expected<Score> score =
          text.and_then([&](const std::string& one) { return tasks.score(one, options.scoring); });
      if (score) {
        lines[i].answer([&](JsonWriter& json) { write_answer(json, tasks.tokenizer(), *score); });
      } else {
        lines[i].refuse(score.error());
      }
      emit(i);
    }
  };
  return run_stream(options.input, out, "score", handler);
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
                 fixed(token.log_probability, 4), probability_text(std::exp(token.log_probability)),
                 std::to_string(token.rank), token_of(tokenizer, token.best_id),
                 probability_text(token.best_probability)});
    }
  }
  return table;
}

Expected<int> one_answer(const Options& options, Tasks& tasks, Output& out) {
  const Expected<std::vector<std::string>> texts = all_texts(options.input);
  if (!texts) return tl::unexpected(texts.error());
  std::vector<Score> scores;
  for (const std::string& text : *texts) {
    Progress progress("score", Progress::Unit::kCount);
    Expected<Score> score = tasks.score(text, options.scoring, control_with(progress));
    if (!score) return tl::unexpected(score.error());
    scores.push_back(std::move(*score));
  }
  switch (options.output.format()) {
    case Format::kJson:
    case Format::kJsonLines: {
      std::string text;
      JsonWriter json(text);
      if (scores.size() > 1) json.begin_array();
      for (const Score& score : scores) write_answer(json, tasks.tokenizer(), score);
      if (scores.size() > 1) json.end_array();
      out.line(text);
      break;
    }
    case Format::kCsv:
      out.write(token_table(tasks.tokenizer(), scores).csv());
      break;
    case Format::kMarkdown:
      out.write(token_table(tasks.tokenizer(), scores).markdown());
      break;
    case Format::kText:
      for (std::size_t i = 0; i < scores.size(); ++i) {
        const std::size_t count = scores[i].tokens.size();
        if (i > 0) out.line();
        out.line("Text: " + (*texts)[i]);
        out.line("Pseudo-log-likelihood: " + fixed(scores[i].pseudo_log_likelihood, 4) + " over " +
                 std::to_string(count) + " tokens" +
                 (count > 0
                      ? "; pseudo-perplexity " +
                            fixed(std::exp(-scores[i].pseudo_log_likelihood / static_cast<double>(count)), 2)
                      : ""));
        out.line();
        out.write(token_table(tasks.tokenizer(), std::span(&scores[i], 1)).markdown());
      }
  }
  return finish(out);
}

Expected<int> run(const Options& options) {
  check_input(options.input);
  const Expected<std::unique_ptr<Tasks>> tasks =
      load_tasks(options.engine, encode_options(options.truncation));
  if (!tasks) return tl::unexpected(tasks.error());
  Output out(1, "standard output");
  return options.output.json_lines ? stream(options, **tasks, out) : one_answer(options, **tasks, out);
}

}  // namespace

Action define_score(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_input_options(app, options->input, "TEXT", "the texts");
  app.add_flag("--hide-rest-of-word", options->scoring.hide_rest_of_word,
               "mask the later pieces of a token's word with it, so that its end does not give it away");
  add_truncation_options(app, options->truncation);
  add_format_options(app, options->output);
  add_engine_options(app, options->engine);
  app.footer(
      "examples\n"
      "  bertlens score \"The cat sat on the mat.\" \"The cat sat on the moon.\"\n"
      "  printf '{\"text\": \"The cat sat on the mat.\"}\\n' | bertlens score --jsonl");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
