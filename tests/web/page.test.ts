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

    for (const width of [360, 390, 768, 1920]) {
      test(`nothing sticks out at ${width} pixels`, async () => {
        await onPage(
          `#/${section}`,
          async ({ page }) => {
            await settle(page);
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
  });
}

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
