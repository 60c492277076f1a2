// All the texts of a command that gives one answer (no stream).
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "app/options.h"
#include "bert/result.h"

namespace bert::cli {

/// The arguments, else the lines of the file or of standard input. Without any text: a usage error (thrown).
Expected<std::vector<std::string>> all_texts(const InputOptions& input);

/// Arguments and --file at once are a usage error (thrown).
void check_input(const InputOptions& input);

/// What `input` is called where it has no texts among the arguments: the file in quotes, or "standard input".
std::string name_of(const InputOptions& input);

/// The error of text `index`: it says which of several arguments, or which line of what file, counted from 1.
tl::unexpected<Error> text_error(const Error& error, const InputOptions& input, std::size_t index);

/// The results of all texts where all are there, else the first error.
template <class T>
Expected<std::vector<T>> all_or_error(std::vector<Expected<T>> results, const InputOptions& input) {
  std::vector<T> all;
  all.reserve(results.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (!results[i]) return text_error(results[i].error(), input, i);
    all.push_back(std::move(*results[i]));
  }
  return all;
}

}  // namespace bert::cli
