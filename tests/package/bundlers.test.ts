// The packed package through Vite, webpack and esbuild, none of them configured, in Chromium under a strict policy.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { chromium, type Browser } from 'playwright-core';

import { serve } from './server.ts';
import { fixtures, installed, root, vocabulary } from './support.ts';

const bin = path.join(root, 'node_modules/.bin');
let project: ReturnType<typeof installed>;
let browser: Browser;
before(async () => {
  project = installed();
  for (const file of ['tokenizer-checks.js', 'page-tokenizer.js']) {
    cpSync(path.join(fixtures, file), path.join(project.folder, file));
  }
  const page =
    '<!doctype html><title>running</title><script type="module" src="./page-tokenizer.js"></script>';
  writeFileSync(path.join(project.folder, 'index.html'), page);
  browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
    ],
  });
});
after(async () => {
  await browser.close();
  project.finish();
});

/** Opens the built page and waits for its checks. */
async function check(folder: string): Promise<void> {
  copyFileSync(vocabulary, path.join(folder, 'vocab.txt'));
  const site = await serve(folder);
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const messages: string[] = [];
    page.on('console', (message) => messages.push(message.text()));
    page.on('pageerror', (error) => messages.push(error.message));
    await page.goto(`${site.address}/index.html`);
    await page.waitForFunction(() => document.title !== 'running');
    assert.deepEqual(messages, []);
    assert.equal(await page.title(), 'ok');
  } finally {
    await context.close();
    await site.close();
  }
}

test('Vite', async () => {
  const out = path.join(project.folder, 'out-vite');
  execFileSync(path.join(bin, 'vite'), ['build', '--outDir', out, '--base', './', '--logLevel', 'error'], {
    cwd: project.folder,
  });
  await check(out);
});

test('webpack', async () => {
  const out = path.join(project.folder, 'out-webpack');
  const { default: webpack } = await import('webpack');
  await new Promise<void>((done, fail) => {
    webpack(
      {
        context: project.folder,
        mode: 'production',
        entry: './page-tokenizer.js',
        output: { path: out, filename: 'page-tokenizer.js' },
        performance: false, // its advice on asset sizes is no finding about the package
      },
      (error, stats) => {
        if (error) fail(error);
        else if (!stats || stats.hasErrors() || stats.hasWarnings())
          fail(new Error(stats?.toString('minimal')));
        else done();
      },
    );
  });
  copyFileSync(path.join(project.folder, 'index.html'), path.join(out, 'index.html'));
  await check(out);
});

// esbuild leaves `new URL(...)` as it stands, so that the files it names are put beside the bundle, as the README says
test('esbuild', async () => {
  const out = path.join(project.folder, 'out-esbuild');
  mkdirSync(out);
  execFileSync(
    path.join(bin, 'esbuild'),
    ['page-tokenizer.js', '--bundle', '--format=esm', '--minify', `--outdir=${out}`, '--log-level=warning'],
    { cwd: project.folder },
  );
  const dist = path.join(project.folder, 'node_modules/bertlens/dist');
  for (const file of readdirSync(dist)) {
    if (file.endsWith('.wasm')) copyFileSync(path.join(dist, file), path.join(out, file));
  }
  copyFileSync(path.join(project.folder, 'index.html'), path.join(out, 'index.html'));
  await check(out);
});
