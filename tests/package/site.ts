// The page of fixtures/page.js built by Vite from the packed package, with the models and golden files that it reads.
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { fixtures, installed, makeModels, root, vocabulary } from './support.ts';

export const bin = path.join(root, 'node_modules/.bin');

/** An empty project with the package and the page's sources. */
export function pageProject(): { folder: string; finish: () => void } {
  const project = installed();
  for (const file of ['tokenizer-checks.js', 'engine-checks.js', 'page.js']) {
    cpSync(path.join(fixtures, file), path.join(project.folder, file));
  }
  const page = '<!doctype html><title>running</title><script type="module" src="./page.js"></script>';
  writeFileSync(path.join(project.folder, 'index.html'), page);
  return project;
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
  cpSync(models, path.join(site, 'models'), { recursive: true });
  cpSync(path.join(root, 'models/default'), path.join(site, 'models/default'), { recursive: true });
}
