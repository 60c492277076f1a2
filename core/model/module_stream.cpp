// Safetensors bytes in the order of a download, turned into visits of complete modules.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/quote.h"
#include "model/checkpoint_data.h"
#include "model/names.h"

namespace bert {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kScratchBytes = std::size_t{64} << 10;

struct Free {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};
using Block = std::unique_ptr<std::byte, Free>;

/// Null when there is no memory: sizes come from a file, so this must not end the program.
Block allocate(std::uint64_t bytes) {
  if (bytes > SIZE_MAX - kAlignment) return nullptr;
  const std::size_t rounded = (static_cast<std::size_t>(bytes) + kAlignment - 1) / kAlignment * kAlignment;
  return Block(static_cast<std::byte*>(std::aligned_alloc(kAlignment, std::max(rounded, kAlignment))));
}

}  // namespace

struct ModuleStream::State {
  Checkpoint checkpoint;
  ModuleVisitor visitor;
  std::map<const TensorInfo*, Block> held;  ///< tensors that are in or coming in
  Block scratch;
  std::size_t entry = 0;        ///< the tensor that is coming in
  std::uint64_t filled = 0;     ///< bytes of it that are in
  std::size_t room = 0;         ///< of the last buffer()
  std::size_t next_module = 0;  ///< index into modules()
  std::size_t held_bytes = 0;
  Status status;

  [[nodiscard]] const Checkpoint::Data& data() const { return *checkpoint.data_; }
  [[nodiscard]] bool done() const { return entry == data().entries.size(); }
  [[nodiscard]] const Checkpoint::Entry& current() const { return data().entries[entry]; }

  Status stop(ErrorCode code, std::string message) {
    status = fail(code, std::move(message));
    return status;
  }

  /// Goes past tensors whose bytes are all in, visiting what they complete; tensors may be empty.
  Status advance() {
    while (!done() && filled == current().info->bytes) {
      while (next_module < data().modules.size() && data().complete_at[next_module] == entry) {
        if (status = visit(data().modules[next_module]); !status) return status;
        ++next_module;
      }
      ++entry;
      filled = 0;
    }
    return {};
  }

  [[nodiscard]] std::span<const std::byte> bytes_of(const TensorInfo* info) const {
    if (info == nullptr) return {};
    const auto found = held.find(info);
    return found == held.end()
               ? std::span<const std::byte>{}
               : std::span<const std::byte>(found->second.get(), static_cast<std::size_t>(info->bytes));
  }

  Status visit(ModuleId id) {
    const Checkpoint::Data::Slots& slots = data().slots_of(id);
    ModuleView module;
    if (slots.weight != nullptr)
      module.weight = model::make_view(*slots.weight, bytes_of(slots.weight), bytes_of(slots.scales));
    if (slots.bias != nullptr) module.bias = model::make_view(*slots.bias, bytes_of(slots.bias), {});
    const Expected<BytesUse> use = visitor(id, module);
    for (const TensorInfo* info : {slots.weight, slots.bias, slots.scales}) {
      if (info == nullptr || held.erase(info) == 0) continue;
      held_bytes -= static_cast<std::size_t>(info->bytes);
    }
    if (!use) return tl::unexpected(use.error());
    return {};
  }
};

ModuleStream::ModuleStream(Checkpoint checkpoint, ModuleVisitor visitor) : state_(std::make_unique<State>()) {
  state_->checkpoint = std::move(checkpoint);
  state_->visitor = std::move(visitor);
}
ModuleStream::~ModuleStream() = default;
ModuleStream::ModuleStream(ModuleStream&&) noexcept = default;
ModuleStream& ModuleStream::operator=(ModuleStream&&) noexcept = default;

std::size_t ModuleStream::file() const {
  return state_->done() ? state_->data().headers.size() : state_->current().info->file;
}

std::uint64_t ModuleStream::position() const {
  if (state_->done()) return 0;
  const TensorInfo& info = *state_->current().info;
  return info.offset - state_->data().headers[info.file].data_offset() + state_->filled;
}

Expected<std::span<std::byte>> ModuleStream::buffer() {
  State& s = *state_;
  s.room = 0;
  if (!s.status) return tl::unexpected(s.status.error());
  if (const Status advanced = s.advance(); !advanced) return tl::unexpected(advanced.error());
  if (s.done()) return std::span<std::byte>{};
  const TensorInfo& info = *s.current().info;
  const std::uint64_t left = info.bytes - s.filled;
  // A head that is not complete is never visited, so its tensors are not kept either.
  const bool kept = s.current().module &&
                    std::ranges::find(s.data().modules, *s.current().module) != s.data().modules.end();
  Block& block = kept ? s.held[&info] : s.scratch;
  if (!block) {
    block = allocate(kept ? info.bytes : kScratchBytes);
    if (!block) {
      if (kept) s.held.erase(&info);
      return tl::unexpected(
          s.stop(ErrorCode::kOutOfMemory,
                 "no memory for tensor " + quote(info.name) + " of " + std::to_string(info.bytes) + " bytes")
              .error());
    }
    if (kept) s.held_bytes += static_cast<std::size_t>(info.bytes);
  }
  s.room = static_cast<std::size_t>(kept ? left : std::min<std::uint64_t>(left, kScratchBytes));
  return std::span<std::byte>(block.get() + (kept ? static_cast<std::size_t>(s.filled) : 0), s.room);
}

Status ModuleStream::commit(std::size_t bytes) {
  State& s = *state_;
  if (!s.status) return s.status;
  if (bytes > s.room)
    return s.stop(ErrorCode::kInvalidArgument, "commit of " + std::to_string(bytes) + " bytes where " +
                                                   std::to_string(s.room) + " had room");
  s.room = 0;
  s.filled += bytes;
  return s.advance();
}

Status ModuleStream::push(std::span<const std::byte> bytes) {
  const std::size_t first_file = file();
  while (!bytes.empty()) {
    const auto room = buffer();
    if (!room) return tl::unexpected(room.error());
    if (room->empty() || file() != first_file)
      return state_->stop(
          ErrorCode::kInvalidArgument,
          std::to_string(bytes.size()) + " bytes more than file " + std::to_string(first_file) + " has");
    const std::size_t count = std::min(bytes.size(), room->size());
    std::memcpy(room->data(), bytes.data(), count);
    if (auto s = commit(count); !s) return s;
    bytes = bytes.subspan(count);
  }
  return {};
}

Status ModuleStream::finish() const {
  if (!state_->status) return state_->status;
  if (state_->done()) return {};
  const TensorInfo& info = *state_->current().info;
  return fail(ErrorCode::kInvalidModel, "safetensors: the bytes end in tensor " + quote(info.name) +
                                            " after " + std::to_string(state_->filled) + " of " +
                                            std::to_string(info.bytes));
}

std::size_t ModuleStream::held_bytes() const {
  return state_->held_bytes;
}

}  // namespace bert
