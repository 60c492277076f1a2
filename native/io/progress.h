// A progress line on a terminal's standard error for work that is not done at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace bert::cli {

/// Draws nothing where standard error is no terminal or standard output is one (results would run into it),
/// unless `beside_output` says that no results are printed meanwhile. The line comes once the work has taken
/// some tenths of a second, and is wiped at the end.
class Progress {
 public:
  enum class Unit { kCount, kBytes };

  Progress(std::string label, Unit unit, bool beside_output = false);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { wipe(); }

  /// `total` 0 means that it is not known.
  void update(std::uint64_t done, std::uint64_t total);
  void wipe();

  /// Draws the line at once; `done` was there before, and nobody waited for it.
  void begin(std::uint64_t done, std::uint64_t total);
  /// Draws words in place of amounts, at once.
  void say(const std::string& words);
  /// Leaves the line with its last state.
  void finish(std::uint64_t done, std::uint64_t total);

 private:
  using Clock = std::chrono::steady_clock;

  void draw(std::uint64_t done, std::uint64_t total, bool finished);
  void draw(std::string line);

  std::string label_;
  Unit unit_;
  bool enabled_;
  bool drawn_ = false;
  std::uint64_t before_ = 0;  // done when the clock started
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

}  // namespace bert::cli
