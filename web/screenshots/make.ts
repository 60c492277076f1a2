// Makes README's pictures anew from web/dist, as a visitor would see it: node web/screenshots/make.ts, after ./run build.
import path from 'node:path';
import { chromium, type Page } from 'playwright-core';
import { serve } from '../server.ts';

interface Picture {
  name: string;
  hash: string;
  colours: 'light' | 'dark';
  /** Waits for the numbers, and goes where the picture is. */
  ready: (page: Page) => Promise<unknown>;
}

const pictures: readonly Picture[] = [
  {
    name: 'start',
    hash: '#/start?text=The+old+king+lived+in+a+castle+with+his+three+daughters.&token=3',
    colours: 'light',
    ready: (page) => page.getByText(/looks most at/).waitFor(),
  },
  {
    name: 'tokenizer',
    hash: '#/tokenizer',
    colours: 'light',
    ready: (page) => page.getByText('9 tries').waitFor(),
  },
  {
    name: 'attention',
    hash: '#/attention?text=The+old+king+lived+in+a+castle+with+his+three+daughters.&layer=2&head=5',
    colours: 'dark',
    ready: async (page) => {
      const lines = page.locator('canvas[aria-label^="Lines from"]');
      await lines.waitFor();
      await page.waitForTimeout(1500); // what stands above it has its height by then
      await page.getByRole('heading', { name: /who looks at whom/ }).evaluate((found) => {
        window.scrollBy(0, found.closest('.instrument')!.getBoundingClientRect().top - 24);
      });
      await lines.hover({ position: { x: 40, y: 229 } });
    },
  },
];

const { server, url } = await serve(path.resolve(import.meta.dirname, '../dist'));
const browser = await chromium.launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu'],
});
try {
  for (const { name, hash, colours, ready } of pictures) {
    const context = await browser.newContext({
      viewport: { width: 1280, height: 860 },
      colorScheme: colours,
    });
    const page = await context.newPage();
    await page.goto(url + hash);
    await ready(page);
    await page.waitForTimeout(1500); // answers that come after the first one
    const file = path.join(import.meta.dirname, `${name}.png`);
    await page.screenshot({ path: file });
    process.stdout.write(`${file}\n`);
    await context.close();
  }
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}
