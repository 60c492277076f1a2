// The packed npm package, installed in an empty folder as a user has it; and what runs it there.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const dist = path.join(root, 'wasm/dist');
export const fixtures = path.join(root, 'tests/package/fixtures');
const home = process.env['HOME'] ?? os.homedir();
const cache =
  process.env['BERTLENS_CACHE'] ??
  path.join(process.env['XDG_CACHE_HOME'] ?? path.join(home, '.cache'), 'bertlens');
export const vocabulary = path.join(cache, 'vocab/bert-base-uncased.txt');

/** A new folder outside the checkout; `finish` removes it. */
export function scratch(): { folder: string; finish: () => void } {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bertlens-package-'));
  return {
    folder,
    finish: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** `npm pack` into `folder`; the tarball's path. */
export function pack(folder: string): string {
  if (!existsSync(path.join(dist, 'tokenizer.js'))) throw new Error('wasm/dist is missing: run ./run build');
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: path.join(root, 'wasm') });
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'));
  if (tarball === undefined) throw new Error('npm pack made no tarball');
  return path.join(folder, tarball);
}

/** An empty project with the packed package installed from its tarball, without a network. */
export function installed(): { folder: string; tarball: string; finish: () => void } {
  const { folder, finish } = scratch();
  const tarball = pack(folder);
  writeFileSync(
    path.join(folder, 'package.json'),
    JSON.stringify({ name: 'consumer', private: true, type: 'module' }),
  );
  execFileSync('npm', ['install', '--silent', '--offline', '--no-audit', '--no-fund', tarball], {
    cwd: folder,
  });
  return { folder, tarball, finish };
}

/**
 * Copies fixtures into a folder, made where it is not there; with `entry`, which is imported in place of the entries
 * `bertlens` and `bertlens/tokenizer`.
 */
export function copyFixtures(files: readonly string[], folder: string, entry?: string): void {
  mkdirSync(folder, { recursive: true });
  for (const file of files) {
    const text = readFileSync(path.join(fixtures, file), 'utf8');
    const changed = entry === undefined ? text : text.replace(/'bertlens(\/tokenizer)?'/g, `'${entry}'`);
    writeFileSync(path.join(folder, file), changed);
  }
}

/** The Node.js releases at hand, by major version: this one, the system's, and those that set-up fetched. */
export function nodes(): Map<number, string> {
  const found = new Map<number, string>();
  for (const candidate of [
    process.execPath,
    '/usr/bin/node',
    '/usr/local/bin/node',
    path.join(cache, 'node/bin/node'),
    path.join(cache, 'runtimes/node20'),
  ]) {
    if (!existsSync(candidate)) continue;
    const major = Number(
      execFileSync(candidate, ['-p', 'process.versions.node.split(".")[0]'], { encoding: 'utf8' }),
    );
    if (!found.has(major)) found.set(major, candidate);
  }
  return found;
}

/** Deno and Bun where set-up fetched them: by name the program, and the arguments that run a script. */
export function otherRuntimes(): Map<string, { program: string; flags: readonly string[] }> {
  const found = new Map<string, { program: string; flags: readonly string[] }>();
  for (const [name, file, flags] of [
    ['Deno', 'deno', ['run', '--allow-all', '--node-modules-dir=manual', '--quiet']],
    ['Bun', 'bun', ['run']],
  ] as const) {
    const program = path.join(cache, 'runtimes', file);
    if (existsSync(program)) found.set(name, { program, flags });
  }
  return found;
}

/** Runs a script with one of them; what it printed. Anything on standard error is a failure. */
export function runNode(
  node: string,
  script: string,
  args: readonly string[],
  cwd: string,
  flags: readonly string[] = [],
): string {
  const done = spawnSync(node, [...flags, script, ...args], { cwd, encoding: 'utf8' });
  if (done.status !== 0 || done.stderr !== '') {
    throw new Error(
      `${path.basename(script)} ended with status ${done.status ?? 'none'}:\n${done.stdout}${done.stderr}`,
    );
  }
  return done.stdout;
}

/** The models of the golden files and `tiny`, made in `folder`/models; the folder's path. */
export function makeModels(folder: string): string {
  const models = path.join(folder, 'models');
  const maker = path.join(root, 'build/native/tests/support/make_checkpoint');
  if (!existsSync(maker)) throw new Error('make_checkpoint is missing: run ./run build native');
  execFileSync(maker, ['--models', path.join(root, 'tests/golden/models.json'), '--out', models]);
  execFileSync(maker, ['--size', 'tiny', '--vocab', vocabulary, '--out', path.join(models, 'tiny')]);
  return models;
}
