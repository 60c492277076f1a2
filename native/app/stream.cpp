// The loop over batches of lines.
#include "app/stream.h"

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
struct Batch {
  std::vector<StreamLine> lines;
  std::uint64_t read = 0;  // bytes or lines of the input up to its end, as Progress counts
};

// Cuts the input into batches.
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
  // What `Batch::read` grows to; 0 when that is not known.
  std::uint64_t total() const {
    return !reader_ ? input_.texts.size() : counts_bytes() ? reader_->total_bytes() : 0;
  }
  // Whether the first line of the next batch, or the end, is there without waiting.
  bool ready() { return !reader_ || reader_->ready(); }

  // The next batch; without lines at the end.
  Expected<Batch> next() {
    Batch batch;
    std::size_t bytes = 0;
    while (more_ && batch.lines.size() < most_ && (input_.batch > 0 || bytes < kMostBytes)) {
      if (batching_ == Batching::kPrompt && !batch.lines.empty() && !ready()) break;
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
      bytes += line.text.size();
      batch.lines.push_back(std::move(line));
    }
    batch.read = counts_bytes() ? reader_->bytes_read() : lines_;
    return batch;
  }

 private:
  BatchReader(const InputOptions& input, const StreamOptions& options)
      : input_(input),
        batching_(options.batching),
        most_(input.batch > 0 ? input.batch : options.default_batch) {}

  const InputOptions& input_;
  Batching batching_;
  std::size_t most_;
  std::optional<LineReader> reader_;
  std::uint64_t lines_ = 0;
  bool more_ = true;
};

}  // namespace

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
  answer([&](JsonWriter& json) { write_error(json, error); });
  bad_ = true;
}

void write_error(JsonWriter& json, const Error& error) {
  json.begin_object().key("error").begin_object();
  json.key("code").string(code_name(error.code)).key("message").string(one_line(error.message));
  json.end_object().end_object();
}

int status_of(const std::string& label, const BadLines& lines) {
  if (lines.bad == 0) return kOk;
  print_error(label + ": " + std::to_string(lines.bad) + " of " + std::to_string(lines.all) +
              (lines.all == 1 ? " line" : " lines") + " could not be answered, the first is line " +
              std::to_string(lines.first) + "; each has its error in its place");
  return kFailed;
}

// Friend of StreamLine: moves answers to the output.
class Stream {
 public:
  explicit Stream(Output& out) : out_(out) {}

  void write(StreamLine& line) {
    if (!line.answered()) line.refuse({ErrorCode::kInternal, "the line was left without an answer"});
    ++lines_;
    if (line.bad_ && bad_++ == 0) first_bad_ = lines_;
    out_.line(line.answer_);
    std::string().swap(line.answer_);
  }
  Status flush() { return out_.flush(); }
  bool failed() const { return out_.failed(); }
  BadLines bad_lines() const { return {bad_, lines_, first_bad_}; }
  static std::size_t answer_bytes(const StreamLine& line) { return line.answer_.size(); }

 private:
  Output& out_;
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
      throw std::runtime_error("no " + std::to_string(handlers.size()) + " threads to be had");
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

  // Writes what is answered of the first batch, waiting `most` for it. True when that was its end; it is then
  // gone, and `read` says how far the input has been answered. Throws what the handler has thrown.
  bool write_first(Stream& stream, std::chrono::milliseconds most, std::uint64_t& read) {
    std::unique_lock lock(mutex_);
    Flight& first = *flight_.front();
    const auto some = [&first] { return first.done || first.answered > first.written; };
    if (!answered_.wait_for(lock, most, some)) return false;
    const std::size_t end = first.answered, bytes = first.waiting_bytes;
    const bool done = first.done;
    lock.unlock();
    for (; first.written < end; ++first.written) stream.write(first.batch.lines[first.written]);
    if (done && first.error) std::rethrow_exception(first.error);
    lock.lock();
    first.waiting_bytes -= bytes;
    changed_.notify_all();
    if (!done) return false;
    read = first.batch.read;
    flight_.pop_front();
    --taken_;
    return true;
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
        handler(flight.batch.lines, [&](std::size_t index) { give(flight, index + 1); });
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      flight.error = error;
      if (!error) flight.answered = flight.batch.lines.size();
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
      bytes += Stream::answer_bytes(flight.batch.lines[flight.answered]);
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
Status answer_in_turn(BatchReader& batches, const StreamHandler& handler, Stream& stream,
                      Progress& progress) {
  while (!stream.failed()) {
    Expected<Batch> batch = batches.next();
    if (!batch) return tl::unexpected(batch.error());
    std::vector<StreamLine>& lines = batch->lines;
    if (lines.empty()) break;
    std::size_t written = 0;
    handler(lines, [&](std::size_t index) {
      while (written <= index) stream.write(lines[written++]);
    });
    while (written < lines.size()) stream.write(lines[written++]);
    if (Status flushed = stream.flush(); !flushed) return flushed;
    progress.update(batch->read, batches.total());
  }
  return {};
}

// Reads and writes while several workers answer.
Status answer_side_by_side(BatchReader& batches, std::span<const StreamHandler> handlers, Stream& stream,
                           Progress& progress) {
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
      more = batch && !batch->lines.empty();
      if (!batch) status = tl::unexpected(batch.error());
      if (more) workers.add(std::move(*batch));
      if (workers.empty()) break;
    }
    const std::chrono::milliseconds wait(ready && more ? 0 : room && more ? 1 : 1000);
    std::uint64_t read = 0;
    if (!workers.write_first(stream, wait, read)) continue;
    if (Status flushed = stream.flush(); !flushed) return flushed;
    progress.update(read, batches.total());
  }
  return status;
}

}  // namespace

Expected<int> run_stream(const InputOptions& input, Output& out, const std::string& label,
                         std::span<const StreamHandler> handlers, const StreamOptions& options) {
  Expected<BatchReader> batches = BatchReader::open(input, options);
  if (!batches) return tl::unexpected(batches.error());
  Progress progress(label, batches->counts_bytes() ? Progress::Unit::kBytes : Progress::Unit::kCount);
  Stream stream(out);
  const Status done = handlers.size() == 1 ? answer_in_turn(*batches, handlers.front(), stream, progress)
                                           : answer_side_by_side(*batches, handlers, stream, progress);
  if (!done) return tl::unexpected(done.error());
  return status_of(label, stream.bad_lines());
}

}  // namespace bert::cli
