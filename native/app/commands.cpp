// The list of commands.
#include "app/command.h"

namespace bert::cli {
namespace {

constexpr Command kCommands[] = {
    {"tokenize", "text to tokens and ids; padding, truncation, windows; every step explained",
     define_tokenize},
    {"decode", "ids to text", define_decode},
    {"pad", "what padding a batch costs, strategy by strategy", define_pad},
    {"vocab", "the vocabulary: special tokens, [unused] tokens, search", define_vocab},
    {"inspect", "what a model is made of: parameters, tensors, sizes", define_inspect},
    {"quantize", "a model's folder as int8 or f16", define_quantize},
};

}  // namespace

std::span<const Command> commands() {
  return kCommands;
}

}  // namespace bert::cli
