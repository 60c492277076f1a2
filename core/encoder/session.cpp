// The topology of BERT in the order of the paper, on packed rows: embeddings, layers, heads.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "encoder/plan.h"
#include "encoder/weights.h"

namespace bert {

namespace {

/// A buffer that grows.
class Workspace {
 public:
  /// At least `floats` floats; the contents are lost when it grows.
  Status reserve(Stream& stream, std::size_t floats) {
    if (buffer_ != nullptr && buffer_->size() >= floats) return {};
    buffer_.reset();
    auto made = stream.allocate(floats);
    if (!made) return tl::unexpected(made.error());
    buffer_ = std::move(*made);
    return {};
  }
  Buffer* get() const { return buffer_.get(); }
  Rows rows(std::size_t width, std::size_t first = 0) const { return {buffer_.get(), first * width, width}; }

 private:
  std::unique_ptr<Buffer> buffer_;
};

/// Working memory by use. Widths: H hidden, I intermediate, V vocabulary; a block is WorkSizes::block_rows
/// rows.
struct Work {
  std::size_t most_rows = 0;  // of a batch so far
  Workspace states;           // [rows, H] input and output of a layer
  Workspace attended;         // [block, H] after the attention's norm
  Workspace projected;        // [block, H] before a norm, or [rows, H] the sum of embeddings
  Workspace qkv;              // [rows, 3H]
  Workspace queries;          // [rows, H] of the last layer
  Workspace context;          // [rows, H]
  Workspace intermediate;     // [block, I]
  Workspace picked;           // gathered rows
  Workspace heads;            // [rows, H] within the heads
  Workspace logits;           // [WorkSizes::vocabulary_rows, V]
  Workspace probabilities, scores;
};

Rows from_row(Rows rows, std::size_t first) {
  return {rows.buffer, rows.offset + first * rows.stride, rows.stride};
}
Rows from_column(Rows rows, std::size_t first) {
  return {rows.buffer, rows.offset + first, rows.stride};
}

/// Index of each of `rows` within `subset`, which is ascending and holds them all.
std::vector<std::uint32_t> within(std::span<const std::uint32_t> rows,
                                  std::span<const std::uint32_t> subset) {
  std::vector<std::uint32_t> indices;
  indices.reserve(rows.size());
  for (const std::uint32_t row : rows)
    indices.push_back(
        static_cast<std::uint32_t>(std::lower_bound(subset.begin(), subset.end(), row) - subset.begin()));
  return indices;
}

/// One call: the batch, what to compute, and the results as they come.
class Run {
 public:
  Run(Work& work, Stream& stream, const Encoder::Data& weights, const PackedBatch& batch, const Plan& plan,
      const Request& request, Output& output)
      : work_(work),
        stream_(stream),
        weights_(weights),
        config_(weights.config),
        batch_(batch),
        plan_(plan),
        request_(request),
        output_(output),
        sizes_(weights.backend->work_sizes()),
        hidden_(config_.hidden_size) {}

  Status all() {
    for (const std::uint32_t row : plan_.shown) output_.rows.push_back(batch_.rows[row]);
    output_.hidden_states.resize(request_.hidden_states.size());
    output_.probes.resize(request_.probes.size());
    output_.attentions.resize(request_.attentions.size());
    const auto is_scores = [](const ProbeRequest& probe) { return probe.probe == Probe::kScores; };
    output_.scores.resize(
        static_cast<std::size_t>(std::count_if(request_.probes.begin(), request_.probes.end(), is_scores)));
    for (std::size_t r = 0; r < batch_.row_count(); ++r) all_rows_.push_back(static_cast<std::uint32_t>(r));

    if (const Status done = check_size(); !done) return done;
    // buffers that grow one by one leave gaps that none of the others fits in
    if (batch_.row_count() > work_.most_rows) {
      work_ = Work();
      work_.most_rows = batch_.row_count();
    }
    if (const Status done = embed(); !done) return done;
    for (std::size_t index = 0; index < plan_.layers; ++index) {
      if (request_.aborted && request_.aborted())
        return fail(ErrorCode::kAborted, "aborted before layer " + std::to_string(index));
      if (const Status done = layer(index); !done) return done;
    }
    if (request_.aborted && request_.aborted()) return fail(ErrorCode::kAborted, "aborted before the heads");
    if (const Status done = pool(); !done) return done;
    return vocabulary();
  }

 private:
  /// Refuses a run that no address space holds, so that the sizes computed further on do not wrap where they
  /// have 32 bits.
  Status check_size() const {
    const std::uint64_t rows = batch_.row_count(),
                        shown = request_.hidden_states.size() + request_.probes.size();
    std::uint64_t floats = rows * (shown + 8) * std::max<std::uint64_t>(hidden_, config_.intermediate_size) +
                           std::uint64_t{plan_.mlm.size()} *
                               (request_.mlm_best == 0 ? config_.vocab_size : 2 * request_.mlm_best + 2);
    if (!request_.attentions.empty() || !output_.scores.empty()) {
      const std::uint64_t layers = request_.attentions.size() + output_.scores.size();
      for (const std::size_t tokens : batch_.tokens)
        floats += (layers + 1) * config_.num_attention_heads * std::uint64_t{tokens} * tokens;
    }
    constexpr std::uint64_t kMost = std::numeric_limits<std::ptrdiff_t>::max() / sizeof(float);
    if (floats <= kMost) return {};
    return fail(ErrorCode::kOutOfMemory, "this batch needs more memory than can be addressed here");
  }

  Status embed() {
    const std::size_t rows = batch_.row_count();
    if (const Status done = work_.states.reserve(stream_, rows * hidden_); !done) return done;
    const bool wants_sum = wants(Probe::kEmbeddingSum, 0);
    Rows sum;
    if (wants_sum) {
      if (const Status done = work_.projected.reserve(stream_, rows * hidden_); !done) return done;
      sum = work_.projected.rows(hidden_);
    }
    if (const Status done = stream_.embed(weights_.embeddings(), batch_.ids, batch_.type_ids,
                                          batch_.position_ids, sum, work_.states.rows(hidden_));
        !done)
      return done;
    live_ = all_rows_;
    if (wants_sum)
      if (const Status done = show_probe(Probe::kEmbeddingSum, 0, sum, hidden_, all_rows_); !done)
        return done;
    return show_state(0);
  }

  /// What a layer makes of its input before the attention. `asking` are the rows that need a query and go on
  /// after it; the query's rows and those of the residual are theirs, key and value have all.
  struct Projected {
    const std::vector<std::uint32_t>& asking;
    Rows residual, query, key, value;
  };

  Status layer(std::size_t index) {
    const bool last = index + 1 == plan_.layers;
    Projected rows{
        last && !wants_matrix(index) ? plan_.last : all_rows_, work_.states.rows(hidden_), {}, {}, {}};
    if (const Status done = project(index, rows); !done) return done;

    const std::size_t count = rows.asking.size();
    if (const Status done = work_.context.reserve(stream_, count * hidden_); !done) return done;
    const Rows context = work_.context.rows(hidden_);
    if (const Status done = attend(index, rows, context); !done) return done;
    if (const Status done = show_probe(Probe::kContext, index, context, hidden_, rows.asking); !done)
      return done;
    if (last && !plan_.last_in_full) return {};

    if (const Status done = after_attention(index, rows, context); !done) return done;
    live_ = rows.asking;
    return show_state(index + 1);
  }

  /// Query, key and value.
  Status project(std::size_t index, Projected& rows) {
    const EncoderLayer& layer = weights_.layers[index];
    const std::vector<std::uint32_t>& asking = rows.asking;
    const std::size_t all = batch_.row_count();
    const bool pruned = asking.size() < all;
    const bool together = layer.query_key_value != nullptr;
    const Rows input = work_.states.rows(hidden_);
    if (const Status done = work_.qkv.reserve(stream_, all * 3 * hidden_); !done) return done;
    const Rows made = work_.qkv.rows((together ? 3 : 2) * hidden_);
    if (const Status done = stream_.linear(together ? *layer.query_key_value : *layer.key_value,
                                           Activation::kNone, all, input, made);
        !done)
      return done;
    rows.query = made;  // where it is there
    rows.key = from_column(made, together ? hidden_ : 0);
    rows.value = from_column(made, together ? 2 * hidden_ : hidden_);
    if (pruned) {
      if (const Status done = work_.picked.reserve(stream_, asking.size() * hidden_); !done) return done;
      rows.residual = work_.picked.rows(hidden_);
      if (const Status done = stream_.gather(asking, hidden_, input, rows.residual); !done) return done;
    }
    if (!together || pruned) {
      if (const Status done = work_.queries.reserve(stream_, asking.size() * hidden_); !done) return done;
      const Rows queries = work_.queries.rows(hidden_);
      const Status done =
          together ? stream_.gather(asking, hidden_, rows.query, queries)
                   : stream_.linear(*layer.query, Activation::kNone, asking.size(), rows.residual, queries);
      if (!done) return done;
      rows.query = queries;
    }
    if (const Status done = show_probe(Probe::kQuery, index, rows.query, hidden_, asking); !done) return done;
    if (const Status done = show_probe(Probe::kKey, index, rows.key, hidden_, all_rows_); !done) return done;
    return show_probe(Probe::kValue, index, rows.value, hidden_, all_rows_);
  }

  /// All that a layer computes row by row, with residuals and norms, into the layer's input: the attention's
  /// output and the feed-forward network, block by block, so that what one step leaves is in the cache for
  /// the next.
  Status after_attention(std::size_t index, const Projected& rows, Rows context) {
    const EncoderLayer& layer = weights_.layers[index];
    const std::size_t count = rows.asking.size();
    const std::size_t width = config_.intermediate_size;
    const bool shown = wants(Probe::kAttentionOutput, index) || wants(Probe::kFeedForward, index);
    const std::size_t block = shown ? count : std::min(count, sizes_.block_rows);
    if (const Status done = work_.projected.reserve(stream_, block * hidden_); !done) return done;
    if (const Status done = work_.attended.reserve(stream_, block * hidden_); !done) return done;
    if (const Status done = work_.intermediate.reserve(stream_, block * width); !done) return done;
    const Rows projected = work_.projected.rows(hidden_);
    const Rows attended = work_.attended.rows(hidden_);
    const Rows intermediate = work_.intermediate.rows(width);
    const Rows target = work_.states.rows(hidden_);
    for (std::size_t first = 0; first < count; first += block) {
      const std::size_t some = std::min(block, count - first);
      if (const Status done = stream_.linear(*layer.attention_output, Activation::kNone, some,
                                             from_row(context, first), projected);
          !done)
        return done;
      if (const Status done = stream_.add_normalise(*layer.attention_norm, some, projected,
                                                    from_row(rows.residual, first), attended);
          !done)
        return done;
      if (const Status done =
              stream_.linear(*layer.intermediate, weights_.activation, some, attended, intermediate);
          !done)
        return done;
      if (const Status done = stream_.linear(*layer.output, Activation::kNone, some, intermediate, projected);
          !done)
        return done;
      if (const Status done =
              stream_.add_normalise(*layer.output_norm, some, projected, attended, from_row(target, first));
          !done)
        return done;
    }
    if (const Status done = show_probe(Probe::kAttentionOutput, index, attended, hidden_, rows.asking); !done)
      return done;
    return show_probe(Probe::kFeedForward, index, intermediate, width, rows.asking);
  }

  Status attend(std::size_t index, const Projected& rows, Rows context) {
    const std::vector<std::uint32_t>& asking = rows.asking;
    AttentionCall call;
    call.query = rows.query;
    call.key = rows.key;
    call.value = rows.value;
    call.context = context;
    call.heads = config_.num_attention_heads;
    call.head_size = config_.head_size();
    call.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(call.head_size)));
    call.key_visible = batch_.visible;
    std::vector<AttentionSequence> sequences;
    std::size_t asked = 0;
    std::size_t matrix = 0;
    for (std::size_t s = 0; s < batch_.sequence_count(); ++s) {
      AttentionSequence sequence;
      sequence.key_row = batch_.first_row[s];
      sequence.key_count = batch_.first_row[s + 1] - sequence.key_row;
      sequence.query_row = asked;
      while (asked < asking.size() && asking[asked] < batch_.first_row[s + 1]) ++asked;
      sequence.query_count = asked - sequence.query_row;
      sequences.push_back(sequence);
      matrix += call.heads * sequence.query_count * sequence.key_count;
    }
    call.sequences = sequences;
    const bool wants_probabilities = contains(request_.attentions, index);
    const bool wants_scores = wants(Probe::kScores, index);
    if (wants_probabilities) {
      if (const Status done = work_.probabilities.reserve(stream_, matrix); !done) return done;
      call.probabilities = work_.probabilities.get();
    }
    if (wants_scores) {
      if (const Status done = work_.scores.reserve(stream_, matrix); !done) return done;
      call.scores = work_.scores.get();
    }
    if (const Status done = stream_.attention(call); !done) return done;

    for (std::size_t i = 0; wants_probabilities && i < request_.attentions.size(); ++i)
      if (request_.attentions[i] == index)
        if (const Status done = show_matrices(*call.probabilities, output_.attentions[i]); !done) return done;
    std::size_t nth = 0;
    for (const ProbeRequest& probe : request_.probes) {
      if (probe.probe != Probe::kScores) continue;
      if (probe.layer == index)
        if (const Status done = show_matrices(*call.scores, output_.scores[nth]); !done) return done;
      ++nth;
    }
    return {};
  }

  Status pool() {
    if (plan_.first.empty()) return {};
    const std::size_t count = plan_.first.size();
    if (const Status done = work_.picked.reserve(stream_, count * hidden_); !done) return done;
    if (const Status done = work_.heads.reserve(stream_, count * (hidden_ + 2)); !done) return done;
    const Rows first = work_.picked.rows(hidden_);
    const Rows pooled = work_.heads.rows(hidden_);
    if (const Status done =
            stream_.gather(within(plan_.first, live_), hidden_, work_.states.rows(hidden_), first);
        !done)
      return done;
    if (const Status done = stream_.linear(*weights_.pooler, Activation::kTanh, count, first, pooled); !done)
      return done;
    if (request_.pooler)
      if (const Status done = take(pooled, count, hidden_, output_.pooler); !done) return done;
    if (!request_.nsp) return {};
    const Rows logits{pooled.buffer, count * hidden_, 2};
    if (const Status done = stream_.linear(*weights_.nsp, Activation::kNone, count, pooled, logits); !done)
      return done;
    return take(logits, count, 2, output_.nsp);
  }

  Status vocabulary() {
    if (plan_.mlm.empty()) return {};
    const Table& decoder = weights_.mlm_decoder != nullptr ? *weights_.mlm_decoder : *weights_.words;
    const std::size_t size = decoder.rows();
    const std::size_t count = plan_.mlm.size();
    const std::size_t block = std::min(count, sizes_.vocabulary_rows);
    const std::size_t best = kMayFindBestWords ? request_.mlm_best : 0;
    const std::vector<std::uint32_t> indices = within(plan_.mlm, live_);
    if (const Status done = work_.picked.reserve(stream_, block * hidden_); !done) return done;
    if (const Status done = work_.heads.reserve(stream_, block * hidden_); !done) return done;
    if (const Status done = work_.logits.reserve(stream_, block * size); !done) return done;
    const Rows picked = work_.picked.rows(hidden_);
    const Rows transformed = work_.heads.rows(hidden_);
    const Rows logits = work_.logits.rows(size);
    if (best == 0) {
      output_.mlm.shape = {count, size};
      output_.mlm.data.resize(count * size);
    } else {
      output_.mlm_best.log_sums.resize(count);
      output_.mlm_best.ids.resize(count * best);
      output_.mlm_best.logits.resize(count * best);
    }
    for (std::size_t first = 0; first < count; first += block) {
      if (first != 0 && request_.aborted && request_.aborted())
        return fail(ErrorCode::kAborted, "aborted between vocabulary logits");
      const std::size_t some = std::min(block, count - first);
      if (const Status done = stream_.gather(std::span(indices).subspan(first, some), hidden_,
                                             work_.states.rows(hidden_), picked);
          !done)
        return done;
      if (const Status done =
              stream_.linear(*weights_.mlm_transform, weights_.activation, some, picked, transformed);
          !done)
        return done;
      if (const Status done =
              stream_.add_normalise(*weights_.mlm_norm, some, transformed, Rows{}, transformed);
          !done)
        return done;
      if (const Status done = stream_.vocabulary(decoder, weights_.mlm_bias.get(), some, transformed, logits);
          !done)
        return done;
      if (const Status done =
              best == 0 ? take_logits(logits, first, some, size) : take_best(logits, first, some, size);
          !done)
        return done;
    }
    return {};
  }
  /// `some` rows of logits, those of the positions from `first` on.
  Status take_logits(Rows logits, std::size_t first, std::size_t some, std::size_t size) {
    return stream_.download(*logits.buffer, 0,
                            std::span(output_.mlm.data).subspan(first * size, some * size));
  }
  /// The best words of these rows.
  Status take_best(Rows logits, std::size_t first, std::size_t some, std::size_t size) {
    const std::size_t best = request_.mlm_best;
    MlmBest& all = output_.mlm_best;
    return stream_.best(some, size, request_.mlm_tokens == 0 ? size : request_.mlm_tokens, best, logits,
                        {.log_sums = std::span(all.log_sums).subspan(first, some),
                         .ids = std::span(all.ids).subspan(first * best, some * best),
                         .logits = std::span(all.logits).subspan(first * best, some * best)});
  }

  static bool contains(const std::vector<std::size_t>& list, std::size_t value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  }
  bool wants(Probe probe, std::size_t index) const {
    return std::any_of(request_.probes.begin(), request_.probes.end(),
                       [probe, index](const ProbeRequest& request) {
                         return request.probe == probe && request.layer == index;
                       });
  }
  bool wants_matrix(std::size_t index) const {
    return contains(request_.attentions, index) || wants(Probe::kScores, index);
  }

  /// Dense rows [count, width] from float `rows.offset` on.
  Status take(Rows rows, std::size_t count, std::size_t width, Tensor& tensor) {
    tensor.shape = {count, width};
    tensor.data.resize(count * width);
    return stream_.download(*rows.buffer, rows.offset, tensor.data);
  }

  /// The shown rows of `rows`, whose row i is row `held[i]` of the batch.
  Status show(Rows rows, std::size_t width, std::span<const std::uint32_t> held, Tensor& tensor) {
    const std::size_t count = plan_.shown.size();
    if (rows.stride == width && held.size() == count &&
        std::equal(held.begin(), held.end(), plan_.shown.begin()))
      return take(rows, count, width, tensor);
    // `picked` may be in use as the residual of a pruned layer
    if (const Status done = work_.heads.reserve(stream_, count * width); !done) return done;
    const Rows dense = work_.heads.rows(width);
    if (const Status done = stream_.gather(within(plan_.shown, held), width, rows, dense); !done) return done;
    return take(dense, count, width, tensor);
  }
  Status show_probe(Probe probe, std::size_t index, Rows rows, std::size_t width,
                    std::span<const std::uint32_t> held) {
    for (std::size_t i = 0; i < request_.probes.size(); ++i)
      if (request_.probes[i].probe == probe && request_.probes[i].layer == index)
        if (const Status done = show(rows, width, held, output_.probes[i]); !done) return done;
    return {};
  }
  Status show_state(std::size_t number) {
    for (std::size_t i = 0; i < request_.hidden_states.size(); ++i)
      if (request_.hidden_states[i] == number)
        if (const Status done = show(work_.states.rows(hidden_), hidden_, live_, output_.hidden_states[i]);
            !done)
          return done;
    return {};
  }

  /// Matrices of all rows [heads, rows, rows] of each sequence, spread to its tokens.
  Status show_matrices(const Buffer& buffer, std::vector<Tensor>& matrices) {
    const std::size_t heads = config_.num_attention_heads;
    std::vector<std::size_t> chosen = request_.attention_heads;
    for (std::size_t h = 0; request_.attention_heads.empty() && h < heads; ++h) chosen.push_back(h);
    std::vector<float> packed;
    std::size_t offset = 0;
    for (std::size_t s = 0; s < batch_.sequence_count(); ++s) {
      const std::size_t first = batch_.first_row[s];
      const std::size_t rows = batch_.first_row[s + 1] - first;
      const std::size_t tokens = batch_.tokens[s];
      Tensor& matrix = matrices.emplace_back();
      matrix.shape = {chosen.size(), tokens, tokens};
      matrix.data.resize(chosen.size() * tokens * tokens);
      packed.resize(rows * rows);
      for (std::size_t c = 0; c < chosen.size(); ++c) {
        float* target = matrix.data.data() + c * tokens * tokens;
        const std::size_t from = offset + chosen[c] * rows * rows;
        if (rows == tokens) {
          if (const Status done = stream_.download(buffer, from, std::span(target, rows * rows)); !done)
            return done;
          continue;
        }
        if (const Status done = stream_.download(buffer, from, packed); !done) return done;
        for (std::size_t i = 0; i < rows; ++i)
          for (std::size_t j = 0; j < rows; ++j)
            target[batch_.rows[first + i].token * tokens + batch_.rows[first + j].token] =
                packed[i * rows + j];
      }
      offset += heads * rows * rows;
    }
    return {};
  }

  Work& work_;
  Stream& stream_;
  const Encoder::Data& weights_;
  const ModelConfig& config_;
  const PackedBatch& batch_;
  const Plan& plan_;
  const Request& request_;
  Output& output_;
  WorkSizes sizes_;
  std::size_t hidden_;
  std::vector<std::uint32_t> all_rows_;
  std::vector<std::uint32_t> live_;  // the rows that work_.states holds
};

}  // namespace

struct Session::Data {
  std::shared_ptr<const Encoder> encoder;
  std::unique_ptr<Stream> stream;
  Work work;
  const Encoder::Data* weights = nullptr;
};

Session::Session() : data_(std::make_unique<Data>()) {}
Session::~Session() = default;

Expected<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Encoder> encoder) {
  auto stream = encoder->data_->backend->make_stream();
  if (!stream) return tl::unexpected(stream.error());
  std::unique_ptr<Session> session(new Session);
  session->data_->weights = encoder->data_.get();
  session->data_->encoder = std::move(encoder);
  session->data_->stream = std::move(*stream);
  return session;
}

const Encoder& Session::encoder() const {
  return *data_->encoder;
}

Expected<Output> Session::run(std::span<const Sequence> batch, const Request& request) {
  const auto packed = PackedBatch::make(batch, encoder().config(), request);
  if (!packed) return tl::unexpected(packed.error());
  const auto plan = Plan::make(*packed, request, encoder());
  if (!plan) return tl::unexpected(plan.error());
  Output output;
  const Status done =
      Run(data_->work, *data_->stream, *data_->weights, *packed, *plan, request, output).all();
  if (!done) {
    data_->stream->discard();  // or the next call would pay for what this one queued
    return tl::unexpected(done.error());
  }
  return output;
}

}  // namespace bert
