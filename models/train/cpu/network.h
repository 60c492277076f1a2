// BERT with its two pre-training heads, forward and backward, for one thread and one batch; topology as in
// Devlin et al. 2019.
#pragma once

#include <sys/mman.h>

#include <cmath>
#include <map>
#include <memory>

#include "amx.h"
#include "data.h"

namespace network {

using amx::bf16;

struct Config {
  int layers = 6, hidden = 256, heads = 4, intermediate = 1024, vocabulary = 30522, positions = 512;
  float epsilon = 1e-12f;
};

struct Tensor {
  std::string name;
  std::size_t offset;
  std::vector<int> shape;
  std::size_t count;
  bool decays;
};

// Where each tensor lies in the flat arrays of parameters, gradients and moments. Names are Hugging Face's.
struct Layout {
  std::vector<Tensor> tensors;
  std::size_t total = 0;
  std::map<std::string, std::size_t> by_name;

  explicit Layout(const Config& c) {
    // The rows of the word embeddings are padded to a multiple of 32 for the decoder.
    padded_vocabulary = (c.vocabulary + 31) / 32 * 32;
    add("bert.embeddings.word_embeddings.weight", {c.vocabulary, c.hidden}, true,
        static_cast<std::size_t>(padded_vocabulary) * c.hidden);
    add("bert.embeddings.position_embeddings.weight", {c.positions, c.hidden}, true);
    add("bert.embeddings.token_type_embeddings.weight", {2, c.hidden}, true);
    norm("bert.embeddings.LayerNorm", c.hidden);
    for (int l = 0; l < c.layers; ++l) {
      const std::string p = "bert.encoder.layer." + std::to_string(l) + ".";
      // Query, key and value lie together: one product computes all three.
      for (const char* part : {"query", "key", "value"})
        add(p + "attention.self." + part + ".weight", {c.hidden, c.hidden}, true);
      for (const char* part : {"query", "key", "value"})
        add(p + "attention.self." + part + ".bias", {c.hidden}, false);
      linear(p + "attention.output.dense", c.hidden, c.hidden);
      norm(p + "attention.output.LayerNorm", c.hidden);
      linear(p + "intermediate.dense", c.intermediate, c.hidden);
      linear(p + "output.dense", c.hidden, c.intermediate);
      norm(p + "output.LayerNorm", c.hidden);
    }
    linear("bert.pooler.dense", c.hidden, c.hidden);
    linear("cls.predictions.transform.dense", c.hidden, c.hidden);
    norm("cls.predictions.transform.LayerNorm", c.hidden);
    add("cls.predictions.bias", {c.vocabulary}, false, static_cast<std::size_t>(padded_vocabulary));
    linear("cls.seq_relationship", 2, c.hidden);
  }
  std::size_t operator[](const std::string& name) const {
    auto it = by_name.find(name);
    if (it == by_name.end()) data::fail("no tensor " + name);
    return it->second;
  }
  int padded_vocabulary;

 private:
  void add(const std::string& name, std::vector<int> shape, bool decays, std::size_t room = 0) {
    std::size_t count = 1;
    for (int n : shape) count *= static_cast<std::size_t>(n);
    by_name[name] = total;
    tensors.push_back({name, total, std::move(shape), count, decays});
    total += (std::max(count, room) + 15) / 16 * 16;
  }
  void linear(const std::string& name, int out, int in) {
    add(name + ".weight", {out, in}, true);
    add(name + ".bias", {out}, false);
  }
  void norm(const std::string& name, int size) {
    add(name + ".weight", {size}, false);
    add(name + ".bias", {size}, false);
  }
};

// Zeroed memory on huge pages where the system has them.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t count) : count_(count) {
    const std::size_t bytes = (count * sizeof(T) + (2u << 20) - 1) / (2u << 20) * (2u << 20);
    void* p = std::aligned_alloc(2u << 20, bytes);
    if (!p) data::fail("out of memory");
    madvise(p, bytes, MADV_HUGEPAGE);
    std::memset(p, 0, bytes);
    data_.reset(static_cast<T*>(p));
  }
  T* get() const { return data_.get(); }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) const { return data_.get()[i]; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t count_ = 0;
};

// One weight matrix [out, in] in the two packings that the forward and the backward products read.
struct PackedLinear {
  std::size_t weight, bias;  // offsets of the parameters
  int out, in;
  Buffer<bf16> forward, backward;
  PackedLinear(std::size_t weight, std::size_t bias, int out, int in)
      : weight(weight),
        bias(bias),
        out(out),
        in(in),
        forward(static_cast<std::size_t>(out) * in),
        backward(static_cast<std::size_t>(out) * in) {}
};

// Packs rows [from, to) of a weight matrix, multiples of 32.
inline void pack_rows(const float* w, PackedLinear& p, int from, int to, std::vector<bf16>& scratch) {
  scratch.resize(static_cast<std::size_t>(32) * p.in);
  const int blocks = p.out / 32;
  for (int r = from; r < to; r += 32) {
    for (int i = 0; i < 32 * p.in; i += 16)
      amx::store_bf16(scratch.data() + i, _mm512_loadu_ps(w + static_cast<std::size_t>(r) * p.in + i));
    amx::pack_right_transposed(p.in, 32, scratch.data(), p.in,
                               p.forward.get() + static_cast<std::size_t>(r) * p.in);
    __m512i block[16];
    for (int n = 0; n < p.in / 16; ++n) {
      amx::interleave_block(scratch.data() + 16 * n, p.in, block);
      amx::store_block(p.backward.get() + (static_cast<std::size_t>(n) * blocks + r / 32) * amx::kBlock,
                       block);
    }
  }
}

struct PackedLayer {
  PackedLinear qkv, attention_out, up, down;
  std::size_t norm1, norm2;  // weight, then bias right behind it
};

// The weights as all threads read them.
struct Weights {
  Config config;
  Layout layout;
  Buffer<float> flat;
  std::vector<PackedLayer> layers;
  std::unique_ptr<PackedLinear> transform, decoder;

  explicit Weights(const Config& c) : config(c), layout(c), flat(layout.total) {
    for (int l = 0; l < c.layers; ++l) {
      const std::string p = "bert.encoder.layer." + std::to_string(l) + ".";
      auto linear = [&](const std::string& n, int out, int in) {
        return PackedLinear(layout[p + n + ".weight"], layout[p + n + ".bias"], out, in);
      };
      layers.push_back({PackedLinear(layout[p + "attention.self.query.weight"],
                                     layout[p + "attention.self.query.bias"], 3 * c.hidden, c.hidden),
                        linear("attention.output.dense", c.hidden, c.hidden),
                        linear("intermediate.dense", c.intermediate, c.hidden),
                        linear("output.dense", c.hidden, c.intermediate),
                        layout[p + "attention.output.LayerNorm.weight"],
                        layout[p + "output.LayerNorm.weight"]});
    }
    transform =
        std::make_unique<PackedLinear>(layout["cls.predictions.transform.dense.weight"],
                                       layout["cls.predictions.transform.dense.bias"], c.hidden, c.hidden);
    decoder =
        std::make_unique<PackedLinear>(layout["bert.embeddings.word_embeddings.weight"],
                                       layout["cls.predictions.bias"], layout.padded_vocabulary, c.hidden);
  }
  std::vector<PackedLinear*> linears() {
    std::vector<PackedLinear*> all;
    for (PackedLayer& l : layers)
      for (PackedLinear* p : {&l.qkv, &l.attention_out, &l.up, &l.down}) all.push_back(p);
    all.push_back(transform.get());
    all.push_back(decoder.get());
    return all;
  }
};

struct Result {
  double mlm_loss = 0, nsp_loss = 0;  // sums
  long masked = 0, mlm_right = 0, pairs = 0, nsp_right = 0, tokens = 0;
  void operator+=(const Result& o) {
    mlm_loss += o.mlm_loss;
    nsp_loss += o.nsp_loss;
    masked += o.masked;
    mlm_right += o.mlm_right;
    pairs += o.pairs;
    nsp_right += o.nsp_right;
    tokens += o.tokens;
  }
};

// The buffers of one thread, and its sum of gradients.
class Worker {
 public:
  Worker(const Weights& weights, int max_rows, int max_length)
      : w_(weights), c_(weights.config), rows_(max_rows), gradients(weights.layout.total) {
    const std::size_t t = static_cast<std::size_t>(max_rows), h = c_.hidden, f = c_.intermediate;
    for (int l = 0; l < c_.layers; ++l) {
      Saved s;
      s.qkv = Buffer<bf16>(t * 3 * h);
      s.context = Buffer<bf16>(t * h);
      s.normed1 = Buffer<bf16>(t * h);
      s.middle = Buffer<bf16>(t * h);
      s.slope = Buffer<bf16>(t * f);
      s.after = Buffer<bf16>(t * f);
      s.normed2 = Buffer<bf16>(t * h);
      s.probabilities = Buffer<bf16>(t * c_.heads * max_length);
      s.scale1 = Buffer<float>(t);
      s.scale2 = Buffer<float>(t);
      saved_.push_back(std::move(s));
    }
    for (int l = 0; l <= c_.layers; ++l) states_.emplace_back(t * h);
    normed0_ = Buffer<bf16>(t * h);
    scale0_ = Buffer<float>(t);
    gradient_ = Buffer<float>(t * h);
    const std::size_t length = max_length, n = kGroupRows + length;
    residual_ = Buffer<float>(n * h);
    qkv_ = Buffer<bf16>(n * 3 * h);
    context_ = Buffer<bf16>(n * h);
    middle_ = Buffer<bf16>(n * h);
    after_ = Buffer<bf16>(n * f);
    gradient_bf_ = Buffer<bf16>(n * h);
    gradient_wide_ = Buffer<bf16>(n * std::max(3 * h, f));
    gradient_context_ = Buffer<bf16>(n * h);
    pack_a_ = Buffer<bf16>(std::max<std::size_t>(kChunk * std::max(3 * h, f), length * length));
    pack_b_ = Buffer<bf16>(std::max<std::size_t>(kChunk * std::max(3 * h, f), length * length));
    scores_ = Buffer<float>(length * length);
    score_bf_ = Buffer<bf16>(length * length);
  }

  // Adds the gradients of the batch's losses, each masked token's weighing 1 and each pair's nsp_weight.
  Result run(const data::Batch& batch, float nsp_weight, bool backward);

  // The encoder's last output of the latest run, bf16 [rows, hidden].
  const bf16* last() const { return states_.back().get(); }

 private:
  static constexpr int kGroupRows = 256;  // rows that go through a layer together, at least
  static constexpr int kChunk = 512;      // tokens whose weight gradients are computed at a time
  static constexpr int kVocabularyChunk = 1024;
  // Whole sequences, so many that their rows are enough for fast products and still fit the cache.
  struct Group {
    int row, rows;
    std::size_t first, last;    // sequences
    std::size_t probabilities;  // where theirs begin
  };
  // What the backward pass needs of a layer; slope in blocks of 32 x 32, everything else by rows.
  struct Saved {
    Buffer<bf16> qkv, context, normed1, middle, slope, after, normed2, probabilities;
    Buffer<float> scale1, scale2;
  };

  template <class T>
  static T* row_of(const Buffer<T>& buffer, int row, int width) {
    return buffer.get() + static_cast<std::size_t>(row) * width;
  }
  bf16* slope_block(const Saved& s, int row, int column) const {
    const std::size_t across = static_cast<std::size_t>(c_.intermediate / 32);
    return s.slope.get() + (static_cast<std::size_t>(row / 32) * across + column / 32) * 1024;
  }
  // Copies past the cache: what is next read in the backward pass must not push out what is read now.
  static void stream(bf16* to, const bf16* from, int count) {
    for (int i = 0; i < count; i += 32)
      _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), _mm512_load_si512(from + i));
  }
  const float* p(std::size_t offset) const { return w_.flat.get() + offset; }
  float* g(std::size_t offset) const { return gradients.get() + offset; }

  // out = norm(in) * weight + bias, keeping the normalised values and 1 / deviation.
  void norm_forward(int rows, const float* in, std::size_t norm, bf16* out, bf16* normed,
                    float* scale) const {
    const int h = c_.hidden;
    const float *weight = p(norm), *bias = p(norm + static_cast<std::size_t>(h));
    for (int r = 0; r < rows; ++r) {
      const float* x = in + static_cast<std::size_t>(r) * h;
      __m512 sum = _mm512_setzero_ps(), square = _mm512_setzero_ps();
      for (int i = 0; i < h; i += 16) sum = _mm512_add_ps(sum, _mm512_loadu_ps(x + i));
      const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / static_cast<float>(h));
      for (int i = 0; i < h; i += 16) {
        const __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + i), mean);
        square = _mm512_fmadd_ps(d, d, square);
      }
      scale[r] = 1.0f / std::sqrt(_mm512_reduce_add_ps(square) / static_cast<float>(h) + c_.epsilon);
      const __m512 s = _mm512_set1_ps(scale[r]);
      for (int i = 0; i < h; i += 32) {
        const __m512 n0 = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i), mean), s);
        const __m512 n1 = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i + 16), mean), s);
        _mm512_stream_si512(reinterpret_cast<__m512i*>(normed + static_cast<std::size_t>(r) * h + i),
                            (__m512i)_mm512_cvtne2ps_pbh(n1, n0));
        bf16* y = out + static_cast<std::size_t>(r) * h + i;
        amx::store_bf16(y, _mm512_fmadd_ps(n0, _mm512_loadu_ps(weight + i), _mm512_loadu_ps(bias + i)));
        amx::store_bf16(
            y + 16, _mm512_fmadd_ps(n1, _mm512_loadu_ps(weight + i + 16), _mm512_loadu_ps(bias + i + 16)));
      }
    }
  }

  // In place: gradient of the output becomes gradient of the input; out is the same in bf16.
  void norm_backward(int rows, float* gradient, std::size_t norm, const bf16* normed, const float* scale,
                     bf16* out) const {
    const int h = c_.hidden;
    const float* weight = p(norm);
    float *dweight = g(norm), *dbias = g(norm + static_cast<std::size_t>(h));
    for (int r = 0; r < rows; ++r) {
      float* d = gradient + static_cast<std::size_t>(r) * h;
      const bf16* n = normed + static_cast<std::size_t>(r) * h;
      __m512 sum = _mm512_setzero_ps(), product = _mm512_setzero_ps();
      for (int i = 0; i < h; i += 16) {
        const __m512 x = amx::load_bf16(n + i), dy = _mm512_loadu_ps(d + i);
        _mm512_storeu_ps(dweight + i, _mm512_fmadd_ps(dy, x, _mm512_loadu_ps(dweight + i)));
        _mm512_storeu_ps(dbias + i, _mm512_add_ps(dy, _mm512_loadu_ps(dbias + i)));
        const __m512 dx = _mm512_mul_ps(dy, _mm512_loadu_ps(weight + i));
        sum = _mm512_add_ps(sum, dx);
        product = _mm512_fmadd_ps(dx, x, product);
        _mm512_storeu_ps(d + i, dx);
      }
      const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / static_cast<float>(h));
      const __m512 slope = _mm512_set1_ps(_mm512_reduce_add_ps(product) / static_cast<float>(h));
      const __m512 s = _mm512_set1_ps(scale[r]);
      for (int i = 0; i < h; i += 16) {
        const __m512 dx = _mm512_sub_ps(_mm512_loadu_ps(d + i), mean);
        const __m512 v = _mm512_mul_ps(s, _mm512_fnmadd_ps(slope, amx::load_bf16(n + i), dx));
        _mm512_storeu_ps(d + i, v);
        amx::store_bf16(out + static_cast<std::size_t>(r) * h + i, v);
      }
    }
  }

  // Gradients of a linear layer's weight and bias: dW += dY^T X, db += column sums of dY.
  void weight_gradient(const PackedLinear& linear, int rows, const bf16* dy, const bf16* x) {
    const int out = linear.out, in = linear.in;
    float* dw = g(linear.weight);
    float* db = g(linear.bias);
    for (int r0 = 0; r0 < rows; r0 += kChunk) {
      const int n = std::min(kChunk, rows - r0);
      const bf16* y0 = dy + static_cast<std::size_t>(r0) * out;
      amx::pack_left_transposed(n, out, y0, out, pack_a_.get());
      amx::pack_right(n, in, x + static_cast<std::size_t>(r0) * in, in, pack_b_.get());
      amx::multiply(
          out, in, n, amx::packed(pack_a_.get(), n), pack_b_.get(),
          [&](int m, int c, const float* block) {
            for (int i = 0; i < 32; ++i)
              for (int j = 0; j < 32; j += 16) {
                float* at = dw + static_cast<std::size_t>(m + i) * in + c + j;
                _mm512_storeu_ps(at, _mm512_add_ps(_mm512_loadu_ps(at), _mm512_load_ps(block + 32 * i + j)));
              }
          },
          0, amx::fetch_floats(dw, in));
      for (int c = 0; c < out; c += 16) {
        __m512 sum = _mm512_loadu_ps(db + c);
        for (int r = 0; r < n; ++r)
          sum = _mm512_add_ps(sum, amx::load_bf16(y0 + static_cast<std::size_t>(r) * out + c));
        _mm512_storeu_ps(db + c, sum);
      }
    }
  }

  void embed(const data::Batch& batch);
  void layer_forward(const data::Batch& batch, const Group& group, int l, bool keep);
  void layer_backward(const data::Batch& batch, const Group& group, int l);
  void attention_forward(const data::Sequence& s, const bf16* qkv, bf16* context, bf16* probabilities);
  void attention_backward(const data::Sequence& s, const bf16* qkv, const bf16* probabilities,
                          const bf16* gradient, bf16* out);
  void make_groups(const data::Batch& batch);
  void predictions(const data::Batch& batch, bool backward, Result& result);
  void next_sentence(const data::Batch& batch, float weight, bool backward, Result& result);

  const Weights& w_;
  Config c_;
  int rows_;
  std::vector<Saved> saved_;
  std::vector<Buffer<bf16>> states_;  // the embeddings' output and each layer's
  std::vector<Group> groups_;
  Buffer<bf16> normed0_, pack_a_, pack_b_, score_bf_;
  Buffer<float> scale0_, gradient_, scores_;
  // Of one group, so that they stay in the cache:
  Buffer<bf16> qkv_, context_, middle_, after_, gradient_bf_, gradient_wide_, gradient_context_;
  Buffer<float> residual_;
  // Of the masked positions alone:
  Buffer<bf16> head_in_, head_slope_, head_after_, head_normed_, head_out_, head_scaled_, shares_,
      shares_packed_;
  Buffer<float> head_residual_, head_scale_, head_sum_, head_sums_;

 public:
  Buffer<float> gradients;
};

inline void Worker::make_groups(const data::Batch& batch) {
  groups_.clear();
  Group group{0, 0, 0, 0, 0};
  std::size_t probabilities = 0;
  for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
    const int padded = batch.sequences[i].padded;
    group.rows += padded;
    probabilities += static_cast<std::size_t>(c_.heads) * padded * padded;
    if (group.rows >= kGroupRows || i + 1 == batch.sequences.size()) {
      group.last = i + 1;
      groups_.push_back(group);
      group = {group.row + group.rows, 0, i + 1, 0, probabilities};
    }
  }
}

inline void Worker::embed(const data::Batch& batch) {
  const int h = c_.hidden;
  const float* words = p(w_.layout["bert.embeddings.word_embeddings.weight"]);
  const float* positions = p(w_.layout["bert.embeddings.position_embeddings.weight"]);
  const float* types = p(w_.layout["bert.embeddings.token_type_embeddings.weight"]);
  const std::size_t norm = w_.layout["bert.embeddings.LayerNorm.weight"];
  for (const Group& group : groups_) {
    for (int r = 0; r < group.rows; ++r)
      for (int i = 0; i < h; ++i)
        residual_[static_cast<std::size_t>(r) * h + i] =
            words[static_cast<std::size_t>(batch.ids[group.row + r]) * h + i] +
            positions[static_cast<std::size_t>(batch.positions[group.row + r]) * h + i] +
            types[static_cast<std::size_t>(batch.types[group.row + r]) * h + i];
    norm_forward(group.rows, residual_.get(), norm, row_of(states_[0], group.row, h),
                 row_of(normed0_, group.row, h), scale0_.get() + group.row);
  }
}

inline void Worker::attention_forward(const data::Sequence& s, const bf16* qkv, bf16* context,
                                      bf16* probabilities) {
  const int h = c_.hidden, d = h / c_.heads, n = s.padded;
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  for (int head = 0; head < c_.heads; ++head) {
    const bf16* q = qkv + head * d;
    const bf16 *k = q + h, *v = q + 2 * h;
    bf16* shares = probabilities + static_cast<std::size_t>(head) * n * n;
    amx::pack_right_transposed(d, n, k, 3 * h, pack_a_.get());
    amx::multiply(n, n, d, amx::row_major(q, 3 * h), pack_a_.get(), [&](int m, int c, const float* block) {
      for (int i = 0; i < 32; ++i)
        for (int j = 0; j < 32; j += 16)
          _mm512_storeu_ps(scores_.get() + (m + i) * n + c + j, _mm512_load_ps(block + 32 * i + j));
    });
    for (int i = 0; i < n; ++i) {
      float* row = scores_.get() + i * n;
      for (int j = s.length; j < n; ++j) row[j] = -1e30f;
      __m512 top = _mm512_loadu_ps(row);
      for (int j = 16; j < n; j += 16) top = _mm512_max_ps(top, _mm512_loadu_ps(row + j));
      const __m512 shift = _mm512_set1_ps(-_mm512_reduce_max_ps(top) * scale), factor = _mm512_set1_ps(scale);
      __m512 sum = _mm512_setzero_ps();
      for (int j = 0; j < n; j += 16) {
        const __m512 x = _mm512_fmadd_ps(_mm512_loadu_ps(row + j), factor, shift);
        const __mmask16 real = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-1e20f), _CMP_GT_OQ);
        const __m512 e = _mm512_maskz_mov_ps(real, amx::exp(x));
        sum = _mm512_add_ps(sum, e);
        _mm512_storeu_ps(row + j, e);
      }
      const __m512 inverse = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(sum));
      for (int j = 0; j < n; j += 16)
        amx::store_bf16(shares + static_cast<std::size_t>(i) * n + j,
                        _mm512_mul_ps(_mm512_loadu_ps(row + j), inverse));
    }
    amx::pack_right(n, d, v, 3 * h, pack_a_.get());
    bf16* out = context + head * d;
    amx::multiply(n, d, n, amx::row_major(shares, n), pack_a_.get(), [&](int m, int c, const float* block) {
      for (int i = 0; i < 32; ++i)
        for (int j = 0; j < 32; j += 16)
          amx::store_bf16(out + static_cast<std::size_t>(m + i) * h + c + j,
                          _mm512_load_ps(block + 32 * i + j));
    });
  }
}

inline void Worker::attention_backward(const data::Sequence& s, const bf16* qkv, const bf16* probabilities,
                                       const bf16* gradient, bf16* out) {
  const int h = c_.hidden, d = h / c_.heads, n = s.padded;
  const __m512 scale = _mm512_set1_ps(1.0f / std::sqrt(static_cast<float>(d)));
  for (int head = 0; head < c_.heads; ++head) {
    const bf16* q = qkv + head * d;
    const bf16 *k = q + h, *v = q + 2 * h;
    const bf16* shares = probabilities + static_cast<std::size_t>(head) * n * n;
    const bf16* dout = gradient + head * d;
    bf16* dq = out + head * d;
    bf16 *dk = dq + h, *dv = dq + 2 * h;
    auto store_to = [&](bf16* to) {
      return [to, h](int m, int c, const float* block) {
        for (int i = 0; i < 32; ++i)
          for (int j = 0; j < 32; j += 16)
            amx::store_bf16(to + static_cast<std::size_t>(m + i) * 3 * h + c + j,
                            _mm512_load_ps(block + 32 * i + j));
      };
    };
    amx::pack_right_transposed(d, n, v, 3 * h, pack_a_.get());
    amx::multiply(n, n, d, amx::row_major(dout, h), pack_a_.get(), [&](int m, int c, const float* block) {
      for (int i = 0; i < 32; ++i)
        for (int j = 0; j < 32; j += 16)
          _mm512_storeu_ps(scores_.get() + (m + i) * n + c + j, _mm512_load_ps(block + 32 * i + j));
    });
    for (int i = 0; i < n; ++i) {
      const float* dp = scores_.get() + i * n;
      const bf16* share = shares + static_cast<std::size_t>(i) * n;
      __m512 sum = _mm512_setzero_ps();
      for (int j = 0; j < n; j += 16)
        sum = _mm512_fmadd_ps(_mm512_loadu_ps(dp + j), amx::load_bf16(share + j), sum);
      const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum));
      for (int j = 0; j < n; j += 16) {
        const __m512 x =
            _mm512_mul_ps(amx::load_bf16(share + j), _mm512_sub_ps(_mm512_loadu_ps(dp + j), mean));
        amx::store_bf16(score_bf_.get() + i * n + j, _mm512_mul_ps(x, scale));
      }
    }
    amx::pack_right(n, d, k, 3 * h, pack_a_.get());
    amx::multiply(n, d, n, amx::row_major(score_bf_.get(), n), pack_a_.get(), store_to(dq));
    amx::pack_left_transposed(n, n, score_bf_.get(), n, pack_b_.get());
    amx::pack_right(n, d, q, 3 * h, pack_a_.get());
    amx::multiply(n, d, n, amx::packed(pack_b_.get(), n), pack_a_.get(), store_to(dk));
    amx::pack_left_transposed(n, n, shares, n, pack_b_.get());
    amx::pack_right(n, d, dout, h, pack_a_.get());
    amx::multiply(n, d, n, amx::packed(pack_b_.get(), n), pack_a_.get(), store_to(dv));
  }
}

inline void Worker::layer_forward(const data::Batch& batch, const Group& group, int l, bool keep) {
  const int h = c_.hidden, f = c_.intermediate, row = group.row, rows = group.rows;
  const PackedLayer& layer = w_.layers[l];
  Saved& s = saved_[l];
  const bf16* in = row_of(states_[l], row, h);

  const float* bias = p(layer.qkv.bias);
  amx::multiply(
      rows, 3 * h, h, amx::row_major(in, h), layer.qkv.forward.get(), [&](int m, int c, const float* block) {
        for (int i = 0; i < 32; ++i)
          for (int j = 0; j < 32; j += 16)
            amx::store_bf16(row_of(qkv_, m + i, 3 * h) + c + j,
                            _mm512_add_ps(_mm512_load_ps(block + 32 * i + j), _mm512_loadu_ps(bias + c + j)));
      });
  bf16* probabilities = s.probabilities.get() + group.probabilities;
  for (std::size_t i = group.first; i < group.last; ++i) {
    const data::Sequence& q = batch.sequences[i];
    attention_forward(q, row_of(qkv_, q.row - row, 3 * h), row_of(context_, q.row - row, h), probabilities);
    probabilities += static_cast<std::size_t>(c_.heads) * q.padded * q.padded;
  }
  auto project = [&](const PackedLinear& linear, const Buffer<bf16>& x, const bf16* skip) {
    const float* b = p(linear.bias);
    amx::multiply(rows, h, linear.in, amx::row_major(x.get(), linear.in), linear.forward.get(),
                  [&](int m, int c, const float* block) {
                    for (int i = 0; i < 32; ++i)
                      for (int j = 0; j < 32; j += 16) {
                        const std::size_t at = static_cast<std::size_t>(m + i) * h + c + j;
                        const __m512 y =
                            _mm512_add_ps(_mm512_load_ps(block + 32 * i + j), _mm512_loadu_ps(b + c + j));
                        _mm512_storeu_ps(residual_.get() + at, _mm512_add_ps(y, amx::load_bf16(skip + at)));
                      }
                  });
  };
  project(layer.attention_out, context_, in);
  norm_forward(rows, residual_.get(), layer.norm1, middle_.get(), row_of(s.normed1, row, h),
               s.scale1.get() + row);
  const float* up_bias = p(layer.up.bias);
  amx::multiply(rows, f, h, amx::row_major(middle_.get(), h), layer.up.forward.get(),
                [&](int m, int c, const float* block) {
                  bf16* slope = slope_block(s, row + m, c);
                  for (int i = 0; i < 32; ++i) {
                    __m512 slopes[2];
                    for (int j = 0; j < 2; ++j) {
                      const __m512 x = _mm512_add_ps(_mm512_load_ps(block + 32 * i + 16 * j),
                                                     _mm512_loadu_ps(up_bias + c + 16 * j));
                      __m512 distribution, density;
                      amx::normal(x, distribution, density);
                      slopes[j] = _mm512_fmadd_ps(x, density, distribution);
                      amx::store_bf16(row_of(after_, m + i, f) + c + 16 * j, _mm512_mul_ps(x, distribution));
                    }
                    _mm512_stream_si512(reinterpret_cast<__m512i*>(slope + 32 * i),
                                        (__m512i)_mm512_cvtne2ps_pbh(slopes[1], slopes[0]));
                  }
                });
  project(layer.down, after_, middle_.get());
  norm_forward(rows, residual_.get(), layer.norm2, row_of(states_[l + 1], row, h), row_of(s.normed2, row, h),
               s.scale2.get() + row);
  if (!keep) return;
  stream(row_of(s.qkv, row, 3 * h), qkv_.get(), rows * 3 * h);
  stream(row_of(s.context, row, h), context_.get(), rows * h);
  stream(row_of(s.middle, row, h), middle_.get(), rows * h);
  stream(row_of(s.after, row, f), after_.get(), rows * f);
}

// gradient_ holds the gradient of the layer's output on entry, of its input on return.
inline void Worker::layer_backward(const data::Batch& batch, const Group& group, int l) {
  const int h = c_.hidden, f = c_.intermediate, row = group.row, rows = group.rows;
  const PackedLayer& layer = w_.layers[l];
  Saved& s = saved_[l];
  float* gradient = row_of(gradient_, row, h);
  // gradient += dY * W
  auto through = [&](const PackedLinear& linear, const Buffer<bf16>& dy) {
    amx::multiply(rows, h, linear.out, amx::row_major(dy.get(), linear.out), linear.backward.get(),
                  [&](int m, int c, const float* block) {
                    for (int i = 0; i < 32; ++i)
                      for (int j = 0; j < 32; j += 16) {
                        float* to = gradient + static_cast<std::size_t>(m + i) * h + c + j;
                        _mm512_storeu_ps(
                            to, _mm512_add_ps(_mm512_loadu_ps(to), _mm512_load_ps(block + 32 * i + j)));
                      }
                  });
  };
  norm_backward(rows, gradient, layer.norm2, row_of(s.normed2, row, h), s.scale2.get() + row,
                gradient_bf_.get());
  amx::multiply(
      rows, f, h, amx::row_major(gradient_bf_.get(), h), layer.down.backward.get(),
      [&](int m, int c, const float* block) {
        const bf16* slope = slope_block(s, row + m, c);
        for (int i = 0; i < 32; ++i)
          for (int j = 0; j < 32; j += 16)
            amx::store_bf16(
                row_of(gradient_wide_, m + i, f) + c + j,
                _mm512_mul_ps(amx::load_bf16(slope + 32 * i + j), _mm512_load_ps(block + 32 * i + j)));
      },
      0, [&](int m, int c) { amx::fetch(slope_block(s, row + m, c), 2 * 1024); });
  through(layer.up, gradient_wide_);
  weight_gradient(layer.down, rows, gradient_bf_.get(), row_of(s.after, row, f));
  weight_gradient(layer.up, rows, gradient_wide_.get(), row_of(s.middle, row, h));

  norm_backward(rows, gradient, layer.norm1, row_of(s.normed1, row, h), s.scale1.get() + row,
                gradient_bf_.get());
  amx::multiply(rows, h, h, amx::row_major(gradient_bf_.get(), h), layer.attention_out.backward.get(),
                [&](int m, int c, const float* block) {
                  for (int i = 0; i < 32; ++i)
                    for (int j = 0; j < 32; j += 16)
                      amx::store_bf16(row_of(gradient_context_, m + i, h) + c + j,
                                      _mm512_load_ps(block + 32 * i + j));
                });
  weight_gradient(layer.attention_out, rows, gradient_bf_.get(), row_of(s.context, row, h));
  const bf16* probabilities = s.probabilities.get() + group.probabilities;
  for (std::size_t i = group.first; i < group.last; ++i) {
    const data::Sequence& q = batch.sequences[i];
    attention_backward(q, row_of(s.qkv, q.row, 3 * h), probabilities,
                       row_of(gradient_context_, q.row - row, h), row_of(gradient_wide_, q.row - row, 3 * h));
    probabilities += static_cast<std::size_t>(c_.heads) * q.padded * q.padded;
  }
  through(layer.qkv, gradient_wide_);
  weight_gradient(layer.qkv, rows, gradient_wide_.get(), row_of(states_[l], row, h));
}

// The masked language model: dense, GELU, norm, and the softmax over the whole vocabulary with tied
// embeddings. The exponentials e are kept in bf16 without dividing by their sum s: both products that need e
// / s get 1 / s through their other operand or their rows, and the one-hot target is subtracted apart.
inline void Worker::predictions(const data::Batch& batch, bool backward, Result& result) {
  const int h = c_.hidden, real = static_cast<int>(batch.masked_row.size()), rows = (real + 31) / 32 * 32;
  const int vocabulary = w_.layout.padded_vocabulary;
  if (!real) return;
  if (head_in_.size() < static_cast<std::size_t>(rows) * h) {
    const std::size_t t = static_cast<std::size_t>(rows) * 5 / 4 / 32 * 32 + 32;
    for (Buffer<bf16>* b : {&head_in_, &head_slope_, &head_after_, &head_normed_, &head_out_, &head_scaled_})
      *b = Buffer<bf16>(t * h);
    shares_ = Buffer<bf16>(t * kVocabularyChunk);
    shares_packed_ = Buffer<bf16>(t * vocabulary);
    head_residual_ = Buffer<float>(t * h);
    head_scale_ = Buffer<float>(t);
    head_sum_ = Buffer<float>(t);
    head_sums_ = Buffer<float>(16 * t);
  }
  auto at = [](auto* base, int row, int width) { return base + static_cast<std::size_t>(row) * width; };
  for (int r = 0; r < rows; ++r)
    std::memcpy(at(head_in_.get(), r, h), at(states_[c_.layers].get(), batch.masked_row[r < real ? r : 0], h),
                2u * h);

  const PackedLinear &transform = *w_.transform, &decoder = *w_.decoder;
  const std::size_t norm = w_.layout["cls.predictions.transform.LayerNorm.weight"];
  const float* bias = p(transform.bias);
  amx::multiply(
      rows, h, h, amx::row_major(head_in_.get(), h), transform.forward.get(),
      [&](int m, int c, const float* block) {
        for (int i = 0; i < 32; ++i)
          for (int j = 0; j < 32; j += 16) {
            const __m512 x = _mm512_add_ps(_mm512_load_ps(block + 32 * i + j), _mm512_loadu_ps(bias + c + j));
            __m512 distribution, density;
            amx::normal(x, distribution, density);
            amx::store_bf16(at(head_slope_.get(), m + i, h) + c + j,
                            _mm512_fmadd_ps(x, density, distribution));
            _mm512_storeu_ps(at(head_residual_.get(), m + i, h) + c + j, _mm512_mul_ps(x, distribution));
          }
      });
  norm_forward(rows, head_residual_.get(), norm, head_out_.get(), head_normed_.get(), head_scale_.get());

  std::fill(head_sums_.get(), head_sums_.get() + 16 * rows, 0.0f);
  if (backward) std::memset(head_residual_.get(), 0, sizeof(float) * static_cast<std::size_t>(rows) * h);
  const float* words = p(decoder.weight);
  const float* decoder_bias = p(decoder.bias);
  std::vector<float> target_logit(static_cast<std::size_t>(real)),
      top(static_cast<std::size_t>(real), -1e30f);
  std::vector<int> best(static_cast<std::size_t>(real));
  // Piece by piece of the vocabulary, so that the exponentials are still in the cache for the gradient of the
  // head's output.
  for (int v0 = 0; v0 < vocabulary; v0 += kVocabularyChunk) {
    const int chunk = std::min(kVocabularyChunk, vocabulary - v0);
    amx::multiply(
        rows, chunk, h, amx::row_major(head_out_.get(), h), at(decoder.forward.get(), v0, h),
        [&](int m, int c, const float* block) {
          const __m512 limit = _mm512_set1_ps(60.0f);
          const int left = std::clamp(c_.vocabulary - v0 - c, 0, 32);
          const __mmask16 in0 = static_cast<__mmask16>((1u << std::min(left, 16)) - 1);
          const __mmask16 in1 = static_cast<__mmask16>((1u << std::max(left - 16, 0)) - 1);
          const __m512 b0 = _mm512_loadu_ps(decoder_bias + v0 + c),
                       b1 = _mm512_loadu_ps(decoder_bias + v0 + c + 16);
          bf16* tiles =
              shares_.get() + (static_cast<std::size_t>(m / 16) * (chunk / 32) + c / 32) * amx::kBlock;
          for (int i = 0; i < 32; ++i) {
            const __m512 x0 = _mm512_min_ps(_mm512_add_ps(_mm512_load_ps(block + 32 * i), b0), limit);
            const __m512 x1 = _mm512_min_ps(_mm512_add_ps(_mm512_load_ps(block + 32 * i + 16), b1), limit);
            const __m512 e0 = _mm512_maskz_mov_ps(in0, amx::exp(x0)),
                         e1 = _mm512_maskz_mov_ps(in1, amx::exp(x1));
            float* sum = head_sums_.get() + 16 * (m + i);
            _mm512_store_ps(sum, _mm512_add_ps(_mm512_load_ps(sum), _mm512_add_ps(e0, e1)));
            bf16* to = tiles + (i / 16) * (chunk / 32) * amx::kBlock + (i % 16) * 32;
            _mm512_store_si512(to, (__m512i)_mm512_cvtne2ps_pbh(e1, e0));
            if (!backward && m + i < real) {
              float x[32];
              _mm512_storeu_ps(x, x0);
              _mm512_storeu_ps(x + 16, x1);
              for (int j = 0; j < left; ++j)
                if (x[j] > top[m + i]) top[m + i] = x[j], best[m + i] = v0 + c + j;
            }
          }
          if (backward) {  // the same block as left operand of the embeddings' gradient
            __m512i r[16];
            for (int half = 0; half < 2; ++half) {
              for (int i = 0; i < 16; ++i) {
                const bf16* pair = tiles + (i / 8) * (chunk / 32) * amx::kBlock + (i % 8) * 64 + 16 * half;
                r[i] = _mm512_or_si512(
                    _mm512_cvtepu16_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(pair))),
                    _mm512_slli_epi32(
                        _mm512_cvtepu16_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(pair + 32))),
                        16));
              }
              amx::transpose16(r);
              amx::store_block(
                  shares_packed_.get() +
                      (static_cast<std::size_t>((v0 + c) / 16 + half) * (rows / 32) + m / 32) * amx::kBlock,
                  r);
            }
          }
        });
    if (!backward) continue;
    amx::multiply(
        rows, h, chunk, amx::packed(shares_.get(), chunk),
        decoder.backward.get() + static_cast<std::size_t>(v0 / 32) * amx::kBlock,
        [&](int m, int c, const float* block) {
          for (int i = 0; i < 32; ++i)
            for (int j = 0; j < 32; j += 16) {
              float* to = at(head_residual_.get(), m + i, h) + c + j;
              _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), _mm512_load_ps(block + 32 * i + j)));
            }
        },
        vocabulary);
  }
  for (int r = 0; r < real; ++r) {
    head_sum_[r] = _mm512_reduce_add_ps(_mm512_load_ps(head_sums_.get() + 16 * r));
    const int target = batch.masked_target[r];
    const bf16* out = at(head_out_.get(), r, h);
    const float* word = words + static_cast<std::size_t>(target) * h;
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < h; i += 16)
      sum = _mm512_fmadd_ps(amx::load_bf16(out + i), _mm512_loadu_ps(word + i), sum);
    result.mlm_loss +=
        std::log(head_sum_[r]) - std::min(60.0f, _mm512_reduce_add_ps(sum) + decoder_bias[target]);
    if (!backward) result.mlm_right += best[r] == target;
  }
  result.masked += real;
  if (!backward) return;

  // Embeddings: sum over rows of (e / s - target) * out. Rows that only fill up the block weigh nothing.
  float *dword = g(decoder.weight), *dbias = g(decoder.bias);
  std::vector<bf16> inverses(static_cast<std::size_t>(rows));
  for (int r = 0; r < rows; ++r) {
    const __m512 inverse = _mm512_set1_ps(r < real ? 1.0f / head_sum_[r] : 0.0f);
    bf16 lanes[16];
    amx::store_bf16(lanes, inverse);
    inverses[r] = lanes[0];
    const bf16* out = at(head_out_.get(), r, h);
    float* residual = at(head_residual_.get(), r, h);
    const int target = r < real ? batch.masked_target[r] : 0;
    const float* word = words + static_cast<std::size_t>(target) * h;
    float* to = dword + static_cast<std::size_t>(target) * h;
    for (int i = 0; i < h; i += 16) {
      const __m512 x = amx::load_bf16(out + i);
      amx::store_bf16(at(head_scaled_.get(), r, h) + i, _mm512_mul_ps(x, inverse));
      if (r >= real) {
        _mm512_storeu_ps(residual + i, _mm512_setzero_ps());
        continue;
      }
      _mm512_storeu_ps(to + i, _mm512_sub_ps(_mm512_loadu_ps(to + i), x));
      _mm512_storeu_ps(residual + i,
                       _mm512_fmsub_ps(_mm512_loadu_ps(residual + i), inverse, _mm512_loadu_ps(word + i)));
    }
    if (r < real) dbias[target] -= 1.0f;
  }
  for (int v = 0; v < vocabulary; v += 16) {
    const bf16* block = shares_packed_.get() + static_cast<std::size_t>(v / 16) * (rows / 32) * amx::kBlock;
    __m512 sums[16] = {};
    for (int r = 0; r < rows; r += 32, block += amx::kBlock) {
      const auto inverse = (__m512bh)_mm512_loadu_si512(inverses.data() + r);
      for (int i = 0; i < 16; ++i)
        sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)_mm512_load_si512(block + 32 * i), inverse);
    }
    for (int i = 0; i < 16; ++i) dbias[v + i] += _mm512_reduce_add_ps(sums[i]);
  }
  for (int r0 = 0; r0 < rows; r0 += kChunk) {
    const int n = std::min(kChunk, rows - r0);
    amx::pack_right(n, h, at(head_scaled_.get(), r0, h), h, pack_b_.get());
    amx::Left left =
        amx::packed(shares_packed_.get() + static_cast<std::size_t>(r0 / 32) * amx::kBlock, rows);
    amx::multiply(
        vocabulary, h, n, left, pack_b_.get(),
        [&](int m, int c, const float* block) {
          for (int i = 0; i < 32; ++i)
            for (int j = 0; j < 32; j += 16) {
              float* to = dword + static_cast<std::size_t>(m + i) * h + c + j;
              _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), _mm512_load_ps(block + 32 * i + j)));
            }
        },
        0, amx::fetch_floats(dword, h));
  }
  // The head's norm, GELU and dense layer.
  norm_backward(rows, head_residual_.get(), norm, head_normed_.get(), head_scale_.get(), head_after_.get());
  for (int i = 0; i < rows * h; i += 16) {
    amx::store_bf16(head_after_.get() + i, _mm512_mul_ps(_mm512_loadu_ps(head_residual_.get() + i),
                                                         amx::load_bf16(head_slope_.get() + i)));
  }
  weight_gradient(transform, rows, head_after_.get(), head_in_.get());
  amx::multiply(rows, h, h, amx::row_major(head_after_.get(), h), transform.backward.get(),
                [&](int m, int c, const float* block) {
                  for (int i = 0; i < 32 && m + i < real; ++i) {
                    float* to = at(gradient_.get(), batch.masked_row[m + i], h) + c;
                    for (int j = 0; j < 32; ++j) to[j] += block[32 * i + j];
                  }
                });
}

// Next sentence: dense and tanh over [CLS], then two logits.
inline void Worker::next_sentence(const data::Batch& batch, float weight, bool backward, Result& result) {
  const int h = c_.hidden;
  const std::size_t pooler = w_.layout["bert.pooler.dense.weight"],
                    pooler_bias = w_.layout["bert.pooler.dense.bias"];
  const std::size_t head = w_.layout["cls.seq_relationship.weight"],
                    head_bias = w_.layout["cls.seq_relationship.bias"];
  std::vector<float> x(h), pooled(h), d(h);
  for (const data::Sequence& s : batch.sequences) {
    result.tokens += s.length;
    if (s.label < 0) continue;
    for (int i = 0; i < h; ++i)
      x[i] = amx::to_float(states_[c_.layers][static_cast<std::size_t>(s.row) * h + i]);
    float logits[2] = {p(head_bias)[0], p(head_bias)[1]};
    for (int o = 0; o < h; ++o) {
      const float* row = p(pooler) + static_cast<std::size_t>(o) * h;
      float sum = 0;
      for (int i = 0; i < h; ++i) sum += row[i] * x[i];
      pooled[o] = std::tanh(sum + p(pooler_bias)[o]);
      logits[0] += pooled[o] * p(head)[o];
      logits[1] += pooled[o] * p(head)[h + o];
    }
    const float margin = logits[1 - s.label] - logits[s.label];
    result.nsp_loss += margin > 20 ? margin : std::log1p(std::exp(margin));
    result.nsp_right += margin < 0;
    ++result.pairs;
    if (!backward) continue;
    const float wrong =
        weight / (1.0f + std::exp(-margin));  // gradient of the wrong logit; the right one's is its negative
    float dl[2];
    dl[s.label] = -wrong;
    dl[1 - s.label] = wrong;
    float* to = gradient_.get() + static_cast<std::size_t>(s.row) * h;
    for (int o = 0; o < h; ++o) {
      g(head)[o] += dl[0] * pooled[o];
      g(head)[h + o] += dl[1] * pooled[o];
      d[o] = (dl[0] * p(head)[o] + dl[1] * p(head)[h + o]) * (1 - pooled[o] * pooled[o]);
      g(pooler_bias)[o] += d[o];
      const float* row = p(pooler) + static_cast<std::size_t>(o) * h;
      float* drow = g(pooler) + static_cast<std::size_t>(o) * h;
      for (int i = 0; i < h; ++i) {
        drow[i] += d[o] * x[i];
        to[i] += d[o] * row[i];
      }
    }
    g(head_bias)[0] += dl[0];
    g(head_bias)[1] += dl[1];
  }
}

inline Result Worker::run(const data::Batch& batch, float nsp_weight, bool backward) {
  if (batch.rows() > rows_) data::fail("batch of too many rows");
  const int h = c_.hidden, rows = batch.rows();
  Result result;
  make_groups(batch);
  embed(batch);
  for (int l = 0; l < c_.layers; ++l)
    for (const Group& group : groups_) layer_forward(batch, group, l, backward);
  if (backward) std::memset(gradient_.get(), 0, sizeof(float) * static_cast<std::size_t>(rows) * h);
  predictions(batch, backward, result);
  next_sentence(batch, nsp_weight, backward, result);
  if (!backward) return result;
  for (int l = c_.layers - 1; l >= 0; --l)
    for (const Group& group : groups_) layer_backward(batch, group, l);
  for (const Group& group : groups_)
    norm_backward(group.rows, row_of(gradient_, group.row, h), w_.layout["bert.embeddings.LayerNorm.weight"],
                  row_of(normed0_, group.row, h), scale0_.get() + group.row, gradient_bf_.get());
  float* words = g(w_.layout["bert.embeddings.word_embeddings.weight"]);
  float* positions = g(w_.layout["bert.embeddings.position_embeddings.weight"]);
  float* types = g(w_.layout["bert.embeddings.token_type_embeddings.weight"]);
  for (const data::Sequence& s : batch.sequences)
    for (int r = s.row; r < s.row + s.length; ++r)
      for (int i = 0; i < h; ++i) {
        const float d = gradient_[static_cast<std::size_t>(r) * h + i];
        words[static_cast<std::size_t>(batch.ids[r]) * h + i] += d;
        positions[static_cast<std::size_t>(batch.positions[r]) * h + i] += d;
        types[static_cast<std::size_t>(batch.types[r]) * h + i] += d;
      }
  return result;
}

}  // namespace network
