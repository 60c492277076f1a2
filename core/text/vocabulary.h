// The tokens of a tokenizer: id to text, text to id, and the greedy longest match of WordPiece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bert::text {

/// A prefix tree over bytes. Its edges are one hash table, so that building and walking are both a few
/// instructions.
class Trie {
 public:
  static constexpr std::uint32_t kRoot = 0;
  static constexpr std::uint32_t kNone = 0xffffffff;

  Trie() { ids_.push_back(-1); }
  /// `id` is not negative; a key inserted twice keeps the last id.
  void insert(std::string_view key, std::int32_t id);
  std::uint32_t child(std::uint32_t node, std::uint8_t byte) const {
    if (edges_.empty()) return kNone;
    const std::uint32_t key = node << 8 | byte;
    for (std::size_t slot = hash(key);; slot = (slot + 1) & mask_) {
      // No edge leads to the root: such a slot is empty, whatever its key says.
      if (edges_[slot].child == kRoot) return kNone;
      if (edges_[slot].key == key) return edges_[slot].child;
    }
  }
  /// The id of the key that ends at the node, or -1.
  std::int32_t id(std::uint32_t node) const { return ids_[node]; }
  bool empty() const { return edges_.empty(); }

  struct Match {
    std::int32_t id = -1;  ///< -1: none
    std::size_t length = 0;
  };
  /// The longest key, not empty, at the start of `text`; keys are read from `node` on.
  Match longest(std::string_view text, std::uint32_t node = kRoot) const;
  /// The node where `text` ends, or kNone.
  std::uint32_t walk(std::string_view text) const;

  static constexpr std::size_t kMostNodes = std::size_t{1} << 24;  ///< nodes that a key has room for
  std::size_t size() const { return ids_.size(); }

 private:
  struct Edge {
    std::uint32_t key = 0;
    std::uint32_t child = kRoot;
  };
  std::size_t hash(std::uint32_t key) const { return static_cast<std::size_t>(key * 0x9e3779b1u) >> shift_; }
  void add_edge(std::uint32_t key, std::uint32_t child);

  std::vector<Edge> edges_;
  std::vector<std::int32_t> ids_;  ///< by node
  std::size_t mask_ = 0;
  int shift_ = 32;
};

/// One id of a vocabulary.
struct TokenEntry {
  enum class Kind : std::uint8_t {
    kAbsent,  ///< a gap that a tokenizer.json left
    kWord,    ///< of the vocabulary proper: takes part in the match
    kAdded,   ///< added beside it
  };
  std::string text;
  Kind kind = Kind::kAbsent;
};

class Vocabulary {
 public:
  Vocabulary() = default;
  /// The entries stand at their ids. Where two have one text, the last one's id is the text's id.
  Vocabulary(std::span<const TokenEntry> entries, std::string_view prefix);

  /// Ids are below this.
  std::size_t size() const { return present_.size(); }
  std::optional<std::string_view> token(std::int32_t id) const;
  std::optional<std::int32_t> id(std::string_view token) const;
  /// The same without added tokens; -1 where there is none.
  std::int32_t word_id(std::string_view token) const;

  /// The longest token at the start of `text` that may begin a word, or that may continue one (its length
  /// without "##").
  Trie::Match longest_first(std::string_view text) const { return words_.longest(text); }
  Trie::Match longest_rest(std::string_view text) const {
    return rest_ == Trie::kNone ? Trie::Match{} : words_.longest(text, rest_);
  }

  /// The id of a word of 1 to 8 bytes that is a token as a whole, or -1. `packed` holds the bytes, the first
  /// one lowest.
  std::int32_t short_word(std::uint64_t packed) const {
    for (std::size_t slot = hash(packed);; slot = (slot + 1) & mask_) {
      if (short_words_[slot].packed == packed) return short_words_[slot].id;
      if (short_words_[slot].packed == 0) return -1;
    }
  }

 private:
  struct ShortWord {
    std::uint64_t packed = 0;  ///< 0: the slot is empty
    std::int32_t id = -1;
  };
  std::size_t hash(std::uint64_t packed) const {
    return static_cast<std::size_t>((packed * 0x9e3779b97f4a7c15u) >> shift_);
  }
  void index_short_words(std::span<const TokenEntry> entries);

  std::string bytes_;                  ///< all tokens, one after the other
  std::vector<std::uint32_t> starts_;  ///< by id, and the end
  std::vector<std::uint8_t> present_;  ///< by id
  Trie words_;                         ///< tokens as written, "##" included
  Trie added_;
  std::uint32_t rest_ = Trie::kNone;  ///< where keys of words_ that continue a word start: behind the prefix
  std::vector<ShortWord> short_words_ = std::vector<ShortWord>(2);
  std::size_t mask_ = 1;
  int shift_ = 63;
};

}  // namespace bert::text
