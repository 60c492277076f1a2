// Ids back to text, with the clean-up of the fast tokenizer (token by token) or of the slow one (over the
// whole string).
#include <array>
#include <string_view>
#include <utility>

#include "bert/tokenizer.h"
#include "text/tokenizer_data.h"

namespace bert {

namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::size_t at = text.find(from);
  if (at == text.npos) return;
  std::string result;
  std::size_t copied = 0;
  for (; at != text.npos; at = text.find(from, copied)) {
    result.append(text, copied, at - copied).append(to);
    copied = at + from.size();
  }
  result.append(text, copied);
  text = std::move(result);
}

/// In this order; `fast` has one more rule than the slow tokenizer.
void clean_up(std::string& text, bool fast) {
  using Rule = std::pair<std::string_view, std::string_view>;
  constexpr std::array<Rule, 7> kFirst = {
      {{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"}}};
  constexpr std::array<Rule, 3> kLast = {{{" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}}};
  for (const auto& [from, to] : kFirst) replace_all(text, from, to);
  if (fast) replace_all(text, " do not", " don't");
  for (const auto& [from, to] : kLast) replace_all(text, from, to);
}

}  // namespace

Expected<std::string> Tokenizer::decode(std::span<const std::int32_t> ids,
                                        const DecodeOptions& options) const {
  const std::string& prefix = data_->pipeline.prefix;
  const CleanUp clean =
      options.clean_up.value_or(data_->parts.clean_up ? CleanUp::kTokenByToken : CleanUp::kNone);
  std::string text;
  bool first = true;
  for (const std::int32_t id : ids) {
    const auto token = id_to_token(id);
    if (!token)
      return fail(ErrorCode::kInvalidArgument, "no token has the id " + std::to_string(id) +
                                                   "; ids are 0 to " + std::to_string(size() - 1));
    if (options.skip_special_tokens && data_->parts.is_special(id)) continue;
    std::string piece;
    if (first) {
      piece = *token;
    } else if (token->starts_with(prefix)) {
      piece = token->substr(prefix.size());
    } else {
      piece = " ";
      piece += *token;
    }
    if (clean == CleanUp::kTokenByToken) clean_up(piece, true);
    text += piece;
    first = false;
  }
  if (clean == CleanUp::kWholeString) clean_up(text, false);
  return text;
}

}  // namespace bert
