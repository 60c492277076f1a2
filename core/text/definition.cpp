// vocab.txt, tokenizer.json and tokenizer_config.json into a Definition. Untrusted: every field is checked
// before use.
#include "text/definition.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

#include "base/quote.h"
#include "json/document.h"

namespace bert::text {

namespace {

using json::Document;
using json::Kind;
using json::Value;

constexpr std::size_t kMostIds = std::size_t{1} << 22;
// of added tokens: far more than files have, far less than their trie can count
constexpr std::size_t kMostAddedBytes = std::size_t{1} << 20;
constexpr std::uint32_t kNoLimit = 0xffffffff;
constexpr std::string_view kTokenizerJson = "tokenizer.json";
constexpr std::string_view kTokenizerConfig = "tokenizer_config.json";
constexpr std::string_view kIdRange = "a number from 0 to 4,194,303";
constexpr std::size_t kMostTemplateParts = 64;

/// An id: a whole number from 0 to kMostIds - 1.
std::optional<std::int32_t> read_id(const Value& value) {
  const auto id = value.count();
  if (!id || *id >= kMostIds) return std::nullopt;
  return static_cast<std::int32_t>(*id);
}

/// Steps of reading; each fills its part of the definition. A step that returns false has left the error.
class Reader {
 public:
  Expected<Definition> run(const TokenizerFiles& files, const TokenizerOptions& options) {
    if (!read_all(files, options)) return tl::unexpected<Error>(std::move(error_));
    return std::move(definition_);
  }

 private:
  using Sentence = std::initializer_list<std::string_view>;

  bool read_all(const TokenizerFiles& files, const TokenizerOptions& options);
  bool read_vocab_txt(std::string_view bytes);
  bool read_tokenizer_json(std::string_view bytes);
  bool read_model(const Value& model);
  bool read_normalizer(const Value& normalizer);
  bool read_decoder(const Value& decoder);
  bool read_post_processor(const Value& processor);
  bool read_template(const Value& processor, std::string_view name, int sequences,
                     std::vector<TemplatePart>& result);
  bool read_added_token(const Value& token, std::optional<std::int32_t> id, std::string_view file);
  bool read_config(std::string_view bytes, bool tokens_too);
  bool read_roles(const Value& config);
  bool add_default_special_tokens();
  bool finish(const TokenizerOptions& options);

  // a member that is there must have the target's type; one that is not leaves it
  bool read(const Value& object, std::string_view name, std::string_view where, bool& target);
  bool read(const Value& object, std::string_view name, std::string_view where, std::string& target);
  bool read_strip_accents(const Value& object, std::string_view where);
  bool require_type(const Value& part, std::string_view what, std::string_view type);

  std::optional<std::int32_t> id_of(std::string_view text) const;
  bool in_vocabulary(std::optional<std::int32_t> id) const {
    const auto& entries = definition_.entries;
    const auto place = static_cast<std::size_t>(id.value_or(-1));
    // between the vocabulary's ids and those of added tokens there may be some of no token
    return place < entries.size() && entries[place].kind != TokenEntry::Kind::kAbsent;
  }
  std::size_t slot_of(std::string_view text) const;
  void index(std::int32_t id);
  void add_entry(std::int32_t id, std::string_view text, TokenEntry::Kind kind);
  void frame_with(std::int32_t cls, std::int32_t sep);

  bool stop(ErrorCode code, Sentence sentence);
  bool invalid(std::string_view file, Sentence what);
  bool unsupported(std::string_view part, const Value& type, std::string_view wanted) {
    return stop(ErrorCode::kUnsupported,
                {"tokenizer.json: the ", part, " is ", quote(type.shown()), ", not ", wanted});
  }
  bool wrong(std::string_view where, std::string_view name, const Value& value, std::string_view wanted) {
    return invalid(where, {name, " is ", quote(value.shown()), ", not ", wanted});
  }

  Definition definition_;
  /// A hash table of the entries by their texts, the first of equal ones; -1: an empty slot. Its own, as
  /// std::unordered_map would add a kilobyte to a page's download.
  std::vector<std::int32_t> ids_ = std::vector<std::int32_t>(64, -1);
  std::size_t indexed_ = 0;
  Error error_;
  std::optional<bool> strip_accents_;
  std::size_t added_bytes_ = 0;  ///< of the contents of added tokens
  std::string unknown_;          ///< the model's; empty: the one with the role
  std::vector<std::pair<std::string, std::string>> roles_ = {{"unk_token", "[UNK]"},
                                                             {"sep_token", "[SEP]"},
                                                             {"pad_token", "[PAD]"},
                                                             {"cls_token", "[CLS]"},
                                                             {"mask_token", "[MASK]"}};
};

bool Reader::stop(ErrorCode code, Sentence sentence) {
  error_ = {code, {}};
  for (const std::string_view part : sentence) error_.message += part;
  return false;
}

bool Reader::invalid(std::string_view file, Sentence what) {
  stop(ErrorCode::kInvalidModel, what);
  error_.message.insert(0, std::string(file) + ": ");
  return false;
}

bool Reader::read(const Value& object, std::string_view name, std::string_view where, bool& target) {
  const Value value = object[name];
  if (!value) return true;
  if (!value.boolean()) return wrong(where, name, value, "true or false");
  target = *value.boolean();
  return true;
}

bool Reader::read(const Value& object, std::string_view name, std::string_view where, std::string& target) {
  const Value value = object[name];
  if (!value) return true;
  if (!value.string()) return wrong(where, name, value, "a string");
  target = *value.string();
  return true;
}

bool Reader::read_strip_accents(const Value& object, std::string_view where) {
  bool strip = false;
  if (!read(object, "strip_accents", where, strip)) return false;
  if (object["strip_accents"]) strip_accents_ = strip;
  return true;
}

bool Reader::require_type(const Value& part, std::string_view what, std::string_view type) {
  const Value found = part["type"];
  return found.string() == type || unsupported(what, found, type);
}

std::optional<std::int32_t> Reader::id_of(std::string_view text) const {
  const std::int32_t id = ids_[slot_of(text)];
  return id < 0 ? std::nullopt : std::optional(id);
}

std::size_t Reader::slot_of(std::string_view text) const {
  std::uint32_t hash = 2166136261U;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619U;
  const std::size_t mask = ids_.size() - 1;
  std::size_t slot = (hash ^ hash >> 15) & mask;
  while (ids_[slot] >= 0 && definition_.entries[static_cast<std::size_t>(ids_[slot])].text != text)
    slot = (slot + 1) & mask;
  return slot;
}

void Reader::index(std::int32_t id) {
  if (++indexed_ * 2 > ids_.size()) {
    std::vector<std::int32_t> old(ids_.size() * 2, -1);
    old.swap(ids_);
    for (const std::int32_t moved : old)
      if (moved >= 0) ids_[slot_of(definition_.entries[static_cast<std::size_t>(moved)].text)] = moved;
  }
  std::int32_t& place = ids_[slot_of(definition_.entries[static_cast<std::size_t>(id)].text)];
  if (place < 0) place = id;
}

void Reader::add_entry(std::int32_t id, std::string_view text, TokenEntry::Kind kind) {
  const auto place = static_cast<std::size_t>(id);
  if (definition_.entries.size() <= place) definition_.entries.resize(place + 1);
  definition_.entries[place] = {definition_.texts.emplace_back(text), kind};
  index(id);
}

bool Reader::read_vocab_txt(std::string_view bytes) {
  if (bytes.size() >= Trie::kMostNodes)
    return invalid("vocab.txt", {"16 MiB or more (", std::to_string(bytes.size()), " bytes)"});
  definition_.entries.reserve(bytes.size() / 7);  // somewhat more than published vocabularies need
  while (!bytes.empty()) {
    const std::size_t stop = std::min(bytes.find('\n'), bytes.size());
    std::string_view line = bytes.substr(0, stop);
    bytes.remove_prefix(std::min(stop + 1, bytes.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    definition_.entries.push_back({line, TokenEntry::Kind::kWord});
    index(static_cast<std::int32_t>(definition_.entries.size() - 1));
  }
  if (definition_.entries.size() > kMostIds) return invalid("vocab.txt", {"more than 4,194,304 lines"});
  definition_.words = definition_.entries.size();
  return true;
}

bool Reader::read_model(const Value& model) {
  if (!model.is(Kind::kObject)) return invalid(kTokenizerJson, {"no model"});
  // old files leave the type out
  if (model["type"] && !require_type(model, "model", "WordPiece")) return false;
  const std::string_view where = "tokenizer.json: model";
  unknown_ = "[UNK]";
  if (!read(model, "unk_token", where, unknown_)) return false;
  if (!read(model, "continuing_subword_prefix", where, definition_.prefix)) return false;
  if (const Value longest = model["max_input_chars_per_word"]) {
    const auto value = read_id(longest);
    if (!value) return wrong(where, longest.name(), longest, kIdRange);
    definition_.settings.max_chars_per_word = static_cast<std::uint32_t>(*value);
  }
  const Value vocab = model["vocab"];
  if (!vocab.is(Kind::kObject)) return invalid(kTokenizerJson, {"the model has no vocabulary"});
  std::size_t bytes = 0;
  for (const Value entry : vocab) {
    const std::string_view token = entry.name();
    const auto id = read_id(entry);
    if (!id) return wrong(kTokenizerJson, "the id of " + quote(token), entry, kIdRange);
    const auto index = static_cast<std::size_t>(*id);
    if (index < definition_.entries.size() && definition_.entries[index].kind != TokenEntry::Kind::kAbsent)
      return invalid(kTokenizerJson, {quote(definition_.entries[index].text), " and ", quote(token),
                                      " both have the id ", std::to_string(*id)});
    bytes += token.size();
    add_entry(*id, token, TokenEntry::Kind::kWord);
  }
  if (bytes >= Trie::kMostNodes) return invalid(kTokenizerJson, {"a vocabulary of 16 MiB or more"});
  definition_.words = vocab.size();
  return true;
}

bool Reader::read_normalizer(const Value& normalizer) {
  TokenizerSettings& settings = definition_.settings;
  if (!normalizer) {
    settings.lowercase = settings.tokenize_chinese_chars = settings.clean_text = false;
    strip_accents_ = false;
    return true;
  }
  const std::string_view where = "tokenizer.json: normalizer";
  return require_type(normalizer, "normalizer", "BertNormalizer") &&
         read(normalizer, "clean_text", where, settings.clean_text) &&
         read(normalizer, "lowercase", where, settings.lowercase) &&
         read(normalizer, "handle_chinese_chars", where, settings.tokenize_chinese_chars) &&
         read_strip_accents(normalizer, where);
}

bool Reader::read_decoder(const Value& decoder) {
  if (!decoder) return true;
  std::string prefix = definition_.prefix;
  const std::string_view where = "tokenizer.json: decoder";
  if (!require_type(decoder, "decoder", "WordPiece") || !read(decoder, "prefix", where, prefix)) return false;
  if (prefix != definition_.prefix)
    return stop(ErrorCode::kUnsupported,
                {where, "'s prefix is ", quote(prefix), ", the model's ", quote(definition_.prefix)});
  return read(decoder, "cleanup", where, definition_.clean_up);
}

bool Reader::read_added_token(const Value& token, std::optional<std::int32_t> id, std::string_view file) {
  AddedToken added;
  if (!token.is(Kind::kObject)) return invalid(file, {"an added token is not an object"});
  if (!read(token, "content", file, added.content)) return false;
  added_bytes_ += added.content.size();
  if (added.content.empty() || added_bytes_ > kMostAddedBytes)
    return invalid(file, {"an added token without content, or more than 1 MiB of them"});
  if (!id) return invalid(file, {"the id of the added token ", quote(added.content), " is not ", kIdRange});
  added.id = *id;
  const std::pair<std::string_view, bool*> flags[] = {{"single_word", &added.single_word},
                                                      {"lstrip", &added.lstrip},
                                                      {"rstrip", &added.rstrip},
                                                      {"normalized", &added.normalized},
                                                      {"special", &added.special}};
  for (const auto& [name, value] : flags)
    if (!read(token, name, file, *value)) return false;
  if (const auto known = id_of(added.content))
    added.id = *known;  // as the reference: the vocabulary's id wins
  const auto index = static_cast<std::size_t>(added.id);
  if (!in_vocabulary(added.id)) {
    add_entry(added.id, added.content, TokenEntry::Kind::kAdded);
  } else if (definition_.entries[index].text != added.content) {
    return invalid(file, {"the id ", std::to_string(added.id), " of the added token ", quote(added.content),
                          " is that of ", quote(definition_.entries[index].text)});
  }
  definition_.added_tokens.push_back(std::move(added));
  return true;
}

bool Reader::read_template(const Value& processor, std::string_view name, int sequences,
                           std::vector<TemplatePart>& result) {
  const Value parts = processor[name];
  if (!parts.is(Kind::kArray)) return invalid(kTokenizerJson, {"no template for ", name});
  if (parts.size() > kMostTemplateParts)
    return invalid(kTokenizerJson,
                   {"the template ", name, " has ", std::to_string(parts.size()), " parts; the most is 64"});
  int seen[2] = {0, 0};
  for (const Value part : parts) {
    TemplatePart out;
    const Value sequence = part["Sequence"];
    const Value body = sequence ? sequence : part["SpecialToken"];
    if (!body) return invalid(kTokenizerJson, {"an unknown part in the template ", name});
    std::string id;
    if (!read(body, "id", "tokenizer.json: template", id)) return false;
    const auto type_id = read_id(body["type_id"]);
    if (!type_id) return invalid(kTokenizerJson, {"no type_id for ", quote(id), " in the template ", name});
    out.type_id = *type_id;
    if (sequence) {
      out.sequence = id == "A" ? 0 : id == "B" ? 1 : 2;
      if (out.sequence >= sequences)
        return invalid(kTokenizerJson, {"an unknown sequence ", quote(id), " in the template ", name});
      ++seen[out.sequence];
    } else {
      const Value ids = processor["special_tokens"][id]["ids"];
      if (!ids.is(Kind::kArray))
        return invalid(kTokenizerJson, {"no ids for ", quote(id), " of the template"});
      for (const Value value : ids) {
        const auto special_id = read_id(value);
        if (!in_vocabulary(special_id))
          return invalid(kTokenizerJson,
                         {"an id of the template's ", quote(id), " is outside the vocabulary"});
        out.ids.push_back(*special_id);
      }
    }
    result.push_back(std::move(out));
  }
  for (int i = 0; i < sequences; ++i)
    if (seen[i] != 1)
      return invalid(kTokenizerJson, {"the template ", name, " has sequence ", i == 0 ? "A " : "B ",
                                      std::to_string(seen[i]), " times, not once"});
  return true;
}

/// [CLS] A [SEP] and [CLS] A [SEP] B [SEP].
void Reader::frame_with(std::int32_t cls, std::int32_t sep) {
  definition_.single = {{-1, {cls}, 0}, {0, {}, 0}, {-1, {sep}, 0}};
  definition_.pair = definition_.single;
  definition_.pair.push_back({1, {}, 1});
  definition_.pair.push_back({-1, {sep}, 1});
}

bool Reader::read_post_processor(const Value& processor) {
  if (!processor) {
    definition_.single = {{0, {}, 0}};
    definition_.pair = {{0, {}, 0}, {1, {}, 1}};
    return true;
  }
  const Value type = processor["type"];
  if (type.string() == "TemplateProcessing")
    return read_template(processor, "single", 1, definition_.single) &&
           read_template(processor, "pair", 2, definition_.pair);
  if (type.string() != "BertProcessing")
    return unsupported("post_processor", type, "TemplateProcessing or BertProcessing");
  std::optional<std::int32_t> ids[2];
  const std::string_view names[2] = {"cls", "sep"};
  for (int i = 0; i < 2; ++i) {  // each is ["[SEP]", 102]
    const Value token = processor[names[i]];
    if (token.is(Kind::kArray) && token.size() == 2) ids[i] = read_id(*++token.begin());
    if (!in_vocabulary(ids[i]))
      return invalid(kTokenizerJson, {"BertProcessing has no id of the vocabulary for ", names[i]});
  }
  frame_with(*ids[0], *ids[1]);
  return true;
}

bool Reader::read_tokenizer_json(std::string_view bytes) {
  const Expected<Document> document = Document::parse(bytes, kTokenizerJson);
  if (!document) return stop(document.error().code, {document.error().message});
  const Value root = document->root();
  if (!read_model(root["model"]) || !read_normalizer(root["normalizer"]) ||
      !require_type(root["pre_tokenizer"], "pre_tokenizer", "BertPreTokenizer") ||
      !read_decoder(root["decoder"]))
    return false;
  if (const Value added = root["added_tokens"]) {
    if (!added.is(Kind::kArray)) return wrong(kTokenizerJson, "added_tokens", added, "a list");
    for (const Value token : added)
      if (!read_added_token(token, read_id(token["id"]), kTokenizerJson)) return false;
  }
  return read_post_processor(root["post_processor"]);
}

bool Reader::read_roles(const Value& config) {
  for (auto& [role, content] : roles_) {
    Value value = config[role];
    if (value.is(Kind::kObject)) value = value["content"];
    if (!value) continue;
    if (!value.string()) return wrong(kTokenizerConfig, role, value, "a string");
    content = *value.string();
  }
  return true;
}

bool Reader::read_config(std::string_view bytes, bool tokens_too) {
  const Expected<Document> document = Document::parse(bytes, kTokenizerConfig);
  if (!document) return stop(document.error().code, {document.error().message});
  const Value config = document->root();
  TokenizerSettings& settings = definition_.settings;
  if (!read(config, "do_lower_case", kTokenizerConfig, settings.lowercase) ||
      !read(config, "tokenize_chinese_chars", kTokenizerConfig, settings.tokenize_chinese_chars) ||
      !read_strip_accents(config, kTokenizerConfig))
    return false;
  if (const Value length = config["model_max_length"]) {
    const double value = length.number().value_or(0);
    if (!(value >= 1)) return wrong(kTokenizerConfig, length.name(), length, "a number of at least 1");
    // transformers writes 1e30 for "no limit"
    settings.model_max_length = value >= kNoLimit ? kNoLimit : static_cast<std::uint32_t>(value);
  }
  for (const auto& [name, side] : {std::pair{"padding_side", &definition_.padding_side},
                                   std::pair{"truncation_side", &definition_.truncation_side}}) {
    const Value value = config[name];
    if (!value) continue;
    if (value.string() != "left" && value.string() != "right")
      return wrong(kTokenizerConfig, name, value, "left or right");
    *side = value.string() == "left" ? Side::kLeft : Side::kRight;
  }
  if (!read_roles(config)) return false;
  const Value added = config["added_tokens_decoder"];
  if (!tokens_too || !added) return true;
  if (!added.is(Kind::kObject)) return wrong(kTokenizerConfig, added.name(), added, "an object");
  for (const Value token : added) {
    std::optional<std::int32_t> id = 0;
    for (const char c : token.name()) {
      if (id) id = c >= '0' && c <= '9' ? std::optional(*id * 10 + (c - '0')) : std::nullopt;
      if (id && static_cast<std::size_t>(*id) >= kMostIds) id = std::nullopt;
    }
    if (!read_added_token(token, id, kTokenizerConfig)) return false;
  }
  return true;
}

/// What transformers adds to a bare vocab.txt: the tokens with a role are special, and [CLS] and [SEP] frame.
bool Reader::add_default_special_tokens() {
  std::int32_t cls = 0;
  std::int32_t sep = 0;
  for (const auto& [role, content] : roles_) {
    const auto id = id_of(content);
    if (!id) {
      if (role == "sep_token" || role == "cls_token")
        return invalid("vocab.txt", {"no line ", quote(content)});
      continue;
    }
    if (role == "sep_token") sep = *id;
    if (role == "cls_token") cls = *id;
    const bool known = std::any_of(definition_.added_tokens.begin(), definition_.added_tokens.end(),
                                   [&](const AddedToken& token) { return token.id == *id; });
    if (!known) definition_.added_tokens.push_back({content, *id, false, false, false, false, true});
  }
  frame_with(cls, sep);
  return true;
}

bool Reader::finish(const TokenizerOptions& options) {
  TokenizerSettings& settings = definition_.settings;
  settings.lowercase = options.lowercase.value_or(settings.lowercase);
  if (options.strip_accents) strip_accents_ = options.strip_accents;
  settings.strip_accents = strip_accents_.value_or(settings.lowercase);
  settings.tokenize_chinese_chars = options.tokenize_chinese_chars.value_or(settings.tokenize_chinese_chars);
  settings.clean_text = options.clean_text.value_or(settings.clean_text);
  settings.model_max_length = options.model_max_length.value_or(settings.model_max_length);
  if (settings.model_max_length == 0)
    return stop(ErrorCode::kInvalidArgument, {"model_max_length is 0, it must be at least 1"});

  for (const auto& [role, content] : roles_)
    if (const auto id = id_of(content)) definition_.special_tokens.push_back({role, content, *id});
  for (const AddedToken& token : definition_.added_tokens) {
    const bool has_role = std::any_of(roles_.begin(), roles_.end(),
                                      [&](const auto& role) { return role.second == token.content; });
    if (token.special && !has_role)
      definition_.special_tokens.push_back({"additional", token.content, token.id});
  }
  return true;
}

bool Reader::read_all(const TokenizerFiles& files, const TokenizerOptions& options) {
  const bool from_json = !files.tokenizer_json.empty();
  if (!from_json && files.vocab_txt.empty())
    return stop(ErrorCode::kInvalidArgument,
                {"neither tokenizer.json nor vocab.txt was given, or both are empty"});
  if (!(from_json ? read_tokenizer_json(files.tokenizer_json) : read_vocab_txt(files.vocab_txt)))
    return false;
  if (!files.tokenizer_config_json.empty() && !read_config(files.tokenizer_config_json, !from_json))
    return false;
  if (unknown_.empty()) unknown_ = roles_[0].second;
  const auto unknown = id_of(unknown_);
  if (!unknown)
    return invalid(from_json ? kTokenizerJson : "vocab.txt",
                   {"no entry ", quote(unknown_), " for unknown words"});
  definition_.unknown_id = *unknown;
  return (from_json || add_default_special_tokens()) && finish(options);
}

}  // namespace

Expected<Definition> read_definition(const TokenizerFiles& files, const TokenizerOptions& options) {
  return Reader().run(files, options);
}

}  // namespace bert::text
