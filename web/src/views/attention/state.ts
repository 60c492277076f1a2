// The attention section: the page's sentence, every layer's attentions, and which head and token are looked at.
import { computed, signal } from '@preact/signals';
import type { EncodeResult, Encoding } from 'bertlens';
import { answers } from '../../engine/answers';
import { bert, timed } from '../../engine/model';
import { sentence } from '../../state/sentence';
import { choiceCodec, flagCodec, integerCodec, parameter } from '../../state/url';
import { second } from '../tokenizer/state';

// the second layer: its heads have found something to do, where the first ones of most models still look everywhere
const askedLayer = parameter('attention', 'layer', 1, integerCodec(0, 1023));
const askedHead = parameter('attention', 'head', 0, integerCodec(0, 1023));

/** Layer and head from 0; another model may have fewer than the address asks for. */
export const layer = computed(() =>
  Math.min(askedLayer.value, (bert.value?.info.config.numHiddenLayers ?? Infinity) - 1),
);
export const head = computed(() =>
  Math.min(askedHead.value, (bert.value?.info.config.numAttentionHeads ?? Infinity) - 1),
);

export function openHead(atLayer: number, atHead: number): void {
  askedLayer.value = atLayer;
  askedHead.value = atHead;
}

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

export const attentions = answers<Ask, EncodeResult>(
  () => ({ text: sentence.value, textPair: second.value }),
  (model, { text, textPair }, abort) =>
    timed(
      model.encode(textPair === undefined ? text : { text, textPair }, {
        attentions: true,
        signal: abort,
      }),
    ),
  250,
);

/** One head's weights after the filters: rows are queries, columns keys, both by their index among the tokens on show. */
export interface Head {
  tokens: readonly string[];
  /** Of each token on show, its position in the encoding. */
  places: readonly number[];
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

function kept(encoding: Encoding, from: number, to: number, wanted: Direction): boolean {
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
  return {
    tokens: encoding.tokens,
    places: encoding.tokens.map((_, i) => i),
    encoding,
    size,
    raw,
    weights: raw,
  };
}

export const current = computed<Head | null>(() => {
  const result = attentions.answer.value.value;
  if (!result) return null;
  const found = headOf(result, layer.value, head.value);
  if (!found) return null;
  const { encoding } = found;
  const limit = share.value / 100;
  const wanted = direction.value;
  const plain = hideSpecial.value && encoding.specialTokensMask.includes(0); // an empty text has no others
  if (limit >= 1 && wanted === 'all' && !plain) return found;
  const places = found.places.filter((at) => !plain || encoding.specialTokensMask[at] !== 1);
  const size = places.length;
  const raw = new Float32Array(size * size);
  const weights = new Float32Array(size * size);
  places.forEach((from, y) => {
    const row = found.raw.subarray(from * found.size, (from + 1) * found.size);
    const least = limit >= 1 ? 0 : leastKept(row, limit);
    places.forEach((to, x) => {
      const weight = row[to]!;
      raw[y * size + x] = weight;
      if (weight >= least && kept(encoding, from, to, wanted)) weights[y * size + x] = weight;
    });
  });
  return { tokens: places.map((at) => found.tokens[at]!), places, encoding, size, raw, weights };
});

/** Whether a filter hides weights, so that rows on show sum to less than 1. */
export const filtered = computed(() => hideSpecial.value || share.value < 100 || direction.value !== 'all');

/** The smallest weight among the strongest of a row that together reach `limit`. */
function leastKept(row: Float32Array, limit: number): number {
  const ascending = row.slice().sort();
  let sum = 0;
  let at = ascending.length;
  while (at > 0 && sum < limit) sum += ascending[--at]!;
  return ascending[at] ?? 0;
}

/** What one head does on the whole, in shares of its weight. */
export interface HeadSummary {
  layer: number;
  head: number;
  /** To [CLS] and [SEP], to the token itself, to the one before, to the one after. */
  special: number;
  /** To [CLS] alone. */
  first: number;
  self: number;
  previous: number;
  next: number;
  /** Mean entropy of its rows, in bits: 0 looks at one token only. */
  entropy: number;
}

function summaryOf({ size, raw, encoding }: Head, atLayer: number, atHead: number): HeadSummary {
  const sums = { special: 0, first: 0, self: 0, previous: 0, next: 0, entropy: 0 };
  for (let from = 0; from < size; from += 1) {
    for (let to = 0; to < size; to += 1) {
      const weight = raw[from * size + to]!;
      if (encoding.specialTokensMask[to] === 1) sums.special += weight;
      if (weight > 0) sums.entropy -= weight * Math.log2(weight);
    }
    sums.first += raw[from * size]!;
    sums.self += raw[from * size + from]!;
    if (from > 0) sums.previous += raw[from * size + from - 1]!;
    if (from + 1 < size) sums.next += raw[from * size + from + 1]!;
  }
  return {
    layer: atLayer + 1,
    head: atHead + 1,
    special: sums.special / size,
    first: sums.first / size,
    self: sums.self / size,
    previous: sums.previous / size,
    next: sums.next / size,
    entropy: sums.entropy / size,
  };
}

/** Of the open head: what the tokens that are not special give to themselves and to [CLS] and [SEP], on average. */
export const ownShares = computed<{ self: number; special: number } | null>(() => {
  const result = attentions.answer.value.value;
  const found = result && headOf(result, layer.value, head.value);
  if (!found) return null;
  const { size, raw, encoding } = found;
  const isSpecial = (at: number) => encoding.specialTokensMask[at] === 1;
  const own = found.places.filter((at) => !isSpecial(at));
  if (own.length === 0) return null;
  const sums = { self: 0, special: 0 };
  for (const from of own) {
    sums.self += raw[from * size + from]!;
    for (const to of found.places) if (isSpecial(to)) sums.special += raw[from * size + to]!;
  }
  return { self: sums.self / own.length, special: sums.special / own.length };
});

// A head that gives one kind of place this much of its weight is called by it.
const named = 0.4;

/** Where a head mostly looks, in a word; undefined for one that spreads its weight. */
export function habitOf(head: HeadSummary): string | undefined {
  const kinds = [
    ['next', head.next],
    ['previous', head.previous],
    ['itself', head.self],
    ['[CLS]', head.first],
    ['[SEP]', head.special - head.first],
  ] as const;
  const [name, most] = kinds.reduce((best, kind) => (kind[1] > best[1] ? kind : best));
  return most >= named ? name : undefined;
}

/** All heads, layer by layer. */
export const summaries = computed<readonly HeadSummary[]>(() => {
  const result = attentions.answer.value.value;
  const config = bert.value?.info.config;
  if (!result || !config) return [];
  const found: HeadSummary[] = [];
  for (let l = 0; l < config.numHiddenLayers; l += 1) {
    for (let h = 0; h < config.numAttentionHeads; h += 1) {
      const one = headOf(result, l, h);
      if (one) found.push(summaryOf(one, l, h));
    }
  }
  return found;
});
