// The loop over batches of lines.
#include "app/stream.h"

#include <optional>
#include <vector>

#include "app/request.h"
#include "io/error_line.h"
#include "io/line_reader.h"
#include "io/progress.h"

namespace bert::cli {
namespace {

constexpr std::size_t kDefaultBatch = 256;
// Lines of a batch are held together with their answers, so very long ones make a batch of fewer lines.
constexpr std::size_t kMostBytes = std::size_t{8} << 20;

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

// Friend of StreamLine: moves answers to the output.
class Stream {
 public:
  explicit Stream(Output& out) : out_(out) {}

  void write(StreamLine& line) {
    if (!line.answered()) line.refuse({ErrorCode::kInternal, "the line was left without an answer"});
    any_bad_ |= line.bad_;
    out_.line(line.answer_);
    std::string().swap(line.answer_);
  }
  bool any_bad() const { return any_bad_; }

 private:
  Output& out_;
  bool any_bad_ = false;
};

Expected<int> run_stream(const InputOptions& input, Output& out, const std::string& label,
                         const StreamHandler& handler, Batching batching) {
  std::optional<LineReader> reader;
  if (input.texts.empty()) {
    Expected<LineReader> opened = LineReader::open(input.file.empty() ? "-" : input.file);
    if (!opened) return tl::unexpected(opened.error());
    reader.emplace(std::move(*opened));
  }
  const std::size_t most = input.batch > 0 ? input.batch : kDefaultBatch;
  Progress progress(label,
                    reader && reader->total_bytes() > 0 ? Progress::Unit::kBytes : Progress::Unit::kCount);
  Stream stream(out);
  std::uint64_t lines = 0;
  for (bool more = true; more && !out.failed();) {
    std::vector<StreamLine> batch;
    std::size_t bytes = 0;
    while (batch.size() < most && (input.batch > 0 || bytes < kMostBytes)) {
      if (batching == Batching::kPrompt && !batch.empty() && reader && !reader->ready()) break;
      StreamLine line;
      if (reader) {
        const Expected<bool> got = reader->next(line.text);
        if (!got) return tl::unexpected(got.error());
        more = *got;
      } else {
        more = lines < input.texts.size();
        if (more) line.text = input.texts[lines];
        line.is_argument = true;
      }
      if (!more) break;
      line.number = ++lines;
      bytes += line.text.size();
      batch.push_back(std::move(line));
    }
    if (batch.empty()) break;
    std::size_t written = 0;
    handler(batch, [&](std::size_t index) {
      while (written <= index) stream.write(batch[written++]);
    });
    while (written < batch.size()) stream.write(batch[written++]);
    if (Status flushed = out.flush(); !flushed) return tl::unexpected(flushed.error());
    if (reader && reader->total_bytes() > 0) {
      progress.update(reader->bytes_read(), reader->total_bytes());
    } else {
      progress.update(lines, reader ? 0 : input.texts.size());
    }
  }
  return stream.any_bad() ? kFailed : kOk;
}

}  // namespace bert::cli
