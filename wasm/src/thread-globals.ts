// Imported before a thread's glue: in Node, gives the thread the browser's names first.
import { becomeWorker } from './host-worker.ts';

becomeWorker();
