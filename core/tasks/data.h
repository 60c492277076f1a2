// What the tasks share: the parts behind Tasks, batches cut into runs of a bounded size, and vocabulary
// logits for a list of masked sequences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "bert/model.h"
#include "bert/tasks.h"
#include "tasks/vocabulary_scores.h"

namespace bert::tasks {

struct Data {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const Encoder> encoder;
  std::unique_ptr<Session> session;
  EncodeOptions encoding;
  std::int32_t mask_id = 0;
  std::int32_t pad_id = 0;
  std::int32_t unknown_id = 0;
  std::vector<std::int32_t> gaps;  // ids that a tokenizer.json left without a token, ascending
  std::size_t max_tokens = 0;
  std::size_t layers = 0;
  WorkSizes sizes;                          // of the encoder's backend
  mutable bool truncation_implied = false;  // of any text so far

  /// The tokens of one input, without padding; kTooLong where the model lacks positions for them,
  /// kInvalidArgument where it lacks a token type.
  Expected<Encoding> encode(const TextInput& input) const;
  /// kTooLong when the model has fewer positions.
  Status check_length(std::size_t tokens) const;
};

/// Token ids that the caller keeps alive, as the encoder takes them.
Sequence as_sequence(const Encoding& encoding);

/// Where to cut a batch so that one run stays within some megabytes. `costs` holds what each sequence adds
/// (tokens, say); a slice has at least one sequence and otherwise at most `limit` of it.
struct Slice {
  std::size_t begin = 0, end = 0;
};
std::vector<Slice> cut(std::span<const std::size_t> costs, std::size_t limit);

/// A sequence of ids and the positions whose vocabulary logits are wanted.
struct MaskedQuery {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> type_ids;
  std::vector<std::size_t> positions;
};

/// Runs the queries and hands out what the model says at position `which` of query `query`, queries in order.
/// The scores last for the call only. `best` 0: they hold the whole vocabulary; else only so many, the best
/// of the tokenizer's tokens, and at most WorkSizes::best_words. One result a query: an error for one whose
/// logits are not finite (it may have been handed out in part), and for all that a run that failed leaves.
using UseScores = std::function<void(std::size_t query, std::size_t which, const VocabularyScores& scores)>;
std::vector<Status> vocabulary_scores(Data& data, std::span<const MaskedQuery> queries, std::size_t best,
                                      const CallControl& control, const UseScores& use);

/// Success where all succeeded.
Status first_error(std::vector<Status> results);

/// kAborted once the caller asks to stop.
Status check_abort(const CallControl& control);

/// One answer an input: encode(input) gives its tokens, read(output, i, row) the answer of the i-th sequence
/// of a run, which was asked for `request`. An input that cannot be encoded is answered with the reason; a
/// run that fails answers for all that are left.
template <class Answer, class Encode, class Read>
std::vector<Expected<Answer>> answer_each(Data& data, std::span<const TextInput> inputs, Request request,
                                          const CallControl& control, const Encode& encode,
                                          const Read& read) {
  std::vector<Expected<Answer>> answers(inputs.size());
  std::vector<Encoding> rows;
  std::vector<std::size_t> owners, costs;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Expected<Encoding> row = encode(inputs[i]);
    if (!row) {
      answers[i] = tl::unexpected(row.error());
      continue;
    }
    costs.push_back(row->size());
    rows.push_back(std::move(*row));
    owners.push_back(i);
  }
  request.aborted = control.aborted;
  for (const Slice slice : cut(costs, data.sizes.tokens)) {
    std::vector<Sequence> batch;
    batch.reserve(slice.end - slice.begin);
    for (std::size_t i = slice.begin; i < slice.end; ++i) batch.push_back(as_sequence(rows[i]));
    const Expected<Output> output =
        check_abort(control).and_then([&] { return data.session->run(batch, request); });
    if (!output) {
      for (std::size_t i = slice.begin; i < rows.size(); ++i)
        answers[owners[i]] = tl::unexpected(output.error());
      break;
    }
    for (std::size_t i = slice.begin; i < slice.end; ++i)
      answers[owners[i]] = read(*output, i - slice.begin, rows[i]);
    if (control.progress) control.progress(slice.end, rows.size());
  }
  return answers;
}

}  // namespace bert::tasks
