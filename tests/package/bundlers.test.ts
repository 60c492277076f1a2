// The packed package through Vite, webpack and esbuild, none of them configured, in Chromium under a strict policy.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, before, test, type TestContext } from 'node:test';

import { chromium, type Browser } from 'playwright-core';

import { kInlinePolicy, kPolicy, serve, type ServeOptions } from './server.ts';
import { addData, bin, buildByVite, buildInlined, inlinePage, pageProject } from './site.ts';

let project: ReturnType<typeof pageProject>;
let browser: Browser;
before(async () => {
  project = pageProject();
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

/** Counts the blob: addresses that a page has made and not revoked. */
function countAddresses(): void {
  const make = URL.createObjectURL.bind(URL);
  const revoke = URL.revokeObjectURL.bind(URL);
  const held = new Set<string>();
  Object.assign(globalThis, { heldAddresses: held });
  URL.createObjectURL = (blob) => {
    const address = make(blob);
    held.add(address);
    return address;
  };
  URL.revokeObjectURL = (address) => {
    held.delete(address);
    revoke(address);
  };
}

/** Opens the built page of a folder with a query, as `checkAt` does. */
async function check(
  folder: string,
  query: string,
  options: ServeOptions = {},
  allowed?: RegExp,
): Promise<Record<string, unknown>> {
  addData(project.folder, folder);
  const site = await serve(folder, options);
  try {
    return await checkAt(site.address, query, allowed);
  } finally {
    await site.close();
  }
}

/**
 * Opens a server's page with a query, waits for its checks, and gives what they found. The console stays silent, and no blob:
 * address is left.
 */
async function checkAt(address: string, query: string, allowed = /^$/): Promise<Record<string, unknown>> {
  const context = await browser.newContext();
  try {
    await context.route('**/favicon.ico', (route) => route.fulfill({ status: 204 }));
    const page = await context.newPage();
    await page.addInitScript(countAddresses);
    const messages: string[] = [];
    page.on('console', (message) => messages.push(message.text()));
    page.on('pageerror', (error) => messages.push(error.message));
    await page.goto(`${address}/index.html?${query}`);
    await page.waitForFunction(() => document.title !== 'running', undefined, { timeout: 240_000 });
    assert.equal(await page.title(), 'ok', messages.join('\n'));
    assert.deepEqual(
      messages.filter((message) => !allowed.test(message)),
      [],
    );
    const { held, text } = await page.evaluate(() => ({
      held: [...(globalThis as unknown as { heldAddresses: Set<string> }).heldAddresses],
      text: document.body.textContent,
    }));
    assert.deepEqual(held, []);
    return JSON.parse(text) as Record<string, unknown>;
  } finally {
    await context.close();
  }
}

/** The tokenizer, and the engine as it is chosen without threads. */
async function checkBoth(
  t: TestContext,
  folder: string,
  options: ServeOptions = {},
  noThreads = /not cross-origin isolated/,
): Promise<void> {
  await check(folder, 'check=tokenizer', options);
  const runtime = await check(folder, 'check=engine', options);
  t.diagnostic(JSON.stringify(runtime));
  assert.equal(runtime['build'], 'relaxed');
  assert.match(String(runtime['reasons']), noThreads);
}

test('Vite', async (t) => {
  const out = buildByVite(project.folder);
  await checkBoth(t, out);
  for (const build of ['simd', 'simd-threads', 'relaxed', 'relaxed-threads']) {
    await t.test(`the ${build} build in Chromium`, async (inner) => {
      await check(out, `check=engine&build=${build}`, { isolated: true });
      inner.diagnostic(JSON.stringify(await check(out, `check=golden&build=${build}`, { isolated: true })));
    });
  }
  // Chromium writes each failed request to the console
  const failed = /404 \(Not Found\)|ERR_FAILED|Content Security Policy/;
  await t.test('storage in Chromium', async () => {
    await check(out, 'check=storage', {}, failed);
  });
  await t.test('a policy without workers, or without WebAssembly, is told', async () => {
    const without = (part: string): string => kPolicy.replace(part, "'none'");
    const worker = await check(
      out,
      'check=start',
      { policy: kPolicy.replace("worker-src 'self'", "worker-src 'none'") },
      failed,
    );
    assert.equal(worker['name'], 'BertlensError');
    assert.match(String(worker['message']), /worker.*content security policy/);
    const wasm = await check(
      out,
      'check=start',
      { policy: without("'self' 'wasm-unsafe-eval'").replace("script-src 'none'", "script-src 'self'") },
      failed,
    );
    assert.equal(wasm['code'], 'unsupported');
    assert.match(String(wasm['message']), /Content Security Policy|content security policy/);
  });
  await t.test('a worker that is not on the server is told', async () => {
    const assets = path.join(out, 'assets');
    // first those of threads, which the page starts beside the engine's worker
    for (const [script, query] of [
      ['thread-', 'check=start&build=relaxed-threads'],
      ['worker-', 'check=start'],
    ] as const) {
      for (const file of readdirSync(assets)) if (file.startsWith(script)) rmSync(path.join(assets, file));
      const found = await check(out, query, { isolated: true }, failed);
      assert.equal(found['code'], 'io');
      assert.match(String(found['message']), /worker's script could not be loaded/);
    }
  });
});

test("Vite's dev server", async (t) => {
  addData(project.folder, project.folder);
  const { createServer } = await import('vite');
  // for threads; nothing else is configured
  const headers = {
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
  };
  const root = project.folder;
  const server = await createServer({ root, configFile: false, logLevel: 'error', server: { headers } });
  try {
    await server.listen();
    const address = server.resolvedUrls!.local[0]!.replace(/\/$/, '');
    const told = /^\[vite\] connect/;
    await checkAt(address, 'check=tokenizer', told);
    for (const build of ['simd', 'simd-threads', 'relaxed', 'relaxed-threads']) {
      await t.test(`the ${build} build in Chromium`, async () => {
        assert.equal((await checkAt(address, `check=engine&build=${build}`, told))['build'], build);
      });
    }
  } finally {
    await server.close();
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
  for (const build of ['simd-threads', 'relaxed-threads']) {
    await t.test(`the ${build} build in Chromium`, async () => {
      const runtime = await check(out, `check=engine&build=${build}`, { isolated: true });
      assert.equal(runtime['build'], build);
      assert.equal(runtime['threads'], 2);
    });
  }
});

const kNotInlined = /bertlens\/inline has no builds with threads/;

test('esbuild, bertlens/inline: one file, as a classic script and as a module', async (t) => {
  for (const format of ['iife', 'esm'] as const) {
    const out = buildInlined(project.folder, format);
    await checkBoth(t, out, { policy: kInlinePolicy }, kNotInlined);
    if (format === 'esm') continue;
    for (const build of ['simd', 'relaxed']) {
      const query = `check=golden&build=${build}`;
      t.diagnostic(JSON.stringify(await check(out, query, { policy: kInlinePolicy })));
    }
    const refused = await check(out, 'check=start', {}, /Content Security Policy/);
    assert.equal(refused['name'], 'BertlensError');
    assert.match(String(refused['message']), /worker.*content security policy/);
  }
});

test('bertlens/inline without a bundler', async (t) => {
  const out = path.join(project.folder, 'out-unbundled');
  const dist = path.join(project.folder, 'node_modules/bertlens/dist');
  inlinePage(out, './bertlens/inline.js');
  mkdirSync(path.join(out, 'bertlens'));
  for (const file of readdirSync(dist)) {
    if (file.endsWith('.js')) copyFileSync(path.join(dist, file), path.join(out, 'bertlens', file));
  }
  copyFileSync(path.join(project.folder, 'index.html'), path.join(out, 'index.html'));
  await checkBoth(t, out, { policy: kInlinePolicy }, kNotInlined);
});

// esbuild leaves `new URL(...)` as it stands; for threads the package's files are put beside the bundle, as its README says
test('esbuild, bertlens', async (t) => {
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
