// Section 2 of the page: cell 6 and Exercise 2 of the notebook.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';

import { onPage, tableRows, withPage } from './support.ts';

withPage();

async function facts(page: Page, strategy: string): Promise<Record<string, string>> {
  const pairs = await page
    .locator(`[data-strategy="${strategy}"] .facts > div`)
    .evaluateAll((found) =>
      found.map((pair) => [
        pair.querySelector('dt')?.textContent ?? '',
        (pair.querySelector('dd')?.textContent ?? '').replaceAll('\u00a0', ' '),
      ]),
    );
  return Object.fromEntries(pairs) as Record<string, string>;
}

test('the notebook’s batch in the three strategies', async () => {
  await onPage('#/padding', async ({ page }) => {
    await page.locator('[data-strategy="max_length"]').waitFor();
    assert.deepEqual(await facts(page, 'none'), { shape: 'none', 'rows of': '7, 4, 11' });
    assert.deepEqual(await facts(page, 'longest'), {
      shape: '[3, 11]',
      padding: '33.33 %',
      cells: '22 + 11',
    });
    assert.deepEqual(await facts(page, 'max_length'), {
      shape: '[3, 16]',
      padding: '54.17 %',
      cells: '22 + 26',
    });
    const ragged = await page.getByTestId('ragged').innerText();
    assert.match(ragged, /7/);
    assert.match(ragged, /padding/);
  });
});

test('the first sequence, padded to 16, as cell 6 prints it', async () => {
  await onPage('#/padding', async ({ page }) => {
    await page.getByRole('button', { name: 'To max_length' }).click();
    const rows = await tableRows(page, 'Sequence 1');
    assert.equal(rows.length, 16);
    assert.deepEqual(
      rows.slice(0, 8).map((row) => row.slice(1)),
      [
        ['[CLS]', '101', '1'],
        ['this', '2023', '1'],
        ['movie', '3185', '1'],
        ['was', '2001', '1'],
        ['amazing', '6429', '1'],
        ['!', '999', '1'],
        ['[SEP]', '102', '1'],
        ['[PAD]', '0', '0'],
      ],
    );
    const matrix = page.getByRole('region', { name: 'Tokens of the batch' });
    assert.equal(await matrix.locator('td').count(), 48);
    assert.equal(await matrix.locator('td.pad').count(), 26);
    await page.getByRole('button', { name: 'attention_mask' }).click();
    const mask = page.getByRole('region', { name: 'attention_mask of the batch' }).locator('tr').nth(1);
    assert.equal((await mask.locator('td').allTextContents()).join(''), '1111000000000000');
  });
});

test('the batch can be edited and lives in the address', async () => {
  await onPage('#/padding', async ({ page }) => {
    await page.getByRole('button', { name: 'Add a sentence' }).click();
    await page.getByRole('textbox', { name: 'Sentence 4' }).fill('One more.');
    assert.equal((await facts(page, 'longest'))['shape'], '[4, 11]');
    await page.getByRole('button', { name: 'Remove sentence 3' }).click();
    assert.equal((await facts(page, 'longest'))['shape'], '[3, 7]');
    await page.getByRole('spinbutton', { name: 'max_length' }).fill('5');
    assert.equal((await facts(page, 'max_length'))['shape'], '[3, 5]');
    await page.waitForURL((url) => url.hash.includes('max=5'));
    await page.reload();
    await page.locator('[data-strategy="max_length"]').waitFor();
    assert.equal((await facts(page, 'max_length'))['shape'], '[3, 5]');
  });
});

test('Exercise 2: 48.75, 83.98 and 35.23 percent', async () => {
  await onPage('#/padding', async ({ page }) => {
    await page.getByRole('button', { name: 'Exercise 2’s' }).click();
    assert.deepEqual(await facts(page, 'longest'), {
      shape: '[4, 20]',
      padding: '48.75 %',
      cells: '41 + 39',
    });
    assert.deepEqual(await facts(page, 'max_length'), {
      shape: '[4, 64]',
      padding: '83.98 %',
      cells: '41 + 215',
    });
    const exercise = page.locator('.exercise');
    const answers = ['20', '48.75', '83,98 %', '35.23'];
    for (const [i, answer] of answers.entries()) {
      const form = exercise.locator('form').nth(i);
      await form.getByRole('textbox').fill('7');
      await form.getByRole('button').click();
      await form.locator('.differ').waitFor();
      await form.getByRole('textbox').fill(answer);
      await form.getByRole('button').click();
      await form.getByText('Right.').waitFor();
    }
    await exercise.getByRole('button', { name: 'Show the answer' }).click();
    const verdicts = await exercise.locator('.verdict').allTextContents();
    assert.deepEqual(verdicts, ['= here', '= here', '= here', '= here', '= here']);
  });
});
