// How layers are packed and products parted.
#include "compute/linear.h"

#include <algorithm>
#include <vector>

namespace bert::compute {

void PackedLinear::for_each_piece(const Workspace& space, std::size_t rows,
                                  FunctionRef<void(const Piece& piece, std::size_t thread)> work) const {
  const auto divide_up = [](std::size_t a, std::size_t b) { return (a + b - 1) / b; };
  const std::size_t groups = divide_up(outputs_, kPanelColumns);
  constexpr std::size_t kFewRows = 32;
  const std::size_t wanted = space.threads.pieces();
  const std::size_t down =
      std::max(divide_up(rows, space.kernels.rows), std::min(divide_up(wanted, groups), rows / kFewRows + 1));
  const std::size_t across =
      std::min(groups, std::max(divide_up(outputs_, space.kernels.columns), divide_up(wanted, down)));
  space.threads.in_parallel(down * across, 1, [&](std::size_t index, std::size_t, std::size_t thread) {
    const std::size_t i = index / across, j = index % across;
    Piece piece{};
    piece.first = groups * j / across * kPanelColumns;
    piece.columns = std::min(groups * (j + 1) / across * kPanelColumns, outputs_) - piece.first;
    piece.begin = rows * i / down;
    piece.end = rows * (i + 1) / down;
    work(piece, thread);
  });
}

Status pack_all(const Threads& threads, std::size_t panels, FunctionRef<Status(std::size_t index)> pack) {
  std::vector<Status> results(panels);
  threads.in_parallel(panels, 1,
                      [&](std::size_t index, std::size_t, std::size_t) { results[index] = pack(index); });
  for (const Status& done : results)
    if (!done) return done;
  return {};
}

}  // namespace bert::compute
