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
  std::vector<std::int32_t> added_ids;    ///< of tokens found as a whole, ascending
  std::vector<std::int32_t> special_ids;  ///< those that decoding may skip, ascending
  std::vector<TemplatePart> single;
  std::vector<TemplatePart> pair;
  std::size_t words = 0;
  std::uint32_t model_max_length = 0;
  bool clean_up = true;
  Side padding_side = Side::kRight;
  Side truncation_side = Side::kRight;

  explicit TokenizerParts(Definition definition);
  bool is_special(std::int32_t id) const;
  bool is_added(std::int32_t id) const;
};

}  // namespace text

struct Tokenizer::Data {
  explicit Data(text::Definition definition) : pipeline(definition), parts(std::move(definition)) {}

  text::Pipeline pipeline;
  text::TokenizerParts parts;
};

}  // namespace bert
