// `bertlens embed`: one vector a text.
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
#include "io/utf8.h"

namespace bert::cli {
namespace {

struct Options {
  EngineOptions engine;
  InputOptions input;
  FormatOptions output;
  TruncationOptions truncation;
  EmbedOptions embedding;
};

void write_answer(JsonWriter& json, const std::vector<float>& embedding) {
  json.begin_object().key("embedding").numbers(embedding).end_object();
}

Expected<int> stream(const Options& options, Tasks& tasks, Output& out) {
  const auto handler = [&](std::span<StreamLine> lines, const Emit&) {
    std::vector<std::string> texts;
    std::vector<std::size_t> owners;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      Expected<std::string> text =
          lines[i].object().and_then([](const nlohmann::json& object) { return text_field(object, "text"); });
      if (text) {
        texts.push_back(std::move(*text));
        owners.push_back(i);
      } else {
        lines[i].refuse(text.error());
      }
    }
    const std::vector<TextInput> inputs(texts.begin(), texts.end());
    const auto answers = tasks.embed_batch(inputs, options.embedding);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i]) {
        lines[owners[i]].answer([&](JsonWriter& json) { write_answer(json, *answers[i]); });
      } else {
        lines[owners[i]].refuse(answers[i].error());
      }
    }
  };
  return run_stream(options.input, out, "embed", handler);
}

// The start of each vector, and how alike the texts are.
void print_text(Output& out, const Options& options, const std::vector<std::string>& texts,
                const std::vector<std::vector<float>>& all) {
  out.line("Embeddings [" + std::to_string(all.size()) + ", " + std::to_string(all.front().size()) +
           "], pooling: " + std::string(pooling_name(options.embedding.pooling)) +
           (options.embedding.normalize ? ", normalized" : ""));
  out.line();
  Table start({{"", Align::kRight}, {"text", Align::kLeft}, {"first values", Align::kLeft}});
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::string values;
    for (std::size_t j = 0; j < std::min<std::size_t>(5, all[i].size()); ++j) {
      values += (j > 0 ? ", " : "") + fixed(static_cast<double>(all[i][j]), 4);
    }
    start.add({std::to_string(i), std::string(first_characters(texts[i], 50)), values + ", ..."});
  }
  out.write(start.markdown());
  if (all.size() < 2) return;
  out.line();
  out.line("Cosine similarity:");
  std::vector<Table::Column> columns = {{"", Align::kRight}};
  for (std::size_t i = 0; i < all.size(); ++i) columns.push_back({std::to_string(i), Align::kRight});
  Table similarity(std::move(columns));
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::vector<std::string> cells = {std::to_string(i)};
    for (const std::vector<float>& other : all) cells.push_back(fixed(cosine_similarity(all[i], other), 4));
    similarity.add(std::move(cells));
  }
  out.write(similarity.markdown());
}

Expected<int> one_answer(const Options& options, Tasks& tasks, Output& out) {
  const Expected<std::vector<std::string>> texts = all_texts(options.input);
  if (!texts) return tl::unexpected(texts.error());
  const std::vector<TextInput> inputs(texts->begin(), texts->end());
  Progress progress("embed", Progress::Unit::kCount);
  std::vector<std::vector<float>> all;
  for (auto& embedding : tasks.embed_batch(inputs, options.embedding, control_with(progress))) {
    if (!embedding) return tl::unexpected(embedding.error());
    all.push_back(std::move(*embedding));
  }
  progress.wipe();
  const Format format = options.output.format();
  if (format == Format::kText) print_text(out, options, *texts, all);
  if (format == Format::kJson) {
    std::string text;
    JsonWriter json(text);
    if (all.size() > 1) json.begin_array();
    for (const std::vector<float>& embedding : all) write_answer(json, embedding);
    if (all.size() > 1) json.end_array();
    out.line(text);
  }
  if (format == Format::kCsv || format == Format::kMarkdown) {
    std::vector<Table::Column> columns = {{"row", Align::kRight}};
    for (std::size_t i = 0; i < all.front().size(); ++i)
      columns.push_back({"e" + std::to_string(i), Align::kRight});
    Table table(std::move(columns));
    for (std::size_t i = 0; i < all.size(); ++i) {
      std::vector<std::string> cells = {std::to_string(i)};
      for (const float value : all[i]) cells.push_back(python_number(static_cast<double>(value)));
      table.add(std::move(cells));
    }
    out.write(format == Format::kCsv ? table.csv() : table.markdown());
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

Action define_embed(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_input_options(app, options->input, "TEXT", "the texts");
  add_choice<Pooling>(app, "--pooling", options->embedding.pooling,
                      {{"cls", Pooling::kCls}, {"mean", Pooling::kMean}, {"max", Pooling::kMax}},
                      "[CLS] alone, the mean over the tokens (default), or the greatest of each component");
  app.add_flag("--normalize", options->embedding.normalize, "vectors of length 1");
  add_truncation_options(app, options->truncation);
  add_format_options(app, options->output);
  add_engine_options(app, options->engine);
  app.footer(
      "examples\n"
      "  bertlens embed \"A cat sat on the mat.\" \"A dog lay on the rug.\" \"Rates rose again.\"\n"
      "  bertlens embed --json --pooling cls \"hello\"\n"
      "  bertlens embed --jsonl --normalize --truncation longest_first < texts.jsonl > vectors.jsonl");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
