// The next sentence section: one pair, and a table of labelled pairs with the model's verdicts.
import type { EvaluationResult, NextSentenceResult, SentencePair } from 'bertlens';
import { batch, computed, signal } from '@preact/signals';
import { answers } from '../../engine/answers';
import { timed } from '../../engine/model';
import { integerCodec, parameter, textCodec, type Codec } from '../../state/url';
import { notebookFirst, notebookPairs, notebookSeconds, pair } from './notebook';

export const first = parameter('nsp', 'a', notebookFirst, textCodec);
export const second = parameter<string>('nsp', 'b', notebookSeconds[0], textCodec);

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

/** Whether the table holds the notebook's ten pairs. */
export const ofNotebook = computed(() => pairsCodec.write(pairs.value) === pairsCodec.write(notebookPairs));

export function showNotebookPairs(): void {
  batch(() => {
    pairs.value = notebookPairs;
    threshold.value = 50;
  });
}

export type Cell = 'tp' | 'fp' | 'tn' | 'fn';
/** The cell of the confusion matrix whose pairs are picked out. */
export const chosenCell = signal<Cell | null>(null);

export const verdict = answers<readonly [string, string], NextSentenceResult>(
  () => [first.value, second.value],
  (model, [a, b], abort) => timed(model.nextSentence(a, b, { signal: abort })),
);

export interface EvaluationAsk {
  pairs: readonly SentencePair[];
  threshold: number;
}

export const evaluation = answers<EvaluationAsk, EvaluationResult>(
  () => (pairs.value.length > 0 ? { pairs: pairs.value, threshold: threshold.value / 100 } : null),
  (model, ask, abort) =>
    timed(model.evaluateNextSentence(ask.pairs, { threshold: ask.threshold, signal: abort })),
  250,
);
