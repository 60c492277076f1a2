// The worker's side: one engine behind comlink. Failures go back as values, so that their codes arrive.
import { expose, transfer } from 'comlink';

import { BertlensError, type BertlensErrorCode } from './errors.ts';
import {
  Engine,
  type EngineBuild,
  type EngineMethod,
  type EngineOptions,
  type TokenizerBytes,
} from './engine.ts';
import type { ModelInfo, ModelSource, ProgressEvent, Runtime } from './engine-types.ts';
import { becomeWorker, type Endpoint } from './host-worker.ts';
import type { Choice } from './runtime.ts';

/** A value, or why there is none. */
export type Answer<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly code: BertlensErrorCode; readonly message: string };

export interface Opened {
  readonly info: ModelInfo;
  readonly runtime: Omit<Runtime, 'inWorker'>;
  readonly tokenizerBytes: TokenizerBytes;
}

/** What the page calls through comlink. */
export class WorkerHost {
  readonly #build: EngineBuild;
  #engine: Engine | undefined;

  constructor(build: EngineBuild) {
    this.#build = build;
  }

  /** `flag` is shared memory whose first word becomes 1 to end the running call; undefined where there is none. */
  open(
    source: ModelSource,
    options: EngineOptions,
    choice: Choice,
    flag: Int32Array | undefined,
    onProgress: ((event: ProgressEvent) => void) | undefined,
  ): Promise<Answer<Opened>> {
    return answer(async () => {
      const engine = await Engine.load(this.#build, choice, source, options, undefined, onProgress);
      if (flag) engine.setAborted(() => Atomics.load(flag, 0) !== 0);
      this.#engine = engine;
      return { info: engine.info, runtime: engine.runtime, tokenizerBytes: engine.tokenizerBytes };
    });
  }

  call(method: EngineMethod, args: readonly unknown[]): Promise<Answer<unknown>> {
    return answer(() => this.#engine!.call(method, args));
  }
}

async function answer<Value>(work: () => Value | Promise<Value>): Promise<Answer<Value>> {
  try {
    const value = await work();
    return transfer({ ok: true, value }, buffersOf(value));
  } catch (error) {
    if (error instanceof BertlensError) return { ok: false, code: error.code, message: error.message };
    return { ok: false, code: 'internal', message: error instanceof Error ? error.message : String(error) };
  }
}

/** The memories of all typed arrays in a value, each once. */
function buffersOf(value: unknown, found = new Set<ArrayBuffer>()): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) {
    if (value.buffer instanceof ArrayBuffer) found.add(value.buffer);
  } else if (typeof value === 'object' && value !== null) {
    for (const part of Object.values(value)) buffersOf(part, found);
  }
  return [...found];
}

/** Makes this worker the engine of one build. */
export function serveEngine(build: EngineBuild): void {
  becomeWorker();
  expose(new WorkerHost(build), globalThis as unknown as Endpoint);
}
