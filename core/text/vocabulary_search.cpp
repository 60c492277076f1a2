// The vocabulary browser: tokens by part of their text, by facet, by script.
#include <algorithm>

#include "base/quote.h"
#include "base/utf8.h"
#include "bert/tokenizer.h"
#include "text/tokenizer_data.h"
#include "text/unicode.h"

namespace bert {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

/// `part` is in lower case.
bool contains(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(),
                     [](char a, char b) { return lower(a) == b; }) != text.end();
}

bool is_unused(std::string_view token) {
  constexpr std::string_view kStart = "[unused";
  if (!token.starts_with(kStart) || !token.ends_with("]") || token.size() < kStart.size() + 2) return false;
  const std::string_view digits = token.substr(kStart.size(), token.size() - kStart.size() - 1);
  return std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::span<const std::string_view> script_names() {
  return {unicode::kScriptNames, unicode::kScriptCount};
}

std::string_view Tokenizer::script_of(std::int32_t id) const {
  std::string_view token = id_to_token(id).value_or("");
  if (token.empty() || data_->parts.is_added(id) || is_unused(token)) return unicode::kScriptNames[0];
  if (token.size() > data_->pipeline.prefix.size() && token.starts_with(data_->pipeline.prefix))
    token.remove_prefix(data_->pipeline.prefix.size());
  while (!token.empty()) {
    const utf8::Decoded next = utf8::decode(token.data(), token.data() + token.size());
    if (const std::size_t script = unicode::script(next.code_point); script != 0)
      return unicode::kScriptNames[script];
    token.remove_prefix(next.length);
  }
  return unicode::kScriptNames[0];
}

Expected<VocabularyMatches> Tokenizer::find(const VocabularyQuery& query) const {
  const auto names = script_names();
  if (!query.script.empty() && std::find(names.begin(), names.end(), query.script) == names.end())
    return fail(ErrorCode::kInvalidArgument, "unknown script " + quote(query.script));
  std::string part(query.text);
  std::transform(part.begin(), part.end(), part.begin(), lower);
  VocabularyMatches matches;
  for (std::size_t i = 0; i < size(); ++i) {
    const auto id = static_cast<std::int32_t>(i);
    const auto token = id_to_token(id);
    if (!token || !contains(*token, part)) continue;
    const bool special = data_->parts.is_added(id);
    const bool unused = is_unused(*token);
    const bool subword = !special && token->size() > data_->pipeline.prefix.size() &&
                         token->starts_with(data_->pipeline.prefix);
    const bool fits = query.facet == VocabularyFacet::kAll ||
                      (query.facet == VocabularyFacet::kSpecial && special) ||
                      (query.facet == VocabularyFacet::kUnused && unused) ||
                      (query.facet == VocabularyFacet::kSubword && subword) ||
                      (query.facet == VocabularyFacet::kWord && !special && !unused && !subword);
    if (!fits || (!query.script.empty() && script_of(id) != query.script)) continue;
    ++matches.total;
    if (matches.total > query.offset && (query.limit == 0 || matches.ids.size() < query.limit))
      matches.ids.push_back(id);
  }
  return matches;
}

}  // namespace bert
