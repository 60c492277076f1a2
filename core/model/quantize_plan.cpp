// The safetensors file of a checkpoint in another storage: its layout first, then its tensors one by one.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "base/quote.h"
#include "model/checkpoint_data.h"
#include "model/names.h"

namespace bert {
namespace {

using Role = Checkpoint::Entry::Role;

/// Rows are converted and written in pieces of about this many bytes.
constexpr std::size_t kPieceBytes = std::size_t{256} << 10;

/// One tensor of the planned file.
struct Planned {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::uint64_t> shape;
  std::uint64_t offset = 0;  ///< from the start of the file
  std::uint64_t bytes = 0;
};

/// Positions of a module's tensors in the list of planned ones.
struct PlannedModule {
  std::optional<std::size_t> weight, scales, bias;
};

bool is_matrix(ModuleKind kind, Storage storage) {
  switch (kind) {
    case ModuleKind::kTokenTypeEmbeddings:
    case ModuleKind::kNspClassifier:
      return storage == Storage::kF16;  // of no weight in bytes, so int8's error would buy nothing
    default:
      return !model::is_norm(kind);
  }
}

/// Names of used tensors are BERT's own, so plain ASCII: nothing to escape.
std::string entry_json(const Planned& tensor, std::uint64_t begin) {
  std::string shape;
  for (const std::uint64_t size : tensor.shape) shape += (shape.empty() ? "" : ",") + std::to_string(size);
  return "\"" + tensor.name + "\":{\"dtype\":\"" + std::string(dtype_name(tensor.dtype)) + "\",\"shape\":[" +
         shape + "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(begin + tensor.bytes) +
         "]}";
}

Status not_storable(const TensorView& tensor, std::size_t row, const char* why) {
  return fail(ErrorCode::kInvalidModel,
              "tensor " + quote(tensor.name) + ", row " + std::to_string(row) + ": " + why);
}

}  // namespace

struct QuantizePlan::Data {
  std::size_t layers = 0;
  std::vector<std::byte> header;
  std::uint64_t file_bytes = 0;
  std::vector<Planned> tensors;
  std::vector<PlannedModule> modules;  ///< by model::module_number
};

namespace {

/// Rows of `tensor` converted by `convert` (row number, floats, place) and written from `offset` on.
template <class Convert>
Status write_rows(const TensorView& tensor, std::size_t element_bytes, std::uint64_t offset,
                  const QuantizePlan::Writer& writer, const Convert& convert) {
  const std::size_t row_bytes = tensor.columns * element_bytes;
  const std::size_t piece_rows = std::clamp<std::size_t>(kPieceBytes / row_bytes, 1, tensor.rows);
  std::vector<float> row(tensor.columns);
  std::vector<std::byte> piece(piece_rows * row_bytes);
  for (std::size_t first = 0; first < tensor.rows; first += piece_rows) {
    const std::size_t count = std::min(piece_rows, tensor.rows - first);
    for (std::size_t i = 0; i < count; ++i) {
      tensor.row_to_float(first + i, row);
      if (!std::ranges::all_of(row, [](float value) { return std::isfinite(value); }))
        return not_storable(tensor, first + i, "a value is not finite");
      if (Status s = convert(first + i, std::span<const float>(row), piece.data() + i * row_bytes); !s)
        return s;
    }
    if (Status s = writer(offset + first * row_bytes, std::span(piece).first(count * row_bytes)); !s)
      return s;
  }
  return {};
}

Status write_float(const TensorView& tensor, std::uint64_t offset, const QuantizePlan::Writer& writer) {
  return write_rows(tensor, 4, offset, writer,
                    [](std::size_t, std::span<const float> row, std::byte* out) -> Status {
                      std::memcpy(out, row.data(), row.size_bytes());
                      return {};
                    });
}

Status write_half(const TensorView& tensor, std::uint64_t offset, const QuantizePlan::Writer& writer) {
  return write_rows(tensor, 2, offset, writer,
                    [&tensor](std::size_t number, std::span<const float> row, std::byte* out) -> Status {
                      for (std::size_t i = 0; i < row.size(); ++i) {
                        if (std::fabs(row[i]) >= base::kHalfOverflow)
                          return not_storable(tensor, number, "a value is beyond the range of f16");
                        const std::uint16_t bits = float_to_half(row[i]);
                        std::memcpy(out + i * 2, &bits, 2);
                      }
                      return {};
                    });
}

Status write_int8(const TensorView& tensor, std::uint64_t offset, std::uint64_t scales_offset,
                  const QuantizePlan::Writer& writer) {
  if (tensor.dtype == DType::kI8) {
    if (Status s = writer(scales_offset, tensor.scales); !s) return s;
    return writer(offset, tensor.data);
  }
  std::vector<float> scales(tensor.rows);
  const Status rows = write_rows(
      tensor, 1, offset, writer,
      [&](std::size_t number, std::span<const float> row, std::byte* out) -> Status {
        scales[number] = quantize_row(row, std::span(reinterpret_cast<std::int8_t*>(out), row.size()));
        return {};
      });
  if (!rows) return rows;
  return writer(scales_offset, std::as_bytes(std::span<const float>(scales)));
}

}  // namespace

Expected<QuantizePlan> QuantizePlan::create(const Checkpoint& checkpoint, Storage storage) {
  auto data = std::make_shared<Data>();
  const std::size_t layers = checkpoint.config().num_hidden_layers;
  data->layers = layers;
  data->modules.resize(model::module_count(layers));
  const auto place_of = [](PlannedModule& module, Role role) -> std::optional<std::size_t>& {
    return role == Role::kWeight ? module.weight : role == Role::kBias ? module.bias : module.scales;
  };
  const auto plan = [&](ModuleId id, Role role, Planned tensor) {
    place_of(data->modules[model::module_number(id, layers)], role) = data->tensors.size();
    data->tensors.push_back(std::move(tensor));
  };
  // Vectors first, then scales, then the large tensors: each group keeps the order of the source.
  std::vector<const Checkpoint::Entry*> large;
  for (const Checkpoint::Entry& entry : checkpoint.entries()) {
    if (!entry.module || entry.role == Role::kScales) continue;
    if (std::ranges::find(checkpoint.modules(), *entry.module) == checkpoint.modules().end()) continue;
    const TensorInfo& info = *entry.info;
    if (entry.role == Role::kBias || !is_matrix(entry.module->kind, storage)) {
      plan(*entry.module, entry.role, {info.name, DType::kF32, info.shape, 0, info.elements() * 4});
      continue;
    }
    large.push_back(&entry);
  }
  for (const Checkpoint::Entry* entry : large) {
    if (storage != Storage::kInt8) break;
    const TensorInfo& info = *entry->info;
    plan(*entry->module, Role::kScales,
         {info.name + "_scale", DType::kF32, {info.shape[0]}, 0, info.shape[0] * 4});
  }
  for (const Checkpoint::Entry* entry : large) {
    const TensorInfo& info = *entry->info;
    const DType dtype = storage == Storage::kInt8 ? DType::kI8 : DType::kF16;
    plan(*entry->module, Role::kWeight,
         {info.name, dtype, info.shape, 0, info.elements() * dtype_size(dtype)});
  }

  std::string json = std::string("{\"__metadata__\":{\"bertlens.storage\":\"") +
                     (storage == Storage::kInt8 ? "int8" : "f16") + "\",\"format\":\"pt\"}";
  std::uint64_t end = 0;
  for (Planned& tensor : data->tensors) {
    json += "," + entry_json(tensor, end);
    tensor.offset = end;
    end += tensor.bytes;
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = json.size();
  data->header.resize(8 + json.size());
  std::memcpy(data->header.data(), &length, 8);
  std::memcpy(data->header.data() + 8, json.data(), json.size());
  for (Planned& tensor : data->tensors) tensor.offset += data->header.size();
  data->file_bytes = data->header.size() + end;
  QuantizePlan result;
  result.data_ = std::move(data);
  return result;
}

std::span<const std::byte> QuantizePlan::header() const {
  return data_->header;
}

std::uint64_t QuantizePlan::file_bytes() const {
  return data_->file_bytes;
}

Status QuantizePlan::write(ModuleId id, const ModuleView& module, const Writer& writer) const {
  const PlannedModule& planned = data_->modules[model::module_number(id, data_->layers)];
  const auto& tensors = data_->tensors;
  if (planned.bias) {
    if (Status s = write_float(module.bias, tensors[*planned.bias].offset, writer); !s) return s;
  }
  if (!planned.weight) return {};
  const Planned& weight = tensors[*planned.weight];
  if (weight.dtype == DType::kF32) return write_float(module.weight, weight.offset, writer);
  if (weight.dtype == DType::kF16) return write_half(module.weight, weight.offset, writer);
  return write_int8(module.weight, weight.offset, tensors[*planned.scales].offset, writer);
}

}  // namespace bert
