// Reads a file or standard input line by line in constant memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bert/result.h"

namespace bert::cli {

/// Lines end in "\n" or "\r\n"; the last one may lack its end. Not safe for use from several threads at once.
class LineReader {
 public:
  /// `path` "-" is standard input. Errors: kNotFound or kIo, naming the path.
  [[nodiscard]] static Expected<LineReader> open(const std::string& path);

  LineReader(LineReader&& other) noexcept;
  LineReader& operator=(LineReader&&) = delete;
  ~LineReader();

  /// Puts the next line into `line` without its end; false when there is none. Waits for a writer that has
  /// not ended its line yet. Errors: kIo.
  [[nodiscard]] Expected<bool> next(std::string& line);
  /// True if `next` would answer at once: a whole line is there, or the end.
  [[nodiscard]] bool ready();

  /// Bytes handed out so far, and the size of the file (0 when it is not known, as for a pipe).
  [[nodiscard]] std::uint64_t bytes_read() const { return consumed_; }
  [[nodiscard]] std::uint64_t total_bytes() const { return total_; }

 private:
  LineReader(int fd, std::string name, std::uint64_t total);
  [[nodiscard]] bool find_end();
  void fill();

  int fd_;
  std::string name_;
  std::vector<char> buffer_;  // what was read and not handed out is [begin_, end_)
  std::size_t begin_ = 0, end_ = 0;
  std::size_t line_end_ = 0;  // no line ends in [begin_, line_end_)
  std::uint64_t consumed_ = 0, total_ = 0;
  bool at_end_ = false;
  int error_ = 0;  // of reading; given once the lines before it are handed out
};

}  // namespace bert::cli
