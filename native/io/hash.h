// Hashes of bytes (OpenSSL), as lower-case hexadecimal digits.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "bert/result.h"

namespace bert::cli {

/// 64 digits. Errors: kInternal where the library cannot compute it.
Expected<std::string> sha256(std::span<const std::byte> bytes);

/// The 40 digits by which git names a file with these bytes: SHA-1 of "blob SIZE", a zero byte, and the
/// bytes. Errors: kInternal where the library cannot compute it.
Expected<std::string> git_blob_sha1(std::span<const std::byte> bytes);

}  // namespace bert::cli
