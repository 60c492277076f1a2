// ./run bench engine [--sizes mini,base] [--precisions f32,int8] [--threads 1,2] [--rounds N] [--quick]: the native engine
// beside onnxruntime-node on the same random weights, in turn (A B A B ...), medians and ratios. A row is only printed where
// both gave the numbers of f32 arithmetic: see bounds.
//   ratio         median over the rounds of the peer's time over ours within the round
//   ratio by cpu  the same of processor time: with one thread it stands for the time on a quiet machine
//   of peak       share of the core's own limit that is reached, by processor time, with one thread: see peak.h. Each round
//                 measures the limit anew, because a shared machine does not give the same at all times
//   by threads    how many times as fast as with one thread, within the round: ours, the peer's
import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';

import {
  build,
  here,
  inputs,
  largestDifference,
  makeModels,
  median,
  operations,
  printTable,
  readOptions,
} from './common.ts';

const options = readOptions();
const { rounds } = options;

interface Reply {
  error?: string;
  load_ms?: number;
  peak_mb: number;
  ms: number[];
  cpu_ms: number[];
  hidden?: number[][];
  logits?: number[][];
  kernels?: string;
  f32?: number;
  int8?: number;
}

class Engine {
  readonly process: ChildProcess;
  private waiting: ((reply: Reply) => void)[] = [];

  constructor(command: string[]) {
    this.process = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'], cwd: here });
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      this.waiting.shift()?.(JSON.parse(line) as Reply);
    });
    this.process.on('exit', (code) => {
      for (const waiting of this.waiting)
        waiting({ error: `exit status ${code}`, peak_mb: 0, ms: [], cpu_ms: [] });
    });
  }
  async ask(request: object): Promise<Reply> {
    const reply = await new Promise<Reply>((resolve) => {
      this.waiting.push(resolve);
      this.process.stdin!.write(`${JSON.stringify(request)}\n`);
    });
    if (reply.error !== undefined) throw new Error(reply.error);
    return reply;
  }
  close(): void {
    this.process.stdin!.end();
  }
}

interface Case {
  name: string;
  lengths: number[];
  /** Padded to this many tokens; default: to the longest. */
  tokens?: number;
  /** Ask for the vocabulary logits at this token of the first sequence instead of hidden states. */
  mlm?: number;
}
// the two padded batches are the notebook's: 41 real tokens, padded to the longest and to 64
const padded = [20, 9, 7, 5];
const cases: Case[] = [
  { name: '1 x 16', lengths: [16] },
  { name: '1 x 128', lengths: [128] },
  { name: '8 x 128', lengths: Array<number>(8).fill(128) },
  { name: '4 x 20, 49 % padding', lengths: padded },
  { name: '4 x 64, 84 % padding', lengths: padded, tokens: 64 },
  { name: 'fill-mask, 1 x 16', lengths: [16], mlm: 7 },
];
if (!options.quick) cases.splice(2, 0, { name: '1 x 512', lengths: [512] });

/**
 * How far an engine's first hidden states or logits may be from those of our f32 engine. Int8 engines round each in its own
 * way, so each is held to that, not to the other; the peer rounds the inputs of a layer with one step for all rows.
 */
const bounds = {
  f32: { ours: 0, peer: 2e-4 },
  int8: { ours: 0.4, peer: 1 },
};

const heading = [
  'model',
  'input',
  'threads',
  'bertlens',
  'onnxruntime-node',
  'ratio',
  'ratio by cpu',
  'GFLOP/s',
  'of peak',
  'by threads',
];
const rows: string[][] = [];
let failed = false;
const engine = (): Engine => new Engine([path.join(build, 'tests/bench/engine_server')]);
const onnxruntime = (): Engine => new Engine([process.execPath, 'onnx-server.js']);

const requestOf = (one: Case): object => ({
  op: 'run',
  ...inputs(one.lengths, one.tokens),
  mlm: one.mlm === undefined ? [] : [[0, one.mlm]],
});
const valuesOf = (reply: Reply): number[][] => (reply.hidden ?? reply.logits)!;

for (const size of options.sizes) {
  const folder = makeModels(size);
  const exact = new Map<Case, number[][]>();
  const plain = engine();
  await plain.ask({ op: 'load', precision: 'f32', folder, threads: 1 });
  for (const one of cases) exact.set(one, valuesOf(await plain.ask({ ...requestOf(one), runs: 1 })));
  plain.close();
  for (const precision of options.precisions) {
    const model = `${size} ${precision}`;
    for (const threads of options.threads) {
      for (const head of ['hidden', 'mlm']) {
        const chosen = cases.filter((one) => (one.mlm === undefined) === (head === 'hidden'));
        const ourFolder = precision === 'int8' ? path.join(folder, 'int8') : folder;
        const ours = engine();
        const peer = onnxruntime();
        // the same with one thread, to compare with
        const alone = threads > 1 ? { ours: engine(), peer: onnxruntime() } : undefined;
        const load = { op: 'load', precision, head };
        const loaded = await ours.ask({ ...load, folder: ourFolder, threads });
        const peerLoaded = await peer.ask({ ...load, folder, threads });
        await alone?.ours.ask({ ...load, folder: ourFolder, threads: 1 });
        await alone?.peer.ask({ ...load, folder, threads: 1 });
        if (head === 'hidden') {
          console.error(`${model}: ${loaded.kernels}`);
          rows.push([
            model,
            'load',
            String(threads),
            `${loaded.load_ms!.toFixed(0)} ms, ${loaded.peak_mb.toFixed(0)} MB`,
            `${peerLoaded.load_ms!.toFixed(0)} ms, ${peerLoaded.peak_mb.toFixed(0)} MB`,
            (peerLoaded.load_ms! / loaded.load_ms!).toFixed(2),
            ...['', '', '', ''],
          ]);
          console.error(rows.at(-1)!.join('  '));
        }
        for (const one of chosen) {
          const request = requestOf(one);
          const a = await ours.ask({ ...request, runs: 1 });
          const b = await peer.ask({ ...request, runs: 1 });
          const [off, peerOff] = [a, b].map((reply) => largestDifference(valuesOf(reply), exact.get(one)!));
          if (!(off! <= bounds[precision].ours && peerOff! <= bounds[precision].peer)) {
            console.error(
              `${model} ${one.name}: off by ${off}, onnxruntime-node by ${peerOff}: no speed reported`,
            );
            failed = true;
            continue;
          }
          const runs = Math.max(1, Math.min(20, Math.round(400 / Math.max(a.ms[0]!, b.ms[0]!))));
          const work = operations(size, one.lengths);
          const times = {
            ours: [] as number[],
            peer: [] as number[],
            ratio: [] as number[],
            cpu: [] as number[],
            share: [] as number[],
            ourThreads: [] as number[],
            peerThreads: [] as number[],
          };
          for (let round = 0; round < rounds; round++) {
            const mine = await ours.ask({ ...request, runs });
            const theirs = await peer.ask({ ...request, runs });
            times.ours.push(median(mine.ms));
            times.peer.push(median(theirs.ms));
            times.ratio.push(median(theirs.ms) / median(mine.ms));
            times.cpu.push(median(theirs.cpu_ms) / median(mine.cpu_ms));
            if (alone === undefined) {
              const peak = await ours.ask({ op: 'peak' });
              times.share.push(work / median(mine.cpu_ms) / 1e6 / peak[precision]!);
            } else {
              const mineAlone = await alone.ours.ask({ ...request, runs });
              const theirsAlone = await alone.peer.ask({ ...request, runs });
              times.ourThreads.push(median(mineAlone.ms) / median(mine.ms));
              times.peerThreads.push(median(theirsAlone.ms) / median(theirs.ms));
            }
          }
          const counted = one.mlm === undefined;
          rows.push([
            model,
            one.name,
            String(threads),
            `${median(times.ours).toFixed(2)} ms`,
            `${median(times.peer).toFixed(2)} ms`,
            median(times.ratio).toFixed(2),
            median(times.cpu).toFixed(2),
            counted ? (work / median(times.ours) / 1e6).toFixed(0) : '',
            counted && threads === 1 ? `${(100 * median(times.share)).toFixed(0)} %` : '',
            threads > 1
              ? `${median(times.ourThreads).toFixed(2)}, ${median(times.peerThreads).toFixed(2)}`
              : '',
          ]);
          console.error(rows.at(-1)!.join('  '));
        }
        for (const server of [ours, peer, alone?.ours, alone?.peer]) server?.close();
      }
    }
  }
}

printTable(rounds, heading, rows);
process.exitCode = failed ? 1 : 0;
