// The next sentence section: one pair, and a table of labelled pairs with the model's verdicts.
import type { EvaluationResult, NextSentenceResult, SentencePair } from 'bertlens';
import { signal } from '@preact/signals';
import { bert, timed } from '../../engine/model';
import { latest } from '../../lib/latest';
import { integerCodec, parameter, textCodec, type Codec } from '../../state/url';

/** Cell 11 of the notebook. */
export const notebookFirst = 'The weather is beautiful today.';
export const notebookSeconds = [
  "I think I'll go for a walk in the park.",
  'Deep Learning is a branch of Machine Learning.',
] as const;

export const first = parameter('nsp', 'a', notebookFirst, textCodec);
export const second = parameter<string>('nsp', 'b', notebookSeconds[0], textCodec);

function pair(text: string, next: string, isNext: boolean): SentencePair {
  return { text, pair: next, isNext };
}

/** The ten pairs of Exercise 5. */
export const notebookPairs: readonly SentencePair[] = [
  pair(
    'The weather forecast predicts heavy rain tomorrow.',
    "Don't forget to bring an umbrella when you go out.",
    true,
  ),
  pair(
    'She studied hard for her final exams all week.',
    'Her efforts paid off when she received excellent grades.',
    true,
  ),
  pair(
    'The company announced record profits in Q4.',
    'Shareholders were pleased with the financial results.',
    true,
  ),
  pair(
    'Neural networks learn by adjusting their weights.',
    'This process is called backpropagation and uses gradient descent.',
    true,
  ),
  pair(
    'The movie had stunning visual effects and great acting.',
    'It went on to win several Academy Awards that year.',
    true,
  ),
  pair(
    'Quantum computing uses qubits instead of classical bits.',
    'Pizza is one of the most popular foods in Italy.',
    false,
  ),
  pair(
    'The patient showed symptoms of seasonal allergies.',
    'The stock market reached an all-time high today.',
    false,
  ),
  pair('Python is a versatile programming language.', 'Pythons are the largest snakes in the world.', false),
  pair(
    'Climate change affects global weather patterns.',
    'The restaurant serves authentic Japanese cuisine.',
    false,
  ),
  pair(
    'The team celebrated their championship victory.',
    'Photosynthesis converts light energy into chemical energy.',
    false,
  ),
];

export const mostPairs = 500;

const pairsCodec: Codec<readonly SentencePair[]> = {
  read(written) {
    try {
      const value: unknown = JSON.parse(written);
      if (!Array.isArray(value) || value.length > mostPairs) return undefined;
      const rows = value as unknown[];
      const read = rows.map((row) =>
        Array.isArray(row) && typeof row[0] === 'string' && typeof row[1] === 'string'
          ? pair(row[0], row[1], row[2] === 1)
          : undefined,
      );
      return read.every((row) => row !== undefined) ? read : undefined;
    } catch {
      return undefined;
    }
  },
  write: (value) => JSON.stringify(value.map((row) => [row.text, row.pair, row.isNext ? 1 : 0])),
};

export const pairs = parameter('nsp', 'pairs', notebookPairs, pairsCodec);
/** Percent. */
export const threshold = parameter('nsp', 'threshold', 50, integerCodec(0, 100));

export type Cell = 'tp' | 'fp' | 'tn' | 'fn';
/** The cell of the confusion matrix whose pairs are picked out. */
export const chosenCell = signal<Cell | null>(null);

export const verdict = latest<readonly [string, string], NextSentenceResult>(
  () => (bert.value ? [first.value, second.value] : null),
  ([a, b], abort) => timed(bert.value!.nextSentence(a, b, { signal: abort })),
);

export interface EvaluationAsk {
  pairs: readonly SentencePair[];
  threshold: number;
}

export const evaluation = latest<EvaluationAsk, EvaluationResult>(
  () =>
    bert.value && pairs.value.length > 0 ? { pairs: pairs.value, threshold: threshold.value / 100 } : null,
  (ask, abort) =>
    timed(bert.value!.evaluateNextSentence(ask.pairs, { threshold: ask.threshold, signal: abort })),
  250,
);
