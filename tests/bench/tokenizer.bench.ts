// Tokenizers side by side: ours natively beside npm `tokenizers` (the Rust package), ours in WebAssembly beside
// @huggingface/tokenizers and @huggingface/transformers (JavaScript) in Chromium. Runs alternate; medians are printed. No
// speed is reported unless the ids of both are equal.
//   ./run bench tokenizer [--bytes 1000000] [--rounds 5] [--no-web]
// Text: English from the shared corpus beside the checkout, else made from the vocabulary; as lines and as 4 KB documents.
import { execFileSync } from 'node:child_process';
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { Driver } from '../parity/tokenizer-driver.ts';
import { reference, tokenizerJson } from '../parity/tokenizer-reference.ts';
import { random } from '../parity/tokenizer-texts.ts';
import { driverPath, root, sharedPath, vocabPath } from '../support/paths.ts';

const { values } = parseArgs({
  options: {
    bytes: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '5' },
    'no-web': { type: 'boolean', default: false },
  },
});
const bytes = Number(values.bytes);
const rounds = Number(values.rounds);
const vocab = readFileSync(vocabPath, 'utf8').trimEnd().split('\n');

interface Texts {
  name: string;
  list: string[];
  bytes: number;
}
interface Run {
  ms: number;
  cpuMs: number;
  hash: number;
}
interface Engine {
  name: string;
  run: (texts: Texts) => Promise<Run>;
}

/** FNV-1a over all ids, as tokenizer_driver computes it. */
function hashIds(hash: number, ids: ArrayLike<number>): number {
  for (let i = 0; i < ids.length; i++) {
    hash = Math.imul(hash ^ (ids[i]! & 255), 16777619);
    hash = Math.imul(hash ^ (ids[i]! >>> 8), 16777619);
  }
  return hash;
}
const emptyHash = 2166136261 | 0;

function english(): { lines: string[]; source: string } {
  const part = sharedPath('data/corpus/train-0.txt.xz');
  if (existsSync(part)) {
    const head = execFileSync('sh', ['-c', `xz -dc "$0" 2> /dev/null | head -c ${bytes}`, part], {
      maxBuffer: 1 << 28,
    });
    const lines = head.toString().split('\n').slice(0, -1);
    return { lines: lines.filter(Boolean), source: 'English Wikipedia and books' };
  }
  const words = vocab.filter((token) => /^[a-z]+$/.test(token));
  const next = random(1);
  const lines: string[] = [];
  for (let size = 0; size < bytes; size += lines.at(-1)!.length) {
    const line = Array.from(
      { length: 8 + Math.floor(next() * 20) },
      () => words[Math.floor(next() ** 3 * words.length)]!,
    );
    lines.push(`${line.join(' ')}.`);
  }
  return { lines, source: 'words of the vocabulary, frequent ones first' };
}

function measured(name: string, list: string[]): Texts {
  return { name, list, bytes: list.reduce((sum, text) => sum + Buffer.byteLength(text), 0) };
}

const { lines, source } = english();
const documents: string[] = [];
for (let i = 0, text = ''; i < lines.length; i++) {
  text += `${lines[i]!} `;
  if (text.length > 4000 || i === lines.length - 1) {
    documents.push(text);
    text = '';
  }
}
const corpora = [measured('lines', lines), measured('4 KB documents', documents)];

const median = (list: number[]): number => {
  const sorted = list.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

/** Runs all engines in turn, each round beginning with another one, and prints a table. The first engine is ours. */
async function compare(title: string, texts: Texts, engines: Engine[]): Promise<void> {
  const runs = engines.map((): Run[] => []);
  for (const engine of engines) await engine.run(texts); // warm
  for (let round = 0; round < rounds; round++)
    for (let k = 0; k < engines.length; k++) {
      const i = (round + k) % engines.length;
      runs[i]!.push(await engines[i]!.run(texts));
    }
  const hashes = new Set(runs.flat().map((run) => run.hash));
  if (hashes.size !== 1) throw new Error(`${title}, ${texts.name}: the ids differ, so no speed is reported`);
  const speed = (list: Run[], of: (run: Run) => number): number => texts.bytes / 1e3 / median(list.map(of));
  for (const [i, engine] of engines.entries()) {
    const list = runs[i]!;
    const ratios = list.map((run, round) => run.ms / runs[0]![round]!.ms);
    const cpu = list.some((run) => run.cpuMs > 0) ? speed(list, (run) => run.cpuMs).toFixed(1) : '';
    const ratio = i === 0 ? '' : `${median(ratios).toFixed(1)} x`;
    console.log(
      `| ${title} | ${texts.name} | ${engine.name} | ${speed(list, (run) => run.ms).toFixed(1)} | ${cpu} | ${ratio} |`,
    );
  }
}

/** Ours in the driver: the time of the work, without the pipe. */
function ours(driver: Driver, threads: number): Engine {
  const name =
    threads === 0
      ? 'bertlens, one call a text'
      : `bertlens, batch, ${threads} thread${threads > 1 ? 's' : ''}`;
  return {
    name,
    run: async (texts) => {
      const { ms, cpu_ms: cpu, hash } = await driver.time(texts.list, 1, threads);
      return { ms: ms[0]!, cpuMs: cpu[0]!, hash: hash | 0 };
    },
  };
}
function rust(batch: number): Engine {
  const tokenizer = reference(tokenizerJson(vocab));
  return {
    name: `tokenizers (Rust), ${batch === 1 ? 'one call a text' : `batches of ${batch}`}`,
    run: async ({ list }) => {
      const cpu = process.cpuUsage();
      const start = performance.now();
      const ids: number[][] = [];
      if (batch === 1) for (const text of list) ids.push((await tokenizer.encode(text)).getIds());
      else
        for (let i = 0; i < list.length; i += batch)
          for (const row of await tokenizer.encodeBatch(list.slice(i, i + batch))) ids.push(row.getIds());
      const ms = performance.now() - start;
      const used = process.cpuUsage(cpu);
      return { ms, cpuMs: (used.user + used.system) / 1000, hash: ids.reduce(hashIds, emptyHash) };
    },
  };
}

async function native(): Promise<void> {
  const driver = new Driver(driverPath);
  const loaded = await driver.load({ vocab: vocabPath });
  if (loaded.error !== undefined) throw new Error(loaded.error);
  for (const texts of corpora) {
    process.env['TOKENIZERS_PARALLELISM'] = 'false';
    await compare('native, 1 thread', texts, [ours(driver, 0), rust(1)]);
    await compare('native, 1 thread', texts, [ours(driver, 1), rust(64)]);
    process.env['TOKENIZERS_PARALLELISM'] = 'true';
    const cores = cpus().length;
    await compare(`native, ${cores} threads`, texts, [ours(driver, cores), rust(64)]);
  }
  await driver.close();
}

const page = `
import { Tokenizer } from '@huggingface/tokenizers';
import { AutoTokenizer, env } from '@huggingface/transformers';
env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = '/model/';
const json = async (name) => (await fetch('/model/bert/' + name)).json();
const { loadTokenizer } = await import('/package/tokenizer.js');
const bertlens = await loadTokenizer('/model/bert/');
const js = new Tokenizer(await json('tokenizer.json'), await json('tokenizer_config.json'));
const transformers = await AutoTokenizer.from_pretrained('bert');
const encoders = {
  bertlens: (text) => bertlens.encode(text).inputIds,
  tokenizers: (text) => js.encode(text).ids,
  transformers: (text) => transformers.encode(text),
};
const emptyHash = 2166136261 | 0;
${hashIds.toString()}
globalThis.run = (name, list) => {
  const encode = encoders[name];
  const ids = [];
  const start = performance.now();
  if (encode) for (const text of list) ids.push(encode(text));
  else for (const row of bertlens.encode(list)) ids.push(row.inputIds);
  const ms = performance.now() - start;
  return { ms, cpuMs: 0, hash: ids.reduce(hashIds, emptyHash) };
};
globalThis.ready = true;
`;

async function serve(folder: string): Promise<Server> {
  const types: Record<string, string> = {
    '.html': 'text/html',
    '.js': 'text/javascript',
    '.json': 'application/json',
    '.wasm': 'application/wasm',
  };
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    const file = path.startsWith('/package/') ? join(root, 'wasm/dist', path.slice(9)) : join(folder, path);
    if (!existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': types[extname(file)] ?? 'text/plain' });
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

async function web(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'bertlens-bench-'));
  const write = (name: string, content: string): void => {
    writeFileSync(join(folder, name), content);
  };
  execFileSync('mkdir', ['-p', join(folder, 'model/bert')]);
  write('model/bert/tokenizer.json', tokenizerJson(vocab));
  const config = { do_lower_case: true, model_max_length: 512, tokenizer_class: 'BertTokenizer' };
  write('model/bert/tokenizer_config.json', JSON.stringify(config));
  write('index.html', '<!doctype html><title>bench</title><script type="module" src="/page.js"></script>');
  await build({
    stdin: { contents: page, resolveDir: join(root, 'tests/bench') },
    outfile: join(folder, 'page.js'),
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    external: ['/package/*'],
    logLevel: 'error',
  });
  const server = await serve(folder);
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
    ],
  });
  try {
    const tab = await browser.newPage();
    tab.on('pageerror', (error) => {
      console.error(String(error));
    });
    await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/index.html`);
    await tab.waitForFunction('globalThis.ready === true', undefined, { timeout: 120000 });
    const engine = (name: string, shown: string): Engine => ({
      name: shown,
      run: ({ list }) =>
        tab.evaluate(
          ([which, texts]) => {
            const scope = globalThis as unknown as { run: (name: string, texts: string[]) => Run };
            return scope.run(which, texts);
          },
          [name, list] as [string, string[]],
        ),
    });
    for (const texts of corpora)
      await compare(`Chromium ${browser.version().split('.')[0]!}`, texts, [
        engine('bertlens', 'bertlens (WebAssembly), one call a text'),
        engine('batch', 'bertlens (WebAssembly), batch'),
        engine('tokenizers', '@huggingface/tokenizers (JavaScript)'),
        engine('transformers', '@huggingface/transformers (JavaScript)'),
      ]);
  } finally {
    await browser.close();
    server.close();
    rmSync(folder, { recursive: true });
  }
}

const processor = cpus()[0]?.model ?? 'unknown processor';
console.log(
  `${processor}, ${cpus().length} cores, Node ${process.version}; ${source}, ${corpora[0]!.bytes} bytes;`,
);
console.log(`median of ${rounds} rounds; ratio: median over rounds of the other's time by ours\n`);
console.log('| | text | engine | MB/s | MB/s by processor time | ratio |\n|---|---|---|---:|---:|---:|');
await native();
if (!values['no-web']) await web();
