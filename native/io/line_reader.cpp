// Reads lines with read(2), so that a line is handed out as soon as it is there.
#include "io/line_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "io/error_line.h"

namespace bert::cli {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 18;

}  // namespace

LineReader::LineReader(int fd, std::string name, std::uint64_t total)
    : fd_(fd), name_(std::move(name)), buffer_(kBufferBytes), total_(total) {}

LineReader::LineReader(LineReader&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      name_(std::move(other.name_)),
      buffer_(std::move(other.buffer_)),
      begin_(other.begin_),
      end_(other.end_),
      line_end_(other.line_end_),
      consumed_(other.consumed_),
      total_(other.total_),
      at_end_(other.at_end_),
      error_(other.error_) {}

LineReader::~LineReader() {
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

Expected<LineReader> LineReader::open(const std::string& path) {
  const bool standard = path == "-";
  const int fd = standard ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const ErrorCode code = errno == ENOENT || errno == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo;
    return fail(code, in_quotes(path) + ": " + std::strerror(errno));
  }
  LineReader reader(fd, standard ? "standard input" : in_quotes(path), 0);
  struct stat info {};
  if (::fstat(fd, &info) == 0) {
    if (S_ISDIR(info.st_mode)) return fail(ErrorCode::kIo, reader.name_ + ": " + std::strerror(EISDIR));
    if (S_ISREG(info.st_mode)) reader.total_ = static_cast<std::uint64_t>(info.st_size);
  }
  return reader;
}

// True if a line ends in what was read; `line_end_` is then where.
bool LineReader::find_end() {
  const void* found = std::memchr(buffer_.data() + line_end_, '\n', end_ - line_end_);
  line_end_ = found ? static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data()) : end_;
  return found != nullptr;
}

// Reads once, after what is there.
void LineReader::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    line_end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
  ssize_t got = 0;
  for (;;) {
    got = ::read(fd_, buffer_.data() + end_, buffer_.size() - end_);
    if (got >= 0 || (errno != EINTR && errno != EAGAIN)) break;
    // another program on the same pipe or terminal may have set it to non-blocking
    pollfd input{.fd = fd_, .events = POLLIN, .revents = 0};
    if (errno == EAGAIN) ::poll(&input, 1, -1);
  }
  if (got < 0) error_ = errno;
  at_end_ = got <= 0;
  end_ += got > 0 ? static_cast<std::size_t>(got) : 0;
}

bool LineReader::ready() {
  while (!find_end() && !at_end_) {
    pollfd input{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&input, 1, 0) == 0) return false;
    fill();
  }
  return true;
}

Expected<bool> LineReader::next(std::string& line) {
  bool ended = false;
  while (!(ended = find_end()) && !at_end_) fill();
  line.assign(buffer_.data() + begin_, line_end_ - begin_);
  if (error_ != 0 && !ended) return fail(ErrorCode::kIo, name_ + ": " + std::strerror(error_));
  const std::size_t taken = line.size() + (ended ? 1 : 0);
  begin_ += taken;
  line_end_ = begin_;
  consumed_ += taken;
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return taken > 0;
}

}  // namespace bert::cli
