// Lays out the help of a command, from what CLI11 knows of its options.
#include "app/help.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace bert::cli {
namespace {

constexpr std::size_t kNames = 30;  // columns of an option's name and value
constexpr std::size_t kLine = 100;

// Breaks at blanks; a word that is longer than a line stays whole.
std::string wrapped(std::string_view text, std::size_t width) {
  std::string lines;
  for (std::size_t at = 0, column = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string_view word = text.substr(at, end - at);
    if (column > 0 && column + 1 + word.size() > width) {
      lines += '\n';
      column = 0;
    } else if (column > 0) {
      lines += ' ';
      ++column;
    }
    lines += word;
    column += word.size();
    at = end + 1;
  }
  return lines;
}

std::string names_of(const std::set<CLI::Option*>& options) {
  std::vector<std::string> names;
  names.reserve(options.size());
  for (const CLI::Option* option : options) names.push_back(option->get_name());
  // the set is in the order of addresses
  std::sort(names.begin(), names.end());
  return CLI::detail::join(names, " and ");
}

}  // namespace

HelpFormatter::HelpFormatter() {
  column_width(kNames);
  label("Positionals", "Arguments");
}

std::string HelpFormatter::make_option_name(const CLI::Option* option, bool is_positional) const {
  if (is_positional) return option->get_type_name();
  // CLI11 adds what a flag stands for in braces
  const std::string name = option->get_name(false, true);
  if (name == "--help") return "-h," + name;  // main.cpp takes both
  return name.substr(0, name.find('{'));
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  if (option->get_positional())
    return option->get_expected_max() >= CLI::detail::expected_max_vector_size ? " ..." : "";
  if (!option->get_option_text().empty()) return " " + option->get_option_text();
  return option->get_type_size() == 0 ? "" : " " + option->get_type_name();
}

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  std::string text = option->get_description();
  if (option->get_required() && !option->get_positional()) text += "; must be given";
  if (!option->get_needs().empty()) text += "; only with " + names_of(option->get_needs());
  if (!option->get_excludes().empty()) text += "; not with " + names_of(option->get_excludes());
  return wrapped(text, kLine - kNames);
}

std::string HelpFormatter::make_group(std::string name, bool is_positional,
                                      std::vector<const CLI::Option*> options) const {
  // CLI11 puts an empty line after each group too; the first, which has --help, needs its own
  const bool first = is_positional || options.front()->check_lname("help");
  std::string text = CLI::Formatter::make_group(std::move(name), is_positional, std::move(options));
  return first ? text : text.substr(1);
}

}  // namespace bert::cli
