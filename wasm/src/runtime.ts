// Which build of the engine this machine can run: features are validated, and relaxed arithmetic is checked by running it.
import { BertlensError } from './errors.ts';
import type { Build } from './engine-types.ts';
import { nodeProcess } from './resources.ts';

/**
 * The relaxed instructions that the engine uses, each (a, b, c) -> the first lane of its result on splats:
 *   d   relaxed_dot_i8x16_i7x16_add(a, b, c), 4 a b + c for b in 0..127
 *   p   the same of relaxed_dot_i8x16_i7x16, its pairs added by dot_i16x8
 *   m   relaxed_madd(a, b, c), a b + c
 */
const kRelaxed = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x01, 0x60, 0x03, 0x7f, 0x7f, 0x7f, 0x01, 0x7f,
  0x03, 0x04, 0x03, 0x00, 0x00, 0x00, 0x07, 0x0d, 0x03, 0x01, 0x64, 0x00, 0x00, 0x01, 0x70, 0x00, 0x01, 0x01,
  0x6d, 0x00, 0x02, 0x0a, 0x4e, 0x03, 0x14, 0x00, 0x20, 0x00, 0xfd, 0x0f, 0x20, 0x01, 0xfd, 0x0f, 0x20, 0x02,
  0xfd, 0x11, 0xfd, 0x93, 0x02, 0xfd, 0x1b, 0x00, 0x0b, 0x1e, 0x00, 0x20, 0x00, 0xfd, 0x0f, 0x20, 0x01, 0xfd,
  0x0f, 0xfd, 0x92, 0x02, 0x41, 0x01, 0xfd, 0x10, 0xfd, 0xba, 0x01, 0x20, 0x02, 0xfd, 0x11, 0xfd, 0xae, 0x01,
  0xfd, 0x1b, 0x00, 0x0b, 0x18, 0x00, 0x20, 0x00, 0xb2, 0xfd, 0x13, 0x20, 0x01, 0xb2, 0xfd, 0x13, 0x20, 0x02,
  0xb2, 0xfd, 0x13, 0xfd, 0x85, 0x02, 0xfd, 0x1f, 0x00, 0xa8, 0x0b,
]);
/** () -> the first lane of splat 0: any SIMD at all. */
const kSimd = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7f, 0x03, 0x02, 0x01,
  0x00, 0x0a, 0x0b, 0x01, 0x09, 0x00, 0x41, 0x00, 0xfd, 0x11, 0xfd, 0x1b, 0x00, 0x0b,
]);

/** Compiles a probe; a content security policy may forbid all WebAssembly, which validating does not tell. */
function compiled(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  try {
    return new WebAssembly.Module(bytes);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BertlensError('unsupported', `WebAssembly cannot be used here: ${reason}`, { cause });
  }
}

/** Why relaxed SIMD cannot be used here, or undefined where it can. */
function relaxedFault(): string | undefined {
  if (!WebAssembly.validate(kRelaxed)) return 'relaxed SIMD: not in this browser or Node.js';
  const found = new WebAssembly.Instance(compiled(kRelaxed)).exports;
  // exact wherever the second factor stays within 7 bits; Node 20 gets the first one wrong
  for (const [name, terms] of [
    ['d', 4],
    ['p', 4],
    ['m', 1],
  ] as const) {
    const compute = found[name] as (a: number, b: number, c: number) => number;
    for (const [a, b, c] of [
      [-15, 1, 1],
      [-128, 127, 5],
      [127, 127, -9],
    ] as const) {
      const value = compute(a, b, c);
      if (value !== terms * a * b + c)
        return `relaxed SIMD: computes ${value} for ${terms} * ${a} * ${b} + ${c} here`;
    }
  }
  return undefined;
}

/** Whether an entry has builds with threads: 'in place' its caller must not wait for others. */
export type Threading = 'possible' | 'not inlined' | 'in place';

/** Why threads cannot be used here, or undefined where they can. */
function threadFault(threading: Threading): string | undefined {
  if (threading === 'in place') return 'threads: this entry computes in place';
  if (threading === 'not inlined') return 'threads: bertlens/inline has no builds with threads';
  if (!nodeProcess() && !(globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated) {
    return 'threads: the page is not cross-origin isolated (COOP and COEP headers)';
  }
  if (typeof SharedArrayBuffer === 'undefined') return 'threads: no SharedArrayBuffer here';
  return undefined;
}

/** The cores that this process may use. */
function cores(): number {
  const node = nodeProcess();
  return node ? node.getBuiltinModule('node:os').availableParallelism() : navigator.hardwareConcurrency;
}

export interface Choice {
  readonly build: Build;
  readonly threads: number;
  readonly reasons: readonly string[];
}

const kMostThreads = 8;
export const kBuilds = [
  'simd',
  'simd-threads',
  'relaxed',
  'relaxed-threads',
] as const satisfies readonly Build[];

/** Chooses the fastest build that passes. */
export function chooseBuild(wanted: Build | 'auto', threads: number | 'auto', threading: Threading): Choice {
  if (!WebAssembly.validate(kSimd))
    throw new BertlensError('unsupported', 'WebAssembly SIMD is needed and not here');
  const relaxed = relaxedFault();
  const shared = threadFault(threading);
  const many = threads === 'auto' ? Math.min(kMostThreads, cores()) : threads;
  if (wanted !== 'auto') {
    const fault =
      (wanted.startsWith('relaxed') ? relaxed : undefined) ??
      (wanted.endsWith('threads') ? shared : undefined);
    if (fault !== undefined) throw new BertlensError('unsupported', `build ${wanted} cannot run: ${fault}`);
    const threaded = wanted.endsWith('threads');
    if (!threaded && typeof threads === 'number' && threads > 1) {
      throw new BertlensError(
        'invalid_argument',
        `the build ${wanted} has one thread, and threads is ${threads}`,
      );
    }
    return {
      build: wanted,
      threads: threaded ? many : 1,
      reasons: ['the build was asked for'],
    };
  }
  const reasons: string[] = [];
  if (relaxed !== undefined) reasons.push(relaxed);
  if (shared !== undefined) reasons.push(shared);
  else if (many === 1) reasons.push(threads === 'auto' ? 'threads: one core' : 'threads: one was asked for');
  const threaded = shared === undefined && many > 1;
  if (shared !== undefined && typeof threads === 'number' && threads > 1) {
    throw new BertlensError('unsupported', `${threads} threads cannot run: ${shared}`);
  }
  const simd = relaxed === undefined ? 'relaxed' : 'simd';
  return { build: threaded ? `${simd}-threads` : simd, threads: threaded ? many : 1, reasons };
}
