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
    {"encode", "hidden states, pooler and attentions", define_encode},
    {"fill-mask", "what the model puts at each [MASK]; labels and loss; words against each other",
     define_fill_mask},
    {"nsp", "does the second text follow the first?", define_nsp},
    {"eval-nsp", "next-sentence prediction held against labels: accuracy, confusion, confidence",
     define_eval_nsp},
    {"mask-effect", "what padding does to [CLS] without the attention mask", define_mask_effect},
    {"embed", "one vector a text", define_embed},
    {"score", "how likely a text is, token by token", define_score},
    {"inspect", "what a model is made of: parameters, tensors, sizes", define_inspect},
    {"quantize", "a model's folder as int8 or f16", define_quantize},
    {"pull", "fetch a checkpoint from the Hugging Face hub", define_pull},
    {"bench", "how long the encoder takes", define_bench},
};

}  // namespace

std::span<const Command> commands() {
  return kCommands;
}

}  // namespace bert::cli
