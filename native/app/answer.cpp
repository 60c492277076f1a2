// Writes answers.
#include "app/answer.h"

#include <string>

namespace bert::cli {

Expected<int> print_answer(Output& out, Format format, const Answer& answer, int status) {
  switch (format) {
    case Format::kJson:
    case Format::kJsonLines: {
      std::string text;
      JsonWriter json(text);
      answer.json(json);
      out.line(text);
      break;
    }
    case Format::kCsv:
      out.write(answer.table().csv());
      break;
    case Format::kMarkdown:
      out.write(answer.table().markdown());
      break;
    case Format::kText:
      answer.report();
  }
  return finish(out, status);
}

Expected<int> finish(Output& out, int status) {
  if (const Status flushed = out.flush(); !flushed) return tl::unexpected(flushed.error());
  return status;
}

}  // namespace bert::cli
