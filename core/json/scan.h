// JSON as a stream of events: for readers that keep less than a document, or must see a name that stands
// twice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bert::json {

enum class Kind : std::uint8_t { kNull, kBoolean, kInteger, kDecimal, kString, kArray, kObject };

/// A value that holds no others.
struct Scalar {
  explicit Scalar(Kind of = Kind::kNull) : kind(of) {}

  Kind kind;
  bool boolean = false;
  std::uint64_t integer = 0;  ///< two's complement where `negative`
  bool negative = false;
  double number = 0;      ///< of a decimal
  std::string_view text;  ///< of a string, unescaped; of a decimal, as written
};

/// A scalar as JSON writes it, but a string without quotation marks and escapes; at most its first 128 bytes.
std::string shown(const Scalar& value);

/// What is told of a text, in its order. A function that returns false ends the reading.
class Events {
 public:
  Events() = default;
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;
  virtual ~Events() = default;

  virtual bool scalar(const Scalar& value) = 0;
  virtual bool name(std::string_view name) = 0;  ///< of the member that follows
  virtual bool open(Kind container) = 0;
  virtual bool close() = 0;
  /// The text is not JSON (RFC 8259, valid UTF-8) from this byte on.
  virtual void malformed(std::size_t byte) = 0;
};

/// Reads all of a text; false where it is malformed or an event returned false. Needs little stack and
/// memory, however deep the text is nested.
bool scan(std::string_view text, Events& events);

}  // namespace bert::json
