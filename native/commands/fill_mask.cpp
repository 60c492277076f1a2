// `bertlens fill-mask`: what the model puts at each [MASK]. Without a format it prints the reports of the
// notebook's cells 9 and 10, with --mask-words that of Exercise 4.
#include <algorithm>
#include <charconv>
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
#include "io/utf8.h"

namespace bert::cli {
namespace {

struct Options : TaskOptions {
  std::optional<std::size_t> top_k;
  std::vector<std::string> targets;
  std::optional<std::string> label_text;
  std::vector<std::size_t> mask_words;
  bool one_mask_per_word = false;
  MaskOrder order = MaskOrder::kIndependent;

  FillMaskOptions filling() const { return {.top_k = top_k, .order = order}; }
};

std::vector<std::size_t> word_positions(const std::string& text) {
  std::vector<std::size_t> positions;
  for (const std::string& part : split_at_commas(text)) {
    std::size_t position = 0;
    const auto result = std::from_chars(part.data(), part.data() + part.size(), position);
    if (result.ec != std::errc() || result.ptr != part.data() + part.size()) {
      throw CLI::ValidationError("--mask-words", in_quotes(part) + " is not the position of a word");
    }
    positions.push_back(position);
  }
  return positions;
}

// One question, owned.
struct Question {
  std::string text;
  std::optional<std::string> pair;
  std::vector<std::string> targets;
  std::optional<std::string> label_text;
  // what gave these two: an option, or the field of a line
  std::string targets_from = "--targets", label_from = "--label-text";

  FillMaskInput input() const {
    FillMaskInput input{pair ? TextInput(text, *pair) : TextInput(text), targets, {}};
    if (label_text) input.label_text = *label_text;
    return input;
  }
};

std::vector<FillMaskInput> inputs_of(std::span<const Question> questions) {
  std::vector<FillMaskInput> inputs;
  inputs.reserve(questions.size());
  for (const Question& question : questions) inputs.push_back(question.input());
  return inputs;
}

// The library knows labels and targets by what they are; here also where they come from.
Error named(const Question& question, const Error& error) {
  if (error.message.starts_with("the target "))
    return {error.code, question.targets_from + ": " + error.message};
  if (question.label_text && error.message.starts_with("the label text "))
    return {error.code, question.label_from + " " + in_quotes(*question.label_text) + ": " + error.message};
  return error;
}

std::vector<Expected<FillMaskAnswer>> fill_all(const Options& options, Tasks& tasks,
                                               std::span<const Question> questions,
                                               const CallControl& control) {
  auto answers = tasks.fill_mask_batch(inputs_of(questions), options.filling(), control);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i]) answers[i] = tl::unexpected(named(questions[i], answers[i].error()));
  }
  return answers;
}

Expected<Question> read_question(const Options& options, const StreamLine& line) {
  const Expected<nlohmann::json> object = line.object();
  if (!object) return tl::unexpected(object.error());
  Question question{.text = {}, .pair = {}, .targets = options.targets, .label_text = options.label_text};
  Expected<std::string> text = text_field(*object, "text");
  if (!text) return tl::unexpected(text.error());
  question.text = std::move(*text);
  for (const auto& [name, target] :
       {std::pair{"pair", &question.pair}, {"label_text", &question.label_text}}) {
    Expected<std::optional<std::string>> value = optional_text_field(*object, name);
    if (!value) return tl::unexpected(value.error());
    if (!*value) continue;
    *target = std::move(*value);
    if (target == &question.label_text) question.label_from = "\"label_text\"";
  }
  if (has_field(*object, "targets")) {
    Expected<std::vector<std::string>> targets = text_list_field(*object, "targets");
    if (!targets) return tl::unexpected(targets.error());
    if (targets->empty()) return fail(ErrorCode::kInvalidArgument, "\"targets\" is an empty list");
    question.targets = std::move(*targets);
    question.targets_from = "\"targets\"";
  }
  return question;
}

// A label stands in no list, so it has no running sum.
void write_prediction(JsonWriter& json, const Prediction& prediction, bool in_list) {
  const bool single = prediction.pieces.size() == 1;
  json.begin_object().key("token").string(prediction.token).key("id");
  single ? json.number(prediction.pieces.front()) : json.null();
  if (!single) json.key("ids").numbers(prediction.pieces);
  json.key("probability").number(prediction.probability).key("logit").number(prediction.logit);
  json.key("loss").number(prediction.loss).key("rank");
  single ? json.number(prediction.rank) : json.null();
  if (in_list) json.key("cumulative").number(prediction.cumulative);
  json.end_object();
}

void write_answer(JsonWriter& json, const FillMaskAnswer& answer) {
  json.begin_object().key("masks").begin_array();
  for (const MaskAnswer& mask : answer.masks) {
    json.begin_object().key("position").number(mask.position).key("step").number(mask.step);
    json.key("predictions").begin_array();
    for (const Prediction& prediction : mask.predictions) write_prediction(json, prediction, true);
    json.end_array();
    if (mask.label) {
      json.key("label");
      write_prediction(json, *mask.label, false);
    }
    json.end_object();
  }
  json.end_array().key("sequence").string(answer.sequence);
  if (answer.loss) json.key("loss").number(*answer.loss).key("labels").numbers(answer.labels);
  json.end_object();
}

StreamHandler stream_handler(const Options& options, Tasks& tasks) {
  const auto read = [&options](const StreamLine& line) { return read_question(options, line); };
  const auto solve = [&options, &tasks](std::span<const Question> questions, const CallControl& control) {
    return fill_all(options, tasks, questions, control);
  };
  const StreamHandler together = solve_together(read, solve, write_answer);
  // predictions of all lines that are solved together are in memory at once
  constexpr std::size_t kMostPredictions = 1 << 16;
  const std::size_t most = std::max<std::size_t>(1, kMostPredictions / options.top_k.value_or(5));
  return [together, most](std::span<StreamLine> lines, const Emit& emit) {
    for (std::size_t begin = 0; begin < lines.size(); begin += most) {
      const std::size_t count = std::min(most, lines.size() - begin);
      together(lines.subspan(begin, count), emit);
      emit(begin + count - 1);
    }
  };
}

// ---- reports for people ---------------------------------------------------------------------------------

std::string in_column(const std::string& text, std::size_t width) {
  const std::size_t own = display_width(text);
  return text + std::string(own < width ? width - own : 0, ' ');
}

// Cell 9's labels and loss.
void print_labels(Output& out, const Tokenizer& tokenizer, const FillMaskAnswer& answer) {
  out.line("Tokens: " + python_list(token_strings(tokenizer, answer.label_ids)));
  out.line("Labels before masking non-[MASK]: [" + number_list(answer.label_ids) + "]");
  out.line("Labels after masking non-[MASK]: [" + number_list(answer.labels) + "]");
  for (const MaskAnswer& mask : answer.masks) {
    out.line("Loss at position " + std::to_string(mask.position) + " ('" + printable(mask.label->token) +
             "', rank " + with_separators(mask.label->rank) + "): " + fixed(mask.label->loss, 4));
  }
  out.line("Loss: " + fixed(*answer.loss, 2));
  out.line();
}

// Cell 10's table.
void print_predictions(Output& out, const MaskAnswer& mask) {
  out.line(in_column("Rank", 7) + in_column("Token", 16) + in_column("Probability", 16) +
           in_column("Loss if correct", 20) + " Cumulative");
  out.line(std::string(72, '-'));
  for (std::size_t i = 0; i < mask.predictions.size(); ++i) {
    const Prediction& prediction = mask.predictions[i];
    out.line(in_column(std::to_string(i + 1), 7) + in_column(printable(prediction.token), 15) + " " +
             in_column(probability_text(prediction.probability), 16) +
             in_column(fixed(prediction.loss, 4), 20) + " " + fixed(prediction.cumulative, 4) +
             (i == 0 ? "  \xe2\x86\x90 PREDICTED" : ""));
  }
}

void print_text(Output& out, const Tokenizer& tokenizer, const Question& question,
                const FillMaskAnswer& answer) {
  const Expected<std::int32_t> mask_id = tokenizer.special_token_id("mask_token");
  out.line("[MASK] -> " + std::to_string(mask_id.value_or(0)));
  for (const MaskAnswer& mask : answer.masks) {
    const Prediction& best = mask.predictions.front();
    out.line("Predicted token id: " +
             (best.pieces.size() > 1 ? number_list(best.pieces) : std::to_string(best.pieces.front())) +
             " -> " + printable(best.token));
  }
  out.line();
  if (answer.loss) print_labels(out, tokenizer, answer);
  for (const MaskAnswer& mask : answer.masks) {
    const std::size_t count = mask.predictions.size();
    out.line((question.targets.empty() ? "Top " + std::to_string(count) + " predictions"
                                       : "The " + std::to_string(count) + " targets") +
             " for '" + printable(question.text) + "'" +
             (answer.masks.size() > 1 ? " at position " + std::to_string(mask.position) : "") + ":");
    out.line();
    print_predictions(out, mask);
    out.line();
  }
  out.line("Filled: " + printable(answer.sequence));
  if (answer.masks.size() > 1) {
    double sum = 0;
    for (const MaskAnswer& mask : answer.masks) sum += mask.predictions.front().probability;
    out.line("Average confidence of top predictions: " +
             fixed(100 * sum / static_cast<double>(answer.masks.size()), 2) + "%");
  }
}

// Text `index` with [MASK] in the place of the words of --mask-words. Where it lacks one of them: a usage
// error (thrown).
Expected<MaskedText> mask_chosen_words(const Options& options, const Tokenizer& tokenizer,
                                       const std::string& text, std::size_t index) {
  const Expected<Encoding> row = tokenizer.encode(text, {});
  if (!row) return tl::unexpected(row.error());
  const Expected<std::int32_t> mask_id = tokenizer.special_token_id("mask_token");
  if (mask_id && std::find(row->ids.begin(), row->ids.end(), *mask_id) != row->ids.end()) {
    return fail(ErrorCode::kInvalidArgument,
                in_quotes(text) + " has a [MASK] already: --mask-words takes a text without");
  }
  Expected<MaskedText> masked = mask_words(tokenizer, text, options.mask_words, !options.one_mask_per_word);
  if (!masked && masked.error().code == ErrorCode::kInvalidArgument) {
    const Error wrong{masked.error().code, "--mask-words: " + masked.error().message};
    usage_error(text_error(wrong, options.input, index).value().message);
  }
  return masked;
}

// Truncation may have cut masks off, which an answer without them would hide.
Status check_all_masked(const MaskedText& masked, const FillMaskAnswer& answer) {
  std::size_t masks = 0;
  for (const MaskedWord& word : masked.words) masks += word.masks;
  if (masks == answer.masks.size()) return {};
  return fail(ErrorCode::kTooLong, "truncation cut off " + std::to_string(masks - answer.masks.size()) +
                                       " of the " + std::to_string(masks) + " masks of --mask-words");
}

// Exercise 4.
Status print_masked_words(Output& out, const Options& options, Tasks& tasks, const std::string& text,
                          std::size_t index) {
  const Expected<MaskedText> masked = mask_chosen_words(options, tasks.tokenizer(), text, index);
  if (!masked) return tl::unexpected(masked.error());
  const Question question{masked->text, {}, options.targets, {}};
  const Expected<FillMaskAnswer> answer = tasks.fill_mask(question.input(), options.filling());
  if (!answer) return tl::unexpected(named(question, answer.error()));
  if (Status all = check_all_masked(*masked, *answer); !all) return all;
  const std::string line(70, '=');
  out.line("Original: " + printable(text));
  out.line("Masked:   " + printable(masked->text));
  out.line();
  out.line(line);
  out.line("PREDICTIONS");
  out.line(line);
  double sum = 0;
  for (const MaskedWord& word : masked->words) {
    const Expected<Encoding> original = tasks.tokenizer().encode(word.original, {});
    for (std::size_t i = 0; i < word.masks; ++i) {
      const MaskAnswer& mask = answer->masks[word.first_mask + i];
      const std::string piece =
          word.masks > 1 ? " (piece " + std::to_string(i + 1) + " of " + std::to_string(word.masks) + ")"
                         : "";
      out.line();
      out.line("Position " + std::to_string(word.word) + " - Original word: '" + printable(word.original) +
               "'" + piece);
      out.line(std::string(50, '-'));
      for (std::size_t rank = 0; rank < mask.predictions.size(); ++rank) {
        const Prediction& prediction = mask.predictions[rank];
        // the word's own piece: [CLS] stands before it
        const bool right = original && original->size() == word.masks + 2 &&
                           prediction.pieces == std::vector<std::int32_t>{original->ids[i + 1]};
        char percent[32];
        std::snprintf(percent, sizeof percent, "%5.2f%%", 100 * prediction.probability);
        out.line("  " + std::to_string(rank + 1) + ". " + in_column(printable(prediction.token), 15) +
                 " (confidence: " + percent + ")" + (right ? " \xe2\x9c\x93" : ""));
      }
      sum += mask.predictions.front().probability;
    }
  }
  out.line();
  out.line(line);
  out.line("Average confidence of top predictions: " +
           fixed(100 * sum / static_cast<double>(answer->masks.size()), 2) + "%");
  return {};
}

Table prediction_table(std::span<const FillMaskAnswer> answers) {
  const bool labelled =
      std::ranges::any_of(answers, [](const FillMaskAnswer& answer) { return answer.loss.has_value(); });
  std::vector<Table::Column> columns = {
      {"row", Align::kRight},  {"position", Align::kRight}, {"rank", Align::kRight},
      {"token", Align::kLeft}, {"id", Align::kRight},       {"probability", Align::kRight},
      {"loss", Align::kRight}, {"logit", Align::kRight},    {"cumulative", Align::kRight}};
  if (labelled) {
    columns.push_back({"label", Align::kLeft});
    columns.push_back({"label_loss", Align::kRight});
  }
  Table table(std::move(columns));
  for (std::size_t row = 0; row < answers.size(); ++row) {
    for (const MaskAnswer& mask : answers[row].masks) {
      for (std::size_t i = 0; i < mask.predictions.size(); ++i) {
        const Prediction& p = mask.predictions[i];
        const bool single = p.pieces.size() == 1;
        std::vector<Cell> cells = {std::to_string(row),
                                   std::to_string(mask.position),
                                   std::to_string(i + 1),
                                   p.token,
                                   single ? std::to_string(p.pieces.front()) : std::string(),
                                   decimal(p.probability, 6),
                                   decimal(p.loss, 4),
                                   single ? decimal(p.logit, 4) : Cell(std::string()),
                                   decimal(p.cumulative, 6)};
        if (labelled) {
          cells.emplace_back(mask.label ? mask.label->token : std::string());
          cells.push_back(mask.label ? decimal(mask.label->loss, 4) : Cell(std::string()));
        }
        table.add(std::move(cells));
      }
    }
  }
  return table;
}

Expected<int> one_answer(const Options& options, Tasks& tasks, Output& out) {
  const Expected<std::vector<std::string>> texts = all_texts(options.input);
  if (!texts) return tl::unexpected(texts.error());
  const Format format = options.output.format();
  std::vector<Question> questions;
  std::vector<MaskedText> all_masked;
  for (std::size_t i = 0; i < texts->size(); ++i) {
    const std::string& text = (*texts)[i];
    if (!options.mask_words.empty() && format == Format::kText) {
      if (i > 0) out.line();
      if (Status printed = print_masked_words(out, options, tasks, text, i); !printed) {
        return text_error(printed.error(), options.input, i);
      }
      continue;
    }
    questions.push_back({text, {}, options.targets, options.label_text});
    if (options.mask_words.empty()) continue;
    Expected<MaskedText> masked = mask_chosen_words(options, tasks.tokenizer(), text, i);
    if (!masked) return text_error(masked.error(), options.input, i);
    // the text itself holds what the masks hide, so it is the label where each piece has its mask
    if (!options.one_mask_per_word) questions.back().label_text = text;
    questions.back().text = masked->text;
    all_masked.push_back(std::move(*masked));
  }
  Progress progress("fill-mask", Progress::Unit::kCount);
  const Expected<std::vector<FillMaskAnswer>> answers =
      all_or_error(fill_all(options, tasks, questions, control_with(progress)), options.input);
  if (!answers) return tl::unexpected(answers.error());
  for (std::size_t i = 0; i < all_masked.size(); ++i) {
    if (Status all = check_all_masked(all_masked[i], (*answers)[i]); !all)
      return text_error(all.error(), options.input, i);
  }
  progress.wipe();
  return print_answer(out, format,
                      {.json = [&](JsonWriter& json) { write_list(json, *answers, write_answer); },
                       .table = [&] { return prediction_table(*answers); },
                       .report =
                           [&] {
                             for (std::size_t i = 0; i < answers->size(); ++i) {
                               if (i > 0) out.line("\n" + std::string(72, '='));
                               print_text(out, tasks.tokenizer(), questions[i], (*answers)[i]);
                             }
                           }});
}

// `answer` once the model is there to say how large its vocabulary is.
template <class OnTasks>
auto with_checked_top_k(OnTasks answer) {
  return [answer](const Options& options, Tasks& tasks, auto&... out) {
    const std::size_t vocabulary = tasks.encoder().config().vocab_size;
    if (options.top_k && *options.top_k > vocabulary) {
      usage_error("--top-k: must be from 1 to " + std::to_string(vocabulary) + " (the vocabulary), got " +
                  std::to_string(*options.top_k));
    }
    return answer(options, tasks, out...);
  };
}

Expected<int> run(const Options& options) {
  if (options.output.json_lines && !options.mask_words.empty())
    usage_error("--mask-words works without --jsonl");
  if (!options.mask_words.empty() && options.label_text)
    usage_error("--mask-words and --label-text exclude each other: the text itself is the label");
  if (!options.mask_words.empty() && options.truncation.untrusted)
    usage_error("--mask-words and --untrusted exclude each other: the masks would be read as plain text");
  return run_task(options, "fill-mask", with_checked_top_k(stream_handler), with_checked_top_k(one_answer),
                  Head::kMlm);
}

}  // namespace

Action define_fill_mask(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_task_options(app, *options, "TEXT", "texts with [MASK]");
  app.add_option("--label-text", options->label_text,
                 "the text with its masks filled rightly: gives labels and loss")
      ->type_name("TEXT")
      ->group("Input");
  app.add_option_function<std::string>(
         "--mask-words", [options](const std::string& text) { options->mask_words = word_positions(text); },
         "mask these words of a text without [MASK], counted from 0: 1,4,7 (Exercise 4)")
      ->type_name("N,...")
      ->group("Input");
  app.add_flag("--one-mask-per-word", options->one_mask_per_word,
               "one [MASK] a word; default: one for each of its pieces")
      ->needs("--mask-words")
      ->group("Input");
  app.add_option("--top-k", options->top_k, "predictions for each mask; default: 5, or all targets")
      ->type_name("K")
      ->transform(whole_number(1, std::numeric_limits<std::int32_t>::max()));
  app.add_option_function<std::string>(
         "--targets", [options](const std::string& text) { options->targets = split_at_commas(text); },
         "score these words alone: paris,london; probabilities stay those over the whole vocabulary")
      ->type_name("WORD,...")
      ->check(CLI::Validator(
          [](const std::string& text) {
            const std::vector<std::string> words = split_at_commas(text);
            const bool empty = std::any_of(words.begin(), words.end(), std::mem_fn(&std::string::empty));
            return empty ? in_quotes(text) + " has an empty word" : std::string();
          },
          "", "words"));
  add_choice<MaskOrder>(
      app, "--order", options->order,
      {{"independent", MaskOrder::kIndependent},
       {"left_to_right", MaskOrder::kLeftToRight},
       {"most_confident", MaskOrder::kMostConfident}},
      "several masks: each as if alone (default), or each filled before the next is computed");
  app.footer(
      "With --jsonl a line holds \"text\" and perhaps \"targets\", \"label_text\", \"pair\". A target of "
      "several pieces\n"
      "takes that many masks; its probability is the product over its pieces, each with those before it "
      "filled "
      "in;\n"
      "its id and logit are null, \"ids\" names the pieces.\n"
      "\n"
      "examples\n"
      "  bertlens fill-mask --top-k 10 --label-text \"The capital of France is Paris.\" \\\n"
      "      \"The capital of France is [MASK].\"                            # cells 9 and 10 of the "
      "notebook\n"
      "  bertlens fill-mask --mask-words 1,4,7 \"The quick brown fox jumps over the lazy dog\"    # Exercise "
      "4\n"
      "  bertlens fill-mask --targets paris,london,lyon \"The capital of France is [MASK].\"\n"
      "  bertlens fill-mask --order most_confident \"[MASK] [MASK] is the capital of Germany.\"\n"
      "  printf '{\"text\": \"a [MASK].\", \"targets\": [\"dog\", \"cat\"]}\\n' | bertlens fill-mask "
      "--jsonl");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
