// Collects the texts of a command.
#include "app/texts.h"

#include <unistd.h>

#include "app/command.h"
#include "io/error_line.h"
#include "io/line_reader.h"

namespace bert::cli {

void check_input(const InputOptions& input) {
  if (!input.texts.empty() && !input.file.empty()) {
    usage_error("texts come as arguments or with --file " + in_quotes(input.file) + ", not both");
  }
}

Expected<std::vector<std::string>> all_texts(const InputOptions& input) {
  check_input(input);
  if (!input.texts.empty()) return input.texts;
  const bool standard = input.file.empty() || input.file == "-";
  if (standard && ::isatty(STDIN_FILENO) != 0)
    usage_error("no text: give it as an argument, with --file, or on standard input");
  Expected<LineReader> reader = LineReader::open(standard ? "-" : input.file);
  if (!reader) return tl::unexpected(reader.error());
  std::vector<std::string> texts;
  std::string line;
  for (;;) {
    const Expected<bool> more = reader->next(line);
    if (!more) return tl::unexpected(more.error());
    if (!*more) break;
    // a byte order mark says how the file is written, it is none of the first text
    if (texts.empty() && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);
    texts.push_back(line);
  }
  if (texts.empty()) {
    usage_error("no text: " + (standard ? std::string("standard input") : in_quotes(input.file)) +
                " is empty");
  }
  return texts;
}

tl::unexpected<Error> text_error(const Error& error, std::size_t index, std::size_t count) {
  return fail(error.code, (count > 1 ? "text " + std::to_string(index + 1) + ": " : "") + error.message);
}

}  // namespace bert::cli
