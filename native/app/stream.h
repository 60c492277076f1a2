// JSON lines in, JSON lines out: in order, batch by batch, in constant memory; a bad line does not end the
// stream.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/options.h"
#include "bert/result.h"
#include "bert/tasks.h"
#include "io/json_writer.h"
#include "io/output.h"

namespace bert::cli {

/// One line of the stream. A command gives it either an answer (JSON text) or an error.
class StreamLine {
 public:
  std::string text;          ///< the line, or the text that was given as an argument
  std::uint64_t number = 0;  ///< from 1
  bool is_argument = false;  ///< `text` is a plain text, no JSON

  /// The line as a JSON object; an argument becomes {"text": ...}.
  Expected<nlohmann::json> object() const;

  /// Writes the answer. One of these three is called once.
  void answer(const std::function<void(JsonWriter&)>& write);
  void refuse(const Error& error);
  /// The one or the other: write(json, *result), or the error.
  template <class Answer, class Write>
  void settle(const Expected<Answer>& result, const Write& write) {
    if (!result) return refuse(result.error());
    answer([&](JsonWriter& json) { write(json, *result); });
  }
  bool answered() const { return !answer_.empty(); }

 private:
  friend class BatchReader;
  friend class Stream;
  std::string answer_;
  std::uint64_t read_ = 0;              // bytes or lines of the input up to its end, as Progress counts
  const std::string* model_ = nullptr;  // that of StreamOptions
  bool bad_ = false;
};

/// What a handler tells while it answers a batch.
class Emit {
 public:
  using Tell = std::function<void(std::size_t)>;
  explicit Emit(Tell answered, Tell computed = {})
      : answered_(std::move(answered)), computed_(std::move(computed)) {}

  /// The lines up to `index` have their answers, which are then written and dropped; in order, each once.
  /// What is not told is written when the handler returns.
  void operator()(std::size_t index) const { answered_(index); }
  /// So many lines after those are computed, their answers to come: for the progress line.
  void computed(std::size_t lines) const {
    if (computed_) computed_(lines);
  }

 private:
  Tell answered_, computed_;
};
/// Answers a batch. Lines that it leaves without an answer are a fault and become kInternal.
using StreamHandler = std::function<void(std::span<StreamLine> batch, const Emit& emit)>;

/// A handler that reads each line as a question, read(line), solves all questions together,
/// solve(std::span<const Question>, const CallControl&), and writes each answer, write(json, answer).
template <class Read, class Solve, class Write>
StreamHandler solve_together(Read read, Solve solve, Write write) {
  return [=](std::span<StreamLine> lines, const Emit& emit) {
    using Question = typename std::invoke_result_t<Read, const StreamLine&>::value_type;
    std::vector<Question> questions;
    std::vector<std::size_t> owners;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      Expected<Question> question = read(lines[i]);
      if (question) {
        questions.push_back(std::move(*question));
        owners.push_back(i);
      } else {
        lines[i].refuse(question.error());
      }
    }
    // what is computed for one question may be several sequences
    const auto tell = [&](std::size_t done, std::size_t total) {
      emit.computed(questions.size() * done / std::max<std::size_t>(total, 1));
    };
    const auto answers =
        solve(std::span<const Question>(questions), CallControl{.aborted = {}, .progress = tell});
    for (std::size_t i = 0; i < owners.size(); ++i) lines[owners[i]].settle(answers[i], write);
  };
}

/// A handler for answers that take long, solve(line): each is written before the next is begun.
template <class Solve, class Write>
StreamHandler solve_in_turn(Solve solve, Write write) {
  return [=](std::span<StreamLine> lines, const Emit& emit) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
      lines[i].settle(solve(lines[i]), write);
      emit(i);
    }
  };
}

/// When lines become a batch.
enum class Batching {
  kPrompt,  ///< as soon as the writer pauses, so that each line that is there gets its answer
  kFull,    ///< at its full size or the end of the stream: the answers depend on what is batched together
};

struct StreamOptions {
  Batching batching = Batching::kPrompt;
  std::size_t default_batch = 256;     ///< lines of a batch where --batch is not given
  const std::string* model = nullptr;  ///< the folder of the model that answers, for errors; null: none does
};

/// Runs the whole stream: arguments if there are any, else the file or standard input. Gives kOk, or kFailed
/// when a line was bad. Errors: kIo, kNotFound. `label` names the work on the progress line. One handler runs
/// on this thread; each of several on a thread of its own, while this one reads ahead a little and writes the
/// answers in the order of the lines.
Expected<int> run_stream(const InputOptions& input, Output& out, const std::string& label,
                         std::span<const StreamHandler> handlers, const StreamOptions& options = {});

/// {"error": {"code", "message"}} as an object.
void write_error(JsonWriter& json, const Error& error);

/// How many of the lines of a stream had an error in the place of an answer, and the number of the first.
struct BadLines {
  std::uint64_t bad = 0, all = 0, first = 0;
};
/// The exit status of a stream; where lines were bad, standard error gets a line that says how many.
int status_of(const std::string& label, const BadLines& lines);

}  // namespace bert::cli
