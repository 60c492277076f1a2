// The worker of the simd build.
import createModule from 'bertlens-wasm/engine-simd';

import { compileWasm } from './resources.ts';
import { serveEngine } from './worker.ts';

serveEngine({
  create: createModule,
  compile: (signal) => compileWasm(new URL('./engine-simd.wasm', import.meta.url), signal),
});
