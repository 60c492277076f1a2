// Cleans and writes the one line that an error is.
#include "io/error_line.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>

#include "io/utf8.h"

namespace bert::cli {
namespace {

// Controls, line separators, embeddings of another direction.
bool steers(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

// Joiners, direction marks, the byte order mark.
bool is_invisible(char32_t c) {
  return (c >= 0x200b && c <= 0x200f) || c == 0xfeff;
}

std::string escaped(std::string_view text, bool keep_invisible) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = next_utf8(text, at);
    char escape[16];
    if (!c.valid) {
      for (std::size_t i = 0; i < c.length; ++i) {
        std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned char>(text[at + i]));
        out += escape;
      }
    } else if (c.value == '\n' || c.value == '\r' || c.value == '\t') {
      out += ' ';
    } else if (steers(c.value) || (is_invisible(c.value) && !keep_invisible)) {
      std::snprintf(escape, sizeof escape, c.value < 0x80 ? "\\x%02x" : "\\u%04x",
                    static_cast<unsigned>(c.value));
      out += escape;
    } else {
      out.append(text.substr(at, c.length));
    }
    at += c.length;
  }
  return out;
}

// Moves a cut back so that it does not split a character.
std::size_t character_start(std::string_view text, std::size_t at) {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

void write_line(std::string_view start, std::string_view message) {
  std::string line(start);
  line += message;
  line = one_line(line);
  line += '\n';
  // Nothing is left to tell the user if standard error itself cannot be written.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

std::string one_line(std::string_view text, std::size_t limit) {
  // What lies beyond a few limits' worth from both ends cannot be seen, so it is not worth escaping.
  std::string cut;
  if (text.size() > 8 * limit) {
    const std::size_t head = character_start(text, 4 * limit);
    const std::size_t tail = character_start(text, text.size() - 2 * limit);
    cut.append(text.substr(0, head)).append(text.substr(tail));
    text = cut;
  }
  std::string line = escaped(text, false);
  if (line.size() <= limit) return line;
  const std::size_t tail = limit * 2 / 5;
  const std::size_t head = character_start(line, limit - tail - 3);
  std::size_t tail_at = line.size() - tail;
  while (tail_at < line.size() && (static_cast<unsigned char>(line[tail_at]) & 0xc0) == 0x80) ++tail_at;
  return line.substr(0, head) + "..." + line.substr(tail_at);
}

std::string printable(std::string_view text) {
  return escaped(text, true);
}

std::string in_option_names(std::string_view message) {
  // what starts so holds nothing of a text or a file
  constexpr std::string_view kStarts[] = {"max_length ", "stride ", "windows of ", "truncation only_",
                                          "padding max_length "};
  constexpr std::string_view kNames[] = {"max_length", "stride", "truncation", "padding",
                                         "pad_to_multiple_of"};
  const auto begins = [&](std::string_view start) { return message.starts_with(start); };
  if (std::none_of(std::begin(kStarts), std::end(kStarts), begins)) return std::string(message);
  std::string out;
  for (std::size_t at = 0; at < message.size();) {
    const std::size_t end = std::min(message.find_first_of(" :", at), message.size());
    std::string word(message.substr(at, end - at));
    const bool is_name = std::find(std::begin(kNames), std::end(kNames), word) != std::end(kNames);
    // of "padding max_length" the second is the first one's value
    if (is_name && !out.ends_with("--padding ")) {
      std::replace(word.begin(), word.end(), '_', '-');
      out += "--";
    }
    out += word;
    if (end < message.size()) out += message[end];
    at = end + 1;
  }
  return out;
}

Error of_model(const std::string& folder, const Error& error) {
  if (error.code != ErrorCode::kInvalidModel) return error;
  return {error.code, in_quotes(folder) + ": " + error.message};
}

void print_error(std::string_view message) {
  write_line("bertlens: ", message);
}

void print_warning(std::string_view message) {
  write_line("bertlens: warning: ", message);
}

std::string in_quotes(std::string_view value) {
  return "'" + one_line(value, 80) + "'";
}

}  // namespace bert::cli
