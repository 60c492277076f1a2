// Every section by the keyboard alone: Tab reaches all that can be worked, in the order of the page, each with a name and
// a focus that is seen, and leaves the page again; then each section's instruments are played without a pointer.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Page } from 'playwright-core';

import { dist, onPage, settle, withPage } from './support.ts';

withPage();

const withModel = existsSync(path.join(dist, 'models/default/model.safetensors'));
const skip = !withModel && 'models/default has no weights';

/** What the page notes of everything that Tab brings the focus to. */
interface Stop {
  what: string;
  named: boolean;
  /** Its outline is drawn, and it is in view. */
  seen: boolean;
  /** It comes after the one before in the document. */
  after: boolean;
}

async function walk(page: Page): Promise<{ stops: Stop[]; missed: string[]; left: boolean }> {
  await page.evaluate(() => {
    const found: Element[] = [];
    const notes: Stop[] = [];
    document.addEventListener('focusin', (event) => {
      const element = event.target as HTMLElement;
      const style = getComputedStyle(element);
      const box = element.getBoundingClientRect();
      const labels = (element as HTMLInputElement).labels;
      const by = element.getAttribute('aria-labelledby');
      const name =
        element.getAttribute('aria-label') ??
        (by === null ? null : document.getElementById(by)?.textContent) ??
        (labels && labels.length > 0 ? labels[0]!.textContent : element.textContent);
      const before = found.at(-1);
      notes.push({
        what: element.outerHTML.slice(0, 100),
        named: name.trim() !== '',
        seen:
          style.outlineStyle !== 'none' &&
          Number.parseFloat(style.outlineWidth) >= 2 &&
          box.width > 0 &&
          box.bottom > 0 &&
          box.top < window.innerHeight,
        after: !before || (before.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0,
      });
      found.push(element);
    });
    Object.assign(window, { walked: { found, notes } });
  });
  // until the focus is back with the browser itself
  const outside = () => page.evaluate(() => document.activeElement === document.body);
  let presses = 0;
  do await page.keyboard.press('Tab');
  while ((presses += 1) < 600 && !(await outside()));
  return page.evaluate(() => {
    const { found, notes } = (window as unknown as { walked: { found: Element[]; notes: Stop[] } }).walked;
    const reachable = [
      ...document.querySelectorAll<HTMLElement>(
        'a[href], button, input, textarea, select, summary, [tabindex="0"]',
      ),
    ].filter(
      (element) => !element.matches(':disabled') && element.checkVisibility({ visibilityProperty: true }),
    );
    return {
      stops: notes,
      missed: reachable
        .filter((element) => !found.includes(element))
        .map((element) => element.outerHTML.slice(0, 100)),
      left: document.activeElement === document.body,
    };
  });
}

async function focused(page: Page): Promise<string> {
  return page.evaluate(() => document.activeElement?.textContent.trim() ?? '');
}

/** Plays the instruments of a section; focus() stands for the walk there, which `walk` has shown to lead everywhere. */
const played: Readonly<Record<string, (page: Page) => Promise<void>>> = {
  start: async (page) => {
    const word = page.getByTestId('tokens').getByRole('button').nth(1);
    await word.focus();
    await page
      .locator('.lens-readout')
      .getByText(/looks most at/)
      .waitFor();
    await page.keyboard.press('Enter');
    assert.equal(await word.getAttribute('aria-pressed'), 'true');
    await page.getByRole('group', { name: 'Layer' }).getByRole('button', { name: '3' }).focus();
    await page.keyboard.press('Space');
    await page.waitForURL((url) => /layer=2&token=1/.test(url.hash));
  },
  tokenizer: async (page) => {
    const field = page.getByRole('textbox', { name: 'Sentence', exact: true });
    await field.focus();
    await page.keyboard.press('ControlOrMeta+A');
    await page.keyboard.type('unaffable');
    assert.equal(await page.getByTestId('tokens').locator('.token').count(), 5);
    await page.getByRole('button', { name: 'Step through' }).focus();
    await page.keyboard.press('Enter');
    await page.locator('.try').first().waitFor();
  },
  padding: async (page) => {
    await page.getByRole('button', { name: 'Add a sentence' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('textbox', { name: 'Sentence 4' }).focus();
    await page.keyboard.type('One more');
    await page.getByText('[4, 11]').first().waitFor();
  },
  mask: async (page) => {
    await page.getByRole('textbox').nth(1).focus();
    await page.keyboard.press('ControlOrMeta+A');
    await page.keyboard.type('good morning');
    await page.getByRole('cell', { name: 'good morning' }).waitFor();
  },
  architecture: async (page) => {
    await page.getByRole('button', { name: /^Embeddings/ }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('cell', { name: /^Position/ }).waitFor();
  },
  attention: async (page) => {
    await page.getByRole('region', { name: 'Lines between tokens' }).focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.getByText('What token looks at, strongest first').waitFor();
    await page.keyboard.press('Escape');
    await page.getByText('What [CLS] looks at, strongest first').waitFor();
    await page.getByRole('group', { name: 'Head' }).getByRole('button', { name: '4' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: /head 4/ }).waitFor();
  },
  mlm: async (page) => {
    await page.getByRole('button', { name: 'France', exact: true }).focus();
    await page.keyboard.press('Space');
    await page.getByTestId('mask-1').waitFor();
    await page.getByRole('slider').focus();
    await page.keyboard.press('ArrowRight');
    await page.getByText('0.51 → 0.67').or(page.getByText('loss 0.67')).first().waitFor();
  },
  nsp: async (page) => {
    await page.getByRole('button', { name: 'Pair 1 is labelled next; change' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Pair 1 is labelled not next; change' }).waitFor();
    await page.getByRole('group', { name: 'Cells pick out their pairs' }).getByRole('button').first().focus();
    await page.keyboard.press('Enter');
    await page.locator('tr.dimmed').first().waitFor();
  },
  model: async (page) => {
    await page.getByRole('button', { name: 'Hugging Face', exact: true }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('textbox').first().focus();
    await page.keyboard.type('no name at all');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').waitFor();
  },
};

for (const [section, play] of Object.entries(played)) {
  test(`${section}: walked and played with the keyboard`, { skip }, async () => {
    await onPage(`#/${section}`, async ({ page }) => {
      await settle(page);
      const { stops, missed, left } = await walk(page);
      assert.ok(stops.length > 15, `${stops.length} stops`);
      for (const fault of ['named', 'seen', 'after'] as const) {
        assert.deepEqual(
          stops.filter((stop) => !stop[fault]).map((stop) => stop.what),
          [],
          `not ${fault}`,
        );
      }
      assert.deepEqual(missed, [], 'never reached');
      assert.ok(left, `the focus stays on ${await focused(page)}`);
      await play(page);
    });
  });
}

test('where less motion is asked for, nothing moves by itself', { skip }, async () => {
  await onPage(
    '#/tokenizer',
    async ({ page }) => {
      for (const section of Object.keys(played)) {
        await page.goto(`${page.url().split('#')[0] ?? ''}#/${section}`);
        await settle(page);
        const moving = await page.evaluate(() =>
          [...document.querySelectorAll('*')]
            .filter((element) => {
              const style = getComputedStyle(element);
              const seconds = style.transitionDuration.split(',').map(Number.parseFloat);
              return style.animationName !== 'none' || seconds.some((duration) => duration > 0);
            })
            .map((element) => element.outerHTML.slice(0, 100)),
        );
        assert.deepEqual(moving, [], section);
      }
      // the greedy match steps when it is told to, and only then
      await page.goto(`${page.url().split('#')[0] ?? ''}#/tokenizer`);
      const tries = page.locator('.try');
      await tries.first().waitFor();
      const all = await tries.count();
      await page.getByRole('button', { name: 'Step through' }).click();
      await page.waitForFunction(() => document.querySelectorAll('.try').length === 1);
      await page.waitForTimeout(500);
      assert.equal(await tries.count(), 1);
      for (let i = 1; i < all; i += 1) await page.getByRole('button', { name: 'Next try' }).click();
      await page.getByRole('button', { name: 'Step through' }).waitFor();
      assert.equal(await tries.count(), all);
    },
    { reducedMotion: 'reduce' },
  );
});
