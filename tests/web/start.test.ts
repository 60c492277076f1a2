// The opening: the sentence's pieces at once, then where they look and how surprising they are, as the package computes them
// in Node; the way into the lesson; a dear connection is not burdened with the model unasked.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { load } from 'bertlens/sync';

import { dist, onPage, settle, shownIds, withPage, type Opened } from './support.ts';

withPage();

const folder = path.join(dist, 'models/default');
const skip = !existsSync(path.join(folder, 'model.safetensors')) && 'models/default has no weights';
// Builds of the engine round int8 differently.
const near = 0.02;

test('a word pointed at: where it looks and what was expected, as the package has it', { skip }, async () => {
  const text = 'The old king lived in a castle with his three daughters.';
  const word = 3; // "king", after [CLS], "the" and "old"
  const bert = await load(folder);
  const { attentions, encoding } = bert.encode(text, { attentions: [2] });
  const { data, shape } = attentions![2]!;
  const [heads, size] = shape as [number, number, number];
  const looks = Array.from({ length: size }, (_, to) => {
    let sum = 0;
    for (let head = 0; head < heads; head += 1) sum += data[(head * size + word) * size + to]!;
    return sum / heads;
  });
  looks[word] = 0;
  const most = Math.max(...looks);
  const score = bert.score(text).tokens.find((token) => token.position === word)!;
  bert.dispose();

  await onPage(`#/start?text=${encodeURIComponent(text)}&layer=2`, async ({ page }) => {
    await settle(page);
    await page.getByTestId('tokens').getByRole('button', { name: 'king' }).hover();
    const readout = page.locator('.lens-readout');
    await readout.getByText(/^king looks most at/).waitFor();
    const said = await readout.innerText();
    const found =
      /^king looks most at (\S+), with ([\d.]+)\. .*guess number ([\d,]+).*with ([\d.]+)\.$/s.exec(said);
    assert.ok(found, said);
    assert.equal(found[1], encoding!.tokens[looks.indexOf(most)]);
    assert.ok(Math.abs(Number(found[2]) - most) < near, said);
    assert.ok(Math.abs(Number(found[4]) - score.bestProbability) < near, said);
    const picture = await page.locator('canvas[aria-label^="Loss of each token"]').getAttribute('aria-label');
    const loss = Number(/king ([\d.]+)/.exec(picture ?? '')?.[1]);
    assert.ok(Math.abs(loss + score.logProbability) < 0.3, `${loss} and ${-score.logProbability}`);
  });
});

test(
  'what rests at [SEP] looks at a word too, and the riddle opens where there is something to see',
  { skip },
  async () => {
    await onPage('#/start', async ({ page }) => {
      await settle(page);
      const readout = page.locator('.lens-readout');
      await page.getByRole('button', { name: 'A riddle' }).click();
      await readout
        .getByText(
          /^it looks most at \[SEP\], a resting place, with 0\.\d+; of the words, at dog, with 0\.\d+\./,
        )
        .waitFor();
      await page.waitForURL((url) => /[?&]layer=3&token=7/.test(url.hash));
      await page.getByRole('group', { name: 'Layer' }).getByRole('button', { name: '6' }).click();
      await page.getByTestId('tokens').getByRole('button', { name: 'hungry' }).hover();
      await readout
        .getByText(
          /^hungry looks most at \[SEP\], a resting place, with 0\.\d+; of the words, at \w+, with 0\.\d+\./,
        )
        .waitFor();
    });
  },
);

test('what is said to be found is found there', { skip }, async () => {
  await onPage('#/start', async ({ page }) => {
    await settle(page);
    await page.getByRole('link', { name: '“chased” looks most at “cat”' }).click();
    await page.mouse.move(1, 1); // from whatever has come to lie beneath it
    await page
      .locator('.lens-readout')
      .getByText(/^chased looks most at cat, with 0\.\d+\./)
      .waitFor();
    await page.waitForFunction(() => window.scrollY === 0);
    await page.getByRole('link', { name: 'most of a sentence to “queen”' }).click();
    await page.getByRole('heading', { name: 'Layer 3, head 6: who looks at whom' }).waitFor();
    await page.getByText('What she looks at, strongest first').waitFor();
    await page.goBack();
    await page.getByRole('link', { name: 'One word' }).click();
    await page.getByTestId('tokens').getByRole('button', { name: 'anti' }).waitFor();
    assert.equal((await shownIds(page)).length, 2 + 8 + 6);
  });
  const bert = await load(folder);
  const third = (text: string) => {
    const { attentions, encoding } = bert.encode(text, { attentions: [2] });
    const { data, shape } = attentions![2]!;
    const [heads, size] = shape as [number, number, number];
    const row = (head: number, at: number) => [
      ...data.subarray((head * size + at) * size, (head * size + at + 1) * size),
    ];
    return { tokens: encoding!.tokens, heads, row };
  };
  const queen = third('The queen said that she was tired.');
  const lookedAt = queen.tokens.map((_, at) => {
    const row = queen.row(5, at);
    return queen.tokens[row.indexOf(Math.max(...row))];
  });
  assert.equal(lookedAt[queen.tokens.indexOf('she')], 'queen');
  assert.ok(lookedAt.filter((token) => token === 'queen').length > queen.tokens.length / 2);
  const dog = third('The dog chased the cat because it was hungry.');
  const chased = dog.tokens.indexOf('chased');
  const weights = dog.tokens.map((token, to) => ({
    token,
    weight: Array.from({ length: dog.heads }, (_, head) => dog.row(head, chased)[to]!).reduce(
      (a, b) => a + b,
    ),
  }));
  const words = weights
    .filter(({ token }) => /^\w+$/.test(token) && token !== 'chased')
    .sort((a, b) => b.weight - a.weight);
  assert.deepEqual(
    words.slice(0, 2).map(({ token }) => token),
    ['cat', 'dog'],
  );
  bert.dispose();
});

test('a full stop that is spoken of has a box', { skip }, async () => {
  await onPage('#/start?text=The+dog+sleeps&token=3', async ({ page }) => {
    await settle(page);
    const stop = page.locator('.lens-readout .said').filter({ hasText: /^\.$/ });
    await stop.waitFor();
    const grounds = await stop.evaluate((token) => [
      getComputedStyle(token).backgroundColor,
      getComputedStyle(token.closest('.lens-readout')!).backgroundColor,
    ]);
    assert.notEqual(grounds[0], grounds[1]);
  });
});

test('a second sentence of the address can be changed and taken away', async () => {
  await onPage('#/start?text=hello&pair=.world', async ({ page }) => {
    const other = page.getByRole('textbox', { name: 'Second sentence' });
    assert.equal(await other.inputValue(), 'world');
    assert.deepEqual(await shownIds(page), [101, 7592, 102, 2088, 102]);
    await other.fill('hello');
    assert.deepEqual(await shownIds(page), [101, 7592, 102, 7592, 102]);
    await page.getByRole('button', { name: 'Remove the second' }).click();
    assert.deepEqual(await shownIds(page), [101, 7592, 102]);
    assert.equal(await other.count(), 0);
  });
});

test('a model that did not come can be asked for again', { skip }, async () => {
  const body = async ({ page, said }: Opened) => {
    await page.context().route('**/model.safetensors', (route) => route.abort());
    await page.evaluate(() => {
      window.location.hash = '#/start';
    });
    await page.getByText('There is no model to ask.').waitFor();
    await page.getByRole('link', { name: 'Choose another model' }).waitFor();
    await page.context().unroute('**/model.safetensors');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText(/^The greatest surprise is/).waitFor({ timeout: 60_000 });
    said.length = 0; // the refused request
  };
  // which would fetch the weights unseen
  await onPage('#/padding', body, { serviceWorkers: 'block' });
});

test('the pieces are there before the model, and the contents lead to every section', async () => {
  await onPage('', async ({ page }) => {
    await page.getByTestId('tokens').waitFor();
    assert.equal((await shownIds(page)).length, 17);
    await page.getByRole('textbox', { name: 'Sentence', exact: true }).fill('hello world');
    assert.deepEqual(await shownIds(page), [101, 7592, 2088, 102]);
    const links = page.locator('.contents a');
    assert.equal(await links.count(), 8);
    await links.nth(1).click();
    await page.getByRole('heading', { level: 1, name: /rectangle/ }).waitFor();
    await page.getByRole('link', { name: 'bertlens: start' }).click();
    await page.getByRole('heading', { level: 1, name: /Look inside/ }).waitFor();
    // the sentence has come along
    assert.equal(
      await page.getByRole('textbox', { name: 'Sentence', exact: true }).inputValue(),
      'hello world',
    );
  });
});

test('more tokens than the picture holds', async () => {
  await onPage(`#/start?text=${encodeURIComponent('word '.repeat(80))}`, async ({ page }) => {
    await page.getByText('82 tokens are too many for one picture').waitFor();
    await page.getByText('The sections of the lesson take up to 512.').waitFor();
    await page.getByRole('textbox', { name: 'Sentence', exact: true }).fill('');
    await page.getByTestId('tokens').waitFor();
    assert.deepEqual(await shownIds(page), [101, 102]);
  });
});

test('where the connection is dear, the model comes when it is asked for', { skip }, async () => {
  await onPage('#/padding', async ({ page }) => {
    await page.addInitScript(() => {
      Object.defineProperty(navigator, 'connection', { value: { saveData: true } });
    });
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(`${page.url().split('#')[0] ?? ''}#/start`);
    await page.reload();
    const button = page.getByRole('button', { name: /^Load the model/ });
    await button.waitFor();
    await page.waitForTimeout(1000);
    assert.ok(!asked.some((url) => url.endsWith('.safetensors')));
    await button.click();
    await settle(page);
    assert.equal(await button.count(), 0);
  });
});
