// SHA-256 of bytes (OpenSSL).
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "bert/result.h"

namespace bert::cli {

/// 64 lower-case hexadecimal digits. Errors: kInternal where the library cannot compute it.
Expected<std::string> sha256(std::span<const std::byte> bytes);

}  // namespace bert::cli
