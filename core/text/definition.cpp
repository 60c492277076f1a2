// vocab.txt, tokenizer.json and tokenizer_config.json into a Definition. Untrusted: every field is checked
// before use.
#include "text/definition.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

namespace bert::text {

namespace {

using nlohmann::json;

constexpr std::size_t kMostIds = std::size_t{1} << 22;
constexpr std::uint32_t kNoLimit = 0xffffffff;

/// A value of a file for an error message: short, on one line.
std::string shown(std::string_view text) {
  std::string result = "'";
  for (const char c : text.substr(0, 40)) result += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  return result + (text.size() > 40 ? "...'" : "'");
}

tl::unexpected<Error> invalid(std::string_view file, const std::string& what) {
  return fail(ErrorCode::kInvalidModel, std::string(file) + ": " + what);
}

tl::unexpected<Error> unsupported(const std::string& what) {
  return fail(ErrorCode::kUnsupported, "tokenizer.json: " + what);
}

/// The member, or nothing where it is missing or null.
const json* member(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

/// Reads a member where it is there; its type must fit.
Status read(const json& object, const char* name, std::string_view file, bool& value) {
  const json* found = member(object, name);
  if (found == nullptr) return {};
  if (!found->is_boolean()) return invalid(file, std::string(name) + " is not true or false");
  value = found->get<bool>();
  return {};
}

Status read(const json& object, const char* name, std::string_view file, std::string& value) {
  const json* found = member(object, name);
  if (found == nullptr) return {};
  if (!found->is_string()) return invalid(file, std::string(name) + " is not a string");
  value = found->get_ref<const std::string&>();
  return {};
}

/// An id: a whole number from 0 to kMostIds - 1.
std::optional<std::int32_t> read_id(const json* value) {
  if (value == nullptr || !value->is_number_integer()) return std::nullopt;
  const auto id = value->get<std::int64_t>();
  if (id < 0 || id >= static_cast<std::int64_t>(kMostIds)) return std::nullopt;
  return static_cast<std::int32_t>(id);
}

/// Builds the document. (json::parse has two of these, for callers with and without a callback; one is half
/// the code.)
class DocumentBuilder {
 public:
  json document;

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(std::int64_t value) { return add(value); }
  bool number_unsigned(std::uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(json::object()); }
  bool key(std::string& name) {
    member_ = &(*open_.back())[std::move(name)];
    return true;
  }
  bool end_object() { return close(); }
  bool start_array(std::size_t) { return open(json::array()); }
  bool end_array() { return close(); }
  template <class Exception>
  bool parse_error(std::size_t, const std::string&, const Exception&) {
    return false;
  }

 private:
  template <class Value>
  json* place(Value&& value) {
    if (open_.empty()) return &(document = std::forward<Value>(value));
    json& parent = *open_.back();
    if (parent.is_object()) return &(*member_ = std::forward<Value>(value));
    parent.push_back(std::forward<Value>(value));
    return &parent.back();
  }
  template <class Value>
  bool add(Value&& value) {
    place(json(std::forward<Value>(value)));
    return true;
  }
  bool open(json container) {
    if (open_.size() == kDeepest) return false;
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  static constexpr std::size_t kDeepest = 64;
  std::vector<json*>
      open_;  ///< containers around the next value; an array grows only while its last element is closed
  json* member_ = nullptr;
};

Expected<json> parse(std::string_view bytes, std::string_view file) {
  DocumentBuilder builder;
  if (!json::sax_parse(bytes.begin(), bytes.end(), &builder)) return invalid(file, "not well-formed JSON");
  if (!builder.document.is_object()) return invalid(file, "not a JSON object");
  return std::move(builder.document);
}

/// Steps of reading; each fills its part of the definition.
class Reader {
 public:
  Expected<Definition> run(const TokenizerFiles& files, const TokenizerOptions& options);

 private:
  Status read_vocab_txt(std::string_view bytes);
  Status read_tokenizer_json(std::string_view bytes);
  Status read_model(const json& model);
  Status read_normalizer(const json& document);
  Status read_pipeline(const json& document);
  Status read_post_processor(const json& document);
  Expected<std::vector<TemplatePart>> read_template(const json& processor, const char* name, int sequences);
  Status read_added_token(const json& token, std::string_view file);
  Status read_config(std::string_view bytes, bool tokens_too);
  Status read_roles(const json& config);
  void set_default_template();
  Status add_default_special_tokens();
  Status finish(const TokenizerOptions& options);

  std::optional<std::int32_t> id_of(std::string_view text) const;
  void add_entry(std::int32_t id, std::string text, TokenEntry::Kind kind);

  Definition definition_;
  std::optional<bool> strip_accents_;
  std::string unknown_;  ///< the model's; empty: the one with the role
  std::vector<std::pair<std::string, std::string>> roles_ = {{"unk_token", "[UNK]"},
                                                             {"sep_token", "[SEP]"},
                                                             {"pad_token", "[PAD]"},
                                                             {"cls_token", "[CLS]"},
                                                             {"mask_token", "[MASK]"}};
};

std::optional<std::int32_t> Reader::id_of(std::string_view text) const {
  for (const AddedToken& token : definition_.added_tokens)
    if (token.content == text) return token.id;
  for (std::size_t i = definition_.entries.size(); i-- > 0;)
    if (definition_.entries[i].kind != TokenEntry::Kind::kAbsent && definition_.entries[i].text == text)
      return static_cast<std::int32_t>(i);
  return std::nullopt;
}

void Reader::add_entry(std::int32_t id, std::string text, TokenEntry::Kind kind) {
  const auto index = static_cast<std::size_t>(id);
  if (definition_.entries.size() <= index) definition_.entries.resize(index + 1);
  definition_.entries[index] = {std::move(text), kind};
}

Status Reader::read_vocab_txt(std::string_view bytes) {
  if (bytes.size() >= Trie::kMostNodes)
    return invalid("vocab.txt", "16 MiB or more (" + std::to_string(bytes.size()) + " bytes)");
  while (!bytes.empty()) {
    const std::size_t stop = std::min(bytes.find('\n'), bytes.size());
    std::string_view line = bytes.substr(0, stop);
    bytes.remove_prefix(std::min(stop + 1, bytes.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    definition_.entries.push_back({std::string(line), TokenEntry::Kind::kWord});
  }
  if (definition_.entries.size() > kMostIds) return invalid("vocab.txt", "more than 4,194,304 lines");
  definition_.words = definition_.entries.size();
  return {};
}

Status Reader::read_model(const json& model) {
  std::string type = "WordPiece";  // old files leave it out
  if (auto status = read(model, "type", "tokenizer.json: model", type); !status) return status;
  if (type != "WordPiece") return unsupported("the model is " + shown(type) + ", only WordPiece is BERT's");
  std::string unknown = "[UNK]";
  if (auto status = read(model, "unk_token", "tokenizer.json: model", unknown); !status) return status;
  unknown_ = unknown;
  if (auto status = read(model, "continuing_subword_prefix", "tokenizer.json: model", definition_.prefix);
      !status)
    return status;
  if (const json* longest = member(model, "max_input_chars_per_word")) {
    const auto value = read_id(longest);
    if (!value)
      return invalid("tokenizer.json", "max_input_chars_per_word is not a number from 0 to 4,194,303");
    definition_.settings.max_chars_per_word = static_cast<std::uint32_t>(*value);
  }
  const json* vocab = member(model, "vocab");
  if (vocab == nullptr || !vocab->is_object())
    return invalid("tokenizer.json", "the model has no vocabulary");
  std::size_t bytes = 0;
  for (const auto& [token, value] : vocab->items()) {
    const auto id = read_id(&value);
    if (!id)
      return invalid("tokenizer.json", "the id of " + shown(token) + " is not a number from 0 to 4,194,303");
    const auto index = static_cast<std::size_t>(*id);
    if (index < definition_.entries.size() && definition_.entries[index].kind != TokenEntry::Kind::kAbsent)
      return invalid("tokenizer.json", shown(definition_.entries[index].text) + " and " + shown(token) +
                                           " both have the id " + std::to_string(*id));
    bytes += token.size();
    add_entry(*id, token, TokenEntry::Kind::kWord);
  }
  if (bytes >= Trie::kMostNodes) return invalid("tokenizer.json", "a vocabulary of 16 MiB or more");
  definition_.words = vocab->size();
  return {};
}

Status Reader::read_normalizer(const json& document) {
  TokenizerSettings& settings = definition_.settings;
  const json* normalizer = member(document, "normalizer");
  if (normalizer == nullptr) {
    settings.lowercase = settings.tokenize_chinese_chars = settings.clean_text = false;
    strip_accents_ = false;
    return {};
  }
  std::string type;
  const std::string_view where = "tokenizer.json: normalizer";
  if (auto status = read(*normalizer, "type", where, type); !status) return status;
  if (type != "BertNormalizer")
    return unsupported("the normalizer is " + shown(type) + ", not BertNormalizer");
  if (auto status = read(*normalizer, "clean_text", where, settings.clean_text); !status) return status;
  if (auto status = read(*normalizer, "lowercase", where, settings.lowercase); !status) return status;
  if (auto status = read(*normalizer, "handle_chinese_chars", where, settings.tokenize_chinese_chars);
      !status)
    return status;
  if (member(*normalizer, "strip_accents") != nullptr) {
    bool strip = false;
    if (auto status = read(*normalizer, "strip_accents", where, strip); !status) return status;
    strip_accents_ = strip;
  }
  return {};
}

Status Reader::read_pipeline(const json& document) {
  std::string type;
  const json* splitter = member(document, "pre_tokenizer");
  if (splitter != nullptr)
    if (auto status = read(*splitter, "type", "tokenizer.json: pre_tokenizer", type); !status) return status;
  if (type != "BertPreTokenizer")
    return unsupported("the pre_tokenizer is " + shown(type) + ", not BertPreTokenizer");
  if (const json* decoder = member(document, "decoder")) {
    type.clear();
    std::string prefix = definition_.prefix;
    const std::string_view where = "tokenizer.json: decoder";
    if (auto status = read(*decoder, "type", where, type); !status) return status;
    if (type != "WordPiece") return unsupported("the decoder is " + shown(type) + ", not WordPiece");
    if (auto status = read(*decoder, "prefix", where, prefix); !status) return status;
    if (prefix != definition_.prefix)
      return unsupported("the decoder's prefix is " + shown(prefix) + ", the model's " +
                         shown(definition_.prefix));
    if (auto status = read(*decoder, "cleanup", where, definition_.clean_up); !status) return status;
  }
  return {};
}

Status Reader::read_added_token(const json& token, std::string_view file) {
  AddedToken added;
  if (!token.is_object()) return invalid(file, "an added token is not an object");
  if (auto status = read(token, "content", file, added.content); !status) return status;
  if (added.content.empty()) return invalid(file, "an added token without content");
  const auto id = read_id(member(token, "id"));
  if (!id)
    return invalid(
        file, "the id of the added token " + shown(added.content) + " is not a number from 0 to 4,194,303");
  added.id = *id;
  const std::pair<const char*, bool*> flags[] = {{"single_word", &added.single_word},
                                                 {"lstrip", &added.lstrip},
                                                 {"rstrip", &added.rstrip},
                                                 {"normalized", &added.normalized},
                                                 {"special", &added.special}};
  for (const auto& [name, value] : flags)
    if (auto status = read(token, name, file, *value); !status) return status;
  if (const auto known = id_of(added.content))
    added.id = *known;  // as the reference: the vocabulary's id wins
  const auto index = static_cast<std::size_t>(added.id);
  if (index >= definition_.entries.size() || definition_.entries[index].kind == TokenEntry::Kind::kAbsent) {
    add_entry(added.id, added.content, TokenEntry::Kind::kAdded);
  } else if (definition_.entries[index].text != added.content) {
    return invalid(file, "the id " + std::to_string(added.id) + " of the added token " +
                             shown(added.content) + " is that of " + shown(definition_.entries[index].text));
  }
  definition_.added_tokens.push_back(std::move(added));
  return {};
}

Expected<std::vector<TemplatePart>> Reader::read_template(const json& processor, const char* name,
                                                          int sequences) {
  const json* parts = member(processor, name);
  if (parts == nullptr || !parts->is_array())
    return invalid("tokenizer.json", std::string("no template for ") + name);
  const json* specials = member(processor, "special_tokens");
  std::vector<TemplatePart> result;
  int seen[2] = {0, 0};
  for (const json& part : *parts) {
    TemplatePart out;
    const json* sequence = member(part, "Sequence");
    const json* special = member(part, "SpecialToken");
    const json* body = sequence != nullptr ? sequence : special;
    if (body == nullptr)
      return invalid("tokenizer.json", std::string("an unknown part in the template ") + name);
    const auto type_id = read_id(member(*body, "type_id"));
    std::string id;
    if (auto status = read(*body, "id", "tokenizer.json: template", id); !status)
      return tl::unexpected<Error>(status.error());
    if (!type_id)
      return invalid("tokenizer.json", "no type_id for " + shown(id) + " in the template " + name);
    out.type_id = *type_id;
    if (sequence != nullptr) {
      out.sequence = id == "A" ? 0 : id == "B" ? 1 : 2;
      if (out.sequence >= sequences)
        return invalid("tokenizer.json", "an unknown sequence " + shown(id) + " in the template " + name);
      ++seen[out.sequence];
    } else {
      const json* token = specials == nullptr ? nullptr : member(*specials, id.c_str());
      const json* ids = token == nullptr ? nullptr : member(*token, "ids");
      if (ids == nullptr || !ids->is_array())
        return invalid("tokenizer.json", "no ids for " + shown(id) + " of the template");
      for (const json& value : *ids) {
        const auto special_id = read_id(&value);
        if (!special_id || static_cast<std::size_t>(*special_id) >= definition_.entries.size())
          return invalid("tokenizer.json",
                         "an id of the template's " + shown(id) + " is outside the vocabulary");
        out.ids.push_back(*special_id);
      }
    }
    result.push_back(std::move(out));
  }
  for (int i = 0; i < sequences; ++i)
    if (seen[i] != 1)
      return invalid("tokenizer.json", std::string("the template ") + name + " has sequence " + "AB"[i] +
                                           " " + std::to_string(seen[i]) + " times, not once");
  return result;
}

void Reader::set_default_template() {
  definition_.single = {{0, {}, 0}};
  definition_.pair = {{0, {}, 0}, {1, {}, 1}};
}

Status Reader::read_post_processor(const json& document) {
  const json* processor = member(document, "post_processor");
  if (processor == nullptr) {
    set_default_template();
    return {};
  }
  std::string type;
  if (auto status = read(*processor, "type", "tokenizer.json: post_processor", type); !status) return status;
  if (type == "TemplateProcessing") {
    auto single = read_template(*processor, "single", 1);
    if (!single) return tl::unexpected<Error>(single.error());
    auto pair = read_template(*processor, "pair", 2);
    if (!pair) return tl::unexpected<Error>(pair.error());
    definition_.single = std::move(*single);
    definition_.pair = std::move(*pair);
    return {};
  }
  if (type != "BertProcessing")
    return unsupported("the post_processor is " + shown(type) +
                       ", neither TemplateProcessing nor BertProcessing");
  std::int32_t ids[2];
  const char* const names[2] = {"sep", "cls"};
  for (int i = 0; i < 2; ++i) {  // each is ["[SEP]", 102]
    const json* token = member(*processor, names[i]);
    const auto id =
        token != nullptr && token->is_array() && token->size() == 2 ? read_id(&(*token)[1]) : std::nullopt;
    if (!id || static_cast<std::size_t>(*id) >= definition_.entries.size())
      return invalid("tokenizer.json",
                     std::string("BertProcessing has no id of the vocabulary for ") + names[i]);
    ids[i] = *id;
  }
  definition_.single = {{-1, {ids[1]}, 0}, {0, {}, 0}, {-1, {ids[0]}, 0}};
  definition_.pair = {{-1, {ids[1]}, 0}, {0, {}, 0}, {-1, {ids[0]}, 0}, {1, {}, 1}, {-1, {ids[0]}, 1}};
  return {};
}

Status Reader::read_tokenizer_json(std::string_view bytes) {
  auto document = parse(bytes, "tokenizer.json");
  if (!document) return tl::unexpected<Error>(document.error());
  const json* model = member(*document, "model");
  if (model == nullptr || !model->is_object()) return invalid("tokenizer.json", "no model");
  if (auto status = read_model(*model); !status) return status;
  if (auto status = read_normalizer(*document); !status) return status;
  if (auto status = read_pipeline(*document); !status) return status;
  if (const json* added = member(*document, "added_tokens")) {
    if (!added->is_array()) return invalid("tokenizer.json", "added_tokens is not a list");
    for (const json& token : *added)
      if (auto status = read_added_token(token, "tokenizer.json"); !status) return status;
  }
  return read_post_processor(*document);
}

Status Reader::read_roles(const json& config) {
  for (auto& [role, content] : roles_) {
    const json* value = member(config, role.c_str());
    if (value != nullptr && value->is_object()) value = member(*value, "content");
    if (value == nullptr) continue;
    if (!value->is_string()) return invalid("tokenizer_config.json", role + " is not a string");
    content = value->get_ref<const std::string&>();
  }
  return {};
}

Status Reader::read_config(std::string_view bytes, bool tokens_too) {
  const std::string_view file = "tokenizer_config.json";
  auto config = parse(bytes, file);
  if (!config) return tl::unexpected<Error>(config.error());
  TokenizerSettings& settings = definition_.settings;
  if (auto status = read(*config, "do_lower_case", file, settings.lowercase); !status) return status;
  if (auto status = read(*config, "tokenize_chinese_chars", file, settings.tokenize_chinese_chars); !status)
    return status;
  if (member(*config, "strip_accents") != nullptr) {
    bool strip = false;
    if (auto status = read(*config, "strip_accents", file, strip); !status) return status;
    strip_accents_ = strip;
  }
  if (const json* length = member(*config, "model_max_length")) {
    if (!length->is_number() || !(length->get<double>() >= 1))
      return invalid(file, "model_max_length is not a number of at least 1");
    // transformers writes 1e30 for "no limit"
    const double value = length->get<double>();
    settings.model_max_length = value >= kNoLimit ? kNoLimit : static_cast<std::uint32_t>(value);
  }
  for (const auto& [name, side] : {std::pair{"padding_side", &definition_.padding_side},
                                   std::pair{"truncation_side", &definition_.truncation_side}}) {
    std::string value = *side == Side::kLeft ? "left" : "right";
    if (auto status = read(*config, name, file, value); !status) return status;
    if (value != "left" && value != "right")
      return invalid(file, std::string(name) + " is " + shown(value) + ", neither left nor right");
    *side = value == "left" ? Side::kLeft : Side::kRight;
  }
  if (auto status = read_roles(*config); !status) return status;
  const json* added = member(*config, "added_tokens_decoder");
  if (!tokens_too || added == nullptr) return {};
  if (!added->is_object()) return invalid(file, "added_tokens_decoder is not an object");
  for (const auto& [key, value] : added->items()) {
    std::int64_t id = 0;
    for (const char c : key)
      id = c >= '0' && c <= '9' && id < static_cast<std::int64_t>(kMostIds) ? id * 10 + (c - '0') : -1;
    json token = value;
    if (token.is_object()) token["id"] = id;
    if (auto status = read_added_token(token, file); !status) return status;
  }
  return {};
}

/// What transformers adds to a bare vocab.txt: the tokens with a role are special, and [CLS] and [SEP] frame.
Status Reader::add_default_special_tokens() {
  std::int32_t frame[2] = {0, 0};  // [SEP], [CLS]
  for (const auto& [role, content] : roles_) {
    const auto id = id_of(content);
    if (!id) {
      if (role == "sep_token" || role == "cls_token")
        return invalid("vocab.txt", "no line " + shown(content));
      continue;
    }
    if (role == "sep_token") frame[0] = *id;
    if (role == "cls_token") frame[1] = *id;
    const bool known = std::any_of(definition_.added_tokens.begin(), definition_.added_tokens.end(),
                                   [&](const AddedToken& token) { return token.id == *id; });
    if (!known) definition_.added_tokens.push_back({content, *id, false, false, false, false, true});
  }
  definition_.single = {{-1, {frame[1]}, 0}, {0, {}, 0}, {-1, {frame[0]}, 0}};
  definition_.pair = {{-1, {frame[1]}, 0}, {0, {}, 0}, {-1, {frame[0]}, 0}, {1, {}, 1}, {-1, {frame[0]}, 1}};
  return {};
}

Status Reader::finish(const TokenizerOptions& options) {
  TokenizerSettings& settings = definition_.settings;
  settings.lowercase = options.lowercase.value_or(settings.lowercase);
  if (options.strip_accents) strip_accents_ = options.strip_accents;
  settings.strip_accents = strip_accents_.value_or(settings.lowercase);
  settings.tokenize_chinese_chars = options.tokenize_chinese_chars.value_or(settings.tokenize_chinese_chars);
  settings.clean_text = options.clean_text.value_or(settings.clean_text);
  settings.model_max_length = options.model_max_length.value_or(settings.model_max_length);
  if (settings.model_max_length == 0)
    return fail(ErrorCode::kInvalidArgument, "model_max_length is 0, it must be at least 1");

  for (const auto& [role, content] : roles_)
    if (const auto id = id_of(content)) definition_.special_tokens.push_back({role, content, *id});
  for (const AddedToken& token : definition_.added_tokens) {
    const bool has_role = std::any_of(roles_.begin(), roles_.end(),
                                      [&](const auto& role) { return role.second == token.content; });
    if (token.special && !has_role)
      definition_.special_tokens.push_back({"additional", token.content, token.id});
  }
  return {};
}

Expected<Definition> Reader::run(const TokenizerFiles& files, const TokenizerOptions& options) {
  const bool from_json = !files.tokenizer_json.empty();
  if (!from_json && files.vocab_txt.empty())
    return fail(ErrorCode::kInvalidArgument,
                "neither tokenizer.json nor vocab.txt was given, or both are empty");
  Status status = from_json ? read_tokenizer_json(files.tokenizer_json) : read_vocab_txt(files.vocab_txt);
  if (status && !files.tokenizer_config_json.empty())
    status = read_config(files.tokenizer_config_json, !from_json);
  if (!status) return tl::unexpected<Error>(status.error());
  if (unknown_.empty()) unknown_ = roles_[0].second;
  const auto unknown = id_of(unknown_);
  if (!unknown)
    return invalid(from_json ? "tokenizer.json" : "vocab.txt",
                   "no entry " + shown(unknown_) + " for unknown words");
  definition_.unknown_id = *unknown;
  if (!from_json) status = add_default_special_tokens();
  if (status) status = finish(options);
  if (!status) return tl::unexpected<Error>(status.error());
  return std::move(definition_);
}

}  // namespace

Expected<Definition> read_definition(const TokenizerFiles& files, const TokenizerOptions& options) {
  return Reader().run(files, options);
}

}  // namespace bert::text
