// Asks OpenSSL for digests.
#include "io/hash.h"

#include <openssl/evp.h>

#include <memory>

namespace bert::cli {
namespace {

// The digest of `head` and then `bytes`.
Expected<std::string> digest_of(const char* name, const EVP_MD* kind, std::string_view head,
                                std::span<const std::byte> bytes) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (context == nullptr || EVP_DigestInit_ex(context.get(), kind, nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), head.data(), head.size()) != 1 ||
      EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), digest, &length) != 1) {
    return fail(ErrorCode::kInternal, std::string("OpenSSL cannot compute ") + name);
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

}  // namespace

Expected<std::string> sha256(std::span<const std::byte> bytes) {
  return digest_of("SHA-256", EVP_sha256(), {}, bytes);
}

Expected<std::string> git_blob_sha1(std::span<const std::byte> bytes) {
  std::string head = "blob " + std::to_string(bytes.size());
  head += '\0';
  return digest_of("SHA-1", EVP_sha1(), head, bytes);
}

}  // namespace bert::cli
