// What a command of the program is, and the list of them.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include <CLI/CLI.hpp>

#include "bert/result.h"

namespace bert::cli {

/// Exit statuses: 0 all is well, 1 something failed (an input line too), 2 the command line makes no sense.
inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;

/// Runs a command whose options have been parsed; gives the exit status or the error to print.
using Action = std::function<Expected<int>()>;

struct Command {
  std::string_view name;
  std::string_view summary;
  /// Adds options, help and examples to `app`, and gives what is to run after parsing.
  Action (*define)(CLI::App& app);
};

/// All commands, in the order of the help.
std::span<const Command> commands();

Action define_tokenize(CLI::App& app);
Action define_decode(CLI::App& app);
Action define_pad(CLI::App& app);
Action define_vocab(CLI::App& app);
Action define_encode(CLI::App& app);
Action define_fill_mask(CLI::App& app);
Action define_nsp(CLI::App& app);
Action define_eval_nsp(CLI::App& app);
Action define_mask_effect(CLI::App& app);
Action define_embed(CLI::App& app);
Action define_score(CLI::App& app);
Action define_inspect(CLI::App& app);
Action define_quantize(CLI::App& app);
Action define_pull(CLI::App& app);
Action define_bench(CLI::App& app);

/// A command line that CLI11 cannot see is wrong (two options that contradict each other, say); exit
/// status 2.
[[noreturn]] void usage_error(std::string_view message);

}  // namespace bert::cli
