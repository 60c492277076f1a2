// The program `bertlens`: picks the command, parses its options, and turns every error into one line and a
// status.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "app/command.h"
#include "io/error_line.h"
#include "io/output.h"

namespace bert::cli {
namespace {

constexpr const char* kIntroduction =
    "bertlens: BERT seen from inside.\n"
    "\n"
    "usage: bertlens COMMAND [TEXT ...] [OPTIONS]\n"
    "\n"
    "Texts come as arguments, from --file, or from standard input. Tables are for people; --json, --csv and "
    "--md\n"
    "give one answer for programs; --jsonl is a stream: one JSON object a line in, one out, in order.\n"
    "\n"
    "commands\n";

constexpr const char* kExamples =
    "\n"
    "examples\n"
    "  bertlens tokenize \"Tokenization and padding are fundamental steps in most NLP pipelines.\"\n"
    "  bertlens fill-mask \"The capital of France is [MASK].\" --top-k 10\n"
    "  bertlens nsp \"The weather is beautiful today.\" \"I think I'll go for a walk in the park.\"\n"
    "  bertlens embed --jsonl --pooling mean --normalize < texts.jsonl > vectors.jsonl\n"
    "\n"
    "bertlens COMMAND --help explains a command with examples; bertlens --version prints the version.\n"
    "Exit status: 0 all is well, 1 something failed (one line on standard error says what), 2 wrong usage.\n";

std::string general_help() {
  std::string text = kIntroduction;
  for (const Command& command : commands()) {
    std::string name = "  " + std::string(command.name);
    name.resize(16, ' ');
    text += name + std::string(command.summary) + "\n";
  }
  return text + kExamples;
}

// How many letters must change to turn one word into the other (Levenshtein).
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      diagonal = above;
    }
  }
  return row.back();
}

// " (did you mean X?)" for the nearest of `names`, if one is near.
std::string suggestion(const std::string& word, const std::vector<std::string>& names) {
  std::string best;
  std::size_t least = word.size() / 3 + 2;
  if (word.size() > 40) return {};
  for (const std::string& name : names) {
    if (const std::size_t distance = edits(word, name); distance < least) {
      least = distance;
      best = name;
    }
  }
  return best.empty() ? best : " (did you mean " + best + "?)";
}

int print_text(const std::string& text) {
  Output out(1, "standard output");
  out.write(text);
  const Status flushed = out.flush();
  if (!flushed && !out.closed()) print_error(flushed.error().message);
  return flushed ? kOk : kFailed;
}

// What CLI11 found wrong, in our words where its own are terse.
std::string explain(const CLI::ParseError& error, const CLI::App& app) {
  if (dynamic_cast<const CLI::ExtrasError*>(&error)) {
    const std::vector<std::string> extras = app.remaining();
    const std::string extra = extras.empty() ? "" : extras.front();
    if (extra.size() > 1 && extra.front() == '-') {
      std::vector<std::string> names;
      for (const CLI::Option* option : app.get_options()) {
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
      }
      return "unknown option " + in_quotes(extra) + suggestion(extra, names) +
             (app.get_option_no_throw("texts") ? "; a text that starts with - goes after --" : "");
    }
    return "unexpected argument " + in_quotes(extra);
  }
  return error.what();
}

// CLI11 takes an argument in brackets, "[MASK]" say, for a list and cuts it up. A mark in front keeps it
// whole; every option takes the mark off again.
constexpr char kMark = '\x1f';

std::vector<std::string> marked_arguments(int count, char** arguments) {
  std::vector<std::string> marked;
  bool texts_only = false;  // what follows "--"
  for (int i = 0; i < count; ++i) {
    const std::string_view argument = arguments[i];
    texts_only |= argument == "--";
    // --attentions may stand alone, so that only numbers after it are its own and a text is not
    const bool numbers =
        !argument.empty() && argument.find_first_not_of("0123456789,") == std::string_view::npos;
    if (numbers && !texts_only && !marked.empty() && marked.back().starts_with("--attentions")) {
      marked.back() += (marked.back() == "--attentions" ? '=' : ',') + std::string(argument);
      continue;
    }
    const bool cut = argument.starts_with('[') && argument.ends_with(']');
    marked.push_back((cut || argument.starts_with(kMark) ? std::string(1, kMark) : "") +
                     std::string(argument));
  }
  std::reverse(marked.begin(), marked.end());  // as CLI11 wants them
  return marked;
}

std::string remove_mark(std::string& value) {
  if (value.starts_with(kMark)) value.erase(0, 1);
  return {};
}

int run_command(const Command& command, int count, char** arguments) {
  CLI::App app(std::string(command.summary), "bertlens " + std::string(command.name));
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  const Action action = command.define(app);
  for (CLI::Option* option : app.get_options()) option->transform(CLI::Validator(remove_mark, ""));
  const std::string name(command.name);
  try {
    std::vector<std::string> marked = marked_arguments(count - 2, arguments + 2);
    app.parse(marked);
    const Expected<int> status = action();
    if (status) return *status;
    print_error(name + ": " + status.error().message);
    return kFailed;
  } catch (const CLI::CallForHelp&) {
    return print_text(app.help());
  } catch (const CLI::ParseError& error) {
    print_error(name + ": " + explain(error, app) + "; see bertlens " + name + " --help");
    return kUsage;
  }
}

int run(int count, char** arguments) {
  if (count < 2) {
    print_error("a command is missing; bertlens --help lists them");
    return kUsage;
  }
  const std::string word = arguments[1];
  if (word == "--help" || word == "-h" || word == "help") return print_text(general_help());
  if (word == "--version" || word == "-V") return print_text("bertlens " BERTLENS_VERSION "\n");
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    if (command.name == word) return run_command(command, count, arguments);
    names.emplace_back(command.name);
  }
  print_error("unknown command " + in_quotes(word) + suggestion(word, names) +
              "; bertlens --help lists them");
  return kUsage;
}

}  // namespace

void usage_error(std::string_view message) {
  throw CLI::ParseError(std::string(message), kUsage);
}

}  // namespace bert::cli

namespace {

// A closed standard stream would be the next file that is opened, and mistaken for it. What takes its place
// can only be used the other way round, so that reading or writing still fails (the trick of GNU's stdopen).
void occupy_closed_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) == -1) {
      [[maybe_unused]] const int opened = ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  occupy_closed_streams();
  // characters of other scripts have their true width in tables; numbers stay as in C
  std::setlocale(LC_CTYPE, "C.UTF-8");
  // a closed pipe ends the program as it ends every other filter, whatever the parent process set
  std::signal(SIGPIPE, SIG_DFL);
  try {
    return bert::cli::run(count, arguments);
  } catch (const std::bad_alloc&) {
    bert::cli::print_error("out of memory");
  } catch (const std::exception& error) {
    bert::cli::print_error(error.what());
  }
  return bert::cli::kFailed;
}
