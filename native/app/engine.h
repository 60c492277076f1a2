// A loaded model, ready for the tasks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/options.h"
#include "bert/encoder.h"
#include "bert/model.h"
#include "bert/result.h"
#include "bert/tasks.h"
#include "io/progress.h"

namespace bert::cli {

/// The weights on their backend. The precision is that of the options, else as stored: int8 and f16 stay, all
/// else is f32. Errors name the folder, file or option.
struct LoadedEncoder {
  std::string folder;
  std::shared_ptr<const Encoder> encoder;
  double load_ms = 0;
};
Expected<LoadedEncoder> load_encoder(const EngineOptions& options);

/// The same with its vocabulary and the tasks, `count` of them, which share both: each is for one thread.
/// Errors: also kMissingTensor where the checkpoint lacks the head that is `needed`, which no text can
/// change.
Expected<std::vector<std::unique_ptr<Tasks>>> load_tasks(const EngineOptions& options,
                                                         const EncodeOptions& encoding, std::size_t count,
                                                         std::optional<Head> needed = {});

/// Threads that answer a stream of lines: one where the backend has threads of its own. A GPU computes beside
/// them, so several keep it busy, one reading and tokenizing while it computes for another.
std::size_t stream_workers(const EngineOptions& options);

/// Shows the progress of one long call.
CallControl control_with(Progress& progress);

}  // namespace bert::cli
