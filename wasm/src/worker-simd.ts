// The worker of the simd build.
import createModule from 'bertlens-wasm/engine-simd';

import { serveEngine } from './worker.ts';

serveEngine({ create: createModule, wasm: new URL('./engine-simd.wasm', import.meta.url) });
