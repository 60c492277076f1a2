// What the commands have in common that run a model on texts.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "app/engine.h"
#include "app/options.h"
#include "app/stream.h"
#include "app/texts.h"

namespace bert::cli {

struct TaskOptions {
  EngineOptions engine;
  InputOptions input;
  FormatOptions output;
  TruncationOptions truncation;
};
/// `what` and `help` as for add_input_options.
void add_task_options(CLI::App& app, TaskOptions& options, const std::string& what, const std::string& help);

/// Loads the model and answers with stream(options, tasks, out) for --jsonl, else with
/// one_answer(options, tasks, out); both give Expected<int>. `needed`: the head that the task reads.
template <class Options, class OnStream, class OnTexts>
Expected<int> run_task(const Options& options, const OnStream& stream, const OnTexts& one_answer,
                       std::optional<Head> needed = {}) {
  check_input(options.input);
  const Expected<std::unique_ptr<Tasks>> tasks =
      load_tasks(options.engine, encode_options(options.truncation), needed);
  if (!tasks) return tl::unexpected(tasks.error());
  Output out(1, "standard output");
  return options.output.json_lines ? stream(options, **tasks, out) : one_answer(options, **tasks, out);
}

/// The field "text" of a line.
Expected<std::string> read_text(const StreamLine& line);

}  // namespace bert::cli
