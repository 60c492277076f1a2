// Where tests find their files: golden files in the checkout, the vocabulary in the cache, reference files
// beside the checkout.
#pragma once

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

namespace bert_test {

/// The bytes of a file, or nothing if it cannot be read.
inline std::optional<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

inline std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// A path inside tests/ of the checkout, e.g. test_path("golden/tokens.json").
inline std::string test_path(const std::string& relative) {
  return environment("BERTLENS_TESTS") + "/" + relative;
}

/// The vocabulary of bert-base-uncased, which set-up puts into the cache.
inline std::string vocab_path() {
  return environment("BERTLENS_VOCAB");
}

/// A path inside the optional folder of reference files. A test that cannot read it calls GTEST_SKIP() and
/// names it.
inline std::string shared_path(const std::string& relative) {
  return environment("BERTLENS_SHARED") + "/" + relative;
}

}  // namespace bert_test
