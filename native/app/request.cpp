// Checked access to the JSON of a request line.
#include "app/request.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "io/error_line.h"

namespace bert::cli {
namespace {

using nlohmann::json;

// The value in short, for a message.
std::string shown(const json& value) {
  if (value.is_structured()) {
    return std::string(value.is_array() ? "a list" : "an object") + " of " + std::to_string(value.size());
  }
  return one_line(value.dump(-1, ' ', false, json::error_handler_t::replace), 60);
}

tl::unexpected<Error> wrong(const char* name, const char* wanted, const std::string& got) {
  return fail(ErrorCode::kInvalidArgument,
              "\"" + std::string(name) + "\" must be " + wanted + ", got " + got);
}

tl::unexpected<Error> wrong(const char* name, const char* wanted, const json& value) {
  return wrong(name, wanted, shown(value));
}

// The number of `line`, which is JSON, that was read as `value`, as it is written there.
std::string written(std::string_view line, double value) {
  for (std::size_t at = 0; at < line.size();) {
    if (line[at] == '"') {
      for (++at; at < line.size() && line[at] != '"'; ++at) at += line[at] == '\\' ? 1 : 0;
    }
    const std::size_t end = std::min(line.find_first_not_of("+-.0123456789eE", at), line.size());
    double number = 0;
    const auto result = std::from_chars(line.data() + at, line.data() + end, number);
    if (result.ec == std::errc() && number == value) return one_line(line.substr(at, end - at), 60);
    at = std::max(end, at + 1);
  }
  return shown(value);
}

tl::unexpected<Error> missing(const char* name) {
  return fail(ErrorCode::kInvalidArgument, "the field \"" + std::string(name) + "\" is missing");
}

}  // namespace

Expected<json> parse_object(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, "the line is empty: a JSON object is expected");
  }
  try {
    json value = json::parse(line);
    if (value.is_object()) return value;
    return fail(ErrorCode::kInvalidArgument, "the line is not a JSON object but " + shown(value));
  } catch (const json::parse_error& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 3: syntax error ...": keep the end
    const std::string_view text = error.what();
    const std::size_t reason = text.find(": ");
    return fail(ErrorCode::kInvalidArgument,
                "the line is not JSON: at byte " + std::to_string(error.byte) + ", " +
                    one_line(text.substr(reason == std::string_view::npos ? 0 : reason + 2), 160));
  } catch (const json::exception& error) {
    // "[json.exception.out_of_range.406] number overflow parsing '1e999'"
    const std::string_view text = error.what();
    const std::size_t reason = text.find("] ");
    return fail(ErrorCode::kInvalidArgument,
                "the line cannot be read: " +
                    one_line(text.substr(reason == std::string_view::npos ? 0 : reason + 2), 160));
  }
}

bool has_field(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && !found->is_null();
}

Expected<std::string> text_field(const json& object, const char* name) {
  if (!has_field(object, name)) return missing(name);
  const json& value = object.at(name);
  if (!value.is_string()) return wrong(name, "a string", value);
  return value.get<std::string>();
}

Expected<std::optional<std::string>> optional_text_field(const json& object, const char* name) {
  if (!has_field(object, name)) return std::nullopt;
  Expected<std::string> value = text_field(object, name);
  if (!value) return tl::unexpected(value.error());
  return std::optional<std::string>(std::move(*value));
}

Expected<bool> boolean_field(const json& object, const char* name) {
  if (!has_field(object, name)) return missing(name);
  const json& value = object.at(name);
  if (!value.is_boolean()) return wrong(name, "true or false", value);
  return value.get<bool>();
}

Expected<std::vector<std::string>> text_list_field(const json& object, const char* name) {
  if (!has_field(object, name)) return missing(name);
  const json& value = object.at(name);
  if (!value.is_array()) return wrong(name, "a list of strings", value);
  std::vector<std::string> texts;
  for (const json& item : value) {
    if (!item.is_string()) return wrong(name, "a list of strings", item);
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

Expected<std::vector<std::int32_t>> integer_list_field(const json& object, const char* name,
                                                       std::string_view line, const char* what,
                                                       std::size_t most) {
  if (!has_field(object, name)) return missing(name);
  const json& value = object.at(name);
  if (!value.is_array()) return wrong(name, "a list of whole numbers", value);
  std::vector<std::int32_t> numbers;
  numbers.reserve(value.size());
  for (const json& item : value) {
    const bool fits = item.is_number_unsigned()
                          ? item.get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max()
                          : item.is_number_integer() &&
                                item.get<std::int64_t>() >= std::numeric_limits<std::int32_t>::min();
    if (!fits) {
      if (!item.is_number()) return wrong(name, "a list of whole numbers", item);
      const std::string number = item.is_number_float() ? written(line, item.get<double>()) : shown(item);
      if (number.find_first_of(".eE") != std::string::npos)
        return wrong(name, "a list of whole numbers", number);
      return fail(ErrorCode::kInvalidArgument, "\"" + std::string(name) + "\": " + number + " is not " +
                                                   what + " from 0 to " + std::to_string(most));
    }
    numbers.push_back(item.get<std::int32_t>());
  }
  return numbers;
}

}  // namespace bert::cli
