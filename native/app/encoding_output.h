// Encodings as JSON, in the fields of the command line's contract, and as the notebook's table.
#pragma once

#include "bert/tokenizer.h"
#include "io/json_writer.h"
#include "io/table.h"

namespace bert::cli {

/// {"input_ids", "token_type_ids", "attention_mask", "tokens", "offsets" (as the encoding has them: code
/// points are asked for with EncodeOptions), "word_ids", "sequence_ids", "special_tokens_mask"}, with
/// `overflowing` also a list of the further windows, with `split_words` of each the words that were split in
/// pieces: [{"text", "pieces", "first_token", "word_id", "sequence_id", "offsets"}].
void write_encoding(JsonWriter& json, const Tokenizer& tokenizer, const Encoding& encoding, bool overflowing,
                    bool split_words);

/// {"steps", "words"} of an explanation, in the fields of the npm package; offsets as it has them.
void write_explanation(JsonWriter& json, const Tokenizer& tokenizer, const Explanation& explanation);

/// The tokens of an encoding as the vocabulary writes them.
std::vector<std::string> token_strings(const Tokenizer& tokenizer, std::span<const std::int32_t> ids);

/// The table of the notebook's cell 5: token, id, attention mask, and with `pair` the type id.
Table token_table(const Tokenizer& tokenizer, const Encoding& encoding, bool pair);

}  // namespace bert::cli
