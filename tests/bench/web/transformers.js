// transformers.js in the page, its WebAssembly device, local files alone.
import { AutoModel, Tensor, env } from '/npm/@huggingface/transformers/dist/transformers.web.min.js';

import { timed } from './timed.js';

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = '/models/';
env.useBrowserCache = false;
env.useWasmCache = false;
// it brings an onnxruntime-web of its own
env.backends.onnx.wasm.wasmPaths = '/npm/@huggingface/transformers/node_modules/onnxruntime-web/dist/';

let model;

export async function load({ size, precision, threads }) {
  env.backends.onnx.wasm.numThreads = threads;
  model = await AutoModel.from_pretrained(size, {
    dtype: precision === 'int8' ? 'q8' : 'fp32',
    device: 'wasm',
  });
  return `transformers.js ${env.version}`;
}

export function run({ batch, tokens, ids, mask, runs }) {
  const tensor = (values) => new Tensor('int64', BigInt64Array.from(values, BigInt), [batch, tokens]);
  const inputs = {
    input_ids: tensor(ids),
    attention_mask: tensor(mask),
    token_type_ids: tensor(ids.map(() => 0)),
  };
  return timed(
    runs,
    () => model(inputs),
    ({ last_hidden_state: { data, dims } }) =>
      Array.from({ length: batch }, (_, s) => data.slice(s * tokens * dims[2], s * tokens * dims[2] + 4)),
  );
}

export const heap = () => globalThis.heapBytes();
