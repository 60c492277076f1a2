// One answer (no stream) in the format that was asked for.
#pragma once

#include <functional>

#include "app/options.h"
#include "bert/result.h"
#include "io/json_writer.h"
#include "io/output.h"
#include "io/table.h"

namespace bert::cli {

/// How an answer looks; only the one that is asked for is called.
struct Answer {
  std::function<void(JsonWriter&)> json;
  std::function<Table()> table;  ///< --csv and --md
  std::function<void()> report;  ///< for people, written by itself
};

/// Writes the answer and all that waits in `out`; gives `status`, or the error of the output.
Expected<int> print_answer(Output& out, Format format, const Answer& answer, int status = 0);

/// Writes what is left and gives `status`, or the error of the output.
Expected<int> finish(Output& out, int status = 0);

/// What answers one text is a value, what answers several a list: write(json, item) for each.
template <class List, class Write>
void write_list(JsonWriter& json, const List& list, const Write& write) {
  if (list.size() > 1) json.begin_array();
  for (const auto& item : list) write(json, item);
  if (list.size() > 1) json.end_array();
}

}  // namespace bert::cli
