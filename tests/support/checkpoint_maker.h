// Checkpoints of any size in Hugging Face's exact layout, with seeded random weights that give outputs worth
// comparing: for tests, benchmarks and the golden values (tests/golden/README.md states the generator, which
// Python shares).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bert/model.h"

namespace bert_test {

/// What to make. The values depend on `config`, `seed` and the tensor alone, never on the layout.
struct CheckpointSpec {
  bert::ModelConfig config;
  std::uint64_t seed = 1;
  bool bert_prefix = true;  ///< "bert.encoder..." or, as from BertModel alone, "encoder..."
  bool gamma_beta = false;  ///< the old names of LayerNorm's weight and bias
  bool pooler = true;       ///< heads to write
  bool mlm_head = true;
  bool nsp_head = true;
  bool position_ids = false;  ///< the I64 buffer of older versions
  bool decoder_copy =
      false;  ///< a decoder weight although it is tied, with other values, which must not count
  bool decoder_bias_name = false;         ///< cls.predictions.decoder.bias instead of cls.predictions.bias
  bool reverse_order = false;             ///< files hold the tensors from last to first, not sorted by name
  bert::DType dtype = bert::DType::kF32;  ///< kF32, kF16 or kBF16
  std::size_t shards = 1;                 ///< files; more than one makes an index
};

/// One tensor to be made.
struct MadeTensor {
  std::string name;  ///< as in the file
  std::string key;   ///< its name in the current spelling, on which the values depend
  bert::DType dtype = bert::DType::kF32;
  std::vector<std::uint64_t> shape;
  std::uint64_t bytes = 0;
  double deviation = 0;  ///< standard deviation of the values
  double mean = 0;
};

/// One safetensors file: `header`, then the bytes of `tensors` in order.
struct MadeFile {
  std::string name;
  std::string header;
  std::vector<MadeTensor> tensors;
};

struct MadeCheckpoint {
  std::uint64_t seed = 0;
  std::string config_json;
  std::optional<std::string> index_json;  ///< of a sharded checkpoint
  std::vector<MadeFile> files;
};

/// Names, shapes and headers; no weights yet.
MadeCheckpoint plan_checkpoint(const CheckpointSpec& spec);

/// The bytes of one tensor.
std::vector<std::byte> tensor_bytes(const MadeTensor& tensor, std::uint64_t seed);

/// A whole file in memory.
std::vector<std::byte> file_bytes(const MadeCheckpoint& checkpoint, std::size_t file);

/// FNV-1a (64 bit) over the F32 values of all parameters that a module uses, in the order of module_number
/// and weight before bias, from files however laid out. The golden files state it, so that two generators can
/// be seen to agree.
std::uint64_t weights_checksum(const bert::BertWeights& weights);

/// `size` pieces, one a line: special tokens, characters, continuations and made-up words, so that any
/// lower-case ASCII text has a tokenization. From 1000 on the special tokens have bert-base-uncased's ids.
std::string make_vocabulary(std::size_t size);

/// "tiny", "mini", "small", "base" (Google's sizes), vocabulary 30,522; nothing for another name.
std::optional<bert::ModelConfig> named_config(std::string_view name);

/// A spec as tests/golden/models.json writes it: {"config": {...}, "seed": 1, and any of the flags above by
/// name}. Nothing if it is not one.
std::optional<CheckpointSpec> parse_spec(std::string_view json);

/// A checkpoint made in memory and opened.
struct OpenedCheckpoint {
  std::vector<std::vector<std::byte>> bytes;
  std::vector<std::span<const std::byte>> files;
  bert::BertWeights weights;  ///< over `bytes`
};
/// Fails only if the maker and the reader disagree.
bert::Expected<OpenedCheckpoint> make_and_open(const CheckpointSpec& spec);

}  // namespace bert_test
