// Section 4 of the page with a model loaded: its parts, its check sum, its tensors with statistics.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { Page } from 'playwright-core';

import { dist, onPage, tableRows, withPage } from './support.ts';

const file = path.join(dist, 'models/default/model.safetensors');
const missing = existsSync(file) ? false : 'models/default has no weights';
const arrived = { timeout: 90_000 };

/** The elements of an F32 tensor, read without any of our code. */
function elements(name: string): Float32Array {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<
    string,
    { dtype: string; data_offsets: [number, number] }
  >;
  const { dtype, data_offsets: range } = header[name]!;
  assert.equal(dtype, 'F32');
  return new Float32Array(
    bytes.buffer.slice(bytes.byteOffset + 8 + length + range[0], bytes.byteOffset + 8 + length + range[1]),
  );
}

async function tensorRows(page: Page): Promise<Record<string, string>[]> {
  const region = page.getByRole('region', { name: 'Tensors with shape, type and statistics' });
  await region.waitFor(arrived);
  const titles = await region.locator('thead th').allInnerTexts();
  const rows = await tableRows(page, 'Tensors with shape');
  return rows.map((row) =>
    Object.fromEntries(titles.map((title, i) => [title.replace(/ [↓↑]$/, '').trim(), row[i]!])),
  );
}

describe('architecture', { skip: missing }, () => {
  withPage();

  test('the loaded model: six layers, and a file whose elements are the sum of the formulas', async () => {
    await onPage('#/architecture', async ({ page }) => {
      await page.getByRole('button', { name: 'The loaded model' }).click(arrived);
      await page.waitForURL((url) => url.hash.includes('of=loaded'));
      assert.equal(await page.getByRole('button', { name: /^Layer \d+$/ }).count(), 6);
      const sum = await page.getByTestId('check-sum').innerText();
      assert.match(sum, /150 tensors with 22,893,116 elements\. = the sum of the formulas/);
      // the address brings it back, however late the section’s code comes
      await page.reload();
      await page.getByTestId('check-sum').waitFor(arrived);
    });
  });

  test('the heads take two ways from the layers, only one of them through the pooler', async () => {
    await onPage('#/architecture', async ({ page }) => {
      const parts = async (way: string) =>
        page
          .getByRole('group', { name: `From the layers to ${way}` })
          .getByRole('button')
          .allInnerTexts();
      const names = (texts: string[]) => texts.map((text) => text.split('\n')[0]);
      assert.deepEqual(names(await parts('masked words')), ['Masked word head']);
      assert.deepEqual(names(await parts('the next sentence')), ['Pooler', 'Next sentence head']);
      const stack = page.getByRole('group', { name: 'The parts, from left to right' });
      const over = await stack.evaluate((element) => element.scrollWidth - element.clientWidth);
      assert.ok(over <= 0, `${over} pixels are out of view`);
    });
  });

  test('own sizes begin as those on screen, and what does not fit together takes nothing away', async () => {
    await onPage('#/architecture?of=large', async ({ page }) => {
      const value = (name: string) => page.getByLabel(name, { exact: true }).inputValue();
      const layers = page.getByRole('button', { name: /^Layer \d+$/ });
      await page.getByRole('button', { name: 'Your own sizes' }).click();
      assert.equal(await value('Hidden size'), '1024');
      assert.equal(await value('Layers'), '24');
      const card = page.getByRole('region', { name: 'Where the parameters are' });
      const before = (await card.boundingBox())!;
      await page.getByLabel('Hidden size', { exact: true }).fill('1000');
      await page.getByText('16 heads cannot share 1000 numbers evenly').waitFor();
      assert.equal(await layers.count(), 24);
      assert.deepEqual(await card.boundingBox(), before);
      assert.equal(await card.locator('.stale').count(), 1);
      await page.getByLabel('Hidden size', { exact: true }).fill('1600');
      await page.getByText('Each head works on 100 of the 1,600 numbers.').waitFor();
      assert.equal(await card.locator('.stale').count(), 0);
      // what was typed stays while another BERT is looked at
      await page.getByRole('button', { name: 'bert-base-uncased' }).click();
      await page.getByRole('button', { name: 'Your own sizes' }).click();
      assert.equal(await value('Hidden size'), '1600');
    });
  });

  test('a saved table says what each part is in', async () => {
    await onPage('#/architecture', async ({ page }) => {
      await page.getByRole('button', { name: 'Export: The whole model' }).click();
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('button', { name: 'Save as CSV' }).click(),
      ]);
      const csv = readFileSync(await download.path(), 'utf8');
      const names = csv
        .split('\r\n')
        .slice(1, -1)
        .map((line) => line.split(',')[0]!);
      assert.equal(new Set(names).size, names.length);
      for (const name of ['Layer', 'Layer / Output', 'Layer / Self-attention / Output']) {
        assert.ok(names.includes(name), `${name} in ${names.join(', ')}`);
      }
    });
  });

  test('all tensors have rows of one height', async () => {
    for (const width of [1440, 1280, 390]) {
      await onPage(
        '#/architecture',
        async ({ page }) => {
          const rows = page
            .getByRole('region', { name: /^Tensors with shape/ })
            .locator('tbody tr:not(.gap)');
          await rows.first().waitFor(arrived);
          const heights = await rows.evaluateAll((all) =>
            all.map((row) => row.getBoundingClientRect().height),
          );
          assert.equal(heights.length, 150);
          assert.deepEqual([...new Set(heights)], [heights[0]]);
        },
        { viewport: { width, height: 900 } },
      );
    }
  });

  test('equal layers are drawn equal, and every area is true', async () => {
    for (const [of, layers, embeddings] of [
      ['base', 12, 23_837_184 / 109_482_240],
      ['loaded', 6, 11_918_592 / 22_713_216],
      ['large', 24, 31_782_912 / 335_141_888],
    ] as const) {
      await onPage(`#/architecture?of=${of}`, async ({ page }) => {
        if (of === 'loaded') await page.getByTestId('check-sum').waitFor(arrived);
        assert.match(
          await page.locator('.lead').innerText(),
          new RegExp(`a stack of ${layers} equal layers`),
        );
        await page.getByRole('button', { name: 'Export: Where the parameters are' }).click();
        const [download] = await Promise.all([
          page.waitForEvent('download'),
          page.getByRole('button', { name: 'Save as SVG' }).click(),
        ]);
        const svg = readFileSync(await download.path(), 'utf8');
        const fields = [...svg.matchAll(/<rect x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)" rx/g)].map(
          (found) => found.slice(1).map(Number) as [number, number, number, number],
        );
        const columns = new Map<number, string[]>();
        for (const [x, ...rest] of fields) columns.set(x, [...(columns.get(x) ?? []), rest.join(' ')]);
        const shapes = [...columns.values()].map((parts) => parts.join(', '));
        assert.equal(shapes.length, layers + 2);
        assert.equal(new Set(shapes.slice(1, -1)).size, 1);
        assert.equal(columns.get([...columns.keys()][1]!)!.length, 3);
        // from one column's beginning to the next
        const [start, first, second] = [...columns.keys()] as [number, number, number];
        const across = second - first;
        const share = (1 - embeddings) * ((first - start) / embeddings);
        assert.ok(Math.abs(share / (layers * across) - 1) < 0.03, `${share} for ${layers} of ${across}`);
      });
    }
  });

  test('the areas of the parameters can be read, pointed at and in numbers', async () => {
    await onPage('#/architecture', async ({ page }) => {
      const card = page.getByRole('region', { name: 'Where the parameters are' });
      const readout = card.locator('.readout');
      const canvas = card.locator('canvas');
      await canvas.hover({ position: { x: 10, y: 40 } });
      // 30,522 × 768 of 109,482,240
      assert.equal(
        (await readout.innerText()).replaceAll('\u00a0', ' '),
        'Embeddings, word: 23,440,896 parameters, 21.41 %',
      );
      assert.equal(await card.locator('.mark').count(), 1);
      await canvas.hover({ position: { x: 10, y: 5 } });
      await readout.getByText('Point at an area to read it.').waitFor();
      await card.locator('summary').click();
      const rows = await tableRows(page, 'Every part of the base model');
      assert.equal(rows.length, 4 + 12 * 3 + 1);
      assert.deepEqual(
        [rows[0], rows[3], rows[39], rows[40]].map((row) => row!.join(' ').replaceAll('\u00a0', ' ')),
        [
          'Embeddings, word 23,440,896 21.4 %',
          'Embeddings, layer norm 1,536 < 0.1 %',
          'Layer 12, output 2,361,600 2.2 %',
          'Pooler 590,592 0.5 %',
        ],
      );
    });
  });

  test('the key of the spreads is right in the dark as well, and a finger can press what is small', async () => {
    await onPage(
      '#/architecture?of=loaded',
      async ({ page }) => {
        await page.getByText(/The faint bar is the whole range, the strong one a deviation/).waitFor(arrived);
        const box = (await page.getByRole('button', { name: 'Its tensors, below' }).boundingBox())!;
        assert.ok(box.height >= 44, `${box.height} px high`);
      },
      { viewport: { width: 390, height: 844 }, colorScheme: 'dark', hasTouch: true, isMobile: true },
    );
  });

  test('tensors can be searched and sorted, and their statistics are those of the weights', async () => {
    const name = 'bert.encoder.layer.0.attention.self.query.bias';
    const values = elements(name);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    await onPage('#/architecture', async ({ page }) => {
      assert.equal((await tensorRows(page)).length, 150);
      await page.getByPlaceholder(/^Find by name/).fill('layer.0.attention.self.query.bias');
      const [row, more] = await tensorRows(page);
      assert.equal(more, undefined);
      assert.equal(row!['shape'], '[384]');
      const near = (title: string, value: number) => {
        const read = Number(row![title]!.replaceAll('−', '-'));
        assert.ok(Math.abs(read - value) < 1e-4, `${title} ${row![title]!} is not ${value}`);
      };
      near('mean', mean);
      near('deviation', deviation);
      near('least', Math.min(...values));
      near('greatest', Math.max(...values));
      await page.getByPlaceholder(/^Find by name/).fill('LayerNorm.weight');
      await page.getByRole('button', { name: 'greatest', exact: true }).click();
      const sorted = (await tensorRows(page)).map((entry) => Number(entry['greatest']));
      assert.ok(sorted.length > 5);
      assert.deepEqual(
        sorted,
        [...sorted].sort((a, b) => b - a),
      );
      assert.equal(await page.locator('th[aria-sort="descending"]').innerText(), 'greatest ↓');
      await page.getByPlaceholder(/^Find by name/).fill('nowhere');
      await page.getByText('No tensor has that in its name.').waitFor();
    });
  });
});
