// The worker's side of the line: one engine, one request at a time. Failures go back as values, so that their codes arrive.
import { BertlensError, type BertlensErrorCode } from './errors.ts';
import {
  Engine,
  type EngineBuild,
  type EngineMethod,
  type EngineOptions,
  type TokenizerBytes,
} from './engine.ts';
import type { ModelInfo, ModelSource, ProgressEvent, Runtime } from './engine-types.ts';
import { becomeWorker, type WorkerScope } from './host-worker.ts';
import { StoredFault } from './model-files.ts';
import type { Choice } from './runtime.ts';
import { receiveFromThread, type ThreadMessage } from './threads.ts';

/** What the page asks: first to load, then calls. The next request is sent when the last one has been answered. */
export type WorkerRequest =
  | {
      readonly load: {
        readonly source: ModelSource;
        readonly options: EngineOptions;
        readonly choice: Choice;
        /** Shared memory whose first word becomes 1 to end the running call; undefined where there is none. */
        readonly flag: Int32Array | undefined;
      };
    }
  | { readonly call: EngineMethod; readonly args: readonly unknown[] };

/** What the page sends: a request, or at any time what one of its threads has said, or that the load is to end. */
export type ToWorker = WorkerRequest | ThreadMessage | { readonly stop: true };

/** What the worker says: how far a load is, the answer to the request, and what one of the page's threads is to get. */
export type WorkerMessage =
  { readonly progress: ProgressEvent } | { readonly answer: Answer } | ThreadMessage;

/** A value, or why there is none. */
export type Answer =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false;
      readonly code: BertlensErrorCode;
      readonly message: string;
      /** It is a StoredFault. */
      readonly stored?: boolean;
    };

/** The answer to a load. */
export interface Opened {
  readonly info: ModelInfo;
  readonly runtime: Omit<Runtime, 'inWorker'>;
  readonly tokenizerBytes: TokenizerBytes;
}

async function answer(work: () => unknown): Promise<Answer> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    if (error instanceof BertlensError) {
      return { ok: false, code: error.code, message: error.message, stored: error instanceof StoredFault };
    }
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
  const scope = globalThis as unknown as WorkerScope;
  const say = (message: WorkerMessage): void => {
    scope.postMessage(message, buffersOf(message));
  };
  const stopping = new AbortController();
  let engine: Engine | undefined;
  const run = async (request: WorkerRequest): Promise<unknown> => {
    if ('call' in request) return engine!.call(request.call, request.args);
    const { source, options, choice, flag } = request.load;
    engine = await Engine.load(build, choice, source, options, stopping.signal, (progress) => {
      say({ progress });
    });
    if (flag) engine.setAborted(() => Atomics.load(flag, 0) !== 0);
    const { info, runtime, tokenizerBytes } = engine;
    return { info, runtime, tokenizerBytes } satisfies Opened;
  };
  scope.onmessage = ({ data }) => {
    const message = data as ToWorker;
    if ('thread' in message) {
      receiveFromThread(message);
      return;
    }
    if ('stop' in message) {
      stopping.abort();
      return;
    }
    void answer(() => run(message))
      .then((reply) => {
        say({ answer: reply });
      })
      .catch((error: unknown) => {
        say({ answer: { ok: false, code: 'internal', message: `no answer can be sent: ${String(error)}` } });
      });
  };
}
