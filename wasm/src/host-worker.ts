// Workers of Node's worker_threads in the shape of the browser's, on both sides; in a browser nothing of this is used.
import { nodeProcess } from './resources.ts';

interface NodePort {
  postMessage(message: unknown, transfer?: readonly Transferable[]): void;
  on(event: 'message' | 'error' | 'messageerror', listener: (value: unknown) => void): void;
}

interface NodeThread extends NodePort {
  ref(): void;
  unref(): void;
  terminate(): Promise<number>;
}

interface WorkerThreads {
  readonly Worker: new (url: URL, options: { workerData: unknown }) => NodeThread;
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
  addEventListener(type: 'message', listener: Listener): void;
  removeEventListener(type: 'message', listener: Listener): void;
  onerror: ErrorListener | null;
  onmessage: Listener | null;
  onmessageerror: (() => void) | null;
  /** Ends it; settled when it has ended. */
  end(): Promise<void>;
  /** Whether it keeps the process running. */
  hold(held: boolean): void;
}

class NodeWorker implements HostWorker {
  onerror: ErrorListener | null = null;
  onmessage: Listener | null = null;
  onmessageerror: (() => void) | null = null;
  readonly #thread: NodeThread;
  readonly #listeners = new Set<Listener>();

  constructor(thread: NodeThread) {
    this.#thread = thread;
    thread.on('message', (data) => {
      this.onmessage?.({ data });
      for (const listener of this.#listeners) listener({ data });
    });
    thread.on('error', (error) => {
      this.onerror?.({ message: error instanceof Error ? error.message : String(error) });
    });
    thread.on('messageerror', () => this.onmessageerror?.());
  }

  postMessage(message: unknown, transfer?: readonly Transferable[]): void {
    this.#thread.postMessage(message, transfer);
  }
  addEventListener(_type: 'message', listener: Listener): void {
    this.#listeners.add(listener);
  }
  removeEventListener(_type: 'message', listener: Listener): void {
    this.#listeners.delete(listener);
  }
  async end(): Promise<void> {
    await this.#thread.terminate();
  }
  terminate(): void {
    void this.#thread.terminate();
  }
  hold(held: boolean): void {
    if (held) this.#thread.ref();
    else this.#thread.unref();
  }
}

/** A browser's Worker with our two additions. */
export function browserWorker(worker: Worker): HostWorker {
  return Object.assign(worker, {
    end: () => {
      worker.terminate();
      return Promise.resolve();
    },
    hold: () => undefined,
  }) as unknown as HostWorker;
}

/** A worker thread of Node running a module, or undefined in a browser. `name` is what its `self.name` is there. */
export function nodeWorker(url: URL, name: string): HostWorker | undefined {
  const threads = workerThreads();
  return threads && new NodeWorker(new threads.Worker(url, { workerData: { bertlensName: name } }));
}

/** This worker's own end of the line. */
export interface Endpoint {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: object): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: object): void;
}

/** In a worker thread of Node: gives it the browser's names for its line. To be called before any of them is used. */
export function becomeWorker(): void {
  const threads = workerThreads();
  const port = threads?.parentPort;
  if (!port || 'importScripts' in globalThis) return;
  const { bertlensName } = threads.workerData as { bertlensName: string };
  const listeners = new Set<EventListener>();
  const scope = {
    self: globalThis,
    name: bertlensName,
    location: { href: '' },
    importScripts: undefined as unknown,
    onmessage: null as Listener | null,
    postMessage: (message: unknown, transfer?: Transferable[]) => {
      port.postMessage(message, transfer);
    },
    addEventListener: (_type: string, listener: EventListener) => listeners.add(listener),
    removeEventListener: (_type: string, listener: EventListener) => listeners.delete(listener),
  };
  scope.importScripts = () => {
    throw new TypeError('module workers have no importScripts');
  };
  Object.assign(globalThis, scope);
  port.on('message', (data) => {
    const event = { data } as MessageEvent;
    (globalThis as unknown as { onmessage: Listener | null }).onmessage?.(event);
    for (const listener of listeners) listener(event);
  });
}
