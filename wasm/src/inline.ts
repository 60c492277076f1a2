// bertlens/inline: `bertlens` with its worker's script and its WebAssembly within the JavaScript, for bundlers that follow
// imports alone, and for a page of one file. No import.meta here: a classic script has none.
import relaxedWasm from 'bertlens-inline/engine-relaxed.wasm';
import simdWasm from 'bertlens-inline/engine-simd.wasm';
import relaxedScript from 'bertlens-inline/inline-worker-relaxed.js';
import simdScript from 'bertlens-inline/inline-worker-simd.js';
import tokenizerWasm from 'bertlens-inline/tokenizer.wasm';

import { loadInWorker, type Workers } from './bert.ts';
import type { Bert, LoadOptions, ModelSource } from './engine-types.ts';
import { browserWorker, nodeWorker, type HostWorker } from './host-worker.ts';
import { compilePacked, type PackedWasm } from './packed-wasm.ts';
import type { Choice } from './runtime.ts';
import type { LoadTokenizerOptions, Tokenizer, TokenizerSource } from './tokenizer-types.ts';
import { loadTokenizerWith } from './wasm-tokenizer.ts';

export { BertlensError, type BertlensErrorCode } from './errors.ts';
export type * from './engine-types.ts';
export type * from './tokenizer-types.ts';
export { maskWords } from './mask-words.ts';
export { cosineSimilarity } from './similarity.ts';
export { deleteStored, listStored, storageEstimate } from './storage.ts';

// each is made of the one before; scripts/build.js packs them so
const tokenizer: PackedWasm = { packed: tokenizerWasm };
const relaxed: PackedWasm = { packed: relaxedWasm, base: tokenizer };
const simd: PackedWasm = { packed: simdWasm, base: relaxed };

async function compileTokenizer(): Promise<WebAssembly.Module> {
  return await compilePacked(tokenizer);
}

function startWorkers({ build }: Choice): Workers {
  const [script, wasm] = build === 'relaxed' ? [relaxedScript, relaxed] : [simdScript, simd];
  const engine = nodeWorker(script, 'bertlens') ?? blobWorker(script);
  engine.postMessage(wasm);
  return { engine, threads: [] };
}

function blobWorker(script: string): HostWorker {
  const address = URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
  // not before the script is there: not every browser holds on to an address that a worker was made of
  const revoke = (): void => {
    URL.revokeObjectURL(address);
  };
  try {
    const worker = new Worker(address);
    for (const event of ['message', 'error']) worker.addEventListener(event, revoke, { once: true });
    const host = browserWorker(worker);
    return Object.assign(host, {
      end: () => {
        revoke();
        worker.terminate();
        return Promise.resolve();
      },
    });
  } catch (cause) {
    revoke();
    throw cause;
  }
}

/**
 * `load` of 'bertlens', without its builds with threads.
 *
 * Errors: as there; `unsupported` also where there is no DecompressionStream.
 */
export async function load(source: ModelSource, options?: LoadOptions): Promise<Bert> {
  return await loadInWorker({ threading: 'not inlined', startWorkers, compileTokenizer }, source, options);
}

/** `loadTokenizer` of 'bertlens/tokenizer'. Errors: as there; `unsupported` also where there is no DecompressionStream. */
export async function loadTokenizer(
  source: TokenizerSource,
  options?: LoadTokenizerOptions,
): Promise<Tokenizer> {
  return await loadTokenizerWith(compileTokenizer, source, options);
}
