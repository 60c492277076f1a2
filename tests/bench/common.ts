// What the benchmarks share: seeded models with their ONNX twins, inputs, and how results are compared and summed up.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { cpus, homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { writeOnnx } from './onnx-model.ts';

export const here = path.dirname(fileURLToPath(import.meta.url));
export const root = path.join(here, '../..');
export const build = path.join(root, 'build/native');
const cacheHome = process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache');
export const models = path.join(process.env['BERTLENS_CACHE'] ?? path.join(cacheHome, 'bertlens'), 'bench');

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
};

/** Layers and hidden size of each size that make_checkpoint knows. */
const shapes: Record<string, [number, number]> = {
  tiny: [2, 128],
  mini: [4, 256],
  small: [4, 512],
  base: [12, 768],
};

export type Precision = 'f32' | 'int8';

/** What the engine benchmarks measure. */
export interface Options {
  sizes: string[];
  precisions: Precision[];
  threads: number[];
  /** Empty where a benchmark gives no choice. */
  peers: string[];
  rounds: number;
  /** Fewer rounds, and no long inputs. */
  quick: boolean;
}

/** Reads the command line's lists (`--sizes mini,base`). `peers`: those to choose from, all by default. */
export function readOptions(peers: readonly string[] = []): Options {
  const text = (value: string): { type: 'string'; default: string } => ({ type: 'string', default: value });
  const { values } = parseArgs({
    options: {
      sizes: text('mini,base'),
      precisions: text('f32,int8'),
      threads: text('1,2'),
      peers: text(peers.join(',')),
      rounds: text('5'),
      quick: { type: 'boolean', default: false },
    },
  });
  const some = <Name extends string>(
    option: 'sizes' | 'precisions' | 'peers',
    known: readonly Name[],
  ): Name[] =>
    values[option]
      .split(',')
      .filter(Boolean)
      .map((given) => {
        const name = known.find((one) => one === given);
        if (name === undefined)
          throw new Error(`--${option} ${given}: ${known.join(', ') || 'none'} can be had`);
        return name;
      });
  const count = (option: 'threads' | 'rounds', given: string): number => {
    if (/^[1-9]\d*$/.test(given)) return Number(given);
    throw new Error(`--${option} ${given}: whole numbers above 0`);
  };
  return {
    sizes: some('sizes', Object.keys(shapes)),
    precisions: some('precisions', ['f32', 'int8']),
    threads: values.threads.split(',').map((given) => count('threads', given)),
    peers: some('peers', peers),
    rounds: values.quick ? 3 : count('rounds', values.rounds),
    quick: values.quick,
  };
}

export interface Inputs {
  batch: number;
  tokens: number;
  ids: number[];
  mask: number[];
}

/** [CLS] x [SEP] of each length, padded to the longest or to `tokens`. */
export function inputs(lengths: readonly number[], tokens = Math.max(...lengths)): Inputs {
  const ids: number[] = [];
  const mask: number[] = [];
  let state = 12345;
  for (const length of lengths) {
    for (let t = 0; t < tokens; t++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      ids.push(t >= length ? 0 : t === 0 ? 101 : t === length - 1 ? 102 : 1000 + ((state >>> 8) % 29000));
      mask.push(t < length ? 1 : 0);
    }
  }
  return { batch: lengths.length, tokens, ids, mask };
}

/** The folder of a size's random weights; ours in int8 is in `int8`, the peers' are *.onnx. Made on first use. */
export function makeModels(size: string): string {
  const folder = path.join(models, size);
  if (existsSync(path.join(folder, 'mlm-int8.onnx'))) return folder;
  console.error(`making random weights and their ONNX twins: ${folder}`);
  mkdirSync(models, { recursive: true });
  const partial = `${folder}.partial`;
  rmSync(partial, { recursive: true, force: true });
  const tool = path.join(build, 'tests/support/make_checkpoint');
  const made = spawnSync(tool, ['--size', size, '--out', partial], { stdio: 'inherit' });
  if (made.status !== 0) throw new Error('make_checkpoint failed');
  const quantized = spawnSync(
    path.join(build, 'bertlens'),
    ['quantize', '--model', partial, '--out', path.join(partial, 'int8'), '--precision', 'int8'],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  if (quantized.status !== 0) throw new Error('bertlens quantize failed');
  for (const head of ['hidden', 'mlm'] as const) {
    for (const precision of ['f32', 'int8']) {
      writeOnnx(partial, path.join(partial, `${head}-${precision}.onnx`), head, precision === 'int8');
    }
  }
  rmSync(folder, { recursive: true, force: true });
  renameSync(partial, folder);
  return folder;
}

/** Floating-point operations of the layers for the real tokens. */
export function operations(size: string, lengths: readonly number[]): number {
  const [layers, hidden] = shapes[size]!;
  return lengths.reduce((sum, n) => sum + layers * (24 * n * hidden ** 2 + 4 * n * n * hidden), 0);
}

/** Int8 engines round differently: the bound tells a wrong result from a rounded one. */
export const tolerance = (precision: string): number => (precision === 'f32' ? 2e-4 : 0.6);

export const largestDifference = (a: readonly number[][], b: readonly number[][]): number =>
  Math.max(...a.map((row, r) => Math.max(...row.map((value, i) => Math.abs(value - (b[r]?.[i] ?? NaN))))));

/** A table for people, with the machine and the day before it. */
export function printTable(rounds: number, heading: readonly string[], rows: readonly string[][]): void {
  const machine = `${cpus()[0]?.model ?? ''}, ${cpus().length} cores, ${new Date().toISOString().slice(0, 10)}`;
  console.log(`${machine}, medians of ${rounds} rounds\n`);
  for (const row of [heading, heading.map(() => '---'), ...rows]) console.log(`| ${row.join(' | ')} |`);
}
