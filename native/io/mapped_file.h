// A file's bytes in memory: mapped where it is a regular file, read whole where it is a pipe.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bert/result.h"

namespace bert::cli {

/// Owns the bytes; moving keeps `bytes()` valid. A mapped file must not be cut short by others meanwhile.
class MappedFile {
 public:
  /// Errors: kNotFound when nothing is there; kIo for a folder or what cannot be read. Each names `path`.
  [[nodiscard]] static Expected<MappedFile> open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  /// The whole file; read only.
  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  MappedFile() = default;

  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  bool mapped_ = false;
  std::vector<std::byte> read_;
};

}  // namespace bert::cli
