// Safetensors headers: what the format allows, and one clear error for everything else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "bert/model.h"

namespace {

using bert::DType;
using bert::ErrorCode;
using bert::SafetensorsHeader;
using bert::ShardIndex;
using testing::HasSubstr;

std::string with_length(const std::string& json, std::uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + json;
}

bert::Expected<SafetensorsHeader> parse(const std::string& json,
                                        std::optional<std::uint64_t> data_bytes = {}) {
  const std::string bytes = with_length(json, json.size());
  return SafetensorsHeader::parse(std::as_bytes(std::span(bytes)),
                                  data_bytes ? std::optional(bytes.size() + *data_bytes) : std::nullopt);
}

TEST(SafetensorsHeader, ReadsTensorsInTheOrderOfTheirBytes) {
  const auto header = parse(R"({"b": {"dtype": "F16", "shape": [2, 3], "data_offsets": [4, 16]},
      "__metadata__": {"format": "pt", "note": "\u00e9"},
      "a": {"data_offsets": [0, 4], "shape": [], "dtype": "F32"},
      "empty": {"dtype": "I64", "shape": [0, 5], "data_offsets": [4, 4]}}   )",
                            16);
  ASSERT_TRUE(header) << header.error().message;
  ASSERT_EQ(header->tensors().size(), 3U);
  EXPECT_EQ(header->tensors()[0].name, "a");
  EXPECT_EQ(header->tensors()[0].elements(), 1U);
  EXPECT_EQ(header->tensors()[1].name, "empty");
  EXPECT_EQ(header->tensors()[1].elements(), 0U);
  EXPECT_EQ(header->tensors()[2].name, "b");
  EXPECT_EQ(header->tensors()[2].dtype, DType::kF16);
  EXPECT_EQ(header->tensors()[2].shape, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(header->tensors()[2].offset, header->data_offset() + 4);
  EXPECT_EQ(header->tensors()[2].bytes, 12U);
  EXPECT_EQ(header->file_bytes(), header->data_offset() + 16);
  EXPECT_EQ(header->metadata().at("format"), "pt");
  EXPECT_EQ(header->metadata().at("note"), "\u00e9");
}

TEST(SafetensorsHeader, EmptyIsValid) {
  const auto header = parse("{}", 0);
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_TRUE(header->tensors().empty());
}

TEST(SafetensorsHeader, NamesEveryType) {
  for (int i = 0; i < 15; ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::string bytes = std::to_string(bert::dtype_size(dtype));
    const auto header = parse("{\"t\":{\"dtype\":\"" + std::string(bert::dtype_name(dtype)) +
                              "\",\"shape\":[1],\"data_offsets\":[0," + bytes + "]}}");
    ASSERT_TRUE(header) << header.error().message;
    EXPECT_EQ(header->tensors()[0].dtype, dtype);
  }
}

TEST(SafetensorsHeader, RefusesWithOneLineThatNamesTheTensor) {
  struct Bad {
    std::string json;
    const char* text;
  };
  const Bad kBad[] = {
      {"", "from 2 to"},
      {"[]", "does not start with {"},
      {" {}", "does not start with {"},
      {"{\"a\"", "not valid JSON"},
      {"{} x", "not valid JSON"},
      {R"({"a": 5})", "'a' has 5"},
      {R"({"a": "x"})", "'a' has 'x'"},
      {R"({"a": null})", "'a' has null"},
      {R"({"a": []})", "'a' has a list"},
      {R"({"a": {}})", "'a' has no dtype"},
      {R"({"a": {"dtype": "F32", "data_offsets": [0, 4]}})", "'a' has no shape"},
      {R"({"a": {"dtype": "F32", "shape": [1]}})", "'a' has no data_offsets"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}})",
       "'a' has no data_offsets of two"},
      {R"({"a": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}})", "unknown type 'F31'"},
      {R"({"a": {"dtype": 32, "shape": [1], "data_offsets": [0, 4]}})", "'a' has 32"},
      {R"({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}})", "'a' has -1"},
      {R"({"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}})", "'a' has 1.0"},
      {R"({"a": {"dtype": "F32", "shape": [[1]], "data_offsets": [0, 4]}})", "'a' has a list"},
      {R"({"a": {"dtype": "F32", "shape": {"x": 1}, "data_offsets": [0, 4]}})", "'a' has an object"},
      {R"({"a": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}})", "'a' has true"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}})", "needs 4 bytes"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}})", "'a'"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 99999999999999999999]}})", "'a'"},
      {R"({"a": {"dtype": "F32", "shape": [4294967296, 4294967296, 4], "data_offsets": [0, 4]}})",
       "impossible shape"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], "extra": 1}})",
       "unknown field 'extra'"},
      {R"({"a": {"dtype": "F32", "dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})",
       "twice field 'dtype'"},
      {R"({"a": {"dtype": "F32", "shape": [1], "shape": [1], "data_offsets": [0, 4]}})",
       "twice field 'shape'"},
      {R"({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
           "a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}})",
       "'a' stands in the header twice"},
      {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
           "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}})",
       "'b' starts at byte 2, inside the one before it"},
      {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
           "b": {"dtype": "U8", "shape": [4], "data_offsets": [8, 12]}})",
       "'b' starts at byte 8, after a gap"},
      {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}})", "after a gap"},
      {R"({"__metadata__": {"format": 5}})", "metadata has 5"},
      {R"({"__metadata__": {"a": {}}})", "metadata has an object"},
      {R"({"__metadata__": {"a": "1", "a": "2"}})", "metadata 'a' stands in the header twice"},
      {R"({"__metadata__": "x"})", "metadata has"},
  };
  for (const Bad& bad : kBad) {
    const auto header = parse(bad.json);
    ASSERT_FALSE(header) << bad.json;
    EXPECT_EQ(header.error().code, ErrorCode::kInvalidModel) << bad.json;
    EXPECT_THAT(header.error().message, HasSubstr(bad.text)) << bad.json;
    EXPECT_LT(header.error().message.size(), 300U) << bad.json;
    EXPECT_EQ(header.error().message.find('\n'), std::string::npos) << bad.json;
  }
}

TEST(SafetensorsHeader, OffsetsAtTheEndOfTheNumbersDoNotWrap) {
  const std::string most = "18446744073709551615";
  const auto header =
      parse("{\"a\":{\"dtype\":\"U8\",\"shape\":[" + most + "],\"data_offsets\":[0," + most + "]}}");
  ASSERT_FALSE(header);
  EXPECT_THAT(header.error().message, HasSubstr("'a' ends beyond any file"));
}

TEST(SafetensorsHeader, LengthsAreChecked) {
  const std::string json = R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})";
  EXPECT_TRUE(parse(json, 4));
  for (const std::uint64_t wrong : {0, 3, 5}) {
    const auto header = parse(json, wrong);
    ASSERT_FALSE(header) << wrong;
    EXPECT_THAT(header.error().message, HasSubstr("'a'"));
  }
  const std::string good = with_length(json, json.size());
  for (std::size_t cut = 0; cut < good.size(); ++cut)
    EXPECT_FALSE(SafetensorsHeader::parse(std::as_bytes(std::span(good)).first(cut))) << cut;
  for (const std::uint64_t length :
       {std::uint64_t{0}, std::uint64_t{1}, SafetensorsHeader::kMaxHeaderBytes + 1, ~std::uint64_t{0},
        ~std::uint64_t{0} - 7}) {
    const std::string bytes = with_length(json, length);
    const auto size = SafetensorsHeader::size_from(std::as_bytes(std::span(bytes)));
    ASSERT_FALSE(size) << length;
    EXPECT_THAT(size.error().message, HasSubstr(std::to_string(length)));
  }
}

TEST(SafetensorsHeader, DeepNestingAndInvalidTextAreErrors) {
  EXPECT_FALSE(parse("{\"a\":" + std::string(1'000'000, '[')));
  std::string nested = "{\"a\":";
  for (int i = 0; i < 100'000; ++i) nested += "{\"a\":";
  EXPECT_FALSE(parse(nested));
  EXPECT_FALSE(parse("{\"\xff\xfe\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"));
}

TEST(ShardIndex, ReadsFilesAndTensors) {
  const auto index = ShardIndex::parse(
      R"({"metadata": {"total_size": 5}, "weight_map": {"b": "two.safetensors", "a": "one.safetensors",
          "c": "two.safetensors"}})");
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ(index->files, (std::vector<std::string>{"one.safetensors", "two.safetensors"}));
  EXPECT_EQ(index->shard.at("a"), 0U);
  EXPECT_EQ(index->shard.at("b"), 1U);
  EXPECT_EQ(index->shard.at("c"), 1U);
}

TEST(ShardIndex, RefusesFilesElsewhere) {
  for (const char* file : {"\"../x\"", "\"/etc/passwd\"", "\"a/b\"", "\"a\\\\b\"", "\"\"", "\".\"", "\"..\"",
                           "5", "\"c:x\"", "\"a\\n\""}) {
    const auto index = ShardIndex::parse(std::string(R"({"weight_map": {"tensor": )") + file + "}}");
    ASSERT_FALSE(index) << file;
    EXPECT_EQ(index.error().code, ErrorCode::kInvalidModel);
    EXPECT_THAT(index.error().message, HasSubstr("'tensor'"));
  }
  for (const char* text : {"", "[]", "{}", R"({"weight_map": {}})", R"({"weight_map": 5})"})
    EXPECT_FALSE(ShardIndex::parse(text)) << text;
}

}  // namespace
