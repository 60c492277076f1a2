// Tokens that are found as a whole, [MASK] among them, before words are split: leftmost, longest, then their
// own rules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "text/definition.h"
#include "text/vocabulary.h"

namespace bert::text {

/// The added tokens that are looked for in one form of the text: as given, or normalised.
class AddedTokenTable {
 public:
  /// `key` is the token's content in this form; an empty key is never found.
  void add(const AddedToken& token, std::string_view key);
  bool empty() const { return tokens_.empty(); }

 private:
  friend class AddedTokenFinder;
  std::vector<AddedToken> tokens_;  ///< the trie's ids are their indexes
  Trie trie_;
  bool starts_[256] = {};  ///< bytes that a key begins with
  int only_start_ = -1;    ///< that byte, where there is but one
};

struct AddedTokenMatch {
  const AddedToken* token = nullptr;
  std::size_t begin = 0;  ///< with the white space that lstrip and rstrip take
  std::size_t end = 0;
};

/// Walks over the matches of a text, in order.
class AddedTokenFinder {
 public:
  /// Views only. Special tokens are passed over where `special` is false.
  AddedTokenFinder(const AddedTokenTable& table, std::string_view text, bool special)
      : table_(table), text_(text), special_(special) {}
  std::optional<AddedTokenMatch> next();

 private:
  bool stands_alone(std::size_t begin, std::size_t end) const;

  const AddedTokenTable& table_;
  std::string_view text_;
  bool special_;
  std::size_t search_ = 0;   ///< where the next match may begin
  std::size_t covered_ = 0;  ///< end of the last match with its white space
};

}  // namespace bert::text
