// Sections 2 and 3 of the page: cell 6 and Exercise 2 of the notebook, and how the mask hides the padding.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { load } from 'bertlens';
import type { Page } from 'playwright-core';

import { dist, onPage, settle, tableRows, withPage } from './support.ts';

const missing = existsSync(path.join(dist, 'models/default/model.safetensors'))
  ? false
  : 'models/default has no weights';

withPage();

async function facts(page: Page, strategy: string): Promise<Record<string, string>> {
  const shown = page.locator(`[data-strategy="${strategy}"] .facts > div`);
  await shown.first().waitFor();
  const pairs = await shown.evaluateAll((found) =>
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
      'real + padding': '22 + 11',
    });
    assert.deepEqual(await facts(page, 'max_length'), {
      shape: '[3, 16]',
      padding: '54.17 %',
      'real + padding': '22 + 26',
    });
  });
});

test('without padding the cells form no tensor, and one press repairs them', async () => {
  await onPage('#/padding', async ({ page }) => {
    await page.locator('[data-strategy="longest"]').waitFor();
    const ragged = page.getByTestId('ragged');
    assert.equal(await ragged.count(), 0);
    await page.getByRole('button', { name: 'No padding' }).click();
    assert.match(await ragged.innerText(), /7, 4, 11 tokens .* with padding="longest"\./);
    await page.getByRole('button', { name: 'JavaScript' }).click();
    assert.match(await ragged.innerText(), /with \{ padding: 'longest' \}\./);
    const cells = page.getByRole('region', { name: 'Tokens of the batch' }).locator('td');
    assert.equal(await cells.count(), 22);
    await ragged.getByRole('button', { name: 'Pad to the longest' }).click();
    assert.equal(await cells.count(), 33);
    assert.equal(await ragged.count(), 0);
  });
});

test('a max_length that cannot be is brought within its bounds, and they are said', async () => {
  await onPage('#/padding', async ({ page }) => {
    await page.locator('[data-strategy="max_length"]').waitFor();
    const field = page.getByRole('spinbutton', { name: 'max_length' });
    const note = page.locator('.field-note');
    for (const [typed, kept] of [
      ['9999', '512'],
      ['1', '2'],
      ['-3', '2'],
      ['', '2'],
    ] as const) {
      await field.fill(typed);
      await field.press('Tab');
      assert.equal(await field.inputValue(), kept);
      assert.equal(await note.innerText(), '2 to 512');
      assert.equal((await facts(page, 'max_length'))['shape'], `[3, ${kept}]`);
    }
    await field.fill('16');
    assert.equal(await note.innerText(), '');
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

test('the hand goes on where a sentence was added, and stays when the last one is removed', async () => {
  await onPage('#/padding', async ({ page }) => {
    await page.getByRole('button', { name: 'Add a sentence' }).click();
    await page.keyboard.type('One more');
    assert.equal((await facts(page, 'longest'))['shape'], '[4, 11]');
    assert.equal(await page.getByRole('textbox', { name: 'Sentence 4' }).inputValue(), 'One more');
    await page.getByRole('button', { name: 'Remove sentence 4' }).press('Enter');
    await page.keyboard.type('!');
    assert.match(await page.getByRole('textbox', { name: 'Sentence 3' }).inputValue(), /!/);
  });
});

test('what is cut off is counted, also without padding', async () => {
  const texts = JSON.stringify(['word '.repeat(612), 'Bad.', 'I would not watch it again, honestly.']);
  const query = new URLSearchParams({ batch: texts, max: '6' });
  await onPage(`#/padding?${query.toString()}`, async ({ page }) => {
    await page.getByText('Sentence 1 has 614 tokens: more than BERT has positions.').waitFor();
    assert.equal((await facts(page, 'none'))['rows of'], '512, 4, 11');
    await page.getByText('The first holds 527 real tokens, the second only 16, because it cuts.').waitFor();
    await page.getByRole('textbox', { name: 'Sentence 1' }).fill('Good.');
    await page.getByText(/more than BERT has positions/).waitFor({ state: 'detached' });
    await page.getByText('The first holds 19 real tokens, the second only 14, because it cuts.').waitFor();
    await page.getByRole('spinbutton', { name: 'max_length' }).fill('16');
    await page.getByText('Both hold the same 19 real tokens.').waitFor();
  });
});

test('Exercise 2’s batch comes with the focus on its first text', async () => {
  await onPage('#/padding', async ({ page }) => {
    await page.getByRole('button', { name: 'Put this batch into the instrument' }).press('Enter');
    const first = page.getByRole('textbox', { name: 'Sentence 1' });
    await page.getByRole('textbox', { name: 'Sentence 4' }).waitFor();
    assert.ok(await first.evaluate((field) => field === document.activeElement));
    assert.equal(await first.inputValue(), 'Great!');
  });
});

test('Exercise 2: 48.75, 83.98 and 35.23 percent', async () => {
  await onPage('#/padding', async ({ page }) => {
    await page.getByRole('button', { name: 'Exercise 2’s' }).click();
    assert.deepEqual(await facts(page, 'longest'), {
      shape: '[4, 20]',
      padding: '48.75 %',
      'real + padding': '41 + 39',
    });
    assert.deepEqual(await facts(page, 'max_length'), {
      shape: '[4, 64]',
      padding: '83.98 %',
      'real + padding': '41 + 215',
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

describe('the mask', { skip: missing }, () => {
  test('the scores of [CLS], the mask, and the weights with and without it, as the package has them', async () => {
    const bert = await load(path.join(dist, 'models/default/'), { threads: 1 });
    const options = {
      tokenizer: { padding: 'max_length', maxLength: 4 },
      attentions: [0],
      probes: { scores: [0] },
    } as const;
    const masked = await bert.encode('hello', options);
    const unmasked = await bert.encode('hello', { ...options, useAttentionMask: false });
    await bert.dispose();
    // the second head's first row
    const row = (data: Float32Array) => [...data.subarray(16, 20)];
    const scores = row(masked.probes!.scores![0]!.data);
    const withMask = row(masked.attentions![0]!.data);
    const without = row(unmasked.attentions![0]!.data);
    assert.equal(withMask[3], 0);
    assert.deepEqual(row(unmasked.probes!.scores![0]!.data), scores);
    await onPage('#/mask', async ({ page }) => {
      await settle(page);
      const card = page.getByRole('region', { name: 'Minus infinity in, exactly 0 out' });
      await card.getByRole('group', { name: 'Head' }).getByRole('button', { name: '2' }).click();
      await card.getByRole('row').nth(4).waitFor();
      const rows = await tableRows(page, 'What [CLS] gives');
      assert.deepEqual(
        rows.map((cells) => cells[0]),
        ['[CLS]', 'hello', '[SEP]', '[PAD]', 'Sum'],
      );
      assert.deepEqual(
        rows.map((cells) => cells[2]),
        ['0', '0', '0', '−∞', ''],
      );
      for (const [i, cells] of rows.slice(0, 4).entries()) {
        // the browser may compute with other kernels
        const near = (text: string, value: number, within: number) => {
          assert.ok(Math.abs(Number(text.replace('−', '-')) - value) < within, `${text} is not ${value}`);
        };
        near(cells[1]!, scores[i]!, 0.05);
        near(cells[3]!, withMask[i]!, 0.02);
        near(cells[4]!, without[i]!, 0.02);
      }
      assert.equal(rows[3]![3], '0');
      await card.getByRole('button', { name: 'hello world' }).click();
      await card.getByText('the mask is 0 everywhere').waitFor();
    });
  });

  test('a text longer than the model takes can be cut', async () => {
    await onPage('#/mask', async ({ page }) => {
      await settle(page);
      await page.getByRole('textbox').nth(1).fill('hello '.repeat(600));
      const trouble = page.getByRole('alert').first();
      await trouble.getByText('Text 2: 602 tokens; BERT has 512 positions').waitFor();
      await trouble.getByRole('button', { name: 'Keep the first 512' }).click();
      await trouble.waitFor({ state: 'detached' });
      await page.getByRole('cell', { name: '512', exact: true }).waitFor();
    });
  });

  test('a text that is still to be written is spoken of nowhere', async () => {
    await onPage('#/mask', async ({ page }) => {
      await settle(page);
      const curve = page.locator('canvas[aria-label^="Distance of [CLS] by padding tokens"]');
      await curve.waitFor();
      const before = await curve.getAttribute('aria-label');
      const table = page.getByRole('region', { name: /^Distance of the \[CLS\] vectors/ });
      await page.getByRole('button', { name: 'Add a text' }).click();
      await table.getByRole('row').nth(3).waitFor();
      await page.waitForFunction(() => !document.querySelector('.stale'));
      const notice = page.locator('.note', { has: page.getByRole('heading', { name: 'What to notice' }) });
      assert.match(await notice.innerText(), /“hello” got 1 padding token/);
      assert.equal(await curve.getAttribute('aria-label'), before);
    });
  });

  test('the points of the charts can be read, pointed at, tapped and in numbers', async () => {
    const bert = await load(path.join(dist, 'models/default/'), { threads: 1 });
    const { perLayer } = await bert.maskEffect(['hello world', 'hello']);
    const [ofPadding] = await bert.maskEffectCurve('hello', [64]);
    await bert.dispose();
    const body = async ({ page }: { page: Page }, touch: boolean) => {
      await settle(page);
      const read = async (title: string, share: number, shown: RegExp, value: number) => {
        const card = page.getByRole('region', { name: title });
        const canvas = card.locator('canvas');
        await canvas.waitFor();
        await canvas.scrollIntoViewIfNeeded();
        const { width } = (await canvas.boundingBox())!;
        // where the axis begins and ends; up there the upper line is the nearest
        const position = { x: 44 + (width - 140) * share, y: 45 };
        await (touch ? canvas.tap({ position }) : canvas.hover({ position }));
        const readout = card.locator('.readout');
        await readout.getByText(shown).waitFor();
        const number = await readout.locator('b').innerText();
        // the browser may compute with other kernels
        assert.ok(Math.abs(Number(number) - value) < 2e-3, `${number} is not ${value}`);
        await card.locator('summary').click();
        assert.ok(await card.getByRole('cell', { name: number, exact: true }).isVisible());
        if (!touch) await readout.getByText('Point at the chart to read it.').waitFor();
      };
      await read('Layer by layer', 5 / 6, /^hello, after layer 5: \d/, perLayer[1]![5]!);
      await read('By the amount of padding', 1, /^hello, with 64 padding tokens: \d/, ofPadding!);
    };
    await onPage('#/mask', (opened) => body(opened, false));
    await onPage('#/mask', (opened) => body(opened, true), {
      viewport: { width: 390, height: 844 },
      hasTouch: true,
      isMobile: true,
    });
  });

  test('the curve is said to rise only where it does', async () => {
    const short = 'Great!'; // Exercise 2’s, whose curve falls at its second token
    const bert = await load(path.join(dist, 'models/default/'), { threads: 1 });
    const curves = await Promise.all(
      ['hello', short].map((text) =>
        bert.maskEffectCurve(text, [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]),
      ),
    );
    await bert.dispose();
    const texts = ['hello world', short].map((text) => `${text} and more words after it`);
    for (const [i, text] of ['hello', short].entries()) {
      const rises = curves[i]!.every((distance, at, all) => at === 0 || distance >= all[at - 1]!);
      assert.equal(rises, i === 0);
      const query = new URLSearchParams({ texts: JSON.stringify([texts[i], text]) });
      await onPage(`#/mask?${query.toString()}`, async ({ page }) => {
        const card = page.getByRole('region', { name: 'By the amount of padding' });
        await card
          .getByText(
            rises
              ? 'The more padding, the further off.'
              : /^With 2 padding tokens \[CLS\] is less far off than with 1: more padding is not always worse\.$/,
          )
          .waitFor({ timeout: 60_000 });
      });
    }
  });

  test('a text has one colour in all charts', async () => {
    await onPage('#/mask', async ({ page }) => {
      await settle(page);
      const stroke = async (title: string, name: string) => {
        await page.getByRole('region', { name: title }).locator('canvas').waitFor();
        await page.getByRole('button', { name: `Export: ${title}` }).click();
        const [download] = await Promise.all([
          page.waitForEvent('download'),
          page.getByRole('button', { name: 'Save as SVG' }).click(),
        ]);
        const svg = await readFile(await download.path(), 'utf8');
        // each line is followed by its points and its name
        return new RegExp(`stroke="([^"]+)" stroke-width="2"/>(?:<rect[^>]*>)*<text[^>]*>${name}<`).exec(
          svg,
        )?.[1];
      };
      const colour = await stroke('Layer by layer', 'hello');
      assert.ok(colour);
      assert.equal(await stroke('By the amount of padding', 'hello'), colour);
    });
  });
});
