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

/// The error of one of `count` texts: of several it says which, counted from 1.
tl::unexpected<Error> text_error(const Error& error, std::size_t index, std::size_t count);

/// The results of all texts where all are there, else the first error.
template <class T>
Expected<std::vector<T>> all_or_error(std::vector<Expected<T>> results) {
  std::vector<T> all;
  all.reserve(results.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (!results[i]) return text_error(results[i].error(), i, results.size());
    all.push_back(std::move(*results[i]));
  }
  return all;
}

}  // namespace bert::cli
