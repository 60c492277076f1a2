// The tokens of a tokenizer: id to text, text to id, and the greedy longest match of WordPiece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bert::text {

/// A prefix tree over bytes. Its edges are one hash table, so that building and walking are both a few
/// instructions.
class Trie {
 public:
  static constexpr std::uint32_t kRoot = 0;
  static constexpr std::uint32_t kNone = 0xffffffff;

  struct Edge {
    std::uint32_t key = 0;
    std::uint32_t child = kRoot;
    std::int32_t id = -1;  ///< of the key that ends at the child; -1: none
  };

  /// `id` is not negative; a key inserted twice keeps the last id. Returns the id that the key had, -1: none.
  std::int32_t insert(std::string_view key, std::int32_t id);
  /// Makes room for so many edges at once; more may come.
  void reserve(std::size_t edges);
  /// The edge from a node by a byte, or nothing.
  const Edge* edge(std::uint32_t node, std::uint8_t byte) const {
    if (edges_.empty()) return nullptr;
    const std::uint32_t key = node << 8 | byte;
    for (std::size_t slot = hash(key);; slot = (slot + 1) & mask_) {
      // No edge leads to the root: such a slot is empty, whatever its key says.
      if (edges_[slot].child == kRoot) return nullptr;
      if (edges_[slot].key == key) return &edges_[slot];
    }
  }
  bool empty() const { return edges_.empty(); }

  struct Match {
    std::int32_t id = -1;  ///< -1: none
    std::size_t length = 0;
  };
  /// The longest key, not empty, at the start of `text`; keys are read from `node` on.
  Match longest(std::string_view text, std::uint32_t node = kRoot) const;
  /// The edge that `text` ends with (an empty one with an edge of its own, to the root), or nothing.
  const Edge* walk(std::string_view text) const;

  static constexpr std::size_t kMostNodes = std::size_t{1} << 24;  ///< nodes that a key has room for

 private:
  std::size_t hash(std::uint32_t key) const { return static_cast<std::size_t>(key * 0x9e3779b1u) >> shift_; }
  void add_edge(const Edge& edge);
  void resize(std::size_t slots);

  std::vector<Edge> edges_;
  Edge root_;  ///< to the root, for the empty key
  std::uint32_t nodes_ = 1;
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
  std::string_view text;  ///< somebody else's
  Kind kind = Kind::kAbsent;
};

class Vocabulary {
 public:
  Vocabulary() = default;
  /// The entries stand at their ids. Where two have one text, the last one's id is the text's id.
  Vocabulary(std::span<const TokenEntry> entries, std::string_view prefix);

  /// Ids are below this.
  std::size_t size() const { return present_.size(); }
  /// Two ids, the lower one first, that have one text which is not empty.
  std::optional<std::pair<std::size_t, std::size_t>> repeated() const { return repeated_; }
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
      if (whole_words_[slot].key == packed) return whole_words_[slot].id;
      if (whole_words_[slot].key == 0) return -1;
    }
  }
  /// The same for a word of 9 bytes or more.
  std::int32_t long_word(std::string_view word) const {
    const std::uint64_t key = long_key(word);
    for (std::size_t slot = hash(key);; slot = (slot + 1) & mask_) {
      const WholeWord& found = whole_words_[slot];
      if (found.key == key && text_of(static_cast<std::size_t>(found.id)) == word) return found.id;
      if (found.key == 0) return -1;
    }
  }

 private:
  struct WholeWord {
    std::uint64_t key = 0;  ///< the bytes of a short word, long_key of a long one; 0: the slot is empty
    std::int32_t id = -1;
  };
  /// A hash that no short word's bytes equal: byte 6 is zero and byte 7 is not.
  static std::uint64_t long_key(std::string_view word) {
    std::uint64_t key = word.size();
    while (!word.empty()) {
      std::uint64_t eight = 0;
      const std::size_t size = word.size() < sizeof eight ? word.size() : sizeof eight;
      std::memcpy(&eight, word.data(), size);
      key = (key ^ eight) * 0x9e3779b97f4a7c15u;
      key ^= key >> 32;
      word.remove_prefix(size);
    }
    return (key & 0x0000ffffffffffffu) | 0xff00000000000000u;
  }
  std::size_t hash(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15u) >> shift_);
  }
  std::string_view text_of(std::size_t id) const {
    return std::string_view(bytes_).substr(starts_[id], starts_[id + 1] - starts_[id]);
  }
  void index_whole_words(std::span<const TokenEntry> entries);

  std::string bytes_;                  ///< all tokens, one after the other
  std::vector<std::uint32_t> starts_;  ///< by id, and the end
  std::vector<std::uint8_t> present_;  ///< by id
  Trie words_;                         ///< tokens as written, "##" included
  Trie added_;
  std::optional<std::pair<std::size_t, std::size_t>> repeated_;
  std::uint32_t rest_ = Trie::kNone;  ///< where keys of words_ that continue a word start: behind the prefix
  std::vector<WholeWord> whole_words_ = std::vector<WholeWord>(2);
  std::size_t mask_ = 1;
  int shift_ = 63;
};

}  // namespace bert::text
