// The masked word section: a text, the words that are hidden in it, and what the model makes of them.
import { computed } from '@preact/signals';
import type { FillMaskResult, ScoreResult } from 'bertlens';
import { answers } from '../../engine/answers';
import { timed } from '../../engine/model';
import { tokenizer, type Word } from '../../engine/tokenizer';
import { choiceCodec, integerCodec, parameter, textCodec, type Codec } from '../../state/url';

/** The sentence of the notebook's cell 9, with the word that it hides. */
export const notebookText = 'The capital of France is Paris.';
export const notebookHidden = [5];
export const notebookMasked = 'The capital of France is [MASK].';

const wordsCodec: Codec<number[]> = {
  read: (written) =>
    /^(\d{1,4}(\.\d{1,4})*)?$/.test(written) ? written.split('.').filter(Boolean).map(Number) : undefined,
  write: (value) => value.join('.'),
};

export const text = parameter('mlm', 'sentence', notebookText, textCodec);
/** Indexes of the hidden words, ascending. */
export const hidden = parameter('mlm', 'hide', notebookHidden, wordsCodec);
export const topK = parameter('mlm', 'top', 10, integerCodec(1, 50));
export const orders = ['independent', 'left_to_right', 'most_confident'] as const;
export type Order = (typeof orders)[number];
export const order = parameter<Order>('mlm', 'order', 'independent', choiceCodec(orders));
/** Words that shall be scored, separated by commas. */
export const targets = parameter('mlm', 'targets', '', textCodec);

export const words = computed<readonly Word[]>(() => {
  const ready = tokenizer.value;
  return ready ? ready.words(ready.encode(text.value)) : [];
});

function isMask(word: Word): boolean {
  return word.text === '[MASK]';
}

export interface Hidden {
  /** The text with [MASK] for every piece of every hidden word. */
  masked: string;
  /** The text itself where all masks come from hidden words, so that the right answers are known. */
  label: string | undefined;
  /** For each mask, in order: the piece that was there, or undefined for a typed [MASK]. */
  pieces: readonly (string | undefined)[];
}

/** The text with the chosen words hidden: one mask a piece, so that text and labels have the same length. */
export function hide(sentence: string, found: readonly Word[], chosen: readonly number[]): Hidden {
  let masked = '';
  let at = 0;
  const pieces: (string | undefined)[] = [];
  for (const [i, word] of found.entries()) {
    const typed = isMask(word);
    if (!typed && !chosen.includes(i)) continue;
    masked += sentence.slice(at, word.offsets[0]);
    masked += typed ? '[MASK]' : word.pieces.map(() => '[MASK]').join(' ');
    pieces.push(...(typed ? [undefined] : word.pieces));
    at = word.offsets[1];
  }
  masked += sentence.slice(at);
  return { masked, label: found.some(isMask) ? undefined : sentence, pieces };
}

export const question = computed(() => hide(text.value, words.value, hidden.value));

export function targetWords(): string[] {
  return targets.value
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

export interface Ask {
  masked: string;
  label: string | undefined;
  pieces: readonly (string | undefined)[];
  top: number;
  order: Order;
  targets: string[];
}

export const prediction = answers<Ask, FillMaskResult>(
  () => {
    if (question.value.pieces.length === 0) return null;
    return { ...question.value, top: topK.value, order: order.value, targets: targetWords() };
  },
  (model, ask, signal) =>
    timed(
      model.fillMask(ask.masked, {
        topK: ask.top,
        order: ask.order,
        signal,
        ...(ask.label === undefined ? {} : { labelText: ask.label }),
        ...(ask.targets.length > 0 ? { targets: ask.targets } : {}),
      }),
    ),
);

export const surprise = answers<string, ScoreResult>(
  () => (text.value.trim() !== '' ? text.value : null),
  (model, sentence, signal) => timed(model.score(sentence, { signal })),
  300,
);
