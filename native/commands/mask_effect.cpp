// `bertlens mask-effect`: what padding does to [CLS] without the attention mask (the notebook's cell 7).
#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "app/command.h"
#include "app/engine.h"
#include "app/options.h"
#include "app/request.h"
#include "app/stream.h"
#include "app/texts.h"
#include "io/table.h"
#include "io/utf8.h"

namespace bert::cli {
namespace {

struct Options {
  EngineOptions engine;
  InputOptions input;
  FormatOptions output;
  TruncationOptions truncation;
  std::optional<std::size_t> curve;
};

void write_answer(JsonWriter& json, const std::vector<MaskEffect>& effects) {
  json.begin_object().key("cls_l2").begin_array();
  for (const MaskEffect& effect : effects) json.number(effect.cls_l2);
  json.end_array().key("per_layer").begin_array();
  for (const MaskEffect& effect : effects) json.numbers(effect.per_layer);
  json.end_array().key("padding").begin_array();
  for (const MaskEffect& effect : effects) json.number(effect.padding);
  json.end_array().end_object();
}

Expected<int> stream(const Options& options, Tasks& tasks, Output& out) {
  const auto handler = [&](std::span<StreamLine> lines, const Emit& emit) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const Expected<std::vector<std::string>> texts =
          lines[i].object().and_then([&](const nlohmann::json& object) -> Expected<std::vector<std::string>> {
            if (lines[i].is_argument) return std::vector{lines[i].text};
            return text_list_field(object, "texts");
          });
      const auto effects = texts.and_then([&](const std::vector<std::string>& list) {
        return tasks.mask_effect(std::vector<TextInput>(list.begin(), list.end()));
      });
      if (effects) {
        lines[i].answer([&](JsonWriter& json) { write_answer(json, *effects); });
      } else {
        lines[i].refuse(effects.error());
      }
      emit(i);
    }
  };
  return run_stream(options.input, out, "mask-effect", handler);
}

// Distances of one text for 0 ... most padding tokens.
Expected<int> print_curve(const Options& options, Tasks& tasks, const std::string& text, Output& out) {
  std::vector<std::size_t> paddings(*options.curve + 1);
  for (std::size_t i = 0; i < paddings.size(); ++i) paddings[i] = i;
  Progress progress("mask-effect", Progress::Unit::kCount);
  const Expected<std::vector<double>> distances =
      tasks.mask_effect_curve(text, paddings, control_with(progress));
  if (!distances) return tl::unexpected(distances.error());
  progress.wipe();
  const Format format = options.output.format();
  if (format == Format::kJson) {
    std::string answer;
    JsonWriter json(answer);
    json.begin_object().key("padding").numbers(paddings).key("cls_l2").numbers(*distances).end_object();
    out.line(answer);
    return finish(out);
  }
  std::vector<Table::Column> columns = {{"padding", Align::kRight}, {"cls_l2", Align::kRight}};
  if (format == Format::kText) columns.push_back({"", Align::kLeft});
  Table table(std::move(columns));
  const double most = std::max(1e-12, *std::max_element(distances->begin(), distances->end()));
  for (std::size_t i = 0; i < paddings.size(); ++i) {
    std::vector<std::string> cells = {std::to_string(paddings[i]), fixed((*distances)[i], 4)};
    if (format == Format::kText)
      cells.emplace_back(static_cast<std::size_t>(40 * (*distances)[i] / most), '#');
    table.add(std::move(cells));
  }
  out.write(format == Format::kCsv ? table.csv() : table.markdown());
  return finish(out);
}

Table layer_table(const std::vector<MaskEffect>& effects) {
  std::vector<Table::Column> columns = {{"hidden state", Align::kLeft}};
  for (std::size_t i = 0; i < effects.size(); ++i)
    columns.push_back({"sequence " + std::to_string(i), Align::kRight});
  Table table(std::move(columns));
  for (std::size_t state = 0; state < effects.front().per_layer.size(); ++state) {
    std::vector<std::string> cells = {state == 0 ? "embeddings" : "layer " + std::to_string(state)};
    for (const MaskEffect& effect : effects) cells.push_back(fixed(effect.per_layer[state], 4));
    table.add(std::move(cells));
  }
  return table;
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
  if (!effects) return tl::unexpected(effects.error());
  progress.wipe();
  switch (options.output.format()) {
    case Format::kJson:
    case Format::kJsonLines: {
      std::string text;
      JsonWriter json(text);
      write_answer(json, *effects);
      out.line(text);
      break;
    }
    case Format::kCsv:
      out.write(layer_table(*effects).csv());
      break;
    case Format::kMarkdown:
      out.write(layer_table(*effects).markdown());
      break;
    case Format::kText: {
      std::string distances;
      for (const MaskEffect& effect : *effects) {
        distances += (distances.empty() ? "" : ", ") + python_number(effect.cls_l2);
      }
      out.line("L2 distance between CLS with/without mask per sequence: [" + distances + "]");
      out.line();
      Table lengths({{"", Align::kRight},
                     {"text", Align::kLeft},
                     {"tokens", Align::kRight},
                     {"padding", Align::kRight}});
      for (std::size_t i = 0; i < effects->size(); ++i) {
        lengths.add({std::to_string(i), std::string(first_characters((*texts)[i], 50)),
                     std::to_string((*effects)[i].tokens), std::to_string((*effects)[i].padding)});
      }
      out.write(lengths.markdown());
      out.line();
      out.line("The same for every hidden state:");
      out.write(layer_table(*effects).markdown());
    }
  }
  return finish(out);
}

Expected<int> run(const Options& options) {
  check_input(options.input);
  const Expected<std::unique_ptr<Tasks>> tasks =
      load_tasks(options.engine, encode_options(options.truncation));
  if (!tasks) return tl::unexpected(tasks.error());
  Output out(1, "standard output");
  return options.output.json_lines ? stream(options, **tasks, out) : one_answer(options, **tasks, out);
}

}  // namespace

Action define_mask_effect(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_input_options(app, options->input, "TEXT", "the texts of one batch");
  app.add_option("--curve", options->curve, "one text with 0 to N padding tokens, without the mask")
      ->type_name("N")
      ->check(whole_number(1, 1 << 20));
  add_truncation_options(app, options->truncation);
  add_format_options(app, options->output);
  add_engine_options(app, options->engine);
  app.footer(
      "Padding should not matter: with the mask it does not. Without it, this is how far [CLS] moves.\n"
      "\n"
      "examples\n"
      "  bertlens mask-effect \"hello world\" \"hello\"                # cell 7 of the notebook\n"
      "  bertlens mask-effect --curve 32 \"hello\"\n"
      "  printf '{\"texts\": [\"hello world\", \"hello\"]}\\n' | bertlens mask-effect --jsonl");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
