// The search of added_tokens.h, with the reference's order of its rules.
#include "text/added_tokens.h"

#include <algorithm>
#include <cstring>

#include "base/utf8.h"
#include "text/unicode.h"

namespace bert::text {

void AddedTokenTable::add(const AddedToken& token, std::string_view key) {
  if (key.empty()) return;
  const auto first = static_cast<std::uint8_t>(key.front());
  only_start_ = tokens_.empty() || only_start_ == first ? first : -1;
  starts_[first] = true;
  trie_.insert(key, static_cast<std::int32_t>(tokens_.size()));
  tokens_.push_back(token);
}

bool AddedTokenFinder::stands_alone(std::size_t begin, std::size_t end) const {
  const char* const text = text_.data();
  if (begin > 0 && unicode::is_word_character(utf8::decode_before(text, text + begin).code_point))
    return false;
  return end == text_.size() ||
         !unicode::is_word_character(utf8::decode(text + end, text + text_.size()).code_point);
}

std::optional<AddedTokenMatch> AddedTokenFinder::next() {
  if (table_.empty()) return std::nullopt;
  const char* const text = text_.data();
  while (search_ < text_.size()) {
    if (table_.only_start_ >= 0) {
      const void* found = std::memchr(text + search_, table_.only_start_, text_.size() - search_);
      search_ =
          found == nullptr ? text_.size() : static_cast<std::size_t>(static_cast<const char*>(found) - text);
    } else {
      while (search_ < text_.size() && !table_.starts_[static_cast<std::uint8_t>(text[search_])]) ++search_;
    }
    if (search_ == text_.size()) break;
    const Trie::Match match = table_.trie_.longest(text_.substr(search_));
    if (match.length == 0) {
      ++search_;
      continue;
    }
    std::size_t begin = search_;
    std::size_t end = search_ + match.length;
    search_ = end;
    const AddedToken& token = table_.tokens_[static_cast<std::size_t>(match.id)];
    if (token.special && !special_) continue;
    if (token.single_word && !stands_alone(begin, end)) continue;
    if (token.lstrip) {
      while (begin > covered_) {
        const utf8::Decoded before = utf8::decode_before(text, text + begin);
        if (!unicode::is_space(before.code_point)) break;
        begin -= before.length;
      }
      begin = std::max(begin, covered_);
    }
    if (token.rstrip) {
      // what the match before took to its right is white space up to its end: looked at once, not again and
      // again
      end = std::max(end, covered_);
      while (end < text_.size()) {
        const utf8::Decoded after = utf8::decode(text + end, text + text_.size());
        if (!unicode::is_space(after.code_point)) break;
        end += after.length;
      }
    }
    covered_ = end;
    return AddedTokenMatch{&token, begin, end};
  }
  return std::nullopt;
}

}  // namespace bert::text
