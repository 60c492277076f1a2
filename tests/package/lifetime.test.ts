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
let inPlace: typeof BertlensSync;
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
  inPlace = (await import(pathToFileURL(path.join(dist, 'sync.js')).href)) as typeof BertlensSync;
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

test('a long list is embedded in parts: the heap does not grow, others are let in, and the vectors are the same', async () => {
  for (const load of [worker.load, inPlace.load]) {
    const bert = await load(tiny, { build: 'simd' });
    await bert.encode(many(510)); // what the model works with at most
    const before_ = (await bert.memory()).heapBytes;
    const texts = Array.from({ length: 6000 }, (_, i) => `text ${i % 1000}`);
    texts[150] = many(400);
    const order: string[] = [];
    const embedding = Promise.resolve(bert.embed(texts)).finally(() => order.push('embed'));
    await Promise.resolve(bert.encode('other')).finally(() => order.push('encode'));
    const { shape, data } = await embedding;
    const hidden = bert.info.config.hiddenSize;
    assert.deepEqual(shape, [texts.length, hidden]);
    assert.ok((await bert.memory()).heapBytes - before_ <= 2 ** 20, 'the heap has grown');
    if (load === worker.load) assert.deepEqual(order, ['encode', 'embed']);
    for (const i of [0, 127, 128, 149, 150, 151, 4321, 5999]) {
      assert.deepEqual(data.subarray(i * hidden, (i + 1) * hidden), await bert.embed(texts[i]!), String(i));
    }
    assert.deepEqual((await bert.embed([])).shape, [0, hidden]);
    const call = async (): Promise<unknown> => await bert.embed([...texts, many(600)]);
    await assert.rejects(call, { code: 'too_long', message: /^texts\[6000\]: / });
    await bert.dispose();
  }
});

test('a long embedding is aborted between its parts, and ends with the model', async () => {
  const bert = await worker.load(tiny, { build: 'simd' });
  const texts = Array.from({ length: 6000 }, () => many(20));
  const controller = new AbortController();
  const embedding = bert.embed(texts, { signal: controller.signal });
  await bert.encode('other');
  controller.abort();
  await assert.rejects(embedding, { code: 'aborted' });
  const calls = [bert.embed(texts), bert.encode('other')];
  const settled = codes(calls);
  await calls[1];
  await bert.dispose();
  assert.deepEqual(await settled, ['disposed', 'fulfilled']);
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
