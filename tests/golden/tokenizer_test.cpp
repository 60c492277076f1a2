// The notebook's cells 3 to 7, its exercises 1 and 2, and the traps of tokenizing, against
// tokenizer/cases.json, which the reference made (make-tokenizer-golden.ts).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bert/tokenizer.h"
#include "support/test_files.h"

namespace {

using bert::Tokenizer;
using nlohmann::json;

const std::string& vocab() {
  static const std::string text = bert_test::read_file(bert_test::vocab_path()).value_or("");
  return text;
}

Tokenizer load(bool lowercase = true) {
  bert::TokenizerOptions options;
  options.lowercase = lowercase;
  auto tokenizer =
      Tokenizer::load({.vocab_txt = vocab(), .tokenizer_json = {}, .tokenizer_config_json = {}}, options);
  if (!tokenizer) {
    ADD_FAILURE() << tokenizer.error().message << " (" << bert_test::vocab_path() << ")";
    std::abort();
  }
  return std::move(*tokenizer);
}

json golden() {
  const std::string path = bert_test::test_path("golden/tokenizer/cases.json");
  const auto bytes = bert_test::read_file(path);
  EXPECT_TRUE(bytes) << path;
  return json::parse(bytes.value_or("{}"));
}

bert::EncodeOptions options_of(const json& in) {
  bert::EncodeOptions out;
  for (const auto& [name, value] : in.items()) {
    if (name == "padding") {
      out.padding = value == "longest" ? bert::Padding::kLongest : bert::Padding::kMaxLength;
    } else if (name == "truncation") {
      out.truncation = value == "longest_first" ? bert::Truncation::kLongestFirst
                       : value == "only_first"  ? bert::Truncation::kOnlyFirst
                                                : bert::Truncation::kOnlySecond;
    } else if (name == "max_length") {
      out.max_length = value;
    } else if (name == "pad_to_multiple_of") {
      out.pad_to_multiple_of = value;
    } else if (name == "padding_side") {
      out.padding_side = bert::Side::kLeft;
    } else if (name == "truncation_side") {
      out.truncation_side = bert::Side::kLeft;
    } else if (name == "add_special_tokens") {
      out.add_special_tokens = value;
    } else {
      ADD_FAILURE() << "unknown option " << name;
    }
  }
  return out;
}

json row_of(const Tokenizer& tokenizer, const bert::Encoding& row, const bert::TextInput& input) {
  json out = {{"input_ids", row.ids},
              {"token_type_ids", row.type_ids},
              {"attention_mask", row.attention_mask},
              {"special_tokens_mask", row.special_tokens_mask},
              {"tokens", json::array()},
              {"offsets", json::array()},
              {"word_ids", json::array()}};
  for (const std::int32_t id : row.ids) out["tokens"].push_back(*tokenizer.id_to_token(id));
  for (const bert::Offsets& place : convert_offsets(row, input, bert::OffsetUnit::kCodePoints))
    out["offsets"].push_back({place.begin, place.end});
  for (const std::int32_t word : row.word_ids) out["word_ids"].push_back(word < 0 ? json() : json(word));
  return out;
}

TEST(GoldenTokenizer, EveryCaseInEveryColumn) {
  const Tokenizer uncased = load();
  const Tokenizer cased = load(false);
  const json cases = golden().at("encode");
  ASSERT_GT(cases.size(), 20u);
  for (const json& one : cases) {
    const std::string name = one.at("name");
    const Tokenizer& tokenizer = one.at("lowercase") ? uncased : cased;
    std::vector<std::string> strings;
    for (const json& input : one.at("inputs")) {
      strings.push_back(input.at("text"));
      strings.push_back(input.value("pair", ""));
    }
    std::vector<bert::TextInput> inputs;
    for (std::size_t i = 0; i < strings.size(); i += 2) {
      if (one.at("inputs")[i / 2].contains("pair")) {
        inputs.emplace_back(strings[i], strings[i + 1]);
      } else {
        inputs.emplace_back(strings[i]);
      }
    }
    const auto rows = tokenizer.encode_batch(inputs, options_of(one.at("options")));
    ASSERT_TRUE(rows) << name << ": " << rows.error().message;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const json ours = row_of(tokenizer, (*rows)[i], inputs[i]);
      EXPECT_EQ(ours, one.at("rows")[i]) << name << ", row " << i << "\n"
                                         << json::diff(one.at("rows")[i], ours).dump();
    }
  }
}

TEST(GoldenTokenizer, Decoding) {
  const Tokenizer tokenizer = load();
  const json cases = golden();
  for (const json& one : cases.at("decode")) {
    bert::DecodeOptions options;
    options.skip_special_tokens = one.at("skip_special_tokens");
    EXPECT_EQ(*tokenizer.decode(one.at("input_ids").get<std::vector<std::int32_t>>(), options),
              one.at("text").get<std::string>());
  }
  const auto ids = tokenizer.encode("I don't know, isn't it? No!")->ids;
  bert::DecodeOptions slow;
  slow.skip_special_tokens = true;
  slow.clean_up = bert::CleanUp::kWholeString;
  EXPECT_EQ(*tokenizer.decode(ids, slow), "i don't know, isn't it? no!");
}

TEST(GoldenTokenizer, Cell3VocabularyAndSpecialTokens) {
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.settings().model_max_length, 512u);
  EXPECT_EQ(tokenizer.vocab_size(), 30522u);
  std::vector<std::pair<std::string, std::int32_t>> specials;
  for (const auto& token : tokenizer.special_tokens()) specials.emplace_back(token.content, token.id);
  EXPECT_EQ(specials, (std::vector<std::pair<std::string, std::int32_t>>{
                          {"[UNK]", 100}, {"[SEP]", 102}, {"[PAD]", 0}, {"[CLS]", 101}, {"[MASK]", 103}}));
  for (const auto& [content, id] : specials) EXPECT_EQ(*tokenizer.decode(std::vector{id}), content);
}

TEST(GoldenTokenizer, Cell4UnusedTokens) {
  const Tokenizer tokenizer = load();
  bert::VocabularyQuery query;
  query.facet = bert::VocabularyFacet::kUnused;
  const auto unused = tokenizer.find(query);
  ASSERT_EQ(unused->ids.size(), 994u);
  for (std::size_t i = 0; i < 994; ++i)
    ASSERT_EQ(*tokenizer.id_to_token(unused->ids[i]), "[unused" + std::to_string(i) + "]");
}

TEST(GoldenTokenizer, Exercise1SplitWords) {
  const Tokenizer tokenizer = load();
  const auto split = [&](std::string_view text) {
    std::vector<std::vector<std::string>> result;
    for (const bert::Word& word : tokenizer.words(*tokenizer.encode(text), 2)) {
      result.push_back({word.text});
      result.back().insert(result.back().end(), word.pieces.begin(), word.pieces.end());
    }
    return result;
  };
  using Words = std::vector<std::vector<std::string>>;
  EXPECT_EQ(split("The pre-trained BERT model uses WordPiece tokenization with 30,522 tokens."),
            (Words{{"wordpiece", "word", "##piece"},
                   {"tokenization", "token", "##ization"},
                   {"522", "52", "##2"},
                   {"tokens", "token", "##s"}}));
  // the notebook's own grouping, by pairs, is wrong for a word of more than two pieces
  const Words rare = split("Antidisestablishmentarianism is a very long word.");
  ASSERT_EQ(rare.size(), 1u);
  EXPECT_EQ(rare[0][0], "antidisestablishmentarianism");
  EXPECT_EQ(rare[0].size(), 1u + 8u);
}

TEST(GoldenTokenizer, Exercise2PaddingPercentages) {
  const Tokenizer tokenizer = load();
  const std::vector<bert::TextInput> sentences = {
      "Great!", "This is a medium length sentence about machine learning.", "Short one.",
      "This is the longest sentence in our batch and it talks about natural language processing and "
      "transformers."};
  bert::EncodeOptions options;
  options.padding = bert::Padding::kLongest;
  options.truncation = bert::Truncation::kLongestFirst;
  const auto longest = bert::padding_statistics(*tokenizer.encode_batch(sentences, options));
  options.padding = bert::Padding::kMaxLength;
  options.max_length = 64;
  const auto fixed = bert::padding_statistics(*tokenizer.encode_batch(sentences, options));
  EXPECT_EQ(longest.rows, 4u);
  EXPECT_EQ(longest.columns, 20u);
  EXPECT_EQ(fixed.columns, 64u);
  EXPECT_NEAR(longest.padding_percent, 48.75, 0.005);
  EXPECT_NEAR(fixed.padding_percent, 83.98, 0.005);
  EXPECT_NEAR(fixed.padding_percent - longest.padding_percent, 35.23, 0.005);
}

TEST(GoldenTokenizer, Cell6RaggedBatch) {
  const Tokenizer tokenizer = load();
  const std::vector<bert::TextInput> batch = {"This movie was amazing!", "Bad.",
                                              "I would not watch it again, honestly."};
  const auto ragged = bert::stack(*tokenizer.encode_batch(batch));
  ASSERT_FALSE(ragged);
  EXPECT_EQ(ragged.error().message,
            "rows of different lengths (7, 4, 11) cannot form one tensor: use padding longest or max_length");
}

}  // namespace
