// `bertlens embed`: one vector a text.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "app/answer.h"
#include "app/command.h"
#include "app/task_command.h"
#include "io/utf8.h"

namespace bert::cli {
namespace {

struct Options : TaskOptions {
  EmbedOptions embedding;
};

void write_answer(JsonWriter& json, const std::vector<float>& embedding) {
  json.begin_object().key("embedding").numbers(embedding).end_object();
}

StreamHandler stream_handler(const Options& options, Tasks& tasks) {
  const auto embed_all = [&options, &tasks](std::span<const OwnedText> texts, const CallControl& control) {
    std::vector<TextInput> inputs;
    inputs.reserve(texts.size());
    for (const OwnedText& text : texts) inputs.push_back(text.input());
    return tasks.embed_batch(inputs, options.embedding, control);
  };
  return solve_together(read_text, embed_all, write_answer);
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
    std::vector<Cell> cells = {std::to_string(i)};
    for (const std::vector<float>& other : all)
      cells.emplace_back(fixed(cosine_similarity(all[i], other), 4));
    similarity.add(std::move(cells));
  }
  out.write(similarity.markdown());
}

// A text a row, a component a column.
Table value_table(const std::vector<std::vector<float>>& all) {
  std::vector<Table::Column> columns = {{"row", Align::kRight}};
  for (std::size_t i = 0; i < all.front().size(); ++i)
    columns.push_back({"e" + std::to_string(i), Align::kRight});
  Table table(std::move(columns));
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::vector<Cell> cells = {std::to_string(i)};
    for (const float value : all[i]) cells.emplace_back(python_number(value));
    table.add(std::move(cells));
  }
  return table;
}

Expected<int> one_answer(const Options& options, Tasks& tasks, Output& out) {
  const Expected<std::vector<std::string>> texts = all_texts(options.input);
  if (!texts) return tl::unexpected(texts.error());
  const std::vector<TextInput> inputs(texts->begin(), texts->end());
  Progress progress("embed", Progress::Unit::kCount);
  const Expected<std::vector<std::vector<float>>> all =
      all_or_error(tasks.embed_batch(inputs, options.embedding, control_with(progress)), options.input);
  if (!all) return tl::unexpected(all.error());
  progress.wipe();
  return print_answer(out, options.output.format(),
                      {.json = [&](JsonWriter& json) { write_list(json, *all, write_answer); },
                       .table = [&] { return value_table(*all); },
                       .report = [&] { print_text(out, options, *texts, *all); }});
}

}  // namespace

Action define_embed(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_task_options(app, *options, "TEXT", "the texts");
  add_choice<Pooling>(app, "--pooling", options->embedding.pooling,
                      {{"cls", Pooling::kCls}, {"mean", Pooling::kMean}, {"max", Pooling::kMax}},
                      "[CLS] alone, the mean over the tokens (default), or the greatest of each component");
  app.add_flag("--normalize", options->embedding.normalize, "vectors of length 1");
  app.footer(
      "With --jsonl a line holds \"text\" and perhaps \"pair\"; one vector then stands for both.\n"
      "\n"
      "examples\n"
      "  bertlens embed \"A cat sat on the mat.\" \"A dog lay on the rug.\" \"Rates rose again.\"\n"
      "  bertlens embed --json --pooling cls \"hello\"\n"
      "  bertlens embed --jsonl --normalize --truncation longest_first < texts.jsonl > vectors.jsonl");
  return [options] { return run_task(*options, "embed", stream_handler, one_answer); };
}

}  // namespace bert::cli
