// Names of BERT's tensors: the spellings in use, as modules and roles; and the shapes that a configuration
// gives them.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "bert/model.h"

namespace bert::model {

/// What a tensor's name says.
struct Slot {
  ModuleId module;
  Checkpoint::Entry::Role role = Checkpoint::Entry::Role::kWeight;
  /// The second name of the same parameter: cls.predictions.decoder.bias, used where cls.predictions.bias is
  /// absent.
  bool alias = false;
};

/// Nothing for a name that no module of this program has.
std::optional<Slot> parse_name(std::string_view name);

/// A name that a file may use for the tensor, in the current spelling; for messages.
std::string canonical_name(ModuleId module, Checkpoint::Entry::Role role);

inline constexpr std::array kLayerKinds = {
    ModuleKind::kQuery,         ModuleKind::kKey,          ModuleKind::kValue,  ModuleKind::kAttentionOutput,
    ModuleKind::kAttentionNorm, ModuleKind::kIntermediate, ModuleKind::kOutput, ModuleKind::kOutputNorm};
inline constexpr std::size_t kEmbeddingKinds = 4;
inline constexpr std::size_t kHeadKinds = 5;

[[nodiscard]] constexpr bool in_layer(ModuleKind kind) {
  return kind >= ModuleKind::kQuery && kind <= ModuleKind::kOutputNorm;
}
[[nodiscard]] constexpr bool is_norm(ModuleKind kind) {
  return kind == ModuleKind::kEmbeddingsNorm || kind == ModuleKind::kAttentionNorm ||
         kind == ModuleKind::kOutputNorm || kind == ModuleKind::kMlmNorm;
}
[[nodiscard]] constexpr bool has_bias(ModuleKind kind) {
  return kind > ModuleKind::kTokenTypeEmbeddings;
}

/// All modules of a model, heads too, in the order of the computation; `module_number` is an index into it.
[[nodiscard]] std::size_t module_count(std::size_t layers);
[[nodiscard]] std::size_t module_number(ModuleId module, std::size_t layers);
[[nodiscard]] ModuleId module_at(std::size_t number, std::size_t layers);

/// Rows and columns of a module's weight (rows 1 for a norm), and the length of its bias.
struct ModuleShape {
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t bias = 0;
};
[[nodiscard]] ModuleShape module_shape(ModuleKind kind, const ModelConfig& config);

/// The head that the module belongs to, or none.
[[nodiscard]] std::optional<Head> head_of(ModuleKind kind);

}  // namespace bert::model
