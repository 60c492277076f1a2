// The life of a loaded model by the packed package: a queue that is fair, aborts, workers that die or never start, an end.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Worker } from 'node:worker_threads';

import type * as Bertlens from 'bertlens';
import type * as BertlensSync from 'bertlens/sync';

import { fixtures, installed, makeModels, runNode } from './support.ts';

let project: ReturnType<typeof installed>;
let tiny: string;
let dist: string;
let worker: typeof Bertlens;
/** The threads that were started, the engine's first. */
const threads: Worker[] = [];
before(async () => {
  project = installed();
  tiny = path.join(makeModels(project.folder), 'tiny');
  dist = path.join(project.folder, 'node_modules/bertlens/dist');
  for (const name of [
    'engine-checks.js',
    'node-memory.js',
    'small-heap.js',
    'node-trap.js',
    'spoiled-heap.js',
  ]) {
    cpSync(path.join(fixtures, name), path.join(project.folder, name));
  }
  const module = createRequire(import.meta.url)('node:worker_threads') as { Worker: typeof Worker };
  module.Worker = class extends module.Worker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      threads.push(this);
    }
  };
  worker = (await import(pathToFileURL(path.join(dist, 'index.js')).href)) as typeof Bertlens;
});
after(() => {
  project.finish();
});

const builds = ['simd', 'simd-threads'] as const;
const inBuild = (build: Bertlens.Build): Bertlens.LoadOptions =>
  build.endsWith('threads') ? { build, threads: 2 } : { build };
const many = (count: number): string => 'word '.repeat(count);

/** The codes with which calls were rejected; 'fulfilled' for those that were not. */
async function codes(calls: readonly Promise<unknown>[]): Promise<unknown[]> {
  return (await Promise.allSettled(calls)).map((call) =>
    call.status === 'fulfilled' ? call.status : (call.reason as { code?: unknown }).code,
  );
}

for (const build of builds) {
  test(`a worker that dies rejects every pending and later call: ${build}`, async () => {
    const bert = await worker.load(tiny, inBuild(build));
    const calls = [bert.score(many(400)), bert.encode('waiting'), bert.memory()];
    await threads.at(-1)?.terminate();
    assert.deepEqual(await codes(calls), ['crashed', 'crashed', 'crashed']);
    await assert.rejects(bert.encode('later'), { code: 'crashed', message: /worker failed.*load again/ });
    await bert.dispose();
  });
}

test('a worker that dies while it loads rejects the load', async () => {
  let killed = false;
  const loading = worker.load(tiny, {
    onProgress: () => {
      if (!killed) void threads.at(-1)?.terminate();
      killed = true;
    },
  });
  await assert.rejects(loading, { code: 'crashed' });
});

test('a worker that cannot start rejects the load, and so do missing threads and a missing module', async () => {
  for (const [file, build] of [
    ['worker-simd.js', 'simd'],
    ['engine-simd.wasm', 'simd'],
    ['thread-simd.js', 'simd-threads'],
  ] as const) {
    const aside = path.join(project.folder, 'aside');
    renameSync(path.join(dist, file), aside);
    try {
      await assert.rejects(worker.load(tiny, inBuild(build)), (error: Bertlens.BertlensError) => {
        assert.equal(error.name, 'BertlensError');
        assert.match(error.message, new RegExp(file.replace('.', '\\.')));
        return true;
      });
    } finally {
      renameSync(aside, path.join(dist, file));
    }
  }
});

test('a module that cannot be compiled is refused with its name', async () => {
  const copy = path.join(project.folder, 'copy');
  cpSync(dist, copy, { recursive: true });
  writeFileSync(path.join(copy, 'engine-simd.wasm'), 'not WebAssembly');
  const { load } = (await import(pathToFileURL(path.join(copy, 'sync.js')).href)) as typeof BertlensSync;
  await assert.rejects(load(tiny, { build: 'simd' }), { code: 'unsupported', message: /engine-simd\.wasm/ });
  rmSync(copy, { recursive: true });
});

test('running out of memory rejects every pending and later call, while loading and afterwards', () => {
  const script = 'node-memory.js';
  const flags = ['--import', './small-heap.js'];
  for (const [when, limit] of [
    ['loading', 20e6],
    ['calling', 38e6],
  ] as const) {
    process.env['HEAP_LIMIT'] = String(limit);
    runNode(process.execPath, script, [tiny, when], project.folder, flags);
  }
});

test('a trap of the module rejects every pending and later call', () => {
  runNode(process.execPath, 'node-trap.js', [tiny], project.folder, ['--import', './spoiled-heap.js']);
});

test('calls are answered in order, and a long evaluation lets others in between', async () => {
  const bert = await worker.load(tiny);
  const order: string[] = [];
  const note = (name: string) => (): void => void order.push(name);
  const pairs = Array.from({ length: 40 }, (_, i) => ({ text: `a ${i}`, pair: 'b', isNext: true }));
  await Promise.all([
    bert.evaluateNextSentence(pairs).then(note('evaluation')),
    ...Array.from({ length: 10 }, (_, i) => bert.encode(many(40 - 4 * i)).then(note(String(i)))),
  ]);
  assert.deepEqual(order, [...Array.from({ length: 10 }, (_, i) => String(i)), 'evaluation']);
  await bert.dispose();
});

test('aborting a queued call is immediate, a running one ends early, and both leave the others alone', async () => {
  const bert = await worker.load(tiny, { build: 'simd' });
  const running = new AbortController();
  const queued = new AbortController();
  const settled: string[] = [];
  const first = bert.score(many(500), { signal: running.signal });
  const second = bert.score(many(500), { signal: queued.signal });
  const third = bert.encode('third');
  for (const [name, call] of Object.entries({ first, second, third })) {
    const note = (): void => void settled.push(name);
    call.then(note, note);
  }
  const reason = new Error('no longer wanted');
  queued.abort(reason);
  await assert.rejects(second, { code: 'aborted', cause: reason });
  assert.deepEqual(settled, ['second'], 'before the call that runs');
  running.abort();
  await assert.rejects(first, { code: 'aborted' });
  await third;
  assert.deepEqual(settled, ['second', 'first', 'third']);
  await assert.rejects(bert.score(many(500), { signal: AbortSignal.timeout(50) }), {
    code: 'aborted',
    message: /aborted: .*time/,
  });
  await assert.rejects(bert.inspect({ signal: AbortSignal.abort() }), { code: 'aborted' });
  assert.deepEqual(await codes([bert.encode('still well')]), ['fulfilled']);
  await bert.dispose();
});

test('after dispose every pending and later call is rejected, and its threads end', async () => {
  const before_ = threads.length;
  const bert = await worker.load(tiny, { build: 'simd-threads', threads: 2 });
  const ended = threads.slice(before_).map((thread) => new Promise((done) => thread.once('exit', done)));
  const calls = [bert.score(many(400)), bert.encode('waiting')];
  const alive = new Set(threads.slice(before_));
  for (const thread of alive) thread.once('exit', () => alive.delete(thread));
  const rejected = codes(calls);
  const disposing = bert.dispose();
  await bert.dispose();
  assert.equal(alive.size, 0, 'a second call waits for the end too');
  assert.deepEqual(await rejected, ['disposed', 'disposed']);
  await disposing;
  await Promise.all(ended);
  const later = [bert.encode('x'), bert.embed('x'), bert.inspect(), bert.memory(), bert.score('x')];
  assert.deepEqual(await codes(later), Array(5).fill('disposed'));
  assert.equal(bert.tokenizer.encode('hello').tokens[1], 'hello', 'the tokenizer is its own');
});

test('a process with an idle model ends by itself', async () => {
  const code = `import { load } from 'bertlens';
    const bert = await load(process.argv[1], { onProgress: () => {} });
    await bert.encode('a');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code, tiny], { cwd: project.folder });
  const status = await new Promise((done) => child.once('exit', done));
  assert.equal(status, 0);
});
