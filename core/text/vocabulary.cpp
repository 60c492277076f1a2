// Building and walking the tables of vocabulary.h.
#include "text/vocabulary.h"

#include <algorithm>
#include <utility>

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

void Trie::add_edge(const Edge& edge) {
  std::size_t slot = hash(edge.key);
  while (edges_[slot].child != kRoot) slot = (slot + 1) & mask_;
  edges_[slot] = edge;
}

void Trie::resize(std::size_t slots) {
  std::vector<Edge> old(slots);
  old.swap(edges_);
  mask_ = slots - 1;
  shift_ = 32;
  for (std::size_t size = slots; size > 1; size /= 2) --shift_;
  for (const Edge& moved : old)
    if (moved.child != kRoot) add_edge(moved);
}

void Trie::reserve(std::size_t edges) {
  std::size_t slots = 64;
  while (slots * 2 < edges * 3) slots *= 2;
  if (slots > edges_.size()) resize(slots);
}

std::int32_t Trie::insert(std::string_view key, std::int32_t id) {
  if (key.empty()) return std::exchange(root_.id, id);
  std::uint32_t node = kRoot;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(key[i]);
    const bool last = i + 1 == key.size();
    if (const Edge* there = edge(node, byte)) {
      node = there->child;
      if (last) return std::exchange(edges_[static_cast<std::size_t>(there - edges_.data())].id, id);
      continue;
    }
    // at most two thirds full
    if (std::size_t{nodes_} * 3 >= edges_.size() * 2) resize(edges_.empty() ? 64 : edges_.size() * 2);
    add_edge({node << 8 | byte, nodes_, last ? id : -1});
    node = nodes_++;
  }
  return -1;
}

Trie::Match Trie::longest(std::string_view text, std::uint32_t node) const {
  Match best;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const Edge* next = edge(node, static_cast<std::uint8_t>(text[i]));
    if (next == nullptr) break;
    node = next->child;
    if (next->id >= 0) best = {next->id, i + 1};
  }
  return best;
}

const Trie::Edge* Trie::walk(std::string_view text) const {
  const Edge* last = &root_;
  for (const char c : text) {
    last = edge(last->child, static_cast<std::uint8_t>(c));
    if (last == nullptr) break;
  }
  return last;
}

Vocabulary::Vocabulary(std::span<const TokenEntry> entries, std::string_view prefix) {
  std::size_t bytes = 0;
  for (const TokenEntry& entry : entries) bytes += entry.text.size();
  bytes_.reserve(bytes);
  starts_.reserve(entries.size() + 1);
  present_.reserve(entries.size());
  words_.reserve(bytes / 3);  // of bert-base-uncased's bytes a third are edges of their own
  const auto inserted = [this](std::int32_t before, std::string_view text, std::int32_t id) {
    if (before < 0 || text.empty() || repeated_) return;
    repeated_ = std::minmax(static_cast<std::size_t>(before), static_cast<std::size_t>(id));
  };
  for (const TokenEntry& entry : entries) {
    const auto id = static_cast<std::int32_t>(present_.size());
    starts_.push_back(static_cast<std::uint32_t>(bytes_.size()));
    bytes_ += entry.text;
    present_.push_back(entry.kind == TokenEntry::Kind::kAbsent ? 0 : 1);
    if (entry.kind == TokenEntry::Kind::kWord) inserted(words_.insert(entry.text, id), entry.text, id);
    if (entry.kind == TokenEntry::Kind::kAdded) {
      inserted(added_.insert(entry.text, id), entry.text, id);
      inserted(word_id(entry.text), entry.text, id);
    }
  }
  starts_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  const Trie::Edge* rest = words_.walk(prefix);
  rest_ = rest != nullptr ? rest->child : Trie::kNone;
  index_whole_words(entries);
}

void Vocabulary::index_whole_words(std::span<const TokenEntry> entries) {
  std::size_t slots = 2;
  shift_ = 63;
  while (slots < entries.size() * 2) {
    slots *= 2;
    --shift_;
  }
  mask_ = slots - 1;
  whole_words_.assign(slots, {});
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::string_view text = entries[i].text;
    if (entries[i].kind != TokenEntry::Kind::kWord) continue;
    const std::uint64_t key = text.size() > 8 ? long_key(text) : pack(text);
    if (key == 0) continue;  // only whole words are looked for: those with a zero among their bytes never are
    const auto same = [&](const WholeWord& word) {
      return word.key == key && (text.size() <= 8 || text_of(static_cast<std::size_t>(word.id)) == text);
    };
    std::size_t slot = hash(key);
    while (whole_words_[slot].key != 0 && !same(whole_words_[slot])) slot = (slot + 1) & mask_;
    whole_words_[slot] = {key, static_cast<std::int32_t>(i)};
  }
}

std::optional<std::string_view> Vocabulary::token(std::int32_t id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= present_.size() ||
      present_[static_cast<std::size_t>(id)] == 0)
    return std::nullopt;
  return text_of(static_cast<std::size_t>(id));
}

std::int32_t Vocabulary::word_id(std::string_view token) const {
  const Trie::Edge* word = words_.walk(token);
  return word == nullptr ? -1 : word->id;
}

std::optional<std::int32_t> Vocabulary::id(std::string_view token) const {
  const Trie::Edge* added = added_.walk(token);
  const std::int32_t found = added != nullptr && added->id >= 0 ? added->id : word_id(token);
  return found >= 0 ? std::optional(found) : std::nullopt;
}

}  // namespace bert::text
