// The worker of the relaxed build in `bertlens/inline`.
import createModule from 'bertlens-wasm/engine-relaxed';

import { serveInline } from './inline-worker.ts';

serveInline(createModule);
