// Reads lines with read(2), so that a line is handed out as soon as it is there.
#include "io/line_reader.h"

#include <fcntl.h>
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
      consumed_(other.consumed_),
      total_(other.total_),
      at_end_(other.at_end_) {}

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

Status LineReader::fill() {
  for (;;) {
    const ssize_t got = ::read(fd_, buffer_.data(), buffer_.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(ErrorCode::kIo, name_ + ": " + std::strerror(errno));
    begin_ = 0;
    end_ = static_cast<std::size_t>(got);
    at_end_ = got == 0;
    return {};
  }
}

Expected<bool> LineReader::next(std::string& line) {
  line.clear();
  bool any = false;
  for (;;) {
    if (begin_ == end_) {
      if (at_end_) break;
      if (Status status = fill(); !status) return tl::unexpected(status.error());
      if (at_end_) break;
    }
    any = true;
    const char* start = buffer_.data() + begin_;
    const auto* found = static_cast<const char*>(std::memchr(start, '\n', end_ - begin_));
    const std::size_t length = found ? static_cast<std::size_t>(found - start) : end_ - begin_;
    line.append(start, length);
    begin_ += length + (found ? 1 : 0);
    consumed_ += length + (found ? 1 : 0);
    if (found) break;
  }
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return any;
}

}  // namespace bert::cli
