// Errors as values: every call of the core that can fail returns Expected<T> and never throws, save one case:
// memory for weights and working states that is not to be had is kOutOfMemory, but where containers find
// none, small ones or the tensors of a result, std::bad_alloc passes through (in WebAssembly, without
// exceptions, the program ends there). One error is a code for programs and one sentence for people that
// names the thing and the value.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace bert {

/// What went wrong, for programs. The names are the same in JSON, in TypeScript and here (see `code_name`).
enum class ErrorCode {
  kInvalidArgument,  ///< an option or argument that cannot be used, alone or with the others
  kInvalidText,    ///< the text lacks what the call needs (no [MASK], a ragged batch asked for as one tensor)
  kTooLong,        ///< more tokens than the model has positions
  kInvalidModel,   ///< model or vocabulary bytes that are not what they claim to be
  kMissingTensor,  ///< the checkpoint lacks a tensor (a head too) that this call needs
  kUnsupported,    ///< valid, but not something this program computes
  kNotFound,       ///< a file, folder or address that is not there
  kIo,             ///< reading, writing or downloading failed
  kAborted,        ///< the caller asked to stop
  kOutOfMemory,    ///< an allocation failed
  kInternal,       ///< a fault of ours
};

/// The code in snake_case, e.g. "invalid_argument"; a literal that lives for ever.
constexpr std::string_view code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kInvalidText:
      return "invalid_text";
    case ErrorCode::kTooLong:
      return "too_long";
    case ErrorCode::kInvalidModel:
      return "invalid_model";
    case ErrorCode::kMissingTensor:
      return "missing_tensor";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kAborted:
      return "aborted";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

/// A code and one sentence, without a line break, that names the thing and the value.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

/// Either a value or an `Error`. tl::expected has std::expected's interface and works in C++20.
template <class T>
using Expected = tl::expected<T, Error>;

/// Success, or why not.
using Status = Expected<void>;

/// `return fail(ErrorCode::kTooLong, "...");` in any function that returns an Expected.
[[nodiscard]] inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace bert
