// model.safetensors.index.json: which tensor lies in which file.
#include <algorithm>

#include "base/quote.h"
#include "bert/model.h"
#include "json/document.h"

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
  const auto document = json::Document::parse(text, what);
  if (!document) return tl::unexpected(document.error());
  const json::Value weight_map = document->root()["weight_map"];
  if (!weight_map.is(json::Kind::kObject) || weight_map.size() == 0)
    return fail(ErrorCode::kInvalidModel, what + " has no weight_map");
  ShardIndex index;
  std::map<std::string_view, std::size_t> numbers;
  for (const json::Value file : weight_map) {
    if (!is_plain_name(file.string().value_or("")))
      return fail(ErrorCode::kInvalidModel,
                  what + ": tensor " + quote(file.name()) + " is not in a file of the same folder");
    numbers.emplace(*file.string(), 0);
  }
  for (auto& [name, number] : numbers) {
    number = index.files.size();
    index.files.emplace_back(name);
  }
  for (const json::Value file : weight_map)
    index.shard.insert_or_assign(std::string(file.name()), numbers.at(*file.string()));
  return index;
}

}  // namespace bert
