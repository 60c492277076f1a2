// Writes encodings.
#include "app/encoding_output.h"

namespace bert::cli {
namespace {

// null for tokens that belong to no word or text: those that were added.
template <class Number>
void write_or_null(JsonWriter& json, const std::vector<Number>& numbers) {
  json.begin_array();
  for (const Number number : numbers) {
    if (number < 0) {
      json.null();
    } else {
      json.number(static_cast<int>(number));
    }
  }
  json.end_array();
}

JsonWriter& write_range(JsonWriter& json, Offsets span) {
  return json.begin_array().number(span.begin).number(span.end).end_array();
}

void write_split_words(JsonWriter& json, const Tokenizer& tokenizer, const Encoding& encoding) {
  json.key("split_words").begin_array();
  for (const Word& word : tokenizer.words(encoding, 2)) {
    json.begin_object().key("text").string(word.text).key("pieces").strings(word.pieces);
    json.key("first_token").number(word.first_token).key("word_id").number(word.word_id);
    json.key("sequence_id").number(static_cast<int>(word.sequence_id));
    write_range(json.key("offsets"), word.offsets).end_object();
  }
  json.end_array();
}

void write_fields(JsonWriter& json, const Tokenizer& tokenizer, const Encoding& encoding, bool split_words) {
  json.key("input_ids").numbers(encoding.ids);
  json.key("token_type_ids").numbers(encoding.type_ids);
  json.key("attention_mask").numbers(encoding.attention_mask);
  json.key("tokens").begin_array();
  for (const std::int32_t id : encoding.ids) json.string(tokenizer.id_to_token(id).value_or(""));
  json.end_array();
  json.key("offsets").begin_array();
  for (const Offsets span : encoding.offsets) write_range(json, span);
  json.end_array();
  write_or_null(json.key("word_ids"), encoding.word_ids);
  write_or_null(json.key("sequence_ids"), encoding.sequence_ids);
  json.key("special_tokens_mask").begin_array();
  for (const std::uint8_t special : encoding.special_tokens_mask) json.number(static_cast<int>(special));
  json.end_array();
  if (split_words) write_split_words(json, tokenizer, encoding);
}

std::string_view kind_name(WordKind kind) {
  return kind == WordKind::kWord ? "word" : kind == WordKind::kAddedToken ? "added_token" : "too_long";
}

}  // namespace

void write_encoding(JsonWriter& json, const Tokenizer& tokenizer, const Encoding& encoding, bool overflowing,
                    bool split_words) {
  json.begin_object();
  write_fields(json, tokenizer, encoding, split_words);
  if (encoding.too_long) json.key("too_long").boolean(true);
  if (overflowing) {
    json.key("overflowing").begin_array();
    for (const Encoding& window : encoding.overflowing) {
      json.begin_object();
      write_fields(json, tokenizer, window, split_words);
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
}

void write_explanation(JsonWriter& json, const Tokenizer& tokenizer, const Explanation& explanation) {
  json.begin_object().key("steps").begin_array();
  for (const ExplainedStep& step : explanation.steps) {
    json.begin_object().key("name").string(step.name).key("enabled").boolean(step.enabled);
    json.key("before").string(step.before).key("after").string(step.after).key("changes").begin_array();
    for (const ExplainedChange& change : step.changes) {
      write_range(json.begin_object().key("source"), change.source);
      json.key("before").string(change.before).key("after").string(change.after).end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().key("words").begin_array();
  for (const ExplainedWord& word : explanation.words) {
    json.begin_object().key("kind").string(kind_name(word.kind)).key("text").string(word.text);
    write_range(json.key("source"), word.source).key("candidates").begin_array();
    for (const ExplainedCandidate& candidate : word.candidates) {
      json.begin_object().key("text").string(candidate.text).key("id");
      candidate.id < 0 ? json.null() : json.number(candidate.id);
      json.end_object();
    }
    json.end_array().key("input_ids").numbers(word.ids);
    json.key("tokens").strings(token_strings(tokenizer, word.ids)).key("offsets").begin_array();
    for (const Offsets span : word.offsets) write_range(json, span);
    json.end_array().end_object();
  }
  json.end_array().end_object();
}

std::vector<std::string> token_strings(const Tokenizer& tokenizer, std::span<const std::int32_t> ids) {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const std::int32_t id : ids) tokens.emplace_back(tokenizer.id_to_token(id).value_or(""));
  return tokens;
}

Table token_table(const Tokenizer& tokenizer, const Encoding& encoding, bool pair) {
  std::vector<Table::Column> columns = {{"", Align::kRight},
                                        {"token", Align::kLeft},
                                        {"token_id", Align::kRight},
                                        {"attention_mask_id", Align::kRight}};
  if (pair) columns.push_back({"token_type_id", Align::kRight});
  Table table(std::move(columns));
  for (std::size_t i = 0; i < encoding.size(); ++i) {
    std::vector<Cell> cells = {std::to_string(i),
                               std::string(tokenizer.id_to_token(encoding.ids[i]).value_or("")),
                               std::to_string(encoding.ids[i]), std::to_string(encoding.attention_mask[i])};
    if (pair) cells.emplace_back(std::to_string(encoding.type_ids[i]));
    table.add(std::move(cells));
  }
  return table;
}

}  // namespace bert::cli
