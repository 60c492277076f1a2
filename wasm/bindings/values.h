// Core values as JavaScript values: what leaves the heap leaves it as a copy.
#pragma once

#include <emscripten/val.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bert::bindings {

inline emscripten::val text(std::string_view utf8) {
  return emscripten::val(std::string(utf8));
}

/// A JavaScript array of what `convert` makes of each item.
template <class List, class Convert>
emscripten::val list(const List& items, const Convert& convert) {
  emscripten::val array = emscripten::val::array();
  std::size_t i = 0;
  for (const auto& item : items) array.set(i++, convert(item));
  return array;
}

/// A typed array of its own memory (also where the heap is shared between threads).
template <class Number>
emscripten::val copied(std::span<const Number> numbers) {
  return emscripten::val(emscripten::typed_memory_view(numbers.size(), numbers.data()))
      .template call<emscripten::val>("slice");
}

}  // namespace bert::bindings
