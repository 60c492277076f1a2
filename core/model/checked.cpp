// Names from files made fit for an error message.
#include "model/checked.h"

namespace bert::model {

std::string quote(std::string_view text) {
  constexpr std::size_t kMost = 100;
  std::string out = "\"";
  for (const char c : text.substr(0, kMost)) out += (c >= 0x20 && c < 0x7F) ? c : '?';
  if (text.size() > kMost) out += "...";
  return out + "\"";
}

}  // namespace bert::model
