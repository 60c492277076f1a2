// Section 1 of the page: cells 3 to 5 and Exercise 1 of the notebook, the explanation, the vocabulary.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { onPage, shownIds, tableRows, withPage, type Opened } from './support.ts';

withPage();

const sampleIds = [
  101, 19204, 3989, 1998, 11687, 4667, 2024, 8050, 4084, 1999, 2087, 17953, 2361, 13117, 2015, 1012, 102,
];
const caption = 'The tokens of the sentence';

test('the notebook’s sentence stands there with the notebook’s ids', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    await page.getByTestId('tokens').waitFor();
    assert.deepEqual(await shownIds(page), sampleIds);
    const rows = await tableRows(page, caption);
    assert.equal(rows.length, 17);
    assert.deepEqual(rows[0], ['0', '[CLS]', '101', '0', '1', '–', '']);
    assert.deepEqual(rows[2], ['2', '##ization', '3989', '0', '1', '5–12', '0']);
    assert.deepEqual(rows[15], ['15', '.', '1012', '0', '1', '68–69', '10']);
  });
});

test('what is written from right to left stands so', async () => {
  await onPage(`#/tokenizer?text=${encodeURIComponent('שָׁלוֹם עולם!')}`, async ({ page }) => {
    await page.getByTestId('tokens').waitFor();
    for (const part of ['.editor textarea', '.editor-backdrop', '.ladder']) {
      const direction = await page.locator(part).evaluate((element) => getComputedStyle(element).direction);
      assert.equal(direction, 'rtl', part);
    }
    // of a change what was stands before what is, whatever the letters
    const change = page.locator('.change').first();
    const [from, to] = [await change.locator('s').boundingBox(), await change.locator('b').boundingBox()];
    assert.ok(from!.x < to!.x);
    await page.getByRole('textbox', { name: 'Sentence', exact: true }).fill('hello');
    const direction = await page
      .locator('.ladder')
      .evaluate((element) => getComputedStyle(element).direction);
    assert.equal(direction, 'ltr');
  });
});

test('typing answers at once and is kept in the address', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    const field = page.getByRole('textbox', { name: 'Sentence', exact: true });
    await field.fill('Café déjà vu 東京 🙂');
    assert.deepEqual(await shownIds(page), [101, 7668, 2139, 3900, 24728, 1879, 1755, 100, 102]);
    await page.waitForURL((url) => url.hash.includes('text='));
    await page.reload();
    await page.getByTestId('tokens').waitFor();
    assert.equal(await field.inputValue(), 'Café déjà vu 東京 🙂');
    await field.fill('');
    assert.deepEqual(await shownIds(page), [101, 102]);
  });
});

test('a section opened right after typing, or left and opened again at once, is the one on show', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    await page.evaluate(() => {
      const later = window.setTimeout.bind(window);
      window.setTimeout = ((run: () => void, wait: number) => {
        if (wait === 250) Object.assign(window, { writeAddress: run });
        return later(run, wait);
      }) as typeof setTimeout;
    });
    await page.getByRole('textbox', { name: 'Sentence', exact: true }).fill('hello world');
    await page.evaluate(() => {
      document.querySelector<HTMLElement>('a.rail-link[href^="#/padding"]')!.click();
      // the address of what was typed, written when the link is followed but not heard of
      (window as unknown as { writeAddress: () => void }).writeAddress();
    });
    await page.waitForFunction(() => document.title.startsWith('Padding'));
    await page.waitForFunction(() => window.location.hash === '#/padding?text=hello+world');

    await page.evaluate(async () => {
      const { hash } = window.location;
      await new Promise((heard) => {
        window.addEventListener('hashchange', heard, { once: true });
        window.location.hash = '#/tokenizer?text=hello+world';
      });
      window.location.hash = hash;
    });
    await page.waitForTimeout(400);
    assert.match(await page.title(), /^Padding/);
    assert.match(await page.evaluate(() => window.location.hash), /^#\/padding/);
  });
});

test('a second sentence gives token types 0 and 1, at once where the table is in sight', async () => {
  const body = async ({ page }: Opened) => {
    await page.getByRole('button', { name: 'Add a second sentence' }).click();
    await page.getByRole('textbox', { name: 'Sentence', exact: true }).fill('How are you?');
    await page.getByRole('textbox', { name: 'Second sentence' }).fill('Fine.');
    const rows = await tableRows(page, caption);
    assert.equal(rows.map((row) => row[3]).join(''), '000000111');
    await page.getByRole('button', { name: 'Remove the second' }).click();
    assert.equal((await tableRows(page, caption)).length, 6);
  };
  await onPage('#/tokenizer', body, { viewport: { width: 1280, height: 3000 } });
});

test('what is out of sight follows when the hand rests, or when it comes into sight', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    const field = page.getByRole('textbox', { name: 'Sentence', exact: true });
    const table = page.locator(`[role="region"][aria-label^="${caption}"]`);
    await table.locator('tbody tr').nth(16).waitFor();
    await page.evaluate(async () => {
      // by then the page has been told that the table is below the window
      await new Promise((told) => {
        requestAnimationFrame(() => requestAnimationFrame(told));
      });
      const later = window.setTimeout.bind(window);
      const waiting: (() => void)[] = [];
      window.setTimeout = ((run: () => void, wait: number) =>
        wait === 300 ? waiting.push(run) : later(run, wait)) as typeof setTimeout;
      const rest = () => {
        for (const run of waiting.splice(0)) run();
      };
      Object.assign(window, { rest });
    });
    await field.fill('hello');
    assert.deepEqual(await shownIds(page), [101, 7592, 102]);
    assert.equal((await tableRows(page, caption)).length, 17);
    await page.evaluate(() => {
      (window as unknown as { rest: () => void }).rest();
    });
    await table.locator('tbody tr').nth(3).waitFor({ state: 'detached' });
    assert.equal((await tableRows(page, caption)).length, 3);

    await field.fill('hello world');
    assert.equal((await tableRows(page, caption)).length, 3);
    await table.scrollIntoViewIfNeeded();
    await table.locator('tbody tr').nth(3).waitFor();
    assert.equal((await tableRows(page, caption))[2]?.[1], 'world');
  });
});

test('a word pointed at is lit in the text, the tokens and the table', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    await page.getByTestId('tokens').getByRole('button').nth(2).hover();
    await page.locator('tr[data-on]').first().waitFor();
    const lit = await page
      .locator('[data-on]')
      .evaluateAll((found) => found.map((element) => element.tagName));
    assert.ok(
      lit.includes('SPAN') && lit.includes('BUTTON') && lit.filter((name) => name === 'TR').length === 2,
    );
  });
});

test('the greedy match shows every try for the chosen word', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    const ladder = page.getByRole('region', { name: 'Tries for tokenization' });
    const tries = await ladder.getByRole('listitem').allTextContents();
    const failed = [
      'tokenization',
      'tokenizatio',
      'tokenizati',
      'tokenizat',
      'tokeniza',
      'tokeniz',
      'tokeni',
    ];
    assert.deepEqual(tries, [...failed.map((text) => `${text}no`), 'tokenid 19204', '##izationid 3989']);
    await page
      .getByTestId('tokens')
      .getByRole('button', { name: /pipeline/ })
      .click();
    await page.getByRole('region', { name: 'Tries for pipelines' }).waitFor();
  });
});

test('what to notice of words that became [UNK], by the reason', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    const field = page.getByRole('textbox', { name: 'Sentence', exact: true });
    const notice = page.locator('.note', { has: page.getByRole('heading', { name: 'What to notice' }) });
    const became = notice.getByText(/became \[UNK\]/);
    await field.fill('I love pizza 🍕');
    await notice.getByText(/^1 word became \[UNK\]: a piece of it has no entry/).waitFor();
    assert.match(await notice.innerText(), /No word was split\./);
    assert.doesNotMatch(await notice.innerText(), /Every word/);
    await field.fill('🍕 tokenization 🙂');
    await notice.getByText(/^2 words became \[UNK\]: a piece of each has no entry/).waitFor();
    await field.fill(`so ${'b'.repeat(101)}`);
    await notice.getByText('1 word became [UNK] untried: it is longer than 100 characters.').waitFor();
    // the mark itself, typed, is no word that was given up
    await field.fill('so [UNK]');
    await became.waitFor({ state: 'detached' });
    assert.doesNotMatch(await notice.innerText(), /became/);
    await page.getByRole('button', { name: 'Add a second sentence' }).click();
    await page.getByRole('textbox', { name: 'Second sentence' }).fill('🍕');
    await notice.getByText(/^1 word became \[UNK\]/).waitFor();
  });
});

test('what to notice of two sentences counts what was asked for both', async () => {
  const asked = async (query: string): Promise<number> => {
    let times = 0;
    await onPage(`#/tokenizer?${query}`, async ({ page }) => {
      const said = page.getByText(/^The greedy match asked the vocabulary/);
      await said.waitFor();
      times = Number(/(\d+) times?\./.exec(await said.innerText())?.[1]);
    });
    return times;
  };
  assert.equal(await asked('text=hello+world&pair=.hello'), (await asked('text=hello+world')) + 1);
});

test('a step of the normaliser can be left out, in the explanation alone', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    await page.getByRole('textbox', { name: 'Sentence', exact: true }).fill('Déjà Vu');
    const words = page.locator('.stages .split-word');
    await words.filter({ hasText: /deja/ }).waitFor();
    assert.deepEqual(await words.allInnerTexts(), ['deja', 'vu']);
    await page.getByRole('checkbox', { name: 'Lower case' }).uncheck();
    await page.locator('.stages .split-word', { hasText: /Deja/ }).waitFor();
    assert.deepEqual(await words.allInnerTexts(), ['Deja', 'Vu']);
    await page.getByRole('checkbox', { name: 'Accents' }).uncheck();
    await page.locator('.stages .split-word', { hasText: /Déjà/ }).waitFor();
    await page.waitForURL(/without=strip_accents\.lowercase/);
    // the sentence keeps what the model reads
    assert.match(await page.getByTestId('tokens').innerText(), /\bvu\b/);
    await page.reload();
    await page.locator('.stages .split-word', { hasText: /Déjà/ }).waitFor();
    await page.getByRole('button', { name: 'All steps' }).click();
    await page.locator('.stages .split-word', { hasText: /deja/ }).waitFor();
    assert.ok(await page.getByRole('checkbox', { name: 'Lower case' }).isChecked());
  });
});

test('the blanks that the normaliser puts around Chinese characters are drawn', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    await page.getByRole('textbox', { name: 'Sentence', exact: true }).fill('東京');
    const step = page.locator('.norm', { hasText: 'Chinese characters' });
    assert.deepEqual(await step.locator('.change').allInnerTexts(), ['東 → ␣東␣', '京 → ␣京␣']);
  });
});

test('the vocabulary has 30,522 entries, 994 of them unused, and can be searched', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    const facet = page.getByRole('group', { name: 'Part of the vocabulary' });
    assert.match(await facet.getByRole('button', { name: /^All/ }).innerText(), /30,522/);
    await facet.getByRole('button', { name: /Unused/ }).click();
    assert.match(await facet.getByRole('button', { name: /Unused/ }).innerText(), /994/);
    assert.deepEqual((await tableRows(page, 'Vocabulary'))[0], ['1', '[unused0]']);
    await facet.getByRole('button', { name: /^All/ }).click();
    await page.getByPlaceholder('Find a piece of text, or an id').fill('30521');
    assert.deepEqual(await tableRows(page, 'Vocabulary'), [['30521', '##～']]);
    // a long list is scrolled through without all of its rows in the document
    await page.getByPlaceholder('Find a piece of text, or an id').fill('');
    const list = page.getByRole('region', { name: 'Vocabulary', exact: true });
    await list.evaluate((element) => {
      element.scrollTop = element.scrollHeight;
    });
    await list.getByText('30521').waitFor();
    assert.ok((await tableRows(page, 'Vocabulary')).length < 100);
  });
});

test('the vocabulary can be looked through by script', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    await page.getByLabel('Script').selectOption('Greek');
    const rows = await tableRows(page, 'Vocabulary');
    assert.ok(rows.length > 10);
    for (const [, token] of rows) assert.match(token!, /^(##)?\p{Script=Greek}/u);
    await page.waitForURL((url) => url.hash.includes('script=Greek'));
  });
});

test('everything that cells 3 to 5 printed comes out the same here', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    const section = page.locator('.note', { has: page.getByRole('heading', { name: 'In the notebook' }) });
    await section.locator('.verdict').first().waitFor();
    const verdicts = await section.locator('.verdict').allTextContents();
    assert.equal(verdicts.length, 11);
    assert.deepEqual(new Set(verdicts), new Set(['= here']));
  });
});

test('Exercise 1 is checked, and its answer tells the split words', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    const exercise = page.locator('.exercise');
    const tokens = exercise.locator('form').first();
    await tokens.getByRole('textbox').fill('19');
    await tokens.getByRole('button').click();
    await exercise.getByText('Almost: [CLS] and [SEP] count too.').waitFor();
    await tokens.getByRole('textbox').fill('21');
    await tokens.getByRole('textbox').press('Enter');
    await tokens.getByText('Right.').waitFor();
    for (const word of ['wordpiece', 'tokenization', '522', 'tokens']) {
      await exercise.getByRole('button', { name: word, exact: true }).click();
    }
    const marking = exercise.getByRole('listitem').filter({ hasText: 'Mark them' });
    await marking.getByRole('button', { name: 'Check' }).click();
    await marking.getByText('Right.').waitFor();
    const pieces = exercise.locator('form').nth(1);
    await pieces.getByRole('textbox').fill('8');
    await pieces.getByRole('button').click();
    await pieces.getByText('Right.').waitFor();
    await exercise.getByRole('button', { name: 'Show the answer' }).click();
    assert.deepEqual(await exercise.locator('.plain-list li').allTextContents(), [
      'wordpiece into word + ##piece',
      'tokenization into token + ##ization',
      '522 into 52 + ##2',
      'tokens into token + ##s',
    ]);
    assert.equal((await tableRows(page, 'Exercise 1')).length, 21);
  });
});
