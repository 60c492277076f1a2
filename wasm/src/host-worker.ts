// Workers of Node's worker_threads in the shape of the browser's, on both sides; in a browser nothing of this is used.
import { nodeProcess } from './resources.ts';

interface NodePort {
  postMessage(message: unknown, transfer?: readonly Transferable[]): void;
  on(event: 'message' | 'error' | 'messageerror' | 'exit', listener: (value: unknown) => void): void;
}

interface NodeThread extends NodePort {
  ref(): void;
  unref(): void;
  terminate(): Promise<number>;
}

interface WorkerThreads {
  readonly Worker: new (
    script: URL | string,
    options: { eval: boolean; workerData: unknown; execArgv: readonly string[] | undefined },
  ) => NodeThread;
  readonly parentPort: NodePort | null;
  readonly workerData: unknown;
}

function workerThreads(): WorkerThreads | undefined {
  return nodeProcess()?.getBuiltinModule('node:worker_threads') as WorkerThreads | undefined;
}

type Listener = (event: { readonly data: unknown }) => void;
type ErrorListener = (event: { readonly message: string }) => void;

/** The parts of a browser's Worker that this package and Emscripten use. */
export interface HostWorker {
  postMessage(message: unknown, transfer?: readonly Transferable[]): void;
  /** `message` is empty where the script could not be loaded. */
  onerror: ErrorListener | null;
  onmessage: Listener | null;
  onmessageerror: (() => void) | null;
  /** Whether files that it reads stay open when it is ended, as those of Node's threads do. */
  readonly leavesFilesOpen: boolean;
  /** Ends it; settled when it has ended. */
  end(): Promise<void>;
  /** Whether it keeps the process running. */
  hold(held: boolean): void;
}

class NodeWorker implements HostWorker {
  readonly leavesFilesOpen = true;
  onerror: ErrorListener | null = null;
  onmessage: Listener | null = null;
  onmessageerror: (() => void) | null = null;
  readonly #thread: NodeThread;
  #ending = false;

  constructor(thread: NodeThread) {
    this.#thread = thread;
    thread.on('message', (data) => {
      this.onmessage?.({ data });
    });
    thread.on('error', (error) => {
      this.onerror?.(error instanceof Error ? error : new Error(String(error)));
    });
    thread.on('messageerror', () => this.onmessageerror?.());
    thread.on('exit', () => {
      if (!this.#ending) this.onerror?.({ message: 'it has ended' });
    });
  }

  postMessage(message: unknown, transfer?: readonly Transferable[]): void {
    this.#thread.postMessage(message, transfer);
  }
  async end(): Promise<void> {
    this.#ending = true;
    await this.#thread.terminate();
  }
  terminate(): void {
    this.#ending = true;
    void this.#thread.terminate();
  }
  hold(held: boolean): void {
    if (held) this.#thread.ref();
    else this.#thread.unref();
  }
}

/** A browser's Worker with our additions. */
export function browserWorker(worker: Worker): HostWorker {
  return Object.assign(worker, {
    leavesFilesOpen: false,
    end: () => {
      worker.terminate();
      return Promise.resolve();
    },
    hold: () => undefined,
  }) as unknown as HostWorker;
}

/**
 * A worker thread of Node running a module's file or a script's text, or undefined in a browser. `name` is what its
 * `self.name` is there.
 */
export function nodeWorker(script: URL | string, name: string): HostWorker | undefined {
  const threads = workerThreads();
  if (!threads) return undefined;
  // a thread takes over the process's flags; with code from standard input or -e one of them is about that code, and naming
  // flags for a thread allows none of V8's, which hold for the whole process anyway
  const fromInput = nodeProcess()?.execArgv.some((flag) => flag.startsWith('--input-type'));
  const execArgv = fromInput ? [] : undefined;
  const options = { eval: typeof script === 'string', workerData: { bertlensName: name }, execArgv };
  return new NodeWorker(new threads.Worker(script, options));
}

/** This worker's own end of the line. */
export interface WorkerScope {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  onmessage: Listener | null;
}

/** In a worker thread of Node: gives it the browser's names for its line. To be called before any of them is used. */
export function becomeWorker(): void {
  const threads = workerThreads();
  const port = threads?.parentPort;
  if (!port || 'importScripts' in globalThis) return;
  const { bertlensName } = threads.workerData as { bertlensName: string };
  const scope = {
    self: globalThis,
    name: bertlensName,
    location: { href: '' },
    importScripts: undefined as unknown,
    onmessage: null as Listener | null,
    postMessage: (message: unknown, transfer?: Transferable[]) => {
      port.postMessage(message, transfer);
    },
  };
  scope.importScripts = () => {
    throw new TypeError('module workers have no importScripts');
  };
  // Deno has some of these as getters
  for (const [key, value] of Object.entries(scope)) {
    Object.defineProperty(globalThis, key, { value, writable: true, configurable: true });
  }
  port.on('message', (data) => {
    (globalThis as unknown as WorkerScope).onmessage?.({ data });
  });
}
