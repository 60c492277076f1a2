// Token shards as written by prepare.py, and batches for masked language modelling and next sentence
// prediction made of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace data {

using Random = std::mt19937_64;

[[noreturn]] inline void fail(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::exit(1);
}

template <class T>
std::vector<T> read_array(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) fail("cannot read " + path);
  std::vector<T> out(static_cast<std::size_t>(file.tellg()) / sizeof(T));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(T)));
  return out;
}

struct Vocabulary {
  std::vector<bool> continues;  // the piece begins with ##
  int pad, cls, sep, mask, first_word;

  explicit Vocabulary(const std::string& path) {
    std::ifstream file(path);
    if (!file) fail("cannot read " + path);
    pad = cls = sep = mask = -1;
    for (std::string line; std::getline(file, line);) {
      const int id = static_cast<int>(continues.size());
      if (line == "[PAD]") pad = id;
      if (line == "[CLS]") cls = id;
      if (line == "[SEP]") sep = id;
      if (line == "[MASK]") mask = id;
      continues.push_back(line.rfind("##", 0) == 0);
    }
    if (pad < 0 || cls < 0 || sep < 0 || mask < 0) fail(path + " lacks a special token");
    first_word = std::max({pad, cls, sep, mask}) + 1;
  }
  int size() const { return static_cast<int>(continues.size()); }
};

struct Corpus {
  std::vector<std::uint16_t> tokens;
  std::vector<std::uint32_t> sentences;  // start of each in tokens, and the end
  std::vector<std::uint32_t> documents;  // first sentence of each, and the end

  explicit Corpus(const std::vector<std::string>& stems) {
    for (const std::string& stem : stems) {
      const auto t = read_array<std::uint16_t>(stem + ".tokens");
      const auto s = read_array<std::uint32_t>(stem + ".sentences");
      const auto d = read_array<std::uint32_t>(stem + ".documents");
      const auto token0 = static_cast<std::uint32_t>(tokens.size());
      const auto sentence0 = static_cast<std::uint32_t>(sentences.empty() ? 0 : sentences.size() - 1);
      if (!sentences.empty()) {
        sentences.pop_back();
        documents.pop_back();
      }
      tokens.insert(tokens.end(), t.begin(), t.end());
      for (auto x : s) sentences.push_back(token0 + x);
      for (auto x : d) documents.push_back(sentence0 + x);
    }
  }
  int length(std::uint32_t sentence) const {
    return static_cast<int>(sentences[sentence + 1] - sentences[sentence]);
  }
};

struct Sequence {
  int row, length;  // rows [row, row + length) of the batch
  int padded;       // the length as attention's products take it, a multiple of 32
  int label;        // 0: B continues A, 1: B is from elsewhere, -1: no question asked
};

// Sequences, one right behind the other, that go through a layer together.
struct Group {
  int row, rows;            // both multiples of 32
  int filled;               // how many of the rows belong to sequences
  std::size_t first, last;  // sequences
};
constexpr int kGroupRows = 256;  // at least: enough for fast products, and still in the cache

struct Batch {
  std::vector<int> ids, types, positions;
  std::vector<Sequence> sequences;
  std::vector<Group> groups;
  std::vector<int> masked_row, masked_target;
  int rows() const { return static_cast<int>(ids.size()); }
  int group_row() const { return groups.empty() ? 0 : groups.back().row + groups.back().rows; }
  void close_group(int pad) {
    const int row = group_row(), filled = rows() - row;
    if (!filled) return;
    const std::size_t end = static_cast<std::size_t>(row + (filled + 31) / 32 * 32);
    ids.resize(end, pad), types.resize(end), positions.resize(end);
    groups.push_back({row, rows() - row, filled, groups.empty() ? 0 : groups.back().last, sequences.size()});
  }
};

struct Options {
  int max_length = 64;
  double mask_rate = 0.15;
  double single = 0.2;  // share of examples that are one sentence alone
  double pairs = 0.25;  // share that are two sentences; all others are filled up to max_length
};

class Examples {
 public:
  Examples(const Corpus& corpus, const Vocabulary& vocabulary, std::uint64_t seed)
      : corpus_(corpus), vocabulary_(vocabulary), seed_(seed) {
    for (std::size_t d = 0; d + 1 < corpus.documents.size(); ++d) {
      std::uint32_t from = 0;
      for (std::uint32_t s = corpus.documents[d]; s < corpus.documents[d + 1]; ++s)
        if (s == corpus.documents[d] || corpus.sentences[s] - from >= 40) {
          starts_.push_back({s, corpus.documents[d + 1]});
          from = corpus.sentences[s];
        }
    }
  }
  std::size_t count() const { return starts_.size(); }

  // One pass goes through all examples in the order that its seed gives.
  void shuffle(std::uint64_t pass) {
    order_.resize(starts_.size());
    std::iota(order_.begin(), order_.end(), 0u);
    std::shuffle(order_.begin(), order_.end(), Random(seed_ + pass));
  }

  // Appends example `index` of the pass to the batch if it fits into max_rows rows; if not, the batch is
  // ready.
  bool append(std::size_t index, Random& random, const Options& options, int max_rows, Batch& batch) const {
    const Start start = starts_[order_[index % order_.size()]];
    auto uniform = [&] { return std::uniform_real_distribution<double>(0, 1)(random); };
    const double kind = uniform();
    const int room = options.max_length - 3;
    std::vector<int> a, b;
    std::uint32_t next = start.sentence + 1;
    int label = -1;
    take(start.sentence, a);
    if (kind < options.single) {
      truncate(a, room + 1);
    } else {
      const bool filled = kind >= options.single + options.pairs;
      if (filled) {  // A grows to a random share of the room
        const int target = static_cast<int>(room * (0.15 + 0.7 * uniform()));
        while (next < start.end && static_cast<int>(a.size()) < target) take(next++, a);
      }
      label = uniform() < 0.5 ? 1 : 0;
      std::uint32_t end = start.end;
      if (label == 0 && next >= end) label = 1;
      if (label == 1) {
        const auto documents = corpus_.documents.size() - 1;
        for (int attempt = 0; attempt < 20; ++attempt) {
          const auto d = std::uniform_int_distribution<std::size_t>(0, documents - 1)(random);
          if (corpus_.documents[d + 1] == start.end && documents > 1) continue;
          const auto first = corpus_.documents[d];
          end = corpus_.documents[d + 1];
          next = first + static_cast<std::uint32_t>(random() % (end - first));
          break;
        }
      }
      take(next++, b);
      while (filled && next < end && static_cast<int>(a.size() + b.size()) < room) take(next++, b);
      while (static_cast<int>(a.size() + b.size()) > room) (a.size() > b.size() ? a : b).pop_back();
    }
    const int length = static_cast<int>(a.size() + (b.empty() ? 0 : b.size() + 1)) + 2;
    const int padded = (length + 31) / 32 * 32;
    if (batch.rows() + padded > max_rows) {
      batch.close_group(vocabulary_.pad);
      return false;
    }

    const int row = batch.rows();
    auto push = [&](int id, int type) {
      batch.ids.push_back(id);
      batch.types.push_back(type);
      batch.positions.push_back(batch.rows() - 1 - row);
    };
    push(vocabulary_.cls, 0);
    for (int id : a) push(id, 0);
    push(vocabulary_.sep, 0);
    if (!b.empty()) {
      for (int id : b) push(id, 1);
      push(vocabulary_.sep, 1);
    }
    mask(row, length, random, options, batch);
    batch.sequences.push_back({row, length, padded, label});
    if (batch.rows() - batch.group_row() >= kGroupRows) batch.close_group(vocabulary_.pad);
    return true;
  }

 private:
  struct Start {
    std::uint32_t sentence, end;
  };

  void take(std::uint32_t sentence, std::vector<int>& out) const {
    out.insert(out.end(), corpus_.tokens.begin() + corpus_.sentences[sentence],
               corpus_.tokens.begin() + corpus_.sentences[sentence + 1]);
  }
  static void truncate(std::vector<int>& ids, int length) {
    if (static_cast<int>(ids.size()) > length) ids.resize(static_cast<std::size_t>(length));
  }

  // Whole words at random until the rate is reached: 80 % become [MASK], 10 % a random piece, 10 % stay.
  void mask(int row, int length, Random& random, const Options& options, Batch& batch) const {
    std::vector<int> words;
    for (int i = row + 1; i < row + length; ++i)
      if (batch.ids[i] != vocabulary_.sep && (!vocabulary_.continues[batch.ids[i]] || i == row + 1))
        words.push_back(i);
    std::shuffle(words.begin(), words.end(), random);
    const int wanted = std::max(1, static_cast<int>((length - 3) * options.mask_rate + 0.5));
    int masked = 0;
    for (int word : words) {
      int end = word + 1;
      while (end < row + length && vocabulary_.continues[batch.ids[end]]) ++end;
      if (masked > 0 && masked + end - word > wanted) continue;
      for (int i = word; i < end; ++i) {
        batch.masked_row.push_back(i);
        batch.masked_target.push_back(batch.ids[i]);
        const double action = std::uniform_real_distribution<double>(0, 1)(random);
        if (action < 0.8)
          pending_.push_back({i, vocabulary_.mask});
        else if (action < 0.9)
          pending_.push_back({i, std::uniform_int_distribution<int>(vocabulary_.first_word,
                                                                    vocabulary_.size() - 1)(random)});
      }
      masked += end - word;
      if (masked >= wanted) break;
    }
    for (auto [i, id] : pending_) batch.ids[i] = id;
    pending_.clear();
  }

  const Corpus& corpus_;
  const Vocabulary& vocabulary_;
  std::uint64_t seed_;
  std::vector<Start> starts_;
  std::vector<std::uint32_t> order_;
  inline static thread_local std::vector<std::pair<int, int>> pending_;
};

}  // namespace data
