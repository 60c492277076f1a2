// `bertlens mask-effect`: what padding does to [CLS] without the attention mask (the notebook's cell 7).
#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "app/answer.h"
#include "app/command.h"
#include "app/request.h"
#include "app/task_command.h"
#include "io/utf8.h"

namespace bert::cli {
namespace {

struct Options : TaskOptions {
  std::optional<std::size_t> curve;
};

void write_answer(JsonWriter& json, const std::vector<MaskEffect>& effects) {
  json.begin_object().key("cls_l2").begin_array();
  for (const MaskEffect& effect : effects) json.number(effect.cls_l2);
  json.end_array().key("per_layer").begin_array();
  for (const MaskEffect& effect : effects) json.numbers(effect.per_layer);
  json.end_array().key("per_token").begin_array();
  for (const MaskEffect& effect : effects) {
    json.begin_array();
    for (const std::vector<double>& state : effect.per_token) json.numbers(state);
    json.end_array();
  }
  json.end_array().key("padding").begin_array();
  for (const MaskEffect& effect : effects) json.number(effect.padding);
  json.end_array().end_object();
}

Expected<std::vector<std::string>> read_texts(const StreamLine& line) {
  return line.object().and_then(
      [](const nlohmann::json& object) { return text_list_field(object, "texts"); });
}

StreamHandler stream_handler(const Options& options, Tasks& tasks) {
  if (options.curve) usage_error("--curve works without --jsonl");
  if (!options.input.texts.empty())
    usage_error("with --jsonl the batches come from --file or standard input, not as arguments");
  const auto compare = [&tasks](const StreamLine& line) {
    return read_texts(line).and_then([&tasks](const std::vector<std::string>& texts) {
      return tasks.mask_effect(std::vector<TextInput>(texts.begin(), texts.end()));
    });
  };
  return solve_in_turn(compare, write_answer);
}

// Distances of one text for 0 ... most padding tokens.
Expected<int> print_curve(const Options& options, Tasks& tasks, const std::string& text, Output& out) {
  const std::size_t positions = tasks.encoder().config().max_position_embeddings;
  const Expected<Encoding> row = tasks.encode(text);
  if (!row) return text_error(row.error(), options.input, 0);
  if (*options.curve > positions - row->size()) {
    usage_error("--curve " + std::to_string(*options.curve) + ": the text's " + std::to_string(row->size()) +
                " tokens leave the model's positions for at most " + std::to_string(positions - row->size()));
  }
  std::vector<std::size_t> paddings(*options.curve + 1);
  for (std::size_t i = 0; i < paddings.size(); ++i) paddings[i] = i;
  Progress progress("mask-effect", Progress::Unit::kCount);
  const Expected<std::vector<double>> distances =
      tasks.mask_effect_curve(text, paddings, control_with(progress));
  if (!distances) return text_error(distances.error(), options.input, 0);
  progress.wipe();
  const double most = std::max(1e-12, *std::max_element(distances->begin(), distances->end()));
  const auto rows = [&](bool bars) {
    std::vector<Table::Column> columns = {{"padding", Align::kRight}, {"cls_l2", Align::kRight}};
    if (bars) columns.push_back({"", Align::kLeft});
    Table table(std::move(columns));
    for (std::size_t i = 0; i < paddings.size(); ++i) {
      const double distance = (*distances)[i];
      std::vector<Cell> cells = {std::to_string(paddings[i]), decimal(distance, 4)};
      if (bars) cells.emplace_back(std::string(static_cast<std::size_t>(40 * distance / most), '#'));
      table.add(std::move(cells));
    }
    return table;
  };
  return print_answer(out, options.output.format(),
                      {.json =
                           [&](JsonWriter& json) {
                             json.begin_object()
                                 .key("padding")
                                 .numbers(paddings)
                                 .key("cls_l2")
                                 .numbers(*distances)
                                 .end_object();
                           },
                       .table = [&] { return rows(false); },
                       .report = [&] { out.write(rows(true).markdown()); }});
}

Table layer_table(const std::vector<MaskEffect>& effects) {
  std::vector<Table::Column> columns = {{"hidden state", Align::kLeft}};
  for (std::size_t i = 0; i < effects.size(); ++i)
    columns.push_back({"sequence " + std::to_string(i), Align::kRight});
  Table table(std::move(columns));
  for (std::size_t state = 0; state < effects.front().per_layer.size(); ++state) {
    std::vector<Cell> cells = {state == 0 ? std::string("embeddings") : "layer " + std::to_string(state)};
    for (const MaskEffect& effect : effects) cells.push_back(decimal(effect.per_layer[state], 4));
    table.add(std::move(cells));
  }
  return table;
}

void print_text(Output& out, const std::vector<std::string>& texts, const std::vector<MaskEffect>& effects) {
  std::string distances;
  for (const MaskEffect& effect : effects) {
    // the notebook's distances are PyTorch floats, which Python prints as doubles
    const auto distance = static_cast<double>(static_cast<float>(effect.cls_l2));
    distances += (distances.empty() ? "" : ", ") + python_number(distance);
  }
  out.line("L2 distance between CLS with/without mask per sequence: [" + distances + "]");
  out.line();
  Table lengths(
      {{"", Align::kRight}, {"text", Align::kLeft}, {"tokens", Align::kRight}, {"padding", Align::kRight}});
  for (std::size_t i = 0; i < effects.size(); ++i) {
    lengths.add({std::to_string(i), std::string(first_characters(texts[i], 50)),
                 std::to_string(effects[i].tokens), std::to_string(effects[i].padding)});
  }
  out.write(lengths.markdown());
  out.line();
  out.line("The same for every hidden state:");
  out.write(layer_table(effects).markdown());
}

Expected<int> one_answer(const Options& options, Tasks& tasks, Output& out) {
  const Expected<std::vector<std::string>> texts = all_texts(options.input);
  if (!texts) return tl::unexpected(texts.error());
  if (options.curve) {
    if (texts->size() > 1) usage_error("--curve takes one text, got " + std::to_string(texts->size()));
    return print_curve(options, tasks, texts->front(), out);
  }
  Progress progress("mask-effect", Progress::Unit::kCount);
  const Expected<std::vector<MaskEffect>> effects =
      tasks.mask_effect(std::vector<TextInput>(texts->begin(), texts->end()), control_with(progress));
  if (!effects) {
    // a text alone needs no padding, so asking for each again costs nothing but its tokens
    for (std::size_t i = 0; i < texts->size(); ++i) {
      const TextInput one((*texts)[i]);
      if (!tasks.mask_effect({&one, 1})) return text_error(effects.error(), options.input, i);
    }
    return tl::unexpected(effects.error());
  }
  progress.wipe();
  return print_answer(out, options.output.format(),
                      {.json = [&](JsonWriter& json) { write_answer(json, *effects); },
                       .table = [&] { return layer_table(*effects); },
                       .report = [&] { print_text(out, *texts, *effects); }});
}

}  // namespace

Action define_mask_effect(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_task_options(app, *options, "TEXT", "the texts of one batch");
  app.add_option("--curve", options->curve, "one text with 0 to N padding tokens, without the mask")
      ->type_name("N")
      ->transform(whole_number(1, 1 << 20));
  app.footer(
      "Padding should not matter: with the mask it does not. Without it, this is how far [CLS] moves.\n"
      "JSON holds cls_l2 [sequence], per_layer [sequence][hidden state] and, for every token, per_token "
      "[sequence]\n"
      "[hidden state][token]; hidden state 0 is the embeddings.\n"
      "\n"
      "examples\n"
      "  bertlens mask-effect \"hello world\" \"hello\"                # cell 7 of the notebook\n"
      "  bertlens mask-effect --curve 32 \"hello\"\n"
      "  printf '{\"texts\": [\"hello world\", \"hello\"]}\\n' | bertlens mask-effect --jsonl");
  return [options] { return run_task(*options, "mask-effect", stream_handler, one_answer); };
}

}  // namespace bert::cli
