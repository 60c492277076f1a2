// The loop over batches of lines.
#include "app/stream.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "app/request.h"
#include "io/error_line.h"
#include "io/line_reader.h"
#include "io/progress.h"

namespace bert::cli {
namespace {

// Lines of a batch are held together with their answers, so very long ones make a batch of fewer lines.
constexpr std::size_t kMostBytes = std::size_t{8} << 20;

// Lines that are answered together.
using Batch = std::vector<StreamLine>;

}  // namespace

// Cuts the input into batches. Friend of StreamLine: says how much of the input there is up to each.
class BatchReader {
 public:
  static Expected<BatchReader> open(const InputOptions& input, const StreamOptions& options) {
    BatchReader batches(input, options);
    if (!input.texts.empty()) return batches;
    Expected<LineReader> opened = LineReader::open(input.file.empty() ? "-" : input.file);
    if (!opened) return tl::unexpected(opened.error());
    batches.reader_.emplace(std::move(*opened));
    return batches;
  }

  bool counts_bytes() const { return reader_ && reader_->total_bytes() > 0; }
  // What `read_` grows to; 0 when that is not known.
  std::uint64_t total() const {
    return !reader_ ? input_.texts.size() : counts_bytes() ? reader_->total_bytes() : 0;
  }
  // Whether the first line of the next batch, or the end, is there without waiting.
  bool ready() { return !reader_ || reader_->ready(); }

  // The next batch; without lines at the end.
  Expected<Batch> next() {
    Batch batch;
    std::size_t bytes = 0;
    while (more_ && batch.size() < most_ && (input_.batch > 0 || bytes < kMostBytes)) {
      if (batching_ == Batching::kPrompt && !batch.empty() && !ready()) break;
      StreamLine line;
      if (reader_) {
        const Expected<bool> got = reader_->next(line.text);
        if (!got) return tl::unexpected(got.error());
        more_ = *got;
      } else {
        more_ = lines_ < input_.texts.size();
        if (more_) line.text = input_.texts[lines_];
        line.is_argument = true;
      }
      if (!more_) break;
      line.number = ++lines_;
      line.model_ = model_;
      bytes += line.text.size();
      line.read_ = counts_bytes() ? reader_->bytes_read() : lines_;
      batch.push_back(std::move(line));
    }
    return batch;
  }

 private:
  BatchReader(const InputOptions& input, const StreamOptions& options)
      : input_(input),
        model_(options.model),
        batching_(options.batching),
        most_(input.batch > 0 ? input.batch : options.default_batch) {}

  const InputOptions& input_;
  const std::string* model_;
  Batching batching_;
  std::size_t most_;
  std::optional<LineReader> reader_;
  std::uint64_t lines_ = 0;
  bool more_ = true;
};

Expected<nlohmann::json> StreamLine::object() const {
  if (is_argument) return nlohmann::json{{"text", text}};
  return parse_object(text);
}

void StreamLine::answer(const std::function<void(JsonWriter&)>& write) {
  answer_.clear();
  JsonWriter json(answer_);
  write(json);
  bad_ = false;
}

void StreamLine::refuse(const Error& error) {
  answer([&](JsonWriter& json) { write_error(json, model_ ? of_model(*model_, error) : error); });
  bad_ = true;
}

void write_error(JsonWriter& json, const Error& error) {
  json.begin_object().key("error").begin_object();
  json.key("code")
      .string(code_name(error.code))
      .key("message")
      .string(one_line(in_option_names(error.message)));
  json.end_object().end_object();
}

int status_of(const std::string& label, const BadLines& lines) {
  if (lines.bad == 0) return kOk;
  print_error(label + ": " + std::to_string(lines.bad) + " of " + std::to_string(lines.all) +
              (lines.all == 1 ? " line" : " lines") + " could not be answered, the first is line " +
              std::to_string(lines.first) + "; each has its error in its place");
  return kFailed;
}

// Friend of StreamLine: moves answers to the output, and shows how far it is.
class Stream {
 public:
  Stream(Output& out, Progress& progress, std::uint64_t total)
      : out_(out), progress_(progress), total_(total) {}

  void write(StreamLine& line) {
    if (!line.answered()) line.refuse({ErrorCode::kInternal, "the line was left without an answer"});
    ++lines_;
    if (line.bad_ && bad_++ == 0) first_bad_ = lines_;
    out_.line(line.answer_);
    std::string().swap(line.answer_);
  }
  // Once lines up to `last` are written.
  Status flush(const StreamLine& last) {
    Status flushed = out_.flush();
    show(last);
    return flushed;
  }
  // The lines up to `last` are computed. What takes several rounds begins anew, which is not shown.
  void show(const StreamLine& last) {
    shown_ = std::max(shown_, last.read_);
    progress_.update(shown_, total_);
  }
  bool failed() const { return out_.failed(); }
  BadLines bad_lines() const { return {bad_, lines_, first_bad_}; }
  static std::size_t answer_bytes(const StreamLine& line) { return line.answer_.size(); }

 private:
  Output& out_;
  Progress& progress_;
  std::uint64_t total_, shown_ = 0;
  std::uint64_t lines_ = 0, bad_ = 0, first_bad_ = 0;
};

namespace {

// Threads that answer batches, one handler each. All calls are made by the one thread that reads and writes.
class Workers {
 public:
  explicit Workers(std::span<const StreamHandler> handlers) : most_(handlers.size() + 2) {
    try {
      for (const StreamHandler& handler : handlers)
        threads_.emplace_back([this, &handler] { work(handler); });
    } catch (const std::system_error&) {
      stop();
      throw std::runtime_error("--threads: no " + std::to_string(handlers.size()) + " threads to be had");
    }
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers() { stop(); }

  bool empty() const { return flight_.empty(); }
  // So that a few batches wait for the workers, and no more than that are in memory.
  bool full() const { return flight_.size() >= most_; }

  void add(Batch batch) {
    const std::lock_guard lock(mutex_);
    flight_.push_back(std::make_unique<Flight>(std::move(batch)));
    changed_.notify_all();
  }

  // Writes what is answered of the first batch, waiting `most` for it; once all of it is, it is gone. Throws
  // what the handler has thrown.
  Status write_first(Stream& stream, std::chrono::milliseconds most) {
    std::unique_lock lock(mutex_);
    Flight& first = *flight_.front();
    const auto some = [&first] { return first.done || first.answered > first.written; };
    if (!answered_.wait_for(lock, most, some)) return {};
    const std::size_t end = first.answered, bytes = first.waiting_bytes;
    const bool done = first.done;
    lock.unlock();
    for (; first.written < end; ++first.written) stream.write(first.batch[first.written]);
    if (done && first.error) std::rethrow_exception(first.error);
    Status flushed = stream.flush(first.batch[end - 1]);
    lock.lock();
    first.waiting_bytes -= bytes;
    changed_.notify_all();
    if (!done) return flushed;
    flight_.pop_front();
    --taken_;
    return flushed;
  }

 private:
  struct Flight {
    explicit Flight(Batch lines) : batch(std::move(lines)) {}

    Batch batch;
    std::size_t written = 0;        // lines; the writer's own
    std::size_t answered = 0;       // lines; only the writer touches them any more
    std::size_t waiting_bytes = 0;  // of answers that are not written
    bool done = false;
    std::exception_ptr error;  // what the handler threw, once it is done
  };

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      changed_.notify_all();
    }
    threads_.clear();
  }

  void work(const StreamHandler& handler) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stopped_ || taken_ < flight_.size(); });
      if (stopped_) return;
      Flight& flight = *flight_[taken_++];
      lock.unlock();
      std::exception_ptr error;
      try {
        handler(flight.batch, Emit([&](std::size_t index) { give(flight, index + 1); }));
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      flight.error = error;
      if (!error) flight.answered = flight.batch.size();
      flight.done = true;
      answered_.notify_one();
    }
  }

  // Leaves the lines before `end` to the writer. Waits while much is left to be written, as long answers of
  // a batch that is not the first would fill the memory.
  void give(Flight& flight, std::size_t end) {
    std::size_t bytes = 0;
    std::unique_lock lock(mutex_);
    for (; flight.answered < end; ++flight.answered)
      bytes += Stream::answer_bytes(flight.batch[flight.answered]);
    flight.waiting_bytes += bytes;
    answered_.notify_one();
    changed_.wait(lock, [&] { return stopped_ || flight.waiting_bytes <= kMostBytes; });
  }

  std::size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;             // for workers: more to do, or room for more answers
  std::condition_variable answered_;            // for the writer
  std::deque<std::unique_ptr<Flight>> flight_;  // in the order of the lines; only the writer adds and drops
  std::size_t taken_ = 0;                       // batches of `flight_` that a worker has or had
  bool stopped_ = false;
  std::vector<std::jthread> threads_;
};

// Reads, answers and writes in turn.
Status answer_in_turn(BatchReader& batches, const StreamHandler& handler, Stream& stream) {
  while (!stream.failed()) {
    Expected<Batch> lines = batches.next();
    if (!lines) return tl::unexpected(lines.error());
    if (lines->empty()) break;
    std::size_t written = 0;
    Status flushed;
    const auto write = [&](std::size_t index) {
      while (written <= index) stream.write((*lines)[written++]);
      flushed = stream.flush((*lines)[index]);
    };
    const auto show = [&](std::size_t computed) {
      if (const std::size_t end = std::min(written + computed, lines->size()); end > 0)
        stream.show((*lines)[end - 1]);
    };
    handler(*lines, Emit(write, show));
    if (written < lines->size()) write(lines->size() - 1);
    if (!flushed) return flushed;
  }
  return {};
}

// Reads and writes while several workers answer.
Status answer_side_by_side(BatchReader& batches, std::span<const StreamHandler> handlers, Stream& stream) {
  Workers workers(handlers);
  Status status;
  bool more = true;
  while (more || !workers.empty()) {
    // What is answered must not wait for input, so a read that may wait is made only when nothing is under
    // way; until then the input is looked at again and again.
    const bool room = more && !workers.full();
    const bool ready = room && (workers.empty() || batches.ready());
    if (ready) {
      Expected<Batch> batch = batches.next();
      more = batch && !batch->empty();
      if (!batch) status = tl::unexpected(batch.error());
      if (more) workers.add(std::move(*batch));
      if (workers.empty()) break;
    }
    const std::chrono::milliseconds wait(ready && more ? 0 : room && more ? 1 : 1000);
    if (Status flushed = workers.write_first(stream, wait); !flushed) return flushed;
  }
  return status;
}

}  // namespace

Expected<int> run_stream(const InputOptions& input, Output& out, const std::string& label,
                         std::span<const StreamHandler> handlers, const StreamOptions& options) {
  Expected<BatchReader> batches = BatchReader::open(input, options);
  if (!batches) return tl::unexpected(batches.error());
  Progress progress(label, batches->counts_bytes() ? Progress::Unit::kBytes : Progress::Unit::kCount);
  Stream stream(out, progress, batches->total());
  const Status done = handlers.size() == 1 ? answer_in_turn(*batches, handlers.front(), stream)
                                           : answer_side_by_side(*batches, handlers, stream);
  if (!done) return tl::unexpected(done.error());
  progress.wipe();
  return status_of(label, stream.bad_lines());
}

}  // namespace bert::cli
