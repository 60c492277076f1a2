// Any bytes as a model: config.json, a line feed, a safetensors file. Whatever opens must be consistent in
// every use.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "bert/model.h"
#include "fuzz/check_error.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void read_tensor(const bert::TensorView& tensor) {
  const bert::TensorStatistics statistics = bert::tensor_statistics(tensor);
  require(statistics.elements == tensor.elements());
  require(statistics.zeros + statistics.nans + statistics.infinities <= statistics.elements);
  std::vector<float> values(tensor.elements());
  tensor.to_float(values);
}

/// What the visits of whole files and of a stream have in common.
struct Visits {
  std::vector<bert::ModuleId> modules;
  std::uint64_t bytes = 0;

  bert::Expected<bert::BytesUse> operator()(bert::ModuleId id, const bert::ModuleView& module) {
    modules.push_back(id);
    for (const auto part : {module.weight.data, module.weight.scales, module.bias.data}) {
      for (const std::byte b : part) bytes = bytes * 31 + static_cast<std::uint64_t>(b);
    }
    return bert::BytesUse::kCopied;
  }
  friend bool operator==(const Visits&, const Visits&) = default;
};

void stream(const bert::Checkpoint& checkpoint, std::span<const std::byte> file, const Visits& wanted) {
  Visits visits;
  bert::ModuleStream stream(checkpoint, std::ref(visits));
  auto data = file.subspan(static_cast<std::size_t>(checkpoint.headers()[0].data_offset()));
  std::size_t piece = 1;
  while (!data.empty()) {
    const std::size_t count = std::min(piece, data.size());
    require(stream.push(data.first(count)).has_value());
    data = data.subspan(count);
    piece = piece * 3 % 1021;
  }
  require(stream.finish().has_value() && stream.held_bytes() == 0);
  require(visits == wanted);
}

/// What quantising writes must open again with the same config.
void quantize(const bert::BertWeights& weights, bert::Storage storage) {
  const auto plan = bert::QuantizePlan::create(weights.checkpoint, storage);
  require(plan.has_value());
  std::vector<std::byte> bytes(static_cast<std::size_t>(plan->file_bytes()));
  std::ranges::copy(plan->header(), bytes.begin());
  const auto status = visit_modules(
      weights, [&](bert::ModuleId id, const bert::ModuleView& module) -> bert::Expected<bert::BytesUse> {
        const bert::Status written = plan->write(
            id, module, [&bytes](std::uint64_t offset, std::span<const std::byte> piece) -> bert::Status {
              require(offset <= bytes.size() && piece.size() <= bytes.size() - offset);
              std::ranges::copy(piece, bytes.begin() + static_cast<std::ptrdiff_t>(offset));
              return {};
            });
        if (!written) return tl::unexpected(written.error());
        return bert::BytesUse::kCopied;
      });
  if (!status) return check_error(status.error());  // a value that is not finite
  auto header = bert::SafetensorsHeader::parse(bytes, bytes.size());
  require(header.has_value());
  const auto again = bert::Checkpoint::create(weights.checkpoint.config(), {std::move(*header)});
  require(again.has_value() && again->modules().size() == weights.checkpoint.modules().size());
  const std::span<const std::byte> files[] = {bytes};
  require(bert::BertWeights::bind(*again, files).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = std::min(text.find('\n'), text.size());
  const auto file = std::as_bytes(std::span(data, size)).subspan(std::min(line + 1, size));
  if (const auto index = bert::ShardIndex::parse(text); !index) check_error(index.error());

  auto config = bert::ModelConfig::parse(text.substr(0, line));
  auto header = bert::SafetensorsHeader::parse(file, file.size());
  if (!config) check_error(config.error());
  if (!header) check_error(header.error());
  if (!config || !header) return 0;
  (void)bert::parameter_table(*config);
  const auto checkpoint = bert::Checkpoint::create(*config, {std::move(*header)});
  if (!checkpoint) {
    check_error(checkpoint.error());
    return 0;
  }
  const std::span<const std::byte> files[] = {file};
  const auto weights = bert::BertWeights::bind(*checkpoint, files);
  require(weights.has_value());  // the header was checked against the file's length
  Visits visits;
  require(visit_modules(*weights, std::ref(visits)).has_value());
  for (const bert::ModuleId id : checkpoint->modules()) {
    const bert::ModuleView module = weights->module(id);
    read_tensor(module.weight);
    if (!module.bias.empty()) read_tensor(module.bias);
  }
  stream(*checkpoint, file, visits);
  quantize(*weights, bert::Storage::kInt8);
  quantize(*weights, bert::Storage::kF16);
  return 0;
}
