// The program `bertlens`: picks the command, parses its options, and turns every error into one line and a
// status.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "app/command.h"
#include "app/help.h"
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

// " (did you mean X?)" for the one of `names` that `word` is the start of, else for the nearest, if one is
// near.
std::string suggestion(const std::string& word, const std::vector<std::string>& names) {
  if (word.size() > 40) return {};
  const auto asked = [](const std::string& name) { return " (did you mean " + name + "?)"; };
  const auto starts = [&](const std::string& name) { return name.starts_with(word); };
  const std::size_t letters = word.size() - std::min(word.find_first_not_of('-'), word.size());
  const auto whole = std::find_if(names.begin(), names.end(), starts);
  if (letters > 1 && whole != names.end() && std::none_of(whole + 1, names.end(), starts))
    return asked(*whole);
  std::string best;
  // of a short word with two letters changed little is left
  std::size_t least = std::max<std::size_t>(1, letters / 3) + 1;
  for (const std::string& name : names) {
    if (const std::size_t distance = edits(word, name); distance < least) {
      least = distance;
      best = name;
    }
  }
  return best.empty() ? best : asked(best);
}

int print_text(const std::string& text) {
  Output out(1, "standard output");
  out.write(text);
  const Status flushed = out.flush();
  if (!flushed && !out.closed()) print_error(flushed.error().message);
  return flushed ? kOk : kFailed;
}

// CLI11 takes an argument in brackets, "[MASK]" say, for a list and cuts it up, and for an empty value after
// = the argument that follows. A mark in front keeps it whole; every option takes the mark off again.
constexpr char kMark = '\x1f';

// Where the value of "--option=value" starts; npos for any other argument.
std::size_t value_start(const std::string& argument) {
  const std::size_t equals = argument.starts_with("--") ? argument.find('=') : std::string::npos;
  return equals == std::string::npos ? equals : equals + 1;
}

// What holds a mark itself gets one more, so that only ours go.
std::string with_mark(std::string argument) {
  const std::size_t start = value_start(argument);
  if (start != std::string::npos) {
    if (start == argument.size() || argument.find(kMark, start) != std::string::npos)
      argument.insert(start, 1, kMark);
  } else if (argument.starts_with(kMark) || (argument.starts_with('[') && argument.ends_with(']'))) {
    argument.insert(0, 1, kMark);
  }
  return argument;
}

// An argument that looks like "--option=value" may itself be the value of the option before it, or a text.
std::string remove_mark(std::string& value) {
  const std::size_t start = value_start(value);
  const std::size_t at = start == std::string::npos ? 0 : start;
  if (at < value.size() && value[at] == kMark) value.erase(at, 1);
  return {};
}

// Where what is given as a text goes in a command that takes none.
std::string place_of_argument(const CLI::App& app) {
  if (!app.get_options([](const CLI::Option* option) { return option->get_positional(); }).empty()) return {};
  for (const char* name : {"--file", "--find", "--model"}) {
    if (const CLI::Option* option = app.get_option_no_throw(name))
      return std::string("; is it meant for ") + name + " " + option->get_type_name() + "?";
  }
  return {};
}

// What CLI11 found wrong, in our words where its own are terse.
std::string explain(const CLI::ParseError& error, const CLI::App& app) {
  const std::vector<std::string> extras = app.remaining();
  std::string extra = extras.empty() ? "" : extras.front();
  remove_mark(extra);
  const bool unknown = extra.size() > 1 && extra.front() == '-';
  // of a command that lacks something too, as the value of an option that is misspelt
  if (dynamic_cast<const CLI::ExtrasError*>(&error) ||
      (unknown && dynamic_cast<const CLI::RequiredError*>(&error))) {
    if (unknown) {
      std::vector<std::string> names;
      for (const CLI::Option* option : app.get_options()) {
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
      }
      return "unknown option " + in_quotes(extra) + suggestion(extra.substr(0, extra.find('=')), names) +
             (app.get_option_no_throw("texts") ? "; a text that starts with - goes after --" : "");
    }
    return "unexpected argument " + in_quotes(extra) + place_of_argument(app);
  }
  const std::string message = error.what();
  if (dynamic_cast<const CLI::RequiredError*>(&error)) {
    const CLI::Option* option = app.get_option_no_throw(message.substr(0, message.find(' ')));
    if (option && option->get_positional()) return option->get_type_name() + " is missing";
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error)) {
    const std::string name = message.substr(0, message.find(':'));
    const CLI::Option* option = app.get_option_no_throw(name);
    if (option && option->count() > 1)
      return name + " is given " + std::to_string(option->count()) + " times instead of once";
    if (option) return name + ": its value is missing (" + option->get_type_name() + ")";
  }
  // "Could not convert: --json = maybe"
  if (dynamic_cast<const CLI::ConversionError*>(&error)) {
    const std::size_t name = message.find("--"), equals = message.find(" = ");
    const CLI::Option* option = name < equals && equals != std::string::npos
                                    ? app.get_option_no_throw(message.substr(name, equals - name))
                                    : nullptr;
    if (option && option->get_expected_max() == 0) {
      return message.substr(name, equals - name) + ": " + in_quotes(message.substr(equals + 3)) +
             " is not true or false; the option stands alone";
    }
  }
  return message;
}

// Whether an argument after --attentions is its own: "all" and numbers are, a text is not; a number below 0
// too, which is no layer and is refused.
bool names_layers(std::string_view argument) {
  return argument == "all" || (argument.find_first_of("0123456789") != std::string_view::npos &&
                               argument.find_first_not_of("-0123456789, ") == std::string_view::npos);
}

std::vector<std::string> marked_arguments(std::span<const std::string> arguments, const CLI::App& app) {
  const auto texts_only = std::find(arguments.begin(), arguments.end(), "--");
  const bool streams = std::find(arguments.begin(), texts_only, "--jsonl") != texts_only;
  const bool has_attentions = app.get_option_no_throw("--attentions") != nullptr;
  std::vector<std::string> marked;
  bool layers_follow = false;  // --attentions, written without a value, and numbers after it
  for (auto at = arguments.begin(); at != arguments.end(); ++at) {
    const std::string& argument = *at;
    const bool is_own = at < texts_only;
    if (is_own && layers_follow) {
      const bool bare = marked.back() == "--attentions";
      if (names_layers(argument)) {
        marked.back() += (bare ? '=' : ',') + argument;
        continue;
      }
      // as a text it would be answered in place of the stream, or be an empty one
      if (bare && (argument.empty() || (streams && !argument.starts_with('-'))))
        usage_error("--attentions: " + in_quotes(argument) + " is neither all nor numbers of layers");
    }
    layers_follow = is_own && has_attentions && argument == "--attentions";
    // CLI11 would take a text such as "-hello" for -h with more letters
    marked.push_back(is_own && argument == "-h" ? "--help" : with_mark(argument));
  }
  std::reverse(marked.begin(), marked.end());  // as CLI11 wants them
  return marked;
}

int run_command(const Command& command, std::span<const std::string> arguments) {
  CLI::App app(std::string(command.summary), "bertlens " + std::string(command.name));
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_help_flag("--help", "print this text");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  const Action action = command.define(app);
  for (CLI::Option* option : app.get_options()) option->transform(CLI::Validator(remove_mark, ""));
  const std::string name(command.name);
  try {
    std::vector<std::string> marked = marked_arguments(arguments, app);
    app.parse(marked);
    const Expected<int> status = action();
    if (status) return *status;
    print_error(name + ": " + status.error().message);
  } catch (const CLI::CallForHelp&) {
    return print_text(app.help());
  } catch (const CLI::ParseError& error) {
    print_error(name + ": " + explain(error, app) + "; see bertlens " + name + " --help");
    return kUsage;
  } catch (const std::bad_alloc&) {
    print_error(name + ": out of memory");
  } catch (const std::exception& error) {
    print_error(name + ": " + error.what());
  }
  return kFailed;
}

int run(std::vector<std::string> arguments) {
  if (arguments.empty()) {
    print_error("a command is missing; bertlens --help lists them");
    return kUsage;
  }
  const auto asks_for_help = [](const std::string& word) {
    return word == "--help" || word == "-h" || word == "help";
  };
  if (asks_for_help(arguments[0])) {
    if (arguments.size() == 1) return print_text(general_help());
    arguments = {arguments[1], "--help"};
  }
  const std::string& word = arguments[0];
  if (word == "--version" || word == "-V") return print_text("bertlens " BERTLENS_VERSION "\n");
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    if (command.name == word) return run_command(command, std::span(arguments).subspan(1));
    names.emplace_back(command.name);
  }
  if (word.starts_with('-')) {
    print_error("the command comes first, options go after it: got " + in_quotes(word) +
                "; bertlens --help lists the commands");
  } else {
    print_error("unknown command " + in_quotes(word) + suggestion(word, names) +
                "; bertlens --help lists them");
  }
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
    return bert::cli::run({arguments + std::min(count, 1), arguments + count});
  } catch (const std::bad_alloc&) {
    bert::cli::print_error("out of memory");
  } catch (const std::exception& error) {
    bert::cli::print_error(error.what());
  }
  return bert::cli::kFailed;
}
