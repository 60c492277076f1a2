// How the glue of a build with threads makes its threads.
//
// In Node they are workers of the engine's worker. In a browser the page makes them and hands the few messages of their start
// on: Firefox 153 now and then never returns from `new Worker` within a worker (one load in 40 on a busy machine).
import { nodeWorker, type WorkerScope } from './host-worker.ts';
import type { ThreadWorker } from './wasm-modules.ts';

/** A message between the glue and one of the page's threads, on its way through the page, in either direction. */
export interface ThreadMessage {
  /** Which one: 0 up to the number of threads beside the engine's own. */
  readonly thread: number;
  readonly message: unknown;
}

/** One of the page's threads as the glue sees it. The page ends it. */
class PageThread {
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  /** Never called: the page hears of a failing thread first and gives the whole engine up. */
  onerror: (() => void) | null = null;
  readonly #thread: number;

  constructor(thread: number) {
    this.#thread = thread;
  }
  postMessage(message: unknown): void {
    const relayed: ThreadMessage = { thread: this.#thread, message };
    (globalThis as unknown as WorkerScope).postMessage(relayed);
  }
  terminate(): void {
    this.onmessage = null;
  }
}

const pageThreads: PageThread[] = [];

/** Hands on what a thread of the page has said. */
export function receiveFromThread({ thread, message }: ThreadMessage): void {
  pageThreads[thread]?.onmessage?.({ data: message });
}

/**
 * `file` is the thread's module beside that of the address `here`, for Node: two arguments, so that bundlers leave the
 * address alone.
 */
export function threadWorkers(file: string, here: string): ThreadWorker {
  return function makeThread() {
    const onNode = nodeWorker(new URL(file, here), 'em-pthread');
    if (onNode) return onNode;
    const thread = new PageThread(pageThreads.length);
    pageThreads.push(thread);
    return thread;
  } as unknown as ThreadWorker;
}
