// Words of files and texts made fit for an error message.
#pragma once

#include <string>
#include <string_view>

namespace bert {

/// `text` in single quotes for a message, valid UTF-8 on one line: a name in a hostile file may hold
/// anything. What could steer a terminal or turn a line round becomes '?', an ill-formed part U+FFFD; after
/// 80 bytes, or a little less where a character would be cut, "..." stands for the rest.
std::string quote(std::string_view text);

}  // namespace bert
