// The packed package in Firefox and WebKitGTK: golden values of every build that they run, calls, queue, storage, and
// `bertlens/inline`.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { browsers, retry, type TestBrowser } from '../support/browsers/index.ts';
import { kInlinePolicy, serve } from './server.ts';
import { addData, buildByVite, buildInlined, pageProject } from './site.ts';

let project: ReturnType<typeof pageProject>;
let site: Awaited<ReturnType<typeof serve>>;
/** The page of `bertlens/inline`. */
let inlined: Awaited<ReturnType<typeof serve>>;
before(async () => {
  project = pageProject();
  const folder = buildByVite(project.folder);
  addData(project.folder, folder);
  site = await serve(folder, { isolated: true });
  const file = buildInlined(project.folder, 'iife');
  addData(project.folder, file);
  inlined = await serve(file, { policy: kInlinePolicy });
});
after(async () => {
  await site.close();
  await inlined.close();
  project.finish();
});

/** Opens the page with a query: the title that its checks left, and what they found as JSON. */
async function found(
  browser: TestBrowser,
  query: string,
  { address } = site,
): Promise<{ title: string; text: string }> {
  const page = await browser.open(`${address}/index.html?${query}`);
  try {
    const ended = async (): Promise<string | false> => {
      const title = await page.title();
      return title !== 'running' && title;
    };
    const title = await retry(`the end of ${query}`, ended, 300_000);
    return { title, text: await page.evaluate(() => document.body.textContent) };
  } finally {
    await page.close();
  }
}

for (const { name, launch } of browsers) {
  test(name, async (t) => {
    const browser = await launch();
    try {
      assert.equal((await found(browser, 'check=tokenizer')).title, 'ok');
      // WebKitGTK has no relaxed SIMD and no SharedArrayBuffer, and says so
      const builds = ['simd', 'simd-threads', 'relaxed', 'relaxed-threads'];
      for (const build of builds) {
        if (name === 'webkit' && build !== 'simd') {
          const { title } = await found(browser, `check=golden&build=${build}`);
          assert.match(title, /cannot run: (relaxed SIMD|threads): n/);
          continue;
        }
        await t.test(`the golden values in the ${build} build`, async (inner) => {
          const { title, text } = await found(browser, `check=golden&build=${build}`);
          assert.equal(title, 'ok');
          inner.diagnostic(text);
        });
      }
      await t.test('the build of its own choice', async (inner) => {
        const { title, text } = await found(browser, 'check=engine');
        assert.equal(title, 'ok');
        inner.diagnostic(text);
        const fastest = name === 'webkit' ? 'simd' : 'relaxed';
        assert.match(text, new RegExp(`"build":"${fastest}(-threads)?"`));
      });
      await t.test('bertlens/inline', async (inner) => {
        const { title, text } = await found(browser, 'check=engine', inlined);
        assert.equal(title, 'ok');
        inner.diagnostic(text);
      });
      await t.test('storage', async () => {
        assert.equal((await found(browser, 'check=storage')).title, 'ok');
      });
    } finally {
      await browser.close();
    }
  });
}
