// Draws the progress line with plain control characters.
#include "io/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "io/table.h"

namespace bert::cli {
namespace {

constexpr std::chrono::milliseconds kDelay{300};
constexpr std::chrono::milliseconds kInterval{100};
constexpr int kBarWidth = 24;

std::string amount(std::uint64_t value, Progress::Unit unit) {
  if (unit == Progress::Unit::kCount) return with_separators(value);
  const auto bytes = static_cast<double>(value);
  return bytes < 1e6 ? fixed(bytes / 1e3, 1) + " kB" : fixed(bytes / 1e6, 1) + " MB";
}

std::string duration(double seconds) {
  const long whole = std::lround(std::min(seconds, 1e6));
  char text[64];
  std::snprintf(text, sizeof text, "%ld:%02ld", whole / 60, whole % 60);
  return text;
}

}  // namespace

Progress::Progress(std::string label, Unit unit, bool beside_output)
    : label_(std::move(label)),
      unit_(unit),
      enabled_(::isatty(STDERR_FILENO) != 0 && (beside_output || ::isatty(STDOUT_FILENO) == 0)) {}

void Progress::update(std::uint64_t done, std::uint64_t total) {
  if (!enabled_) return;
  const Clock::time_point now = Clock::now();
  if ((!drawn_ && now - start_ < kDelay) || (drawn_ && now - last_ < kInterval)) return;
  draw(done, total, false);
}

void Progress::begin(std::uint64_t done, std::uint64_t total) {
  before_ = done;
  start_ = Clock::now();
  if (enabled_) draw(done, total, false);
}

void Progress::say(const std::string& words) {
  if (enabled_) draw(label_ + "  " + words);
}

void Progress::finish(std::uint64_t done, std::uint64_t total) {
  if (!enabled_) return;
  draw(done, total, true);
  std::fputs("\n", stderr);
  drawn_ = false;
}

void Progress::draw(std::uint64_t done, std::uint64_t total, bool finished) {
  last_ = Clock::now();
  before_ = std::min(before_, done);  // what was there may turn out to be of no use
  const double seconds = std::chrono::duration<double>(last_ - start_).count();
  // of less time a rate says nothing
  const double rate = seconds < 0.1 ? 0 : static_cast<double>(done - before_) / seconds;
  std::string line = label_ + "  ";
  if (total > 0) {
    const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    const int filled = static_cast<int>(share * kBarWidth);
    line += "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] " +
            fixed(100 * share, 0) + " %  ";
    line += amount(done, unit_) + " of " + amount(total, unit_);
    if (rate > 0 && !finished)
      line += "  " + duration(static_cast<double>(total - std::min(done, total)) / rate) + " left";
  } else {
    line += amount(done, unit_);
  }
  if (rate > 0) line += "  " + amount(static_cast<std::uint64_t>(rate), unit_) + "/s";
  draw(std::move(line));
}

void Progress::draw(std::string line) {
  drawn_ = true;
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) {
    line.resize(std::min<std::size_t>(line.size(), size.ws_col - 1));
  }
  std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
}

void Progress::wipe() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
  drawn_ = false;
}

}  // namespace bert::cli
