// How the glue of a build with threads makes its threads.
import { nodeWorker } from './host-worker.ts';
import type { ThreadWorker } from './wasm-modules.ts';

/** `file` is the thread's module beside this one, for Node; `inBrowser` makes the same where there is a Worker. */
export function threadWorkers(file: string, inBrowser: () => Worker): ThreadWorker {
  const here = import.meta.url; // apart from `new URL`, so that bundlers leave the address alone
  return function makeThread() {
    return nodeWorker(new URL(file, here), 'em-pthread') ?? inBrowser();
  } as unknown as ThreadWorker;
}
