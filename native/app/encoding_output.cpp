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

void write_fields(JsonWriter& json, const Tokenizer& tokenizer, const Encoding& encoding) {
  json.key("input_ids").numbers(encoding.ids);
  json.key("token_type_ids").numbers(encoding.type_ids);
  json.key("attention_mask").numbers(encoding.attention_mask);
  json.key("tokens").begin_array();
  for (const std::int32_t id : encoding.ids) json.string(tokenizer.id_to_token(id).value_or(""));
  json.end_array();
  json.key("offsets").begin_array();
  for (const Offsets span : encoding.offsets) {
    json.begin_array().number(span.begin).number(span.end).end_array();
  }
  json.end_array();
  write_or_null(json.key("word_ids"), encoding.word_ids);
  write_or_null(json.key("sequence_ids"), encoding.sequence_ids);
  json.key("special_tokens_mask").begin_array();
  for (const std::uint8_t special : encoding.special_tokens_mask) json.number(static_cast<int>(special));
  json.end_array();
}

}  // namespace

void write_encoding(JsonWriter& json, const Tokenizer& tokenizer, const Encoding& encoding,
                    bool overflowing) {
  json.begin_object();
  write_fields(json, tokenizer, encoding);
  if (encoding.too_long) json.key("too_long").boolean(true);
  if (overflowing) {
    json.key("overflowing").begin_array();
    for (const Encoding& window : encoding.overflowing) {
      json.begin_object();
      write_fields(json, tokenizer, window);
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
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
