// One caller's queue of operations on the device.
//
// Operations are not started one by one: each adds a launch to a list, and its arguments that come from the
// host (ids, indices, sequences) to page-locked memory. When results are asked for, one copy takes the
// arguments to the device and the list runs. A list of few rows that has come before, at the same addresses,
// with the same sizes, runs as a CUDA graph: the launches of a whole encoder in one call. Where host memory
// would have to be read later than the call, there is none: an operation copies what it is given.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "bert/backend.h"
#include "cuda/matmul.h"
#include "cuda/weights.h"

namespace bert::cuda {

class CudaStream : public Stream {
 public:
  static Expected<std::unique_ptr<Stream>> make(Element element, std::shared_ptr<Products> products);
  CudaStream() = default;
  CudaStream(const CudaStream&) = delete;
  ~CudaStream() override;

  Expected<std::unique_ptr<Buffer>> allocate(std::size_t floats) override;
  Status upload(std::span<const float> source, Buffer& target, std::size_t offset) override;
  Status download(const Buffer& source, std::size_t offset, std::span<float> target) override;
  Status embed(const EmbeddingWeights& weights, std::span<const std::int32_t> ids,
               std::span<const std::int32_t> type_ids, std::span<const std::int32_t> position_ids, Rows sum,
               Rows output) override;
  Status linear(const Linear& layer, Activation activation, std::size_t rows, Rows input,
                Rows output) override;
  Status add_normalise(const LayerNorm& norm, std::size_t rows, Rows input, Rows residual,
                       Rows output) override;
  Status attention(const AttentionCall& call) override;
  Status vocabulary(const Table& table, const Vector* bias, std::size_t rows, Rows input,
                    Rows output) override;
  Status gather(std::span<const std::uint32_t> indices, std::size_t columns, Rows input,
                Rows output) override;
  Status best(std::size_t rows, std::size_t columns, std::size_t tokens, std::size_t count, Rows logits,
              const BestWords& results) override;
  void discard() override;

 private:
  using Launch = std::function<Status(cudaStream_t)>;
  /// Everything that a list of launches depends on, save what lies in the arguments.
  using Key = std::vector<std::uint64_t>;

  class Graph {
   public:
    Graph() = default;
    explicit Graph(cudaGraphExec_t graph) : graph_(graph) {}
    Graph(Graph&& other) noexcept { std::swap(graph_, other.graph_); }
    Graph& operator=(Graph&& other) noexcept {
      std::swap(graph_, other.graph_);
      return *this;
    }
    ~Graph() {
      if (graph_ != nullptr) (void)cudaGraphExecDestroy(graph_);
    }
    cudaGraphExec_t get() const { return graph_; }

   private:
    cudaGraphExec_t graph_ = nullptr;  // null: the list has been seen once
  };
  struct Known {
    Key key;
    Graph graph;
  };

  /// Adds a launch that `words` tell from all others.
  void queue(Launch launch, std::initializer_list<std::uint64_t> words);
  /// Adds a product, once the next operation is known: a norm of its output takes part of the work.
  void queue_product(const Product& product);
  void queue_last_product();
  /// Copies host values to where the list's arguments are; gives their address on the device.
  template <class T>
  Expected<const T*> argument(std::span<const T> values);
  /// Makes room for `bytes` of arguments; may run what is queued.
  Status reserve_arguments(std::size_t bytes);
  /// Starts all that is queued.
  Status flush();
  /// Empties the list.
  void forget();
  Status run_launches();
  Status run_graph();
  /// Waits for all that was started; frees what it may have used.
  Status wait();

  DeviceRows rows_of(Rows rows) const;
  /// As written from now on, in `element`.
  DeviceRows rows_for(Rows rows, Element element) const;

  Element element_ = Element::kF32;
  std::shared_ptr<Products> products_;
  std::shared_ptr<Retired> retired_ = std::make_shared<Retired>();
  cudaStream_t stream_ = nullptr;
  Memory workspace_;  // of cuBLASLt

  std::optional<Product> last_product_;  // of the list, but not in it yet
  std::vector<Launch> launches_;
  Key key_;
  std::size_t most_rows_ = 0;  // of an operation in the list

  Memory host_arguments_, device_arguments_;
  std::size_t argument_bytes_ = 0;
  // the last attention's sequences: layer after layer they are the same
  std::vector<std::byte> sequences_;
  std::size_t sequences_at_ = 0;

  std::list<Known> known_;  // most recently used first
  std::map<Key, std::list<Known>::iterator> find_;

  Memory results_;         // page-locked, two halves
  Memory device_results_;  // likewise
};

}  // namespace bert::cuda
