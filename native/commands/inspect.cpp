// `bertlens inspect`: what a model is made of, from its configuration and the headers of its files: the
// reports of the notebook's cell 8 and Exercise 3.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/answer.h"
#include "app/checkpoint_folder.h"
#include "app/command.h"
#include "app/model_folder.h"
#include "app/options.h"
#include "app/texts.h"
#include "io/error_line.h"
#include "io/json_writer.h"
#include "io/progress.h"
#include "io/table.h"

namespace bert::cli {
namespace {

struct Options {
  EngineOptions engine;
  FormatOptions output;
  std::string config;
  bool tensors = false;
  bool statistics = false;
};

// A model as far as it is there: with a configuration alone there is no checkpoint.
struct Inspected {
  std::string name;
  ModelConfig config;
  std::string config_text;  // config.json
  ParameterTable table;
  std::optional<CheckpointFolder> folder;
  std::vector<std::optional<TensorStatistics>> statistics;  // of each entry, where asked for and known
};

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string shape_text(const TensorInfo& info) {
  return number_list(info.shape);
}

// Statistics of every tensor that a module reads.
Expected<std::vector<std::optional<TensorStatistics>>> all_statistics(const CheckpointFolder& folder) {
  const Expected<BertWeights> weights = bind_weights(folder);
  if (!weights) return tl::unexpected(weights.error());
  Progress progress("reading tensors", Progress::Unit::kCount);
  std::vector<std::optional<TensorStatistics>> all;
  const auto& entries = folder.checkpoint.entries();
  const auto& modules = folder.checkpoint.modules();
  for (const Checkpoint::Entry& entry : entries) {
    all.emplace_back();
    using Role = Checkpoint::Entry::Role;
    // a tensor of a module that is there in part alone is not bound, and nothing is known of its values
    const bool bound =
        entry.module && std::find(modules.begin(), modules.end(), *entry.module) != modules.end();
    if (bound && (entry.role == Role::kWeight || entry.role == Role::kBias)) {
      const ModuleView module = weights->module(*entry.module);
      const TensorView& tensor = entry.role == Role::kWeight ? module.weight : module.bias;
      all.back() = tensor_statistics(tensor);
      release_pages(tensor.data);
    }
    progress.update(all.size(), entries.size());
  }
  return all;
}

// ---- reports for people ---------------------------------------------------------------------------------

void print_report(Output& out, const Inspected& model) {
  const ModelConfig& config = model.config;
  const ParameterTable& t = model.table;
  const auto count = [](const ParameterCount& part) { return with_separators(part.count); };
  const auto part = [&](const std::string& label, const ParameterCount& counted) {
    out.line("  - " + label + ": " + count(counted) + "   = " + counted.formula);
  };
  const std::string layers = std::to_string(config.num_hidden_layers);
  // cell 8
  out.line("Total params in " + model.name + ": " + with_separators(t.total) +
           " (trainable: " + with_separators(t.trainable) + ")");
  out.line();
  out.line("High-level modules:");
  out.line(" - embeddings : BertEmbeddings");
  out.line(" - encoder : BertEncoder");
  out.line(" - pooler : BertPooler");
  out.line();
  out.line("Encoder layer stack depth: " + layers);
  out.line("Hidden size: " + std::to_string(config.hidden_size));
  out.line("Intermediate FF size: " + std::to_string(config.intermediate_size));
  out.line("Attention heads: " + std::to_string(config.num_attention_heads));
  out.line();
  // Exercise 3
  out.line("Embedding layer parameters: " + count(t.embeddings));
  part("Word embeddings", t.word_embeddings);
  part("Position embeddings", t.position_embeddings);
  part("Token type embeddings", t.token_type_embeddings);
  part("LayerNorm + others", t.embeddings_norm);
  out.line();
  out.line("Single encoder layer parameters: " + count(t.encoder_layer));
  part("Self-attention", t.self_attention);
  part("Intermediate (FFN)", t.intermediate);
  part("Output projection", t.output);
  out.line();
  out.line("Pooler layer parameters: " + count(t.pooler));
  out.line();
  out.line("All encoder layers (" + layers + " layers) parameters: " + count(t.encoder));
  out.line();
  const std::uint64_t sum = t.embeddings.count + t.encoder.count + t.pooler.count;
  const bool known = model.folder && model.folder->checkpoint.has(Head::kPooler);
  const std::uint64_t actual = known ? model.folder->checkpoint.stored_parameters().base() : t.total;
  out.line("--- Verification ---");
  out.line("Sum of calculated parameters: " + with_separators(sum));
  out.line("Actual total parameters: " + with_separators(actual));
  out.line(sum == actual ? "Match: True"
                         : "Difference: " + with_separators(sum > actual ? sum - actual : actual - sum));
  out.line(
      known ? "(the actual total is counted from the tensors of the files)"
            : "(there are no weights with a pooler to count; the actual total is that of the configuration)");
  out.line();
  out.line("--- Additional Insights ---");
  out.line("Encoder layers contain " + fixed(percent(t.encoder.count, t.total), 1) + "% of all parameters");
  out.line("Each encoder layer has " + count(t.encoder_layer) + " parameters");
  out.line("Average parameters per layer (including embeddings): " +
           with_separators(t.total / (config.num_hidden_layers + 2)));
  out.line();
  out.line("--- With the heads of pre-training ---");
  out.line("BertForMaskedLM (no pooler): " + with_separators(t.with_mlm_head));
  out.line("BertForNextSentencePrediction: " + with_separators(t.with_nsp_head));
  out.line("BertForPreTraining (both): " + with_separators(t.with_both_heads));
  if (model.folder) {
    const Checkpoint& checkpoint = model.folder->checkpoint;
    std::string heads;
    for (const Head head : {Head::kPooler, Head::kMlm, Head::kNsp}) {
      if (checkpoint.has(head)) heads += (heads.empty() ? "" : ", ") + std::string(head_name(head));
    }
    out.line();
    out.line("In the files: " + std::to_string(checkpoint.entries().size()) + " tensors, stored as " +
             std::string(dtype_name(checkpoint.storage())) + ", " +
             fixed(static_cast<double>(model.folder->bytes) / 1e6, 1) + " MB; parts: embeddings, encoder" +
             (heads.empty() ? "" : ", " + heads));
  }
}

Table parameter_rows(const Inspected& model) {
  const ParameterTable& t = model.table;
  Table table({{"part", Align::kLeft},
               {"parameters", Align::kRight},
               {"percent", Align::kRight},
               {"formula", Align::kLeft}});
  const auto add = [&](const std::string& name, const ParameterCount& part) {
    table.add({name, std::to_string(part.count), decimal(percent(part.count, t.total), 2), part.formula});
  };
  add("embeddings", t.embeddings);
  add("embeddings.word", t.word_embeddings);
  add("embeddings.position", t.position_embeddings);
  add("embeddings.token_type", t.token_type_embeddings);
  add("embeddings.layer_norm", t.embeddings_norm);
  add("encoder_layer", t.encoder_layer);
  add("encoder_layer.self_attention", t.self_attention);
  add("encoder_layer.intermediate", t.intermediate);
  add("encoder_layer.output", t.output);
  add("encoder_all_layers", t.encoder);
  add("pooler", t.pooler);
  add("mlm_head", t.mlm_head);
  add("nsp_head", t.nsp_head);
  table.add({"total", std::to_string(t.total), decimal(100.0, 2), "embeddings + encoder + pooler"});
  return table;
}

Table tensor_rows(const Inspected& model) {
  std::vector<Table::Column> columns = {{"tensor", Align::kLeft},
                                        {"type", Align::kLeft},
                                        {"shape", Align::kLeft},
                                        {"elements", Align::kRight},
                                        {"bytes", Align::kRight}};
  const bool statistics = !model.statistics.empty();
  if (statistics) {
    for (const char* name : {"min", "max", "mean", "deviation"}) columns.push_back({name, Align::kRight});
  }
  Table table(std::move(columns));
  const auto& entries = model.folder->checkpoint.entries();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const TensorInfo& info = *entries[i].info;
    std::vector<Cell> cells = {info.name, std::string(dtype_name(info.dtype)), shape_text(info),
                               std::to_string(info.elements()), std::to_string(info.bytes)};
    if (statistics) {
      const auto& s = model.statistics[i];
      for (const double value :
           {s ? double{s->min} : 0, s ? double{s->max} : 0, s ? s->mean : 0, s ? s->deviation : 0}) {
        char text[32];
        std::snprintf(text, sizeof text, "%.4g", value);
        cells.push_back(s ? Cell(text, python_number(value)) : Cell(std::string()));
      }
    }
    table.add(std::move(cells));
  }
  return table;
}

// ---- JSON -----------------------------------------------------------------------------------------------

void write_tensors(JsonWriter& json, const Inspected& model) {
  json.key("tensors").begin_array();
  for (std::size_t i = 0; model.folder && i < model.folder->checkpoint.entries().size(); ++i) {
    const Checkpoint::Entry& entry = model.folder->checkpoint.entries()[i];
    const TensorInfo& info = *entry.info;
    json.begin_object();
    json.key("name")
        .string(info.name)
        .key("dtype")
        .string(dtype_name(info.dtype))
        .key("shape")
        .numbers(info.shape);
    json.key("elements")
        .number(info.elements())
        .key("bytes")
        .number(info.bytes)
        .key("file")
        .number(info.file);
    if (entry.module) json.key("module").string(module_name(*entry.module));
    if (i < model.statistics.size() && model.statistics[i]) {
      const TensorStatistics& s = *model.statistics[i];
      json.key("min").number(s.min).key("max").number(s.max).key("mean").number(s.mean);
      json.key("deviation").number(s.deviation).key("zeros").number(s.zeros);
      json.key("nans").number(s.nans).key("infinities").number(s.infinities);
    }
    json.end_object();
  }
  json.end_array();
}

void write_answer(JsonWriter& json, const Inspected& model) {
  const ParameterTable& t = model.table;
  const auto field = [&](const char* name, const ParameterCount& part) { json.key(name).number(part.count); };
  json.begin_object();
  json.key("model").string(model.name);
  // what the file says beyond what is computed here stands as it is; of the rest, what is computed
  nlohmann::json config = nlohmann::json::parse(model.config_text, nullptr, false);
  if (!config.is_object()) config = nlohmann::json::object();
  config.update(nlohmann::json::parse(model.config.to_json()));
  json.key("config").raw(config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  json.key("total_parameters").number(t.total).key("trainable_parameters").number(t.trainable);
  json.key("with_mlm_head").number(t.with_mlm_head).key("with_nsp_head").number(t.with_nsp_head);
  json.key("with_both_heads").number(t.with_both_heads);
  json.key("modules").begin_object();
  json.key("embeddings").string("BertEmbeddings").key("encoder").string("BertEncoder");
  json.key("pooler").string("BertPooler").end_object();
  json.key("embeddings").begin_object();
  field("total", t.embeddings);
  field("word", t.word_embeddings);
  field("position", t.position_embeddings);
  field("token_type", t.token_type_embeddings);
  field("layer_norm", t.embeddings_norm);
  json.end_object().key("encoder_layer").begin_object();
  field("total", t.encoder_layer);
  field("self_attention", t.self_attention);
  field("intermediate", t.intermediate);
  field("output", t.output);
  json.end_object();
  field("encoder_all_layers", t.encoder);
  json.key("encoder_share_percent").number(percent(t.encoder.count, t.total));
  json.key("average_per_layer").number(t.total / (model.config.num_hidden_layers + 2));
  field("pooler", t.pooler);
  const auto present = [&](Head head) {
    if (model.folder) json.key("present").boolean(model.folder->checkpoint.has(head));
  };
  json.key("heads").begin_object().key("mlm").begin_object();
  field("total", t.mlm_head);
  field("transform", t.mlm_transform);
  field("layer_norm", t.mlm_norm);
  field("bias", t.mlm_bias);
  field("decoder", t.mlm_decoder);
  present(Head::kMlm);
  json.end_object().key("nsp").begin_object();
  field("total", t.nsp_head);
  present(Head::kNsp);
  json.end_object().end_object();
  if (model.folder) {
    const Checkpoint& checkpoint = model.folder->checkpoint;
    const Checkpoint::StoredParameters stored = checkpoint.stored_parameters();
    json.key("stored").begin_object();
    json.key("type").string(dtype_name(checkpoint.storage())).key("bytes").number(model.folder->bytes);
    json.key("embeddings").number(stored.embeddings).key("encoder").number(stored.encoder);
    json.key("pooler").number(stored.pooler).key("mlm_head").number(stored.mlm_head);
    json.key("nsp_head").number(stored.nsp_head).key("unused").number(stored.unused);
    json.key("matches").boolean(stored.base() == t.total).end_object();
  }
  write_tensors(json, model);
  json.end_object();
}

Expected<Inspected> inspect(const Options& options) {
  namespace fs = std::filesystem;
  Inspected model;
  if (!options.config.empty()) {
    Expected<ModelConfig> config = read_config(options.config, &model.config_text);
    if (!config) return tl::unexpected(Error{config.error().code, "--config " + config.error().message});
    model.config = std::move(*config);
    model.name = fs::path(options.config).stem().string();
  } else {
    const Expected<std::string> folder = find_model_folder(options.engine);
    if (!folder) return tl::unexpected(folder.error());
    const fs::path clean = fs::path(*folder + "/").lexically_normal().parent_path();
    model.name = clean.filename().string();
    Expected<ModelConfig> config = read_config(*folder + "/config.json", &model.config_text);
    if (!config) return tl::unexpected(config.error());
    model.config = std::move(*config);
    if (has_weights(*folder)) {
      Expected<CheckpointFolder> opened = open_checkpoint(*folder);
      if (!opened) return tl::unexpected(opened.error());
      model.config = opened->checkpoint.config();
      model.folder = std::move(*opened);
    }
  }
  model.table = parameter_table(model.config);
  return model;
}

Expected<int> run(const Options& options) {
  Expected<Inspected> model = inspect(options);
  if (!model) return tl::unexpected(model.error());
  if ((options.tensors || options.statistics) && !model->folder) {
    return fail(ErrorCode::kNotFound,
                (options.config.empty()
                     ? "the model " + in_quotes(model->name) + " has no weights"
                     : "--config " + in_quotes(options.config) + " is a configuration without weights") +
                    ", so no tensors can be listed");
  }
  if (options.statistics) {
    auto statistics = all_statistics(*model->folder);
    if (!statistics) return tl::unexpected(statistics.error());
    model->statistics = std::move(*statistics);
  }
  Output out(1, "standard output");
  const bool tensors = options.tensors || options.statistics;
  return print_answer(
      out, options.output.format(),
      {.json = [&](JsonWriter& json) { write_answer(json, *model); },
       .table = [&] { return tensors ? tensor_rows(*model) : parameter_rows(*model); },
       .report = [&] { tensors ? out.write(tensor_rows(*model).markdown()) : print_report(out, *model); }});
}

}  // namespace

Action define_inspect(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::Option* config = app.add_option("--config", options->config, "a config.json alone, without weights")
                            ->type_name("FILE")
                            ->check(not_empty())
                            ->group("Model");
  app.add_flag("--tensors", options->tensors, "list the tensors of the files")->group("Output");
  app.add_flag("--statistics", options->statistics, "list them with least, greatest, mean and deviation")
      ->group("Output");
  add_format_options(app, options->output, JsonLines::kOutput);
  add_engine_options(app, options->engine,
                     {.vocabulary = false, .backend = false, .threads = false, .precision = false});
  config->excludes(app.get_option("--model"));
  app.footer(
      "Only headers are read, so this answers at once for any size of model (--statistics reads all).\n"
      "\n"
      "examples\n"
      "  bertlens inspect                                   # cell 8 and Exercise 3 of the notebook\n"
      "  bertlens inspect --config bert-base-uncased/config.json\n"
      "  bertlens inspect --model DIR --statistics\n"
      "  bertlens inspect --model DIR --json");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
