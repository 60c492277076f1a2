// The worker of the simd-threads build.
import createModule from 'bertlens-wasm/engine-simd-threads';

import { threadWorkers } from './threads.ts';
import { serveEngine } from './worker.ts';

serveEngine({
  create: createModule,
  wasm: new URL('./engine-simd-threads.wasm', import.meta.url),
  ThreadWorker: threadWorkers('./thread-simd.js'),
});
