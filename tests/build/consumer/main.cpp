// Tokenizes with a vocabulary of seven words and starts the XNNPACK backend: the whole archive links and
// works.
#include <cstdio>

#include "bert/backend.h"
#include "bert/encoder.h"
#include "bert/model.h"
#include "bert/tasks.h"
#include "bert/tokenizer.h"

int main() {
  bert::TokenizerFiles files;
  files.vocab_txt = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhel\n##lo\n";
  const auto tokenizer = bert::Tokenizer::load(files);
  if (!tokenizer) return std::puts(tokenizer.error().message.c_str()), 1;
  const auto encoding = tokenizer->encode("Hello");
  if (!encoding) return std::puts(encoding.error().message.c_str()), 1;
  for (const auto id : encoding->ids) std::printf("%d ", static_cast<int>(id));
  const auto backend = bert::make_xnnpack_backend(1);
  if (!backend) return std::puts(backend.error().message.c_str()), 1;
  std::puts("xnnpack");
  return 0;
}
