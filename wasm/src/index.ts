// bertlens: a BERT checkpoint in a worker, whose script and WebAssembly are files beside this one.
import { loadInWorker, type Workers } from './bert.ts';
import type { Bert, Build, LoadOptions, ModelSource } from './engine-types.ts';
import { browserWorker, nodeWorker, type HostWorker } from './host-worker.ts';
import { compileWasm, nodeProcess } from './resources.ts';
import type { Choice } from './runtime.ts';

export { BertlensError, type BertlensErrorCode } from './errors.ts';
export type * from './engine-types.ts';
export type * from './tokenizer-types.ts';
export { maskWords } from './mask-words.ts';
export { cosineSimilarity } from './similarity.ts';
export { deleteStored, listStored, storageEstimate } from './storage.ts';

function startWorkers({ build, threads }: Choice): Workers {
  const ofPage: HostWorker[] = [];
  const wanted = build.endsWith('-threads') && nodeProcess() === undefined ? threads - 1 : 0;
  try {
    while (ofPage.length < wanted) ofPage.push(makeThread(build));
    return { engine: makeWorker(build), threads: ofPage };
  } catch (cause) {
    for (const thread of ofPage) void thread.end();
    throw cause;
  }
}

/** One address a build, each written out, so that bundlers find and follow it. */
function makeWorker(build: Build): HostWorker {
  // put together here: in one expression bundlers would take it for a pattern of files
  const [file, here] = [`./worker-${build}.js`, import.meta.url];
  const onNode = nodeWorker(new URL(file, here), 'bertlens');
  if (onNode) return onNode;
  switch (build) {
    case 'simd':
      return browserWorker(new Worker(new URL('./worker-simd.js', import.meta.url), { type: 'module' }));
    case 'simd-threads':
      return browserWorker(
        new Worker(new URL('./worker-simd-threads.js', import.meta.url), { type: 'module' }),
      );
    case 'relaxed':
      return browserWorker(new Worker(new URL('./worker-relaxed.js', import.meta.url), { type: 'module' }));
    case 'relaxed-threads':
      return browserWorker(
        new Worker(new URL('./worker-relaxed-threads.js', import.meta.url), { type: 'module' }),
      );
  }
}

/**
 * One of the threads of a build, in a browser. Emscripten's glue starts itself where the worker's name begins with em-pthread;
 * webpack puts scripts whose workers have one name into one file, where the first of them would run for both.
 */
function makeThread(build: Build): HostWorker {
  return browserWorker(
    build === 'simd-threads'
      ? new Worker(new URL('./thread-simd.js', import.meta.url), { type: 'module', name: 'em-pthread-simd' })
      : new Worker(new URL('./thread-relaxed.js', import.meta.url), {
          type: 'module',
          name: 'em-pthread-relaxed',
        }),
  );
}

/**
 * Loads a checkpoint into a worker.
 *
 * Errors: `not_found`, `io`, `invalid_model`, `missing_tensor`, `unsupported`, `out_of_memory`, `invalid_argument`,
 * `aborted`, `crashed`.
 */
export async function load(source: ModelSource, options?: LoadOptions): Promise<Bert> {
  const compileTokenizer = (): Promise<WebAssembly.Module> =>
    compileWasm(new URL('./tokenizer.wasm', import.meta.url));
  return await loadInWorker({ threading: 'possible', startWorkers, compileTokenizer }, source, options);
}
