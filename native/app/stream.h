// JSON lines in, JSON lines out: in order, batch by batch, in constant memory; a bad line does not end the
// stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/options.h"
#include "bert/result.h"
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

  /// Writes the answer. One of `answer` and `refuse` is called once.
  void answer(const std::function<void(JsonWriter&)>& write);
  void refuse(const Error& error);
  bool answered() const { return !answer_.empty(); }

 private:
  friend class Stream;
  std::string answer_;
  bool bad_ = false;
};

/// Told that line `index` of the batch has its answer, which is then written and dropped; in order, each
/// once. What is not told is written when the handler returns.
using Emit = std::function<void(std::size_t index)>;
/// Answers a batch. Lines that it leaves without an answer are a fault and become kInternal.
using StreamHandler = std::function<void(std::span<StreamLine> batch, const Emit& emit)>;

/// Runs the whole stream: arguments if there are any, else the file or standard input. Gives kOk, or kFailed
/// when a line was bad. Errors: kIo, kNotFound. `label` names the work on the progress line.
Expected<int> run_stream(const InputOptions& input, Output& out, const std::string& label,
                         const StreamHandler& handler);

/// {"error": {"code", "message"}} as an object.
void write_error(JsonWriter& json, const Error& error);

}  // namespace bert::cli
