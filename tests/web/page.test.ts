// What holds for every section: accessibility in light and dark, narrow screens, the keyboard, the content security
// policy, any base path, the code samples.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { brotliCompressSync } from 'node:zlib';
import { AxeBuilder } from '@axe-core/playwright';

import { contrast, mix, readableOn } from '../../web/src/lib/contrast.ts';
import { dist, onPage, root, settle, withPage } from './support.ts';

withPage({ base: '/a/base/path/' });

const withModel = existsSync(path.join(dist, 'models/default/model.safetensors'));
const sections = [
  'tokenizer',
  'padding',
  'architecture',
  ...(withModel ? ['start', 'mask', 'attention', 'mlm', 'nsp', 'model'] : []),
];
/** Which has no samples: it is the lesson's contents. */
const opening = 'start';
/** Whose sample loads the model. */
const needModel = new Set(['architecture', 'mask', 'attention', 'mlm', 'nsp', 'model']);

/** One word wider than a telephone, wherever a section takes a text from the address. */
const longWord = 'Pneumonoultramicroscopicsilicovolcanoconiosis';
const longTexts = new URLSearchParams({
  text: longWord,
  sentence: longWord,
  hide: '',
  texts: JSON.stringify([longWord, 'x'.repeat(120)]),
  batch: JSON.stringify([longWord, 'x'.repeat(120)]),
  a: longWord,
  b: 'x'.repeat(120),
  pairs: JSON.stringify([[longWord, 'x'.repeat(120), 1]]),
});

const binary = process.env['BERTLENS_CLI'] ?? path.join(root, 'build/native/bertlens');
/** Texts that a command could take for its options. */
const dashes = ['-x', "--it's -h"] as const;
const dashed = new URLSearchParams({
  text: dashes[0],
  pair: `.${dashes[1]}`,
  sentence: dashes.join(' '),
  linked: 'no',
  hide: '0',
  targets: '-h,paris',
  texts: JSON.stringify(dashes),
  batch: JSON.stringify(dashes),
  a: dashes[0],
  b: dashes[1],
});
const strategies = ['none', 'max_length'].map((name) => `?strategy=${name}`);

for (const section of sections) {
  describe(section, () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      test(`axe finds nothing, ${colorScheme}`, async () => {
        await onPage(
          `#/${section}`,
          async ({ page }) => {
            await settle(page);
            const answer = page.getByRole('button', { name: 'Show the answer' });
            if (await answer.count()) await answer.click();
            const { violations } = await new AxeBuilder({ page }).analyze();
            assert.deepEqual(
              violations.map(
                (violation) => `${violation.id}: ${violation.nodes.map((node) => node.html).join(' ')}`,
              ),
              [],
            );
          },
          { colorScheme },
        );
      });
    }

    for (const [width, texts] of [
      [360, ''],
      [360, `?${longTexts}`],
      [390, ''],
      [768, ''],
      [1920, ''],
    ] as const) {
      test(`nothing sticks out at ${width} pixels${texts && ', with a long word'}`, async () => {
        await onPage(
          `#/${section}${texts}`,
          async ({ page }) => {
            await settle(page);
            if (texts) {
              await page.waitForFunction(() => !/on its way/.test(document.querySelector('main')!.innerText));
            }
            const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
            assert.ok(over <= 0, `${over} pixels too wide`);
          },
          { viewport: { width, height: 800 } },
        );
      });
    }

    test(
      'the JavaScript sample runs as it stands',
      { skip: section === opening || (needModel.has(section) && !withModel) },
      async () => {
        await onPage(`#/${section}`, async ({ page }) => {
          await settle(page);
          await page.getByRole('button', { name: 'JavaScript' }).click();
          const sample = await page.locator('pre[data-language="javascript"]').innerText();
          const folder = mkdtempSync(path.join(os.tmpdir(), 'bertlens-sample-'));
          try {
            writeFileSync(path.join(folder, 'sample.mjs'), sample);
            symlinkSync(path.join(dist, 'models'), path.join(folder, 'models'));
            symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
            const ran = spawnSync(process.execPath, ['sample.mjs'], { cwd: folder, encoding: 'utf8' });
            assert.equal(ran.status, 0, ran.stderr);
            assert.ok(ran.stdout.trim().length > 0);
          } finally {
            rmSync(folder, { recursive: true });
          }
        });
      },
    );

    test(
      'the command line’s sample runs as it stands',
      {
        skip:
          section === opening || !existsSync(binary) || (needModel.has(section) && !withModel)
            ? 'it needs a sample, the built command line, and perhaps the weights'
            : false,
      },
      async () => {
        const queries = ['', `?${dashed}`, ...(section === 'padding' ? strategies : [])];
        for (const query of queries) {
          await onPage(`#/${section}${query}`, async ({ page }) => {
            await settle(page);
            await page.getByRole('button', { name: 'Command line' }).click();
            const sample = await page.locator('pre[data-language="cli"]').innerText();
            const ran = spawnSync('sh', ['-c', sample], {
              encoding: 'utf8',
              maxBuffer: 1 << 28,
              env: {
                ...process.env,
                BERTLENS_MODEL: '',
                PATH: `${path.dirname(binary)}:${process.env['PATH'] ?? ''}`,
              },
            });
            assert.equal(ran.status, 0, `${sample}\n${ran.stderr}`);
            assert.equal(ran.stderr, '', sample);
            assert.ok(ran.stdout.trim().length > 0);
          });
        }
      },
    );
  });
}

describe('tables', { skip: !withModel }, () => {
  for (const [width, section, caption] of [
    [360, 'mask', 'Distance of the [CLS] vectors'],
    [360, 'model', 'The loaded model'],
    [360, 'model', 'Figures of the notebook'],
    [360, 'mlm', 'The ten best words for the capital'],
    [360, 'architecture', 'Layer: parts, shapes'],
    [1440, 'architecture', 'Tensors with shape'],
    [1280, 'architecture', 'Tensors with shape'],
    [1024, 'nsp', 'Pairs of sentences'],
    [700, 'nsp', 'Pairs of sentences'],
  ] as const) {
    test(`“${caption}” is in view whole at ${width} pixels`, async () => {
      await onPage(
        `#/${section}`,
        async ({ page }) => {
          await settle(page);
          const table = page.locator(`[role="region"][aria-label^="${caption}"]`);
          await table.getByRole('row').nth(2).waitFor();
          const over = await table.evaluate((element) => element.scrollWidth - element.clientWidth);
          assert.ok(over <= 0, `${over} pixels are out of view`);
        },
        { viewport: { width, height: 800 } },
      );
    });
  }

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`a table has a shadow at the side that has more, ${colorScheme}`, async () => {
      await onPage(
        '#/tokenizer',
        async ({ page }) => {
          const table = page.getByRole('region', { name: /^The tokens of the sentence/ });
          const empty = table.getByRole('row', { name: /SEP/ });
          await empty.scrollIntoViewIfNeeded();
          /** How bright the edges are in the row that belongs to no word, left and right. */
          const edges = async () => {
            const region = (await table.boundingBox())!;
            const row = (await empty.boundingBox())!;
            const bytes = await page.screenshot({
              clip: { x: region.x, y: row.y + 3, width: region.width, height: 1 },
            });
            return page.evaluate(async (encoded) => {
              const binary = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
              const image = await createImageBitmap(new Blob([binary], { type: 'image/png' }));
              const context = new OffscreenCanvas(image.width, 1).getContext('2d', {
                willReadFrequently: true,
              })!;
              context.drawImage(image, 0, 0);
              const at = (x: number) => [...context.getImageData(x, 0, 1, 1).data.subarray(0, 3)];
              const sum = (channels: number[]) => channels.reduce((all, one) => all + one, 0);
              return { left: sum(at(1)), right: sum(at(image.width - 2)) };
            }, bytes.toString('base64'));
          };
          const start = await edges();
          assert.ok(start.right < start.left - 10, JSON.stringify(start));
          await table.evaluate((element) => {
            element.scrollLeft = element.scrollWidth;
          });
          const end = await edges();
          assert.ok(end.left < end.right - 10, JSON.stringify(end));
          assert.equal(end.right, start.left);
        },
        { viewport: { width: 360, height: 800 }, colorScheme },
      );
    });
  }
});

test('the keyboard skips to the content, works the menu of exports, and opens sections', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    await page.getByTestId('tokens').waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to the content');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'content');
    // the export menu opens, moves, and gives the focus back
    await page.getByRole('button', { name: 'Export: Your sentence' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Copy as Markdown' }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Copy as Markdown');
    await page.keyboard.press('ArrowDown');
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Save as CSV');
    await page.keyboard.press('Escape');
    assert.equal(
      await page.evaluate(() => document.activeElement?.getAttribute('aria-label')),
      'Export: Your sentence',
    );
    // a section opened from the rail takes the focus along
    await page
      .getByRole('link', { name: /Padding/ })
      .first()
      .focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: /rectangle/ }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'content');
  });
});

test('going back and loading anew lead to where a section was left, a link to its top', async () => {
  await onPage('#/tokenizer', async ({ page }) => {
    const padding = () => page.locator('[data-strategy="longest"]').waitFor();
    const placed = (y: number) =>
      page.waitForFunction((wanted) => Math.abs(window.scrollY - wanted) < 2, y, { timeout: 5000 });
    const kept = (y: number) =>
      page.waitForFunction(
        (wanted) => (window.history.state as { scrollY?: number } | null)?.scrollY === wanted,
        y,
        { timeout: 5000 },
      );
    await page.getByTestId('tokens').waitFor();
    await page.evaluate(() => {
      window.history.replaceState({ other: 1 }, '');
      window.scrollTo(0, 700);
    });
    await placed(700);
    await page
      .getByRole('link', { name: /Padding/ })
      .first()
      .click();
    await padding();
    await placed(0);
    await page.evaluate(() => {
      window.scrollTo(0, 500);
    });
    await kept(500);
    // a changed address is written without what the entry held; the place is kept all the same
    const before = page.url();
    await page
      .locator('main input[type="number"]')
      .first()
      .evaluate((field: HTMLInputElement) => {
        field.value = '12';
        field.dispatchEvent(new Event('input', { bubbles: true }));
      });
    await page.waitForURL((url) => url.href !== before, { timeout: 5000 });
    await kept(500);
    await page.goBack();
    await page.getByTestId('tokens').waitFor();
    await placed(700);
    assert.equal(await page.evaluate(() => (window.history.state as { other?: number }).other), 1);
    await page.goForward();
    await padding();
    await placed(500);
    await page.reload();
    await padding();
    await placed(500);
    // and it stays where a person scrolls
    await page.mouse.move(700, 400);
    await page.mouse.wheel(0, -300);
    await kept(200);
    await page.reload();
    await padding();
    await placed(200);
  });
});

test('tables and pictures can be saved', async () => {
  await onPage('#/padding', async ({ page }) => {
    await page.locator('[data-strategy="longest"]').waitFor();
    const save = async (item: string) => {
      await page.getByRole('button', { name: /Export: Three ways/ }).click();
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('button', { name: item }).click(),
      ]);
      return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
    };
    const svg = await save('Save as SVG');
    assert.equal(svg.name, 'padding.svg');
    assert.match(svg.bytes.toString(), /^<svg [\s\S]*<\/svg>\n$/);
    assert.ok(!/NaN|undefined|light-dark/.test(svg.bytes.toString()));
    assert.equal((await save('Save as PNG')).bytes.subarray(1, 4).toString(), 'PNG');
    const csv = (await save('Save as CSV')).bytes.toString();
    assert.match(csv, /\r\nlongest,3,11,22,11,33\.33\r\n/);
  });
});

/** The design tokens of one theme, as canvas gets them. */
function tokens(colorScheme: 'light' | 'dark'): Record<string, string> {
  const css = readFileSync(path.join(root, 'web/src/styles/tokens.css'), 'utf8');
  return Object.fromEntries(
    [...css.matchAll(/--([\w-]+): light-dark\(#(\w{6}), #(\w{6})\)/g)].map(([, name, light, dark]) => {
      const value = Number.parseInt(colorScheme === 'light' ? light! : dark!, 16);
      return [name!, `rgb(${value >> 16}, ${(value >> 8) & 255}, ${value & 255})`];
    }),
  );
}

for (const colorScheme of ['light', 'dark'] as const) {
  test(`a label on a field of any strength can be read, ${colorScheme}`, () => {
    const colours = tokens(colorScheme);
    const inks = { ink: colours['ink']!, 'on-accent': colours['on-accent']! };
    for (let step = 0; step <= 1000; step += 1) {
      const fill = mix(colours['sunken']!, colours['accent']!, step / 1000);
      const found = contrast(readableOn(fill, inks), fill);
      assert.ok(found >= 4.5, `${fill}: ${found}`);
    }
  });

  test(`the labels in pictures can be read, ${colorScheme}`, { skip: !withModel }, async () => {
    for (const [section, title] of [
      ['architecture', 'Where the parameters are'],
      ['mask', 'Token by token'],
    ] as const) {
      await onPage(
        `#/${section}`,
        async ({ page }) => {
          await settle(page);
          await page.getByRole('region', { name: title }).locator('canvas').waitFor();
          await page.getByRole('button', { name: `Export: ${title}` }).click();
          const [download] = await Promise.all([
            page.waitForEvent('download'),
            page.getByRole('button', { name: 'Save as SVG' }).click(),
          ]);
          const svg = readFileSync(await download.path(), 'utf8');
          const fields = [
            ...svg.matchAll(/<rect x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)".*? fill="([^"]+)"/g),
          ].map(([, x, y, width, height, fill]) => ({
            x: Number(x),
            y: Number(y),
            width: Number(width),
            height: Number(height),
            fill: fill!,
          }));
          const labels = [...svg.matchAll(/<text x="(\S+)" y="(\S+)" fill="([^"]+)".*?>([^<]*)</g)];
          assert.ok(fields.length > 10 && labels.length > 3);
          for (const [, x, y, ink, words] of labels) {
            const on = fields.findLast(
              (field) =>
                field.x <= Number(x) &&
                Number(x) <= field.x + field.width &&
                field.y <= Number(y) &&
                Number(y) <= field.y + field.height,
            );
            const found = on ? contrast(ink!, on.fill) : 21;
            assert.ok(found >= 4.5, `${section}: “${words!}” has ${found.toFixed(2)}`);
          }
        },
        { colorScheme },
      );
    }
  });
}

for (const colorScheme of ['light', 'dark'] as const) {
  test(
    `forced colours leave pictures, bars and what is pressed to be seen, ${colorScheme}`,
    { skip: !withModel },
    async () => {
      const options = { colorScheme, forcedColors: 'active' } as const;
      await onPage(
        '#/attention',
        async ({ page }) => {
          await settle(page);
          const heads = page.locator('.heads canvas').first();
          const found = await heads.evaluate((canvas: HTMLCanvasElement) => {
            const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
            const shades = new Set(new Uint32Array(data.buffer));
            return { shades: shades.size, ground: getComputedStyle(canvas).backgroundColor };
          });
          assert.ok(found.shades > 20, `${found.shades} shades`);
          assert.equal(found.ground, tokens(colorScheme)['surface']);
          const ground = (pressed: boolean) =>
            page
              .locator(`.choice [aria-pressed="${pressed}"]`)
              .first()
              .evaluate((button) => getComputedStyle(button).backgroundColor);
          assert.notEqual(await ground(true), await ground(false));
          const keys = await page
            .locator('.key')
            .evaluateAll((all) => all.map((key) => getComputedStyle(key).backgroundColor));
          assert.equal(new Set(keys).size, 4);
        },
        options,
      );
      await onPage(
        '#/padding',
        async ({ page }) => {
          const cell = page.locator('.matrix td.pad').first();
          await cell.waitFor();
          assert.equal(await cell.evaluate((element) => getComputedStyle(element).outlineStyle), 'dashed');
        },
        options,
      );
      await onPage(
        '#/mlm',
        async ({ page }) => {
          const fill = page.getByTestId('mask-0').locator('.bar-fill').first();
          await fill.waitFor({ timeout: 60_000 });
          const [bar, ground] = await fill.evaluate((element) => [
            getComputedStyle(element).backgroundColor,
            getComputedStyle(document.body).backgroundColor,
          ]);
          assert.ok(contrast(bar, ground) > 4.5, `${bar} on ${ground}`);
        },
        options,
      );
    },
  );
}

test(
  'Python that takes the notebook’s model in the default one’s place says so',
  { skip: !withModel },
  async () => {
    await onPage('#/attention', async ({ page }) => {
      await settle(page);
      const said = page.locator('.code').getByText(/Python loads bert-base-uncased here/);
      await said.waitFor();
      await page.getByRole('button', { name: 'JavaScript' }).click();
      assert.equal(await said.count(), 0);
      await page.getByRole('button', { name: 'Python' }).click();
      await said.waitFor();
      // the tokenizer's section needs no model: the vocabulary is the same
      await page
        .getByRole('link', { name: /Tokenizer/ })
        .first()
        .click();
      await page.getByText(/encoding = tokenizer\(/).waitFor();
      assert.equal(await said.count(), 0);
    });
  },
);

test('the content security policy holds', async () => {
  await onPage('', async ({ page, said }) => {
    await page.getByTestId('tokens').waitFor();
    assert.deepEqual(said, []);
    const refused = await page.evaluate(async () => {
      const seen: string[] = [];
      document.addEventListener('securitypolicyviolation', (event) => seen.push(event.effectiveDirective));
      const script = document.createElement('script');
      script.textContent = 'window.injected = true';
      document.body.append(script);
      document.body.insertAdjacentHTML('beforeend', '<p style="color: red">inline style</p>');
      await fetch('https://example.com/').catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 100));
      return {
        seen: [...new Set(seen)].sort(),
        injected: 'injected' in window,
        isolated: window.crossOriginIsolated,
      };
    });
    assert.deepEqual(refused, {
      seen: ['connect-src', 'script-src-elem', 'style-src-attr'],
      injected: false,
      isolated: true,
    });
    said.length = 0; // the refusals asked for above
  });
});

test('the first paint costs less than 100 KB of compressed script and style', () => {
  const html = readFileSync(path.join(dist, 'index.html'), 'utf8');
  const named = [...html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+\.(?:js|css))"/g)].map(
    (found) => found[1]!,
  );
  const first = readdirSync(path.join(dist, 'assets')).filter(
    (file) =>
      named.includes(`assets/${file}`) || /^(start|with-model|tokenizer|token)-.*\.(js|css)$/.test(file),
  );
  const size = first.reduce(
    (sum, file) => sum + brotliCompressSync(readFileSync(path.join(dist, 'assets', file))).length,
    0,
  );
  assert.ok(named.length >= 2 && first.length > named.length);
  assert.ok(size < 100_000, `${size} bytes in ${first.join(', ')}`);
});

test('the fonts come with the page, before any text is laid out in another', async () => {
  await onPage('', async ({ page }) => {
    await page.getByTestId('tokens').waitFor();
    const fonts = await page.evaluate(async () => {
      await document.fonts.ready;
      return performance
        .getEntriesByType('resource')
        .filter(({ name }) => name.endsWith('.woff2'))
        .map((entry) => (entry as PerformanceResourceTiming).initiatorType);
    });
    assert.deepEqual(fonts, ['link', 'link']);
  });
});
