// BERT with its two pre-training heads, forward and backward, for one thread and one batch; topology as in
// Devlin et al. 2019. Elements are what the products take: bfloat16 on AMX, float on AVX2.
#pragma once

#include <sys/mman.h>

#include <cmath>
#include <cstring>
#include <map>
#include <memory>

#ifdef __AMX_BF16__
#include "amx.h"
#else
#include "avx2.h"
#endif
#include "data.h"

namespace network {

using products::Element;
using products::get;
using products::put;

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
  Buffer<Element> forward, backward;
  PackedLinear(std::size_t weight, std::size_t bias, int out, int in)
      : weight(weight),
        bias(bias),
        out(out),
        in(in),
        forward(static_cast<std::size_t>(out) * in),
        backward(static_cast<std::size_t>(out) * in) {}
};

// Packs rows [from, to) of a weight matrix, multiples of 32.
inline void pack_rows(const float* w, PackedLinear& p, int from, int to, std::vector<Element>& scratch) {
  scratch.resize(static_cast<std::size_t>(32) * p.in);
  for (int r = from; r < to; r += 32) {
    for (int i = 0; i < 32 * p.in; i += 16)
      put(scratch.data() + i, load(w + static_cast<std::size_t>(r) * p.in + i));
    products::pack_right_transposed(p.in, 32, scratch.data(), p.in,
                                    p.forward.get() + static_cast<std::size_t>(r) * p.in);
    products::pack_right(32, p.in, scratch.data(), p.in, products::right_from(p.backward.get(), r), p.out);
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
  // The rows that only pad the vocabulary have no share in the softmax.
  void close_padding() {
    const std::size_t bias = layout["cls.predictions.bias"];
    std::fill(flat.get() + bias + config.vocabulary, flat.get() + bias + layout.padded_vocabulary, -1e30f);
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

// The 32 x 32 block of a float matrix that a product is about to add to.
inline auto fetch_floats(const float* matrix, int width) {
  return [matrix, width](int row, int column) {
    for (int i = 0; i < 32; ++i) products::fetch(matrix + static_cast<long>(row + i) * width + column, 128);
  };
}

// The buffers of one thread, and its sum of gradients.
class Worker {
 public:
  Worker(const Weights& weights, int max_rows, int max_length)
      : w_(weights), c_(weights.config), rows_(max_rows), gradients(weights.layout.total) {
    const std::size_t t = static_cast<std::size_t>(max_rows), h = c_.hidden, f = c_.intermediate;
    for (int l = 0; l < c_.layers; ++l) {
      Saved s;
      s.qkv = Buffer<Element>(t * 3 * h);
      s.context = Buffer<Element>(t * h);
      s.normed1 = Buffer<Element>(t * h);
      s.middle = Buffer<Element>(t * h);
      s.slope = Buffer<Element>(t * f);
      s.after = Buffer<Element>(t * f);
      s.normed2 = Buffer<Element>(t * h);
      s.scale1 = Buffer<float>(t);
      s.scale2 = Buffer<float>(t);
      saved_.push_back(std::move(s));
    }
    for (int l = 0; l <= c_.layers; ++l) states_.emplace_back(t * h);
    normed0_ = Buffer<Element>(t * h);
    scale0_ = Buffer<float>(t);
    gradient_ = Buffer<float>(t * h);
    const std::size_t length = max_length, n = data::kGroupRows + length;
    residual_ = Buffer<float>(n * h);
    qkv_ = Buffer<Element>(n * 3 * h);
    context_ = Buffer<Element>(n * h);
    middle_ = Buffer<Element>(n * h);
    after_ = Buffer<Element>(n * f);
    gradient_narrow_ = Buffer<Element>(n * h);
    gradient_wide_ = Buffer<Element>(n * std::max(3 * h, f));
    gradient_context_ = Buffer<Element>(n * h);
    pack_a_ = Buffer<Element>(std::max<std::size_t>(kChunk * std::max(3 * h, f), length * length));
    pack_b_ = Buffer<Element>(std::max<std::size_t>(kChunk * std::max(3 * h, f), length * length));
    scores_ = Buffer<float>(length * length);
    score_gradient_ = Buffer<Element>(length * length);
  }

  // Adds the gradients of the batch's losses, each masked token's weighing 1 and each pair's nsp_weight.
  Result run(const data::Batch& batch, float nsp_weight, bool backward);

 private:
  static constexpr int kChunk = 512;  // tokens whose weight gradients are computed at a time
  static constexpr int kVocabularyChunk = 1024;
  // What the backward pass needs of a layer; slope in blocks of 32 x 32, everything else by rows.
  struct Saved {
    Buffer<Element> qkv, context, normed1, middle, slope, after, normed2, probabilities;
    Buffer<float> scale1, scale2;
  };

  template <class T>
  static T* row_of(const Buffer<T>& buffer, int row, int width) {
    return buffer.get() + static_cast<std::size_t>(row) * width;
  }
  Element* slope_block(const Saved& s, int row, int column) const {
    const std::size_t across = static_cast<std::size_t>(c_.intermediate / 32);
    return s.slope.get() + (static_cast<std::size_t>(row / 32) * across + column / 32) * 1024;
  }
  // Clears the rows of a group that belong to no sequence.
  static void clear_rows(const Buffer<Element>& buffer, const data::Group& group, int width) {
    std::memset(row_of(buffer, group.filled, width), 0,
                sizeof(Element) * static_cast<std::size_t>(group.rows - group.filled) * width);
  }
  // Copies past the cache: what is next read in the backward pass must not push out what is read now.
  static void stream(Element* to, const Element* from, int count) {
    for (int i = 0; i < count; i += 32) products::put_far(to + i, get(from + i), get(from + i + 16));
  }
  const float* p(std::size_t offset) const { return w_.flat.get() + offset; }
  float* g(std::size_t offset) const { return gradients.get() + offset; }

  // out = norm(in) * weight + bias, keeping the normalised values and 1 / deviation.
  void norm_forward(int rows, const float* in, std::size_t norm, Element* out, Element* normed,
                    float* scale) const {
    const int h = c_.hidden;
    const float *weight = p(norm), *bias = p(norm + static_cast<std::size_t>(h));
    for (int r = 0; r < rows; ++r) {
      const float* x = in + static_cast<std::size_t>(r) * h;
      Vector sum(0.0f), square(0.0f);
      for (int i = 0; i < h; i += 16) sum = sum + load(x + i);
      const Vector mean(add_up(sum) / static_cast<float>(h));
      for (int i = 0; i < h; i += 16) {
        const Vector d = load(x + i) - mean;
        square = fused(d, d, square);
      }
      scale[r] = 1.0f / std::sqrt(add_up(square) / static_cast<float>(h) + c_.epsilon);
      const Vector s(scale[r]);
      for (int i = 0; i < h; i += 32) {
        const Vector n0 = (load(x + i) - mean) * s;
        const Vector n1 = (load(x + i + 16) - mean) * s;
        products::put_far(normed + static_cast<std::size_t>(r) * h + i, n0, n1);
        Element* y = out + static_cast<std::size_t>(r) * h + i;
        put(y, fused(n0, load(weight + i), load(bias + i)));
        put(y + 16, fused(n1, load(weight + i + 16), load(bias + i + 16)));
      }
    }
  }

  // In place: gradient of the output becomes gradient of the input; out is the same as elements.
  void norm_backward(int rows, float* gradient, std::size_t norm, const Element* normed, const float* scale,
                     Element* out) const {
    const int h = c_.hidden;
    const float* weight = p(norm);
    float *dweight = g(norm), *dbias = g(norm + static_cast<std::size_t>(h));
    for (int r = 0; r < rows; ++r) {
      float* d = gradient + static_cast<std::size_t>(r) * h;
      const Element* n = normed + static_cast<std::size_t>(r) * h;
      Vector sum(0.0f), product(0.0f);
      for (int i = 0; i < h; i += 16) {
        const Vector x = get(n + i), dy = load(d + i);
        store(dweight + i, fused(dy, x, load(dweight + i)));
        store(dbias + i, dy + load(dbias + i));
        const Vector dx = dy * load(weight + i);
        sum = sum + dx;
        product = fused(dx, x, product);
        store(d + i, dx);
      }
      const Vector mean(add_up(sum) / static_cast<float>(h));
      const Vector slope(add_up(product) / static_cast<float>(h));
      const Vector s(scale[r]);
      for (int i = 0; i < h; i += 16) {
        const Vector dx = load(d + i) - mean;
        const Vector v = s * (dx - slope * get(n + i));
        store(d + i, v);
        put(out + static_cast<std::size_t>(r) * h + i, v);
      }
    }
  }

  // Gradients of a linear layer's weight and bias: dW += dY^T X, db += column sums of dY.
  void weight_gradient(const PackedLinear& linear, int rows, const Element* dy, const Element* x) {
    const int out = linear.out, in = linear.in;
    float* dw = g(linear.weight);
    float* db = g(linear.bias);
    for (int r0 = 0; r0 < rows; r0 += kChunk) {
      const int n = std::min(kChunk, rows - r0);
      const Element* y0 = dy + static_cast<std::size_t>(r0) * out;
      products::pack_left_transposed(n, out, y0, out, pack_a_.get());
      products::pack_right(n, in, x + static_cast<std::size_t>(r0) * in, in, pack_b_.get());
      products::multiply(
          out, in, n, products::packed(pack_a_.get(), n), pack_b_.get(),
          [&](int m, int c, const float* block) {
            for (int i = 0; i < 32; ++i)
              for (int j = 0; j < 32; j += 16) {
                float* at = dw + static_cast<std::size_t>(m + i) * in + c + j;
                store(at, load(at) + load(block + 32 * i + j));
              }
          },
          0, fetch_floats(dw, in));
      for (int c = 0; c < out; c += 16) {
        Vector sum = load(db + c);
        for (int r = 0; r < n; ++r) sum = sum + get(y0 + static_cast<std::size_t>(r) * out + c);
        store(db + c, sum);
      }
    }
  }

  void embed(const data::Batch& batch);
  void layer_forward(const data::Batch& batch, const data::Group& group, int l, bool keep);
  void layer_backward(const data::Batch& batch, const data::Group& group, int l);
  void attention_forward(const data::Sequence& s, const Element* qkv, Element* context,
                         Element* probabilities);
  void attention_backward(const data::Sequence& s, const Element* qkv, const Element* probabilities,
                          const Element* gradient, Element* out);
  void place_probabilities(const data::Batch& batch);
  void predictions(const data::Batch& batch, bool backward, Result& result);
  void next_sentence(const data::Batch& batch, float weight, bool backward, Result& result);

  const Weights& w_;
  Config c_;
  int rows_;
  std::vector<Saved> saved_;
  std::vector<Buffer<Element>> states_;     // the embeddings' output and each layer's
  std::vector<std::size_t> probabilities_;  // where each sequence's begin
  Buffer<Element> normed0_, pack_a_, pack_b_, score_gradient_;
  Buffer<float> scale0_, gradient_, scores_;
  // Of one group, so that they stay in the cache:
  Buffer<Element> qkv_, context_, middle_, after_, gradient_narrow_, gradient_wide_, gradient_context_;
  Buffer<float> residual_;
  // Of the masked positions alone:
  Buffer<Element> head_in_, head_slope_, head_after_, head_normed_, head_out_, head_scaled_, shares_,
      shares_packed_;
  Buffer<float> head_residual_, head_scale_, head_sum_, head_sums_;

 public:
  Buffer<float> gradients;
};

inline void Worker::place_probabilities(const data::Batch& batch) {
  probabilities_.clear();
  std::size_t end = 0;
  for (const data::Sequence& s : batch.sequences) {
    probabilities_.push_back(end);
    end += static_cast<std::size_t>(c_.heads) * s.padded * s.padded;
  }
  for (Saved& s : saved_)
    if (s.probabilities.size() < end) s.probabilities = Buffer<Element>(end * 5 / 4);
}

inline void Worker::embed(const data::Batch& batch) {
  const int h = c_.hidden;
  const float* words = p(w_.layout["bert.embeddings.word_embeddings.weight"]);
  const float* positions = p(w_.layout["bert.embeddings.position_embeddings.weight"]);
  const float* types = p(w_.layout["bert.embeddings.token_type_embeddings.weight"]);
  const std::size_t norm = w_.layout["bert.embeddings.LayerNorm.weight"];
  for (const data::Group& group : batch.groups) {
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

inline void Worker::attention_forward(const data::Sequence& s, const Element* qkv, Element* context,
                                      Element* probabilities) {
  const int h = c_.hidden, d = h / c_.heads, n = s.padded;
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  for (int head = 0; head < c_.heads; ++head) {
    const Element* q = qkv + head * d;
    const Element *k = q + h, *v = q + 2 * h;
    Element* shares = probabilities + static_cast<std::size_t>(head) * n * n;
    products::pack_right_transposed(d, n, k, 3 * h, pack_a_.get());
    products::multiply(n, n, d, products::row_major(q, 3 * h), pack_a_.get(),
                       [&](int m, int c, const float* block) {
                         for (int i = 0; i < 32; ++i)
                           for (int j = 0; j < 32; j += 16)
                             store(scores_.get() + (m + i) * n + c + j, load(block + 32 * i + j));
                       });
    for (int i = 0; i < n; ++i) {
      float* row = scores_.get() + i * n;
      if (i >= s.length) {
        std::memset(shares + static_cast<std::size_t>(i) * n, 0,
                    sizeof(Element) * static_cast<std::size_t>(n));
        continue;
      }
      for (int j = s.length; j < n; ++j) row[j] = -1e30f;
      Vector top = load(row);
      for (int j = 16; j < n; j += 16) top = larger(top, load(row + j));
      const Vector shift(-largest(top) * scale), factor(scale);
      Vector sum(0.0f);
      for (int j = 0; j < n; j += 16) {
        const Vector x = fused(load(row + j), factor, shift);
        const Vector e = exponential(x);
        sum = sum + e;
        store(row + j, e);
      }
      const Vector inverse(1.0f / add_up(sum));
      for (int j = 0; j < n; j += 16)
        put(shares + static_cast<std::size_t>(i) * n + j, load(row + j) * inverse);
    }
    products::pack_right(n, d, v, 3 * h, pack_a_.get());
    Element* out = context + head * d;
    products::multiply(n, d, n, products::row_major(shares, n), pack_a_.get(),
                       [&](int m, int c, const float* block) {
                         for (int i = 0; i < 32; ++i)
                           for (int j = 0; j < 32; j += 16)
                             put(out + static_cast<std::size_t>(m + i) * h + c + j, load(block + 32 * i + j));
                       });
  }
}

inline void Worker::attention_backward(const data::Sequence& s, const Element* qkv,
                                       const Element* probabilities, const Element* gradient, Element* out) {
  const int h = c_.hidden, d = h / c_.heads, n = s.padded;
  const Vector scale(1.0f / std::sqrt(static_cast<float>(d)));
  for (int head = 0; head < c_.heads; ++head) {
    const Element* q = qkv + head * d;
    const Element *k = q + h, *v = q + 2 * h;
    const Element* shares = probabilities + static_cast<std::size_t>(head) * n * n;
    const Element* dout = gradient + head * d;
    Element* dq = out + head * d;
    Element *dk = dq + h, *dv = dq + 2 * h;
    auto store_to = [&](Element* to) {
      return [to, h](int m, int c, const float* block) {
        for (int i = 0; i < 32; ++i)
          for (int j = 0; j < 32; j += 16)
            put(to + static_cast<std::size_t>(m + i) * 3 * h + c + j, load(block + 32 * i + j));
      };
    };
    products::pack_right_transposed(d, n, v, 3 * h, pack_a_.get());
    products::multiply(n, n, d, products::row_major(dout, h), pack_a_.get(),
                       [&](int m, int c, const float* block) {
                         for (int i = 0; i < 32; ++i)
                           for (int j = 0; j < 32; j += 16)
                             store(scores_.get() + (m + i) * n + c + j, load(block + 32 * i + j));
                       });
    for (int i = 0; i < n; ++i) {
      const float* dp = scores_.get() + i * n;
      const Element* share = shares + static_cast<std::size_t>(i) * n;
      Vector sum(0.0f);
      for (int j = 0; j < n; j += 16) sum = fused(load(dp + j), get(share + j), sum);
      const Vector mean(add_up(sum));
      for (int j = 0; j < n; j += 16) {
        const Vector x = get(share + j) * (load(dp + j) - mean);
        put(score_gradient_.get() + i * n + j, x * scale);
      }
    }
    products::pack_right(n, d, k, 3 * h, pack_a_.get());
    products::multiply(n, d, n, products::row_major(score_gradient_.get(), n), pack_a_.get(), store_to(dq));
    products::pack_left_transposed(n, n, score_gradient_.get(), n, pack_b_.get());
    products::pack_right(n, d, q, 3 * h, pack_a_.get());
    products::multiply(n, d, n, products::packed(pack_b_.get(), n), pack_a_.get(), store_to(dk));
    products::pack_left_transposed(n, n, shares, n, pack_b_.get());
    products::pack_right(n, d, dout, h, pack_a_.get());
    products::multiply(n, d, n, products::packed(pack_b_.get(), n), pack_a_.get(), store_to(dv));
  }
}

inline void Worker::layer_forward(const data::Batch& batch, const data::Group& group, int l, bool keep) {
  const int h = c_.hidden, f = c_.intermediate, row = group.row, rows = group.rows;
  const PackedLayer& layer = w_.layers[l];
  Saved& s = saved_[l];
  const Element* in = row_of(states_[l], row, h);

  const float* bias = p(layer.qkv.bias);
  products::multiply(rows, 3 * h, h, products::row_major(in, h), layer.qkv.forward.get(),
                     [&](int m, int c, const float* block) {
                       for (int i = 0; i < 32; ++i)
                         for (int j = 0; j < 32; j += 16)
                           put(row_of(qkv_, m + i, 3 * h) + c + j,
                               load(block + 32 * i + j) + load(bias + c + j));
                     });
  // Each writes all its padded rows, and the next overwrites those that are its own.
  for (std::size_t i = group.first; i < group.last; ++i) {
    const data::Sequence& q = batch.sequences[i];
    attention_forward(q, row_of(qkv_, q.row - row, 3 * h), row_of(context_, q.row - row, h),
                      s.probabilities.get() + probabilities_[i]);
  }
  clear_rows(context_, group, h);
  auto project = [&](const PackedLinear& linear, const Buffer<Element>& x, const Element* skip) {
    const float* b = p(linear.bias);
    products::multiply(rows, h, linear.in, products::row_major(x.get(), linear.in), linear.forward.get(),
                       [&](int m, int c, const float* block) {
                         for (int i = 0; i < 32; ++i)
                           for (int j = 0; j < 32; j += 16) {
                             const std::size_t at = static_cast<std::size_t>(m + i) * h + c + j;
                             const Vector y = load(block + 32 * i + j) + load(b + c + j);
                             store(residual_.get() + at, y + get(skip + at));
                           }
                       });
  };
  project(layer.attention_out, context_, in);
  norm_forward(rows, residual_.get(), layer.norm1, middle_.get(), row_of(s.normed1, row, h),
               s.scale1.get() + row);
  const float* up_bias = p(layer.up.bias);
  products::multiply(rows, f, h, products::row_major(middle_.get(), h), layer.up.forward.get(),
                     [&](int m, int c, const float* block) {
                       Element* slope = slope_block(s, row + m, c);
                       for (int i = 0; i < 32; ++i) {
                         Vector slopes[2];
                         for (int j = 0; j < 2; ++j) {
                           const Vector x = load(block + 32 * i + 16 * j) + load(up_bias + c + 16 * j);
                           Vector distribution, density;
                           normal(x, distribution, density);
                           slopes[j] = fused(x, density, distribution);
                           put(row_of(after_, m + i, f) + c + 16 * j, x * distribution);
                         }
                         products::put_far(slope + 32 * i, slopes[0], slopes[1]);
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
inline void Worker::layer_backward(const data::Batch& batch, const data::Group& group, int l) {
  const int h = c_.hidden, f = c_.intermediate, row = group.row, rows = group.rows;
  const PackedLayer& layer = w_.layers[l];
  Saved& s = saved_[l];
  float* gradient = row_of(gradient_, row, h);
  // gradient += dY * W
  auto through = [&](const PackedLinear& linear, const Buffer<Element>& dy) {
    products::multiply(rows, h, linear.out, products::row_major(dy.get(), linear.out), linear.backward.get(),
                       [&](int m, int c, const float* block) {
                         for (int i = 0; i < 32; ++i)
                           for (int j = 0; j < 32; j += 16) {
                             float* to = gradient + static_cast<std::size_t>(m + i) * h + c + j;
                             store(to, load(to) + load(block + 32 * i + j));
                           }
                       });
  };
  norm_backward(rows, gradient, layer.norm2, row_of(s.normed2, row, h), s.scale2.get() + row,
                gradient_narrow_.get());
  products::multiply(
      rows, f, h, products::row_major(gradient_narrow_.get(), h), layer.down.backward.get(),
      [&](int m, int c, const float* block) {
        const Element* slope = slope_block(s, row + m, c);
        for (int i = 0; i < 32; ++i)
          for (int j = 0; j < 32; j += 16)
            put(row_of(gradient_wide_, m + i, f) + c + j, get(slope + 32 * i + j) * load(block + 32 * i + j));
      },
      0, [&](int m, int c) { products::fetch(slope_block(s, row + m, c), 2 * 1024); });
  through(layer.up, gradient_wide_);
  weight_gradient(layer.down, rows, gradient_narrow_.get(), row_of(s.after, row, f));
  weight_gradient(layer.up, rows, gradient_wide_.get(), row_of(s.middle, row, h));

  norm_backward(rows, gradient, layer.norm1, row_of(s.normed1, row, h), s.scale1.get() + row,
                gradient_narrow_.get());
  products::multiply(rows, h, h, products::row_major(gradient_narrow_.get(), h),
                     layer.attention_out.backward.get(), [&](int m, int c, const float* block) {
                       for (int i = 0; i < 32; ++i)
                         for (int j = 0; j < 32; j += 16)
                           put(row_of(gradient_context_, m + i, h) + c + j, load(block + 32 * i + j));
                     });
  weight_gradient(layer.attention_out, rows, gradient_narrow_.get(), row_of(s.context, row, h));
  for (std::size_t i = group.first; i < group.last; ++i) {
    const data::Sequence& q = batch.sequences[i];
    attention_backward(q, row_of(s.qkv, q.row, 3 * h), s.probabilities.get() + probabilities_[i],
                       row_of(gradient_context_, q.row - row, h), row_of(gradient_wide_, q.row - row, 3 * h));
  }
  clear_rows(gradient_wide_, group, 3 * h);
  through(layer.qkv, gradient_wide_);
  weight_gradient(layer.qkv, rows, gradient_wide_.get(), row_of(states_[l], row, h));
}

// The masked language model: dense, GELU, norm, and the softmax over the whole vocabulary with tied
// embeddings. The exponentials e are kept in Element without dividing by their sum s: both products that need
// e / s get 1 / s through their other operand or their rows, and the one-hot target is subtracted apart.
inline void Worker::predictions(const data::Batch& batch, bool backward, Result& result) {
  const int h = c_.hidden, real = static_cast<int>(batch.masked_row.size()), rows = (real + 31) / 32 * 32;
  const int vocabulary = w_.layout.padded_vocabulary;
  if (!real) return;
  if (head_in_.size() < static_cast<std::size_t>(rows) * h) {
    const std::size_t t = static_cast<std::size_t>(rows) * 5 / 4 / 32 * 32 + 32;
    for (Buffer<Element>* b :
         {&head_in_, &head_slope_, &head_after_, &head_normed_, &head_out_, &head_scaled_})
      *b = Buffer<Element>(t * h);
    shares_ = Buffer<Element>(t * kVocabularyChunk);
    shares_packed_ = Buffer<Element>(t * vocabulary);
    head_residual_ = Buffer<float>(t * h);
    head_scale_ = Buffer<float>(t);
    head_sum_ = Buffer<float>(t);
    head_sums_ = Buffer<float>(16 * t);
  }
  auto at = [](auto* base, int row, int width) { return base + static_cast<std::size_t>(row) * width; };
  for (int r = 0; r < rows; ++r)
    std::memcpy(at(head_in_.get(), r, h), at(states_[c_.layers].get(), batch.masked_row[r < real ? r : 0], h),
                sizeof(Element) * static_cast<std::size_t>(h));

  const PackedLinear &transform = *w_.transform, &decoder = *w_.decoder;
  const std::size_t norm = w_.layout["cls.predictions.transform.LayerNorm.weight"];
  const float* bias = p(transform.bias);
  products::multiply(rows, h, h, products::row_major(head_in_.get(), h), transform.forward.get(),
                     [&](int m, int c, const float* block) {
                       for (int i = 0; i < 32; ++i)
                         for (int j = 0; j < 32; j += 16) {
                           const Vector x = load(block + 32 * i + j) + load(bias + c + j);
                           Vector distribution, density;
                           normal(x, distribution, density);
                           put(at(head_slope_.get(), m + i, h) + c + j, fused(x, density, distribution));
                           store(at(head_residual_.get(), m + i, h) + c + j, x * distribution);
                         }
                     });
  norm_forward(rows, head_residual_.get(), norm, head_out_.get(), head_normed_.get(), head_scale_.get());

  std::fill(head_sums_.get(), head_sums_.get() + 16 * rows, 0.0f);
  if (backward) std::memset(head_residual_.get(), 0, sizeof(float) * static_cast<std::size_t>(rows) * h);
  const float* words = p(decoder.weight);
  const float* decoder_bias = p(decoder.bias);
  std::vector<float> top(static_cast<std::size_t>(real), -1e30f);
  std::vector<int> best(static_cast<std::size_t>(real));
  // Piece by piece of the vocabulary, so that the exponentials are still in the cache for the gradient of the
  // head's output.
  for (int v0 = 0; v0 < vocabulary; v0 += kVocabularyChunk) {
    const int chunk = std::min(kVocabularyChunk, vocabulary - v0);
    products::multiply(rows, chunk, h, products::row_major(head_out_.get(), h),
                       at(decoder.forward.get(), v0, h), [&](int m, int c, const float* block) {
                         const Vector limit(60.0f);
                         const Vector b0 = load(decoder_bias + v0 + c), b1 = load(decoder_bias + v0 + c + 16);
                         for (int i = 0; i < 32; ++i) {
                           const Vector x0 = smaller(load(block + 32 * i) + b0, limit);
                           const Vector x1 = smaller(load(block + 32 * i + 16) + b1, limit);
                           const Vector e0 = exponential(x0), e1 = exponential(x1);
                           float* sum = head_sums_.get() + 16 * (m + i);
                           store(sum, load(sum) + e0 + e1);
                           Element* to = at(shares_.get(), m + i, chunk) + c;
                           put(to, e0);
                           put(to + 16, e1);
                           if (!backward && m + i < real) {
                             float x[32];
                             store(x, x0);
                             store(x + 16, x1);
                             for (int j = 0; j < 32; ++j)
                               if (x[j] > top[m + i]) top[m + i] = x[j], best[m + i] = v0 + c + j;
                           }
                         }
                       });
    if (!backward) continue;
    products::multiply(
        rows, h, chunk, products::row_major(shares_.get(), chunk),
        products::right_from(decoder.backward.get(), v0),
        [&](int m, int c, const float* block) {
          for (int i = 0; i < 32; ++i)
            for (int j = 0; j < 32; j += 16) {
              float* to = at(head_residual_.get(), m + i, h) + c + j;
              store(to, load(to) + load(block + 32 * i + j));
            }
        },
        vocabulary);
    // The same exponentials as left operand of the embeddings' gradient.
    products::pack_left_transposed(rows, chunk, shares_.get(), chunk, at(shares_packed_.get(), v0, rows));
  }
  for (int r = 0; r < real; ++r) {
    head_sum_[r] = add_up(load(head_sums_.get() + 16 * r));
    const int target = batch.masked_target[r];
    const Element* out = at(head_out_.get(), r, h);
    const float* word = words + static_cast<std::size_t>(target) * h;
    Vector sum(0.0f);
    for (int i = 0; i < h; i += 16) sum = fused(get(out + i), load(word + i), sum);
    result.mlm_loss += std::log(head_sum_[r]) - std::min(60.0f, add_up(sum) + decoder_bias[target]);
    if (!backward) result.mlm_right += best[r] == target;
  }
  result.masked += real;
  if (!backward) return;

  // Embeddings: sum over rows of (e / s - target) * out. Rows that only fill up the block weigh nothing.
  float *dword = g(decoder.weight), *dbias = g(decoder.bias);
  std::vector<float> inverses(static_cast<std::size_t>(rows));
  for (int r = 0; r < rows; ++r) {
    inverses[r] = r < real ? 1.0f / head_sum_[r] : 0.0f;
    const Vector inverse(inverses[r]);
    const Element* out = at(head_out_.get(), r, h);
    float* residual = at(head_residual_.get(), r, h);
    const int target = r < real ? batch.masked_target[r] : 0;
    const float* word = words + static_cast<std::size_t>(target) * h;
    float* to = dword + static_cast<std::size_t>(target) * h;
    for (int i = 0; i < h; i += 16) {
      const Vector x = get(out + i);
      put(at(head_scaled_.get(), r, h) + i, x * inverse);
      if (r >= real) {
        store(residual + i, Vector(0.0f));
        continue;
      }
      store(to + i, load(to + i) - x);
      store(residual + i, load(residual + i) * inverse - load(word + i));
    }
    if (r < real) dbias[target] -= 1.0f;
  }
  products::add_weighted(rows, vocabulary, shares_packed_.get(), inverses.data(), dbias);
  for (int r0 = 0; r0 < rows; r0 += kChunk) {
    const int n = std::min(kChunk, rows - r0);
    products::pack_right(n, h, at(head_scaled_.get(), r0, h), h, pack_b_.get());
    const products::Left left = products::packed(shares_packed_.get(), rows, r0);
    products::multiply(
        vocabulary, h, n, left, pack_b_.get(),
        [&](int m, int c, const float* block) {
          for (int i = 0; i < 32; ++i)
            for (int j = 0; j < 32; j += 16) {
              float* to = dword + static_cast<std::size_t>(m + i) * h + c + j;
              store(to, load(to) + load(block + 32 * i + j));
            }
        },
        0, fetch_floats(dword, h));
  }
  // The head's norm, GELU and dense layer.
  norm_backward(rows, head_residual_.get(), norm, head_normed_.get(), head_scale_.get(), head_after_.get());
  for (int i = 0; i < rows * h; i += 16) {
    put(head_after_.get() + i, load(head_residual_.get() + i) * get(head_slope_.get() + i));
  }
  weight_gradient(transform, rows, head_after_.get(), head_in_.get());
  products::multiply(rows, h, h, products::row_major(head_after_.get(), h), transform.backward.get(),
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
      x[i] = products::to_float(states_[c_.layers][static_cast<std::size_t>(s.row) * h + i]);
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
  place_probabilities(batch);
  embed(batch);
  for (int l = 0; l < c_.layers; ++l)
    for (const data::Group& group : batch.groups) layer_forward(batch, group, l, backward);
  if (backward) std::memset(gradient_.get(), 0, sizeof(float) * static_cast<std::size_t>(rows) * h);
  predictions(batch, backward, result);
  next_sentence(batch, nsp_weight, backward, result);
  if (!backward) return result;
  for (int l = c_.layers - 1; l >= 0; --l)
    for (const data::Group& group : batch.groups) layer_backward(batch, group, l);
  for (const data::Group& group : batch.groups)
    norm_backward(group.rows, row_of(gradient_, group.row, h), w_.layout["bert.embeddings.LayerNorm.weight"],
                  row_of(normed0_, group.row, h), scale0_.get() + group.row, gradient_narrow_.get());
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
