// Standard output, buffered, with its errors seen: a full disk must not look like success.
#pragma once

#include <string>
#include <string_view>

#include "bert/result.h"

namespace bert::cli {

/// Collects text and writes it to a file descriptor. The first error is kept and given by every later
/// `flush`.
class Output {
 public:
  explicit Output(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  /// Adds `text`, and writes what is waiting once it is more than some 100 KB.
  void write(std::string_view text);
  void line(std::string_view text = {}) {
    write(text);
    write("\n");
  }

  /// Writes all that is waiting. Error: kIo, naming the output; `closed()` tells a reader that has gone away.
  [[nodiscard]] Status flush();

  /// True once writing failed: going on is useless.
  [[nodiscard]] bool failed() const { return error_ != 0; }
  /// True when the reader at the other end of a pipe has gone, which is no fault worth a message.
  [[nodiscard]] bool closed() const;

 private:
  void drain();

  int fd_;
  std::string name_;
  std::string waiting_;
  int error_ = 0;
};

}  // namespace bert::cli
