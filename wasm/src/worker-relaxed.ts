// The worker of the relaxed build.
import createModule from 'bertlens-wasm/engine-relaxed';

import { serveEngine } from './worker.ts';

serveEngine({ create: createModule, wasm: new URL('./engine-relaxed.wasm', import.meta.url) });
