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

void Trie::add_edge(const Edge& edge) {
  std::size_t slot = hash(edge.key);
  while (edges_[slot].child != kRoot) slot = (slot + 1) & mask_;
  edges_[slot] = edge;
}

void Trie::insert(std::string_view key, std::int32_t id) {
  if (key.empty()) root_.id = id;
  std::uint32_t node = kRoot;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(key[i]);
    const bool last = i + 1 == key.size();
    if (const Edge* there = edge(node, byte)) {
      node = there->child;
      if (last) edges_[static_cast<std::size_t>(there - edges_.data())].id = id;
      continue;
    }
    if (std::size_t{nodes_} * 3 >= edges_.size() * 2) {  // at most two thirds full
      std::vector<Edge> old(edges_.empty() ? 64 : edges_.size() * 2);
      old.swap(edges_);
      mask_ = edges_.size() - 1;
      shift_ = 32;
      for (std::size_t size = edges_.size(); size > 1; size /= 2) --shift_;
      for (const Edge& moved : old)
        if (moved.child != kRoot) add_edge(moved);
    }
    add_edge({node << 8 | byte, nodes_, last ? id : -1});
    node = nodes_++;
  }
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
  for (const TokenEntry& entry : entries) {
    const auto id = static_cast<std::int32_t>(present_.size());
    starts_.push_back(static_cast<std::uint32_t>(bytes_.size()));
    bytes_ += entry.text;
    present_.push_back(entry.kind == TokenEntry::Kind::kAbsent ? 0 : 1);
    if (entry.kind == TokenEntry::Kind::kWord) words_.insert(entry.text, id);
    if (entry.kind == TokenEntry::Kind::kAdded) added_.insert(entry.text, id);
  }
  starts_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  const Trie::Edge* rest = words_.walk(prefix);
  rest_ = rest != nullptr ? rest->child : Trie::kNone;
  index_whole_words(entries);
}

void Vocabulary::index_whole_words(std::span<const TokenEntry> entries) {
  // only whole words are looked for: those with a zero among their bytes never are
  const auto key_of = [](const TokenEntry& entry) {
    if (entry.kind != TokenEntry::Kind::kWord) return std::uint64_t{0};
    return entry.text.size() > 8 ? long_key(entry.text) : pack(entry.text);
  };
  std::size_t count = 0;
  for (const TokenEntry& entry : entries) count += key_of(entry) != 0 ? 1 : 0;
  std::size_t slots = 2;
  shift_ = 63;
  while (slots < count * 2) {
    slots *= 2;
    --shift_;
  }
  mask_ = slots - 1;
  whole_words_.assign(slots, {});
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::uint64_t key = key_of(entries[i]);
    if (key == 0) continue;
    const auto same = [&](const WholeWord& word) {
      return word.key == key &&
             (entries[i].text.size() <= 8 || text_of(static_cast<std::size_t>(word.id)) == entries[i].text);
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
