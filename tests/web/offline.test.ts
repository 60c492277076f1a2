// After one visit the page opens without a network, and a host that sets no headers gets isolation from the second on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chromium } from 'playwright-core';

import { serve } from '../../web/server.ts';
import { dist, shownIds, switches } from './support.ts';

test('the page opens without its server, after one visit', async () => {
  const { server, url } = await serve(dist, { base: '/lesson/', withHeaders: false });
  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: switches,
  });
  try {
    const page = await browser.newPage();
    await page.goto(url);
    await page.getByTestId('tokens').waitFor();
    assert.equal(await page.evaluate(() => window.crossOriginIsolated), false);
    await page.evaluate(async () => {
      await navigator.serviceWorker.ready;
    });
    await page.reload();
    await page.getByTestId('tokens').waitFor();
    assert.equal(await page.evaluate(() => window.crossOriginIsolated), true);
    server.close();
    server.closeAllConnections();
    await page.reload();
    await page.getByTestId('tokens').waitFor();
    assert.equal((await shownIds(page)).length, 17);
    // a section that was never opened before
    await page
      .getByRole('link', { name: /Padding/ })
      .first()
      .click();
    await page.locator('[data-strategy="longest"]').waitFor();
  } finally {
    await browser.close();
    server.close();
  }
});
