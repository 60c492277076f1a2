// What a Checkpoint shares with its copies, and a tensor's view over its bytes.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "bert/model.h"

namespace bert {

struct Checkpoint::Data {
  /// The tensors of one module; null where the files have none.
  struct Slots {
    const TensorInfo* weight = nullptr;
    const TensorInfo* bias = nullptr;
    const TensorInfo* scales = nullptr;
  };

  ModelConfig config;
  std::vector<SafetensorsHeader> headers;
  std::vector<Entry> entries;
  std::vector<Slots> slots;            ///< by model::module_number
  std::array<std::string, 3> missing;  ///< by Head: the first tensor that is not there; empty if all are
  std::vector<ModuleId> modules;
  std::vector<std::size_t>
      complete_at;  ///< for each of `modules` the entry with which its bytes are complete

  [[nodiscard]] const Slots& slots_of(ModuleId id) const;
  [[nodiscard]] Slots& slots_of(ModuleId id);
  [[nodiscard]] const std::string& missing_of(Head head) const {
    return missing[static_cast<std::size_t>(head)];
  }
  [[nodiscard]] std::string& missing_of(Head head) { return missing[static_cast<std::size_t>(head)]; }

  // The steps of Checkpoint::create, from `config` and `headers` on; each needs what those before it filled.

  /// Fills `entries` and `slots`: each tensor's name finds its place, and its type and shape are checked.
  Status assign_slots();
  /// Fills `missing`; an error where a tensor is missing that every model has.
  Status find_missing();
  /// Fills `modules` and `complete_at`: the order in which modules are complete when the files are read
  /// through.
  void order_modules();
};

namespace model {

/// The view of a validated tensor whose bytes are given.
[[nodiscard]] TensorView make_view(const TensorInfo& info, std::span<const std::byte> data,
                                   std::span<const std::byte> scales);

}  // namespace model
}  // namespace bert
