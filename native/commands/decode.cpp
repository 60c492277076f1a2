// `bertlens decode`: token ids to text.
#include <charconv>
#include <memory>
#include <string>
#include <vector>

#include "app/answer.h"
#include "app/command.h"
#include "app/model_folder.h"
#include "app/options.h"
#include "app/request.h"
#include "app/stream.h"
#include "app/texts.h"
#include "io/error_line.h"
#include "io/parallel.h"
#include "io/table.h"

namespace bert::cli {
namespace {

struct Options {
  EngineOptions engine;
  InputOptions input;
  FormatOptions output;
  DecodeOptions decoding;
};

// Numbers between blanks, commas or brackets: "101 7592 102" as well as "[101, 7592, 102]".
Expected<std::vector<std::int32_t>> read_ids(const std::string& text) {
  constexpr const char* kBetween = " \t,[]";
  std::vector<std::int32_t> ids;
  for (std::size_t at = 0; (at = text.find_first_not_of(kBetween, at)) != std::string::npos;) {
    const std::size_t end = std::min(text.find_first_of(kBetween, at), text.size());
    std::int32_t id = 0;
    const auto result = std::from_chars(text.data() + at, text.data() + end, id);
    if (result.ec != std::errc() || result.ptr != text.data() + end) {
      return fail(ErrorCode::kInvalidArgument, in_quotes(text.substr(at, end - at)) + " is not a token id");
    }
    ids.push_back(id);
    at = end;
  }
  return ids;
}

Expected<std::string> decode_line(const StreamLine& line, const Tokenizer& tokenizer,
                                  const DecodeOptions& options) {
  if (line.is_argument) {
    return read_ids(line.text).and_then([&](const auto& ids) { return tokenizer.decode(ids, options); });
  }
  return line.object()
      .and_then([&](const nlohmann::json& object) {
        return integer_list_field(object, "input_ids", line.text, "an id", tokenizer.size() - 1);
      })
      .and_then([&](const auto& ids) { return tokenizer.decode(ids, options); });
}

void write_answer(JsonWriter& json, std::string_view text) {
  json.begin_object().key("text").string(text).end_object();
}

Expected<int> run(Options& options) {
  check_input(options.input);
  const Expected<std::shared_ptr<const Tokenizer>> tokenizer = load_tokenizer(options.engine);
  if (!tokenizer) return tl::unexpected(tokenizer.error());
  // ids given as arguments are one row, however the shell cut them
  if (options.input.texts.size() > 1) {
    std::string row;
    for (const std::string& part : options.input.texts) row += part + " ";
    options.input.texts = {row};
  }
  Output out(1, "standard output");
  if (options.output.json_lines) {
    const StreamHandler handler = [&](std::span<StreamLine> lines, const Emit&) {
      parallel_for(lines.size(), options.engine.threads, [&](std::size_t i) {
        lines[i].settle(decode_line(lines[i], **tokenizer, options.decoding), write_answer);
      });
    };
    return run_stream(options.input, out, "decode", {&handler, 1});
  }
  const Expected<std::vector<std::string>> rows = all_texts(options.input);
  if (!rows) return tl::unexpected(rows.error());
  std::vector<Expected<std::string>> decoded;
  for (const std::string& row : *rows) {
    decoded.push_back(
        read_ids(row).and_then([&](const auto& ids) { return (*tokenizer)->decode(ids, options.decoding); }));
  }
  const Expected<std::vector<std::string>> texts = all_or_error(std::move(decoded), options.input);
  if (!texts) return tl::unexpected(texts.error());
  return print_answer(out, options.output.format(),
                      {.json = [&](JsonWriter& json) { write_list(json, *texts, write_answer); },
                       .table =
                           [&] {
                             Table table({{"row", Align::kRight}, {"text", Align::kLeft}});
                             for (std::size_t i = 0; i < texts->size(); ++i)
                               table.add({std::to_string(i), (*texts)[i]});
                             return table;
                           },
                       .report =
                           [&] {
                             for (const std::string& text : *texts) out.line(text);
                           }});
}

}  // namespace

Action define_decode(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_input_options(app, options->input, "ID", "token ids; in files a row of ids a line");
  app.add_flag("--skip-special-tokens", options->decoding.skip_special_tokens,
               "leave out [CLS], [SEP], [PAD] ...");
  add_choice<CleanUp>(
      app, "--clean-up", options->decoding.clean_up,
      {{"none", CleanUp::kNone}, {"token", CleanUp::kTokenByToken}, {"string", CleanUp::kWholeString}},
      "blanks before punctuation: kept; removed token by token, as the fast tokenizer does (default); "
      "removed in the whole string, as the slow one does (don't)");
  add_format_options(app, options->output);
  add_engine_options(app, options->engine, {.backend = false, .precision = false});
  app.footer(
      "examples\n"
      "  bertlens decode 101 7592 2088 102\n"
      "  bertlens decode --skip-special-tokens --clean-up string \"[101, 2123, 1005, 1056, 102]\"\n"
      "  printf '{\"input_ids\": [101, 7592, 102]}\\n' | bertlens decode --jsonl");
  return [options] { return run(*options); };
}

}  // namespace bert::cli
