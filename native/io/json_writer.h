// Writes JSON text piece by piece, without building a tree: numbers in the shortest form that reads back
// equal.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace bert::cli {

/// Appends to a string that the caller owns. Commas are its own business; nesting is the caller's.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }

  JsonWriter& key(std::string_view name) {
    string(name);
    out_ += ':';
    comma_ = false;
    return *this;
  }

  /// Bytes that are not UTF-8 become U+FFFD.
  JsonWriter& string(std::string_view text);
  JsonWriter& boolean(bool value) { return literal(value ? "true" : "false"); }
  JsonWriter& null() { return literal("null"); }

  /// A floating-point number keeps a point or an exponent (1.0, not 1), so that readers that tell the types
  /// apart see the same one in every line. Infinities and NaN, which JSON lacks, become null.
  template <class T>
  requires std::integral<T> || std::floating_point<T> JsonWriter& number(T value) {
    if constexpr (std::floating_point<T>) {
      if (!std::isfinite(value)) return null();
    }
    char digits[32];
    char* end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    if constexpr (std::floating_point<T>) {
      if (std::none_of(digits, end, [](char c) { return c == '.' || c == 'e'; })) {
        *end++ = '.';
        *end++ = '0';
      }
    }
    return literal({digits, end});
  }

  template <class T>
  JsonWriter& numbers(std::span<const T> values) {
    begin_array();
    for (const T value : values) number(value);
    return end_array();
  }
  template <class Container>
  JsonWriter& numbers(const Container& values) {
    return numbers(std::span<const typename Container::value_type>(values));
  }
  template <class Container>
  JsonWriter& strings(const Container& values) {
    begin_array();
    for (const auto& value : values) string(value);
    return end_array();
  }

  /// `rows` x `columns` numbers in row order as a list of lists.
  JsonWriter& matrix(std::span<const float> values, std::size_t columns) {
    begin_array();
    for (std::size_t at = 0; at + columns <= values.size() && columns > 0; at += columns) {
      numbers(values.subspan(at, columns));
    }
    return end_array();
  }

  /// Text that is JSON already.
  JsonWriter& raw(std::string_view json) { return literal(json); }

 private:
  JsonWriter& literal(std::string_view text) {
    if (comma_) out_ += ',';
    out_ += text;
    comma_ = true;
    return *this;
  }
  JsonWriter& open(char bracket) {
    if (comma_) out_ += ',';
    out_ += bracket;
    comma_ = false;
    return *this;
  }
  JsonWriter& close(char bracket) {
    out_ += bracket;
    comma_ = true;
    return *this;
  }

  std::string& out_;
  bool comma_ = false;
};

}  // namespace bert::cli
