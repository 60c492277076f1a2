// What the commands have in common that run a model on texts.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/engine.h"
#include "app/model_folder.h"
#include "app/options.h"
#include "app/stream.h"
#include "app/texts.h"
#include "io/error_line.h"

namespace bert::cli {

struct TaskOptions {
  EngineOptions engine;
  InputOptions input;
  FormatOptions output;
  TruncationOptions truncation;
};
/// `what` and `help` as for add_input_options.
void add_task_options(CLI::App& app, TaskOptions& options, const std::string& what, const std::string& help);

/// How lines become batches: larger ones for a GPU. `folder`, the model's, is kept.
StreamOptions task_stream(const EngineOptions& options, const std::string& folder);

/// Loads the model and answers with stream_handler(options, tasks) for --jsonl, a StreamHandler for each
/// worker, else with one_answer(options, tasks, out), an Expected<int>. `label` names the work on the
/// progress line. `needed`: the head that the task reads.
template <class Options, class MakeHandler, class OnTexts>
Expected<int> run_task(const Options& options, const std::string& label, const MakeHandler& stream_handler,
                       const OnTexts& one_answer, std::optional<Head> needed = {}) {
  check_input(options.input);
  const std::size_t workers = options.output.json_lines ? stream_workers(options.engine) : 1;
  const auto tasks = load_tasks(options.engine, encode_options(options.truncation), workers, needed);
  if (!tasks) return tl::unexpected(tasks.error());
  const std::string folder = find_model_folder(options.engine).value_or("");
  Output out(1, "standard output");
  Expected<int> status;
  if (options.output.json_lines) {
    std::vector<StreamHandler> handlers;
    for (const std::unique_ptr<Tasks>& own : *tasks) handlers.push_back(stream_handler(options, *own));
    status = run_stream(options.input, out, label, handlers, task_stream(options.engine, folder));
  } else {
    status = one_answer(options, *tasks->front(), out).map_error([&](const Error& error) {
      return of_model(folder, error);
    });
  }
  const auto implied = [](const std::unique_ptr<Tasks>& own) { return own->truncation_implied(); };
  if (status && std::any_of(tasks->begin(), tasks->end(), implied)) warn_of_implied_truncation();
  return status;
}

/// A text, owned, perhaps with a second one.
struct OwnedText {
  std::string text;
  std::optional<std::string> pair;

  TextInput input() const { return pair ? TextInput(text, *pair) : TextInput(text); }
};
/// The fields "text" and perhaps "pair" of a line.
Expected<OwnedText> read_text(const StreamLine& line);

}  // namespace bert::cli
