// The parts that all tasks use.
#include "tasks/data.h"

#include <algorithm>
#include <utility>

namespace bert::tasks {

Status Data::check_length(std::size_t tokens) const {
  if (tokens <= max_tokens) return {};
  return fail(ErrorCode::kTooLong, "the text has " + std::to_string(tokens) + " tokens, the model takes " +
                                       std::to_string(max_tokens) + ": shorten or truncate it");
}

Expected<Encoding> Data::encode(const TextInput& input) const {
  Expected<Encoding> row = tokenizer->encode(input, encoding);
  if (!row) return row;
  truncation_implied |= row->truncation_implied;
  if (row->ids.empty()) return fail(ErrorCode::kInvalidText, "the text has no tokens");
  if (Status fits = check_length(row->size()); !fits) return tl::unexpected(fits.error());
  // here, as a run that refuses one of its sequences refuses them all
  const std::size_t types = encoder->config().type_vocab_size;
  for (const std::int32_t type : row->type_ids) {
    if (static_cast<std::size_t>(type) < types) continue;
    return fail(ErrorCode::kInvalidArgument, "the text has the token type id " + std::to_string(type) +
                                                 ", the model's ids are below " + std::to_string(types) +
                                                 (input.second ? ": it takes no pairs" : ""));
  }
  return row;
}

Sequence as_sequence(const Encoding& encoding) {
  return {.input_ids = encoding.ids, .token_type_ids = encoding.type_ids};
}

std::vector<Slice> cut(std::span<const std::size_t> costs, std::size_t limit) {
  std::vector<Slice> slices;
  for (std::size_t begin = 0; begin < costs.size();) {
    std::size_t end = begin + 1;
    std::size_t cost = costs[begin];
    while (end < costs.size() && cost + costs[end] <= limit) cost += costs[end++];
    slices.push_back({begin, end});
    begin = end;
  }
  return slices;
}

Status check_abort(const CallControl& control) {
  if (control.aborted && control.aborted()) return fail(ErrorCode::kAborted, "stopped by the caller");
  return {};
}

std::vector<Status> vocabulary_scores(Data& data, std::span<const MaskedQuery> queries, std::size_t best,
                                      const CallControl& control, const UseScores& use) {
  if (!data.gaps.empty()) best = 0;  // the backend knows of no gaps
  // a row of all logits is as much memory as some 32 tokens take in the encoder
  const std::size_t cost_of_position = best == 0 ? 32 : 0;
  std::vector<Status> done(queries.size());
  std::vector<std::size_t> costs;
  costs.reserve(queries.size());
  for (const MaskedQuery& query : queries) {
    costs.push_back(query.ids.size() + cost_of_position * query.positions.size());
  }
  for (const Slice slice : cut(costs, data.sizes.tokens)) {
    std::vector<Sequence> batch;
    Request request;
    request.aborted = control.aborted;
    if (kMayFindBestWords) {
      request.mlm_best = std::min(best, data.tokenizer->size());
      request.mlm_tokens = data.tokenizer->size();
    }
    for (std::size_t i = slice.begin; i < slice.end; ++i) {
      for (const std::size_t position : queries[i].positions) {
        request.mlm.push_back({.sequence = batch.size(), .token = position});
      }
      batch.push_back({.input_ids = queries[i].ids, .token_type_ids = queries[i].type_ids});
    }
    const Expected<Output> output =
        check_abort(control).and_then([&] { return data.session->run(batch, request); });
    if (!output) {
      std::fill(done.begin() + static_cast<std::ptrdiff_t>(slice.begin), done.end(),
                Status(tl::unexpected(output.error())));
      break;
    }
    std::size_t row = 0;
    for (std::size_t i = slice.begin; i < slice.end; ++i) {
      for (std::size_t which = 0; which < queries[i].positions.size(); ++which) {
        const Expected<VocabularyScores> scores = VocabularyScores::create(*output, row++);
        if (scores) {
          use(i, which, *scores);
        } else {
          done[i] = tl::unexpected(scores.error());
        }
      }
    }
    if (control.progress) control.progress(slice.end, queries.size());
  }
  return done;
}

Status first_error(std::vector<Status> results) {
  for (Status& result : results)
    if (!result) return std::move(result);
  return {};
}

}  // namespace bert::tasks
