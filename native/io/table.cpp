// Lays out tables.
#include "io/table.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "io/error_line.h"
#include "io/utf8.h"

namespace bert::cli {
namespace {

std::string padded(std::string_view cell, std::size_t width, Align align) {
  const std::string blanks(width - std::min(width, display_width(cell)), ' ');
  return align == Align::kLeft ? std::string(cell) + blanks : blanks + std::string(cell);
}

// A cell that stays on its line and in its column.
std::string markdown_cell(std::string_view cell) {
  std::string text;
  for (const char c : printable(cell)) {
    if (c == '|') text += '\\';
    text += c;
  }
  return text;
}

std::string csv_cell(std::string_view cell) {
  if (cell.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(cell);
  std::string text = "\"";
  for (const char c : cell) {
    if (c == '"') text += '"';
    text += c;
  }
  return text + "\"";
}

}  // namespace

std::string Table::markdown() const {
  std::vector<std::vector<std::string>> cells;
  std::vector<std::size_t> widths;
  widths.reserve(columns_.size());
  for (const Column& column : columns_) widths.push_back(display_width(column.name) + 2);
  for (const auto& row : rows_) {
    auto& line = cells.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) {
      line.push_back(markdown_cell(row[i].text));
      widths[i] = std::max(widths[i], display_width(line.back()));
    }
  }
  std::string text = "|";
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    text += " " + padded(columns_[i].name, widths[i], columns_[i].align) + " |";
  }
  text += "\n|";
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const std::string line(widths[i] + 1, '-');
    text += (columns_[i].align == Align::kLeft ? ":" + line : line + ":") + "|";
  }
  text += "\n";
  for (const auto& row : cells) {
    text += "|";
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += " " + padded(row[i], widths[i], columns_[i].align) + " |";
    }
    text += "\n";
  }
  return text;
}

std::string Table::csv(bool header) const {
  std::string text;
  const auto line = [&](const auto& items, const auto& cell) {
    for (std::size_t i = 0; i < items.size(); ++i) text += (i > 0 ? "," : "") + csv_cell(cell(items[i]));
    text += "\n";
  };
  if (header) line(columns_, [](const Column& column) { return column.name; });
  for (const auto& row : rows_) line(row, [](const Cell& cell) { return cell.exact; });
  return text;
}

namespace {

template <class T>
std::string shortest(T value) {
  char digits[64];
  std::string text(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

}  // namespace

std::string python_number(double value) {
  return shortest(value);
}
std::string python_number(float value) {
  return shortest(value);
}

std::string probability_text(double probability) {
  return probability > 0 && probability < 0.00005 ? "< 0.0001" : fixed(probability, 4);
}

Cell probability_cell(double probability) {
  return {probability_text(probability), python_number(probability)};
}

std::string with_separators(unsigned long long value) {
  std::string digits = std::to_string(value);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string fixed(double value, int digits) {
  char text[400];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string python_list(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const std::string& item : items) {
    const char quote =
        item.find('\'') != std::string::npos && item.find('"') == std::string::npos ? '"' : '\'';
    if (text.size() > 1) text += ", ";
    text += quote;
    for (const char c : item) {
      if (c == quote || c == '\\') text += '\\';
      text += c;
    }
    text += quote;
  }
  return printable(text + "]");
}

}  // namespace bert::cli
