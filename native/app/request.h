// Reads the fields of one JSON object of a stream, with errors that name the field and what it holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "bert/result.h"

namespace bert::cli {

/// Errors: kInvalidArgument for text that is not one JSON object (says where it goes wrong).
Expected<nlohmann::json> parse_object(std::string_view line);

/// Errors of all these: kInvalidArgument naming the field. A field that is null counts as missing.
Expected<std::string> text_field(const nlohmann::json& object, const char* name);
Expected<std::optional<std::string>> optional_text_field(const nlohmann::json& object, const char* name);
Expected<bool> boolean_field(const nlohmann::json& object, const char* name);
Expected<std::vector<std::string>> text_list_field(const nlohmann::json& object, const char* name);
/// Numbers of 32 bits. One that has more is no `what` ("id") from 0 to `most`, and the caller, or what it
/// calls, says the same of the others. `line` is the text of `object`, for what JSON's numbers cannot hold.
Expected<std::vector<std::int32_t>> integer_list_field(const nlohmann::json& object, const char* name,
                                                       std::string_view line, const char* what,
                                                       std::size_t most);
bool has_field(const nlohmann::json& object, const char* name);

}  // namespace bert::cli
