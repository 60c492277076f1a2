// All the texts of a command that gives one answer (no stream).
#pragma once

#include <string>
#include <vector>

#include "app/options.h"
#include "bert/result.h"
#include "io/output.h"

namespace bert::cli {

/// The arguments, else the lines of the file or of standard input. Without any text: a usage error (thrown).
Expected<std::vector<std::string>> all_texts(const InputOptions& input);

/// Arguments and --file at once are a usage error (thrown).
void check_input(const InputOptions& input);

/// Writes what is left and gives `status`, or the error of the output.
Expected<int> finish(Output& out, int status = 0);

}  // namespace bert::cli
