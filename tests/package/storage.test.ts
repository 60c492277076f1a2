// What the browser keeps, and what a load does where something hangs: the packed package in Chromium, its model on a server
// of another origin.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import { chromium, type Browser, type Page } from 'playwright-core';

import { retry } from '../support/browsers/index.ts';
import { serveModel, type Answer, type ModelServer } from './model-server.ts';
import { serve } from './server.ts';
import { installed, makeModels } from './support.ts';

let project: ReturnType<typeof installed>;
let tiny: string;
let site: Awaited<ReturnType<typeof serve>>;
let browser: Browser;
before(async () => {
  project = installed();
  tiny = path.join(makeModels(project.folder), 'tiny');
  site = await serve(project.folder, { policy: "script-src 'self' 'wasm-unsafe-eval'" });
  browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  });
});
after(async () => {
  await browser.close();
  await site.close();
  project.finish();
});

let page: Page;
beforeEach(async () => {
  page = await (await browser.newContext()).newPage();
  await page.goto(`${site.address}/package.json`);
});
afterEach(async () => {
  await page.context().close();
});

/** How a load went: by file where its bytes came from, or the error. */
interface Loaded {
  readonly sources?: Readonly<Record<string, string>>;
  /** Of each file's events: the totals that were told before its end. */
  readonly totals?: Readonly<Record<string, readonly (number | undefined)[]>>;
  readonly code?: string;
  readonly message?: string;
  /** Milliseconds. */
  readonly took: number;
}

type Entry = 'index' | 'sync' | 'tokenizer';

/** Loads from `address` in the page; aborts after `abortAfter` milliseconds. */
async function load(
  address: string,
  options: { integrity?: Record<string, string>; headers?: Record<string, string>; cache?: boolean } = {},
  entry: Entry = 'index',
  abortAfter?: number,
): Promise<Loaded> {
  const loading = page.evaluate(
    async ([address, options, entry, abortAfter]) => {
      const started = performance.now();
      const took = (): number => performance.now() - started;
      try {
        const controller = new AbortController();
        if (abortAfter !== null) {
          setTimeout(() => {
            controller.abort();
          }, abortAfter);
        }
        const { signal } = controller;
        const { load, loadTokenizer } = (await import(
          `/node_modules/bertlens/dist/${entry}.js`
        )) as typeof import('bertlens') & typeof import('bertlens/tokenizer');
        if (entry === 'tokenizer') {
          await loadTokenizer(address, { signal });
          return { took: took() };
        }
        const sources: Record<string, string> = {};
        const totals: Record<string, (number | undefined)[]> = {};
        const files = ['config.json', 'tokenizer_config.json', 'vocab.txt', 'model.safetensors'];
        const bert = await load(address, {
          files,
          ...options,
          signal,
          onProgress: ({ file, source, loaded, total }) => {
            sources[file] = source;
            (totals[file] ??= []).push(loaded === total ? undefined : total);
          },
        });
        const { masks } = await bert.fillMask('[MASK]');
        await bert.dispose();
        if (masks.length !== 1) throw new Error('the model does not work');
        return { sources, totals, took: took() };
      } catch (error) {
        const { code, message } = error as import('bertlens').BertlensError;
        return { code, message, took: took() };
      }
    },
    [address, options, entry, abortAfter ?? null] as const,
  );
  const hanging = new Promise<Loaded>((done) => {
    setTimeout(() => {
      done({ code: 'hangs', took: Infinity });
    }, 60_000).unref();
  });
  return await Promise.race([loading, hanging]);
}

/** Sizes of the stored files by name. */
async function storedSizes(): Promise<Record<string, number>> {
  return await page.evaluate(async () => {
    const entry = '/node_modules/bertlens/dist/index.js';
    const { listStored } = (await import(entry)) as typeof import('bertlens');
    return Object.fromEntries((await listStored()).map(({ url, size }) => [url.split('/').at(-1)!, size]));
  });
}

/** Spoils a stored file: it cannot be read to its end, a byte is another one, or its end is missing. */
async function damage(file: string, how: 'break' | 'change' | 'cut'): Promise<void> {
  await page.evaluate(
    async ([file, how]) => {
      if (how === 'break') {
        type Match = (this: Cache, url: unknown) => Promise<Response | undefined>;
        const { match } = Cache.prototype as { match: Match };
        // storage that cannot be read gives an error in the middle
        Cache.prototype.match = async function (url: unknown) {
          const found = await match.call(this, url);
          if (!found || !(url as URL).href.endsWith(file)) return found;
          const body = new ReadableStream({
            pull(stream) {
              stream.error(new TypeError('a broken disk'));
            },
          });
          return new Response(body, { headers: found.headers });
        };
        return;
      }
      const store = await caches.open('bertlens-models-1');
      for (const request of await store.keys()) {
        if (!request.url.endsWith(file)) continue;
        const kept = (await store.match(request))!;
        const bytes = new Uint8Array(await kept.arrayBuffer());
        if (how === 'change') bytes[bytes.length - 1]! ^= 1;
        const body = how === 'cut' ? bytes.subarray(0, bytes.length - 100) : bytes;
        await store.put(request, new Response(body, { headers: kept.headers }));
      }
    },
    [file, how] as const,
  );
}

const names = ['config.json', 'tokenizer_config.json', 'vocab.txt', 'model.safetensors'];
const open = { 'Access-Control-Allow-Origin': '*', 'Cache-Control': 'no-store' };
const dated = { ...open, 'Last-Modified': 'Wed, 01 Jan 2025 00:00:00 GMT' };

/** Runs `body` with a server of another origin; `answers` go before an answer that is open to all pages. */
async function served(
  answers: Readonly<Record<string, readonly Answer[]>>,
  body: (server: ModelServer) => Promise<void>,
  usual: Answer = { headers: dated },
): Promise<void> {
  const all = Object.fromEntries(names.map((name) => [name, [...(answers[name] ?? []), usual]]));
  const server = await serveModel(tiny, all);
  try {
    await body(server);
  } finally {
    await server.close();
  }
}

function loadedFrom({ sources, message }: Loaded, source: 'network' | 'cache', but: string[] = []): void {
  const other = source === 'cache' ? 'network' : 'cache';
  const expected = Object.fromEntries(names.map((name) => [name, but.includes(name) ? other : source]));
  assert.deepEqual(sources, expected, message);
}

const methods = ({ asked }: ModelServer, file: string): string =>
  asked
    .filter(({ path: name }) => name.endsWith(file))
    .map(({ method }) => method)
    .join();

test('files that another origin compresses load again and again, and their sizes are true', async () => {
  // compressed, this file is larger than it is
  const small = Buffer.from('{"do_lower_case": true}');
  const config: Answer = { gzip: true, headers: dated, body: small };
  const answers = { 'tokenizer_config.json': [config, config, config, config, config, config] };
  await served(
    answers,
    async (server) => {
      const first = await load(server.address);
      loadedFrom(first, 'network');
      for (const totals of Object.values(first.totals!)) {
        const wrong = totals.filter((total) => total !== undefined && total < small.length);
        assert.deepEqual(wrong, []);
      }
      for (let i = 0; i < 2; i++) loadedFrom(await load(server.address), 'cache');
      const sizes = await storedSizes();
      assert.equal(sizes['tokenizer_config.json'], small.length);
      for (const name of ['config.json', 'vocab.txt', 'model.safetensors']) {
        assert.equal(sizes[name], statSync(path.join(tiny, name)).size, name);
      }
    },
    { gzip: true, headers: dated },
  );
});

test('a stored file is used only while the server has the same, or cannot say', async () => {
  const file = 'vocab.txt';
  const changed = { headers: { ...open, 'Last-Modified': 'Thu, 02 Jan 2025 00:00:00 GMT' } };
  const body = new Uint8Array();
  // what is asked and answered after a first load, and whether the file is then fetched again
  const cases: readonly [string, readonly Answer[], boolean][] = [
    ['the same', [{ headers: dated }], false],
    ['another version', [changed, changed], true],
    ['no version', [{ etag: null, headers: open }], true],
    ['no HEAD', [{ status: 405, headers: open, body }], true],
    ['not for everyone any more', [{ status: 403, headers: open, body }], true],
    ['busy', [{ status: 503, headers: open, body }], false],
    ['too many requests', [{ status: 429, headers: open, body }], false],
    ['no answer at all', [{ stall: 0, headers: open }], false],
  ];
  for (const [what, answers, again] of cases) {
    await served({ [file]: [{ headers: dated }, ...answers] }, async (server) => {
      loadedFrom(await load(server.address), 'network');
      const second = await load(server.address);
      loadedFrom(second, 'cache', again ? [file] : []);
      assert.equal(methods(server, file), again ? 'GET,HEAD,GET' : 'GET,HEAD', what);
      assert.ok(second.took < 30_000, what);
    });
  }
});

test('headers go to another origin that allows them, also with the question whether a file is the same', async () => {
  const headers = { ...dated, 'Access-Control-Allow-Headers': 'authorization' };
  await served(
    {},
    async (server) => {
      const options = { headers: { Authorization: 'Bearer hf_secret' } };
      loadedFrom(await load(server.address, options), 'network');
      loadedFrom(await load(server.address, options), 'cache');
      const asked = server.asked.filter(({ method }) => method !== 'OPTIONS');
      assert.equal(asked.filter(({ method }) => method === 'HEAD').length, names.length);
      assert.deepEqual(
        new Set(asked.map(({ authorization }) => authorization)),
        new Set([options.headers.Authorization]),
      );
    },
    { headers },
  );
});

test('a file that is gone from the server is no longer stored', async () => {
  const gone = { status: 404, headers: open, body: new Uint8Array() };
  await served({ 'vocab.txt': [{ headers: dated }, gone, gone] }, async (server) => {
    loadedFrom(await load(server.address), 'network');
    const { code, message } = await load(server.address);
    assert.equal(code, 'not_found', message);
    assert.ok(!('vocab.txt' in (await storedSizes())));
  });
});

test('a stored file that is damaged is fetched again, and without the server it is named', async () => {
  const sums = (file: string): Record<string, string> => ({
    [file]: createHash('sha256')
      .update(readFileSync(path.join(tiny, file)))
      .digest('hex'),
  });
  for (const entry of ['index', 'sync'] as const) {
    for (const [file, how, integrity] of [
      ['model.safetensors', 'break', {}],
      ['model.safetensors', 'cut', {}],
      ['model.safetensors', 'change', sums('model.safetensors')],
      ['vocab.txt', 'break', {}],
      ['vocab.txt', 'change', sums('vocab.txt')],
    ] as const) {
      if (how === 'break' && entry === 'index') continue; // its worker has a Cache of its own
      await served({}, async (server) => {
        loadedFrom(await load(server.address, { integrity }, entry), 'network');
        loadedFrom(await load(server.address, { integrity }, entry), 'cache');
        await damage(file, how);
        // it begins once more, and takes nothing that is stored
        loadedFrom(await load(server.address, { integrity }, entry), 'network');
        if (how === 'break') {
          await server.close();
          const { code, message } = await load(server.address, { integrity }, entry);
          assert.equal(code, 'io');
          assert.match(message!, new RegExp(`cannot use ${file} as it is stored: a broken disk`));
        } else {
          loadedFrom(await load(server.address, { integrity }, entry), 'cache');
        }
      });
      await page.reload();
    }
  }
});

test('a load is aborted at once while a .wasm does not come, and its worker ends', async () => {
  for (const [entry, hanging] of [
    ['index', 'tokenizer.wasm'],
    ['index', 'engine-relaxed.wasm'],
    ['sync', 'tokenizer.wasm'],
    ['sync', 'engine-relaxed.wasm'],
    ['tokenizer', 'tokenizer.wasm'],
  ] as const) {
    await page.reload();
    let asked = false;
    await page.context().route(`**/${hanging}`, () => void (asked = true));
    await served({}, async (server) => {
      const address = entry === 'tokenizer' ? `${server.address}vocab.txt` : server.address;
      const { code, took } = await load(address, { cache: false }, entry, 1500);
      assert.ok(asked, hanging);
      assert.equal(code, 'aborted', `${entry}, ${hanging}`);
      assert.ok(took < 15_000, `${entry}, ${hanging}: ${took} ms`);
      const ended = (): Promise<boolean> => Promise.resolve(page.workers().length === 0);
      await retry(`the end of the worker, ${hanging}`, ended, 5000);
    });
    await page.context().unroute(`**/${hanging}`);
  }
});

test("the tokenizer's WebAssembly is asked for before the weights have come", async () => {
  const stalled = { stall: 100, headers: dated };
  await served({ 'model.safetensors': [stalled, stalled] }, async (server) => {
    for (const entry of ['index', 'sync'] as const) {
      await page.reload();
      const asked: string[] = [];
      page.on('request', (request) => asked.push(request.url()));
      const { code } = await load(server.address, { cache: false }, entry, 1500);
      assert.equal(code, 'aborted');
      assert.ok(
        asked.some((url) => url.endsWith('tokenizer.wasm')),
        entry,
      );
    }
  });
});
