// The tokenizer held against the reference, npm `tokenizers` (the Rust package): not one id and not one offset may differ.
//   node --test tests/parity/tokenizer.test.ts      after the native build
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import type { Tokenizer } from 'tokenizers';
import { driverPath, sharedPath, vocabPath, without } from '../support/paths.ts';
import { Driver } from './tokenizer-driver.ts';
import type { EncodeOptions, LoadOptions, Row } from './tokenizer-driver.ts';
import { difference, fullDifference, reference, tokenizerJson, withWindows } from './tokenizer-reference.ts';
import type { AddedToken, NormalizerOptions } from './tokenizer-reference.ts';
import { random, text } from './tokenizer-texts.ts';

const vocab = readFileSync(vocabPath, 'utf8').trimEnd().split('\n');
const uncased: NormalizerOptions = {};
const cased: NormalizerOptions = { lowercase: false, strip_accents: false };

let driver: Driver;
let folder: string;
before(() => {
  driver = new Driver(driverPath);
  folder = mkdtempSync(join(tmpdir(), 'bertlens-parity-'));
});
after(async () => {
  await driver.close();
  rmSync(folder, { recursive: true });
});

async function load(options: LoadOptions): Promise<void> {
  const answer = await driver.load(options);
  assert.equal(answer.error, undefined);
}
/** The same tokenizer on both sides, from one tokenizer.json. */
async function loadBoth(json: string): Promise<Tokenizer> {
  const path = join(folder, 'tokenizer.json');
  writeFileSync(path, json);
  await load({ json: path });
  return reference(json);
}
const shown = (s: string): string =>
  Array.from(s.slice(0, 200), (c) => (/[ -~]/.test(c) ? c : `\\u{${c.codePointAt(0)!.toString(16)}}`)).join(
    '',
  );

/** Encodes the texts on both sides and fails with the first differences. */
async function same(tokenizer: Tokenizer, texts: string[], words = true, explain = false): Promise<void> {
  const plain = { addSpecialTokens: false };
  const found: string[] = [];
  for (let i = 0; i < texts.length; i += 20000) {
    const part = texts.slice(i, i + 20000);
    const ours = explain
      ? driver.explain(part)
      : driver.encode(
          part.map((first) => ({ first })),
          { special_tokens: false },
        );
    const theirs = await tokenizer.encodeBatch(part, plain);
    for (const [k, row] of (await ours).entries()) {
      const differs = 'error' in row ? row.error : difference(row, theirs[k]!, words);
      if (differs !== undefined) found.push(`"${shown(part[k]!)}": ${differs}`);
    }
  }
  assert.equal(
    found.length,
    0,
    `${found.length} of ${texts.length} differ:\n${found.slice(0, 20).join('\n')}`,
  );
}

function* scalars(from = 0): Generator<number> {
  for (let c = from; c < 0x110000; c++) if (c < 0xd800 || c > 0xdfff) yield c;
}

/** A vocabulary in which every assigned character is a token, so that no difference hides behind [UNK]. */
function characterVocabulary(): string[] {
  const tokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
  for (const c of scalars(0x21)) {
    const s = String.fromCodePoint(c);
    if (!/^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(s)) continue;
    tokens.push(s);
    if (!/^[\p{P}\p{Script=Han}\p{Script=Hangul}]$/u.test(s)) tokens.push(`##${s}`);
  }
  return tokens;
}

describe('every Unicode scalar value', () => {
  const characters = characterVocabulary();
  for (const [name, normalizer] of [
    ['uncased', uncased],
    ['cased', cased],
  ] as const) {
    it(`${name}: alone, between letters, doubled, after a combining mark, among marks`, async () => {
      const tokenizer = await loadBoth(tokenizerJson(characters, normalizer));
      for (let plane = 0; plane < 17; plane++) {
        const alone: string[] = [];
        const framed: string[] = [];
        for (const c of scalars(plane << 16)) {
          if (c >= (plane + 1) << 16) break;
          const s = String.fromCodePoint(c);
          alone.push(s);
          framed.push(`a${s}b ${s}${s} a\u0301${s}`);
          if (/^\p{M}$/u.test(s) || s.normalize('NFD') !== s)
            framed.push(`x${s}\u0323\u0301 x\u0323\u0301${s} \u0345${s}\u0334${s}`);
        }
        await same(tokenizer, alone, false);
        await same(tokenizer, framed, false);
      }
    });
  }
});

describe('random texts', () => {
  const count = Number(process.env['BERTLENS_RANDOM_TEXTS'] ?? 110000);
  for (const [name, normalizer, seed] of [
    ['uncased', uncased, 1],
    ['cased', cased, 2],
  ] as const) {
    it(`${name}: ${count} texts, words too`, async () => {
      const tokenizer = await loadBoth(tokenizerJson(vocab, normalizer));
      const next = random(seed);
      await same(
        tokenizer,
        Array.from({ length: count }, () => text(next)),
      );
    });
  }

  it('each option of the normalizer on its own', async () => {
    const options: NormalizerOptions[] = [];
    for (let bits = 0; bits < 16; bits++)
      options.push({
        lowercase: (bits & 1) !== 0,
        strip_accents: (bits & 2) !== 0,
        handle_chinese_chars: (bits & 4) !== 0,
        clean_text: (bits & 8) !== 0,
      });
    for (const [i, normalizer] of options.entries()) {
      const next = random(100 + i);
      const tokenizer = await loadBoth(tokenizerJson(vocab, normalizer));
      await same(
        tokenizer,
        Array.from({ length: 1500 }, () => text(next)),
      );
    }
  });

  it('vocab.txt gives the same as tokenizer.json', async () => {
    await load({ vocab: vocabPath });
    const next = random(3);
    await same(
      reference(tokenizerJson(vocab)),
      Array.from({ length: 2000 }, () => text(next)),
    );
  });

  it('explain tells the same ids and places', async () => {
    const tokenizer = await loadBoth(tokenizerJson(vocab));
    const next = random(4);
    const texts = Array.from({ length: 20000 }, () => text(next));
    await same(tokenizer, texts, true, true);
    await same(await loadBoth(tokenizerJson(vocab, cased)), texts.slice(0, 5000), true, true);
  });
});

describe('added tokens', () => {
  const contents = [
    '<t>',
    '<t><t>',
    'New York',
    'naïve',
    'ÉCOLE',
    'ing',
    'a',
    '中',
    ' x',
    '[MASK] y',
    'É',
    '.',
  ];
  for (let seed = 0; seed < 24; seed++) {
    it(`with random rules, seed ${seed}`, async () => {
      const next = random(1000 + seed);
      const coin = (): boolean => next() < 0.5;
      const added: AddedToken[] = contents
        .filter(() => next() < 0.6)
        .map((content, i) => ({
          id: vocab.includes(content) ? vocab.indexOf(content) : vocab.length + i,
          content,
          single_word: coin(),
          lstrip: coin(),
          rstrip: coin(),
          normalized: coin(),
          special: coin(),
        }));
      // ids beyond the vocabulary have no gaps
      let id = vocab.length;
      for (const token of added) if (token.id >= vocab.length) token.id = id++;
      const tokenizer = await loadBoth(tokenizerJson(vocab, coin() ? uncased : cased, added));
      const texts = Array.from({ length: 1500 }, () => text(next, contents));
      await same(tokenizer, texts);
      await same(tokenizer, texts.slice(0, 500), true, true);
    });
  }
});

type Direction = 'left' | 'right';
interface Combination {
  strategy: 'longest_first' | 'only_first' | 'only_second' | 'none';
  padding: 'none' | 'longest' | 'max_length';
  maxLength: number;
  stride: number;
  paddingSide: Direction;
  truncationSide: Direction;
  multiple: number;
}

function* combinations(): Generator<Combination> {
  const sides: Direction[] = ['left', 'right'];
  for (const strategy of ['none', 'longest_first', 'only_first', 'only_second'] as const)
    for (const padding of ['none', 'longest', 'max_length'] as const)
      for (const maxLength of [4, 8, 13, 24])
        for (const stride of strategy === 'none' ? [0] : [0, 2, 5])
          for (const paddingSide of sides)
            for (const truncationSide of sides)
              for (const multiple of [0, 8])
                // transformers refuses a max_length that is not a multiple, before the Rust package sees it
                if (strategy === 'none' || padding === 'none' || multiple === 0 || maxLength % multiple === 0)
                  yield { strategy, padding, maxLength, stride, paddingSide, truncationSide, multiple };
}

function setOptions(tokenizer: Tokenizer, options: Combination): void {
  const strategies = { longest_first: 'LongestFirst', only_first: 'OnlyFirst', only_second: 'OnlySecond' };
  tokenizer.disableTruncation();
  tokenizer.disablePadding();
  if (options.strategy !== 'none') {
    const { stride, truncationSide: direction } = options;
    const strategy = strategies[options.strategy];
    tokenizer.setTruncation(options.maxLength, { strategy, stride, direction } as object);
  }
  if (options.padding !== 'none')
    tokenizer.setPadding({
      ...(options.padding === 'max_length' ? { maxLength: options.maxLength } : {}),
      padToMultipleOf: options.multiple,
      direction: options.paddingSide,
    });
}

/** Holds the windows of a row that was not padded against those of the reference's parts. Returns how many there were. */
async function sameWindows(
  tokenizer: Tokenizer,
  options: Combination,
  special: boolean,
  one: { first: string; second?: string },
  ours: Row,
  where: string,
): Promise<number> {
  const kept = (sequence: number): number => ours.sequences.filter((s) => s === sequence).length;
  const { stride, truncationSide: direction } = options;
  const lengths: [number, number] = [kept(0), kept(1)];
  const row = await withWindows(tokenizer, { ...one, lengths, stride, direction, special });
  const windows = row.getOverflowing();
  assert.equal(ours.overflowing.length, windows.length, where);
  for (const [i, window] of ours.overflowing.entries()) {
    assert.equal(fullDifference(window, windows[i]!, true, false), undefined, `window ${i}, ${where}`);
    if (!special) continue;
    let sequence = -1; // [CLS] comes first, and a [SEP] ends each sequence
    for (const [k, added] of window.special.entries()) {
      assert.equal(window.types[k], Math.max(sequence, 0), where);
      assert.equal(window.sequences[k], added === 1 ? -1 : sequence, where);
      sequence += added;
    }
  }
  return windows.length;
}

describe('pairs, padding, truncation, windows, words', () => {
  it('every combination of options', async () => {
    const tokenizer = await loadBoth(tokenizerJson(vocab));
    const next = random(77);
    let rows = 0;
    let windows = 0;
    for (const options of combinations()) {
      const { maxLength, stride } = options;
      const special = next() < 0.8;
      if (maxLength - (special ? 3 : 0) <= Math.max(stride, 1)) continue; // the reference aborts there
      const asked: EncodeOptions = {
        padding: options.padding,
        truncation: options.strategy,
        max_length: maxLength,
        stride,
        overflowing: true,
        special_tokens: special,
        padding_side: options.paddingSide,
        truncation_side: options.truncationSide,
        pad_to_multiple_of: options.multiple,
      };
      // cut on the left, the reference numbers words from the first one kept
      const wordsToo = options.truncationSide === 'right';
      const singles: string[] = [];
      for (let i = 0; i < 6; i++) {
        const one: { first: string; second?: string } = { first: text(next).slice(0, 120) };
        if (next() < 0.6) one.second = next() < 0.1 ? '' : text(next).slice(0, 80);
        const where = `${JSON.stringify(asked)} on ${JSON.stringify(one)}`;
        const ours = (await driver.encode([one], asked, true))[0]!;
        if ('error' in ours && ours.error.includes('no window can follow')) continue; // the reference aborts there
        setOptions(tokenizer, options);
        const theirs = await tokenizer
          .encode(one.first, one.second, { addSpecialTokens: special })
          .catch((error: unknown) => String(error));
        if ('error' in ours) {
          if (typeof theirs === 'string') continue;
          // only_first: the reference has silently cut the second sequence where it stopped reading it
          assert.match(ours.error, /must take/, where);
          assert.equal(theirs.getLength(), maxLength, where);
          continue;
        }
        assert.ok(typeof theirs !== 'string', `${where}: the reference refuses`);
        assert.equal(fullDifference(ours, theirs, wordsToo), undefined, where);
        if (one.second === undefined) singles.push(one.first);
        rows++;
        if (options.padding === 'none' && options.strategy !== 'none')
          windows += await sameWindows(tokenizer, options, special, one, ours, where);
      }
      if (options.padding === 'none' || singles.length === 0) continue;
      // the binding takes no pairs in a batch
      setOptions(tokenizer, options);
      const theirs = await tokenizer.encodeBatch(singles, { addSpecialTokens: special });
      const ours = await driver.encode(
        singles.map((first) => ({ first })),
        asked,
        true,
      );
      for (const [i, row] of ours.entries())
        assert.equal(fullDifference(row as Row, theirs[i]!, wordsToo), undefined, JSON.stringify(asked));
    }
    assert.ok(rows > 1000 && windows > 1000, `only ${rows} rows and ${windows} windows were compared`);
  });

  it('words given beforehand are encoded one by one', async () => {
    const tokenizer = await loadBoth(tokenizerJson(vocab));
    const next = random(78);
    for (let i = 0; i < 300; i++) {
      const words = Array.from({ length: Math.floor(next() * 6) }, () => text(next).slice(0, 60));
      const ours = (await driver.encode([{ first: words }], { special_tokens: false }))[0]!;
      assert.ok(!('error' in ours), JSON.stringify(ours));
      const ids: number[] = [];
      const offsets: number[] = [];
      const wordIds: number[] = [];
      for (const [k, word] of words.entries()) {
        const theirs = await tokenizer.encode(word, null, { addSpecialTokens: false });
        ids.push(...theirs.getIds());
        offsets.push(...theirs.getOffsets().flat());
        wordIds.push(...theirs.getIds().map(() => k));
      }
      const where = JSON.stringify(words);
      assert.equal(ours.ids.join(), ids.join(), where);
      assert.equal(Array.from(ours.begins, (b, k) => `${b},${ours.ends[k]!}`).join(), offsets.join(), where);
      assert.equal(ours.words.join(), wordIds.join(), where);
    }
  });

  it('decodes as the reference does', async () => {
    const tokenizer = await loadBoth(tokenizerJson(vocab));
    const next = random(79);
    const rows = Array.from({ length: 5000 }, () =>
      Array.from({ length: 1 + Math.floor(next() * 20) }, () =>
        Math.floor(next() * (next() < 0.3 ? 1200 : vocab.length)),
      ),
    );
    for (const skip of [false, true]) {
      const ours = await driver.decode(rows, { skip_special_tokens: skip });
      const theirs = await tokenizer.decodeBatch(rows, skip);
      for (const [i, row] of rows.entries()) assert.equal(ours[i], theirs[i], row.join());
    }
  });
});

/** Files of a zip archive whose members are stored or deflated. */
function unzip(bytes: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const end = bytes.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  let at = bytes.readUInt32LE(end + 16);
  for (let left = bytes.readUInt16LE(end + 10); left > 0; left--) {
    const [name, extra, comment] = [28, 30, 32].map((k) => bytes.readUInt16LE(at + k)) as [
      number,
      number,
      number,
    ];
    const local = bytes.readUInt32LE(at + 42);
    const data = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const packed = bytes.subarray(data, data + bytes.readUInt32LE(at + 20));
    const stored = bytes.readUInt16LE(at + 10) === 0;
    files.set(bytes.toString('utf8', at + 46, at + 46 + name), stored ? packed : inflateRawSync(packed));
    at += 46 + name + extra + comment;
  }
  return files;
}

describe('reference files beside the checkout', { skip: without('data') }, () => {
  const path = (name: string): string => sharedPath(join('data', name));
  const vocabularies = ['bert-base-uncased', 'bert-base-cased', 'bert-base-multilingual-cased'];

  it('46 texts with the ids of Hugging Face (ggml-vocab-bert-bge)', async () => {
    await load({ vocab: vocabPath });
    const texts = readFileSync(path('tokenizer/ggml-vocab-bert-bge.gguf.inp'), 'utf8').split(
      '\n__ggml_vocab_test__\n',
    );
    const lines = readFileSync(path('tokenizer/ggml-vocab-bert-bge.gguf.out'), 'utf8').split('\n');
    const rows = await driver.encode(
      texts.map((first) => ({ first })),
      { special_tokens: false },
    );
    for (const [i, row] of rows.entries())
      assert.equal((row as Row).ids.join(' '), lines[i]!.trim(), `text ${i}: ${shown(texts[i]!)}`);
    assert.ok(texts.length >= 46);
  });

  for (const name of vocabularies)
    it(`${name}: naughty strings, emoji sequences, the Declaration of Human Rights in every language`, async () => {
      const file = path(`vocab/${name}.txt`);
      const lines = readFileSync(file, 'utf8').replace(/\n$/, '').split('\n');
      const isCased = name.endsWith('-cased');
      const tokenizer = reference(tokenizerJson(lines, isCased ? cased : uncased));
      await load({ vocab: file, ...(isCased ? { lowercase: false } : {}) });
      const naughty = readFileSync(path('tokenizer/blns.txt'), 'utf8');
      const emoji = readFileSync(path('tokenizer/emoji-test.txt'), 'utf8');
      await same(tokenizer, [naughty, emoji, ...naughty.split('\n'), ...emoji.split('\n')]);
      const declarations = [...unzip(readFileSync(path('tokenizer/udhr.zip'))).values()].map((b) =>
        b.toString(),
      );
      assert.ok(declarations.length > 380);
      await same(
        tokenizer,
        declarations.filter((d) => d.length > 0),
      );
    });
});
