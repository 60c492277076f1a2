// Cleans and cuts.
#include "base/quote.h"

#include "base/utf8.h"

namespace bert {

namespace {

// Controls, line separators, marks and embeddings of another direction, the byte order mark.
bool steers(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x200b && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

}  // namespace

std::string quote(std::string_view text) {
  constexpr std::size_t kMost = 80;
  std::string out = "'";
  for (const char *p = text.data(), *const end = p + text.size(); p < end;) {
    const utf8::Decoded next = utf8::decode(p, end);
    const std::size_t size = out.size();
    utf8::append(out, steers(next.code_point) ? U'?' : next.code_point);
    if (out.size() > 1 + kMost) {
      out.resize(size);
      return out + "...'";
    }
    p += next.length;
  }
  return out + "'";
}

}  // namespace bert
