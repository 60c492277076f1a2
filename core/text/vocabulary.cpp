// Building and walking the tables of vocabulary.h.
#include "text/vocabulary.h"

namespace bert::text {

namespace {

/// Bytes of a word of at most 8 in one number, the first one lowest; 0 where they do not fit or one of them
/// is 0.
std::uint64_t pack(std::string_view word) {
  if (word.size() > 8 || word.find('\0') != word.npos) return 0;
  std::uint64_t packed = 0;
  for (std::size_t i = 0; i < word.size(); ++i)
    packed |= std::uint64_t{static_cast<std::uint8_t>(word[i])} << 8 * i;
  return packed;
}

}  // namespace

void Trie::add_edge(std::uint32_t key, std::uint32_t child) {
  std::size_t slot = hash(key);
  while (edges_[slot].child != kRoot) slot = (slot + 1) & mask_;
  edges_[slot] = {key, child};
}

void Trie::insert(std::string_view key, std::int32_t id) {
  std::uint32_t node = kRoot;
  for (const char c : key) {
    const auto byte = static_cast<std::uint8_t>(c);
    std::uint32_t next = child(node, byte);
    if (next == kNone) {
      if (ids_.size() * 3 >= edges_.size() * 2) {  // at most two thirds full
        std::vector<Edge> old(edges_.empty() ? 64 : edges_.size() * 2);
        old.swap(edges_);
        mask_ = edges_.size() - 1;
        shift_ = 32;
        for (std::size_t size = edges_.size(); size > 1; size /= 2) --shift_;
        for (const Edge& edge : old)
          if (edge.child != kRoot) add_edge(edge.key, edge.child);
      }
      next = static_cast<std::uint32_t>(ids_.size());
      ids_.push_back(-1);
      add_edge(node << 8 | byte, next);
    }
    node = next;
  }
  ids_[node] = id;
}

Trie::Match Trie::longest(std::string_view text, std::uint32_t node) const {
  Match best;
  for (std::size_t i = 0; i < text.size(); ++i) {
    node = child(node, static_cast<std::uint8_t>(text[i]));
    if (node == kNone) break;
    if (ids_[node] >= 0) best = {ids_[node], i + 1};
  }
  return best;
}

std::uint32_t Trie::walk(std::string_view text) const {
  std::uint32_t node = kRoot;
  for (const char c : text) {
    node = child(node, static_cast<std::uint8_t>(c));
    if (node == kNone) break;
  }
  return node;
}

Vocabulary::Vocabulary(std::span<const TokenEntry> entries, std::string_view prefix) {
  std::size_t bytes = 0;
  for (const TokenEntry& entry : entries) bytes += entry.text.size();
  bytes_.reserve(bytes);
  starts_.reserve(entries.size() + 1);
  present_.reserve(entries.size());
  for (const TokenEntry& entry : entries) {
    const auto id = static_cast<std::int32_t>(present_.size());
    starts_.push_back(static_cast<std::uint32_t>(bytes_.size()));
    bytes_ += entry.text;
    present_.push_back(entry.kind == TokenEntry::Kind::kAbsent ? 0 : 1);
    if (entry.kind == TokenEntry::Kind::kWord) words_.insert(entry.text, id);
    if (entry.kind == TokenEntry::Kind::kAdded) added_.insert(entry.text, id);
  }
  starts_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  rest_ = words_.walk(prefix);
  index_short_words(entries);
}

void Vocabulary::index_short_words(std::span<const TokenEntry> entries) {
  const auto pack_word = [](const TokenEntry& entry) {
    return entry.kind == TokenEntry::Kind::kWord ? pack(entry.text) : 0;
  };
  std::size_t count = 0;
  for (const TokenEntry& entry : entries) count += pack_word(entry) != 0 ? 1 : 0;
  std::size_t slots = 2;
  shift_ = 63;
  while (slots < count * 2) {
    slots *= 2;
    --shift_;
  }
  mask_ = slots - 1;
  short_words_.assign(slots, {});
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::uint64_t packed = pack_word(entries[i]);
    if (packed == 0) continue;
    std::size_t slot = hash(packed);
    while (short_words_[slot].packed != 0 && short_words_[slot].packed != packed) slot = (slot + 1) & mask_;
    short_words_[slot] = {packed, static_cast<std::int32_t>(i)};
  }
}

std::optional<std::string_view> Vocabulary::token(std::int32_t id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= present_.size() ||
      present_[static_cast<std::size_t>(id)] == 0)
    return std::nullopt;
  const auto i = static_cast<std::size_t>(id);
  return std::string_view(bytes_).substr(starts_[i], starts_[i + 1] - starts_[i]);
}

std::int32_t Vocabulary::word_id(std::string_view token) const {
  const std::uint32_t node = words_.walk(token);
  return node == Trie::kNone ? -1 : words_.id(node);
}

std::optional<std::int32_t> Vocabulary::id(std::string_view token) const {
  const std::uint32_t node = added_.walk(token);
  const std::int32_t added = node == Trie::kNone ? -1 : added_.id(node);
  const std::int32_t found = added >= 0 ? added : word_id(token);
  return found >= 0 ? std::optional(found) : std::nullopt;
}

}  // namespace bert::text
