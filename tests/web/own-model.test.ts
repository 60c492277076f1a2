// Section 8 of the page: models from the hub (a stand-in) and from this device, what is kept, and everything that can go
// wrong: the page says it in its place and goes on with the model that it had.
import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { load, type FillMaskResult } from 'bertlens';
import type { Page } from 'playwright-core';

import { makeModels } from '../package/support.ts';
import { commit, standIn, type Hub } from './hub.ts';
import { dist, onPage, tableRows, withPage, type Opened } from './support.ts';

const missing = existsSync(path.join(dist, 'models/default/model.safetensors'))
  ? false
  : 'models/default has no weights';

const scratch = mkdtempSync(path.join(os.tmpdir(), 'bertlens-own-'));
let models: string;
let hub: Hub;

/** A copy of a model with some of its files changed; null takes one away. */
function variant(name: string, from: string, changes: Readonly<Record<string, string | null>>): string {
  const folder = path.join(scratch, name);
  cpSync(path.join(models, from), folder, { recursive: true });
  for (const [file, content] of Object.entries(changes)) {
    if (content === null) rmSync(path.join(folder, file));
    else writeFileSync(path.join(folder, file), content);
  }
  return folder;
}

function configOf(name: string, change: object): string {
  const config = JSON.parse(readFileSync(path.join(models, name, 'config.json'), 'utf8')) as object;
  return JSON.stringify({ ...config, ...change });
}

before(async () => {
  models = makeModels(scratch);
  hub = await standIn({
    'someone/tiny': path.join(models, 'tiny'),
    'someone/sharded': path.join(models, 'sharded'),
    'someone/gpt': variant('gpt', 'wide', { 'config.json': configOf('wide', { model_type: 'gpt2' }) }),
    'someone/old': variant('old', 'wide', { 'model.safetensors': null, 'pytorch_model.bin': 'old' }),
    'someone/half': variant('half', 'wide', { 'vocab.txt': null }),
  });
});
withPage({ base: '/lens/' }, () => hub.switches);
after(() => {
  hub.close();
  rmSync(scratch, { recursive: true, force: true });
});

const patience = 90_000;
const arrived = { timeout: patience };

/** Models load within every one of these steps, on machines that may be busy. */
function onLensPage(hash: string, body: (opened: Opened) => Promise<void>): Promise<void> {
  const patient = (opened: Opened): Promise<void> => {
    opened.page.setDefaultTimeout(patience);
    return body(opened);
  };
  return onPage(hash, patient, { fresh: true }); // models are kept
}

async function status(page: Page): Promise<string> {
  return (await page.locator('.rail .status').innerText()).replaceAll(/\s+/g, ' ');
}

/** Waits until the status line names the model. */
async function waitFor(page: Page, name: string): Promise<void> {
  await page.locator('.rail .status a', { hasText: name }).waitFor(arrived);
}

async function fact(page: Page, what: string): Promise<string> {
  const rows = await tableRows(page, 'The loaded model');
  return rows.find((row) => row[0] === what)?.[1] ?? '';
}

async function fromHub(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: 'Hugging Face' }).click();
  await page.getByLabel('A model on huggingface.co').fill(name);
  await page.getByRole('button', { name: 'Download and load' }).click();
}

async function trouble(page: Page, sentence: RegExp): Promise<void> {
  const panel = page.getByTestId('model-trouble');
  await panel.filter({ hasText: sentence }).waitFor(arrived);
  assert.match(await panel.innerText(), /The page goes on with the default model\./);
}

/** What the package gives for cell 9 with a model on disk. */
async function filled(folder: string, topK: number): Promise<FillMaskResult> {
  const bert = await load(folder, { threads: 1 });
  try {
    return await bert.fillMask('The capital of France is [MASK].', { topK });
  } finally {
    await bert.dispose();
  }
}

/** The default model still answers. */
async function goesOn(page: Page): Promise<void> {
  await page.getByRole('link', { name: /Masked words/ }).click();
  await page.getByTestId('mask-0').getByRole('listitem').first().waitFor(arrived);
  assert.match(await status(page), /Default model/);
}

describe('your model', { skip: missing }, () => {
  test('the default model: what it is, what is kept of it, and deleting that', async () => {
    await onLensPage('#/model', async ({ page }) => {
      await waitFor(page, 'Default model');
      assert.equal(await fact(page, 'Parameters'), '22,713,216, without the heads');
      assert.match(await status(page), /\d+ MB of memory/);
      // what is there already is not what the page asks for
      const picker = page.getByRole('region', { name: 'Which BERT?' });
      assert.equal(await picker.locator('.primary').count(), 0);
      await picker.getByRole('button', { name: 'f16' }).click();
      await picker.locator('.primary', { hasText: 'Load the default model' }).waitFor();
      await picker.getByRole('button', { name: 'As stored' }).click();
      await picker.getByRole('button', { name: 'Load it again' }).waitFor();
      assert.match(await picker.locator('.now').innerText(), /the default model, .* loaded in [\d.]+ s$/);
      assert.match(await fact(page, 'Loaded'), /^from the network/);
      const kept = page.getByRole('list', { name: 'Kept models' });
      await kept.getByText(/in 3 files/).waitFor();
      await page.reload();
      await waitFor(page, 'Default model');
      assert.match(await fact(page, 'Loaded'), /^from this browser’s storage/);
      await page.getByRole('button', { name: 'Delete Default model from this browser' }).click();
      await page.getByText('No model is kept.').waitFor();
    });
  });

  test('a precision leaves alone what the file has as int8, and says so', async () => {
    await onLensPage('#/model', async ({ page }) => {
      await waitFor(page, 'Default model');
      const picker = page.getByRole('region', { name: 'Which BERT?' });
      const notes = page.locator('.note').first();
      await notes.getByText(/Kept as int8, its weights take \d+ MB\.$/).waitFor(arrived);
      await picker.getByRole('button', { name: 'f32' }).click();
      await picker
        .getByText(/Four bytes a weight.* Embeddings that the file has as int8 stay so\./)
        .waitFor();
      await picker.getByRole('button', { name: 'Load the default model' }).click();
      // four bytes each would be 92 MB
      await notes
        .getByText(/Kept as f32, its weights take 5\d MB; the embeddings stay int8/)
        .waitFor(arrived);
    });
  });

  test('the printed figures beside the model’s own, counted and told apart', async () => {
    const folder = path.join(dist, 'models/default/');
    const { masks } = await filled(folder, 1);
    await onLensPage('#/model', async ({ page }) => {
      await page.locator('[data-testid="figures"]:not(.stale) .table').waitFor(arrived);
      await page.waitForFunction(
        () => !document.querySelector('[data-testid="figures"]')?.textContent.includes('–'),
      );
      const rows = await tableRows(page, 'Figures of the notebook');
      const row = (what: string) => rows.find((cells) => cells[1] === what)!;
      assert.equal(rows.length, 53);
      assert.deepEqual(row('mean of a layer').slice(2), ['7,820,160', '2,839,152', '≠ differs']);
      assert.deepEqual(row('vocabulary').slice(2), ['30,522', '30,522', '= equal']);
      assert.deepEqual(row('parameters').slice(2), ['109,482,240', '22,713,216', '≠ differs']);
      assert.equal(row('L2 of [CLS], “hello world”')[4], '= equal');
      assert.ok(row('rank 1')[3]!.startsWith(`${masks[0]!.predictions[0]!.token} `));
      const equal = rows.filter((cells) => cells[4] === '= equal').length;
      const said = await page.getByTestId('figures').getByRole('status').first().innerText();
      assert.match(said, new RegExp(`^${equal} of 53 printed figures`));
      await page.getByRole('group', { name: 'Which figures' }).getByRole('button', { name: /Equal/ }).click();
      assert.equal((await tableRows(page, 'Figures of the notebook')).length, equal);
    });
  });

  test('a model of the hub by its name: in every section, in the address, kept for the next visit', async () => {
    const { masks } = await filled(path.join(models, 'tiny/'), 10);
    await onLensPage('#/model', async ({ page }) => {
      await waitFor(page, 'Default model');
      await fromHub(page, 'https://huggingface.co/someone/tiny');
      await waitFor(page, 'someone/tiny');
      await page.waitForURL((url) => url.hash.includes('model=someone%2Ftiny'));
      assert.match(await fact(page, 'Sizes'), /^2 layers with \d+ heads each, hidden size 128,/);
      assert.ok(
        hub.asked.includes(`cas-bridge.xethub.hf.co/someone/tiny/resolve/${commit}/model.safetensors`),
      );
      await page.getByRole('link', { name: /Masked words/ }).click();
      const labels = page.getByTestId('mask-0').locator('.bar-label');
      await labels.nth(9).waitFor(arrived);
      const same = masks[0]!.predictions.map(({ token }) => token);
      await page.waitForFunction(
        (tokens) =>
          [...document.querySelectorAll('[data-testid="mask-0"] .bar-label')]
            .map((label) => label.textContent)
            .join() === tokens.join(),
        same,
      );
      await page.getByRole('button', { name: 'JavaScript' }).click();
      assert.match(
        await page.locator('pre[data-language="javascript"]').innerText(),
        /load\('someone\/tiny'\)/,
      );
      const before = hub.asked.length;
      await page.reload();
      await waitFor(page, 'someone/tiny');
      await page.getByRole('link', { name: /Your model/ }).click();
      assert.match(await fact(page, 'Loaded'), /^from this browser’s storage/);
      assert.deepEqual(
        hub.asked.slice(before).filter((url) => url.includes('resolve')),
        [],
      );
      // and back to the page's own
      await page.getByRole('button', { name: 'Load the default model' }).click();
      await waitFor(page, 'Default model');
      await page.waitForURL((url) => !url.hash.includes('model='));
    });
  });

  test('a link with a model asks before it downloads', async () => {
    await onLensPage('#/mlm?model=someone%2Ftiny', async ({ page }) => {
      await waitFor(page, 'Default model');
      const offer = page.getByTestId('offer');
      assert.match(await offer.innerText(), /someone\/tiny/);
      await offer.getByRole('button', { name: 'Stay with the default model' }).click();
      await page.waitForURL((url) => !url.hash.includes('model='));
      await page.evaluate(() => {
        window.location.hash = '#/mlm?model=someone%2Ftiny';
      });
      await offer.getByRole('button', { name: 'Download and load it' }).click();
      await waitFor(page, 'someone/tiny');
      assert.equal(await offer.count(), 0);
    });
  });

  test('the hub’s field holds the notebook’s model, and an empty one is answered beside the button', async () => {
    await onLensPage('#/model', async ({ page }) => {
      await waitFor(page, 'Default model');
      await page.getByRole('button', { name: 'Hugging Face' }).click();
      const field = page.getByLabel('A model on huggingface.co');
      assert.equal(await field.inputValue(), 'google-bert/bert-base-uncased');
      await page.getByText('the notebook’s, 440 MB').waitFor();
      await field.fill(' ');
      const button = page.getByRole('button', { name: 'Download and load' });
      await button.click();
      await trouble(page, /There is no name of a model yet\./);
      const [above, panel] = [
        (await button.boundingBox())!,
        (await page.getByTestId('model-trouble').boundingBox())!,
      ];
      const between = panel.y - above.y - above.height;
      assert.ok(between >= 0 && between < 40, `${between} pixels between them`);
    });
  });

  const faults: readonly (readonly [what: string, name: string, sentence: RegExp, remedy: RegExp])[] = [
    ['a name that is none', 'a b c', /“a b c” is no name of a model/, /owner\/name/],
    [
      'a model that is not there',
      'someone/nothing',
      /no someone\/nothing on huggingface\.co/,
      /Check the spelling; private and gated models/,
    ],
    ['a model that is no BERT', 'someone/gpt', /model_type is .*gpt2/, /google-bert\/bert-base-uncased/],
    ['a model without safetensors', 'someone/old', /pytorch_model\.bin only/, /save_pretrained/],
    ['a missing file', 'someone/half', /no tokenizer\.json and no vocab\.txt/i, /Choose the folder/],
  ];
  for (const [what, name, sentence, remedy] of faults) {
    test(`${what}: said with its remedy, and the page goes on`, async () => {
      await onLensPage('#/model', async ({ page, said }) => {
        await waitFor(page, 'Default model');
        await fromHub(page, name);
        await trouble(page, sentence);
        assert.match(await page.getByTestId('model-trouble').innerText(), remedy);
        assert.match(await status(page), /Default model/);
        await goesOn(page);
        // browsers write refused requests to the console themselves
        said.splice(0, said.length, ...said.filter((line) => !line.includes('status of 401')));
      });
    });
  }

  test('what the hub answers has its own remedy, and one trouble stands at a time', async () => {
    await onLensPage('#/model', async ({ page, said }) => {
      await waitFor(page, 'Default model');
      let status = 404;
      await page.route('https://huggingface.co/api/models/**', (route) =>
        route.fulfill({ status, headers: { 'Access-Control-Allow-Origin': '*' } }),
      );
      for (const [answer, remedy] of [
        [404, /Check the spelling; private and gated models cannot be loaded here\./],
        [429, /The hub asks to wait: try again in a minute\./],
        [500, /The hub has a fault of its own: try again later\./],
      ] as const) {
        status = answer;
        await fromHub(page, 'google-bert/bert-base-uncasd');
        await trouble(page, new RegExp(`google-bert/bert-base-uncasd.*HTTP status ${answer}`));
        const panel = await page.getByTestId('model-trouble').innerText();
        assert.match(panel, remedy);
        assert.doesNotMatch(panel, /folder|connection/);
        await fromHub(page, 'bert base');
        await trouble(page, /“bert base” is no name of a model/);
        assert.equal(await page.getByTestId('model-trouble').count(), 1);
      }
      said.splice(0, said.length, ...said.filter((line) => !/status of (404|429|500)/.test(line)));
    });
  });

  test('a cut download, taken up again', async () => {
    await onLensPage('#/model', async ({ page, said }) => {
      await waitFor(page, 'Default model');
      hub.cutAt = 100_000;
      await fromHub(page, 'someone/tiny');
      await trouble(page, /cannot read .*model\.safetensors/i);
      hub.cutAt = undefined;
      await page.getByRole('button', { name: 'Try again' }).click();
      await waitFor(page, 'someone/tiny');
      assert.equal(await page.getByTestId('model-trouble').count(), 0);
      said.length = 0;
    });
  });

  test('a file with another SHA-256 is refused and not kept', async () => {
    await onLensPage('#/model', async ({ page }) => {
      await waitFor(page, 'Default model');
      hub.lies = true;
      await fromHub(page, 'someone/tiny');
      await trouble(page, /model\.safetensors has SHA-256/);
      hub.lies = false;
      await page.getByRole('button', { name: 'Try again' }).click();
      await waitFor(page, 'someone/tiny');
      assert.match(await fact(page, 'Loaded'), /^from the network/);
    });
  });

  test('a download shows how far it is, and can be called off', async () => {
    await onLensPage('#/model', async ({ page, said }) => {
      await waitFor(page, 'Default model');
      hub.stallAt = 1_000_000;
      await fromHub(page, 'someone/tiny');
      const arrival = page.getByTestId('arrival');
      await arrival.getByText(/model\.safetensors/).waitFor(arrived);
      await arrival.getByText(/1\.0 MB of 1\d MB, from the network/).waitFor(arrived);
      const bar = arrival.getByRole('progressbar');
      assert.ok(Number(await bar.getAttribute('aria-valuenow')) < 20);
      await arrival.getByRole('button', { name: 'Cancel' }).click();
      await arrival.waitFor({ state: 'detached' });
      hub.stallAt = undefined;
      assert.equal(await page.getByTestId('model-trouble').count(), 0);
      await goesOn(page);
      said.length = 0;
    });
  });

  /** Files by their paths, as if chosen through the folder dialogue of a browser that gives no handle. */
  async function choose(page: Page, folder: string): Promise<void> {
    await page.getByRole('button', { name: 'From this device' }).click();
    await page.getByLabel('A model folder', { exact: true }).setInputFiles(folder);
  }

  test('a folder of this device, in shards, at another precision', async () => {
    await onLensPage('#/model', async ({ page }) => {
      await waitFor(page, 'Default model');
      await page.getByRole('group', { name: 'Precision' }).getByRole('button', { name: 'f16' }).click();
      await choose(page, path.join(models, 'sharded'));
      await waitFor(page, 'sharded');
      assert.equal(await fact(page, 'Computes with'), 'f16');
      assert.match(await fact(page, 'Loaded'), /^from files of this device/);
      assert.equal(new URL(page.url()).hash.includes('model='), false);
      // its own vocabulary has taken over
      await page.getByRole('link', { name: /Tokenizer/ }).click();
      assert.match(
        await page
          .getByRole('group', { name: 'Part of the vocabulary' })
          .getByRole('button')
          .first()
          .innerText(),
        /133/,
      );
    });
  });

  test('a folder is quantised while it loads', async () => {
    await onLensPage('#/model', async ({ page }) => {
      await waitFor(page, 'Default model');
      await page.getByRole('group', { name: 'Precision' }).getByRole('button', { name: 'int8' }).click();
      await choose(page, path.join(models, 'tiny'));
      await waitFor(page, 'tiny');
      assert.equal(await fact(page, 'Computes with'), 'int8');
      assert.match(await fact(page, 'Stored weights'), /in F32$/);
    });
  });

  test('a folder behind a directory handle', async () => {
    await onLensPage('#/model', async ({ page }) => {
      await waitFor(page, 'Default model');
      const files = Object.fromEntries(
        ['config.json', 'vocab.txt', 'model.safetensors'].map((name) => [
          name,
          readFileSync(path.join(models, 'wide', name)).toString('base64'),
        ]),
      );
      // the origin's private file system stands for the disk: its handles are real ones
      await page.evaluate(async (content) => {
        const top = await navigator.storage.getDirectory();
        const folder = await top.getDirectoryHandle('a BERT', { create: true });
        for (const [name, base64] of Object.entries(content)) {
          const handle = await folder.getFileHandle(name, { create: true });
          const writer = await handle.createWritable();
          await writer.write(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)));
          await writer.close();
        }
        Object.assign(window, { showDirectoryPicker: () => Promise.resolve(top) });
      }, files);
      // the picker reads what the browser offers when it is drawn
      await page.getByRole('button', { name: 'The default', exact: true }).click();
      await page.getByRole('button', { name: 'From this device' }).click();
      await page.getByRole('button', { name: 'Choose a folder' }).click();
      await waitFor(page, 'a BERT');
    });
  });

  test('a folder dropped on any section', async () => {
    await onLensPage('#/padding', async ({ page }) => {
      await page.locator('[data-strategy="longest"]').waitFor();
      const session = await page.context().newCDPSession(page);
      const drag = (type: 'dragEnter' | 'dragOver' | 'drop') =>
        session.send('Input.dispatchDragEvent', {
          type,
          x: 600,
          y: 400,
          data: { items: [], files: [path.join(models, 'wide')], dragOperationsMask: 1 },
        });
      await drag('dragEnter');
      await drag('dragOver');
      await page.getByText('Drop the folder of a BERT to load it').waitFor();
      await drag('drop');
      await waitFor(page, 'wide');
      await page.getByRole('heading', { level: 1, name: /another BERT/ }).waitFor();
    });
  });

  test('files that are no model, several models, pointers of Git LFS', async () => {
    await onLensPage('#/model', async ({ page }) => {
      await waitFor(page, 'Default model');
      const empty = path.join(scratch, 'empty');
      mkdirSync(empty);
      writeFileSync(path.join(empty, 'notes.md'), 'no model');
      await choose(page, empty);
      await trouble(page, /no config\.json among the 1 file chosen \(notes\.md\)/);
      await choose(page, models);
      await trouble(page, /several models in there: .*deep.*wide/);
      const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n';
      await choose(page, variant('pointer', 'wide', { 'model.safetensors': pointer }));
      await trouble(page, /only a pointer of Git LFS/);
      const cut = variant('cut', 'wide', {});
      truncateSync(path.join(cut, 'model.safetensors'), 20_000);
      await choose(page, cut);
      await trouble(page, /safetensors/);
      await goesOn(page);
    });
  });

  test('a model too large for memory', async () => {
    await onLensPage('#/model', async ({ page }) => {
      await waitFor(page, 'Default model');
      await choose(page, huge());
      await trouble(page, /memory|heap/);
      await goesOn(page);
    });
  });

  test('a model without a head says so where it is asked', async () => {
    await onLensPage('#/model', async ({ page }) => {
      await waitFor(page, 'Default model');
      await choose(page, path.join(models, 'plain'));
      await waitFor(page, 'plain');
      assert.match(await fact(page, 'Head for masked words'), /^no/);
      // it takes few tokens, so its questions are short
      await page.evaluate(() => {
        window.location.hash = '#/mlm?sentence=ab&hide=0';
      });
      const alert = page
        .getByRole('alert')
        .filter({ hasText: /The checkpoint has no masked-language-model head/ });
      await alert.first().waitFor(arrived);
      assert.match(await alert.first().innerText(), /BertForPreTraining/);
      await page.evaluate(() => {
        window.location.hash = '#/attention?text=ab';
      });
      await page.getByRole('img', { name: /^Lines from/ }).waitFor(arrived);
    });
  });

  test('a full storage: the model works, and the page says that it was not kept', async () => {
    await onLensPage('#/tokenizer', async ({ page, url }) => {
      const session = await page.context().newCDPSession(page);
      await session.send('Storage.overrideQuotaForOrigin', {
        origin: new URL(url).origin,
        quotaSize: 3_000_000,
      });
      await page.getByRole('link', { name: /Your model/ }).click();
      await waitFor(page, 'Default model');
      const note = page.getByTestId('not-kept');
      await note.waitFor(arrived);
      assert.match(await note.innerText(), /did not keep the model/);
      await page.getByRole('link', { name: /Masked words/ }).click();
      await page.getByTestId('mask-0').getByRole('listitem').first().waitFor(arrived);
    });
  });

  test('a killed worker: the page says so, loads again, and answers', async () => {
    await onLensPage('#/mlm', async ({ page, said }) => {
      await page.getByTestId('mask-0').getByRole('listitem').first().waitFor(arrived);
      const worker = page.workers().find((one) => one.url().includes('worker'))!;
      await worker.evaluate(() => {
        setTimeout(() => {
          throw new Error('killed by its test');
        });
      });
      await page.getByRole('button', { name: 'capital', exact: true }).click();
      const notice = page.getByTestId('lost');
      await notice.filter({ hasText: 'It has been loaded again' }).waitFor(arrived);
      assert.match(await notice.innerText(), /killed by its test/);
      await page.getByTestId('mask-1').getByRole('listitem').first().waitFor(arrived);
      await notice.getByRole('button', { name: 'Close' }).click();
      assert.equal(await notice.count(), 0);
      said.length = 0; // the worker's own last words
    });
  });
});

/** A model whose word embeddings alone are more than WebAssembly can hold; its file is sparse. */
function huge(): string {
  const folder = variant('huge', 'wide', { 'config.json': configOf('wide', { vocab_size: 12_000_000 }) });
  const file = path.join(folder, 'model.safetensors');
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<
    string,
    { shape: number[]; data_offsets: [number, number] }
  >;
  let at = 0;
  for (const [name, tensor] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    if (name.includes('word_embeddings')) tensor.shape[0] = 12_000_000;
    const size = 4 * tensor.shape.reduce((product, side) => product * side, 1);
    tensor.data_offsets = [at, at + size];
    at += size;
  }
  const text = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(file, Buffer.concat([prefix, text]));
  truncateSync(file, 8 + text.length + at);
  return folder;
}
