// The tokenizer on vocabularies small enough to read here: rules, options, errors. Exactness against the
// reference is in tests/parity, the notebook's own values are in tests/golden.
#include "bert/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace {

using bert::EncodeOptions;
using bert::Encoding;
using bert::ErrorCode;
using bert::Offsets;
using bert::Padding;
using bert::Side;
using bert::TextInput;
using bert::TextSequence;
using bert::Tokenizer;
using bert::TokenizerOptions;
using bert::Truncation;

constexpr std::string_view kVocab =
    "[PAD]\n[unused0]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\ne\nhello\nworld\nun\n##aff\n##able\n##a\n##"
    "b\n!\n,\n"
    "\xe4\xb8\xad\n\xd0\xb6\n##\xd0\xb6\n'\ndon\nt\ni\n##\xcc\x87\n";

Tokenizer load(const TokenizerOptions& options = {}, std::string_view config = {}) {
  auto tokenizer =
      Tokenizer::load({.vocab_txt = kVocab, .tokenizer_json = {}, .tokenizer_config_json = config}, options);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(*tokenizer);
}

std::string tokens(const Tokenizer& tokenizer, const Encoding& row) {
  std::string out;
  for (const std::int32_t id : row.ids)
    out += (out.empty() ? "" : " ") + std::string(*tokenizer.id_to_token(id));
  return out;
}

std::string tokens(const Tokenizer& tokenizer, const TextInput& input, const EncodeOptions& options = {}) {
  const auto row = tokenizer.encode(input, options);
  return row ? tokens(tokenizer, *row) : "error: " + row.error().message;
}

EncodeOptions plain() {
  EncodeOptions options;
  options.add_special_tokens = false;
  return options;
}

TEST(Tokenizer, GreedyMatchIsTheLongest) {
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokens(tokenizer, "Hello, unaffable world!"), "[CLS] hello , un ##aff ##able world ! [SEP]");
  EXPECT_EQ(tokens(tokenizer, "unaffx"), "[CLS] [UNK] [SEP]");  // one part is missing: the whole word
}

TEST(Tokenizer, WordsAboveTheLimitAreUnknown) {
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.encode(std::string(100, 'a'), plain())->size(), 100u);
  const auto row = tokenizer.encode(std::string(101, 'a'), plain());
  ASSERT_EQ(row->size(), 1u);
  EXPECT_EQ(row->ids[0], 2);
  EXPECT_EQ(row->offsets[0], (Offsets{0, 101}));
  // code points count, not bytes, and after normalisation
  std::string cyrillic;
  for (int i = 0; i < 100; ++i) cyrillic += "\xd0\x96\xcc\x81";
  EXPECT_EQ(tokenizer.encode(cyrillic, plain())->size(), 100u);
  EXPECT_EQ(tokenizer.encode(cyrillic + "\xd0\xb6", plain())->size(), 1u);
}

TEST(Tokenizer, OffsetsPointIntoTheInput) {
  const Tokenizer tokenizer = load();
  const auto row = tokenizer.encode(" H\xc3\xa9llo\xe4\xb8\xad[MASK]", plain());
  EXPECT_EQ(tokens(tokenizer, *row), "hello \xe4\xb8\xad [MASK]");
  EXPECT_EQ(row->offsets, (std::vector<Offsets>{{1, 7}, {7, 10}, {10, 16}}));
  EXPECT_EQ(row->word_ids, (std::vector<std::int32_t>{0, 1, 2}));
  const TextInput input(" H\xc3\xa9llo\xe4\xb8\xad[MASK]");
  EXPECT_EQ(convert_offsets(*row, input, bert::OffsetUnit::kCodePoints),
            (std::vector<Offsets>{{1, 6}, {6, 7}, {7, 13}}));
}

TEST(Tokenizer, PairsKeepTheirSeparators) {
  const Tokenizer tokenizer = load();
  const auto row = tokenizer.encode({"a b", "c"});
  EXPECT_EQ(tokens(tokenizer, *row), "[CLS] a b [SEP] c [SEP]");
  EXPECT_EQ(row->type_ids, (std::vector<std::int32_t>{0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(row->special_tokens_mask, (std::vector<std::uint8_t>{1, 0, 0, 1, 0, 1}));
  EXPECT_EQ(row->sequence_ids, (std::vector<std::int8_t>{-1, 0, 0, -1, 1, -1}));
  EXPECT_EQ(row->word_ids, (std::vector<std::int32_t>{-1, 0, 1, -1, 0, -1}));
  EXPECT_EQ(tokens(tokenizer, {"a", ""}), "[CLS] a [SEP] [SEP]");
}

TEST(Tokenizer, SpecialTokensInTextCanBeSwitchedOff) {
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokens(tokenizer, "a [MASK] [mask]", plain()), "a [MASK] [UNK] [UNK] [UNK]");
  EncodeOptions untrusted = plain();
  untrusted.recognize_special_tokens = false;
  EXPECT_EQ(tokens(tokenizer, "a [SEP]", untrusted), "a [UNK] [UNK] [UNK]");
}

TEST(Tokenizer, OptionsOfTheNormalizer) {
  TokenizerOptions cased;
  cased.lowercase = false;
  EXPECT_FALSE(load(cased).settings().strip_accents);  // as lowercase, where nothing is said
  EXPECT_EQ(tokens(load(cased), "Hello hello", plain()), "[UNK] hello");
  EXPECT_EQ(tokens(load({}, R"({"do_lower_case": false})"), "Hello hello", plain()), "[UNK] hello");
  TokenizerOptions accents;
  accents.strip_accents = false;
  EXPECT_EQ(tokens(load(accents), "H\xc3\xa9llo", plain()), "[UNK]");
  EXPECT_EQ(tokens(load(accents), "\xc4\xb0", plain()), "i ##\xcc\x87");  // U+0130 becomes two characters
  TokenizerOptions chinese;
  chinese.tokenize_chinese_chars = false;
  EXPECT_EQ(tokens(load(chinese), "\xe4\xb8\xad\xe4\xb8\xad", plain()), "[UNK]");
  EXPECT_EQ(tokens(load(), "\xe4\xb8\xad\xe4\xb8\xad", plain()), "\xe4\xb8\xad \xe4\xb8\xad");
  TokenizerOptions dirty;
  dirty.clean_text = false;
  EXPECT_EQ(tokens(load(), "he\x01llo", plain()), "hello");
  EXPECT_EQ(tokens(load(dirty), "he\x01llo hello\x0bhello", plain()), "[UNK] hello hello");
}

TEST(Tokenizer, AnyBytesAreTaken) {
  const Tokenizer tokenizer = load();
  for (const std::string_view bad :
       {"he\xffllo", "he\xe4\xb8llo", "he\xed\xa0\x80llo", "he\xf4\x90\x80\x80llo", "he\xc0\x80llo"}) {
    const auto row = tokenizer.encode(bad, plain());
    EXPECT_EQ(tokens(tokenizer, *row), "hello") << bad;  // U+FFFD is dropped by clean_text
    EXPECT_EQ(row->offsets[0], (Offsets{0, static_cast<std::uint32_t>(bad.size())}));
  }
  // each ill-formed part is one character
  std::vector<Offsets> places = {{0, 3}, {3, 4}, {4, 5}, {5, 6}, {6, 7}};
  bert::convert_offsets("\xe4\xb8\x61\xed\xa0\x80\x61", bert::OffsetUnit::kCodePoints, places);
  EXPECT_EQ(places, (std::vector<Offsets>{{0, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 6}}));
}

TEST(Tokenizer, HostileTextTakesLinearTime) {
  const Tokenizer tokenizer = load();
  std::string marks = "a";  // classes fall, so that every mark must move
  for (int i = 0; i < 500000; ++i) marks += i % 2 == 0 ? "\xcc\x81" : "\xcc\xa3";
  auto row = tokenizer.encode(marks, plain());
  EXPECT_EQ(tokens(tokenizer, *row), "a");
  row = tokenizer.encode(std::string(10000000, 'a'), plain());
  EXPECT_EQ(row->ids, (std::vector<std::int32_t>{2}));
  row = tokenizer.encode(std::string(10000000, 'a') + "\xc3\xa9", plain());
  EXPECT_EQ(row->ids, (std::vector<std::int32_t>{2}));
  EXPECT_EQ(row->offsets[0], (Offsets{0, 10000002}));
}

TEST(Tokenizer, Truncation) {
  const Tokenizer tokenizer = load();
  EncodeOptions options;
  options.max_length = 5;
  auto row = tokenizer.encode("a b c d e", options);
  EXPECT_EQ(tokens(tokenizer, *row), "[CLS] a b c [SEP]");
  EXPECT_TRUE(row->truncation_implied);  // transformers warns here
  options.truncation = Truncation::kLongestFirst;
  row = tokenizer.encode("a b c d e", options);
  EXPECT_EQ(row->size(), 5u);
  EXPECT_FALSE(row->truncation_implied);
  options.truncation_side = Side::kLeft;
  EXPECT_EQ(tokens(tokenizer, "a b c d e", options), "[CLS] c d e [SEP]");
  options.truncation = Truncation::kNone;
  EXPECT_EQ(tokens(tokenizer, "a b c d e", options), "[CLS] a b c d e [SEP]");
  options = {};
  options.max_length = 6;
  options.truncation = Truncation::kLongestFirst;
  EXPECT_EQ(tokens(tokenizer, {"a b c", "d e"}, options), "[CLS] a b [SEP] d [SEP]");
  options.truncation = Truncation::kOnlyFirst;
  EXPECT_EQ(tokens(tokenizer, {"a b c", "d e"}, options), "[CLS] a [SEP] d e [SEP]");
  options.truncation = Truncation::kOnlySecond;
  EXPECT_EQ(tokens(tokenizer, {"a b", "d e"}, options), "[CLS] a b [SEP] d [SEP]");
  const auto failed = tokenizer.encode({"a b c", "d e"}, options);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kTooLong);
  EXPECT_EQ(tokenizer.encode("a b c d e", options).error().code, ErrorCode::kInvalidArgument);
}

TEST(Tokenizer, OverflowingWindows) {
  const Tokenizer tokenizer = load();
  EncodeOptions options;
  options.max_length = 5;
  options.truncation = Truncation::kLongestFirst;
  options.return_overflowing = true;
  options.stride = 1;
  const auto row = tokenizer.encode("a b c d e", options);
  EXPECT_EQ(tokens(tokenizer, *row), "[CLS] a b c [SEP]");
  ASSERT_EQ(row->overflowing.size(), 1u);
  EXPECT_EQ(tokens(tokenizer, row->overflowing[0]), "[CLS] c d e [SEP]");
  EXPECT_EQ(row->overflowing[0].offsets[1], (Offsets{4, 5}));
  EXPECT_EQ(row->overflowing[0].word_ids, (std::vector<std::int32_t>{-1, 2, 3, 4, -1}));
  options.stride = 3;
  const auto failed = tokenizer.encode("a b c d e", options);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message,
            "stride 3 must be less than 3, which is max_length 5 minus the 2 special tokens");
  options.stride = 0;
  options.max_length = 1;
  EXPECT_EQ(tokenizer.encode("a", options).error().message, "max_length 1 is less than the 2 special tokens");
  // no room at all, of a pair too: windows of nothing would follow each other for ever
  options.add_special_tokens = false;
  options.max_length = 0;
  for (const TextInput& input : {TextInput("a b"), {"a b", "a b"}, {"a b", ""}})
    EXPECT_EQ(tokenizer.encode(input, options).error().message,
              "windows of 0 tokens are no longer than the stride 0: no window can follow");
  options.return_overflowing = false;
  EXPECT_EQ(tokens(tokenizer, {"a b", "a b"}, options), "");
}

TEST(Tokenizer, PaddingOfWindowsCountsToo) {
  const Tokenizer tokenizer = load();
  EncodeOptions options = plain();
  options.max_length = 1;
  options.truncation = Truncation::kLongestFirst;
  options.return_overflowing = true;
  auto row = tokenizer.encode("a b c", options);
  ASSERT_EQ(row->overflowing.size(), 2u);
  options.padding = Padding::kMaxLength;
  options.max_length = 30'000'000;  // for three rows of one token some 90 million
  const auto padded = tokenizer.pad({&*row, 1}, options);
  ASSERT_FALSE(padded);
  EXPECT_EQ(padded.error().message, "rows of 30000000 tokens: more than 67108864 padding tokens");
}

TEST(Tokenizer, PaddingAndStacking) {
  const Tokenizer tokenizer = load();
  const std::vector<TextInput> inputs = {"a", "a b c"};
  auto rows = tokenizer.encode_batch(inputs);
  const auto ragged = bert::stack(*rows);
  ASSERT_FALSE(ragged);
  EXPECT_EQ(ragged.error().code, ErrorCode::kInvalidText);
  EXPECT_EQ(ragged.error().message,
            "rows of different lengths (3, 5) cannot form one tensor: use padding longest or max_length");
  EncodeOptions options;
  options.padding = Padding::kLongest;
  rows = tokenizer.encode_batch(inputs, options);
  EXPECT_EQ(tokens(tokenizer, (*rows)[0]), "[CLS] a [SEP] [PAD] [PAD]");
  EXPECT_EQ((*rows)[0].attention_mask, (std::vector<std::int32_t>{1, 1, 1, 0, 0}));
  EXPECT_EQ((*rows)[0].special_tokens_mask, (std::vector<std::uint8_t>{1, 0, 1, 1, 1}));
  const auto batch = bert::stack(*rows);
  EXPECT_EQ(batch->rows, 2u);
  EXPECT_EQ(batch->columns, 5u);
  EXPECT_EQ(batch->input_ids, (std::vector<std::int32_t>{3, 6, 4, 0, 0, 3, 6, 7, 8, 4}));
  const auto statistics = bert::padding_statistics(*rows);
  EXPECT_EQ(statistics.padding, 2u);
  EXPECT_DOUBLE_EQ(statistics.padding_percent, 20.0);
  EXPECT_EQ(statistics.attention_cells, 50u);
  EXPECT_EQ(statistics.attention_useful, 34u);
  options.padding_side = Side::kLeft;
  options.pad_to_multiple_of = 4;
  rows = tokenizer.encode_batch(inputs, options);
  EXPECT_EQ(tokens(tokenizer, (*rows)[0]), "[PAD] [PAD] [PAD] [PAD] [PAD] [CLS] a [SEP]");
  options = {};
  options.padding = Padding::kMaxLength;
  EXPECT_EQ(tokenizer.encode("a", options)->size(), 512u);
  options.max_length = 10;
  options.truncation = Truncation::kLongestFirst;
  options.pad_to_multiple_of = 4;
  EXPECT_EQ(tokenizer.encode("a", options).error().message,
            "max_length 10 is not a multiple of pad_to_multiple_of 4");
  std::vector<bert::Encoding> alone = {*tokenizer.encode("a")};
  EXPECT_EQ(tokenizer.pad(alone, options).error().message,
            "max_length 10 is not a multiple of pad_to_multiple_of 4");
  options.max_length.reset();
  options.pad_to_multiple_of = 5;
  EXPECT_EQ(tokenizer.encode("a", options).error().message,
            "max_length 512 is not a multiple of pad_to_multiple_of 5");
}

TEST(Tokenizer, TooLongIsAFlagNotAnError) {
  TokenizerOptions options;
  options.model_max_length = 4;
  const Tokenizer tokenizer = load(options);
  EXPECT_FALSE(tokenizer.encode("a b")->too_long);
  EXPECT_TRUE(tokenizer.encode("a b c")->too_long);
  EncodeOptions truncate;
  truncate.truncation = Truncation::kLongestFirst;
  EXPECT_EQ(tokens(tokenizer, "a b c", truncate), "[CLS] a b [SEP]");
}

TEST(Tokenizer, WordsGivenBeforehand) {
  const Tokenizer tokenizer = load();
  const std::vector<std::string_view> words = {"unaffable", "hello, world", "", "b"};
  const TextInput input{TextSequence(words)};
  const auto row = tokenizer.encode(input);
  EXPECT_EQ(tokens(tokenizer, *row), "[CLS] un ##aff ##able hello , world b [SEP]");
  EXPECT_EQ(row->word_ids, (std::vector<std::int32_t>{-1, 0, 0, 0, 1, 1, 1, 3, -1}));
  EXPECT_EQ(row->offsets[6], (Offsets{7, 12}));
}

TEST(Tokenizer, SplitWordsAreGroupedByWord) {
  const Tokenizer tokenizer = load();
  const auto row = tokenizer.encode("hello unaffable ab");
  const auto words = tokenizer.words(*row, 2);
  ASSERT_EQ(words.size(), 2u);
  EXPECT_EQ(words[0].text, "unaffable");
  EXPECT_EQ(words[0].pieces, (std::vector<std::string_view>{"un", "##aff", "##able"}));
  EXPECT_EQ(words[0].first_token, 2u);
  EXPECT_EQ(words[0].offsets, (Offsets{6, 15}));
  EXPECT_EQ(words[1].text, "ab");
  EXPECT_EQ(tokenizer.words(*row).size(), 3u);
}

TEST(Tokenizer, DecodesWithEitherCleanUp) {
  const Tokenizer tokenizer = load();
  const std::vector<std::int32_t> ids = tokenizer.encode("Don't, unaffable!")->ids;
  bert::DecodeOptions options;
  EXPECT_EQ(*tokenizer.decode(ids), "[CLS] don ' t, unaffable! [SEP]");
  options.skip_special_tokens = true;
  EXPECT_EQ(*tokenizer.decode(ids, options), "don ' t, unaffable!");
  options.clean_up = bert::CleanUp::kWholeString;
  EXPECT_EQ(*tokenizer.decode(ids, options), "don't, unaffable!");
  options.clean_up = bert::CleanUp::kNone;
  EXPECT_EQ(*tokenizer.decode(ids, options), "don ' t , unaffable !");
  EXPECT_EQ(*tokenizer.decode(std::vector<std::int32_t>{14}), "##aff");
  const auto failed = tokenizer.decode(std::vector<std::int32_t>{28});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "no token has the id 28; ids are 0 to 27");
}

TEST(Tokenizer, Vocabulary) {
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.vocab_size(), 28u);
  EXPECT_EQ(tokenizer.token_to_id("##aff"), 14);
  EXPECT_FALSE(tokenizer.token_to_id("##xyz"));
  EXPECT_EQ(tokenizer.token_to_id_or_unknown("##xyz"), 2);
  EXPECT_EQ(*tokenizer.special_token_id("mask_token"), 5);
  ASSERT_EQ(tokenizer.special_tokens().size(), 5u);
  EXPECT_EQ(tokenizer.special_tokens()[0].content, "[UNK]");
  bert::VocabularyQuery query;
  query.facet = bert::VocabularyFacet::kUnused;
  EXPECT_EQ(tokenizer.find(query)->ids, (std::vector<std::int32_t>{1}));
  query.facet = bert::VocabularyFacet::kSubword;
  query.text = "A";
  query.limit = 2;
  EXPECT_EQ(tokenizer.find(query)->ids, (std::vector<std::int32_t>{14, 15}));
  EXPECT_EQ(tokenizer.find(query)->total, 3u);
  query = {};
  query.script = "Cyrillic";
  EXPECT_EQ(tokenizer.find(query)->ids, (std::vector<std::int32_t>{21, 22}));
  query.script = "Klingon";
  EXPECT_EQ(tokenizer.find(query).error().message, "unknown script 'Klingon'");
  EXPECT_EQ(tokenizer.script_of(20), "Han");
  EXPECT_EQ(tokenizer.script_of(3), "Common");
}

TEST(Tokenizer, ExplainTellsStepsAndCandidates) {
  const Tokenizer tokenizer = load();
  const auto told = tokenizer.explain("H\xc3\xa9llo\x01 unaff[MASK]");
  ASSERT_TRUE(told);
  ASSERT_EQ(told->steps.size(), 4u);
  EXPECT_EQ(told->steps[0].name, "clean_text");
  ASSERT_EQ(told->steps[0].changes.size(), 1u);
  EXPECT_EQ(told->steps[0].changes[0].source, (Offsets{6, 7}));
  EXPECT_EQ(told->steps[2].before, "H\xc3\xa9llo unaff[MASK]");
  EXPECT_EQ(told->steps[2].after, "Hello unaff[MASK]");
  EXPECT_EQ(told->steps[2].changes[0].before, "\xc3\xa9");
  EXPECT_EQ(told->steps[2].changes[0].after, "e");
  EXPECT_EQ(told->steps[3].after, "hello unaff[MASK]");
  ASSERT_EQ(told->words.size(), 3u);
  std::vector<std::string> tried;
  for (const auto& candidate : told->words[1].candidates) tried.push_back(candidate.text);
  EXPECT_EQ(tried, (std::vector<std::string>{"unaff", "unaf", "una", "un", "##aff"}));
  EXPECT_EQ(told->words[2].kind, bert::WordKind::kAddedToken);
  EXPECT_EQ(tokenizer.explain(std::string(9000, 'a')).error().code, ErrorCode::kTooLong);
}

TEST(Tokenizer, BatchesMayRunInParallel) {
  const Tokenizer tokenizer = load();
  std::vector<TextInput> inputs(100, TextInput("a b c"));
  inputs[70] = TextInput("unaffable");
  std::size_t blocks = 0;
  const auto backwards = [&](std::size_t count, const std::function<void(std::size_t)>& body) {
    blocks = count;
    for (std::size_t i = count; i-- > 0;) body(i);
  };
  const auto rows = tokenizer.encode_batch(inputs, {}, backwards);
  EXPECT_GT(blocks, 1u);
  EXPECT_EQ(tokens(tokenizer, (*rows)[70]), "[CLS] un ##aff ##able [SEP]");
  EncodeOptions options;
  options.truncation = Truncation::kOnlySecond;
  options.max_length = 4;
  EXPECT_EQ(tokenizer.encode_batch(inputs, options).error().message,
            "row 0: truncation only_second needs a second sequence, there is none");
}

TEST(Tokenizer, BadFilesAreNamed) {
  const auto message = [](std::string_view vocab, std::string_view json, std::string_view config = {}) {
    const auto tokenizer = Tokenizer::load({vocab, json, config});
    return tokenizer
               ? std::string("loaded")
               : std::string(bert::code_name(tokenizer.error().code)) + ": " + tokenizer.error().message;
  };
  EXPECT_EQ(message("", ""),
            "invalid_argument: neither tokenizer.json nor vocab.txt was given, or both are empty");
  EXPECT_EQ(message("[UNK]\n[CLS]\n[SEP]\na\nb\na\n", ""),
            "invalid_model: vocab.txt: lines 4 and 6 are both 'a'");
  // whatever a file holds, an error is one line that steers no terminal, of whole characters
  EXPECT_EQ(message("[UNK]\n[CLS]\n[SEP]\n\x1b[2J\n\x1b[2J\n", ""),
            "invalid_model: vocab.txt: lines 4 and 5 are both '?[2J'");
  EXPECT_EQ(message("", R"({"model": {"vocab": {"[UNK]": 0, "a\n\u2028\u009b": 1, "a\n\u2028\u009b": 2}},
                            "pre_tokenizer": {"type": "BertPreTokenizer"}})"),
            "invalid_model: tokenizer.json: the ids 1 and 2 are both 'a?"
            "?"
            "?'");
  EXPECT_EQ(
      message(
          kVocab, "",
          R"({"padding_side": "x)" +
              [] {
                std::string wide;
                for (int i = 0; i < 30; ++i) wide += "\xe4\xb8\xad";
                return wide;
              }() +
              R"("})"),
      "invalid_model: tokenizer_config.json: padding_side is 'x" +
          [] {
            std::string wide;
            for (int i = 0; i < 26; ++i) wide += "\xe4\xb8\xad";
            return wide;
          }() +
          "...', not left or right");
  EXPECT_EQ(message("a\nb\n", ""), "invalid_model: vocab.txt: no entry '[UNK]' for unknown words");
  EXPECT_EQ(message("[UNK]\n[CLS]\n", ""), "invalid_model: vocab.txt: no line '[SEP]'");
  EXPECT_EQ(message("", "{"), "invalid_model: tokenizer.json: not well-formed JSON at byte 2");
  EXPECT_EQ(message("", R"({"model": {"type": "BPE", "vocab": {}}})"),
            "unsupported: tokenizer.json: the model is 'BPE', not WordPiece");
  EXPECT_EQ(message("", R"({"model": {"vocab": {"a": -1}}})"),
            "invalid_model: tokenizer.json: the id of 'a' is '-1', not a number from 0 to 4,194,303");
  EXPECT_EQ(message("", R"({"model": {"vocab": {"a": 0, "b": 0}}})"),
            "invalid_model: tokenizer.json: 'a' and 'b' both have the id 0");
  EXPECT_EQ(message(kVocab, "", R"({"model_max_length": 0})"),
            "invalid_model: tokenizer_config.json: model_max_length is '0', not a number of at least 1");
  EXPECT_EQ(message(kVocab, "", R"({"padding_side": "top"})"),
            "invalid_model: tokenizer_config.json: padding_side is 'top', not left or right");
  // a name twice is two tokens, not silently one
  EXPECT_EQ(message("", R"({"model": {"vocab": {"[UNK]": 0, "a": 1, "a": 2}},
                            "pre_tokenizer": {"type": "BertPreTokenizer"}})"),
            "invalid_model: tokenizer.json: the ids 1 and 2 are both 'a'");
  EXPECT_EQ(message("", R"({"model": )" + std::string(64, '[')),
            "invalid_model: tokenizer.json: nested more than 64 deep");
  EXPECT_EQ(message(
                "", R"({"model": {"vocab": {"a": 0}, "unk_token": "a"},
                            "pre_tokenizer": {"type": "BertPreTokenizer"},
                            "post_processor": {"type": "TemplateProcessing", "single": [)" +
                        [] {
                          std::string parts = "{}";
                          for (int i = 0; i < 64; ++i) parts += ",{}";
                          return parts;
                        }() +
                        "]}}"),
            "invalid_model: tokenizer.json: the template single has 65 parts; the most is 64");
  // ids that no token has, beyond the last one's or in a gap before it
  for (const char* id : {"2", "3", "5"}) {
    const std::string start = R"({"model": {"vocab": {"[UNK]": 0, "[CLS]": 1}}, "pre_tokenizer": {"type":
        "BertPreTokenizer"}, "added_tokens": [{"id": 4, "content": "x y"}], "post_processor": {"type": )";
    EXPECT_EQ(message("", start + R"("TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]",
                  "type_id": 0}}], "special_tokens": {"[CLS]": {"ids": [)" +
                              id + "]}}}}"),
              "invalid_model: tokenizer.json: an id of the template's '[CLS]' is outside the vocabulary");
    EXPECT_EQ(message("", start + R"("BertProcessing", "cls": ["[CLS]", )" + id + "]}}"),
              "invalid_model: tokenizer.json: BertProcessing has no id of the vocabulary for cls");
  }
}

TEST(Tokenizer, ManyAddedTokensAreReadOneByOne) {
  // each is looked up among those before it; by going through them all this took minutes
  constexpr std::int32_t kCount = 150000;
  std::string json = R"({"model": {"vocab": {"[UNK]": 0}}, "pre_tokenizer": {"type": "BertPreTokenizer"},
      "added_tokens": [{"id": 7, "content": "[UNK]"})";
  for (std::int32_t id = 1; id < kCount; ++id)
    json += ",{\"id\":" + std::to_string(id) + ",\"content\":\"" + std::to_string(100000 + id) + "\"}";
  const auto tokenizer =
      Tokenizer::load({.vocab_txt = {}, .tokenizer_json = json + "]}", .tokenizer_config_json = {}});
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->size(), static_cast<std::size_t>(kCount));
  EXPECT_EQ(tokenizer->token_to_id("[UNK]"), 0);  // the vocabulary's id wins
  EXPECT_EQ(tokenizer->token_to_id("249999"), 149999);
}

TEST(Tokenizer, LongWordsAreFoundWholeOrInPieces) {
  const auto tokenizer = Tokenizer::load(
      {.vocab_txt = "[UNK]\n[CLS]\n[SEP]\nextraordinary\nextraordinar\n##ily\n##y\nordinary\n##ordinarily\n"
                    "extra\nabcdefghi\nabcdefgh\n##j\n",
       .tokenizer_json = {},
       .tokenizer_config_json = {}});
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(tokens(*tokenizer, "Extraordinary", plain()), "extraordinary");
  EXPECT_EQ(tokens(*tokenizer, "extraordinarily", plain()), "extraordinar ##ily");
  EXPECT_EQ(tokens(*tokenizer, "ABCDEFGHI abcdefgh", plain()), "abcdefghi abcdefgh");
  EXPECT_EQ(tokens(*tokenizer, "abcdefghij abcdefghx", plain()), "abcdefghi ##j [UNK]");
}

TEST(Tokenizer, OffsetsInTheUnitAskedFor) {
  const Tokenizer tokenizer = load();
  EncodeOptions options = plain();
  const std::string first = "\xf0\x9f\x98\x80 \xc3\xa4 b c d";  // an emoji, a with umlaut
  const std::string_view split[] = {"\xc3\xa4", "b"};
  const TextInput inputs[] = {first, {TextSequence(std::span<const std::string_view>(split)), first}};
  for (const TextInput& input : inputs) {
    for (const auto unit :
         {bert::OffsetUnit::kBytes, bert::OffsetUnit::kCodePoints, bert::OffsetUnit::kUtf16}) {
      options.offset_unit = bert::OffsetUnit::kBytes;
      const auto bytes = tokenizer.encode(input, options);
      options.offset_unit = unit;
      const auto row = tokenizer.encode(input, options);
      EXPECT_EQ(row->offsets, convert_offsets(*bytes, input, unit));
    }
  }
  options.offset_unit = bert::OffsetUnit::kUtf16;
  options.truncation = Truncation::kLongestFirst;
  options.max_length = 2;
  options.return_overflowing = true;
  const auto row = tokenizer.encode(first, options);
  ASSERT_EQ(row->overflowing.size(), 2u);
  EXPECT_EQ(row->offsets, (std::vector<Offsets>{{0, 2}, {3, 4}}));
  EXPECT_EQ(row->overflowing[0].offsets, (std::vector<Offsets>{{5, 6}, {7, 8}}));
  EXPECT_EQ(row->overflowing[1].offsets, (std::vector<Offsets>{{9, 10}}));
}

TEST(Tokenizer, ConfigSaysMore) {
  const Tokenizer tokenizer =
      load({}, R"({"model_max_length": 1e30, "padding_side": "left", "mask_token": {"content": "a"},
      "added_tokens_decoder": {"28": {"content": "<new>", "lstrip": true, "special": true}}})");
  EXPECT_EQ(tokenizer.settings().model_max_length, 4294967295u);
  EXPECT_EQ(*tokenizer.special_token_id("mask_token"), 6);
  EXPECT_EQ(tokenizer.vocab_size(), 28u);
  EXPECT_EQ(tokenizer.size(), 29u);
  const auto row = tokenizer.encode("b  <new>b", plain());
  EXPECT_EQ(row->ids, (std::vector<std::int32_t>{7, 28, 7}));
  EXPECT_EQ(row->offsets[1], (Offsets{1, 8}));
  EncodeOptions options;
  options.padding = Padding::kMaxLength;
  EXPECT_EQ(tokenizer.encode("a", options).error().message,
            "padding max_length needs max_length: the tokenizer's files state no limit");
}

}  // namespace
