// ./run bench web [--sizes mini,base] [--precisions f32,int8] [--threads 1,2] [--peers NAME,...] [--rounds N] [--quick]
// The npm package in headless Chromium beside onnxruntime-web and transformers.js on the same random weights, in turn
// (A B C A B C ...), each in a browser of its own. A row is only printed where all gave the same numbers.
//   ratio      median over the rounds of the peer's time over ours within the round
//   cpu        the same of the browser's processor time: with one thread it stands for the time on a quiet machine
// Loading and the first answer are measured from navigation on: the files in the HTTP cache, nothing compiled yet.
import { readFileSync, readdirSync } from 'node:fs';

import { chromium, type Browser, type BrowserServer, type Page } from 'playwright-core';

import {
  inputs,
  largestDifference,
  makeModels,
  median,
  operations,
  printTable,
  readOptions,
  tolerance,
  type Inputs,
} from './common.ts';
import { serve } from './web-server.ts';

const options = readOptions(['onnxruntime-web', 'transformers']);
const { rounds } = options;
const engines = ['bertlens', ...options.peers];
const cases = [[16], [128], [512], Array<number>(8).fill(128)].filter(
  (lengths) => !options.quick || lengths[0] !== 512,
);
const nameOf = (lengths: readonly number[]): string => `${lengths.length} x ${lengths[0]!}`;

interface Setting {
  size: string;
  precision: string;
  threads: number;
}
interface Answer {
  ms: number[];
  hidden: number[][];
}
/** The module of an engine in tests/bench/web. */
interface Adapter {
  load(setting: Setting): Promise<string>;
  run(request: Inputs & { runs: number }): Promise<Answer>;
  heap(): Promise<number>;
}

/** Milliseconds of processor time that a process and all below it have used. */
function processorTime(root: number): number {
  const parents = new Map<number, { parent: number; ticks: number }>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const fields = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ')[1]!.split(' ');
      parents.set(Number(name), {
        parent: Number(fields[1]),
        ticks: Number(fields[11]) + Number(fields[12]),
      });
    } catch {
      // it has ended meanwhile
    }
  }
  const below = (process: number | undefined): boolean =>
    process !== undefined && (process === root || below(parents.get(process)?.parent));
  let ticks = 0;
  for (const [process, { ticks: own }] of parents) if (below(process)) ticks += own;
  return ticks * 10;
}

const server = await serve();

/** One engine in a browser of its own. */
class Engine {
  readonly name: string;
  private process: BrowserServer | undefined;
  private browser: Browser | undefined;
  private page: Page | undefined;

  constructor(name: string) {
    this.name = name;
  }

  private async open(): Promise<Page> {
    // V8's, such as --no-enable-avx-vnni: what a processor without that instruction would take
    const flags = process.env['BERTLENS_JS_FLAGS'];
    this.process ??= await chromium.launchServer({
      executablePath: process.env['BERTLENS_CHROMIUM'] ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--disable-background-networking',
        ...(flags === undefined ? [] : [`--js-flags=${flags}`]),
      ],
    });
    this.browser ??= await chromium.connect(this.process.wsEndpoint());
    await this.page?.context().close();
    this.page = await (await this.browser.newContext()).newPage();
    this.page.setDefaultTimeout(0);
    this.page.on('pageerror', (error) => {
      console.error(`${this.name}: ${error.message}`);
    });
    return this.page;
  }

  private call<Method extends keyof Adapter>(
    method: Method,
    argument?: Parameters<Adapter[Method]>[0],
  ): ReturnType<Adapter[Method]> {
    return this.page!.evaluate(
      async ([name, which, value]) => {
        const adapter = (await import(`/bench/${name}.js`)) as Record<string, (value: unknown) => unknown>;
        return adapter[which]!(value);
      },
      [this.name, method, argument] as [string, string, unknown],
    ) as ReturnType<Adapter[Method]>;
  }

  /** Opens a new page with the model loaded. */
  async load(setting: Setting): Promise<string> {
    const page = await this.open();
    await page.goto(`${server.address}/bench/page.html`);
    return this.call('load', setting);
  }

  /** From navigation in a new page to the model loaded and to a first answer of 16 tokens, in ms. */
  async first(setting: Setting): Promise<{ loaded: number; answered: number }> {
    const page = await this.open();
    const urls = await urlsOf(this.name, setting);
    await page.goto(`${server.address}/bench/page.html`);
    await page.evaluate(async (list) => {
      for (const url of list) await (await fetch(url)).arrayBuffer();
    }, urls);
    await page.goto(`${server.address}/bench/page.html`);
    return page.evaluate(
      async ([name, value, request]) => {
        const adapter = (await import(`/bench/${name}.js`)) as Adapter;
        await adapter.load(value);
        const loaded = performance.now();
        await adapter.run(request);
        return { loaded, answered: performance.now() };
      },
      [this.name, setting, { ...inputs([16]), runs: 1 }] as const,
    );
  }

  /** The addresses that a load of this setting asks for. */
  async requested(setting: Setting): Promise<string[]> {
    const page = await this.open();
    const urls: string[] = [];
    page.context().on('request', (request) => {
      if (request.url().startsWith('http') && request.method() === 'GET') urls.push(request.url());
    });
    await page.goto(`${server.address}/bench/page.html`);
    await this.call('load', setting);
    await this.call('run', { ...inputs([16]), runs: 1 });
    return urls;
  }

  run(request: Inputs, runs: number): Promise<Answer> {
    return this.call('run', { ...request, runs });
  }

  heap(): Promise<number> {
    return this.call('heap');
  }

  /** Processor time of the browser so far. */
  cpu(): number {
    return processorTime(this.process!.process().pid!);
  }

  async close(): Promise<void> {
    await this.browser?.close();
    await this.process?.close();
    this.process = this.browser = this.page = undefined;
  }
}

const known = new Map<string, string[]>();
async function urlsOf(name: string, setting: Setting): Promise<string[]> {
  const key = JSON.stringify([name, setting]);
  const urls = known.get(key) ?? (await prober(name).requested(setting));
  known.set(key, urls);
  return urls;
}
const probers = new Map<string, Engine>();
function prober(name: string): Engine {
  const engine = probers.get(name) ?? new Engine(name);
  probers.set(name, engine);
  return engine;
}

const speeds: string[][] = [];
const loads: string[][] = [];
const wrong: string[] = [];
const peers = engines.slice(1);

/** Times all engines on one input; false where they disagree. */
async function measure(
  all: readonly Engine[],
  setting: Setting,
  lengths: readonly number[],
): Promise<number | undefined> {
  const request = inputs(lengths);
  const label = `${setting.size} ${setting.precision} ${nameOf(lengths)}`;
  const firsts: Answer[] = [];
  for (const engine of all) firsts.push(await engine.run(request, 1));
  for (const [at, answer] of firsts.entries()) {
    const difference = largestDifference(firsts[0]!.hidden, answer.hidden);
    if (difference <= tolerance(setting.precision)) continue;
    console.error(`${label}: ${all[at]!.name} differs by ${difference}: no speed reported`);
    wrong.push(label);
    return undefined;
  }
  // as long as it takes until the hot functions are compiled for speed
  const kWarm = 1500;
  const runs: number[] = [];
  for (const engine of all) {
    const [first] = (await engine.run(request, 1)).ms;
    const { ms } = await engine.run(request, Math.max(1, Math.ceil(kWarm / first!)));
    runs.push(Math.max(1, Math.min(100, Math.round(400 / median(ms)))));
  }
  const times = all.map(() => ({ ms: [] as number[], cpu: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    for (const [at, engine] of all.entries()) {
      const before = engine.cpu();
      const { ms } = await engine.run(request, runs[at]!);
      times[at]!.ms.push(median(ms));
      times[at]!.cpu.push((engine.cpu() - before) / runs[at]!);
    }
  }
  const ours = times[0]!;
  const ratio = (theirs: readonly number[], own: readonly number[]): string =>
    median(theirs.map((value, round) => value / own[round]!)).toFixed(2);
  speeds.push([
    `${setting.size} ${setting.precision}`,
    nameOf(lengths),
    String(setting.threads),
    median(ours.ms).toFixed(2),
    (operations(setting.size, lengths) / median(ours.ms) / 1e6).toFixed(0),
    ...times
      .slice(1)
      .flatMap(({ ms, cpu }) => [median(ms).toFixed(2), ratio(ms, ours.ms), ratio(cpu, ours.cpu)]),
  ]);
  console.error(speeds.at(-1)!.join('  '));
  return median(ours.ms);
}

for (const size of options.sizes) {
  makeModels(size);
  for (const precision of options.precisions) {
    const alone = new Map<string, number>();
    for (const threads of options.threads) {
      const setting = { size, precision, threads };
      const all = engines.map((name) => new Engine(name));
      for (const engine of all) console.error(`${size} ${precision}: ${await engine.load(setting)}`);
      for (const lengths of cases) {
        const ms = await measure(all, setting, lengths);
        const one = alone.get(nameOf(lengths));
        if (threads === 1 && ms !== undefined) alone.set(nameOf(lengths), ms);
        if (ms !== undefined) speeds.at(-1)!.push(one === undefined ? '' : (one / ms).toFixed(2));
      }
      if (threads === 1) {
        const heaps: number[] = [];
        for (const engine of all) heaps.push(await engine.heap());
        const starts = all.map(() => ({ loaded: [] as number[], answered: [] as number[] }));
        for (let round = 0; round < rounds; round++) {
          for (const [at, engine] of all.entries()) {
            const { loaded, answered } = await engine.first(setting);
            starts[at]!.loaded.push(loaded);
            starts[at]!.answered.push(answered);
          }
        }
        for (const [at, { loaded, answered }] of starts.entries()) {
          loads.push([
            `${size} ${precision}`,
            engines[at]!,
            median(loaded).toFixed(0),
            median(answered).toFixed(0),
            (median(answered) / median(starts[0]!.answered)).toFixed(2),
            (heaps[at]! / 1e6).toFixed(0),
          ]);
          console.error(loads.at(-1)!.join('  '));
        }
      }
      for (const engine of all) await engine.close();
    }
  }
}
for (const engine of probers.values()) await engine.close();
server.close();

const heading = ['model', 'input', 'threads', 'bertlens, ms', 'GFLOP/s'];
for (const peer of peers) heading.push(`${peer}, ms`, 'ratio', 'cpu');
printTable(rounds, [...heading, 'times one thread'], speeds);
console.log('');
printTable(
  rounds,
  ['model', 'engine', 'navigation to loaded, ms', 'to a first answer, ms', 'times bertlens', 'heap, MB'],
  loads,
);
process.exitCode = wrong.length > 0 ? 1 : 0;
