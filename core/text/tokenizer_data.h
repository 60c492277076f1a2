// What a Tokenizer holds.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "bert/tokenizer.h"
#include "text/definition.h"
#include "text/pipeline.h"

namespace bert {

namespace text {

/// The parts of a definition that come after the pipeline.
struct TokenizerParts {
  std::vector<SpecialToken> special_tokens;
  /// By id: what the tokens found as a whole are.
  enum AddedKind : std::uint8_t { kNotAdded, kAdded, kSpecial };
  std::vector<AddedKind> added;
  std::vector<TemplatePart> single;
  std::vector<TemplatePart> pair;
  std::size_t words = 0;
  std::uint32_t model_max_length = 0;
  bool clean_up = true;
  Side padding_side = Side::kRight;
  Side truncation_side = Side::kRight;

  explicit TokenizerParts(Definition definition);
  /// Ids of the vocabulary only. Decoding may skip special tokens.
  bool is_special(std::int32_t id) const { return added[static_cast<std::size_t>(id)] == kSpecial; }
  bool is_added(std::int32_t id) const { return added[static_cast<std::size_t>(id)] != kNotAdded; }
};

}  // namespace text

struct Tokenizer::Data {
  explicit Data(text::Definition definition) : pipeline(definition), parts(std::move(definition)) {}

  text::Pipeline pipeline;
  text::TokenizerParts parts;
};

}  // namespace bert
