// The worker of the relaxed-threads build.
import createModule from 'bertlens-wasm/engine-relaxed-threads';

import { compileWasm } from './resources.ts';
import { threadWorkers } from './threads.ts';
import { serveEngine } from './worker.ts';

serveEngine({
  create: createModule,
  compile: (signal) => compileWasm(new URL('./engine-relaxed-threads.wasm', import.meta.url), signal),
  ThreadWorker: threadWorkers('./thread-relaxed.js', import.meta.url),
});
