// Masked words: what the model would put at each [MASK], and what a label costs there.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/quote.h"
#include "tasks/data.h"

namespace bert {
namespace {

using tasks::MaskedQuery;
using tasks::VocabularyScores;

constexpr std::size_t kDefaultPredictions = 5;

struct Target {
  std::string text;
  std::vector<std::int32_t> pieces;
};

// One input on its way to an answer.
struct Work {
  std::size_t input = 0;  // index in the batch
  FillMaskAnswer answer;
  std::vector<Target> targets;
  bool has_long_target = false;
};

Expected<std::vector<Target>> resolve_targets(const tasks::Data& data, std::span<const std::string> words) {
  std::vector<Target> targets;
  for (const std::string& word : words) {
    Target target{word, {}};
    if (const auto id = data.tokenizer->token_to_id(word)) {
      target.pieces = {*id};
    } else {
      EncodeOptions options = data.encoding;
      options.add_special_tokens = false;
      options.truncation = Truncation::kNone;
      options.max_length.reset();
      Expected<Encoding> row = data.tokenizer->encode(word, options);
      if (!row) return tl::unexpected(row.error());
      target.pieces = std::move(row->ids);
    }
    if (target.pieces.empty()) {
      return fail(ErrorCode::kInvalidArgument, "the target " + quote(word) + " has no tokens");
    }
    if (std::find(target.pieces.begin(), target.pieces.end(), data.unknown_id) != target.pieces.end()) {
      return fail(ErrorCode::kInvalidArgument,
                  "the target " + quote(word) + " cannot be written with this vocabulary");
    }
    const bool again = std::any_of(targets.begin(), targets.end(),
                                   [&](const Target& other) { return other.pieces == target.pieces; });
    if (!again) targets.push_back(std::move(target));
  }
  return targets;
}

std::string token_text(const tasks::Data& data, std::int32_t id) {
  return std::string(data.tokenizer->id_to_token(id).value_or(""));
}

Prediction predict(const tasks::Data& data, const VocabularyScores& scores, std::int32_t id,
                   std::size_t rank) {
  const double log_probability = scores.log_probability(id);
  return {.token = token_text(data, id),
          .pieces = {id},
          .probability = std::exp(log_probability),
          .logit = scores.logit(id),
          .loss = -log_probability,
          .rank = rank};
}

// The text, its masks, targets and labels, checked.
Expected<Work> prepare(const tasks::Data& data, const FillMaskInput& input, std::size_t index,
                       const FillMaskOptions& options) {
  Work work{.input = index, .answer = {}, .targets = {}};
  Expected<Encoding> row = data.encode(input.text);
  if (!row) return tl::unexpected(row.error());
  for (std::size_t i = 0; i < row->size(); ++i) {
    if (row->ids[i] == data.mask_id) {
      work.answer.masks.push_back({.position = i, .step = 0, .predictions = {}, .label = {}});
    }
  }
  if (work.answer.masks.empty()) {
    return fail(ErrorCode::kInvalidText,
                "no " + token_text(data, data.mask_id) + " among the tokens of " +
                    quote(input.text.first.text) +
                    ": write it for the word to predict, not behind what is cut off");
  }
  const std::size_t vocabulary = data.encoder->config().vocab_size;
  if (options.top_k && (*options.top_k == 0 || *options.top_k > vocabulary)) {
    return fail(ErrorCode::kInvalidArgument, "top_k must be from 1 to " + std::to_string(vocabulary) +
                                                 " (the vocabulary), got " + std::to_string(*options.top_k));
  }
  Expected<std::vector<Target>> targets = resolve_targets(data, input.targets);
  if (!targets) return tl::unexpected(targets.error());
  work.targets = std::move(*targets);
  for (const Target& target : work.targets) {
    work.has_long_target |= target.pieces.size() > 1;
    const std::size_t filled = row->size() + target.pieces.size() - 1;
    if (filled > data.max_tokens) {
      return fail(ErrorCode::kTooLong,
                  "the target " + quote(target.text) + " has " + std::to_string(target.pieces.size()) +
                      " tokens: with it in place of the mask the text has " + std::to_string(filled) +
                      ", the model takes " + std::to_string(data.max_tokens));
    }
  }
  if (input.label_text) {
    TextInput labelled = input.text;
    labelled.first = TextSequence(*input.label_text);
    Expected<Encoding> labels = data.encode(labelled);
    if (!labels) return tl::unexpected(labels.error());
    if (labels->size() != row->size()) {
      return fail(ErrorCode::kInvalidText, "the label text has " + std::to_string(labels->size()) +
                                               " tokens, the text with masks " + std::to_string(row->size()) +
                                               ": each [MASK] must stand for one token");
    }
    work.answer.label_ids = labels->ids;
    work.answer.labels.assign(row->size(), kIgnoredLabel);
    for (const MaskAnswer& mask : work.answer.masks) {
      const std::int32_t label = labels->ids[mask.position];
      if (label == data.mask_id) {
        return fail(ErrorCode::kInvalidText, "the label text leaves the " + token_text(data, label) +
                                                 " at token " + std::to_string(mask.position) + " unfilled");
      }
      work.answer.labels[mask.position] = label;
    }
  }
  work.answer.filled = row->ids;
  work.answer.encoding = std::move(*row);
  return work;
}

// A sequence while it is being filled: a target of several pieces moves what follows it.
struct Filling {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> type_ids;
  std::vector<std::size_t> positions;  // of each mask of the answer, as things stand

  void put(std::size_t mask, std::span<const std::int32_t> pieces) {
    const std::size_t at = positions[mask];
    const auto offset = static_cast<std::ptrdiff_t>(at);
    ids[at] = pieces.front();
    ids.insert(ids.begin() + offset + 1, pieces.begin() + 1, pieces.end());
    type_ids.insert(type_ids.begin() + offset + 1, pieces.size() - 1, type_ids[at]);
    for (std::size_t& position : positions) position += position > at ? pieces.size() - 1 : 0;
  }
};

Filling start_filling(const Work& work) {
  Filling filling{work.answer.encoding.ids, work.answer.encoding.type_ids, {}};
  for (const MaskAnswer& mask : work.answer.masks) filling.positions.push_back(mask.position);
  return filling;
}

// What one row of logits says about a mask. Targets of several pieces are left to `add_long_targets`.
void read_mask(const tasks::Data& data, const Work& work, const FillMaskOptions& options,
               const VocabularyScores& scores, MaskAnswer& mask) {
  mask.predictions.clear();
  if (work.targets.empty()) {
    const std::vector<std::int32_t> best =
        scores.best(options.top_k.value_or(kDefaultPredictions), data.tokenizer->size(), data.gaps);
    for (std::size_t i = 0; i < best.size(); ++i) {
      mask.predictions.push_back(predict(data, scores, best[i], i + 1));
    }
  }
  for (const Target& target : work.targets) {
    if (target.pieces.size() > 1) continue;
    const std::int32_t id = target.pieces.front();
    mask.predictions.push_back(predict(data, scores, id, scores.rank(id)));
  }
  if (!work.answer.labels.empty()) {
    const std::int32_t id = work.answer.labels[mask.position];
    mask.label = predict(data, scores, id, scores.rank(id));
  }
}

// P(p1 ... pn) = P(p1 | n masks) P(p2 | p1, n - 1 masks) ...: all n sequences are known beforehand, so they
// run as one batch.
Status add_long_targets(tasks::Data& data, const Work& work, const Filling& filling, std::size_t which,
                        const CallControl& control, MaskAnswer& mask) {
  for (const Target& target : work.targets) {
    const std::size_t pieces = target.pieces.size();
    if (pieces < 2) continue;
    if (Status fits = data.check_length(filling.ids.size() + pieces - 1); !fits) return fits;
    std::vector<MaskedQuery> queries;
    for (std::size_t known = 0; known < pieces; ++known) {
      std::vector<std::int32_t> stand_in(pieces, data.mask_id);
      std::copy_n(target.pieces.begin(), known, stand_in.begin());
      Filling step = filling;
      step.put(which, stand_in);
      queries.push_back({std::move(step.ids), std::move(step.type_ids), {step.positions[which] + known}});
    }
    double log_probability = 0;
    const CallControl quiet{.aborted = control.aborted, .progress = {}};
    const Status done = tasks::first_error(tasks::vocabulary_scores(
        data, queries, 0, quiet, [&](std::size_t known, std::size_t, const VocabularyScores& scores) {
          log_probability += scores.log_probability(target.pieces[known]);
        }));
    if (!done) return done;
    mask.predictions.push_back({.token = target.text,
                                .pieces = target.pieces,
                                .probability = std::exp(log_probability),
                                .logit = std::numeric_limits<float>::quiet_NaN(),
                                .loss = -log_probability,
                                .rank = 0});
  }
  return {};
}

// Order, number and running sum of a mask's predictions.
void finish_mask(const FillMaskOptions& options, MaskAnswer& mask) {
  const auto end = mask.predictions.end();
  // a heap sort; model/safetensors.cpp says why
  std::partial_sort(mask.predictions.begin(), end, end, [](const Prediction& a, const Prediction& b) {
    return a.loss != b.loss ? a.loss < b.loss : a.pieces < b.pieces;
  });
  if (options.top_k && mask.predictions.size() > *options.top_k) mask.predictions.resize(*options.top_k);
  double sum = 0;
  for (Prediction& prediction : mask.predictions) prediction.cumulative = sum += prediction.probability;
}

// Logits for the masks `open` of a sequence as it stands, read into the answer.
Status predict_masks(tasks::Data& data, Work& work, const FillMaskOptions& options, const Filling& filling,
                     std::span<const std::size_t> open, const CallControl& control) {
  MaskedQuery query{filling.ids, filling.type_ids, {}};
  for (const std::size_t mask : open) query.positions.push_back(filling.positions[mask]);
  const CallControl quiet{.aborted = control.aborted, .progress = {}};
  Status done = tasks::first_error(tasks::vocabulary_scores(
      data, {&query, 1}, 0, quiet, [&](std::size_t, std::size_t which, const VocabularyScores& scores) {
        read_mask(data, work, options, scores, work.answer.masks[open[which]]);
      }));
  for (const std::size_t mask : open) {
    if (!done) return done;
    done = add_long_targets(data, work, filling, mask, control, work.answer.masks[mask]);
    finish_mask(options, work.answer.masks[mask]);
  }
  return done;
}

// One mask after the other, each filled before the next is computed.
Status fill_in_order(tasks::Data& data, Work& work, const FillMaskOptions& options,
                     const CallControl& control) {
  Filling filling = start_filling(work);
  std::vector<std::size_t> open(work.answer.masks.size());
  for (std::size_t i = 0; i < open.size(); ++i) open[i] = i;
  for (std::size_t step = 0; !open.empty(); ++step) {
    const bool first_only = options.order == MaskOrder::kLeftToRight;
    const std::span<const std::size_t> asked(open.data(), first_only ? 1 : open.size());
    if (Status done = predict_masks(data, work, options, filling, asked, control); !done) return done;
    const auto chosen = std::min_element(asked.begin(), asked.end(), [&](std::size_t a, std::size_t b) {
      return work.answer.masks[a].predictions.front().loss < work.answer.masks[b].predictions.front().loss;
    });
    MaskAnswer& mask = work.answer.masks[*chosen];
    mask.step = step;
    filling.put(*chosen, mask.predictions.front().pieces);
    open.erase(open.begin() + (chosen - asked.begin()));
    if (control.progress) control.progress(step + 1, work.answer.masks.size());
  }
  work.answer.filled = std::move(filling.ids);
  return {};
}

// Everything that follows from the predictions.
Status finish(const tasks::Data& data, Work& work, const FillMaskOptions& options) {
  FillMaskAnswer& answer = work.answer;
  if (options.order == MaskOrder::kIndependent) {
    Filling filling = start_filling(work);
    for (std::size_t i = 0; i < answer.masks.size(); ++i) {
      filling.put(i, answer.masks[i].predictions.front().pieces);
    }
    answer.filled = std::move(filling.ids);
  }
  Expected<std::string> text =
      data.tokenizer->decode(answer.filled, {.skip_special_tokens = true, .clean_up = {}});
  if (!text) return tl::unexpected(text.error());
  answer.sequence = std::move(*text);
  if (!answer.labels.empty()) {
    double sum = 0;
    for (const MaskAnswer& mask : answer.masks) sum += mask.label->loss;
    answer.loss = sum / static_cast<double>(answer.masks.size());
  }
  return {};
}

}  // namespace

std::string_view mask_order_name(MaskOrder order) {
  return order == MaskOrder::kIndependent   ? "independent"
         : order == MaskOrder::kLeftToRight ? "left_to_right"
                                            : "most_confident";
}

std::vector<Expected<FillMaskAnswer>> Tasks::fill_mask_batch(std::span<const FillMaskInput> inputs,
                                                             const FillMaskOptions& options,
                                                             const CallControl& control) {
  std::vector<Expected<FillMaskAnswer>> answers(inputs.size());
  std::vector<Work> works;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Expected<Work> work = prepare(*data_, inputs[i], i, options);
    if (work) {
      works.push_back(std::move(*work));
    } else {
      answers[i] = tl::unexpected(work.error());
    }
  }
  std::vector<Status> done(works.size());
  if (options.order == MaskOrder::kIndependent) {
    std::vector<MaskedQuery> queries;
    // a few predictions need no more than the backend's summary of the logits
    std::size_t best = options.top_k.value_or(kDefaultPredictions);
    if (!kMayFindBestWords || best > data_->sizes.best_words) best = 0;
    for (const Work& work : works) {
      if (!work.targets.empty() || !work.answer.labels.empty()) best = 0;
      Filling filling = start_filling(work);
      queries.push_back({std::move(filling.ids), std::move(filling.type_ids), std::move(filling.positions)});
    }
    done = tasks::vocabulary_scores(
        *data_, queries, best, control,
        [&](std::size_t query, std::size_t which, const VocabularyScores& scores) {
          read_mask(*data_, works[query], options, scores, works[query].answer.masks[which]);
        });
  }
  for (std::size_t number = 0; number < works.size(); ++number) {
    Work& work = works[number];
    Status own = std::move(done[number]);
    if (own && options.order != MaskOrder::kIndependent) own = fill_in_order(*data_, work, options, control);
    for (std::size_t i = 0; own && options.order == MaskOrder::kIndependent && i < work.answer.masks.size();
         ++i) {
      MaskAnswer& mask = work.answer.masks[i];
      if (work.has_long_target) own = add_long_targets(*data_, work, start_filling(work), i, control, mask);
      finish_mask(options, mask);
    }
    if (own) own = finish(*data_, work, options);
    if (own) {
      answers[work.input] = std::move(work.answer);
    } else {
      answers[work.input] = tl::unexpected(own.error());
    }
  }
  return answers;
}

Expected<FillMaskAnswer> Tasks::fill_mask(const FillMaskInput& input, const FillMaskOptions& options,
                                          const CallControl& control) {
  return std::move(fill_mask_batch({&input, 1}, options, control).front());
}

}  // namespace bert
