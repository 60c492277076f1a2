// ./run demo: serves the built page and prints its address. With --check it opens the page in headless Chromium, lets it
// tokenize and fill one mask, and fails if anything is wrong on the page or in its console.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { serve } from './server.ts';

const dist = path.join(path.dirname(fileURLToPath(import.meta.url)), 'dist');

function fail(message: string): never {
  process.stderr.write(`bertlens: ${message}\n`);
  process.exit(1);
}

function readArguments(): { check: boolean; port: number } {
  try {
    const { values } = parseArgs({
      options: { check: { type: 'boolean', default: false }, port: { type: 'string', default: '8080' } },
    });
    const port = Number(values.port);
    if (!/^\d+$/.test(values.port) || port > 65535)
      fail(`--port takes a number from 0 to 65535, not ${values.port}`);
    return { check: values.check, port };
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  }
}

/** What the notebook's cell 5 prints. */
const expected = [
  101, 19204, 3989, 1998, 11687, 4667, 2024, 8050, 4084, 1999, 2087, 17953, 2361, 13117, 2015, 1012, 102,
];

async function check(url: string): Promise<void> {
  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
    ],
  });
  const trouble: string[] = [];
  try {
    const page = await browser.newPage();
    page.on('console', (message) => trouble.push(`console ${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => trouble.push(`uncaught: ${error.message}`));
    page.on('requestfailed', (request) => trouble.push(`not fetched: ${request.url()}`));
    await page.goto(url);
    const field = page.getByRole('textbox', { name: 'Sentence', exact: true });
    await field.fill('Tokenization and padding are fundamental steps in most NLP pipelines.');
    const ids = await page.getByTestId('tokens').locator('small').allTextContents();
    if (ids.join(' ') !== expected.join(' ')) trouble.push(`ids on the page are ${ids.join(' ')}`);
    process.stdout.write(
      `tokenized "${await field.inputValue()}": ${ids.length} tokens, as the notebook prints\n`,
    );
    if (existsSync(path.join(dist, 'models/default/model.safetensors'))) {
      await page.goto(`${url}#/mlm`);
      const guesses = page.getByTestId('mask-0').getByRole('listitem');
      await guesses.first().waitFor({ timeout: 120_000 });
      const best = await guesses.first().locator('.bar-label').innerText();
      process.stdout.write(`filled one mask: the capital of France is "${best}"\n`);
    } else {
      process.stdout.write('no mask was filled: models/default has no weights\n');
    }
  } finally {
    await browser.close();
  }
  if (trouble.length > 0) fail(`the page does not work\n${trouble.join('\n')}`);
}

const wanted = readArguments();
if (!existsSync(path.join(dist, 'index.html'))) fail('web/dist is missing: run ./run build');
if (wanted.check) {
  const { server, url } = await serve(dist);
  await check(url).catch((error: unknown) =>
    // the browser's own words, without the stack: it did not start, or something on the page did not come in time
    fail(`the check ended early: ${error instanceof Error ? error.message : String(error)}`),
  );
  server.close();
  server.closeAllConnections();
  process.stdout.write('the page works, and its console is silent\n');
} else {
  const { url } = await serve(dist, { port: wanted.port }).catch((error: unknown) =>
    fail(
      `port ${wanted.port}: ${error instanceof Error ? error.message : String(error)}; choose another with --port`,
    ),
  );
  process.stdout.write(`bertlens is at ${url}   (Ctrl+C ends it)\n`);
}
