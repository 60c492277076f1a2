// Arithmetic on untrusted sizes that cannot wrap around, and shapes for error messages.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace bert::model {

inline std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b) {
  if (a > std::numeric_limits<std::uint64_t>::max() - b) return std::nullopt;
  return a + b;
}

inline std::optional<std::uint64_t> checked_multiply(std::uint64_t a, std::uint64_t b) {
  if (b != 0 && a > std::numeric_limits<std::uint64_t>::max() / b) return std::nullopt;
  return a * b;
}

/// "[30522, 768]"; shapes of more than 8 axes are cut.
template <class Shape>
std::string shape_text(const Shape& shape) {
  std::string text = "[";
  std::size_t axis = 0;
  for (const auto size : shape) {
    if (axis == 8) {
      text += ", ...";
      break;
    }
    text += (axis++ == 0 ? "" : ", ") + std::to_string(size);
  }
  return text + "]";
}

}  // namespace bert::model
