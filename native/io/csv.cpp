// A reader for comma-separated values.
#include "io/csv.h"

#include <utility>

namespace bert::cli {

Expected<std::vector<std::vector<std::string>>> parse_csv(std::string_view text) {
  std::vector<std::vector<std::string>> records;
  std::vector<std::string> record;
  std::size_t line = 1;
  for (std::size_t at = 0; at < text.size();) {
    std::string field;
    const bool quoted = text[at] == '"';
    if (quoted) {
      const std::size_t opened = line;
      for (++at;; ++at) {
        if (at >= text.size()) {
          return fail(ErrorCode::kInvalidArgument,
                      "line " + std::to_string(opened) + ": a quote is not closed");
        }
        if (text[at] == '"') {
          if (at + 1 >= text.size() || text[at + 1] != '"') break;
          ++at;
        }
        line += text[at] == '\n';
        field += text[at];
      }
      ++at;
      if (at < text.size() && text[at] != ',' && text[at] != '\n' && text[at] != '\r') {
        return fail(ErrorCode::kInvalidArgument,
                    "line " + std::to_string(line) + ": text after a closing quote");
      }
    } else {
      const std::size_t end = std::min(text.find_first_of(",\r\n", at), text.size());
      field = text.substr(at, end - at);
      at = end;
    }
    record.push_back(std::move(field));
    if (at < text.size() && text[at] == ',') {
      ++at;
      // a comma at the very end still has an empty field after it
      if (at >= text.size() || text[at] == '\n' || text[at] == '\r') record.emplace_back();
      if (at < text.size() && text[at] != '\n' && text[at] != '\r') continue;
    }
    if (at < text.size() && text[at] == '\r') ++at;
    if (at < text.size() && text[at] == '\n') {
      ++at;
      ++line;
    }
    if (record.size() > 1 || quoted || !record.front().empty()) records.push_back(std::move(record));
    record.clear();
  }
  return records;
}

}  // namespace bert::cli
