// What the tokenizer's section works on: the page's sentence, perhaps a second one, and the word that is looked into.
import { computed } from '@preact/signals';
import { tokenizer, type Encoding, type Explanation } from '../../engine/tokenizer';
import { sentence } from '../../state/sentence';
import { integerCodec, parameter } from '../../state/url';

/** The second sentence; undefined where there is none. An empty one still takes part, so the address marks it with a dot. */
export const second = parameter<string | undefined>('*', 'pair', undefined, {
  read: (text) => (text.startsWith('.') ? text.slice(1) : undefined),
  write: (value) => (value === undefined ? '' : `.${value}`),
});

/** Index of the word that the explanation shows, among the words of the first sentence. */
export const picked = parameter('tokenizer', 'word', 0, integerCodec(0, 100_000));

export const encoding = computed<Encoding | null>(() => {
  const text = sentence.value;
  const pair = second.value;
  return tokenizer.value?.encode(pair === undefined ? text : { text, textPair: pair }) ?? null;
});

type Explained = Explanation | { trouble: string };

function explain(text: string): Explained | null {
  try {
    return tokenizer.value?.explain(text) ?? null;
  } catch (error) {
    return { trouble: error instanceof Error ? error.message : String(error) };
  }
}

/** The explanation of the first sentence, or why there is none (it stops at 65,536 bytes). */
export const explanation = computed<Explained | null>(() => explain(sentence.value));

/** How many words of both sentences became [UNK], by the reason: a letter without a piece, or too many letters. */
export const unknownWords = computed(() => {
  const found = { unfit: 0, tooLong: 0 };
  const other = second.value === undefined ? null : explain(second.value);
  for (const one of [explanation.value, other]) {
    if (!one || 'trouble' in one) continue;
    for (const word of one.words) {
      if (word.kind === 'too_long') found.tooLong += 1;
      else if (word.candidates.at(-1)?.id === null) found.unfit += 1;
    }
  }
  return found;
});
