// How `bertlens COMMAND --help` looks.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace bert::cli {

/// Names texts as the usage does, breaks long lines, and says in words which options exclude or need each
/// other.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();

  std::string make_option_name(const CLI::Option* option, bool is_positional) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_option_desc(const CLI::Option* option) const override;
  std::string make_group(std::string name, bool is_positional,
                         std::vector<const CLI::Option*> options) const override;
};

}  // namespace bert::cli
