// The worker of the simd build in `bertlens/inline`.
import createModule from 'bertlens-wasm/engine-simd';

import { serveInline } from './inline-worker.ts';

serveInline(createModule);
