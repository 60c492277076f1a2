// The attention section: the page's sentence, every layer's attentions, and which head and token are looked at.
import { computed, signal } from '@preact/signals';
import type { EncodeResult, Encoding } from 'bertlens';
import { bert, timed } from '../../engine/model';
import { latest } from '../../lib/latest';
import { sentence } from '../../state/sentence';
import { choiceCodec, flagCodec, integerCodec, parameter } from '../../state/url';
import { second } from '../tokenizer/state';

export const layer = parameter('attention', 'layer', 0, integerCodec(0, 63));
export const head = parameter('attention', 'head', 0, integerCodec(0, 255));
export const hideSpecial = parameter('attention', 'plain', false, flagCodec);
/** Percent of each row's weight that is shown, strongest first. */
export const share = parameter('attention', 'share', 100, integerCodec(1, 100));
export const directions = ['all', 'aa', 'ab', 'ba', 'bb'] as const;
export type Direction = (typeof directions)[number];
export const direction = parameter<Direction>('attention', 'pairs', 'all', choiceCodec(directions));

/** The token pointed at, by position. */
export const pointed = signal<number | null>(null);

interface Ask {
  text: string;
  textPair: string | undefined;
}

export const attentions = latest<Ask, EncodeResult>(
  () => (bert.value ? { text: sentence.value, textPair: second.value } : null),
  ({ text, textPair }, abort) =>
    timed(
      bert.value!.encode(textPair === undefined ? text : { text, textPair }, {
        attentions: true,
        signal: abort,
      }),
    ),
  250,
);

/** One head's weights after the filters: rows are queries, columns keys, both by position among the tokens. */
export interface Head {
  tokens: readonly string[];
  encoding: Encoding;
  size: number;
  /** size × size, row-major; filtered weights are 0. */
  weights: Float32Array;
  /** As the model gave them. */
  raw: Float32Array;
}

function sequenceOf(encoding: Encoding, i: number): number {
  // [CLS] and the first [SEP] have token type 0, the last [SEP] of a pair type 1
  return encoding.tokenTypeIds[i] ?? 0;
}

function kept(encoding: Encoding, from: number, to: number, wanted: Direction, plain: boolean): boolean {
  if (plain && (encoding.specialTokensMask[from] === 1 || encoding.specialTokensMask[to] === 1)) return false;
  if (wanted === 'all') return true;
  const names = ['a', 'b'] as const;
  return (
    wanted ===
    `${names[sequenceOf(encoding, from) === 1 ? 1 : 0]}${names[sequenceOf(encoding, to) === 1 ? 1 : 0]}`
  );
}

export function headOf(result: EncodeResult, layerAt: number, headAt: number): Head | null {
  const tensor = result.attentions?.[layerAt];
  const { encoding } = result;
  if (!tensor || !encoding) return null;
  const size = encoding.length;
  const raw = tensor.data.subarray(headAt * size * size, (headAt + 1) * size * size);
  if (raw.length !== size * size) return null;
  return { tokens: encoding.tokens, encoding, size, raw, weights: raw };
}

export const current = computed<Head | null>(() => {
  const result = attentions.answer.value.value;
  if (!result) return null;
  const found = headOf(result, layer.value, head.value);
  if (!found) return null;
  const { size, raw, encoding } = found;
  const weights = new Float32Array(size * size);
  const limit = share.value / 100;
  for (let from = 0; from < size; from += 1) {
    const row = raw.subarray(from * size, (from + 1) * size);
    const strongest = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]!);
    let sum = 0;
    for (const to of strongest) {
      if (sum >= limit) break;
      sum += row[to]!;
      if (kept(encoding, from, to, direction.value, hideSpecial.value)) weights[from * size + to] = row[to]!;
    }
  }
  return { ...found, weights };
});
