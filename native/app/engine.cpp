// Loads models.
#include "app/engine.h"

#include <algorithm>
#include <chrono>

#include "app/checkpoint_folder.h"
#include "app/model_folder.h"
#include "io/error_line.h"
#ifdef BERTLENS_CUDA
#include "cuda/backend.h"
#endif

namespace bert::cli {
namespace {

Expected<std::shared_ptr<Backend>> make_backend(const EngineOptions& options,
                                                [[maybe_unused]] Precision precision) {
  if (options.backend == "reference") return make_reference_backend();
  if (options.backend == "xnnpack") {
    Expected<std::shared_ptr<Backend>> made = make_xnnpack_backend(options.threads);
    if (!made && made.error().code == ErrorCode::kOutOfMemory)
      return fail(made.error().code, "--threads: " + made.error().message);
    return made;
  }
#ifdef BERTLENS_CUDA
  if (options.backend == "cuda") return cuda::make_backend(precision);
#endif
  return fail(ErrorCode::kUnsupported,
              "--backend " + options.backend + ": this bertlens was built without it");
}

Precision stored_precision(DType storage) {
  return storage == DType::kI8    ? Precision::kInt8
         : storage == DType::kF16 ? Precision::kF16
                                  : Precision::kF32;
}

// What the checkpoint lacks of what is needed; empty: nothing.
std::string missing_head(const Encoder& encoder, std::optional<Head> needed) {
  if (needed == Head::kMlm && !encoder.has_mlm_head()) return "masked-language-model head (cls.predictions)";
  if (needed != Head::kNsp || encoder.has_nsp_head()) return {};
  return encoder.has_pooler() ? "next-sentence head (cls.seq_relationship)"
                              : "pooler (bert.pooler.dense), which next sentence needs";
}

}  // namespace

Expected<LoadedEncoder> load_encoder(const EngineOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  Expected<std::string> folder = find_model_folder(options);
  if (!folder) return tl::unexpected(folder.error());
  const Expected<CheckpointFolder> checkpoint = open_checkpoint(*folder);
  if (!checkpoint) return tl::unexpected(checkpoint.error());
  const Expected<BertWeights> weights = bind_weights(*checkpoint);
  if (!weights) return tl::unexpected(weights.error());
  const Precision precision = options.precision.value_or(stored_precision(checkpoint->checkpoint.storage()));
  Expected<std::shared_ptr<Backend>> backend = make_backend(options, precision);
  if (!backend) return tl::unexpected(backend.error());
  Expected<std::shared_ptr<const Encoder>> encoder =
      Encoder::create(*weights, std::move(*backend), precision, release_pages);
  if (!encoder) return fail(encoder.error().code, in_quotes(*folder) + ": " + encoder.error().message);
  const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
  return LoadedEncoder{std::move(*folder), std::move(*encoder), elapsed.count()};
}

std::size_t stream_workers(const EngineOptions& options) {
  // more than these keep no GPU busier
  constexpr std::size_t kMost = 8;
  return options.backend == "cuda" ? std::min(options.threads, kMost) : 1;
}

Expected<std::vector<std::unique_ptr<Tasks>>> load_tasks(const EngineOptions& options,
                                                         const EncodeOptions& encoding, std::size_t count,
                                                         std::optional<Head> needed) {
  Expected<LoadedEncoder> loaded = load_encoder(options);
  if (!loaded) return tl::unexpected(loaded.error());
  if (const std::string missing = missing_head(*loaded->encoder, needed); !missing.empty())
    return fail(ErrorCode::kMissingTensor, in_quotes(loaded->folder) + ": the checkpoint has no " + missing);
  Expected<std::shared_ptr<const Tokenizer>> tokenizer = load_tokenizer(options, false);
  if (!tokenizer) return tl::unexpected(tokenizer.error());
  std::vector<std::unique_ptr<Tasks>> all;
  while (all.size() < count) {
    auto tasks = Tasks::create(*tokenizer, loaded->encoder, encoding);
    if (!tasks) {
      const std::string vocab = options.vocab.empty() ? "" : "--vocab " + in_quotes(options.vocab) + " with ";
      return fail(tasks.error().code, vocab + in_quotes(loaded->folder) + ": " + tasks.error().message);
    }
    all.push_back(std::move(*tasks));
  }
  return all;
}

CallControl control_with(Progress& progress) {
  return {.aborted = {},
          .progress = [&](std::size_t done, std::size_t total) { progress.update(done, total); }};
}

}  // namespace bert::cli
