// JSON string escapes (RFC 8259).
#include "io/json_writer.h"

#include <cstdio>

#include "io/utf8.h"

namespace bert::cli {
namespace {

bool stands_as_it_is(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

}  // namespace

JsonWriter& JsonWriter::string(std::string_view text) {
  if (comma_) out_ += ',';
  comma_ = true;
  out_ += '"';
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    while (at < text.size() && stands_as_it_is(text[at])) ++at;
    out_.append(text, start, at - start);
    if (at == text.size()) break;
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte >= 0x80) {
      const Utf8Char c = next_utf8(text, at);
      out_ += c.valid ? text.substr(at, c.length) : std::string_view("\xef\xbf\xbd");
      at += c.length;
      continue;
    }
    ++at;
    switch (byte) {
      case '"':
        out_ += "\\\"";
        break;
      case '\\':
        out_ += "\\\\";
        break;
      case '\n':
        out_ += "\\n";
        break;
      case '\r':
        out_ += "\\r";
        break;
      case '\t':
        out_ += "\\t";
        break;
      default: {
        char escape[8];
        std::snprintf(escape, sizeof escape, "\\u%04x", byte);
        out_ += escape;
      }
    }
  }
  out_ += '"';
  return *this;
}

}  // namespace bert::cli
