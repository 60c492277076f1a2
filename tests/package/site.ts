// The pages built from the packed package, with the models and golden files that they read.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { copyFixtures, installed, makeModels, root, vocabulary } from './support.ts';

export const bin = path.join(root, 'node_modules/.bin');

const kPageChecks = ['tokenizer-checks.js', 'engine-checks.js', 'page-checks.js'];

/** An empty project with the package and the page's sources. */
export function pageProject(): { folder: string; finish: () => void } {
  const project = installed();
  copyFixtures([...kPageChecks, 'storage-checks.js', 'page.js'], project.folder);
  const page = '<!doctype html><title>running</title><script type="module" src="./page.js"></script>';
  writeFileSync(path.join(project.folder, 'index.html'), page);
  return project;
}

/** In `folder`, the sources of a page with the same checks (without storage) of `entry` alone: `bertlens/inline`, or its address. */
export function inlinePage(folder: string, entry: string): void {
  copyFixtures(kPageChecks, folder, entry);
  writeFileSync(path.join(folder, 'page.js'), "import { run } from './page-checks.js';\nvoid run();\n");
}

/**
 * The page of `bertlens/inline` bundled by esbuild into one file, as the classic script that it makes unasked or as a module.
 */
export function buildInlined(project: string, format: 'iife' | 'esm'): string {
  const source = path.join(project, 'inline');
  const out = path.join(project, `out-inline-${format}`);
  inlinePage(source, 'bertlens/inline');
  const flags = ['--bundle', `--outdir=${out}`, ...(format === 'esm' ? ['--format=esm'] : [])];
  const done = spawnSync(path.join(bin, 'esbuild'), ['page.js', ...flags, '--log-level=warning'], {
    cwd: source,
    encoding: 'utf8',
  });
  assert.equal(done.stderr, '');
  assert.deepEqual(readdirSync(out), ['page.js']);
  const type = format === 'esm' ? ' type="module"' : '';
  const page = `<!doctype html><title>running</title><body></body><script${type} src="page.js"></script>`;
  writeFileSync(path.join(out, 'index.html'), page);
  return out;
}

export function buildByVite(project: string): string {
  const out = path.join(project, 'out-vite');
  execFileSync(path.join(bin, 'vite'), ['build', '--outDir', out, '--base', './', '--logLevel', 'error'], {
    cwd: project,
  });
  return out;
}

let models: string | undefined;

/** Puts what the page reads beside it. */
export function addData(project: string, site: string): void {
  models ??= makeModels(project);
  copyFileSync(vocabulary, path.join(site, 'vocab.txt'));
  cpSync(path.join(root, 'tests/golden'), path.join(site, 'golden'), { recursive: true });
  if (site !== project) cpSync(models, path.join(site, 'models'), { recursive: true });
  cpSync(path.join(root, 'models/default'), path.join(site, 'models/default'), { recursive: true });
}
