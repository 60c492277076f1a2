// Buffered writing with write(2).
#include "io/output.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bert::cli {

void Output::drain() {
  std::size_t at = 0;
  while (at < waiting_.size() && error_ == 0) {
    const ssize_t wrote = ::write(fd_, waiting_.data() + at, waiting_.size() - at);
    if (wrote >= 0) {
      at += static_cast<std::size_t>(wrote);
    } else if (errno == EAGAIN) {
      // another program on the same pipe or terminal has set it to non-blocking
      pollfd output{.fd = fd_, .events = POLLOUT, .revents = 0};
      ::poll(&output, 1, -1);
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  waiting_.clear();
}

void Output::write(std::string_view text) {
  if (error_ != 0) return;
  waiting_ += text;
  if (waiting_.size() > 100'000) drain();
}

Status Output::flush() {
  drain();
  if (error_ != 0) return fail(ErrorCode::kIo, name_ + ": " + std::strerror(error_));
  return {};
}

bool Output::closed() const {
  return error_ == EPIPE;
}

}  // namespace bert::cli
