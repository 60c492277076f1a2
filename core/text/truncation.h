// Which tokens of a sequence stay, and which further windows hold the rest.
#pragma once

#include <cstddef>
#include <vector>

#include "bert/tokenizer.h"

namespace bert::text {

/// Tokens [begin, end) of a sequence.
struct Window {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// Options of `encode` after defaults: what holds for every row.
struct ResolvedOptions {
  bool truncate = false;
  Truncation truncation = Truncation::kNone;
  Side truncation_side = Side::kRight;
  bool truncation_implied = false;
  std::uint32_t max_length = 0;  ///< of truncation, special tokens included
  std::uint32_t stride = 0;
  bool return_overflowing = false;
};

/// Lengths of the two sequences (the second 0 where there is none) that fit into `room` tokens.
struct Lengths {
  std::size_t first = 0;
  std::size_t second = 0;
};

/// Errors: kInvalidArgument (only_second without a second sequence), kTooLong (one sequence alone cannot give
/// way).
Expected<Lengths> fit(Lengths full, bool pair, std::size_t room, Truncation strategy);

/// Windows of at most `length` tokens over `size` tokens, neighbours sharing `stride`; the first one is the
/// row's own. One window with all where `size` fits. `stride` is less than `length`, or `further` is false.
std::vector<Window> windows(std::size_t size, std::size_t length, std::size_t stride, Side side,
                            bool further);

}  // namespace bert::text
