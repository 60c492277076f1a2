// The page in Firefox and in WebKitGTK, Safari's engine: isolated, and the main path with the same numbers as the package
// gives in Node.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { load } from 'bertlens';

import { serve, type Served } from '../../web/server.ts';
import { browsers, retry, type BrowserPage, type TestBrowser } from '../support/browsers/index.ts';
import { dist } from './support.ts';

const folder = path.join(dist, 'models/default/');
const missing = existsSync(path.join(folder, 'model.safetensors')) ? false : 'models/default has no weights';
/** The build that each runs: WebKit has no relaxed SIMD, WebKitGTK no SharedArrayBuffer even where it is isolated. */
const builds = { firefox: 'relaxed-threads', webkit: 'simd' } as const;
// Screens show four digits; threads may sum in another order.
const near = 0.0005;

/** The ids under the tokens of the first section. */
async function shownIds(page: BrowserPage): Promise<number[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll('[data-testid="tokens"] small')].map((id) => Number(id.textContent)),
  );
}

/** The numbers beside the bars below `selector`, once there are `count` of them. */
async function shownBars(page: BrowserPage, selector: string, count: number): Promise<number[]> {
  return retry(
    `${count} bars in ${selector}`,
    async () => {
      const texts = await page.evaluate(
        (where) => [...document.querySelectorAll(`${where} .bar-value`)].map((value) => value.textContent),
        selector,
      );
      return texts.length === count && texts.map((text) => Number(text.replace('<', '')));
    },
    180_000,
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

    test('isolated and offline from a host that sets no headers, under a base path', async () => {
      const host = await serve(dist, { base: '/bert/lens/', withHeaders: false });
      // a section without a model: WebKit complains of a reload while the model is being kept
      const page = await browser.open(`${host.url}#/tokenizer`);
      const answers = () => retry('the tokens', async () => (await shownIds(page)).length === 17);
      try {
        await answers();
        assert.equal(await page.evaluate(() => window.crossOriginIsolated), false);
        await page.evaluate(async () => {
          await navigator.serviceWorker.ready;
        });
        await page.reload();
        await answers();
        assert.equal(await page.evaluate(() => window.crossOriginIsolated), true);
      } finally {
        host.server.closeAllConnections();
        host.server.close();
      }
      await page.reload();
      await answers();
      await page.click('a.rail-link', 'Padding');
      await retry('a section never opened before', () =>
        page.evaluate(() => document.querySelector('[data-strategy="longest"]') !== null),
      );
      assert.deepEqual(page.messages, []);
      await page.close();
    });

    test('type, mask, predict, next sentence, attention', { skip: missing }, async () => {
      const text = 'The king lives in the castle.';
      // the same arithmetic: int8 inputs are rounded in another way in each build
      const build = builds[name] === 'simd' ? 'simd' : 'relaxed';
      const bert = await load(folder, { threads: 1, build });
      const { masks } = await bert.fillMask('[MASK] king lives in the [MASK].', { topK: 10 });
      const verdict = await bert.nextSentence('The weather is beautiful today.', text);
      await bert.dispose();

      const page = await browser.open(served.url);
      await page.type('textarea[aria-label="Sentence"]', text);

      // the sentence of the opening, with its last long word hidden, then one more
      await page.click('a.rail-link', 'Masked words');
      await shownBars(page, '[data-testid="mask-0"]', 10);
      await page.click('button.hide-word', 'The');
      await shownBars(page, '[data-testid="mask-1"]', 10);
      for (const [i, mask] of masks.entries()) {
        await retry(`the probabilities of mask ${i + 1}`, async () => {
          const shown = await shownBars(page, `[data-testid="mask-${i}"]`, 10);
          return mask.predictions.every((entry, place) => Math.abs(entry.probability - shown[place]!) < near);
        });
      }

      await page.click('a.rail-link', 'Next sentence');
      await page.type('textarea[aria-label="Second sentence"]', text);
      await retry('the probability of the next sentence', async () => {
        const [isNext] = await shownBars(page, '[data-testid="verdict"]', 2);
        return Math.abs(isNext! - verdict.isNext) < near;
      });

      await page.click('a.rail-link', 'Attention');
      const picture = 'Lines from 9 tokens';
      await retry(picture, () =>
        page.evaluate((label) => document.querySelector(`canvas[aria-label^="${label}"]`) !== null, picture),
      );

      const facts = await page.evaluate(() =>
        [...document.querySelectorAll('.status b')].map((fact) => fact.textContent),
      );
      assert.ok(facts.includes(builds[name]), facts.join());
      assert.deepEqual(page.messages, []);
      await page.close();
    });
  });
}
