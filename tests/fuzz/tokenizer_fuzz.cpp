// Any bytes as text: encoding never fails, places stay inside the text and on its characters, columns agree,
// windows cover everything, and explain(), written step by step, tells the same ids and places. Other inputs
// are read as the tokenizer's files: they load or give one error. Input: byte 0 chooses (see below), byte 1
// the lengths, the rest is text.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "bert/tokenizer.h"
#include "fuzz/check_error.h"

namespace {

using bert::Encoding;
using bert::Offsets;
using bert::Tokenizer;

void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

constexpr std::string_view kVocab =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n[unused0]\na\nb\nc\nd\ne\ni\nn\no\ns\nt\n##a\n##b\n##c\n##d\n##e\n##"
    "i\n##n\n##ing\n"
    "##tion\nthe\ntoken\n##ization\n!\n,\n.\n'\n-\n\xe4\xb8\xad\n\xd0\xb6\n##\xd0\xb6\n\xc3\xa9\n##"
    "\xcc\x81\n\xcc\x81\n"
    "\xf0\x9f\x98\x80\n##\xf0\x9f\x98\x80\n\xe1\x84\x80\n##\xe1\x85\xa1\n\xef\xbf\xbd\n##\xef\xbf\xbd\n";
constexpr std::string_view kAdded =
    R"({"added_tokens_decoder": {"45": {"content": "<t>", "lstrip": true, "rstrip": true, "special": true},
        "46": {"content": "Ab", "normalized": true, "single_word": true}, "47": {"content": " d"}}})";

Tokenizer load(bool lowercase, bool clean, bool added) {
  bert::TokenizerOptions options;
  options.lowercase = lowercase;
  options.clean_text = clean;
  auto tokenizer = Tokenizer::load({kVocab, {}, added ? kAdded : std::string_view()}, options);
  check(tokenizer.has_value(), "the vocabulary loads");
  return std::move(*tokenizer);
}

void check_row(const Tokenizer& tokenizer, const Encoding& row, const bert::TextInput& input) {
  const std::size_t size = row.size();
  check(row.type_ids.size() == size && row.attention_mask.size() == size &&
            row.special_tokens_mask.size() == size && row.offsets.size() == size &&
            row.word_ids.size() == size && row.sequence_ids.size() == size,
        "columns have one length");
  const auto points = bert::convert_offsets(row, input, bert::OffsetUnit::kCodePoints);
  const auto units = bert::convert_offsets(row, input, bert::OffsetUnit::kUtf16);
  Offsets last;
  std::int8_t sequence = -1;
  for (std::size_t i = 0; i < size; ++i) {
    check(tokenizer.id_to_token(row.ids[i]).has_value(), "every id has a token");
    const Offsets place = row.offsets[i];
    if (row.sequence_ids[i] < 0) {
      check(row.special_tokens_mask[i] == 1 && row.word_ids[i] == -1 && place == Offsets{},
            "added tokens have no place");
      continue;
    }
    const std::string_view text = row.sequence_ids[i] == 0 ? input.first.text : input.second->text;
    check(place.begin <= place.end && place.end <= text.size(), "places are inside the text");
    check(points[i].begin <= points[i].end && points[i].end <= place.end,
          "code points are no more than bytes");
    check(points[i].end <= units[i].end && units[i].end <= place.end, "UTF-16 lies between");
    if (row.sequence_ids[i] == sequence)
      check(place.begin >= last.begin && place.end >= last.end, "places ascend");
    last = place;
    sequence = row.sequence_ids[i];
  }
}

/// No window is longer than asked for, and together they hold all tokens.
void check_windows(const Tokenizer& tokenizer, const bert::TextInput& pair,
                   const bert::EncodeOptions& options) {
  const auto first = tokenizer.encode(pair, options);
  if (!first) return check_error(first.error());
  std::vector<const Encoding*> windows = {&*first};
  for (const Encoding& window : first->overflowing) windows.push_back(&window);
  std::vector<Offsets> seen[2];
  for (const Encoding* window : windows) {
    check(window->size() <= *options.max_length, "windows fit");
    check_row(tokenizer, *window, pair);
    for (std::size_t i = 0; i < window->size(); ++i)
      if (const auto sequence = window->sequence_ids[i]; sequence >= 0)
        seen[sequence].push_back(window->offsets[i]);
  }
  bert::EncodeOptions plain;
  plain.add_special_tokens = false;
  for (const std::size_t sequence : {0U, 1U}) {
    const auto whole = tokenizer.encode(sequence == 0 ? pair.first.text : pair.second->text, plain);
    for (const Offsets& place : whole->offsets)
      check(std::find(seen[sequence].begin(), seen[sequence].end(), place) != seen[sequence].end(),
            "windows cover the text");
  }
}

void check_text(const Tokenizer& tokenizer, std::string_view text, std::uint8_t lengths) {
  bert::EncodeOptions plain;
  plain.add_special_tokens = false;
  const bert::TextInput whole(text);
  const auto row = tokenizer.encode(whole, plain);
  check(row.has_value(), "any text is encoded");
  check_row(tokenizer, *row, whole);
  check(tokenizer.decode(row->ids).has_value(), "ids are decoded");

  const auto told = tokenizer.explain(text);
  if (told) {
    std::vector<std::int32_t> ids;
    std::vector<Offsets> places;
    for (const auto& word : told->words) {
      ids.insert(ids.end(), word.ids.begin(), word.ids.end());
      places.insert(places.end(), word.offsets.begin(), word.offsets.end());
    }
    check(ids == row->ids, "explain tells the same ids");
    check(places == row->offsets, "explain tells the same places");
  } else {
    check(told.error().code == bert::ErrorCode::kTooLong, "only long texts are not explained");
  }

  // a pair, cut into windows; longest_first cuts both texts, which makes as many as the product of their
  // lengths
  const auto halves = [](std::string_view all) {
    return bert::TextInput(all.substr(0, all.size() / 2), all.substr(all.size() / 2));
  };
  bert::EncodeOptions options;
  options.return_overflowing = true;
  options.truncation_side = lengths >= 128 ? bert::Side::kLeft : bert::Side::kRight;
  options.truncation = bert::Truncation::kOnlySecond;
  options.max_length = 4 + lengths % 16;
  options.stride = lengths / 16 % 4;
  check_windows(tokenizer, halves(text), options);
  options.truncation = bert::Truncation::kLongestFirst;
  options.add_special_tokens = lengths % 2 == 0;
  options.max_length = lengths / 2 % 8;
  check_windows(tokenizer, halves(text.substr(0, 64)), options);
}

void check_files(std::uint8_t choice, std::string_view bytes) {
  bert::TokenizerFiles files;
  switch (choice % 3) {
    case 0:
      files.vocab_txt = bytes;
      break;
    case 1:
      files.tokenizer_json = bytes;
      break;
    default:
      files.vocab_txt = kVocab;
      files.tokenizer_config_json = bytes;
  }
  const auto tokenizer = Tokenizer::load(files);
  if (!tokenizer) {
    check_error(tokenizer.error());
    return;
  }
  const bert::TextInput input("The tokens [MASK] don't, caf\xc3\xa9!");
  const auto row = tokenizer->encode(input);
  check(row.has_value(), "a loaded tokenizer encodes");
  check_row(*tokenizer, *row, input);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Tokenizer tokenizers[] = {load(true, true, false), load(false, true, false),
                                         load(true, false, false), load(false, false, true),
                                         load(true, true, true)};
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  if (data[0] % 8 < 5) {
    check_text(tokenizers[data[0] % 8], text, data[1]);
  } else {
    check_files(data[0] / 8, text);
  }
  return 0;
}
