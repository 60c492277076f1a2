// From text to raw tokens: added tokens, normalising, splitting, WordPiece, in one pass over the bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bert/tokenizer.h"
#include "text/added_tokens.h"
#include "text/definition.h"
#include "text/normalizer.h"
#include "text/vocabulary.h"

namespace bert::text {

/// Tokens of one sequence before special tokens, truncation and padding. All columns have one length.
struct RawTokens {
  std::vector<std::int32_t> ids;
  std::vector<Offsets> offsets;
  std::vector<std::int32_t> word_ids;

  std::size_t size() const { return ids.size(); }
  void clear();
  void reserve(std::size_t tokens);
  void push(std::int32_t id, Offsets source, std::int32_t word_id) {
    ids.push_back(id);
    offsets.push_back(source);
    word_ids.push_back(word_id);
  }
};

/// The tables of a loaded tokenizer, shared by all calls.
struct Pipeline {
  explicit Pipeline(const Definition& definition);

  TokenizerSettings settings;
  Vocabulary vocabulary;
  std::string prefix;
  std::int32_t unknown_id;
  AddedTokenTable added_raw;         ///< looked for in the text as given
  AddedTokenTable added_normalized;  ///< looked for in the normalised text

  /// What the fast path makes of a byte: one of the three below, else a letter or digit, already in lower
  /// case.
  enum AsciiKind : std::uint8_t { kSlow, kSpace, kPunctuation };
  std::uint8_t ascii[256];
  std::int32_t ascii_ids[128];  ///< ids of one-character words, of punctuation only
};

/// Text normalised as a whole.
struct NormalizedText {
  std::string text;
  std::vector<Offsets> sources;  ///< by byte of `text`: the bytes of the input that it comes from

  void put(char32_t c, Offsets source);
  void boundary(Offsets source) { put(' ', source); }
};

/// Cuts normalised characters into words and looks their pieces up.
class WordSink {
 public:
  WordSink(const Pipeline& pipeline, RawTokens*& out) : pipeline_(pipeline), out_(out) {}

  void put(char32_t c, Offsets source);
  void boundary(Offsets) { end_word(); }
  void end_word();
  /// A word of letters and digits, `text` already normalised; its characters stand at `begin` of the input
  /// one by one.
  void ascii_word(std::string_view text, std::uint32_t begin);
  void token(std::int32_t id, Offsets source) {
    out_->push(id, source, fixed_word_ >= 0 ? fixed_word_ : word_++);
  }

  /// Numbers the words from 0, or gives all of them `fixed_word` where it is not negative.
  void start(std::int32_t fixed_word) {
    word_ = 0;
    fixed_word_ = fixed_word;
  }

 private:
  template <class SourceOf>
  void match(std::string_view word, const SourceOf& source_of);

  const Pipeline& pipeline_;
  RawTokens*& out_;
  std::int32_t word_ = 0;
  std::int32_t fixed_word_ = -1;
  // the word that is being gathered; of one that is too long only its places are kept
  std::string text_;
  std::vector<Offsets> sources_;  ///< by byte of text_
  std::uint32_t characters_ = 0;
  Offsets whole_;
};

/// Tokenizes sequences. Its buffers are reused from call to call; one object serves one thread.
class SequenceTokenizer {
 public:
  explicit SequenceTokenizer(const Pipeline& pipeline)
      : pipeline_(pipeline), sink_(pipeline, out_), stream_(pipeline.settings, sink_) {}
  SequenceTokenizer(const SequenceTokenizer&) = delete;
  SequenceTokenizer& operator=(const SequenceTokenizer&) = delete;

  /// Appends the tokens of a text, or of its words, to `out`.
  void run(const TextSequence& sequence, bool special_tokens, RawTokens& out);

 private:
  void run_text(std::string_view text, bool special_tokens);
  void run_part(std::uint32_t begin, std::uint32_t end);
  void run_normalized(std::uint32_t begin, std::uint32_t end);
  const char* run_slow(const char* p, const char* end);

  const Pipeline& pipeline_;
  RawTokens* out_ = nullptr;
  WordSink sink_;
  NormalizerStream<WordSink> stream_;
  std::string_view text_;
  bool special_tokens_ = true;
};

/// Normalises bytes [begin, end) of a text.
NormalizedText normalize(const TokenizerSettings& settings, std::string_view text, std::uint32_t begin,
                         std::uint32_t end);

}  // namespace bert::text
