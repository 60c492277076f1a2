// The options and the question that most tasks share.
#include "app/task_command.h"

#include "app/request.h"

namespace bert::cli {

void add_task_options(CLI::App& app, TaskOptions& options, const std::string& what, const std::string& help) {
  add_input_options(app, options.input, what, help);
  add_truncation_options(app, options.truncation);
  add_format_options(app, options.output);
  add_engine_options(app, options.engine);
}

StreamOptions task_stream(const EngineOptions& options, const std::string& folder) {
  StreamOptions stream{.model = &folder};
  if (options.backend == "cuda") stream.default_batch = 512;
  return stream;
}

Expected<OwnedText> read_text(const StreamLine& line) {
  const Expected<nlohmann::json> object = line.object();
  if (!object) return tl::unexpected(object.error());
  Expected<std::string> text = text_field(*object, "text");
  if (!text) return tl::unexpected(text.error());
  Expected<std::optional<std::string>> pair = optional_text_field(*object, "pair");
  if (!pair) return tl::unexpected(pair.error());
  return OwnedText{std::move(*text), std::move(*pair)};
}

}  // namespace bert::cli
