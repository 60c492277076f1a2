// How likely a text is to the model, each token masked in turn.
#include <algorithm>
#include <cmath>
#include <utility>

#include "tasks/data.h"

namespace bert {

Expected<Score> Tasks::score(const TextInput& text, const ScoreOptions& options, const CallControl& control) {
  Expected<Encoding> row = data_->encode(text);
  if (!row) return tl::unexpected(row.error());
  Score score;
  const auto special = [&](std::int32_t id) {
    // [UNK] stands for a word of the text, so it counts as one
    if (id == data_->unknown_id) return false;
    const auto all = data_->tokenizer->special_tokens();
    return std::any_of(all.begin(), all.end(), [&](const SpecialToken& token) { return token.id == id; });
  };
  // Sequences are made a stretch at a time: a long text would otherwise be held once for each of its tokens.
  constexpr std::size_t kStretch = 64;
  for (std::size_t i = 0; i < row->size(); ++i) {
    if (row->special_tokens_mask[i] == 0 && !special(row->ids[i])) score.tokens.push_back({.position = i});
  }
  for (std::size_t begin = 0; begin < score.tokens.size(); begin += kStretch) {
    const std::span<ScoredToken> stretch =
        std::span(score.tokens).subspan(begin, std::min(kStretch, score.tokens.size() - begin));
    std::vector<tasks::MaskedQuery> queries;
    for (const ScoredToken& token : stretch) {
      tasks::MaskedQuery query{row->ids, row->type_ids, {token.position}};
      query.ids[token.position] = data_->mask_id;
      for (std::size_t next = token.position + 1;
           options.hide_rest_of_word && next < row->size() &&
           row->word_ids[next] == row->word_ids[token.position] &&
           row->sequence_ids[next] == row->sequence_ids[token.position];
           ++next) {
        query.ids[next] = data_->mask_id;
      }
      queries.push_back(std::move(query));
    }
    CallControl inner{.aborted = control.aborted, .progress = {}};
    if (control.progress) {
      inner.progress = [&](std::size_t done, std::size_t) {
        control.progress(begin + done, score.tokens.size());
      };
    }
    const Status done = tasks::first_error(tasks::vocabulary_scores(
        *data_, queries, 0, inner,
        [&](std::size_t query, std::size_t, const tasks::VocabularyScores& scores) {
          ScoredToken& token = stretch[query];
          const std::int32_t id = row->ids[token.position];
          token.log_probability = scores.log_probability(id);
          token.rank = scores.rank(id);
          token.best_id = scores.best(1, data_->tokenizer->size(), data_->gaps).front();
          token.best_probability = std::exp(scores.log_probability(token.best_id));
          score.pseudo_log_likelihood += token.log_probability;
        }));
    if (!done) return tl::unexpected(done.error());
  }
  score.encoding = std::move(*row);
  return score;
}

}  // namespace bert
