// Errors as values: codes have the names that JSON and TypeScript use, and a failure keeps its sentence.
#include "bert/result.h"

#include <gtest/gtest.h>

namespace {

bert::Expected<int> half(int n) {
  if (n % 2 != 0)
    return bert::fail(bert::ErrorCode::kInvalidArgument, "n must be even, it is " + std::to_string(n));
  return n / 2;
}

TEST(Result, ValueOrOneSentence) {
  EXPECT_EQ(half(8).value(), 4);
  const auto odd = half(7);
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().code, bert::ErrorCode::kInvalidArgument);
  EXPECT_EQ(odd.error().message, "n must be even, it is 7");
}

TEST(Result, CodesHaveTheirPublicNames) {
  EXPECT_EQ(bert::code_name(bert::ErrorCode::kInvalidArgument), "invalid_argument");
  EXPECT_EQ(bert::code_name(bert::ErrorCode::kMissingTensor), "missing_tensor");
  EXPECT_EQ(bert::code_name(bert::ErrorCode::kOutOfMemory), "out_of_memory");
  EXPECT_EQ(bert::code_name(bert::ErrorCode::kInternal), "internal");
}

}  // namespace
