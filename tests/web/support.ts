// The built page in Debian's headless Chromium: one server and browser a file, a new tab a test, a silent console demanded.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  chromium,
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  type Page,
} from 'playwright-core';

import { serve, type Served, type ServeOptions } from '../../web/server.ts';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const dist = path.join(root, 'web/dist');

export const switches = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

let browser: Browser;
let served: Served;
/** The profiles that tests share, by their options: a new one compiles and stores everything anew, which takes seconds. */
const profiles = new Map<string, BrowserContext>();

/** Chromium without what it has for windows, which takes a third less of the processor; else the whole, as in the tests of
 * offline use and of the package. CHROMIUM names another. */
const executable =
  process.env['CHROMIUM'] ??
  ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium'].find((file) => existsSync(file)) ??
  'chromium';

/** Starts the server and the browser for the tests of a file; `more` switches for the browser are read when it starts. */
export function withPage(options: ServeOptions = {}, more: () => readonly string[] = () => []): void {
  before(async () => {
    assert.ok(existsSync(path.join(dist, 'index.html')), 'web/dist is missing: run ./run build');
    served = await serve(dist, options);
    browser = await chromium.launch({
      executablePath: executable,
      args: [...switches, ...more()],
    });
  });
  after(async () => {
    profiles.clear();
    await browser.close();
    served.server.closeAllConnections();
    served.server.close();
  });
}

export interface Opened {
  page: Page;
  url: string;
  /** Everything the page said to its console, and every refusal of the content security policy. */
  said: string[];
}

export interface ProfileOptions extends BrowserContextOptions {
  /** Where a test needs a profile in which nothing is stored, or stores what would change others. */
  fresh?: boolean;
}

async function profileOf({ fresh = false, ...options }: ProfileOptions): Promise<BrowserContext> {
  const key = JSON.stringify(options);
  const kept = fresh ? undefined : profiles.get(key);
  if (kept) return kept;
  const made = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  if (!fresh) profiles.set(key, made);
  return made;
}

/** Runs `body` on the page at `hash` in a new tab; afterwards the console must have been silent. What a test leaves in the
 * browser's storage the next one of its file with the same options finds, unless its profile is fresh. */
export async function onPage(
  hash: string,
  body: (opened: Opened) => Promise<void>,
  options: ProfileOptions = {},
): Promise<void> {
  const context = await profileOf(options);
  const said: string[] = [];
  const page = await context.newPage();
  try {
    page.on('console', (message) => said.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => said.push(`uncaught: ${error.message}`));
    page.on('requestfailed', (request) => {
      // a reload ends what is still under way, an icon for example
      const reason = request.failure()?.errorText ?? '';
      if (reason !== 'net::ERR_ABORTED') said.push(`not fetched: ${request.url()} (${reason})`);
    });
    await page.goto(served.url + hash);
    await page.locator('.section').waitFor();
    await body({ page, url: served.url, said });
    assert.deepEqual(said, []);
  } finally {
    await (options.fresh ? context : page).close();
  }
}

const weightsThere = existsSync(path.join(dist, 'models/default/model.safetensors'));
/** Sections that work without a model. */
const withoutModel = /#\/(tokenizer|padding)\b/;

/** Waits until a section has its numbers: those of the notebook beside it, and the model where it works with one. */
export async function settle(page: Page): Promise<void> {
  const numbers =
    '.agree, .differ, canvas[aria-label^="Lines"], canvas[aria-label^="Loss of each token when it alone is hidden:"]';
  await page.locator(numbers).first().waitFor({ timeout: 60_000 });
  if (!weightsThere || withoutModel.test(page.url())) return;
  await page.locator('.status a').first().waitFor({ state: 'attached', timeout: 60_000 });
}

/** The text of the cells of a table, row by row, once the table is there. */
export async function tableRows(page: Page, caption: string): Promise<string[][]> {
  const rows = page.locator(`[role="region"][aria-label^="${caption}"]`).locator('tbody tr:not(.gap)');
  await rows.first().waitFor({ state: 'attached' });
  return rows.evaluateAll((shown) =>
    shown.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent.trim())),
  );
}

/** The ids under the tokens of the first section, in order. */
export async function shownIds(page: Page): Promise<number[]> {
  const texts = await page.getByTestId('tokens').locator('small').allTextContents();
  return texts.map(Number);
}
