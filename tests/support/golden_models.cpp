// The golden values of tests/golden/bert, read for comparison.
#include "support/golden_models.h"

#include <array>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "support/test_files.h"

namespace bert_test {
namespace {

using nlohmann::json;

json read_json(const std::string& path) {
  const auto text = read_file(test_path(path));
  return text ? json::parse(*text, nullptr, false) : json();
}

std::vector<unsigned char> decode_base64(const std::string& text) {
  std::array<int, 256> values{};
  values.fill(-1);
  int next = 0;
  for (const char c : std::string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
    values[static_cast<unsigned char>(c)] = next++;
  std::vector<unsigned char> bytes;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = values[static_cast<unsigned char>(c)];
    if (value < 0) break;  // padding
    bits = (bits << 6) | static_cast<unsigned>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<unsigned char>((bits >> count) & 0xFFU));
  }
  return bytes;
}

GoldenTensor tensor_of(const json& value) {
  GoldenTensor tensor;
  tensor.shape = value["shape"].get<std::vector<std::size_t>>();
  std::size_t count = 1;
  for (const std::size_t size : tensor.shape) count *= size;
  const auto bytes = decode_base64(value["data"].get_ref<const std::string&>());
  tensor.data.resize(count);
  if (bytes.size() == count * sizeof(float))
    std::memcpy(tensor.data.data(), bytes.data(), bytes.size());
  else
    tensor.data.clear();  // a comparison of sizes will then fail
  return tensor;
}

std::vector<GoldenTensor> tensors_of(const json& object, const char* name) {
  std::vector<GoldenTensor> tensors;
  if (object.contains(name))
    for (const json& value : object[name]) tensors.push_back(tensor_of(value));
  return tensors;
}

std::optional<GoldenTensor> maybe_tensor(const json& object, const char* name) {
  if (!object.contains(name)) return std::nullopt;
  return tensor_of(object[name]);
}

std::optional<double> maybe_number(const json& object, const char* name) {
  if (!object.contains(name)) return std::nullopt;
  return object[name].get<double>();
}

/// A list, or a list of lists one after the other.
std::vector<std::int32_t> flat(const json& object, const char* name) {
  std::vector<std::int32_t> values;
  if (!object.contains(name)) return values;
  for (const json& row : object[name]) {
    if (!row.is_array()) {
      values.push_back(row.get<std::int32_t>());
      continue;
    }
    for (const json& value : row) values.push_back(value.get<std::int32_t>());
  }
  return values;
}

GoldenCase case_of(const json& object) {
  GoldenCase result;
  result.name = object["name"].get<std::string>();
  result.batch = object["input_ids"].size();
  result.tokens = object["input_ids"][0].size();
  result.input_ids = flat(object, "input_ids");
  result.token_type_ids = flat(object, "token_type_ids");
  result.attention_mask = flat(object, "attention_mask");
  result.labels = flat(object, "labels");
  result.next_sentence_label = flat(object, "next_sentence_label");
  result.hidden_states = tensors_of(object, "hidden_states");
  result.attentions = tensors_of(object, "attentions");
  result.pooler_output = maybe_tensor(object, "pooler_output");
  result.nsp_logits = maybe_tensor(object, "nsp_logits");
  result.mlm_logits = maybe_tensor(object, "mlm_logits");
  result.embedding_sum = maybe_tensor(object, "embedding_sum");
  if (object.contains("mlm_words")) {
    for (const json& words : object["mlm_words"])
      result.mlm_words.push_back({words["token"].get<std::size_t>(),
                                  words["ids"].get<std::vector<std::int32_t>>(),
                                  words["logits"].get<std::vector<float>>(), words["log_sum"].get<double>()});
  }
  result.mlm_loss = maybe_number(object, "mlm_loss");
  result.nsp_loss = maybe_number(object, "nsp_loss");
  result.mlm_losses = object.value("mlm_losses", std::vector<double>{});
  result.scored_ids = flat(object, "scored_ids");
  result.log_probabilities = object.value("log_probabilities", std::vector<double>{});
  if (object.contains("probes")) {
    for (const json& layer : object["probes"]) {
      auto& probes = result.probes.emplace_back();
      for (const auto& [name, value] : layer.items()) probes.emplace(name, tensor_of(value));
    }
  }
  return result;
}

}  // namespace

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  const json models = read_json("golden/models.json");
  for (const auto& item : models.items()) names.push_back(item.key());
  return names;
}

std::optional<GoldenModel> load_golden(const std::string& name) {
  const json models = read_json("golden/models.json");
  const json golden = read_json("golden/bert/" + name + ".json");
  if (!models.is_object() || !models.contains(name) || !golden.is_object()) return std::nullopt;
  const auto spec = parse_spec(models[name].dump());
  if (!spec) return std::nullopt;
  GoldenModel model;
  model.name = name;
  model.spec = *spec;
  model.float32_error = golden.value("float32_error", 0.0);
  const std::string digits = golden.value("weights_fnv1a", "");
  std::from_chars(digits.data(), digits.data() + digits.size(), model.weights_fnv1a, 16);
  for (const json& object : golden["cases"]) model.cases.push_back(case_of(object));
  return model;
}

std::optional<std::vector<GoldenCase>> load_default_golden() {
  const json golden = read_json("golden/default_model.json");
  if (!golden.is_object() || !golden.contains("cases")) return std::nullopt;
  std::vector<GoldenCase> cases;
  for (const json& object : golden["cases"]) cases.push_back(case_of(object));
  return cases;
}

}  // namespace bert_test
