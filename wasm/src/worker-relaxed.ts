// The worker of the relaxed build.
import createModule from 'bertlens-wasm/engine-relaxed';

import { compileWasm } from './resources.ts';
import { serveEngine } from './worker.ts';

serveEngine({
  create: createModule,
  compile: (signal) => compileWasm(new URL('./engine-relaxed.wasm', import.meta.url), signal),
});
