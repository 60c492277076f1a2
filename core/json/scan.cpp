// The one place where nlohmann's parser is compiled: it is a template, and each use of it would be a copy.
#include "json/scan.h"

#include <nlohmann/json.hpp>
#include <string>

namespace bert::json {

namespace {

/// nlohmann's events as ours.
class Adapter {
 public:
  explicit Adapter(Events& events) : events_(events) {}

  bool null() { return events_.scalar(Scalar()); }
  bool boolean(bool value) {
    Scalar scalar(Kind::kBoolean);
    scalar.boolean = value;
    return events_.scalar(scalar);
  }
  bool number_integer(std::int64_t value) { return integer(static_cast<std::uint64_t>(value), value < 0); }
  bool number_unsigned(std::uint64_t value) { return integer(value, false); }
  bool number_float(double value, const std::string& text) {
    Scalar scalar(Kind::kDecimal);
    scalar.number = value;
    scalar.text = text;
    return events_.scalar(scalar);
  }
  bool string(std::string& value) {
    Scalar scalar(Kind::kString);
    scalar.text = value;
    return events_.scalar(scalar);
  }
  bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_object(std::size_t) { return events_.open(Kind::kObject); }
  bool key(std::string& name) { return events_.name(name); }
  bool end_object() { return events_.close(); }
  bool start_array(std::size_t) { return events_.open(Kind::kArray); }
  bool end_array() { return events_.close(); }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception& /*its text quotes raw bytes*/) {
    events_.malformed(position);
    return false;
  }

 private:
  bool integer(std::uint64_t value, bool negative) {
    Scalar scalar(Kind::kInteger);
    scalar.integer = value;
    scalar.negative = negative;
    return events_.scalar(scalar);
  }

  Events& events_;
};

}  // namespace

std::string shown(const Scalar& value) {
  switch (value.kind) {
    case Kind::kBoolean:
      return value.boolean ? "true" : "false";
    case Kind::kInteger:
      return value.negative ? std::to_string(static_cast<std::int64_t>(value.integer))
                            : std::to_string(value.integer);
    case Kind::kDecimal:
    case Kind::kString:
      return std::string(value.text.substr(0, 128));
    default:
      return "null";
  }
}

bool scan(std::string_view text, Events& events) {
  Adapter adapter(events);
  return nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &adapter);
}

}  // namespace bert::json
