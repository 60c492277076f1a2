// ./run bench page: the page's own figures in Debian's Chromium, beside what they aim at: the work of a keystroke, of
// a move over the attention view at 512 tokens, a masked word's answer, what the first paint downloads, Lighthouse.
import assert from 'node:assert/strict';
import path from 'node:path';
import { chromium, type CDPSession, type Page } from 'playwright-core';
import { load } from 'bertlens/sync';

import { serve } from '../../web/server.ts';
import { freePort } from '../support/ports.ts';
import { audit, type Audit } from '../web/audit.ts';
import { dist, shownIds, switches } from '../web/support.ts';
import { median, printTable } from './common.ts';

const rounds = 40;
const frame = 1000 / 60;

const port = await freePort();
const { server, url } = await serve(dist);
const browser = await chromium.launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: [...switches, `--remote-debugging-port=${port}`],
});

async function open(hash: string): Promise<{ page: Page; devtools: CDPSession }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
  await page.goto(url + hash);
  return { page, devtools };
}

/** Two frames on: what an input sets off has been drawn by then. */
async function drawn(page: Page): Promise<void> {
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        requestAnimationFrame(() => requestAnimationFrame(resolve));
      }),
  );
}

/** Milliseconds of the main thread's processor time for each act, less what the measuring itself takes. */
async function work(
  { page, devtools }: { page: Page; devtools: CDPSession },
  act: (round: number) => Promise<void>,
) {
  const busy = async () => {
    const { metrics } = await devtools.send('Performance.getMetrics');
    return 1000 * metrics.find((metric) => metric.name === 'TaskDuration')!.value;
  };
  const measure = async (during: () => Promise<void>) => {
    const before = await busy();
    await during();
    await drawn(page);
    return (await busy()) - before;
  };
  const idle: number[] = [];
  const acting: number[] = [];
  for (let round = 0; round < rounds + 5; round += 1) {
    const nothing = await measure(() => Promise.resolve());
    const something = await measure(() => act(round));
    if (round < 5) continue; // until code is compiled
    idle.push(nothing);
    acting.push(something);
  }
  return Math.max(0, median(acting) - median(idle));
}

async function keystroke(): Promise<number> {
  const opened = await open('#/tokenizer');
  const { page } = opened;
  await page.getByTestId('tokens').waitFor();
  const field = page.getByRole('textbox', { name: 'Sentence', exact: true });
  await field.focus();
  await page.keyboard.press('End');
  const typed = ' Every letter is answered at once, whatever the word.';
  const figure = await work(opened, (round) => page.keyboard.press(typed.charAt(round % typed.length)));
  assert.ok((await shownIds(page)).length > 20, 'the keystrokes did not reach the tokenizer');
  await page.context().close();
  return figure;
}

/** From the page's own clock around the call, as its status line tells it. */
async function fillMask(): Promise<number> {
  const bert = await load(path.join(dist, 'models/default'));
  const { page } = await open('#/mlm');
  const answer = page.getByTestId('mask-0');
  await answer.waitFor({ timeout: 60_000 });
  const words = ['The', 'capital', 'of', 'France', 'is', 'Paris'];
  const times: number[] = [];
  await page.getByRole('button', { name: /^Paris, hidden/ }).click();
  for (let round = 0; round < rounds; round += 1) {
    const word = words[round % words.length]!;
    await page.getByRole('button', { name: word, exact: true }).click();
    await answer.getByRole('heading', { name: `Instead of ${word.toLowerCase()}` }).waitFor();
    await page.locator('.stale').waitFor({ state: 'detached' });
    const status = await page.locator('.status').first().innerText();
    times.push(Number(/last answer (\d+) ms/.exec(status)?.[1]));
    if (round < words.length) {
      const masked = words.map((one) => (one === word ? '[MASK]' : one)).join(' ');
      const best = bert.fillMask(`${masked}.`).masks[0]!.predictions[0]!.token;
      assert.equal(
        await answer.locator('.bar-label').first().innerText(),
        best,
        `the page's answer to ${masked}`,
      );
    }
    await page.getByRole('button', { name: `${word}, hidden: [MASK]` }).click();
  }
  bert.dispose();
  await page.context().close();
  return median(times);
}

async function attentionMove(): Promise<number> {
  const text = Array.from({ length: 510 }, (_, i) => (i % 2 === 0 ? 'time' : 'word')).join(' ');
  const opened = await open(`#/attention?text=${encodeURIComponent(text)}`);
  const { page } = opened;
  const lines = page.getByRole('region', { name: 'Lines between tokens' });
  await page.locator('canvas[aria-label^="Lines from 512"]').waitFor({ timeout: 120_000 });
  await lines.scrollIntoViewIfNeeded();
  const box = (await lines.boundingBox())!;
  const figure = await work(opened, (round) =>
    page.mouse.move(box.x + box.width / 2, box.y + 20 + ((round * 24) % (box.height - 40))),
  );
  assert.match(await page.getByText(/^What .* looks at/).innerText(), /time|word/);
  await page.context().close();
  return figure;
}

/** Script and style that have arrived by the first contentful paint, as they are transferred. */
async function firstPaint(): Promise<number> {
  const { page } = await open('');
  await page.locator('.section').waitFor();
  await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint').length > 0);
  const transferred = await page.evaluate(() => {
    const painted = performance.getEntriesByName('first-contentful-paint')[0]!.startTime;
    const entries = performance.getEntriesByType('resource') as PerformanceResourceTiming[];
    return entries
      .filter((entry) => entry.responseEnd <= painted && /\.(js|css)$/.test(new URL(entry.name).pathname))
      .reduce((sum, entry) => sum + entry.encodedBodySize, 0);
  });
  await page.context().close();
  assert.ok(transferred > 0, 'nothing was transferred');
  return transferred / 1000;
}

/** Each with the range of its runs where they differ: the performance is worked out from times of one run. */
async function lighthouseScores(): Promise<Record<string, string>> {
  const categories = ['performance', 'accessibility', 'best-practices'];
  const runs: Audit[] = [];
  for (let round = 0; round < 7; round += 1) runs.push(await audit(url, port, categories));
  return Object.fromEntries(
    categories.map((name) => {
      const scores = runs.map((run) => run.scores[name]!);
      const [least, most] = [Math.min(...scores), Math.max(...scores)];
      return [name, least === most ? `${least}` : `${median(scores)} (${least} to ${most})`];
    }),
  );
}

try {
  const key = await keystroke();
  const mask = await fillMask();
  const move = await attentionMove();
  const paint = await firstPaint();
  const scores = await lighthouseScores();
  printTable(
    rounds,
    ['figure', 'measured', 'aim'],
    [
      ['a keystroke in the tokenizer, work of the main thread', `${key.toFixed(1)} ms`, 'below 16 ms'],
      ['a masked word, default model', `${mask.toFixed(0)} ms`, 'below 100 ms'],
      [
        'a move over the attention of 512 tokens, work of the main thread',
        `${move.toFixed(1)} ms`,
        `below ${frame.toFixed(1)} ms`,
      ],
      ['script and style by the first paint, compressed', `${paint.toFixed(0)} KB`, 'below 100 KB'],
      ...Object.entries(scores).map(([name, score]) => [`Lighthouse, ${name}`, score, 'at least 95']),
    ],
  );
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}
