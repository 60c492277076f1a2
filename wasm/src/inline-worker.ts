// A worker of `bertlens/inline`. Its script has no address with files beside it, so its WebAssembly is its first message.
import { becomeWorker, type WorkerScope } from './host-worker.ts';
import { compilePacked, type PackedWasm } from './packed-wasm.ts';
import type { CreateEngineModule } from './wasm-modules.ts';
import { serveEngine } from './worker.ts';

/** Makes this worker the engine of one build. */
export function serveInline(create: CreateEngineModule): void {
  becomeWorker();
  (globalThis as unknown as WorkerScope).onmessage = ({ data }) => {
    serveEngine({ create, compile: () => compilePacked(data as PackedWasm) });
  };
}
