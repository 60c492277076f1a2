// `bertlens encode`: hidden states, pooler and attentions of texts or token ids.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "app/answer.h"
#include "app/command.h"
#include "app/encoding_output.h"
#include "app/request.h"
#include "app/task_command.h"
#include "io/error_line.h"
#include "io/parallel.h"

namespace bert::cli {
namespace {

// Tokens that go through the encoder together. The encoder packs rows, so that lengths need no sorting;
// results of all layers are held for this many tokens, so the bound is on memory.
constexpr std::size_t kTokensPerRun = 1024;

struct Options : TaskOptions {
  std::optional<std::string> pair;
  bool hidden_states = false;
  std::string attentions;  // empty: none; "all"; "0,11"
  std::string probes;      // empty: none; "query,scores:0": of all layers, or of the one named
};

// What is asked for beside hidden states and pooler.
struct Inner {
  std::vector<std::size_t> attentions;  // layers
  std::vector<ProbeRequest> probes;
};

// One sequence as the encoder takes it.
struct Ids {
  std::vector<std::int32_t> input_ids, token_type_ids, attention_mask;

  bool has_padding() const {
    return std::find(attention_mask.begin(), attention_mask.end(), 0) != attention_mask.end();
  }
  bert::Sequence sequence() const {
    return {.input_ids = input_ids, .token_type_ids = token_type_ids, .attention_mask = attention_mask};
  }
};

// What one sequence gives.
struct States {
  std::vector<std::vector<float>> hidden;  // of the layers asked for, [tokens][hidden] each
  std::vector<float> pooler;
  std::vector<Tensor> attentions;  // [heads, tokens, tokens]
  std::vector<Tensor> probes;      // in the order of Inner::probes; scores as attentions
};

constexpr Probe kProbes[] = {Probe::kEmbeddingSum,    Probe::kQuery,      Probe::kKey,
                             Probe::kValue,           Probe::kScores,     Probe::kContext,
                             Probe::kAttentionOutput, Probe::kFeedForward};

// work(item) for what stands between the commas of an option, without blanks at its ends.
template <class Work>
void for_each_item(const std::string& list, const Work& work) {
  for (std::string item : split_at_commas(list)) {
    item.erase(0, item.find_first_not_of(' '));
    item.erase(item.find_last_not_of(' ') + 1);
    work(item);
  }
}

// A layer of `layers`. What names none is a usage error (thrown), as in the two functions below.
std::size_t layer_of(const char* option, const std::string& text, std::size_t layers) {
  std::size_t layer = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), layer);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size() || layer >= layers) {
    usage_error(std::string(option) + ": " + in_quotes(text) + " is not a layer from 0 to " +
                std::to_string(layers - 1));
  }
  return layer;
}

std::vector<std::size_t> attention_layers(const std::string& text, std::size_t layers) {
  std::vector<std::size_t> chosen;
  for (std::size_t layer = 0; text == "all" && layer < layers; ++layer) chosen.push_back(layer);
  if (text.empty() || text == "all") return chosen;
  for_each_item(text,
                [&](const std::string& item) { chosen.push_back(layer_of("--attentions", item, layers)); });
  return chosen;
}

// In the order of kProbes and layers, each once.
std::vector<ProbeRequest> probe_requests(const std::string& text, std::size_t layers) {
  std::vector<ProbeRequest> chosen;
  if (text.empty()) return chosen;
  std::vector<std::vector<bool>> wanted(std::size(kProbes), std::vector<bool>(layers, false));
  for_each_item(text, [&](const std::string& item) {
    const std::size_t colon = std::min(item.find(':'), item.size());
    const std::string name = item.substr(0, colon);
    const auto probe = std::find_if(std::begin(kProbes), std::end(kProbes),
                                    [&](Probe known) { return probe_name(known) == name; });
    if (probe == std::end(kProbes)) {
      std::string names;
      for (const Probe known : kProbes) names += (names.empty() ? "" : ", ") + std::string(probe_name(known));
      usage_error("--probes: " + in_quotes(name) + " is none of " + names);
    }
    const std::size_t most = *probe == Probe::kEmbeddingSum ? 1 : layers;  // it comes before the layers
    std::vector<bool>& of_layer = wanted[static_cast<std::size_t>(probe - std::begin(kProbes))];
    if (colon < item.size()) {
      of_layer[layer_of("--probes", item.substr(colon + 1), most)] = true;
    } else {
      std::fill_n(of_layer.begin(), most, true);
    }
  });
  for (std::size_t probe = 0; probe < std::size(kProbes); ++probe) {
    for (std::size_t layer = 0; layer < layers; ++layer) {
      if (wanted[probe][layer]) chosen.push_back({kProbes[probe], layer});
    }
  }
  return chosen;
}

Inner inner_of(const Options& options, const Tasks& tasks) {
  const std::size_t layers = tasks.encoder().config().num_hidden_layers;
  return {attention_layers(options.attentions, layers), probe_requests(options.probes, layers)};
}

Expected<Ids> ids_of_text(Tasks& tasks, const TextInput& input) {
  Expected<Encoding> row = tasks.encode(input);
  if (!row) return tl::unexpected(row.error());
  return Ids{std::move(row->ids), std::move(row->type_ids), {}};
}

Expected<Ids> read_ids(const Options& options, Tasks& tasks, const StreamLine& line) {
  const Expected<nlohmann::json> object = line.object();
  if (!object) return tl::unexpected(object.error());
  for (const auto& [text, ids] : {std::pair{"text", "input_ids"},
                                  {"text", "token_type_ids"},
                                  {"text", "attention_mask"},
                                  {"pair", "input_ids"}}) {
    if (has_field(*object, text) && has_field(*object, ids))
      return fail(ErrorCode::kInvalidArgument,
                  "\"" + std::string(text) + "\" and \"" + ids + "\" exclude each other");
  }
  if (!has_field(*object, "input_ids")) {
    if (!has_field(*object, "text")) {
      return fail(ErrorCode::kInvalidArgument,
                  "one of the fields \"text\" and \"input_ids\" is needed; both are missing");
    }
    const Expected<std::string> text = text_field(*object, "text");
    if (!text) return tl::unexpected(text.error());
    Expected<std::optional<std::string>> pair = optional_text_field(*object, "pair");
    if (!pair) return tl::unexpected(pair.error());
    if (!*pair) *pair = options.pair;
    return ids_of_text(tasks, *pair ? TextInput(*text, **pair) : TextInput(*text));
  }
  Ids ids;
  const ModelConfig& config = tasks.encoder().config();
  struct Field {
    const char *name, *what;
    std::size_t count;
    std::vector<std::int32_t>* target;
  };
  for (const auto& [name, what, count, target] :
       {Field{"input_ids", "an id", config.vocab_size, &ids.input_ids},
        Field{"token_type_ids", "a type id", config.type_vocab_size, &ids.token_type_ids},
        Field{"attention_mask", "a number", 2, &ids.attention_mask}}) {
    if (!has_field(*object, name)) continue;
    Expected<std::vector<std::int32_t>> list = integer_list_field(*object, name, line.text, what, count - 1);
    if (!list) return tl::unexpected(list.error());
    if (list->size() != ids.input_ids.size() && target != &ids.input_ids) {
      return fail(ErrorCode::kInvalidArgument, "\"" + std::string(name) + "\" has " +
                                                   std::to_string(list->size()) + " entries, \"input_ids\" " +
                                                   std::to_string(ids.input_ids.size()));
    }
    *target = std::move(*list);
  }
  if (ids.input_ids.empty()) return fail(ErrorCode::kInvalidArgument, "\"input_ids\" is empty");
  return ids;
}

// The rows of each sequence of a batch, [rows, width] of all.
template <class Take>
void hand_out(const Tensor& tensor, std::span<const Ids> batch, const Take& take) {
  const std::size_t width = tensor.shape.back();
  std::span<const float> rest(tensor.data);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const std::size_t tokens = batch[i].input_ids.size();
    const std::span<const float> rows = rest.first(tokens * width);
    take(i, Tensor{{tokens, width}, {rows.begin(), rows.end()}});
    rest = rest.subspan(rows.size());
  }
}

Status check_finite(const States& states) {
  Status finite = bert::check_finite(states.pooler, "pooled states");
  for (const std::vector<float>& state : states.hidden)
    if (finite) finite = bert::check_finite(state, "hidden states");
  for (const std::vector<Tensor>* tensors : {&states.attentions, &states.probes})
    for (const Tensor& tensor : *tensors)
      if (finite) finite = bert::check_finite(tensor.data, "attentions or probes");
  return finite;
}

// Runs a batch and hands each sequence's part out.
Expected<std::vector<States>> run_batch(const Options& options, Session& session, const Inner& inner,
                                        std::span<const Ids> batch) {
  const std::size_t depth = session.encoder().config().num_hidden_layers;
  std::vector<bert::Sequence> sequences;
  Request request;
  sequences.reserve(batch.size());
  for (const Ids& ids : batch) {
    sequences.push_back(ids.sequence());
    request.padding_rows |= ids.has_padding();
  }
  for (std::size_t state = options.hidden_states ? 0 : depth; state <= depth; ++state) {
    request.hidden_states.push_back(state);
  }
  request.pooler = session.encoder().has_pooler();
  request.attentions = inner.attentions;
  request.probes = inner.probes;
  Expected<bert::Output> output = session.run(sequences, request);
  if (!output) return tl::unexpected(output.error());
  std::vector<States> all(batch.size());
  for (const Tensor& tensor : output->hidden_states) {
    hand_out(tensor, batch,
             [&all](std::size_t i, Tensor rows) { all[i].hidden.push_back(std::move(rows.data)); });
  }
  std::size_t scores = 0;
  for (std::size_t number = 0; number < inner.probes.size(); ++number) {
    if (inner.probes[number].probe == Probe::kScores) {
      std::vector<Tensor>& own = output->scores[scores++];
      for (std::size_t i = 0; i < batch.size(); ++i) all[i].probes.push_back(std::move(own[i]));
    } else {
      hand_out(output->probes[number], batch,
               [&all](std::size_t i, Tensor rows) { all[i].probes.push_back(std::move(rows)); });
    }
  }
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (request.pooler) {
      const std::size_t width = output->pooler.shape.back();
      const auto from = output->pooler.data.begin() + static_cast<std::ptrdiff_t>(i * width);
      all[i].pooler.assign(from, from + static_cast<std::ptrdiff_t>(width));
    }
    for (std::vector<Tensor>& layer : output->attentions) all[i].attentions.push_back(std::move(layer[i]));
    if (Status finite = check_finite(all[i]); !finite) return tl::unexpected(finite.error());
  }
  return all;
}

// The same for each by itself where the batch fails as a whole, so that a bad one spoils no other.
std::vector<Expected<States>> run_each(const Options& options, Session& session, const Inner& inner,
                                       std::span<const Ids> batch) {
  std::vector<Expected<States>> all;
  if (Expected<std::vector<States>> together = run_batch(options, session, inner, batch)) {
    for (States& states : *together) all.emplace_back(std::move(states));
    return all;
  }
  for (const Ids& ids : batch) {
    all.push_back(run_batch(options, session, inner, std::span(&ids, 1)).map([](std::vector<States>&& one) {
      return std::move(one.front());
    }));
  }
  return all;
}

// [heads, tokens, tokens], or [tokens, width].
void write_tensor(JsonWriter& json, const Tensor& tensor) {
  const std::span<const float> all(tensor.data);
  const std::size_t width = tensor.shape.back();
  if (tensor.shape.size() == 2) {
    json.matrix(all, width);
    return;
  }
  json.begin_array();
  const std::size_t each = tensor.shape[1] * width;
  for (std::size_t head = 0; head < tensor.shape[0]; ++head)
    json.matrix(all.subspan(head * each, each), width);
  json.end_array();
}

void write_states(JsonWriter& json, const Options& options, const Inner& inner, const States& states,
                  std::size_t tokens) {
  const std::size_t hidden = states.hidden.back().size() / tokens;
  json.begin_object();
  json.key("last_hidden_state").matrix(states.hidden.back(), hidden);
  json.key("pooler_output");
  states.pooler.empty() ? json.null() : json.numbers(states.pooler);
  if (options.hidden_states) {
    json.key("hidden_states").begin_array();
    for (const std::vector<float>& state : states.hidden) json.matrix(state, hidden);
    json.end_array();
  }
  if (!options.attentions.empty()) {
    json.key("attentions").begin_array();
    for (const Tensor& layer : states.attentions) write_tensor(json, layer);
    json.end_array();
  }
  if (!inner.probes.empty()) {
    json.key("probes").begin_object();
    for (std::size_t i = 0; i < inner.probes.size(); ++i) {
      const Probe probe = inner.probes[i].probe;
      if (i == 0 || inner.probes[i - 1].probe != probe) json.key(probe_name(probe)).begin_object();
      write_tensor(json.key(std::to_string(inner.probes[i].layer)), states.probes[i]);
      if (i + 1 == inner.probes.size() || inner.probes[i + 1].probe != probe) json.end_object();
    }
    json.end_object();
  }
  json.end_object();
}

StreamHandler stream_handler(const Options& options, Tasks& tasks) {
  const std::size_t threads =
      std::max<std::size_t>(1, options.engine.threads / stream_workers(options.engine));
  const Inner inner = inner_of(options, tasks);
  return [&options, &tasks, threads, inner](std::span<StreamLine> lines, const Emit& emit) {
    std::vector<Ids> batch;
    std::vector<std::size_t> owners;
    const auto flush = [&] {
      if (batch.empty()) return;
      const std::vector<Expected<States>> states = run_each(options, tasks.session(), inner, batch);
      parallel_for(batch.size(), threads, [&](std::size_t i) {
        lines[owners[i]].settle(states[i], [&](JsonWriter& json, const States& own) {
          write_states(json, options, inner, own, batch[i].input_ids.size());
        });
      });
      emit(owners.back());
      batch.clear();
      owners.clear();
    };
    std::size_t tokens = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      Expected<Ids> ids = read_ids(options, tasks, lines[i]);
      if (!ids) {
        lines[i].refuse(ids.error());
        continue;
      }
      // padding rows cost what real ones do, so sequences with and without them do not share a run
      const bool fits = batch.empty() || (tokens + ids->input_ids.size() <= kTokensPerRun &&
                                          ids->has_padding() == batch.front().has_padding());
      if (!fits) {
        flush();
        tokens = 0;
      }
      tokens += ids->input_ids.size();
      batch.push_back(std::move(*ids));
      owners.push_back(i);
    }
    flush();
  };
}

// Each token with the length of its last hidden state and the first of its values.
void print_text(Output& out, const std::vector<std::string>& tokens, const Inner& inner,
                const States& states) {
  constexpr std::size_t kShown = 4;
  const std::vector<float>& last = states.hidden.back();
  const std::size_t hidden = last.size() / tokens.size();
  const std::string shape = "[1, " + std::to_string(tokens.size()) + ", " + std::to_string(hidden) + "]";
  out.line("last_hidden_state " + shape);
  if (!states.pooler.empty()) out.line("pooler_output [1, " + std::to_string(states.pooler.size()) + "]");
  if (states.hidden.size() > 1) {
    out.line("hidden_states " + std::to_string(states.hidden.size()) + " of " + shape +
             " (the embeddings first)");
  }
  if (!states.attentions.empty()) {
    const std::string length = std::to_string(tokens.size());
    out.line("attentions " + std::to_string(states.attentions.size()) + " of [1, " +
             std::to_string(states.attentions.front().shape[0]) + ", " + length + ", " + length + "]");
  }
  for (std::size_t i = 0; i < inner.probes.size(); ++i) {
    std::string shape_of = "[1";
    for (const std::size_t size : states.probes[i].shape) shape_of += ", " + std::to_string(size);
    out.line(std::string(probe_name(inner.probes[i].probe)) + " of layer " +
             std::to_string(inner.probes[i].layer) + " " + shape_of + "]");
  }
  out.line();
  std::vector<Table::Column> columns = {
      {"", Align::kRight}, {"token", Align::kLeft}, {"length", Align::kRight}};
  for (std::size_t i = 0; i < std::min(kShown, hidden); ++i)
    columns.push_back({"h" + std::to_string(i), Align::kRight});
  Table table(std::move(columns));
  for (std::size_t token = 0; token < tokens.size(); ++token) {
    const std::span<const float> row(&last[token * hidden], hidden);
    double squares = 0;
    for (const float value : row) squares += static_cast<double>(value) * static_cast<double>(value);
    std::vector<Cell> cells = {std::to_string(token), tokens[token], decimal(std::sqrt(squares), 4)};
    for (std::size_t i = 0; i < std::min(kShown, hidden); ++i) cells.push_back(decimal(row[i], 4));
    table.add(std::move(cells));
  }
  out.write(table.markdown());
}

// All values of the last hidden state, a token a row.
Table value_table(const std::vector<std::vector<std::string>>& tokens, std::span<const States> all) {
  const std::size_t hidden = all.front().hidden.back().size() / tokens.front().size();
  std::vector<Table::Column> columns = {
      {"row", Align::kRight}, {"position", Align::kRight}, {"token", Align::kLeft}};
  for (std::size_t i = 0; i < hidden; ++i) columns.push_back({"h" + std::to_string(i), Align::kRight});
  Table table(std::move(columns));
  for (std::size_t row = 0; row < all.size(); ++row) {
    for (std::size_t token = 0; token < tokens[row].size(); ++token) {
      std::vector<Cell> cells = {std::to_string(row), std::to_string(token), tokens[row][token]};
      for (std::size_t i = 0; i < hidden; ++i) {
        cells.emplace_back(python_number(all[row].hidden.back()[token * hidden + i]));
      }
      table.add(std::move(cells));
    }
  }
  return table;
}

Expected<int> one_answer(const Options& options, Tasks& tasks, Output& out) {
  const Inner inner = inner_of(options, tasks);
  const Expected<std::vector<std::string>> texts = all_texts(options.input);
  if (!texts) return tl::unexpected(texts.error());
  Progress progress("encode", Progress::Unit::kCount);
  std::vector<States> all;
  std::vector<std::vector<std::string>> tokens;
  const Format format = options.output.format();
  std::string text;
  JsonWriter json(text);
  if (texts->size() > 1) json.begin_array();
  for (std::size_t i = 0; i < texts->size(); ++i) {
    const std::string& one = (*texts)[i];
    const Expected<Ids> ids =
        ids_of_text(tasks, options.pair ? TextInput(one, *options.pair) : TextInput(one));
    if (!ids) return text_error(ids.error(), options.input, i);
    Expected<std::vector<States>> states = run_batch(options, tasks.session(), inner, std::span(&*ids, 1));
    if (!states) return text_error(states.error(), options.input, i);
    tokens.push_back(token_strings(tasks.tokenizer(), ids->input_ids));
    if (format == Format::kJson) {
      write_states(json, options, inner, states->front(), ids->input_ids.size());
    } else if (format == Format::kText) {
      if (tokens.size() > 1) out.line();
      out.line("Text: " + printable(one));
      print_text(out, tokens.back(), inner, states->front());
    } else {
      all.push_back(std::move(states->front()));
    }
    progress.update(tokens.size(), texts->size());
  }
  if (texts->size() > 1) json.end_array();
  if (format == Format::kJson) out.line(text);
  if (format == Format::kCsv) out.write(value_table(tokens, all).csv());
  if (format == Format::kMarkdown) out.write(value_table(tokens, all).markdown());
  return finish(out);
}

}  // namespace

Action define_encode(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_task_options(app, *options, "TEXT", "the texts to encode");
  app.add_option("--pair", options->pair, "a second text for each text that comes without one")
      ->type_name("TEXT")
      ->group("Input");
  app.add_flag("--hidden-states", options->hidden_states, "the embeddings and every layer's output too")
      ->group("Output");
  app.add_flag("--attentions{all}", options->attentions,
               "the attentions of all layers, or of those named: --attentions 0,5")
      ->option_text("[all|N,...]")
      ->multi_option_policy(CLI::MultiOptionPolicy::Throw)  // of flags CLI11 takes the last
      ->check(not_empty())
      ->group("Output");
  app.add_option(
         "--probes", options->probes,
         "inner values of all layers, or of the layer after a colon: embedding_sum (before its norm), "
         "query, key, value, scores (before mask and softmax), context, attention_output, feed_forward")
      ->type_name("NAME[:N],...")
      ->check(not_empty())
      ->group("Output");
  app.footer(
      "With --jsonl a line holds \"text\" and perhaps \"pair\", or \"input_ids\" with perhaps "
      "\"token_type_ids\" and\n"
      "\"attention_mask\". The answer holds last_hidden_state [tokens][hidden] and pooler_output [hidden] "
      "(null where the\n"
      "checkpoint has no pooler), and as asked hidden_states [layer][token][hidden], attentions "
      "[layer][head][query][key],\n"
      "probes {name: {layer: [tokens][width]}}, scores as attentions.\n"
      "\n"
      "examples\n"
      "  bertlens encode \"The bank of the river.\"\n"
      "  bertlens encode --json --attentions 0,5 \"The bank of the river.\"\n"
      "  bertlens encode --json --probes query:0,key:0,scores:0 \"The bank of the river.\"\n"
      "  printf '{\"text\": \"hello\", \"pair\": \"world\"}\\n' | bertlens encode --jsonl --hidden-states");
  return [options] {
    const FormatOptions& output = options->output;
    if ((output.csv || output.markdown) &&
        (options->hidden_states || !options->attentions.empty() || !options->probes.empty())) {
      usage_error(
          std::string(output.csv ? "--csv" : "--md") +
          " holds the last hidden state alone: --hidden-states, --attentions and --probes go with --json "
          "or --jsonl");
    }
    return run_task(*options, "encode", stream_handler, one_answer);
  };
}

}  // namespace bert::cli
