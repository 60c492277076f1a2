// The batch of the padding section and what the three strategies make of it.
import { computed } from '@preact/signals';
import { tokenizer, type Encoding } from '../../engine/tokenizer';
import { choiceCodec, integerCodec, listCodec, parameter } from '../../state/url';
import { published } from '../architecture/parts';

/** The batch of the notebook's cell 6. */
export const notebookBatch: string[] = [
  'This movie was amazing!',
  'Bad.',
  'I would not watch it again, honestly.',
];

/** The batch of Exercise 2. */
export const exerciseBatch: string[] = [
  'Great!',
  'This is a medium length sentence about machine learning.',
  'Short one.',
  'This is the longest sentence in our batch and it talks about natural language processing and transformers.',
];

export const strategies = ['none', 'longest', 'max_length'] as const;
export type Strategy = (typeof strategies)[number];

export const mostRows = 32;
export const batch = parameter('padding', 'batch', notebookBatch, listCodec);
export const maxLength = parameter('padding', 'max', 16, integerCodec(2, 512));
export const strategy = parameter<Strategy>('padding', 'strategy', 'longest', choiceCodec(strategies));
export const chosenRow = parameter('padding', 'row', 0, integerCodec(0, mostRows));

export interface Padded {
  strategy: Strategy;
  rows: readonly Encoding[];
  columns: number;
  real: number;
  total: number;
  /** undefined where the rows form a rectangle, else why they cannot. */
  ragged: string | undefined;
}

export function padBatch(texts: readonly string[], name: Strategy, length: number): Padded | null {
  const ready = tokenizer.value;
  if (!ready || texts.length === 0) return null;
  const encoded = ready.encodeBatch(
    texts,
    name === 'none'
      ? { truncation: true }
      : name === 'longest'
        ? { padding: 'longest', truncation: true }
        : { padding: 'max_length', truncation: true, maxLength: length },
  );
  const rows = encoded.encodings;
  let ragged: string | undefined;
  try {
    encoded.tensors();
  } catch (error) {
    ragged = error instanceof Error ? error.message : String(error);
  }
  const real = rows.reduce((sum, row) => sum + row.attentionMask.reduce((a, b) => a + b, 0), 0);
  return {
    strategy: name,
    rows,
    columns: Math.max(...rows.map((row) => row.length)),
    real,
    total: rows.reduce((sum, row) => sum + row.length, 0),
    ragged,
  };
}

export interface Cut {
  /** From 1. */
  row: number;
  length: number;
}

/** The texts with more tokens than the model has positions, which all three strategies cut to these. */
export const cuts = computed<readonly Cut[]>(() => {
  const ready = tokenizer.value;
  if (!ready) return [];
  return batch.value
    .map((text, i) => ({ row: i + 1, length: ready.encode(text).length }))
    .filter(({ length }) => length > ready.settings.modelMaxLength);
});

/** Multiplications of one row of `tokens` through bert-base-uncased's layers: dense steps, then attention's two products. */
function multiplications(tokens: number): number {
  const { hiddenSize: hidden, intermediateSize: inner, numHiddenLayers: layers } = published.base;
  return layers * (tokens * (4 * hidden * hidden + 2 * hidden * inner) + 2 * tokens * tokens * hidden);
}

/** The share of them that goes into padding where every cell of the rectangle is computed. */
export function computedInVain(result: Padded): number {
  const lengths = result.rows.map((row) => row.attentionMask.reduce((sum, mask) => sum + mask, 0));
  const needed = lengths.reduce((sum, length) => sum + multiplications(length), 0);
  return 1 - needed / (result.rows.length * multiplications(result.columns));
}

export const padded = computed(() =>
  strategies
    .map((name) => padBatch(batch.value, name, maxLength.value))
    .filter((result): result is Padded => result !== null),
);
