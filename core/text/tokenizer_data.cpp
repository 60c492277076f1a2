// The parts of a definition that outlive loading.
#include "text/tokenizer_data.h"

namespace bert::text {

TokenizerParts::TokenizerParts(Definition definition)
    : special_tokens(std::move(definition.special_tokens)),
      single(std::move(definition.single)),
      pair(std::move(definition.pair)),
      words(definition.words),
      model_max_length(definition.settings.model_max_length),
      clean_up(definition.clean_up),
      padding_side(definition.padding_side),
      truncation_side(definition.truncation_side) {
  added.resize(definition.entries.size(), kNotAdded);
  for (const AddedToken& token : definition.added_tokens)
    added[static_cast<std::size_t>(token.id)] = token.special ? kSpecial : kAdded;
}

}  // namespace bert::text
