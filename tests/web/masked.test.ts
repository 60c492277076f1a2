// What follows a text that is typed into the masked word section, and pictures that are read with a finger.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { Page } from 'playwright-core';

import { dist, onPage, tableRows, withPage } from './support.ts';

const folder = path.join(dist, 'models/default/');
const missing = existsSync(path.join(folder, 'model.safetensors')) ? false : 'models/default has no weights';

describe('with the default model', { skip: missing }, () => {
  withPage();

  const editor = (page: Page) => page.getByRole('textbox', { name: 'Text', exact: true });
  const hiddenWords = (page: Page) => page.getByRole('button', { name: /, hidden: / }).count();

  test('typing keeps the hidden word while it is there, and a gap of the text’s own takes its place', async () => {
    await onPage('#/mlm', async ({ page }) => {
      await page.getByTestId('mask-0').waitFor({ timeout: 60_000 });
      await editor(page).fill('The capital of Germany is Paris.');
      await page.getByRole('button', { name: 'Paris, hidden: [MASK]' }).waitFor();
      await editor(page).fill('Paris is the [MASK] city of France today.');
      await page
        .getByText('a [MASK] of your own')
        .or(page.getByText(/^Mask 1$/))
        .first()
        .waitFor();
      assert.equal(await hiddenWords(page), 0);
      assert.equal(await page.locator('[data-testid^="mask-"]').count(), 1);
      await editor(page).fill('I love cats.');
      await page.getByRole('button', { name: 'cats, hidden: [MASK]' }).waitFor();
      // what a person chose stays chosen, also to hide nothing
      await page.getByRole('button', { name: 'cats, hidden: [MASK]' }).click();
      await editor(page).fill('I love cats!');
      await page.getByRole('button', { name: 'cats', exact: true }).waitFor();
      assert.equal(await hiddenWords(page), 0);
    });
  });

  test('the code runs also where nothing is hidden, and scores the words that are scored', async () => {
    await onPage('#/mlm?sentence=a%20word&hide=&linked=no', async ({ page }) => {
      const code = page.locator('.code pre');
      const tab = (name: string) =>
        page.getByRole('group', { name: 'Language' }).getByRole('button', { name }).click();
      await tab('JavaScript');
      assert.match(await code.innerText(), /await bert\.score\("a word"\)|await bert\.score\('a word'\)/);
      await tab('Command line');
      assert.match(await code.innerText(), /^bertlens score .*a word/);
      await page.getByRole('button', { name: 'word', exact: true }).click();
      await page.getByPlaceholder('words, separated by commas').fill('paris, london');
      await tab('Python');
      await page.locator('.code pre', { hasText: 'words = ["paris","london"]' }).waitFor();
      // "Paris" is an entry as the tokenizer writes it, other words are several pieces: none is scored as [UNK]
      const python = await code.innerText();
      assert.match(python, /ids = tokenizer\.encode\(word, add_special_tokens=False\)/);
      assert.match(python, /if len\(ids\) == 1 else "several pieces"/);
    });
  });

  test('a note on words that were given does not call one of them the model’s first guess', async () => {
    await onPage('#/mlm?targets=london,berlin', async ({ page }) => {
      await page.getByText(/Of the words you gave, the likeliest is/).waitFor({ timeout: 60_000 });
      assert.equal(await page.getByText(/The model’s first guess is/).count(), 0);
      await page.getByText('The likeliest of these put in:').waitFor();
    });
  });

  test('a word that the vocabulary cannot write is named, and the others are scored', async () => {
    await onPage('#/mlm?targets=london,🍕,berlin', async ({ page }) => {
      await page
        .getByText('Not scored: 🍕. The vocabulary has no pieces for it.')
        .waitFor({ timeout: 60_000 });
      const scored = page.getByTestId('mask-0').locator('.bar-label');
      await scored.nth(1).waitFor();
      assert.deepEqual((await scored.allInnerTexts()).sort(), ['berlin', 'london']);
      assert.equal(await page.getByRole('alert').count(), 0);
      await page.getByPlaceholder('words, separated by commas').fill('🍕, 🍔');
      await page.getByText('Not scored: 🍕 and 🍔. The vocabulary has no pieces for them.').waitFor();
      await scored.nth(9).waitFor();
      await page.getByText(/The model’s first guess is/).waitFor();
    });
  });

  test('long words are read whole beside their bars, which have one scale for all masks', async () => {
    const query = new URLSearchParams({
      sentence: 'The committee rejected the proposition.',
      hide: '1.2.4',
      targets: 'proposition, internationalization',
    });
    for (const width of [1440, 390]) {
      await onPage(
        `#/mlm?${query.toString()}`,
        async ({ page }) => {
          await page.getByTestId('mask-2').waitFor({ timeout: 60_000 });
          const bars = page.locator('[data-testid^="mask-"] .bar');
          const found = await bars.evaluateAll((rows) =>
            rows.map((row) => {
              const label = row.querySelector('.bar-label')!;
              return {
                cut: label.scrollWidth > label.clientWidth || label.scrollHeight > label.clientHeight,
                track: Math.round(row.querySelector('.bar-track')!.getBoundingClientRect().width),
              };
            }),
          );
          assert.equal(found.length, 6);
          assert.ok(found.every(({ cut }) => !cut));
          assert.equal(new Set(found.map(({ track }) => track)).size, 1);
        },
        { viewport: { width, height: 900 } },
      );
    }
  });

  test('Exercise 4’s sentence comes with the focus on its field', async () => {
    await onPage('#/mlm', async ({ page }) => {
      await page.getByTestId('mask-0').waitFor({ timeout: 60_000 });
      await page.getByRole('button', { name: 'Put the sentence into the instrument' }).press('Enter');
      await page.getByTestId('mask-2').waitFor();
      assert.ok(await editor(page).evaluate((field) => field === document.activeElement));
      assert.ok(await editor(page).isVisible());
      await page.keyboard.press('End');
      await page.keyboard.type('.');
      assert.match(await editor(page).inputValue(), /^The quick .*dog\.$/);
    });
  });

  test('a text of masks alone has no word to ask for, and says so', async () => {
    await onPage('#/mlm?sentence=%5BMASK%5D%20%5BMASK%5D&linked=no', async ({ page }) => {
      await page
        .getByText('There is no word to ask for: every token is a special one.')
        .waitFor({ timeout: 60_000 });
    });
  });

  test('a finger reads attention: what it pressed stays', async () => {
    const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
    await onPage(
      '#/attention',
      async ({ page }) => {
        const lines = page.getByRole('img', { name: /^Lines from/ });
        await lines.waitFor({ timeout: 60_000 });
        const before = await tableRows(page, 'Weights of one token');
        const whose = await page.getByText(/ looks at, strongest first/).innerText();
        await lines.tap({ position: { x: 30, y: 80 } });
        await page.waitForFunction((old) => !document.body.innerText.includes(old), whose);
        assert.notDeepEqual(await tableRows(page, 'Weights of one token'), before);
      },
      phone,
    );
  });
});
