// The opening's picture: where each token of the sentence looks, layer by layer, and how surprising each of them is.
import { computed } from '@preact/signals';
import type { ScoreResult } from 'bertlens';
import { answers } from '../../engine/answers';
import { bert, timed } from '../../engine/model';
import { sentence } from '../../state/sentence';
import { integerCodec, parameter } from '../../state/url';
import { attentions, headOf } from '../attention/state';
import { encoding, second } from '../tokenizer/state';

/** More tokens than this make no picture: each of them costs a pass through the model. */
export const mostTokens = 64;

const askedLayer = parameter('start', 'layer', 1, integerCodec(0, 1023));
/** From 0; another model may have fewer than the address asks for. */
export const layer = computed(() =>
  Math.min(askedLayer.value, (bert.value?.info.config.numHiddenLayers ?? Infinity) - 1),
);

export function openLayer(at: number): void {
  askedLayer.value = at;
}

/** The position of the token whose word is looked at also while nothing is pointed at; -1 for none. */
export const kept = parameter('start', 'token', -1, integerCodec(0, mostTokens));

export const tooLong = computed(() => (encoding.value?.length ?? 0) > mostTokens);

interface Ask {
  text: string;
  textPair: string | undefined;
}

export const scores = answers<Ask, ScoreResult>(
  () =>
    encoding.value && encoding.value.length > 2 && !tooLong.value
      ? { text: sentence.value, textPair: second.value }
      : null,
  (model, { text, textPair }, abort) =>
    timed(model.score(textPair === undefined ? text : { text, textPair }, { signal: abort })),
  300,
);

export interface Looks {
  size: number;
  /** size × size, row-major: the mean of the layer's heads; every row sums to 1. */
  weights: Float32Array;
}

/** Of the layer on show, while its answer belongs to the tokens on screen. */
export const looks = computed<Looks | null>(() => {
  const { value: result, input } = attentions.answer.value;
  if (input?.text !== sentence.value || input.textPair !== second.value) return null;
  const heads = bert.value?.info.config.numAttentionHeads ?? 0;
  const size = result?.encoding?.length;
  if (!result || size === undefined || size !== encoding.value?.length) return null;
  const weights = new Float32Array(size * size);
  for (let head = 0; head < heads; head += 1) {
    const found = headOf(result, layer.value, head);
    if (!found) return null;
    for (let i = 0; i < weights.length; i += 1) weights[i]! += found.raw[i]! / heads;
  }
  return { size, weights };
});

export type Score = ScoreResult['tokens'][number];

/** Of the tokens on screen, by position; special tokens have none. */
export const scored = computed<ReadonlyMap<number, Score>>(() => {
  const { value, input } = scores.answer.value;
  const current = input?.text === sentence.value && input.textPair === second.value;
  return new Map(value && current ? value.tokens.map((token) => [token.position, token]) : []);
});
