// JSON written piece by piece: the answers of calls that need not be fast, which JavaScript parses faster
// than it could be given their parts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bert/tokenizer.h"

namespace bert::bindings {

/// Commas come by themselves. The text begins with its own size: 4 bytes, little-endian.
class JsonText {
 public:
  void clear();
  /// Writes the size; the text is valid until it is cleared.
  const char* finished();

  JsonText& open(char bracket);
  JsonText& close(char bracket);
  JsonText& name(std::string_view name);
  JsonText& text(std::string_view utf8);  ///< valid UTF-8
  JsonText& number(std::int64_t value);
  JsonText& flag(bool value) { return raw(value ? "true" : "false"); }
  JsonText& null() { return raw("null"); }
  JsonText& range(Offsets offsets);

  /// A list of what `write` appends for each item.
  template <class List, class Write>
  JsonText& list(const List& items, const Write& write) {
    open('[');
    for (const auto& item : items) write(item);
    return close(']');
  }
  template <class List>
  JsonText& numbers(const List& items) {
    return list(items, [this](auto item) { number(item); });
  }
  template <class List>
  JsonText& texts(const List& items) {
    return list(items, [this](std::string_view item) { text(item); });
  }

 private:
  JsonText& raw(std::string_view value);
  void quote(std::string_view utf8);
  void separate();

  std::string out_;
};

}  // namespace bert::bindings
