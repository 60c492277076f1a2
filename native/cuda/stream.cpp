// Queues operations, and runs them when results are asked for: as launches, or as a graph that is known.
#include "cuda/stream.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

namespace bert::cuda {
namespace {

constexpr std::size_t kArgumentAlignment = 64;
constexpr std::size_t kLeastArguments = std::size_t{1} << 20;  // bytes
constexpr std::size_t kResultHalf = std::size_t{1} << 20;      // floats that leave the device at a time
constexpr std::size_t kMostDirect = std::size_t{1}
                                    << 14;    // floats that a kernel writes to host memory itself
constexpr std::size_t kMostGraphRows = 2048;  // beyond it launches take less time than what they start
constexpr std::size_t kMostGraphs = 256;

std::uint64_t word(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}
std::uint64_t word(float value) {
  return std::bit_cast<std::uint32_t>(value);
}
std::uint64_t word(const DeviceRows& rows) {
  return word(rows.data);
}

enum Operation : std::uint64_t { kEmbed, kProduct, kActivation, kNorm, kAttention, kGather, kConvert, kBest };

CudaBuffer& buffer_of(const Rows& rows) {
  return *static_cast<CudaBuffer*>(rows.buffer);
}

}  // namespace

Expected<std::unique_ptr<Stream>> CudaStream::make(Element element, std::shared_ptr<Products> products) {
  auto stream = std::make_unique<CudaStream>();
  stream->element_ = element;
  stream->products_ = std::move(products);
  // does not wait for the default stream: weights are there when their calls return
  if (const Status done =
          check(cudaStreamCreateWithFlags(&stream->stream_, cudaStreamNonBlocking), "making a stream");
      !done)
    return tl::unexpected(done.error());
  auto workspace = Memory::make(Place::kDevice, Products::kWorkspace);
  if (!workspace) return tl::unexpected(workspace.error());
  stream->workspace_ = std::move(*workspace);
  auto results = Memory::make(Place::kPinned, 2 * kResultHalf * sizeof(float));
  if (!results) return tl::unexpected(results.error());
  stream->results_ = std::move(*results);
  auto device_results = Memory::make(Place::kDevice, 2 * kResultHalf * sizeof(float));
  if (!device_results) return tl::unexpected(device_results.error());
  stream->device_results_ = std::move(*device_results);
  return stream;
}

CudaStream::~CudaStream() {
  if (stream_ == nullptr) return;
  (void)cudaStreamSynchronize(stream_);
  retired_->free();
  (void)cudaStreamDestroy(stream_);
}

Expected<std::unique_ptr<Buffer>> CudaStream::allocate(std::size_t floats) {
  const FirstDevice current;
  auto memory = Memory::make(Place::kDevice, floats * sizeof(float));
  if (!memory && memory.error().code == ErrorCode::kOutOfMemory) {
    // buffers that are gone hold memory until what is queued has run: a caller that grows has room for either
    // its old or its new ones
    if (const Status done = flush(); !done) return tl::unexpected(done.error());
    if (const Status done = wait(); !done) return tl::unexpected(done.error());
    memory = Memory::make(Place::kDevice, floats * sizeof(float));
  }
  if (!memory) return tl::unexpected(memory.error());
  return std::make_unique<CudaBuffer>(std::move(*memory), floats, element_, retired_);
}

DeviceRows CudaStream::rows_of(Rows rows) const {
  if (rows.buffer == nullptr) return {};
  return {buffer_of(rows).at(rows.offset), rows.stride};
}

DeviceRows CudaStream::rows_for(Rows rows, Element element) const {
  if (rows.buffer != nullptr) buffer_of(rows).set_element(element);
  return rows_of(rows);
}

void CudaStream::queue(Launch launch, std::initializer_list<std::uint64_t> words) {
  queue_last_product();
  launches_.push_back(std::move(launch));
  key_.push_back(words.size());
  key_.insert(key_.end(), words);
}

Status CudaStream::reserve_arguments(std::size_t bytes) {
  const std::size_t wanted = argument_bytes_ + bytes + kArgumentAlignment;
  if (wanted <= host_arguments_.size()) return {};
  const FirstDevice current;
  if (const Status done = flush(); !done) return done;
  if (const Status done = wait(); !done) return done;
  const std::size_t size = std::max({kLeastArguments, 2 * bytes, 2 * host_arguments_.size()});
  auto host = Memory::make(Place::kPinned, size);
  if (!host) return tl::unexpected(host.error());
  auto device = Memory::make(Place::kDevice, size);
  if (!device) return tl::unexpected(device.error());
  host_arguments_ = std::move(*host);
  device_arguments_ = std::move(*device);
  return {};
}

template <class T>
Expected<const T*> CudaStream::argument(std::span<const T> values) {
  if (const Status done = reserve_arguments(values.size_bytes()); !done) return tl::unexpected(done.error());
  const std::size_t at = argument_bytes_;
  std::memcpy(host_arguments_.data() + at, values.data(), values.size_bytes());
  argument_bytes_ += (values.size_bytes() + kArgumentAlignment - 1) / kArgumentAlignment * kArgumentAlignment;
  return reinterpret_cast<const T*>(device_arguments_.data() + at);
}

Status CudaStream::run_launches() {
  for (const Launch& launch : launches_)
    if (const Status done = launch(stream_); !done) return done;
  return {};
}

Status CudaStream::run_graph() {
  const auto found = find_.find(key_);
  if (found == find_.end()) {
    if (known_.size() == kMostGraphs) {
      // it may still be running
      if (const Status done = check(cudaStreamSynchronize(stream_), "waiting for a graph"); !done)
        return done;
      find_.erase(known_.back().key);
      known_.pop_back();
    }
    // known once all of it was launched: before that a product may lack its algorithm, and the search for one
    // cannot be captured
    if (const Status done = run_launches(); !done) return done;
    known_.push_front({key_, {}});
    find_.emplace(key_, known_.begin());
    return {};
  }
  known_.splice(known_.begin(), known_, found->second);
  Graph& graph = known_.front().graph;
  if (graph.get() == nullptr) {
    // other threads may go on allocating meanwhile
    if (const Status done =
            check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capturing a graph");
        !done)
      return done;
    const Status launched = run_launches();
    cudaGraph_t captured = nullptr;
    const Status ended = check(cudaStreamEndCapture(stream_, &captured), "capturing a graph");
    if (!launched || !ended) {
      if (captured != nullptr) (void)cudaGraphDestroy(captured);
      return launched ? ended : launched;
    }
    cudaGraphExec_t made = nullptr;
    const Status done = check(cudaGraphInstantiate(&made, captured, 0), "making a graph");
    (void)cudaGraphDestroy(captured);
    if (!done) return done;
    graph = Graph(made);
  }
  return check(cudaGraphLaunch(graph.get(), stream_), "starting a graph");
}

Status CudaStream::flush() {
  queue_last_product();
  if (launches_.empty()) return {};
  const FirstDevice current;
  Status done;
  if (argument_bytes_ > 0)
    done = check(cudaMemcpyAsync(device_arguments_.data(), host_arguments_.data(), argument_bytes_,
                                 cudaMemcpyHostToDevice, stream_),
                 "copying arguments");
  if (done) done = most_rows_ <= kMostGraphRows ? run_graph() : run_launches();
  forget();
  if (!done) {
    (void)wait();
    return done;
  }
  return {};
}

void CudaStream::forget() {
  last_product_.reset();
  launches_.clear();
  key_.clear();
  argument_bytes_ = 0;
  most_rows_ = 0;
  sequences_.clear();
}

void CudaStream::discard() {
  forget();
  (void)wait();  // frees the buffers that the forgotten operations kept
}

Status CudaStream::wait() {
  const Status done = check(cudaStreamSynchronize(stream_), "running the operations");
  retired_->free();
  return done;
}

Status CudaStream::upload(std::span<const float> source, Buffer& target, std::size_t offset) {
  auto& buffer = static_cast<CudaBuffer&>(target);
  buffer.set_element(element_);
  constexpr std::size_t kPart = std::size_t{1} << 20;
  for (std::size_t first = 0; first < source.size(); first += kPart) {
    const auto part = source.subspan(first, std::min(kPart, source.size() - first));
    const auto from = argument(part);
    if (!from) return tl::unexpected(from.error());
    const auto* const floats = reinterpret_cast<const std::byte*>(*from);
    std::byte* const to = buffer.at(offset + first);
    const std::size_t count = part.size();
    queue(
        [=, element = element_](cudaStream_t stream) {
          return check(launch_convert(Element::kF32, floats, element, to, count, stream), "upload");
        },
        {kConvert, word(floats), word(to), count});
    // the arguments of the next operations would overwrite those that are still on their way
    if (const Status done = flush(); !done) return done;
    if (const Status done = wait(); !done) return done;
  }
  return {};
}

Status CudaStream::download(const Buffer& source, std::size_t offset, std::span<float> target) {
  const FirstDevice current;
  if (const Status done = flush(); !done) return done;
  const auto& buffer = static_cast<const CudaBuffer&>(source);
  const auto half = [](const Memory& memory, std::size_t part) {
    return memory.data() + part % 2 * kResultHalf * sizeof(float);
  };
  if (target.size() <= kMostDirect) {
    if (const Status done = check(launch_convert(buffer.element(), buffer.at(offset), Element::kF32,
                                                 results_.data(), target.size(), stream_),
                                  "download");
        !done)
      return done;
    if (const Status done = wait(); !done) return done;
    if (!target.empty()) std::memcpy(target.data(), results_.data(), target.size_bytes());
    return {};
  }
  // while one part is on its way from the device, the one before it goes to where it belongs
  const std::size_t parts = (target.size() + kResultHalf - 1) / kResultHalf;
  const auto size_of = [&](std::size_t part) {
    return std::min(kResultHalf, target.size() - part * kResultHalf);
  };
  cudaEvent_t arrived[2] = {};
  Status done;
  for (cudaEvent_t& event : arrived)
    if (done) done = check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "download");
  for (std::size_t part = 0; done && part <= parts; ++part) {
    if (part < parts) {
      std::byte* const converted = half(device_results_, part);
      done = check(launch_convert(buffer.element(), buffer.at(offset + part * kResultHalf), Element::kF32,
                                  converted, size_of(part), stream_),
                   "download");
      if (done)
        done = check(cudaMemcpyAsync(half(results_, part), converted, size_of(part) * sizeof(float),
                                     cudaMemcpyDeviceToHost, stream_),
                     "download");
      if (done) done = check(cudaEventRecord(arrived[part % 2], stream_), "download");
    }
    if (done && part > 0) {
      done = check(cudaEventSynchronize(arrived[(part - 1) % 2]), "running the operations");
      if (done)
        std::memcpy(target.data() + (part - 1) * kResultHalf, half(results_, part - 1),
                    size_of(part - 1) * sizeof(float));
    }
  }
  for (const cudaEvent_t event : arrived)
    if (event != nullptr) (void)cudaEventDestroy(event);
  const Status waited = wait();
  return done ? waited : done;
}

Status CudaStream::embed(const EmbeddingWeights& weights, std::span<const std::int32_t> ids,
                         std::span<const std::int32_t> type_ids, std::span<const std::int32_t> position_ids,
                         Rows sum, Rows output) {
  std::vector<std::int32_t> together(ids.begin(), ids.end());
  together.insert(together.end(), type_ids.begin(), type_ids.end());
  together.insert(together.end(), position_ids.begin(), position_ids.end());
  const auto lists = argument(std::span<const std::int32_t>(together));
  if (!lists) return tl::unexpected(lists.error());
  const EmbedCall call{.words = static_cast<const CudaTable&>(*weights.words).data(),
                       .positions = static_cast<const CudaTable&>(*weights.positions).data(),
                       .types = static_cast<const CudaTable&>(*weights.types).data(),
                       .norm = static_cast<const CudaNorm&>(*weights.norm).view(),
                       .ids = *lists,
                       .rows = ids.size(),
                       .sum = rows_for(sum, element_),
                       .output = rows_for(output, element_)};
  queue([call, element = element_](
            cudaStream_t stream) { return check(launch_embed(element, call, stream), "embed"); },
        {kEmbed, word(call.words), word(call.positions), word(call.types), word(call.norm.gamma),
         word(call.norm.beta), call.norm.size, word(call.norm.epsilon), word(call.ids), call.rows,
         word(call.sum), call.sum.stride, word(call.output), call.output.stride});
  most_rows_ = std::max(most_rows_, ids.size());
  return {};
}

void CudaStream::queue_product(const Product& product) {
  queue_last_product();
  last_product_ = product;
}

void CudaStream::queue_last_product() {
  if (!last_product_) return;
  const Product product = *last_product_;
  last_product_.reset();
  queue([this, product](cudaStream_t stream) { return products_->run(product, workspace_.data(), stream); },
        {kProduct, word(product.weight), word(product.bias), word(product.residual), word(product.input),
         word(product.output), product.rows, product.inputs, product.outputs, product.input_stride,
         product.residual_stride, product.output_stride, static_cast<std::uint64_t>(product.output_element),
         static_cast<std::uint64_t>(product.activation)});
}

Status CudaStream::linear(const Linear& layer, Activation activation, std::size_t rows, Rows input,
                          Rows output) {
  const auto& linear = static_cast<const CudaLinear&>(layer);
  // for outputs that do not fill units of 16 bytes cuBLASLt's kernels are coarser: such layers are rare and
  // small
  const bool inside =
      activation == Activation::kNone || (linear.outputs() % 8 == 0 && in_epilogue(activation, element_));
  const Product product{.element = element_,
                        .output_element = element_,
                        .rows = rows,
                        .inputs = linear.inputs(),
                        .outputs = linear.outputs(),
                        .input_stride = linear.inputs(),
                        .output_stride = linear.outputs(),
                        .input = rows_of(input).data,
                        .weight = linear.weight(),
                        .bias = linear.bias(),
                        .output = rows_for(output, element_).data,
                        .activation = inside ? activation : Activation::kNone};
  queue_product(product);
  if (!inside) {
    const std::size_t count = rows * linear.outputs();
    queue(
        [=, element = element_, values = product.output](cudaStream_t stream) {
          return check(launch_activation(element, activation, values, count, stream), "activation");
        },
        {kActivation, static_cast<std::uint64_t>(activation), word(product.output), count});
  }
  most_rows_ = std::max(most_rows_, rows);
  return {};
}

Status CudaStream::add_normalise(const LayerNorm& norm, std::size_t rows, Rows input, Rows residual,
                                 Rows output) {
  const DeviceNorm own = static_cast<const CudaNorm&>(norm).view();
  const DeviceRows from = rows_of(input), to = rows_for(output, element_);
  DeviceRows other = rows_of(residual);
  // the product just before adds the residual to its sums as it stores them: the norm reads one matrix, not
  // two. Where rows do not fill units of 16 bytes, cuBLASLt rounds before it adds.
  const auto in_units = [](std::size_t elements) { return elements % 8 == 0; };
  if (last_product_ && other.data != nullptr && other.data != from.data &&
      last_product_->output == from.data && last_product_->output_stride == from.stride &&
      last_product_->rows == rows && last_product_->outputs == own.size &&
      last_product_->activation == Activation::kNone && in_units(last_product_->inputs) &&
      in_units(from.stride) && in_units(other.stride)) {
    last_product_->residual = other.data;
    last_product_->residual_stride = other.stride;
    other = {};
  }
  queue(
      [=, element = element_](cudaStream_t stream) {
        return check(launch_add_normalise(element, own, rows, from, other, to, stream), "layer norm");
      },
      {kNorm, word(own.gamma), word(own.beta), own.size, word(own.epsilon), rows, word(from), from.stride,
       word(other), other.stride, word(to), to.stride});
  return {};
}

Status CudaStream::attention(const AttentionCall& call) {
  DeviceAttention device{.query = rows_of(call.query),
                         .key = rows_of(call.key),
                         .value = rows_of(call.value),
                         .context = rows_for(call.context, element_),
                         .heads = call.heads,
                         .head_size = call.head_size,
                         .scale = call.scale};
  for (Buffer* const matrix : {call.probabilities, call.scores})
    if (matrix != nullptr) static_cast<CudaBuffer*>(matrix)->set_element(Element::kF32);
  if (call.probabilities != nullptr)
    device.probabilities = reinterpret_cast<float*>(static_cast<CudaBuffer*>(call.probabilities)->at(0));
  if (call.scores != nullptr)
    device.scores = reinterpret_cast<float*>(static_cast<CudaBuffer*>(call.scores)->at(0));

  std::vector<DeviceSequence> sequences;
  sequences.reserve(call.sequences.size());
  bool hides = false;
  std::int64_t matrix = 0;
  for (const AttentionSequence& sequence : call.sequences) {
    DeviceSequence own{.query_row = static_cast<std::int32_t>(sequence.query_row),
                       .query_count = static_cast<std::int32_t>(sequence.query_count),
                       .key_row = static_cast<std::int32_t>(sequence.key_row),
                       .key_count = static_cast<std::int32_t>(sequence.key_count),
                       .matrix = matrix};
    if (!call.key_visible.empty()) {
      const auto visible = call.key_visible.subspan(sequence.key_row, sequence.key_count);
      const auto shown = static_cast<std::size_t>(
          std::count_if(visible.begin(), visible.end(), [](std::uint8_t flag) { return flag != 0; }));
      own.hiding = shown == visible.size() ? Hiding::kNone : shown == 0 ? Hiding::kAll : Hiding::kSome;
      hides = hides || own.hiding != Hiding::kNone;
    }
    device.longest = std::max(device.longest, sequence.key_count);
    matrix += static_cast<std::int64_t>(call.heads * sequence.query_count * sequence.key_count);
    sequences.push_back(own);
  }
  const bool flash = flash_attention_takes(element_, device, hides);
  const std::size_t queries = flash ? kFlashQueries : plain_queries(device.longest);
  if (queries == 0)
    return fail(ErrorCode::kUnsupported, "attention over " + std::to_string(device.longest) +
                                             " keys needs more shared memory than the device has");
  std::vector<QueryTile> tiles;
  for (std::size_t s = 0; s < sequences.size(); ++s)
    for (std::size_t first = 0; first < call.sequences[s].query_count; first += queries)
      tiles.push_back({static_cast<std::int32_t>(s), static_cast<std::int32_t>(first)});
  if (tiles.empty()) return {};
  device.tile_count = tiles.size();

  // sequences, tiles and visible keys behind each other
  const auto padded = [](std::size_t bytes) {
    return (bytes + kArgumentAlignment - 1) / kArgumentAlignment * kArgumentAlignment;
  };
  const std::size_t tiles_at = padded(sequences.size() * sizeof(DeviceSequence));
  const std::size_t visible_at = tiles_at + padded(tiles.size() * sizeof(QueryTile));
  std::vector<std::byte> bytes(visible_at + (hides ? call.key_visible.size() : 0));
  std::memcpy(bytes.data(), sequences.data(), sequences.size() * sizeof(DeviceSequence));
  std::memcpy(bytes.data() + tiles_at, tiles.data(), tiles.size() * sizeof(QueryTile));
  if (hides) std::memcpy(bytes.data() + visible_at, call.key_visible.data(), call.key_visible.size());
  if (bytes != sequences_) {
    const auto placed = argument(std::span<const std::byte>(bytes));
    if (!placed) return tl::unexpected(placed.error());
    sequences_at_ = static_cast<std::size_t>(*placed - device_arguments_.data());
    sequences_ = std::move(bytes);
  }
  const std::byte* const base = device_arguments_.data() + sequences_at_;
  device.sequences = reinterpret_cast<const DeviceSequence*>(base);
  device.tiles = reinterpret_cast<const QueryTile*>(base + tiles_at);
  if (hides) device.visible = reinterpret_cast<const std::uint8_t*>(base + visible_at);
  queue(
      [=, element = element_](cudaStream_t stream) {
        return check(
            flash ? launch_flash_attention(device, stream) : launch_plain_attention(element, device, stream),
            "attention");
      },
      {kAttention,           flash ? 1U : 0U,        word(device.query),  device.query.stride,
       word(device.key),     device.key.stride,      word(device.value),  device.value.stride,
       word(device.context), device.context.stride,  device.heads,        device.head_size,
       word(device.scale),   word(device.sequences), word(device.tiles),  device.tile_count,
       device.longest,       word(device.visible),   word(device.scores), word(device.probabilities)});
  return {};
}

Status CudaStream::vocabulary(const Table& table, const Vector* bias, std::size_t rows, Rows input,
                              Rows output) {
  const auto& words = static_cast<const CudaTable&>(table);
  const Product product{.element = element_,
                        .output_element = Element::kF32,
                        .rows = rows,
                        .inputs = words.columns(),
                        .outputs = words.rows(),
                        .input_stride = input.stride,
                        .output_stride = output.stride,
                        .input = rows_of(input).data,
                        .weight = words.data(),
                        .bias = bias == nullptr ? nullptr : static_cast<const CudaVector*>(bias)->data(),
                        .output = rows_for(output, Element::kF32).data,
                        .activation = Activation::kNone};
  queue_product(product);
  most_rows_ = std::max(most_rows_, rows);
  return {};
}

Status CudaStream::gather(std::span<const std::uint32_t> indices, std::size_t columns, Rows input,
                          Rows output) {
  const auto placed = argument(indices);
  if (!placed) return tl::unexpected(placed.error());
  const Element element = buffer_of(input).element();
  const std::size_t rows = indices.size();
  const DeviceRows from = rows_of(input), to = rows_for(output, element);
  queue(
      [=, device_indices = *placed](cudaStream_t stream) {
        return check(launch_gather(element, device_indices, rows, columns, from, to, stream), "gather");
      },
      {kGather, word(*placed), rows, columns, word(from), from.stride, word(to), to.stride,
       static_cast<std::uint64_t>(element)});
  return {};
}

Status CudaStream::best(std::size_t rows, std::size_t columns, std::size_t tokens, std::size_t count,
                        Rows logits, const BestWords& results) {
  if (count == 0 || count > std::min(kMostBestWords, tokens) || tokens > columns)
    return fail(ErrorCode::kInvalidArgument,
                "the best " + std::to_string(count) + " of " + std::to_string(tokens) + " words");
  if (buffer_of(logits).element() != Element::kF32)
    return fail(ErrorCode::kUnsupported, "best words of logits that `vocabulary` did not make");
  // log-sums, ids, logits behind each other in page-locked memory, which the kernel writes itself
  const std::size_t of_a_row = sizeof(double) + count * (sizeof(std::int32_t) + sizeof(float));
  const std::size_t most = std::max<std::size_t>(1, results_.size() / of_a_row);
  for (std::size_t first = 0; first < rows; first += most) {
    const std::size_t some = std::min(most, rows - first);
    auto* const sums = reinterpret_cast<double*>(results_.data());
    auto* const ids = reinterpret_cast<std::int32_t*>(sums + some);
    auto* const best = reinterpret_cast<float*>(ids + some * count);
    const auto* const from = reinterpret_cast<const float*>(rows_of(logits).data) + first * columns;
    queue(
        [=](cudaStream_t stream) {
          return check(launch_best(from, some, columns, tokens, count, sums, ids, best, stream),
                       "best words");
        },
        {kBest, word(from), some, columns, tokens, count});
    if (const Status done = flush(); !done) return done;
    if (const Status done = wait(); !done) return done;
    std::memcpy(results.log_sums.data() + first, sums, some * sizeof *sums);
    std::memcpy(results.ids.data() + first * count, ids, some * count * sizeof *ids);
    std::memcpy(results.logits.data() + first * count, best, some * count * sizeof *best);
  }
  return {};
}

}  // namespace bert::cuda
