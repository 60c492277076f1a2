// The page in Firefox and in WebKitGTK, Safari's engine, as it is in Chromium.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { serve, type Served } from '../../web/server.ts';
import { browsers, retry, type BrowserPage, type TestBrowser } from '../support/browsers/index.ts';
import { dist } from './support.ts';

/** The ids under the tokens of the first section. */
async function shownIds(page: BrowserPage): Promise<number[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll('[data-testid="tokens"] small')].map((id) => Number(id.textContent)),
  );
}

for (const { name, launch } of browsers) {
  describe(name, () => {
    let browser: TestBrowser;
    let served: Served;
    before(async () => {
      assert.ok(existsSync(path.join(dist, 'index.html')), 'web/dist is missing: run ./run build');
      served = await serve(dist);
      browser = await launch();
    });
    after(async () => {
      await browser.close();
      served.server.closeAllConnections();
      served.server.close();
    });

    test('the page is isolated, and its tokenizer answers', async () => {
      const page = await browser.open(served.url);
      await retry('the tokens of the sample', async () => (await shownIds(page)).length === 17);
      assert.equal(await page.evaluate(() => window.crossOriginIsolated), true);
      await page.type('textarea[aria-label="Sentence"]', 'hello world');
      await retry('the new tokens', async () => (await shownIds(page)).length === 4);
      assert.deepEqual(await shownIds(page), [101, 7592, 2088, 102]);
      assert.deepEqual(page.messages, []);
      await page.close();
    });
  });
}
