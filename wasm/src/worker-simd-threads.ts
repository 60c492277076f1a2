// The worker of the simd-threads build.
import createModule from 'bertlens-wasm/engine-simd-threads';

import { compileWasm } from './resources.ts';
import { threadWorkers } from './threads.ts';
import { serveEngine } from './worker.ts';

serveEngine({
  create: createModule,
  compile: (signal) => compileWasm(new URL('./engine-simd-threads.wasm', import.meta.url), signal),
  ThreadWorker: threadWorkers('./thread-simd.js', import.meta.url),
});
