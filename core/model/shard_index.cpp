// model.safetensors.index.json: which tensor lies in which file.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "bert/model.h"
#include "model/checked.h"

namespace bert {
namespace {

constexpr std::size_t kMaxIndexBytes = std::size_t{16} << 20;

/// A file beside the index and nothing else: an index from the network must not name other folders.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         std::ranges::none_of(name, [](char c) {
           return c == '/' || c == '\\' || c == ':' || static_cast<unsigned char>(c) < 0x20;
         });
}

}  // namespace

Expected<ShardIndex> ShardIndex::parse(std::string_view text) {
  const std::string what = "model.safetensors.index.json";
  if (text.size() > kMaxIndexBytes)
    return fail(ErrorCode::kInvalidModel, what + " has " + std::to_string(text.size()) + " bytes");
  const auto object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object()) return fail(ErrorCode::kInvalidModel, what + " is not a JSON object");
  const auto weight_map = object.find("weight_map");
  if (weight_map == object.end() || !weight_map->is_object() || weight_map->empty())
    return fail(ErrorCode::kInvalidModel, what + " has no weight_map");
  ShardIndex index;
  std::map<std::string, std::size_t> numbers;
  for (const auto& [tensor, file] : weight_map->items()) {
    if (!file.is_string() || !is_plain_name(file.get_ref<const std::string&>()))
      return fail(ErrorCode::kInvalidModel,
                  what + ": tensor " + model::quote(tensor) + " is not in a file of the same folder");
    numbers.emplace(file.get_ref<const std::string&>(), 0);
  }
  for (auto& [name, number] : numbers) {
    number = index.files.size();
    index.files.push_back(name);
  }
  for (const auto& [tensor, file] : weight_map->items())
    index.shard.emplace(tensor, numbers.at(file.get_ref<const std::string&>()));
  return index;
}

}  // namespace bert
