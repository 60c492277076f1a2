// The packed weights of a BERT, as the topology uses them.
#pragma once

#include <memory>
#include <vector>

#include "bert/encoder.h"

namespace bert {

struct EncoderLayer {
  /// Query, key and value in one product [3 hidden, hidden]; in the last layer query apart from key and
  /// value, because there only the rows that are read need a query.
  std::unique_ptr<Linear> query_key_value;
  std::unique_ptr<Linear> query, key_value;
  std::unique_ptr<Linear> attention_output;
  std::unique_ptr<LayerNorm> attention_norm;
  std::unique_ptr<Linear> intermediate;
  std::unique_ptr<Linear> output;
  std::unique_ptr<LayerNorm> output_norm;
};

struct Encoder::Data {
  std::shared_ptr<const void> bytes_owner;  // goes last: borrowed tables read these bytes
  std::shared_ptr<Backend> backend;
  ModelConfig config;
  Precision precision = Precision::kF32;
  Activation activation = Activation::kGelu;
  std::unique_ptr<Table> words, positions, types;
  std::unique_ptr<LayerNorm> embeddings_norm;
  std::vector<EncoderLayer> layers;
  std::unique_ptr<Linear> pooler;
  std::unique_ptr<Linear> mlm_transform;
  std::unique_ptr<LayerNorm> mlm_norm;
  std::unique_ptr<Table> mlm_decoder;  // null: tied to `words`
  std::unique_ptr<Vector> mlm_bias;
  std::unique_ptr<Linear> nsp;
  std::size_t owned_bytes = 0;

  EmbeddingWeights embeddings() const {
    return {words.get(), positions.get(), types.get(), embeddings_norm.get()};
  }
};

}  // namespace bert
