// Memory-mapped files (POSIX).
#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "io/error_line.h"

namespace bert::cli {
namespace {

tl::unexpected<Error> system_error(const std::string& path, int error) {
  const ErrorCode code = error == ENOENT || error == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo;
  return fail(code, in_quotes(path) + ": " + std::strerror(error));
}

}  // namespace

Expected<MappedFile> MappedFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return system_error(path, errno);
  struct stat info {};
  int error = ::fstat(fd, &info) == 0 ? 0 : errno;
  if (error == 0 && S_ISDIR(info.st_mode)) error = EISDIR;
  MappedFile file;
  if (error == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
    file.size_ = static_cast<std::size_t>(info.st_size);
    void* address = ::mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (address == MAP_FAILED) {
      error = errno;
    } else {
      file.data_ = static_cast<const std::byte*>(address);
      file.mapped_ = true;
    }
  } else if (error == 0 && !S_ISREG(info.st_mode)) {
    std::size_t used = 0;
    for (;;) {
      file.read_.resize(used + (std::size_t{1} << 16));
      const ssize_t got = ::read(fd, file.read_.data() + used, file.read_.size() - used);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) error = errno;
      if (got <= 0) break;
      used += static_cast<std::size_t>(got);
    }
    file.read_.resize(used);
    file.data_ = file.read_.data();
    file.size_ = used;
  }
  ::close(fd);
  if (error != 0) return system_error(path, error);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, false)),
      read_(std::move(other.read_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_, other.mapped_);
  std::swap(read_, other.read_);
  return *this;
}

MappedFile::~MappedFile() {
  if (mapped_) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace bert::cli
