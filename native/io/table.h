// Tables for people (Markdown pipes, as the notebook prints them) and for programs (CSV).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bert::cli {

enum class Align { kLeft, kRight };

/// A cell: what people read, and what programs read where that is something else (a number in full).
struct Cell {
  std::string text;
  std::string exact;

  Cell(const char* both) : text(both), exact(both) {}
  Cell(std::string both) : text(std::move(both)), exact(text) {}
  Cell(std::string shown, std::string full) : text(std::move(shown)), exact(std::move(full)) {}
};

/// Rows of cells under named columns.
class Table {
 public:
  struct Column {
    std::string name;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// A row has one cell per column.
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  std::size_t size() const { return rows_.size(); }

  /// Markdown, padded so that it reads as plain text too; the layout is that of pandas' `to_markdown`.
  std::string markdown() const;
  /// RFC 4180 with a header line, lines ending in "\n". `header` false leaves that line out.
  std::string csv(bool header = true) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

/// 1234567 as "1,234,567".
std::string with_separators(unsigned long long value);
/// With so many digits after the point, as C's "%.*f".
std::string fixed(double value, int digits);
/// A double or float in the shortest form that reads back equal, as Python prints it ("0.0", "2.5").
std::string python_number(double value);
std::string python_number(float value);
/// A probability: four digits; what would round to zero but is not is "< 0.0001".
std::string probability_text(double probability);
/// `probability_text` for people, the number in full for programs.
Cell probability_cell(double probability);
/// `fixed` for people, `python_number` for programs.
template <class T>
Cell decimal(T value, int digits) {
  return {fixed(static_cast<double>(value), digits), python_number(value)};
}
/// As Python prints a list of strings: ['a', 'b']. For reports: what could steer a terminal becomes an
/// escape.
std::string python_list(const std::vector<std::string>& items);
/// As Python prints a list of integers: [1, 2].
template <class Container>
std::string number_list(const Container& items) {
  std::string text = "[";
  for (const auto& item : items) text += (text.size() > 1 ? ", " : "") + std::to_string(item);
  return text + "]";
}

}  // namespace bert::cli
