// bertlens in the page, its engine in a worker.
import { load as loadBert } from '/bertlens/index.js';

import { timed } from './timed.js';

let bert;

export async function load({ size, precision, threads }) {
  const folder = `/models/${size}/${precision === 'int8' ? 'int8/' : ''}`;
  const files = ['config.json', 'model.safetensors', 'vocab.txt', 'tokenizer_config.json'];
  bert = await loadBert(folder, { precision, threads, cache: false, files });
  return `${bert.runtime.build}, ${bert.runtime.kernels}`;
}

export function run({ batch, tokens, ids, mask, runs }) {
  const part = (values, s) => values.slice(s * tokens, (s + 1) * tokens);
  const inputs = Array.from({ length: batch }, (_, s) => ({
    inputIds: part(ids, s),
    attentionMask: part(mask, s),
  }));
  return timed(
    runs,
    () => bert.encode(inputs),
    (results) => results.map(({ lastHiddenState }) => lastHiddenState.data.slice(0, 4)),
  );
}

export const heap = async () => (await bert.memory()).heapBytes;
