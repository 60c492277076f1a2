// The tokenizer behind a pipe, for the scripts that hold it against the reference or measure it. Reads
// commands of one JSON line each on standard input:
//   {"load": {"vocab": PATH | "json": PATH, "config": STRING?, "lowercase": BOOL?, ...}}     answers one JSON
//   line
//   {"encode": {OPTIONS}, "count": N, "columns": "places" | "all", "unit": "code_points"}    then N inputs
//   follow
//   {"decode": {OPTIONS}, "count": N}                                                        then N lists of
//   ids follow
//   {"explain": {}, "count": N}                          as encode, through explain(); columns "places"
//   {"time": {OPTIONS}, "count": N, "runs": R, "threads": T}     then N inputs; answers {"ms": [...], "hash":
//   ...} in a line
// An input is u8 flags (1 pair, 2 split into words) and for each sequence a string, or u32 and that many
// strings; a string is u32 and bytes; numbers are little-endian. An encoded row is u32 tokens, then int32
// columns: ids, begins, ends, words
// ("places"), also types, mask, special, sequences ("all"), then u32 and that many overflowing rows. A row
// that failed is u32 0xffffffff and a string. A decoded row is a string. Before all rows of a command comes
// their size in bytes, u32.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bert/tokenizer.h"

namespace {

using nlohmann::json;

[[noreturn]] void stop(const std::string& message) {
  std::cerr << "tokenizer_driver: " << message << "\n";
  std::exit(2);
}

std::string file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) stop("cannot read " + path);
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

std::uint32_t read_u32() {
  unsigned char bytes[4];
  if (!std::cin.read(reinterpret_cast<char*>(bytes), 4)) stop("the input ends within a number");
  return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | static_cast<std::uint32_t>(bytes[3]) << 24;
}

std::string read_string() {
  std::string text(read_u32(), '\0');
  if (!text.empty() && !std::cin.read(text.data(), static_cast<std::streamsize>(text.size())))
    stop("the input ends within a string");
  return text;
}

/// An input that owns its bytes.
struct Input {
  std::vector<std::string> strings;
  std::vector<std::string_view> first_words;
  std::vector<std::string_view> second_words;
  bert::TextInput view;
};

Input read_input() {
  Input input;
  const int flags = std::cin.get();
  if (flags < 0) stop("the input ends before all rows came");
  std::size_t counts[2] = {1, (flags & 1) != 0 ? 1u : 0u};
  for (std::size_t i = 0; i < 2; ++i) {
    if (counts[i] == 0) continue;
    if ((flags & 2) != 0) counts[i] = read_u32();
    for (std::size_t k = 0; k < counts[i]; ++k) input.strings.push_back(read_string());
  }
  if ((flags & 2) != 0) {
    input.first_words.assign(input.strings.begin(),
                             input.strings.begin() + static_cast<std::ptrdiff_t>(counts[0]));
    input.second_words.assign(input.strings.begin() + static_cast<std::ptrdiff_t>(counts[0]),
                              input.strings.end());
    input.view.first = bert::TextSequence(std::span<const std::string_view>(input.first_words));
    if ((flags & 1) != 0)
      input.view.second = bert::TextSequence(std::span<const std::string_view>(input.second_words));
  } else {
    input.view.first = bert::TextSequence(input.strings[0]);
    if ((flags & 1) != 0) input.view.second = bert::TextSequence(input.strings[1]);
  }
  return input;
}

std::vector<Input> read_inputs(const json& command) {
  std::vector<Input> inputs;
  const auto count = command.at("count").get<std::size_t>();
  inputs.reserve(count);  // views point into the elements
  for (std::size_t i = 0; i < count; ++i) inputs.push_back(read_input());
  return inputs;
}

std::vector<bert::TextInput> views(const std::vector<Input>& inputs) {
  std::vector<bert::TextInput> out;
  out.reserve(inputs.size());
  for (const Input& input : inputs) out.push_back(input.view);
  return out;
}

std::string output;

void put_u32(std::uint32_t n) {
  for (int shift = 0; shift < 32; shift += 8) output += static_cast<char>(n >> shift & 255);
}

void put_string(const std::string& text) {
  put_u32(static_cast<std::uint32_t>(text.size()));
  output += text;
}

template <class Column>
void put_column(const Column& column) {
  for (const auto value : column) put_u32(static_cast<std::uint32_t>(static_cast<std::int32_t>(value)));
}

void put_row(const bert::Encoding& row, const bert::TextInput& input, bool all) {
  const auto offsets = bert::convert_offsets(row, input, bert::OffsetUnit::kCodePoints);
  put_u32(static_cast<std::uint32_t>(row.size()));
  put_column(row.ids);
  for (const bert::Offsets& place : offsets) put_u32(place.begin);
  for (const bert::Offsets& place : offsets) put_u32(place.end);
  put_column(row.word_ids);
  if (all) {
    put_column(row.type_ids);
    put_column(row.attention_mask);
    put_column(row.special_tokens_mask);
    put_column(row.sequence_ids);
  }
  put_u32(static_cast<std::uint32_t>(row.overflowing.size()));
  for (const bert::Encoding& further : row.overflowing) put_row(further, input, all);
}

void flush(bool sized) {
  if (sized) {
    std::string rows;
    rows.swap(output);
    put_u32(static_cast<std::uint32_t>(rows.size()));
    output += rows;
  }
  std::fwrite(output.data(), 1, output.size(), stdout);
  std::fflush(stdout);
  output.clear();
}

bert::Side side(const std::string& name) {
  return name == "left" ? bert::Side::kLeft : bert::Side::kRight;
}

bert::EncodeOptions encode_options(const json& in) {
  bert::EncodeOptions out;
  if (in.contains("max_length")) out.max_length = in["max_length"].get<std::uint32_t>();
  if (in.contains("padding_side")) out.padding_side = side(in["padding_side"]);
  if (in.contains("truncation_side")) out.truncation_side = side(in["truncation_side"]);
  const std::string padding = in.value("padding", "none");
  if (padding == "longest") out.padding = bert::Padding::kLongest;
  if (padding == "max_length") out.padding = bert::Padding::kMaxLength;
  if (in.contains("truncation")) {
    const std::string strategy = in["truncation"];
    out.truncation = strategy == "longest_first" ? bert::Truncation::kLongestFirst
                     : strategy == "only_first"  ? bert::Truncation::kOnlyFirst
                     : strategy == "only_second" ? bert::Truncation::kOnlySecond
                                                 : bert::Truncation::kNone;
  }
  out.pad_to_multiple_of = in.value("pad_to_multiple_of", 0u);
  out.stride = in.value("stride", 0u);
  out.return_overflowing = in.value("overflowing", false);
  out.add_special_tokens = in.value("special_tokens", true);
  out.recognize_special_tokens = in.value("recognize", true);
  return out;
}

std::optional<bert::Tokenizer> load(const json& in) {
  std::string vocab;
  std::string tokenizer_json;
  const std::string config = in.value("config", "");
  if (in.contains("vocab")) vocab = file(in["vocab"]);
  if (in.contains("json")) tokenizer_json = file(in["json"]);
  bert::TokenizerOptions options;
  const auto flag = [&](const char* name, std::optional<bool>& value) {
    if (in.contains(name)) value = in[name].get<bool>();
  };
  flag("lowercase", options.lowercase);
  flag("strip_accents", options.strip_accents);
  flag("tokenize_chinese_chars", options.tokenize_chinese_chars);
  flag("clean_text", options.clean_text);
  const auto begin = std::chrono::steady_clock::now();
  auto tokenizer = bert::Tokenizer::load({vocab, tokenizer_json, config}, options);
  const std::chrono::duration<double, std::milli> ms = std::chrono::steady_clock::now() - begin;
  if (!tokenizer) {
    output += json{{"error", tokenizer.error().message}}.dump() + "\n";
    return std::nullopt;
  }
  output += json{{"load_ms", ms.count()}, {"size", tokenizer->size()}}.dump() + "\n";
  return std::move(*tokenizer);
}

void encode(const bert::Tokenizer& tokenizer, const json& command) {
  const std::vector<Input> inputs = read_inputs(command);
  const bert::EncodeOptions options = encode_options(command["encode"]);
  const bool all = command.value("columns", "places") == "all";
  const auto put_error = [](const bert::Error& error) {
    put_u32(0xffffffff);
    put_string(error.message);
  };
  if (options.padding == bert::Padding::kNone) {
    for (const Input& input : inputs) {
      const auto row = tokenizer.encode(input.view, options);
      if (row) {
        put_row(*row, input.view, all);
      } else {
        put_error(row.error());
      }
    }
    return;
  }
  const auto rows = tokenizer.encode_batch(views(inputs), options);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (rows) {
      put_row((*rows)[i], inputs[i].view, all);
    } else {
      put_error(rows.error());
    }
  }
}

void explain(const bert::Tokenizer& tokenizer, const json& command) {
  for (const Input& input : read_inputs(command)) {
    const auto told = tokenizer.explain(input.view.first.text);
    if (!told) {
      put_u32(0xffffffff);
      put_string(told.error().message);
      continue;
    }
    bert::Encoding row;
    for (std::size_t word = 0; word < told->words.size(); ++word) {
      const bert::ExplainedWord& from = told->words[word];
      row.ids.insert(row.ids.end(), from.ids.begin(), from.ids.end());
      row.offsets.insert(row.offsets.end(), from.offsets.begin(), from.offsets.end());
      row.word_ids.resize(row.ids.size(), static_cast<std::int32_t>(word));
      row.sequence_ids.resize(row.ids.size(), 0);
    }
    put_row(row, input.view, false);
  }
}

void decode(const bert::Tokenizer& tokenizer, const json& command) {
  const json& in = command["decode"];
  bert::DecodeOptions options;
  options.skip_special_tokens = in.value("skip_special_tokens", false);
  for (std::size_t i = 0; i < command.at("count").get<std::size_t>(); ++i) {
    std::vector<std::int32_t> ids(read_u32());
    for (std::int32_t& id : ids) id = static_cast<std::int32_t>(read_u32());
    const auto text = tokenizer.decode(ids, options);
    if (!text) stop(text.error().message);
    put_string(*text);
  }
}

/// Blocks of rows on a few threads.
void on_threads(unsigned threads, std::size_t count, const std::function<void(std::size_t)>& body) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::thread> pool;
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) body(i);
  };
  for (unsigned i = 1; i < threads; ++i) pool.emplace_back(work);
  work();
  for (std::thread& thread : pool) thread.join();
}

void time_encoding(const bert::Tokenizer& tokenizer, const json& command) {
  const std::vector<Input> inputs = read_inputs(command);
  const std::vector<bert::TextInput> batch = views(inputs);
  const bert::EncodeOptions options = encode_options(command["time"]);
  const unsigned threads = command.value("threads", 1u);
  json ms = json::array();
  json cpu_ms = json::array();
  std::uint32_t hash = 2166136261u;  // FNV-1a over all ids
  std::size_t tokens = 0;
  for (int run = 0; run < command.value("runs", 1); ++run) {
    const std::clock_t cpu = std::clock();
    const auto begin = std::chrono::steady_clock::now();
    std::vector<bert::Encoding> rows;
    if (threads == 0) {  // one call for each row, as a loop in a program would
      rows.reserve(batch.size());
      for (const bert::TextInput& input : batch) rows.push_back(std::move(*tokenizer.encode(input, options)));
    } else {
      rows = std::move(*tokenizer.encode_batch(
          batch, options, [&](std::size_t count, const auto& body) { on_threads(threads, count, body); }));
    }
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - begin;
    ms.push_back(taken.count());
    cpu_ms.push_back(static_cast<double>(std::clock() - cpu) * 1000.0 / CLOCKS_PER_SEC);
    if (run > 0) continue;
    for (const bert::Encoding& row : rows) {
      tokens += row.size();
      for (const std::int32_t id : row.ids) {
        hash = (hash ^ (static_cast<std::uint32_t>(id) & 255)) * 16777619u;
        hash = (hash ^ static_cast<std::uint32_t>(id) >> 8) * 16777619u;
      }
    }
  }
  output += json{{"ms", ms}, {"cpu_ms", cpu_ms}, {"hash", hash}, {"tokens", tokens}}.dump() + "\n";
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  std::optional<bert::Tokenizer> tokenizer;
  for (std::string line; std::getline(std::cin, line);) {
    const json command = json::parse(line, nullptr, false);
    if (!command.is_object()) stop("not a JSON object: " + line.substr(0, 100));
    if (command.contains("load")) {
      tokenizer = load(command["load"]);
    } else if (!tokenizer) {
      stop("no tokenizer is loaded");
    } else if (command.contains("encode")) {
      encode(*tokenizer, command);
    } else if (command.contains("explain")) {
      explain(*tokenizer, command);
    } else if (command.contains("decode")) {
      decode(*tokenizer, command);
    } else if (command.contains("time")) {
      time_encoding(*tokenizer, command);
    } else {
      stop("unknown command: " + line.substr(0, 100));
    }
    flush(!command.contains("load") && !command.contains("time"));
  }
}
