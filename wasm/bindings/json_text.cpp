// Writing JSON, see json_text.h.
#include "json_text.h"

#include <cstring>

namespace bert::bindings {

void JsonText::clear() {
  out_.reserve(64);  // memory of its own, hence aligned
  out_.assign(sizeof(std::uint32_t), '\0');
}

const char* JsonText::finished() {
  const auto size = static_cast<std::uint32_t>(out_.size() - sizeof(std::uint32_t));
  std::memcpy(out_.data(), &size, sizeof size);
  return out_.data();
}

void JsonText::separate() {
  const char last = out_.back();
  if (out_.size() > sizeof(std::uint32_t) && last != '{' && last != '[' && last != ':') out_ += ',';
}

void JsonText::quote(std::string_view utf8) {
  out_ += '"';
  for (const char c : utf8) {
    if (c == '"' || c == '\\') out_ += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) {
      out_ += c;
      continue;
    }
    constexpr char kDigits[] = "0123456789abcdef";
    out_ += "\\u00";
    out_ += kDigits[c >> 4];
    out_ += kDigits[c & 15];
  }
  out_ += '"';
}

JsonText& JsonText::raw(std::string_view value) {
  separate();
  out_ += value;
  return *this;
}

JsonText& JsonText::open(char bracket) {
  return raw({&bracket, 1});
}

JsonText& JsonText::close(char bracket) {
  out_ += bracket;
  return *this;
}

JsonText& JsonText::name(std::string_view name) {
  text(name);
  out_ += ':';
  return *this;
}

JsonText& JsonText::text(std::string_view utf8) {
  separate();
  quote(utf8);
  return *this;
}

JsonText& JsonText::number(std::int64_t value) {
  return raw(std::to_string(value));
}

JsonText& JsonText::range(Offsets offsets) {
  return open('[').number(offsets.begin).number(offsets.end).close(']');
}

}  // namespace bert::bindings
