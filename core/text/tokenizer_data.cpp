// The parts of a definition that outlive loading.
#include "text/tokenizer_data.h"

#include <algorithm>

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
  for (const AddedToken& token : definition.added_tokens) {
    added_ids.push_back(token.id);
    if (token.special) special_ids.push_back(token.id);
  }
  std::sort(added_ids.begin(), added_ids.end());
  std::sort(special_ids.begin(), special_ids.end());
}

bool TokenizerParts::is_special(std::int32_t id) const {
  return std::binary_search(special_ids.begin(), special_ids.end(), id);
}

bool TokenizerParts::is_added(std::int32_t id) const {
  return std::binary_search(added_ids.begin(), added_ids.end(), id);
}

}  // namespace bert::text
