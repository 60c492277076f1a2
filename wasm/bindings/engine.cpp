// The module behind `bertlens` and `bertlens/sync`: one checkpoint, streamed in, and the tasks on it.
// Requests and results are plain JavaScript values. A call that fails returns 0, false or undefined and
// leaves the reason in `error`.
#include <emscripten/bind.h>
#include <emscripten/em_js.h>
#include <emscripten/heap.h>
#include <emscripten/val.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bert/backend.h"
#include "bert/encoder.h"
#include "bert/model.h"
#include "bert/tasks.h"
#include "bert/tokenizer.h"
#include "values.h"

namespace bert::bindings {
namespace {

using emscripten::val;

template <class Number>
std::vector<Number> numbers(const val& array) {
  return array.isUndefined() ? std::vector<Number>()
                             : emscripten::convertJSArrayToNumberVector<Number>(array);
}

std::vector<std::string> strings(const val& array) {
  return array.isUndefined() ? std::vector<std::string>() : emscripten::vecFromJSArray<std::string>(array);
}

std::span<const std::byte> bytes_of(const std::string& bytes) {
  return std::as_bytes(std::span<const char>(bytes));
}

template <class Sizes>
val shape_of(const Sizes& sizes) {
  return list(sizes, [](auto size) { return val(static_cast<double>(size)); });
}

val tensor(std::span<const float> data, std::initializer_list<std::size_t> shape) {
  val result = val::object();
  result.set("shape", shape_of(shape));
  result.set("data", copied(data));
  return result;
}

val tensor(const Tensor& from) {
  val result = val::object();
  result.set("shape", shape_of(from.shape));
  result.set("data", copied(std::span<const float>(from.data)));
  return result;
}

/// { text, textPair? } with memory of its own.
class Text {
 public:
  explicit Text(const val& from) : first_(from["text"].as<std::string>()) {
    const val pair = from["textPair"];
    if (!pair.isUndefined()) second_ = pair.as<std::string>();
  }
  TextInput input() const {
    return second_ ? TextInput(TextSequence(first_), TextSequence(*second_)) : TextInput(first_);
  }

 private:
  std::string first_;
  std::optional<std::string> second_;
};

std::vector<Text> texts(const val& array) {
  std::vector<Text> result;
  for (const val& one : array) result.emplace_back(one);
  return result;
}

std::vector<TextInput> inputs(const std::vector<Text>& from) {
  std::vector<TextInput> result;
  for (const Text& one : from) result.push_back(one.input());
  return result;
}

val prediction(const Prediction& from) {
  val result = val::object();
  result.set("token", from.token);
  result.set("id", from.pieces.size() == 1 ? val(from.pieces.front()) : val::null());
  result.set("pieces", list(from.pieces, [](std::int32_t id) { return val(id); }));
  result.set("probability", from.probability);
  result.set("logit", from.pieces.size() == 1 ? val(from.logit) : val::null());
  result.set("loss", from.loss);
  result.set("rank", from.rank == 0 ? val::null() : val(from.rank));
  result.set("cumulative", from.cumulative);
  return result;
}

val next_sentence_answer(const NextSentence& from) {
  val result = val::object();
  result.set("isNext", from.is_next);
  result.set("notNext", from.not_next);
  result.set("logits", list(from.logits, [](float logit) { return val(logit); }));
  return result;
}

val count(const ParameterCount& from) {
  val result = val::object();
  result.set("name", from.name);
  result.set("formula", from.formula);
  result.set("count", static_cast<double>(from.count));
  return result;
}

val config_value(const ModelConfig& from) {
  val result = val::object();
  result.set("vocabSize", from.vocab_size);
  result.set("hiddenSize", from.hidden_size);
  result.set("numHiddenLayers", from.num_hidden_layers);
  result.set("numAttentionHeads", from.num_attention_heads);
  result.set("intermediateSize", from.intermediate_size);
  result.set("hiddenAct", text(hidden_act_name(from.hidden_act)));
  result.set("maxPositionEmbeddings", from.max_position_embeddings);
  result.set("typeVocabSize", from.type_vocab_size);
  result.set("layerNormEps", from.layer_norm_eps);
  return result;
}

val parameters_value(const ParameterTable& from) {
  val result = val::object();
  const std::pair<const char*, const ParameterCount*> counts[] = {
      {"wordEmbeddings", &from.word_embeddings},
      {"positionEmbeddings", &from.position_embeddings},
      {"tokenTypeEmbeddings", &from.token_type_embeddings},
      {"embeddingsNorm", &from.embeddings_norm},
      {"embeddings", &from.embeddings},
      {"selfAttention", &from.self_attention},
      {"intermediate", &from.intermediate},
      {"output", &from.output},
      {"encoderLayer", &from.encoder_layer},
      {"encoder", &from.encoder},
      {"pooler", &from.pooler},
      {"mlmTransform", &from.mlm_transform},
      {"mlmNorm", &from.mlm_norm},
      {"mlmBias", &from.mlm_bias},
      {"mlmDecoder", &from.mlm_decoder},
      {"mlmHead", &from.mlm_head},
      {"nspHead", &from.nsp_head},
  };
  for (const auto& [name, one] : counts) result.set(name, count(*one));
  return result;
}

val statistics_value(const TensorStatistics& from) {
  val result = val::object();
  result.set("zeros", static_cast<double>(from.zeros));
  result.set("nans", static_cast<double>(from.nans));
  result.set("infinities", static_cast<double>(from.infinities));
  result.set("min", from.min);
  result.set("max", from.max);
  result.set("mean", from.mean);
  result.set("deviation", from.deviation);
  return result;
}

class EngineBinding {
 public:
  val error() const {
    val result = val::object();
    result.set("code", text(code_name(error_.code)));
    result.set("message", error_.message);
    return result;
  }

  /// Polled between layers and batches; true ends the running call.
  void set_aborted(val poll) { aborted_ = std::move(poll); }

  // ---- loading: open, add_header for each file, begin, then room and commit until room is 0, finish

  bool open(const std::string& config_json, const std::string& vocab_txt, const std::string& tokenizer_json,
            const std::string& tokenizer_config_json, std::size_t threads) {
    Expected<ModelConfig> config = ModelConfig::parse(config_json);
    if (!config) return failed(config.error());
    Expected<Tokenizer> tokenizer = Tokenizer::load({vocab_txt, tokenizer_json, tokenizer_config_json});
    if (!tokenizer) return failed(tokenizer.error());
    Expected<std::shared_ptr<Backend>> backend = make_xnnpack_backend(threads);
    if (!backend) return failed(backend.error());
    config_ = std::move(*config);
    tokenizer_ = std::make_shared<const Tokenizer>(std::move(*tokenizer));
    backend_ = std::move(*backend);
    return true;
  }

  /// Bytes of a file's header, from at least its first 8 bytes.
  double header_size(const std::string& prefix) {
    const Expected<std::uint64_t> size = SafetensorsHeader::size_from(bytes_of(prefix));
    if (!size) return failed(size.error());
    return static_cast<double>(*size);
  }

  /// `file_bytes` is negative where the file's length is not known.
  bool add_header(const std::string& bytes, double file_bytes) {
    const std::optional<std::uint64_t> length =
        file_bytes < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(file_bytes));
    Expected<SafetensorsHeader> header = SafetensorsHeader::parse(bytes_of(bytes), length);
    if (!header) return failed(header.error());
    headers_.push_back(std::move(*header));
    return true;
  }

  /// `shard_index` is empty for a single file. `precision` is a Precision, or -1: as stored.
  bool begin(const std::string& shard_index, std::int32_t precision, bool statistics) {
    std::optional<ShardIndex> index;
    if (!shard_index.empty()) {
      Expected<ShardIndex> parsed = ShardIndex::parse(shard_index);
      if (!parsed) return failed(parsed.error());
      index = std::move(*parsed);
    }
    Expected<Checkpoint> checkpoint =
        Checkpoint::create(config_, std::move(headers_), index ? &*index : nullptr);
    if (!checkpoint) return failed(checkpoint.error());
    checkpoint_ = std::move(*checkpoint);
    const Precision chosen = precision >= 0 ? static_cast<Precision>(precision) : stored_precision();
    builder_.emplace(config_, backend_, chosen, TableBytes::kCopy);
    stream_.emplace(*checkpoint_, [this, statistics](ModuleId id, const ModuleView& module) {
      if (statistics) keep_statistics(module);
      return builder_->add(id, module);
    });
    return true;
  }

  /// File names of a shard index, in the order in which their bytes are wanted.
  val shard_files(const std::string& shard_index) {
    const Expected<ShardIndex> index = ShardIndex::parse(shard_index);
    if (!index) return failed_value(index.error());
    return list(index->files, text);
  }

  /// Where the next bytes go; 0 at the end (then room_size is 0) and for an error (then it is not).
  std::uintptr_t room() {
    const Expected<std::span<std::byte>> room = stream_->buffer();
    room_size_ = room ? room->size() : 1;
    if (!room) return failed(room.error());
    return room->empty() ? 0 : reinterpret_cast<std::uintptr_t>(room->data());
  }
  std::size_t room_size() const { return room_size_; }

  bool commit(std::size_t bytes) {
    const Status done = stream_->commit(bytes);
    return done ? true : failed(done.error());
  }

  bool finish() {
    if (const Status complete = stream_->finish(); !complete) return failed(complete.error());
    Expected<std::shared_ptr<const Encoder>> encoder = builder_->finish();
    if (!encoder) return failed(encoder.error());
    stream_.reset();
    builder_.reset();
    encoder_ = std::move(*encoder);
    Expected<std::unique_ptr<Tasks>> tasks = Tasks::create(tokenizer_, encoder_);
    if (!tasks) return failed(tasks.error());
    tasks_ = std::move(*tasks);
    return true;
  }

  // ---- the loaded model

  val info() const {
    const ParameterTable table = parameter_table(checkpoint_->config());
    val heads = val::object();
    heads.set("pooler", checkpoint_->has(Head::kPooler));
    heads.set("mlm", checkpoint_->has(Head::kMlm));
    heads.set("nsp", checkpoint_->has(Head::kNsp));
    val result = val::object();
    result.set("config", config_value(checkpoint_->config()));
    result.set("parameters", parameters_value(table));
    result.set("totalParameters", static_cast<double>(table.total));
    result.set("trainableParameters", static_cast<double>(table.trainable));
    result.set("withMlmHead", static_cast<double>(table.with_mlm_head));
    result.set("withNspHead", static_cast<double>(table.with_nsp_head));
    result.set("withBothHeads", static_cast<double>(table.with_both_heads));
    result.set("heads", heads);
    result.set("tensors", list(checkpoint_->entries(), [this](const Checkpoint::Entry& entry) {
                 val one = val::object();
                 one.set("name", entry.info->name);
                 one.set("dtype", text(dtype_name(entry.info->dtype)));
                 one.set("shape", shape_of(entry.info->shape));
                 one.set("parameters", entry.role == Checkpoint::Entry::Role::kScales
                                           ? 0.0
                                           : static_cast<double>(entry.info->elements()));
                 if (entry.module) one.set("module", module_name(*entry.module));
                 for (const auto& [name, statistics] : statistics_) {
                   if (name == entry.info->name) one.set("statistics", statistics_value(statistics));
                 }
                 return one;
               }));
    return result;
  }

  std::string precision() const { return std::string(precision_name(encoder_->precision())); }
  std::string kernels() const { return backend_->kernels(); }
  std::size_t threads() const { return backend_->threads(); }

  val memory() const {
    val result = val::object();
    result.set("heapBytes", static_cast<double>(emscripten_get_heap_size()));
    result.set("weightBytes", static_cast<double>(encoder_->owned_bytes()));
    return result;
  }

  /// { text, textPair?, targets?, labelText?, topK?, order }
  val fill_mask(val request) {
    const Text input(request);
    const std::vector<std::string> targets = strings(request["targets"]);
    std::optional<std::string> label;
    if (!request["labelText"].isUndefined()) label = request["labelText"].as<std::string>();
    FillMaskInput question;
    question.text = input.input();
    question.targets = targets;
    if (label) question.label_text = *label;
    FillMaskOptions options;
    if (!request["topK"].isUndefined()) options.top_k = request["topK"].as<std::size_t>();
    options.order = static_cast<MaskOrder>(request["order"].as<std::int32_t>());
    const Expected<FillMaskAnswer> answer = tasks_->fill_mask(question, options, control());
    if (!answer) return failed_value(answer.error());
    val result = val::object();
    result.set("masks", list(answer->masks, [](const MaskAnswer& mask) {
                 val one = val::object();
                 one.set("position", mask.position);
                 one.set("step", mask.step);
                 one.set("predictions", list(mask.predictions, prediction));
                 if (mask.label) one.set("label", prediction(*mask.label));
                 return one;
               }));
    result.set("sequence", answer->sequence);
    result.set("filled", copied(std::span<const std::int32_t>(answer->filled)));
    if (answer->loss) {
      result.set("loss", *answer->loss);
      result.set("labels", copied(std::span<const std::int32_t>(answer->labels)));
    }
    return result;
  }

  /// { pairs: [{ text, textPair }], truncation? }
  val next_sentence(val request) {
    const std::vector<Text> pairs = texts(request["pairs"]);
    const Truncating truncating(*this, request["truncation"]);
    std::vector<NextSentence> answers;
    for (Expected<NextSentence>& answer : tasks_->next_sentence_batch(inputs(pairs), control())) {
      if (!answer) return failed_value(answer.error());
      answers.push_back(*answer);
    }
    return list(answers, next_sentence_answer);
  }

  /// Answers [isNext, notNext, logit, logit] of each pair, flat, against labels 0 or 1.
  val next_sentence_report(val flat, val labels, double threshold) {
    const std::vector<double> values = numbers<double>(flat);
    std::vector<NextSentence> answers;
    for (std::size_t i = 0; i + 3 < values.size(); i += 4) {
      answers.push_back(
          {values[i], values[i + 1], {static_cast<float>(values[i + 2]), static_cast<float>(values[i + 3])}});
    }
    const Expected<NextSentenceReport> report =
        evaluate_next_sentence(answers, numbers<std::uint8_t>(labels), threshold);
    if (!report) return failed_value(report.error());
    val confusion = val::object();
    confusion.set("tp", report->true_positives);
    confusion.set("fp", report->false_positives);
    confusion.set("tn", report->true_negatives);
    confusion.set("fn", report->false_negatives);
    val result = val::object();
    result.set("threshold", report->threshold);
    result.set("accuracy", report->accuracy);
    result.set("precision", report->precision);
    result.set("recall", report->recall);
    result.set("f1", report->f1);
    result.set("confusion", confusion);
    result.set("highestConfidence", report->highest_confidence);
    result.set("meanConfidence", report->mean_confidence);
    const auto size = [](std::size_t n) { return val(n); };
    result.set("correctByConfidence", list(report->correct_by_confidence, size));
    result.set("wrongByConfidence", list(report->wrong_by_confidence, size));
    result.set("predicted", list(report->pairs, [](const JudgedPair& pair) { return val(pair.predicted); }));
    return result;
  }

  /// { text, textPair?, hideRestOfWord }
  val score(val request) {
    const Text input(request);
    const Expected<Score> score =
        tasks_->score(input.input(), {request["hideRestOfWord"].as<bool>()}, control());
    if (!score) return failed_value(score.error());
    val result = val::object();
    result.set("pseudoLogLikelihood", score->pseudo_log_likelihood);
    result.set("tokens", list(score->tokens, [&](const ScoredToken& token) {
                 const std::int32_t id = score->encoding.ids[token.position];
                 val one = val::object();
                 one.set("position", token.position);
                 one.set("token", token_text(id));
                 one.set("id", id);
                 one.set("logProbability", token.log_probability);
                 one.set("rank", token.rank);
                 one.set("bestToken", token_text(token.best_id));
                 one.set("bestProbability", token.best_probability);
                 return one;
               }));
    return result;
  }

  /// { texts, pooling, normalize, truncation? }: one tensor [texts, hidden]
  val embed(val request) {
    const std::vector<Text> from = texts(request["texts"]);
    const Truncating truncating(*this, request["truncation"]);
    const EmbedOptions options{static_cast<Pooling>(request["pooling"].as<std::int32_t>()),
                               request["normalize"].as<bool>()};
    std::vector<float> rows;
    for (Expected<std::vector<float>>& row : tasks_->embed_batch(inputs(from), options, control())) {
      if (!row) return failed_value(row.error());
      rows.insert(rows.end(), row->begin(), row->end());
    }
    return tensor(rows, {from.size(), config_.hidden_size});
  }

  /// [{ text }]
  val mask_effect(val request) {
    const std::vector<Text> from = texts(request);
    const Expected<std::vector<MaskEffect>> effects = tasks_->mask_effect(inputs(from), control());
    if (!effects) return failed_value(effects.error());
    const auto number = [](double value) { return val(value); };
    const auto row = [&](const std::vector<double>& values) { return list(values, number); };
    val result = val::object();
    result.set("clsL2", list(*effects, [](const MaskEffect& effect) { return val(effect.cls_l2); }));
    result.set("perLayer", list(*effects, [&](const MaskEffect& effect) { return row(effect.per_layer); }));
    result.set("perToken",
               list(*effects, [&](const MaskEffect& effect) { return list(effect.per_token, row); }));
    result.set("tokens", list(*effects, [](const MaskEffect& effect) { return val(effect.tokens); }));
    result.set("padding", list(*effects, [](const MaskEffect& effect) { return val(effect.padding); }));
    return result;
  }

  /// [CLS] distances of one text for each number of padding tokens.
  val mask_effect_curve(val request, val paddings) {
    const Text input(request);
    const Expected<std::vector<double>> curve =
        tasks_->mask_effect_curve(input.input(), numbers<std::size_t>(paddings), control());
    if (!curve) return failed_value(curve.error());
    return list(*curve, [](double value) { return val(value); });
  }

  /// { sequences: [{ inputIds, tokenTypeIds?, attentionMask? }], hiddenStates, attentions, probes: [{ probe,
  /// layer }] }: one object a sequence. Padding tokens are computed as a padded implementation does.
  val encode(val request) {
    struct Ids {
      std::vector<std::int32_t> input_ids, token_type_ids, attention_mask;
    };
    std::vector<Ids> ids;
    for (const val& one : request["sequences"]) {
      ids.push_back({numbers<std::int32_t>(one["inputIds"]), numbers<std::int32_t>(one["tokenTypeIds"]),
                     numbers<std::int32_t>(one["attentionMask"])});
    }
    std::vector<Sequence> batch;
    Request asked;
    for (const Ids& one : ids) {
      batch.push_back({one.input_ids, one.token_type_ids, one.attention_mask});
      if (std::find(one.attention_mask.begin(), one.attention_mask.end(), 0) != one.attention_mask.end()) {
        asked.padding_rows = true;
      }
    }
    const std::size_t layers = config_.num_hidden_layers;
    const std::vector<std::size_t> states = numbers<std::size_t>(request["hiddenStates"]);
    asked.hidden_states = states;
    if (std::find(states.begin(), states.end(), layers) == states.end())
      asked.hidden_states.push_back(layers);
    asked.attentions = numbers<std::size_t>(request["attentions"]);
    asked.pooler = encoder_->has_pooler();
    for (const val& one : request["probes"]) {
      asked.probes.push_back(
          {static_cast<Probe>(one["probe"].as<std::int32_t>()), one["layer"].as<std::size_t>()});
    }
    asked.aborted = control().aborted;
    // run by run, so that working memory does not grow with the batch: a heap never shrinks
    const std::size_t most = backend_->work_sizes().tokens;
    val results = val::array();
    std::size_t done = 0;
    do {
      std::size_t end = done;
      std::size_t tokens = 0;
      while (end < ids.size() && (end == done || tokens + ids[end].input_ids.size() <= most))
        tokens += ids[end++].input_ids.size();
      const std::span<const Sequence> some = std::span(batch).subspan(done, end - done);
      if (ids.size() > 1) asked.first_sequence = done;
      const Expected<Output> output = tasks_->session().run(some, asked);
      if (!output) return failed_value(output.error());
      for (const Tensor& tensor : output->hidden_states)
        if (const Status finite = check_finite(tensor.data, "hidden states"); !finite)
          return failed_value(finite.error());
      std::size_t row = 0;
      for (std::size_t index = 0; index < some.size(); ++index) {
        results.set(done + index,
                    encoded(asked, states.size(), *output, index, row, some[index].input_ids.size()));
        row += some[index].input_ids.size();
      }
      done = end;
    } while (done < ids.size());
    return results;
  }

 private:
  /// While it lives, texts with more tokens than tokenizer and model take are cut as a Truncation says.
  class Truncating {
   public:
    Truncating(const EngineBinding& engine, const val& truncation) : tasks_(*engine.tasks_) {
      if (truncation.isUndefined()) return;
      EncodeOptions encoding;
      encoding.truncation = static_cast<Truncation>(truncation.as<std::int32_t>());
      tasks_.set_encoding(encoding);
    }
    Truncating(const Truncating&) = delete;
    Truncating& operator=(const Truncating&) = delete;
    ~Truncating() { tasks_.set_encoding({}); }

   private:
    Tasks& tasks_;
  };

  /// What a run gave for its sequence `index`, whose `tokens` rows begin at `row`: of the hidden states asked
  /// for, the first `states` by number.
  val encoded(const Request& asked, std::size_t states, const Output& output, std::size_t index,
              std::size_t row, std::size_t tokens) const {
    const std::size_t layers = config_.num_hidden_layers;
    const auto part = [&](const Tensor& rows) {
      const std::size_t width = rows.shape[1];
      return tensor(std::span(rows.data).subspan(row * width, tokens * width), {tokens, width});
    };
    val result = val::object();
    val hidden = val::object();
    for (std::size_t i = 0; i < asked.hidden_states.size(); ++i) {
      const val state = part(output.hidden_states[i]);
      if (asked.hidden_states[i] == layers) result.set("lastHiddenState", state);
      if (i < states) hidden.set(asked.hidden_states[i], state);
    }
    result.set("hiddenStates", hidden);
    if (asked.pooler) {
      const std::size_t width = config_.hidden_size;
      result.set("poolerOutput",
                 tensor(std::span(output.pooler.data).subspan(index * width, width), {width}));
    }
    val attentions = val::object();
    for (std::size_t i = 0; i < asked.attentions.size(); ++i)
      attentions.set(asked.attentions[i], tensor(output.attentions[i][index]));
    result.set("attentions", attentions);
    std::size_t scores = 0;
    result.set("probes", list(asked.probes, [&](const ProbeRequest& probe) {
                 if (probe.probe == Probe::kScores) return tensor(output.scores[scores++][index]);
                 return part(output.probes[static_cast<std::size_t>(&probe - asked.probes.data())]);
               }));
    return result;
  }

  Precision stored_precision() const {
    switch (checkpoint_->storage()) {
      case DType::kI8:
        return Precision::kInt8;
      case DType::kF16:
        return Precision::kF16;
      default:
        return Precision::kF32;  // bf16 has a wider range than f16
    }
  }

  void keep_statistics(const ModuleView& module) {
    for (const TensorView* view : {&module.weight, &module.bias}) {
      if (!view->empty()) statistics_.emplace_back(std::string(view->name), tensor_statistics(*view));
    }
  }

  CallControl control() const {
    CallControl control;
    if (!aborted_.isUndefined()) {
      control.aborted = [this] { return aborted_().as<bool>(); };
    }
    return control;
  }

  val token_text(std::int32_t id) const { return text(tokenizer_->id_to_token(id).value_or("")); }

  bool failed(const Error& error) {
    error_ = error;
    return false;
  }
  val failed_value(const Error& error) {
    error_ = error;
    return val::undefined();
  }

  ModelConfig config_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<Backend> backend_;
  std::vector<SafetensorsHeader> headers_;
  std::optional<Checkpoint> checkpoint_;
  std::optional<EncoderBuilder> builder_;
  std::optional<ModuleStream> stream_;
  std::size_t room_size_ = 0;
  std::vector<std::pair<std::string, TensorStatistics>> statistics_;
  std::shared_ptr<const Encoder> encoder_;
  std::unique_ptr<Tasks> tasks_;
  val aborted_ = val::undefined();
  Error error_;
};

}  // namespace

EMSCRIPTEN_BINDINGS(bertlens_engine) {
  emscripten::class_<EngineBinding>("Engine")
      .constructor<>()
      .function("error", &EngineBinding::error)
      .function("setAborted", &EngineBinding::set_aborted)
      .function("open", &EngineBinding::open)
      .function("headerSize", &EngineBinding::header_size)
      .function("addHeader", &EngineBinding::add_header)
      .function("begin", &EngineBinding::begin)
      .function("shardFiles", &EngineBinding::shard_files)
      .function("room", &EngineBinding::room)
      .function("roomSize", &EngineBinding::room_size)
      .function("commit", &EngineBinding::commit)
      .function("finish", &EngineBinding::finish)
      .function("info", &EngineBinding::info)
      .function("precision", &EngineBinding::precision)
      .function("kernels", &EngineBinding::kernels)
      .function("threads", &EngineBinding::threads)
      .function("memory", &EngineBinding::memory)
      .function("fillMask", &EngineBinding::fill_mask)
      .function("nextSentence", &EngineBinding::next_sentence)
      .function("nextSentenceReport", &EngineBinding::next_sentence_report)
      .function("score", &EngineBinding::score)
      .function("embed", &EngineBinding::embed)
      .function("maskEffect", &EngineBinding::mask_effect)
      .function("maskEffectCurve", &EngineBinding::mask_effect_curve)
      .function("encode", &EngineBinding::encode);
}

}  // namespace bert::bindings
