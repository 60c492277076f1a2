// One error is one line on standard error: cleaned of control characters and cut to a readable length. Texts
// in reports are cleaned likewise.
#pragma once

#include <string>
#include <string_view>

#include "bert/result.h"

namespace bert::cli {

/// `text` as one line of at most `limit` bytes (and so of at most that many characters): control characters,
/// line separators, text-direction marks and bytes that are not UTF-8 become escapes; a long middle becomes
/// "...", so that the end, which usually says what is wrong, stays.
std::string one_line(std::string_view text, std::size_t limit = 290);

/// `text` in a report for people: as one line, but of any length and with its joiners and direction marks,
/// which writing systems need. What could steer a terminal or turn a line round becomes an escape.
std::string printable(std::string_view text);

/// A message of the library about how tokens are cut and padded, with what it calls max_length, stride and so
/// on as the options are written. Any other comes back as it is.
std::string in_option_names(std::string_view message);

/// An error that damaged numbers of the model make (kInvalidModel), with its folder; any other as it is.
Error of_model(const std::string& folder, const Error& error);

/// Writes "bertlens: `message`" as one line to standard error.
void print_error(std::string_view message);

/// Writes "bertlens: warning: `message`" as one line to standard error.
void print_warning(std::string_view message);

/// `value` in single quotes for a message, cut to some 80 bytes.
std::string in_quotes(std::string_view value);

}  // namespace bert::cli
