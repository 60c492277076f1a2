// From any static host under any path: after one visit the page opens without a network, its model too, and where the host
// sets no headers it is isolated, with threads, from the first reload on.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { chromium, type Page } from 'playwright-core';

import { serve } from '../../web/server.ts';
import { dist, shownIds, switches } from './support.ts';

const withModel = existsSync(path.join(dist, 'models/default/model.safetensors'));

async function tokensArrive(page: Page): Promise<void> {
  await page.getByTestId('tokens').waitFor();
  assert.equal((await shownIds(page)).length, 17);
}

async function modelAnswers(page: Page): Promise<void> {
  await page
    .getByRole('link', { name: /Masked words/ })
    .first()
    .click();
  await page.getByTestId('mask-0').getByRole('listitem').first().waitFor({ timeout: 120_000 });
}

for (const base of ['/', '/bert/lens/']) {
  test(`a host without headers, the page at ${base}`, async () => {
    const { server, url } = await serve(dist, { base, withHeaders: false });
    const browser = await chromium.launch({
      executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
      args: switches,
    });
    const isolated = () => page.evaluate(() => window.crossOriginIsolated);
    const status = () => page.locator('.status').first().innerText();
    const page = await browser.newPage();
    const said: string[] = [];
    page.on('console', (message) => said.push(message.text()));
    page.on('pageerror', (error) => said.push(error.message));
    try {
      await page.goto(url);
      await tokensArrive(page);
      assert.equal(await isolated(), false);
      await page.evaluate(async () => {
        await navigator.serviceWorker.ready;
      });

      await page.reload();
      await tokensArrive(page);
      assert.equal(await isolated(), true);
      if (withModel) {
        await modelAnswers(page);
        assert.match(await status(), /-threads/);
      }
      assert.deepEqual(said, []);

      server.close();
      server.closeAllConnections();
      await page.goto(url);
      await page.reload();
      await tokensArrive(page);
      assert.equal(await isolated(), true);
      if (withModel) {
        await modelAnswers(page);
        assert.match(await status(), /-threads/);
      }
      // a section that was never opened before
      await page
        .getByRole('link', { name: /Padding/ })
        .first()
        .click();
      await page.locator('[data-strategy="longest"]').waitFor();
    } finally {
      await browser.close();
      server.closeAllConnections();
      server.close();
    }
  });
}
