// Takes words out of a text by their position and puts [MASK] in their place (Exercise 4 of the notebook).
#include <algorithm>
#include <array>
#include <string>

#include "base/quote.h"
#include "tasks/data.h"

namespace bert {
namespace {

// The white space of Unicode beyond ASCII, in UTF-8.
constexpr std::array<std::string_view, 19> kWideSpaces = {
    "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
    "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
    "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
    "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};

// Length of the white space character at `at`, 0 if there is none.
std::size_t space_at(std::string_view text, std::size_t at) {
  const char c = text[at];
  if (c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f')) return 1;
  for (const std::string_view space : kWideSpaces) {
    if (text.substr(at).starts_with(space)) return space.size();
  }
  return 0;
}

std::vector<Offsets> split_at_spaces(std::string_view text) {
  std::vector<Offsets> words;
  std::size_t begin = 0;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t space = at < text.size() ? space_at(text, at) : 1;
    if (space > 0 && at > begin)
      words.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(at)});
    at += space > 0 ? space : 1;
    if (space > 0) begin = at;
  }
  return words;
}

// One character that BERT splits off: punctuation or a symbol, and no letter or digit.
bool is_punctuation(const Tokenizer& tokenizer, std::int32_t id, std::string_view text) {
  if (text.empty()) return false;
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) {
    const bool digit_or_letter =
        (lead >= '0' && lead <= '9') || (lead >= 'a' && lead <= 'z') || (lead >= 'A' && lead <= 'Z');
    return text.size() == 1 && !digit_or_letter;
  }
  const auto continuation = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; };
  const bool one_character = std::all_of(text.begin() + 1, text.end(), continuation);
  return one_character && tokenizer.script_of(id) == "Common";
}

}  // namespace

Expected<MaskedText> mask_words(const Tokenizer& tokenizer, std::string_view text,
                                std::span<const std::size_t> positions, bool one_mask_per_piece) {
  EncodeOptions options;
  options.add_special_tokens = false;
  const Expected<Encoding> row = tokenizer.encode(text, options);
  if (!row) return tl::unexpected(row.error());
  const Expected<std::int32_t> mask_id = tokenizer.special_token_id("mask_token");
  if (!mask_id) return tl::unexpected(mask_id.error());
  const std::string mask(*tokenizer.id_to_token(*mask_id));
  const std::vector<Offsets> words = split_at_spaces(text);

  std::vector<std::size_t> sorted(positions.begin(), positions.end());
  // a heap sort; model/safetensors.cpp says why
  std::partial_sort(sorted.begin(), sorted.end(), sorted.end());
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end()) {
    return fail(ErrorCode::kInvalidArgument, "word position " + std::to_string(*twice) + " is given twice");
  }
  MaskedText masked;
  std::size_t copied = 0, token = 0, masks = 0;
  for (const std::size_t position : sorted) {
    if (position >= words.size()) {
      return fail(ErrorCode::kInvalidArgument, "word position " + std::to_string(position) +
                                                   " is not in the text, which has " +
                                                   std::to_string(words.size()) + " words (counted from 0)");
    }
    const Offsets word = words[position];
    // tokens of the word, then without the punctuation at both ends
    while (token < row->size() && row->offsets[token].begin < word.begin)
      masks += row->ids[token++] == *mask_id;
    std::size_t begin = token, end = token;
    while (end < row->size() && row->offsets[end].end <= word.end) ++end;
    const auto punctuation = [&](std::size_t i) {
      const Offsets span = row->offsets[i];
      const bool whole = (i == 0 || row->word_ids[i - 1] != row->word_ids[i]) &&
                         (i + 1 == row->size() || row->word_ids[i + 1] != row->word_ids[i]);
      return whole && is_punctuation(tokenizer, row->ids[i], text.substr(span.begin, span.end - span.begin));
    };
    while (begin < end && punctuation(begin)) ++begin;
    while (end > begin && punctuation(end - 1)) --end;
    if (begin == end) {
      return fail(ErrorCode::kInvalidArgument, "word position " + std::to_string(position) + " is " +
                                                   quote(text.substr(word.begin, word.end - word.begin)) +
                                                   ", which has no word to mask");
    }
    const std::size_t from = row->offsets[begin].begin, to = row->offsets[end - 1].end;
    MaskedWord entry{.word = position,
                     .original = std::string(text.substr(from, to - from)),
                     .first_mask = masks,
                     .masks = one_mask_per_piece ? end - begin : 1};
    masked.text += text.substr(copied, from - copied);
    for (std::size_t i = 0; i < entry.masks; ++i) masked.text += (i > 0 ? " " : "") + mask;
    copied = to;
    masks += entry.masks;
    token = end;
    masked.words.push_back(std::move(entry));
  }
  masked.text += text.substr(copied);
  return masked;
}

}  // namespace bert
