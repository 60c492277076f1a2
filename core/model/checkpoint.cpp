// A checkpoint's headers matched with BERT's modules: which tensor is which, and whether types and shapes fit
// the config.
#include <algorithm>
#include <set>

#include "base/quote.h"
#include "model/checked.h"
#include "model/checkpoint_data.h"
#include "model/names.h"

namespace bert {
namespace {

using model::canonical_name;
using model::module_shape;
using model::ModuleShape;
using model::parse_name;
using model::shape_text;
using model::Slot;
using Role = Checkpoint::Entry::Role;

constexpr ModuleId kDecoder{ModuleKind::kMlmDecoder, 0};

tl::unexpected<Error> invalid(const TensorInfo& info, const std::string& what) {
  return fail(ErrorCode::kInvalidModel, "tensor " + quote(info.name) + " " + what);
}

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

/// The shape that the tensor must have; scales may also be a column.
bool shape_fits(const TensorInfo& info, Role role, ModuleKind kind, const ModuleShape& shape) {
  const auto is = [&info](std::initializer_list<std::uint64_t> wanted) {
    return std::ranges::equal(info.shape, wanted);
  };
  if (role == Role::kBias) return is({shape.bias});
  if (role == Role::kScales) return is({shape.rows}) || is({shape.rows, 1});
  return model::is_norm(kind) ? is({shape.columns}) : is({shape.rows, shape.columns});
}

Status check(const TensorInfo& info, Role role, ModuleKind kind, const ModelConfig& config) {
  const ModuleShape shape = module_shape(kind, config);
  if (!shape_fits(info, role, kind, shape)) {
    const bool vector = role != Role::kWeight || model::is_norm(kind);
    const std::size_t length = role == Role::kBias     ? shape.bias
                               : role == Role::kScales ? shape.rows
                                                       : shape.columns;
    return invalid(
        info, "has shape " + shape_text(info.shape) + "; by config.json it is " +
                  (vector ? "[" + std::to_string(length) + "]"
                          : "[" + std::to_string(shape.rows) + ", " + std::to_string(shape.columns) + "]"));
  }
  const bool quantised = info.dtype == DType::kI8 && role == Role::kWeight && !model::is_norm(kind);
  const bool ok = role == Role::kScales ? info.dtype == DType::kF32 : is_float(info.dtype) || quantised;
  if (!ok)
    return invalid(info, "has type " + std::string(dtype_name(info.dtype)) + ", which is not read here" +
                             (role == Role::kScales ? " (scales are F32)" : ""));
  return {};
}

/// Every file of the index has the tensors that the index says.
Status check_index(const ShardIndex& index, const std::vector<SafetensorsHeader>& headers) {
  if (index.files.size() != headers.size())
    return fail(ErrorCode::kInvalidModel, "the index names " + std::to_string(index.files.size()) +
                                              " files, but " + std::to_string(headers.size()) +
                                              " were given");
  std::vector<std::set<std::string_view>> names(headers.size());
  for (std::size_t i = 0; i < headers.size(); ++i)
    for (const TensorInfo& info : headers[i].tensors()) names[i].insert(info.name);
  for (const auto& [tensor, file] : index.shard) {
    if (!names[file].contains(tensor))
      return fail(ErrorCode::kMissingTensor, "tensor " + quote(tensor) + " is not in " +
                                                 quote(index.files[file]) + ", where the index says it is");
  }
  return {};
}

}  // namespace

namespace model {

TensorView make_view(const TensorInfo& info, std::span<const std::byte> data,
                     std::span<const std::byte> scales) {
  TensorView view;
  view.name = info.name;
  view.dtype = info.dtype;
  view.rows = info.shape.size() == 2 ? static_cast<std::size_t>(info.shape[0]) : 1;
  view.columns = static_cast<std::size_t>(info.shape.back());
  view.data = data;
  view.scales = scales;
  return view;
}

}  // namespace model

const Checkpoint::Data::Slots& Checkpoint::Data::slots_of(ModuleId id) const {
  return slots[model::module_number(id, config.num_hidden_layers)];
}

Checkpoint::Data::Slots& Checkpoint::Data::slots_of(ModuleId id) {
  return slots[model::module_number(id, config.num_hidden_layers)];
}

Status Checkpoint::Data::assign_slots() {
  slots.resize(model::module_count(config.num_hidden_layers));
  std::set<std::string_view> names;
  std::vector<std::size_t> aliases;
  for (std::size_t file = 0; file < headers.size(); ++file) {
    for (TensorInfo& info : headers[file].tensors_) {
      info.file = file;
      if (!names.insert(info.name).second) return invalid(info, "stands in two files");
      entries.push_back({&info, std::nullopt, Role::kUnused});
      const std::optional<Slot> slot = parse_name(info.name);
      if (!slot || slot->module.layer >= config.num_hidden_layers) continue;
      const bool tied_away = slot->module.kind == ModuleKind::kMlmDecoder && config.tie_word_embeddings &&
                             slot->role != Role::kBias;
      if (tied_away) continue;
      if (auto s = check(info, slot->role, slot->module.kind, config); !s) return s;
      if (slot->alias) {
        aliases.push_back(entries.size() - 1);
        continue;
      }
      Slots& own = slots_of(slot->module);
      const TensorInfo*& place = slot->role == Role::kWeight ? own.weight
                                 : slot->role == Role::kBias ? own.bias
                                                             : own.scales;
      if (place != nullptr) return invalid(info, "is the same parameter as " + quote(place->name));
      place = &info;
      entries.back() = {&info, slot->module, slot->role};
    }
  }
  // the second name of one parameter counts where the first is nowhere
  for (const std::size_t i : aliases) {
    const TensorInfo*& bias = slots_of(kDecoder).bias;
    if (bias != nullptr) continue;
    bias = entries[i].info;
    entries[i] = {bias, kDecoder, Role::kBias};
  }
  return {};
}

Status Checkpoint::Data::find_missing() {
  for (std::size_t number = 0; number < slots.size(); ++number) {
    const ModuleId id = model::module_at(number, config.num_hidden_layers);
    const Slots& own = slots[number];
    if (own.weight != nullptr && (own.weight->dtype == DType::kI8) != (own.scales != nullptr))
      return invalid(*own.weight,
                     own.scales == nullptr
                         ? "of type I8 has no scales (" + quote(own.weight->name + "_scale") + ")"
                         : "of type " + std::string(dtype_name(own.weight->dtype)) + " has scales");
    const bool tied = id == kDecoder && config.tie_word_embeddings;
    std::string absent;
    if (own.weight == nullptr && !tied)
      absent = canonical_name(id, Role::kWeight);
    else if (own.bias == nullptr && model::has_bias(id.kind))
      absent = canonical_name(id, Role::kBias);
    if (absent.empty()) continue;
    const std::optional<Head> head = model::head_of(id.kind);
    if (!head) return fail(ErrorCode::kMissingTensor, "the checkpoint has no tensor " + quote(absent));
    if (missing_of(*head).empty()) missing_of(*head) = absent;
  }
  if (missing_of(Head::kNsp).empty()) missing_of(Head::kNsp) = missing_of(Head::kPooler);
  return {};
}

void Checkpoint::Data::order_modules() {
  const std::size_t layers = config.num_hidden_layers;
  std::vector<std::size_t> last(slots.size(), 0);  // by number: the entry with which a module is complete
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::optional<ModuleId>& id = entries[i].module;
    if (!id) continue;
    last[model::module_number(*id, layers)] = i;
    if (config.tie_word_embeddings && id->kind == ModuleKind::kWordEmbeddings) {
      std::size_t& decoder = last[model::module_number(kDecoder, layers)];
      decoder = std::max(decoder, i);
    }
  }
  for (std::size_t number = 0; number < slots.size(); ++number) {
    const ModuleId id = model::module_at(number, layers);
    const std::optional<Head> head = model::head_of(id.kind);
    if (!head || missing_of(*head).empty()) modules.push_back(id);
  }
  const auto completion = [&](ModuleId id) { return last[model::module_number(id, layers)]; };
  // a heap sort; model/safetensors.cpp says why
  std::ranges::partial_sort(modules, modules.end(), {}, [&](ModuleId id) {
    return std::pair(completion(id), model::module_number(id, layers));
  });
  for (const ModuleId id : modules) complete_at.push_back(completion(id));
}

Expected<Checkpoint> Checkpoint::create(ModelConfig config, std::vector<SafetensorsHeader> headers,
                                        const ShardIndex* index) {
  if (headers.empty())
    return fail(ErrorCode::kInvalidArgument, "a checkpoint needs at least one safetensors file");
  if (index != nullptr) {
    if (auto s = check_index(*index, headers); !s) return tl::unexpected(s.error());
  }
  auto data = std::make_shared<Data>();
  data->config = std::move(config);
  data->headers = std::move(headers);
  if (auto s = data->assign_slots(); !s) return tl::unexpected(s.error());
  if (auto s = data->find_missing(); !s) return tl::unexpected(s.error());
  data->order_modules();
  Checkpoint checkpoint;
  checkpoint.data_ = std::move(data);
  return checkpoint;
}

const ModelConfig& Checkpoint::config() const {
  return data_->config;
}

const std::vector<SafetensorsHeader>& Checkpoint::headers() const {
  return data_->headers;
}

bool Checkpoint::has(Head head) const {
  return data_->missing_of(head).empty();
}

Status Checkpoint::require(Head head) const {
  if (has(head)) return {};
  return fail(ErrorCode::kMissingTensor, "the checkpoint has no " + std::string(head_name(head)) +
                                             (head == Head::kPooler ? "" : " head") + ": tensor " +
                                             quote(data_->missing_of(head)) + " is not there");
}

bool Checkpoint::decoder_is_tied() const {
  return data_->config.tie_word_embeddings;
}

const std::vector<ModuleId>& Checkpoint::modules() const {
  return data_->modules;
}

DType Checkpoint::storage() const {
  return data_->slots_of({ModuleKind::kQuery, 0}).weight->dtype;
}

const std::vector<Checkpoint::Entry>& Checkpoint::entries() const {
  return data_->entries;
}

Checkpoint::StoredParameters Checkpoint::stored_parameters() const {
  StoredParameters sums;
  for (const Entry& entry : data_->entries) {
    if (entry.role == Role::kScales) continue;
    const std::uint64_t count = entry.info->elements();
    if (!entry.module) {
      sums.unused += count;
      continue;
    }
    const std::optional<Head> head = model::head_of(entry.module->kind);
    if (!head)
      (model::in_layer(entry.module->kind) ? sums.encoder : sums.embeddings) += count;
    else
      (*head == Head::kPooler ? sums.pooler : *head == Head::kMlm ? sums.mlm_head : sums.nsp_head) += count;
  }
  return sums;
}

}  // namespace bert
