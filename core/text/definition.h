// What a tokenizer's files define, read and checked, before any table is built.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "bert/tokenizer.h"
#include "text/vocabulary.h"

namespace bert::text {

/// A token that is looked for in the text as a whole, before the words are split.
struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool single_word = false;  ///< only where no word character touches it
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space behind it
  bool normalized = false;   ///< is looked for, normalised, in the normalised text
  bool special = false;      ///< left out by `skip_special_tokens`
};

/// One part of the template that puts sequences and special tokens together.
struct TemplatePart {
  int sequence = -1;              ///< 0 or 1; -1: special tokens
  std::vector<std::int32_t> ids;  ///< of the special tokens
  std::int32_t type_id = 0;
};

struct Definition {
  TokenizerSettings settings;
  std::vector<TokenEntry> entries;  ///< at their ids; those of a vocab.txt view its bytes, the others `texts`
  std::deque<std::string> texts;
  std::size_t words = 0;  ///< entries of the vocabulary proper
  std::int32_t unknown_id = 0;
  std::string prefix = "##";
  std::vector<AddedToken> added_tokens;
  std::vector<SpecialToken> special_tokens;
  std::vector<TemplatePart> single;
  std::vector<TemplatePart> pair;
  bool clean_up = true;  ///< of the decoder
  Side padding_side = Side::kRight;
  Side truncation_side = Side::kRight;
};

/// Reads the files, which must stay where they are as long as the entries are used. Errors as
/// Tokenizer::load.
Expected<Definition> read_definition(const TokenizerFiles& files, const TokenizerOptions& options);

}  // namespace bert::text
