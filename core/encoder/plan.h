// What one call computes: a checked batch laid out as packed rows, and for a request the rows that each part
// reads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bert/encoder.h"

namespace bert {

/// The tokens of a batch that are computed, as rows behind each other, sequence by sequence.
struct PackedBatch {
  std::vector<std::int32_t> ids, type_ids, position_ids;  ///< per row
  std::vector<Position> rows;                             ///< per row: which token it is
  std::vector<std::size_t> first_row;                     ///< per sequence, and the number of rows at the end
  std::vector<std::size_t> tokens;                        ///< per sequence, padding included
  std::vector<std::uint8_t> visible;  ///< per row, when padding rows are computed; else empty

  std::size_t row_count() const { return rows.size(); }
  std::size_t sequence_count() const { return tokens.size(); }
  /// The row of a token. Errors: kInvalidArgument for a position out of range or one that is not computed.
  Expected<std::uint32_t> row_of(Position position) const;

  /// The rows of a batch that `request` computes. Errors: see Session::run.
  static Expected<PackedBatch> make(std::span<const Sequence> batch, const ModelConfig& config,
                                    const Request& request);
};

/// Which rows are read and how far the layers must run.
struct Plan {
  std::size_t layers = 0;            ///< how many layers run, the last perhaps in part
  bool last_in_full = false;         ///< whether the output of the last one is read, or only its attention
  std::vector<std::uint32_t> shown;  ///< rows of hidden states and probes
  std::vector<std::uint32_t> first;  ///< row of [CLS] of each sequence, where pooler or nsp are asked for
  std::vector<std::uint32_t> mlm;    ///< rows of the vocabulary logits
  std::vector<std::uint32_t> last;   ///< the rows of the last layer that are computed: ascending, each once

  /// Errors: see Session::run.
  static Expected<Plan> make(const PackedBatch& batch, const Request& request, const Encoder& encoder);
};

}  // namespace bert
