// What the tokenizer's section works on: the page's sentence, perhaps a second one, and the word that is looked into.
import { computed } from '@preact/signals';
import { loadTokenizer } from 'bertlens/tokenizer';
import {
  defaultModel,
  modelTokenizer,
  tokenizer,
  type Encoding,
  type Explanation,
  type Tokenizer,
  type Word,
} from '../../engine/tokenizer';
import { latest } from '../../lib/latest';
import { sentence } from '../../state/sentence';
import { integerCodec, parameter, type Codec } from '../../state/url';

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

/** The words of both sentences, in their order. */
export const words = computed<readonly Word[]>(() =>
  encoding.value ? (tokenizer.value?.words(encoding.value) ?? []) : [],
);

/** Those that are more than one piece. */
export const splitWords = computed(() => words.value.filter((word) => word.pieces.length > 1));

export type StepName = Explanation['steps'][number]['name'];
const stepNames: readonly StepName[] = ['clean_text', 'tokenize_chinese_chars', 'strip_accents', 'lowercase'];

const stepsCodec: Codec<StepName[]> = {
  read: (text) => stepNames.filter((name) => text.split('.').includes(name)),
  write: (value) => value.join('.'),
};

/** Steps of the normaliser that the explanation leaves out, to show what they are for; the model's own takes them all. */
export const without = parameter<StepName[]>('tokenizer', 'without', [], stepsCodec);

/** A loaded model brings its own options, and there is no telling its vocabulary's file. */
export const switchable = computed(() => tokenizer.value !== null && modelTokenizer.value === null);

export function toggleStep(name: StepName): void {
  without.value = stepNames.filter((each) => without.value.includes(each) !== (each === name));
}

/** The tokenizer with the steps left out. */
export const whatIf = latest<readonly StepName[], Tokenizer>(
  () => (switchable.value && without.value.length > 0 ? without.value : null),
  (left, signal) =>
    loadTokenizer(`${defaultModel}vocab.txt`, {
      cleanText: !left.includes('clean_text'),
      tokenizeChineseChars: !left.includes('tokenize_chinese_chars'),
      stripAccents: !left.includes('strip_accents'),
      doLowerCase: !left.includes('lowercase'),
      signal,
    }),
  0,
);

type Explained = Explanation | { trouble: string };

function explain(text: string, by: Tokenizer | null): Explained | null {
  try {
    return by?.explain(text) ?? null;
  } catch (error) {
    return { trouble: error instanceof Error ? error.message : String(error) };
  }
}

/** The explanation of the first sentence, or why there is none (it stops at 65,536 bytes). */
export const explanation = computed<Explained | null>(() => explain(sentence.value, tokenizer.value));

/** The same as the switches of the normaliser have it. */
export const shownExplanation = computed<Explained | null>(() => {
  const { value, trouble } = whatIf.answer.value;
  if (trouble !== null) return { trouble };
  return value ? explain(sentence.value, value) : explanation.value;
});

/** Of each sentence, as far as it can be had. */
const explanations = computed<readonly Explanation[]>(() => {
  const other = second.value === undefined ? null : explain(second.value, tokenizer.value);
  return [explanation.value, other].flatMap((one) => (one && !('trouble' in one) ? [one] : []));
});

/** How often the greedy match asked the vocabulary, for both sentences; 0 where that is not known of one. */
export const tries = computed(() => {
  const all = explanations.value;
  if (all.length < (second.value === undefined ? 1 : 2)) return 0;
  return all.flatMap(({ words: each }) => each).reduce((sum, word) => sum + word.candidates.length, 0);
});

/** How many words of both sentences became [UNK], by the reason: a letter without a piece, or too many letters. */
export const unknownWords = computed(() => {
  const found = { unfit: 0, tooLong: 0 };
  for (const one of explanations.value) {
    for (const word of one.words) {
      if (word.kind === 'too_long') found.tooLong += 1;
      else if (word.candidates.at(-1)?.id === null) found.unfit += 1;
    }
  }
  return found;
});
