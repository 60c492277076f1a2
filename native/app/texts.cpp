// Collects the texts of a command.
#include "app/texts.h"

#include <unistd.h>

#include "app/command.h"
#include "io/error_line.h"
#include "io/line_reader.h"

namespace bert::cli {

namespace {
bool reads_standard_input(const InputOptions& input) {
  return input.file.empty() || input.file == "-";
}
}  // namespace

void check_input(const InputOptions& input) {
  if (!input.texts.empty() && !input.file.empty()) {
    usage_error("texts come as arguments or with --file " + in_quotes(input.file) + ", not both");
  }
}

std::string name_of(const InputOptions& input) {
  return reads_standard_input(input) ? "standard input" : in_quotes(input.file);
}

Expected<std::vector<std::string>> all_texts(const InputOptions& input) {
  check_input(input);
  if (!input.texts.empty()) return input.texts;
  const bool standard = reads_standard_input(input);
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
    usage_error("no text: " + name_of(input) + " is empty");
  }
  return texts;
}

tl::unexpected<Error> text_error(const Error& error, const InputOptions& input, std::size_t index) {
  const std::string number = std::to_string(index + 1);
  const std::string place = input.texts.size() == 1 ? ""
                            : !input.texts.empty()  ? "text " + number + ": "
                                                    : name_of(input) + ", line " + number + ": ";
  return fail(error.code, place + in_option_names(error.message));
}

}  // namespace bert::cli
