// The safetensors header, read as a stream of JSON events, so that a name given twice is seen and a hostile
// header costs no more memory than its tensors. Format: https://github.com/huggingface/safetensors#format
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <set>

#include "base/quote.h"
#include "bert/model.h"
#include "json/scan.h"
#include "model/checked.h"

namespace bert {
namespace {

using model::checked_add;
using model::checked_multiply;
using model::shape_text;

static_assert(std::endian::native == std::endian::little, "safetensors data is read in place, little-endian");

struct DTypeFacts {
  std::string_view name;
  std::size_t size;
};
/// In the order of DType.
constexpr std::array<DTypeFacts, 15> kDTypes = {{{"F64", 8},
                                                 {"F32", 4},
                                                 {"F16", 2},
                                                 {"BF16", 2},
                                                 {"F8_E4M3", 1},
                                                 {"F8_E5M2", 1},
                                                 {"I64", 8},
                                                 {"I32", 4},
                                                 {"I16", 2},
                                                 {"I8", 1},
                                                 {"U64", 8},
                                                 {"U32", 4},
                                                 {"U16", 2},
                                                 {"U8", 1},
                                                 {"BOOL", 1}}};

/// One tensor as the JSON gives it, with offsets from the start of the data.
struct Draft {
  std::string name;
  std::optional<DType> dtype;
  std::vector<std::uint64_t> shape;
  std::vector<std::uint64_t> offsets;
  bool has_shape = false;
  bool has_offsets = false;
};

/// Receives the JSON events. The grammar has three levels (file, tensor or metadata, list of numbers), so a
/// depth and the current field are all the state there is. Every handler returns false to stop, with `error`
/// set.
class HeaderEvents : public json::Events {
 public:
  std::vector<Draft> drafts;
  std::map<std::string, std::string> metadata;
  std::string error;

  bool open(json::Kind container) override {
    return container == json::Kind::kObject ? open_object() : open_list();
  }
  bool close() override {
    if (in_list_) {
      in_list_ = false;
      return true;
    }
    --depth_;
    if (depth_ == 1) in_metadata_ = false;
    return true;
  }
  bool name(std::string_view name) override {
    if (depth_ == 1) {
      if (!names_.emplace(name).second) return stop("tensor " + quote(name) + " stands in the header twice");
      key_ = name;
      in_metadata_ = name == "__metadata__";
      return true;
    }
    field_ = name;
    if (in_metadata_) {
      if (!metadata.emplace(name, "").second)
        return stop("metadata " + quote(name) + " stands in the header twice");
      return true;
    }
    const Draft& draft = drafts.back();
    const bool known = name == "dtype" || name == "shape" || name == "data_offsets";
    const bool twice = (name == "dtype" && draft.dtype) || (name == "shape" && draft.has_shape) ||
                       (name == "data_offsets" && draft.has_offsets);
    if (!known || twice)
      return stop("tensor " + quote(key_) + " has " + (known ? "twice" : "an unknown") + " field " +
                  quote(name));
    return true;
  }
  bool scalar(const json::Scalar& value) override {
    if (value.kind == json::Kind::kString) return string(value.text);
    if (value.kind != json::Kind::kInteger || value.negative || !in_list_)
      return unexpected(json::shown(value));
    (field_ == "shape" ? drafts.back().shape : drafts.back().offsets).push_back(value.integer);
    return true;
  }
  void malformed(std::size_t byte) override {
    error = "header is not valid JSON at byte " + std::to_string(byte);
  }

 private:
  bool open_object() {
    if (depth_ == 2) return unexpected("an object");
    ++depth_;
    if (depth_ == 2 && !in_metadata_) {
      drafts.emplace_back();
      drafts.back().name = key_;
    }
    return true;
  }
  bool open_list() {
    if (depth_ != 2 || in_metadata_ || in_list_ || field_ == "dtype") return unexpected("a list");
    in_list_ = true;
    (field_ == "shape" ? drafts.back().has_shape : drafts.back().has_offsets) = true;
    return true;
  }
  bool string(std::string_view value) {
    if (depth_ == 2 && in_metadata_) {
      metadata[field_] = value;
      return true;
    }
    if (depth_ != 2 || in_list_ || field_ != "dtype") return unexpected(quote(value));
    for (std::size_t i = 0; i < kDTypes.size(); ++i) {
      if (kDTypes[i].name == value) {
        drafts.back().dtype = static_cast<DType>(i);
        return true;
      }
    }
    return stop("tensor " + quote(key_) + " has the unknown type " + quote(value));
  }
  bool stop(std::string text) {
    error = std::move(text);
    return false;
  }
  bool unexpected(const std::string& value) {
    const std::string where = depth_ == 0 ? "header" : in_metadata_ ? "metadata" : "tensor " + quote(key_);
    return stop(where + " has " + value.substr(0, 100) + " where it cannot be");
  }

  std::set<std::string, std::less<>> names_;
  std::string key_;    ///< at depth 1: the tensor
  std::string field_;  ///< at depth 2: dtype, shape, data_offsets or a metadata key
  int depth_ = 0;
  bool in_metadata_ = false;
  bool in_list_ = false;
};

tl::unexpected<Error> invalid(const std::string& what) {
  return fail(ErrorCode::kInvalidModel, "safetensors: " + what);
}

/// A draft's type, shape and range, checked against each other; offsets still from the start of the data.
Expected<TensorInfo> finish(Draft&& draft) {
  const std::string tensor = "tensor " + quote(draft.name);
  if (!draft.dtype) return invalid(tensor + " has no dtype");
  if (!draft.has_shape) return invalid(tensor + " has no shape");
  if (draft.offsets.size() != 2) return invalid(tensor + " has no data_offsets of two numbers");
  TensorInfo info;
  info.name = std::move(draft.name);
  info.dtype = *draft.dtype;
  info.shape = std::move(draft.shape);
  std::optional<std::uint64_t> bytes = dtype_size(info.dtype);
  for (const std::uint64_t size : info.shape) {
    bytes = checked_multiply(*bytes, size);
    if (!bytes) return invalid(tensor + " has the impossible shape " + shape_text(info.shape));
  }
  const std::uint64_t begin = draft.offsets[0];
  const std::uint64_t end = draft.offsets[1];
  if (begin > end || end - begin != *bytes)
    return invalid(tensor + " of type " + std::string(dtype_name(info.dtype)) + " and shape " +
                   shape_text(info.shape) + " needs " + std::to_string(*bytes) + " bytes, but its range is " +
                   std::to_string(begin) + " to " + std::to_string(end));
  info.offset = begin;
  info.bytes = *bytes;
  return info;
}

}  // namespace

std::string_view dtype_name(DType dtype) {
  return kDTypes[static_cast<std::size_t>(dtype)].name;
}

std::size_t dtype_size(DType dtype) {
  return kDTypes[static_cast<std::size_t>(dtype)].size;
}

Expected<std::uint64_t> SafetensorsHeader::size_from(std::span<const std::byte> prefix) {
  if (prefix.size() < 8)
    return invalid("file has " + std::to_string(prefix.size()) + " bytes, too few for a header");
  std::uint64_t length = 0;
  std::memcpy(&length, prefix.data(), 8);
  if (length < 2 || length > kMaxHeaderBytes)
    return invalid("header of " + std::to_string(length) + " bytes; from 2 to " +
                   std::to_string(kMaxHeaderBytes) + " are read (is this a safetensors file?)");
  return 8 + length;
}

Expected<SafetensorsHeader> SafetensorsHeader::parse(std::span<const std::byte> bytes,
                                                     std::optional<std::uint64_t> file_bytes) {
  const auto size = size_from(bytes);
  if (!size) return tl::unexpected(size.error());
  if (bytes.size() < *size)
    return invalid("header of " + std::to_string(*size) + " bytes is cut off after " +
                   std::to_string(bytes.size()));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8,
                              static_cast<std::size_t>(*size - 8));
  if (text.front() != '{') return invalid("header does not start with {");
  HeaderEvents events;
  if (!json::scan(text, events)) return invalid(events.error);

  SafetensorsHeader header;
  header.data_offset_ = *size;
  header.metadata_ = std::move(events.metadata);
  header.tensors_.reserve(events.drafts.size());
  for (Draft& draft : events.drafts) {
    auto info = finish(std::move(draft));
    if (!info) return tl::unexpected(info.error());
    header.tensors_.push_back(std::move(*info));
  }
  // Empty tensors share an offset with their neighbour: sorting by the end as well keeps them before it.
  // A heap sort, here and wherever core/ sorts: a third of std::sort's code, in a module that is downloaded.
  std::ranges::partial_sort(header.tensors_, header.tensors_.end(),
                            [](const TensorInfo& a, const TensorInfo& b) {
                              return a.offset != b.offset ? a.offset < b.offset
                                     : a.bytes != b.bytes ? a.bytes < b.bytes
                                                          : a.name < b.name;
                            });
  std::uint64_t reached = 0;
  for (TensorInfo& info : header.tensors_) {
    if (info.offset != reached)
      return invalid("tensor " + quote(info.name) + " starts at byte " + std::to_string(info.offset) +
                     (info.offset < reached ? ", inside the one before it" : ", after a gap") +
                     ", which ends at byte " + std::to_string(reached));
    const auto next = checked_add(info.offset, info.bytes);
    const auto offset = checked_add(info.offset, header.data_offset_);
    if (!next || !offset || !checked_add(*next, header.data_offset_))
      return invalid("tensor " + quote(info.name) + " ends beyond any file");
    reached = *next;
    info.offset = *offset;
  }
  header.file_bytes_ = header.data_offset_ + reached;
  if (file_bytes && *file_bytes != header.file_bytes_) {
    const std::string last =
        header.tensors_.empty() ? "" : " (last tensor " + quote(header.tensors_.back().name) + ")";
    return invalid("file has " + std::to_string(*file_bytes) + " bytes, but its header describes " +
                   std::to_string(header.file_bytes_) + last);
  }
  return header;
}

}  // namespace bert
