// A progress line on a terminal's standard error for work that takes more than two seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace bert::cli {

/// Draws nothing where standard error is no terminal or standard output is one (results would run into it),
/// unless `beside_output` says that no results are printed meanwhile. The line is wiped at the end.
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

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  Unit unit_;
  bool enabled_;
  bool drawn_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

}  // namespace bert::cli
