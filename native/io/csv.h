// Reads comma-separated values (RFC 4180).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bert/result.h"

namespace bert::cli {

/// The records of `text`; a quoted field may hold commas, quotes (doubled) and line breaks. Empty lines are
/// left out. Errors: kInvalidArgument naming the line of a quote that is not closed, or of text after a
/// closing quote.
Expected<std::vector<std::vector<std::string>>> parse_csv(std::string_view text);

}  // namespace bert::cli
