// The packed package through Vite, webpack and esbuild, none of them configured, in Chromium under a strict policy.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test, type TestContext } from 'node:test';

import { chromium, type Browser } from 'playwright-core';

import { serve } from './server.ts';
import { fixtures, installed, makeModels, root, vocabulary } from './support.ts';

const bin = path.join(root, 'node_modules/.bin');
let project: ReturnType<typeof installed>;
let browser: Browser;
let models: string;
before(async () => {
  project = installed();
  models = makeModels(project.folder);
  for (const file of ['tokenizer-checks.js', 'engine-checks.js', 'page.js']) {
    cpSync(path.join(fixtures, file), path.join(project.folder, file));
  }
  const page = '<!doctype html><title>running</title><script type="module" src="./page.js"></script>';
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

/** Opens the built page with a query, waits for its checks, and gives its text. */
async function check(folder: string, query: string, isolated: boolean): Promise<string> {
  copyFileSync(vocabulary, path.join(folder, 'vocab.txt'));
  copyFileSync(path.join(root, 'tests/golden/bert/deep.json'), path.join(folder, 'golden.json'));
  cpSync(models, path.join(folder, 'models'), { recursive: true });
  const site = await serve(folder, { isolated });
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const messages: string[] = [];
    page.on('console', (message) => messages.push(message.text()));
    page.on('pageerror', (error) => messages.push(error.message));
    await page.goto(`${site.address}/index.html?${query}`);
    await page.waitForFunction(() => document.title !== 'running', undefined, { timeout: 120_000 });
    assert.equal(await page.title(), 'ok', messages.join('\n'));
    assert.deepEqual(messages, []);
    return await page.evaluate(() => document.body.textContent);
  } finally {
    await context.close();
    await site.close();
  }
}

/** The tokenizer, and the engine as it is chosen without cross-origin isolation. */
async function checkBoth(t: TestContext, folder: string): Promise<void> {
  await check(folder, 'check=tokenizer', false);
  const text = await check(folder, 'build=auto', false);
  t.diagnostic(text);
  const runtime = JSON.parse(text) as { build: string; reasons: string[] };
  assert.equal(runtime.build, 'relaxed');
  assert.match(runtime.reasons.join(), /not cross-origin isolated/);
}

test('Vite', async (t) => {
  const out = path.join(project.folder, 'out-vite');
  execFileSync(path.join(bin, 'vite'), ['build', '--outDir', out, '--base', './', '--logLevel', 'error'], {
    cwd: project.folder,
  });
  await checkBoth(t, out);
  for (const build of ['simd', 'simd-threads', 'relaxed', 'relaxed-threads']) {
    await t.test(`the ${build} build in Chromium`, async (inner) => {
      inner.diagnostic(await check(out, `build=${build}`, true));
    });
  }
});

test('webpack', async (t) => {
  const out = path.join(project.folder, 'out-webpack');
  const { default: webpack } = await import('webpack');
  await new Promise<void>((done, fail) => {
    webpack(
      {
        context: project.folder,
        mode: 'production',
        entry: './page.js',
        output: { path: out, filename: 'page.js' },
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
  await checkBoth(t, out);
});

// esbuild leaves `new URL(...)` as it stands, so the package's files are put beside the bundle, as its README says
test('esbuild', async (t) => {
  const out = path.join(project.folder, 'out-esbuild');
  mkdirSync(out);
  execFileSync(
    path.join(bin, 'esbuild'),
    ['page.js', '--bundle', '--format=esm', '--minify', `--outdir=${out}`, '--log-level=warning'],
    { cwd: project.folder },
  );
  const dist = path.join(project.folder, 'node_modules/bertlens/dist');
  for (const file of readdirSync(dist)) {
    if (/\.(wasm|js)$/.test(file)) copyFileSync(path.join(dist, file), path.join(out, file));
  }
  copyFileSync(path.join(project.folder, 'index.html'), path.join(out, 'index.html'));
  await checkBoth(t, out);
});
