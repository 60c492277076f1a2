// onnxruntime-web in the page, its WebAssembly execution provider.
import * as ort from '/npm/onnxruntime-web/dist/ort.wasm.min.mjs';

import { timed } from './timed.js';

let session;

export async function load({ size, precision, threads }) {
  ort.env.wasm.wasmPaths = '/npm/onnxruntime-web/dist/';
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = 'error';
  const options = { executionProviders: ['wasm'], graphOptimizationLevel: 'all' };
  session = await ort.InferenceSession.create(`/models/${size}/hidden-${precision}.onnx`, options);
  return `onnxruntime-web ${ort.env.versions.web}`;
}

export function run({ batch, tokens, ids, mask, runs }) {
  const tensor = (values) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [batch, tokens]);
  const feeds = {
    input_ids: tensor(ids),
    attention_mask: tensor(mask),
    token_type_ids: tensor(ids.map(() => 0)),
  };
  return timed(
    runs,
    () => session.run(feeds),
    ({ last_hidden_state: { data, dims } }) =>
      Array.from({ length: batch }, (_, s) => data.slice(s * tokens * dims[2], s * tokens * dims[2] + 4)),
  );
}

export const heap = () => globalThis.heapBytes();
