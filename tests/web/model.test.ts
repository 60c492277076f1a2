// The page's sections that need a model (3, 5, 6, 7), with the default one: what is on screen is what the package gives
// for the same input in Node, and what the notebook's cells state of the input.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { load, type Bert } from 'bertlens';

import { dist, onPage, tableRows, withPage } from './support.ts';

const folder = path.join(dist, 'models/default/');
const missing = existsSync(path.join(folder, 'model.safetensors')) ? false : 'models/default has no weights';

// Builds of the engine differ in the order of sums, int8 activations a little more; screens show four digits.
const near = 0.004;

describe('with the default model', { skip: missing }, () => {
  let bert: Bert;
  before(async () => {
    bert = await load(folder, { threads: 1 });
  });
  after(async () => {
    await bert.dispose();
  });
  withPage();

  test('the hidden word of cell 9: labels, the ten best, the loss', async () => {
    const { masks, loss } = await bert.fillMask('The capital of France is [MASK].', {
      topK: 10,
      labelText: 'The capital of France is Paris.',
    });
    await onPage('#/mlm', async ({ page }) => {
      const rows = page.getByTestId('mask-0').getByRole('listitem');
      await rows.first().waitFor({ timeout: 60_000 });
      const probabilities = (await rows.locator('.bar-value').allInnerTexts()).map(Number);
      assert.equal(probabilities.length, 10);
      masks[0]!.predictions.forEach((prediction, i) => {
        assert.ok(Math.abs(prediction.probability - probabilities[i]!) < near);
      });
      assert.ok(Math.abs(Number(await page.getByTestId('loss').innerText()) - loss!) < 0.05);
      await page.getByText('[-100, -100, -100, -100, -100, -100, 3000, -100, -100]').first().waitFor();
      const labels = page.locator('.printed dl').first().locator('.verdict').first();
      assert.equal(await labels.innerText(), '= here');
      // the strip of surprises agrees with the mask: the same word, hidden alone
      const strip = await tableRows(page, 'Probability, loss and place');
      assert.deepEqual(
        strip.map((row) => row[0]),
        ['the', 'capital', 'of', 'france', 'is', 'paris', '.'],
      );
      assert.ok(Math.abs(Number(strip[5]![2]) - loss!) < 0.05);
    });
  });

  test('two hidden words, and words to be scored', async () => {
    await onPage('#/mlm', async ({ page }) => {
      await page.getByTestId('mask-0').waitFor({ timeout: 60_000 });
      await page.getByRole('button', { name: 'capital', exact: true }).click();
      await page.getByTestId('mask-1').waitFor();
      await page.getByPlaceholder('words, separated by commas').fill('paris, london');
      const scored = page.getByTestId('mask-1').locator('.bar-label');
      await page.waitForTimeout(500);
      assert.deepEqual((await scored.allInnerTexts()).map((text) => text.trim()).sort(), ['london', 'paris']);
    });
  });

  test('cell 11: probabilities of the next sentence', async () => {
    const verdict = await bert.nextSentence(
      'The weather is beautiful today.',
      "I think I'll go for a walk in the park.",
    );
    await onPage('#/nsp', async ({ page }) => {
      const values = page.getByTestId('verdict').locator('.bar-value');
      await values.first().waitFor({ timeout: 60_000 });
      const [isNext, notNext] = (await values.allInnerTexts()).map((text) => Number(text.replace('<', '')));
      assert.ok(Math.abs(isNext! - verdict.isNext) < near);
      assert.ok(Math.abs(isNext! + notNext! - 1) < 2e-4);
    });
  });

  test('Exercise 5: the confusion matrix counts the ten pairs and picks them out', async () => {
    await onPage('#/nsp', async ({ page }) => {
      const cells = page.locator('[data-cell] b');
      await cells.first().waitFor({ timeout: 60_000 });
      const [tp, fn, fp, tn] = (await cells.allInnerTexts()).map(Number);
      assert.equal(tp! + fn!, 5);
      assert.equal(fp! + tn!, 5);
      const accuracy = await page.locator('.metrics dd').first().innerText();
      assert.equal(accuracy.replaceAll('\u00a0', ' '), `${(10 * (tp! + tn!)).toFixed(2)} %`);
      await page.locator('[data-cell="tn"]').click();
      assert.equal(await page.locator('.pairs tbody tr:not(.dimmed)').count(), tn);
      // every pair is "next" above a threshold of 0
      await page.getByRole('slider').fill('0');
      await page.locator('[data-cell="tn"] b', { hasText: '0' }).waitFor();
    });
  });

  test('pairs can be pasted, and a bad line is named', async () => {
    await onPage('#/nsp', async ({ page }) => {
      await page.getByRole('button', { name: 'Paste CSV' }).click();
      const field = page.getByLabel(/One pair a line/);
      await field.fill('"A, b.","C.",true\nD.,E.,perhaps');
      await page.getByRole('button', { name: 'Use these pairs' }).click();
      await page.getByText('Line 2: is_next is “perhaps”; write true or false.').waitFor();
      await field.fill('first,second,is_next\n"A, b.","C.",true\nD.,E.,no\n');
      await page.getByRole('button', { name: 'Use these pairs' }).click();
      assert.equal(await page.getByLabel('Pair 1, first sentence').inputValue(), 'A, b.');
      assert.equal(await page.locator('.pairs tbody tr').count(), 2);
    });
  });

  test('attention: the weights of a token are the model’s and sum to 1', async () => {
    const text = 'Tokenization and padding are fundamental steps in most NLP pipelines.';
    const { attentions } = await bert.encode(text, { attentions: [1] });
    const { shape, data } = attentions![1]!;
    const size = shape[1]!;
    await onPage('#/attention?layer=1&head=2', async ({ page }) => {
      await page.getByRole('img', { name: /^Lines from 17 tokens/ }).waitFor({ timeout: 60_000 });
      const rows = await tableRows(page, 'Weights of one token');
      assert.equal(rows.length, size);
      const sum = rows.reduce((total, row) => total + Number(row[2]!.replace('< ', '')), 0);
      assert.ok(Math.abs(sum - 1) < 0.002);
      for (const row of rows) {
        const weight = data[2 * size * size + Number(row[0])]!;
        assert.ok(Math.abs(weight - Number(row[2]!.replace('< ', ''))) < 0.02);
      }
    });
  });

  test('the mask: nothing moves where nothing is padded', async () => {
    const { clsL2 } = await bert.maskEffect(['hello world', 'hello']);
    await onPage('#/mask', async ({ page }) => {
      await page.getByRole('img', { name: /by padding tokens/ }).waitFor({ timeout: 60_000 });
      const rows = await tableRows(page, 'Distance of the [CLS] vectors');
      assert.deepEqual(rows[0], ['hello world', '4', '0', '0.0000']);
      assert.deepEqual(rows[1]!.slice(0, 3), ['hello', '3', '1']);
      assert.ok(Math.abs(Number(rows[1]![3]) - clsL2[1]!) < 0.05 * clsL2[1]!);
    });
  });

  test('the mask, token by token: the distances are the package’s', async () => {
    const { perToken } = await bert.maskEffect(['hello world', 'hello']);
    await onPage('#/mask', async ({ page }) => {
      const picture = page.getByRole('img', { name: /^Distance of each token/ });
      await picture.waitFor({ timeout: 60_000 });
      const label = (await picture.getAttribute('aria-label'))!;
      const rows = label.split(': ')[1]!.split('; ');
      assert.deepEqual(
        rows.map((row) => row.split(' ')[0]),
        ['[CLS]', 'hello', '[SEP]'],
      );
      rows.forEach((row, token) => {
        row
          .split(' ')
          .slice(1)
          .forEach((shown, layer) => {
            const expected = perToken[1]![layer]![token]!;
            assert.ok(Math.abs(Number(shown) - expected) < 0.02 + 0.05 * expected);
          });
      });
    });
  });

  test('attention over 512 tokens: filters, zoom, a token’s lines and a cell’s weight', async () => {
    const text = 'one two three '.repeat(170);
    await onPage(`#/attention?text=${encodeURIComponent(text)}`, async ({ page }) => {
      await page.getByRole('img', { name: '512 by 512 weights' }).waitFor({ timeout: 120_000 });
      await page.getByRole('button', { name: 'Closer' }).click();
      const matrix = page.getByRole('img', { name: '512 by 512 weights' });
      assert.ok((await matrix.boundingBox())!.width >= 5 * 512);
      await matrix.hover({ position: { x: 5 * 3 + 2, y: 5 * 7 + 2 } });
      await page.getByText(/\(place 7\) looks at .+ \(place 3\) with/).waitFor();
      // the lines are drawn for what is in view, and pointed at where they have been scrolled to
      const lines = page.getByRole('img', { name: /^Lines from 512 tokens/ });
      await lines.hover({ position: { x: 40, y: 106 } });
      await page.getByText('What one looks at, strongest first').waitFor();
      await page.locator('.marked-picture .mark').waitFor();
      await page.getByRole('region', { name: 'Lines between tokens' }).evaluate((frame) => {
        frame.scrollTop = 6000;
      });
      await lines.hover({ position: { x: 40, y: 106 } });
      await page.getByText('What two looks at, strongest first').waitFor();
      await page.getByRole('slider').fill('50');
      await page.getByText('Every head in numbers').click();
      const heads = await tableRows(page, 'Heads: shares');
      assert.equal(heads.length, 16);
      for (const row of heads) assert.ok(Number.parseFloat(row[6]!) <= 9);
    });
  });

  test('pairs can be opened from a CSV file', async () => {
    await onPage('#/nsp', async ({ page }) => {
      const field = page.getByLabel('A CSV file of pairs');
      const csv = (text: string) => ({ name: 'my.csv', mimeType: 'text/csv', buffer: Buffer.from(text) });
      await field.setInputFiles(csv('A.,B.\n'));
      await page.getByText('my.csv: Line 1 has 2 fields; it needs three').waitFor();
      await field.setInputFiles(csv('first,second,is_next\nA.,B.,true\nC.,D.,false\nE.,F.,true\n'));
      await page.getByLabel('Pair 3, first sentence').waitFor();
      assert.equal(await page.locator('.pairs tbody tr').count(), 3);
      assert.equal(await page.getByText('my.csv:').count(), 0);
    });
  });
});
