// The README of the package: its example page runs as it stands, its JavaScript type-checks against the packed package.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';

import { serve } from './server.ts';
import { bin } from './site.ts';
import { installed, root } from './support.ts';

let project: ReturnType<typeof installed>;
before(() => {
  project = installed();
});
after(() => {
  project.finish();
});

function blocks(language: string): string[] {
  const text = readFileSync(path.join(root, 'wasm/README.md'), 'utf8');
  return Array.from(
    text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms')),
    ([, code]) => code!,
  );
}

test('the example page, in Chromium', async () => {
  const [page, ...others] = blocks('html');
  assert.ok(page !== undefined && others.length === 0);
  assert.ok(page.trimEnd().split('\n').length <= 24, 'it is short');
  writeFileSync(path.join(project.folder, 'index.html'), page);
  mkdirSync(path.join(project.folder, 'models'));
  cpSync(path.join(root, 'models/default'), path.join(project.folder, 'models/default'), { recursive: true });
  // it has its script within the page
  const site = await serve(project.folder, {
    policy: "script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'",
  });
  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  });
  try {
    const tab = await browser.newPage();
    const errors: string[] = [];
    tab.on('pageerror', (error) => errors.push(error.message));
    await tab.goto(`${site.address}/index.html`);
    await tab.click('button:enabled', { timeout: 120_000 });
    await tab.locator('option').nth(4).waitFor({ state: 'attached', timeout: 120_000 });
    assert.equal(await tab.locator('option').count(), 5);
    assert.deepEqual(errors, []);
  } finally {
    await browser.close();
    await site.close();
  }
});

test('the JavaScript type-checks', () => {
  const snippets = blocks('js');
  assert.ok(snippets.length >= 2);
  snippets.forEach((code, i) => {
    writeFileSync(path.join(project.folder, `snippet-${i}.js`), code);
  });
  const compilerOptions = {
    target: 'es2022',
    module: 'nodenext',
    lib: ['es2022', 'esnext.disposable', 'dom', 'dom.iterable', 'dom.asynciterable'],
    types: [],
    strict: true,
    allowJs: true,
    checkJs: true,
    noEmit: true,
  };
  const config = { compilerOptions, include: ['snippet-*.js'] };
  writeFileSync(path.join(project.folder, 'tsconfig.json'), JSON.stringify(config));
  const done = spawnSync(path.join(bin, 'tsc'), ['-p', project.folder], { encoding: 'utf8' });
  assert.equal(done.stdout, '');
  assert.equal(done.status, 0);
});
