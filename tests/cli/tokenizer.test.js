// The commands that need a vocabulary alone: tokenize, decode, pad, vocab. The notebook's figures digit for digit.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

import {
  assertOneLine,
  binary,
  failure,
  golden,
  json,
  output,
  run,
  stream,
  talk,
  temporaryFolder,
} from './program.js';

const sample = 'Tokenization and padding are fundamental steps in most NLP pipelines.';
const sampleIds = [
  101, 19204, 3989, 1998, 11687, 4667, 2024, 8050, 4084, 1999, 2087, 17953, 2361, 13117, 2015, 1012, 102,
];
const movies = ['This movie was amazing!', 'Bad.', 'I would not watch it again, honestly.'];
const sentences = [
  'Great!',
  'This is a medium length sentence about machine learning.',
  'Short one.',
  'This is the longest sentence in our batch and it talks about natural language processing and transformers.',
];

describe('the notebook', () => {
  it('cells 3 and 4: sizes, special tokens, [unused] tokens', () => {
    assert.equal(output(['vocab']), golden('cells_3_4.txt'));
    assert.equal(json(['vocab', '--json', '--facet', 'unused']).length, 994);
  });
  it('cell 5: the token table', () => {
    assert.equal(output(['tokenize', sample]), golden('cell_5.txt'));
    assert.deepEqual(json(['tokenize', '--json', sample]).input_ids, sampleIds);
  });
  it('cell 6: the padding strategies', () => {
    assert.equal(output(['pad', '--max-length', '16', '--tables', ...movies]), golden('cell_6.txt'));
  });
  it('exercise 1: words split in pieces', () => {
    const text = 'The pre-trained BERT model uses WordPiece tokenization with 30,522 tokens.';
    assert.equal(output(['tokenize', '--words', text]), golden('exercise_1.txt'));
  });
  it('exercise 1, bonus: a word of eight pieces is one word', () => {
    const report = output(['tokenize', '--words', 'Antidisestablishmentarianism is a very long word.']);
    assert.match(report, /'antidisestablishmentarianism' was split into 'anti'( \+ '##\w+'){7}\n/);
  });
  it('exercise 2: what padding costs', () => {
    const report = output(['pad', '--max-length', '64', ...sentences]);
    assert.match(report, /Padding percentage \(longest\): 48\.75%\n/);
    assert.match(report, /Padding percentage \(max_length=64\): 83\.98%\n/);
    assert.match(report, /Efficiency gain: 35\.23% less padding with 'longest'\n/);
    const long = run(['pad', '--csv', 'a', 'a '.repeat(600)]);
    assert.equal(long.status, 0);
    assertOneLine(long.stderr);
    assert.match(long.stderr, /1 text has more than the model's 512 tokens and counts as cut there/);
    const answer = json(['pad', '--json', '--max-length', '64', ...sentences]);
    assert.deepEqual(answer.longest.shape, [4, 20]);
    assert.deepEqual(answer.max_length.shape, [4, 64]);
    assert.equal(answer.longest.padding_percent, 48.75);
    assert.match(answer.none.error, /4, 12, 5, 20/);
  });
});

describe('tokenize', () => {
  it('gives every field of the contract', () => {
    const [answer] = stream(['tokenize'], [{ text: 'Héllo 🙂 unaffable', pair: 'b' }]);
    assert.deepEqual(Object.keys(answer), [
      'input_ids',
      'token_type_ids',
      'attention_mask',
      'tokens',
      'offsets',
      'word_ids',
      'sequence_ids',
      'special_tokens_mask',
    ]);
    assert.deepEqual(answer.tokens, [
      '[CLS]',
      'hello',
      '[UNK]',
      'una',
      '##ffa',
      '##ble',
      '[SEP]',
      'b',
      '[SEP]',
    ]);
    assert.deepEqual(answer.token_type_ids, [0, 0, 0, 0, 0, 0, 0, 1, 1]);
    assert.deepEqual(answer.word_ids, [null, 0, 1, 2, 2, 2, null, 0, null]);
    assert.deepEqual(answer.sequence_ids, [null, 0, 0, 0, 0, 0, null, 1, null]);
    assert.deepEqual(answer.special_tokens_mask, [1, 0, 0, 0, 0, 0, 1, 0, 1]);
    // code points, not bytes: é and the emoji are one each
    assert.deepEqual(answer.offsets.slice(1, 6), [
      [0, 5],
      [6, 7],
      [8, 11],
      [11, 14],
      [14, 17],
    ]);
  });
  it('keeps an empty pair, and takes an empty text', () => {
    const [pair, empty] = stream(['tokenize'], [{ text: 'a', pair: '' }, { text: '' }]);
    assert.deepEqual(pair.tokens, ['[CLS]', 'a', '[SEP]', '[SEP]']);
    assert.deepEqual(empty.input_ids, [101, 102]);
  });
  it('pads to the longest line of a batch', () => {
    const lines = [{ text: 'a' }, { text: 'a b c' }, { text: 'a b' }, { text: 'a' }];
    const widths = (args) => stream(['tokenize', ...args], lines).map((answer) => answer.input_ids.length);
    assert.deepEqual(widths([]), [3, 5, 4, 3]);
    assert.deepEqual(widths(['--padding', 'longest']), [5, 5, 5, 5]);
    assert.deepEqual(widths(['--padding', 'longest', '--batch', '2']), [5, 5, 4, 4]);
    assert.deepEqual(widths(['--padding', 'longest', '--pad-to-multiple-of', '8']), [8, 8, 8, 8]);
    assert.deepEqual(widths(['--padding', 'max_length', '--max-length', '9']), [9, 9, 9, 9]);
    assert.deepEqual(widths(['--padding', 'max_length']), [512, 512, 512, 512]);
  });
  it('a bad line does not change the padding of the others', () => {
    const answers = stream(['tokenize', '--padding', 'longest'], [{ text: 'a b' }, '{', { text: 'a' }], 1);
    assert.equal(answers[0].input_ids.length, 4);
    assert.equal(answers[2].input_ids.length, 4);
  });
  it('pads on the left', () => {
    const [row] = stream(
      ['tokenize', '--padding', 'max_length', '--max-length', '5', '--padding-side', 'left'],
      [{ text: 'a' }],
    );
    assert.deepEqual(row.attention_mask, [0, 0, 1, 1, 1]);
  });
  it('truncates, and gives windows with a stride', () => {
    const line = { text: 'one two three four five' };
    const [cut] = stream(['tokenize', '--max-length', '4', '--truncation', 'longest_first'], [line]);
    assert.deepEqual(cut.tokens, ['[CLS]', 'one', 'two', '[SEP]']);
    assert.equal(cut.overflowing, undefined);
    const [windows] = stream(['tokenize', '--max-length', '5', '--stride', '1'], [line]);
    assert.deepEqual(windows.tokens, ['[CLS]', 'one', 'two', 'three', '[SEP]']);
    assert.deepEqual(
      windows.overflowing.map((window) => window.tokens),
      [['[CLS]', 'three', 'four', 'five', '[SEP]']],
    );
    assert.deepEqual(Object.keys(windows.overflowing[0]), Object.keys(cut));
  });
  it('a truncation or stride that cannot be met is an error object', () => {
    const pair = { text: 'a', pair: 'one two three four' };
    const [first] = stream(['tokenize', '--max-length', '4', '--truncation', 'only_first'], [pair], 1);
    assert.equal(first.error.code, 'too_long');
    const [stride] = stream(['tokenize', '--max-length', '4', '--stride', '9'], [{ text: 'a b c d e' }], 1);
    assert.match(stride.error.message, /^--stride 9 must be less than 2, which is --max-length 4 minus/);
    failure(['tokenize', '--max-length', '4', '--stride', '9', 'a b c d e'], 1, /tokenize: --stride 9/);
    failure(['pad', '--max-length', '1', 'a', 'b'], 1, /pad: --max-length 1 is less than the 2 special/);
    failure(
      ['pad', '--max-length', '9', '--pad-to-multiple-of', '8', 'a'],
      1,
      /pad: --max-length 9 is not a multiple of --pad-to-multiple-of 8/,
    );
    for (const padding of ['max_length', 'longest']) {
      const lengths = ['--max-length', '10', '--pad-to-multiple-of', '8', '--truncation', 'longest_first'];
      failure(
        ['tokenize', '--json', '--padding', padding, ...lengths, 'a b c'],
        1,
        /tokenize: --max-length 10 is not a multiple of --pad-to-multiple-of 8/,
      );
    }
    failure(
      ['tokenize', '--max-length', '4', '--truncation', 'only_first', '--pair', 'b c d e', 'a'],
      1,
      /tokenize: --truncation only_first must .* or leave more room/,
    );
    for (const length of ['0', '1']) {
      const [short] = stream(
        ['tokenize', '--max-length', length, '--truncation', 'longest_first'],
        [{ text: 'a b' }],
        1,
      );
      assert.equal(short.error.code, 'invalid_argument');
    }
  });
  it('warns once of rows that a model will refuse', () => {
    const long = 'a '.repeat(600);
    const warning = /^bertlens: warning: more tokens than the model's maximum of 512: [^\n]*\n$/;
    const lines = `${JSON.stringify({ text: long })}\n`.repeat(2);
    for (const [args, input] of [
      [['tokenize', '--jsonl'], lines],
      [['tokenize', '--json', long, long], ''],
    ]) {
      const result = run(args, { input });
      assert.equal(result.status, 0);
      assert.match(result.stderr, warning);
    }
    assert.equal(run(['tokenize', '--jsonl', '--truncation', 'longest_first'], { input: lines }).stderr, '');
  });
  it('names the vocabulary that cannot pad', (t) => {
    const vocab = path.join(temporaryFolder(t), 'vocab.txt');
    writeFileSync(vocab, '[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n');
    failure(
      ['tokenize', '--padding', 'longest', '--vocab', vocab, 'a', 'a a'],
      1,
      /tokenize: text 1: '.*vocab\.txt': the vocabulary has no pad_token/,
    );
  });
  it('reads special tokens in text unless it is not trusted', () => {
    const [plain] = stream(['tokenize', '--no-special-tokens'], [{ text: 'a [MASK] [mask]' }]);
    assert.deepEqual(plain.tokens, ['a', '[MASK]', '[', 'mask', ']']);
    const [untrusted] = stream(['tokenize', '--untrusted', '--no-special-tokens'], [{ text: '[MASK]' }]);
    assert.deepEqual(untrusted.tokens, ['[', 'mask', ']']);
  });
  it('takes words that were split beforehand', () => {
    const [row] = stream(['tokenize', '--split-words'], [{ text: ['hello world', 'unaffable'] }]);
    assert.deepEqual(row.word_ids, [null, 0, 0, 1, 1, 1, null]);
    const [blanks] = stream(['tokenize', '--split-words'], [{ text: ' one  wörld\tnew ', pair: 'a b' }]);
    assert.deepEqual(blanks.tokens, ['[CLS]', 'one', 'world', 'new', '[SEP]', 'a', 'b', '[SEP]']);
    assert.deepEqual(blanks.word_ids, [null, 0, 1, 2, null, 0, 1, null]);
    assert.deepEqual(json(['tokenize', '--split-words', '--json', 'a b c']).word_ids, [null, 0, 1, 2, null]);
  });
  it('tells more than one text apart from one', () => {
    assert.deepEqual(
      json(['tokenize', '--json', 'a', 'b']).map((row) => row.tokens[1]),
      ['a', 'b'],
    );
    const row = json(['tokenize', '--json', 'a', '--pair', '[MASK]']);
    assert.deepEqual(row.token_type_ids, [0, 0, 0, 1, 1]);
    assert.equal(row.input_ids[3], 103);
  });
  it('numbers the windows of a table', () => {
    const csv = output(['tokenize', '--csv', '--stride', '1', '--max-length', '5', 'a b c d e']).split('\n');
    assert.match(csv[0], /^row,window,token,/);
    assert.match(csv[1], /^0,0,/);
    assert.match(csv.at(-2), /^0,1,/);
  });
  it('counts the characters of a text of very many windows', () => {
    const words = 500_000;
    const [answer] = stream(
      ['tokenize', '--max-length', '8', '--stride', '0'],
      [{ text: `é${' a'.repeat(words - 1)}` }],
    );
    assert.equal(answer.overflowing.length, Math.ceil(words / 6) - 1);
    assert.deepEqual(answer.overflowing.at(-1).offsets.at(-2), [2 * words - 2, 2 * words - 1]);
  });
  it('refuses padding that no machine holds', () => {
    const much = ['--max-length', '1000000000'];
    failure(
      ['tokenize', '--padding', 'max_length', ...much, 'a'],
      1,
      /rows of 1000000000 tokens: more than 67108864/,
    );
    failure(['pad', ...much, 'a'], 1, /more than 67108864 padding tokens/);
    const answers = stream(
      ['tokenize', '--padding', 'max_length', ...much],
      [{ text: 'a' }, { text: 'b' }],
      1,
    );
    for (const answer of answers) assert.match(answer.error.message, /more than 67108864 padding tokens/);
  });
  it('prints CSV and Markdown', () => {
    const csv = output(['tokenize', '--csv', 'a, "b"']).split('\n');
    assert.equal(csv[0], 'row,token,token_id,attention_mask_id,token_type_id,begin,end,word_id,special');
    assert.equal(csv[3], '0,",",1010,1,0,1,2,1,0');
    assert.equal(csv[4], '0,"""",1000,1,0,3,4,2,0');
    assert.match(output(['tokenize', '--md', 'a|b']), /\| \\\| {3,}\|/);
  });
  it('explains every step', () => {
    const report = output(['tokenize', '--explain', 'Café [MASK] unaffable']);
    assert.match(report, /strip_accents +1 change: Cafe \[MASK\] unaffable/);
    assert.match(report, /unaff x, unaf x, una = 14477, ##ffable x/);
  });
  it('explains in JSON, with offsets in code points', () => {
    const text = '\u{1f600} Café [MASK] unaffable';
    const answer = json(['tokenize', '--explain', '--json', text]);
    assert.deepEqual(
      answer.steps.map(({ name, enabled }) => [name, enabled]),
      ['clean_text', 'tokenize_chinese_chars', 'strip_accents', 'lowercase'].map((name) => [name, true]),
    );
    assert.equal(answer.steps[2].after, '\u{1f600} Cafe [MASK] unaffable');
    assert.deepEqual(answer.steps[2].changes, [{ source: [5, 6], before: 'é', after: 'e' }]);
    assert.deepEqual(
      answer.words.map(({ kind, source }) => [kind, source]),
      [
        ['word', [0, 1]],
        ['word', [2, 6]],
        ['added_token', [7, 13]],
        ['word', [14, 23]],
      ],
    );
    const { candidates, ...word } = answer.words[3];
    assert.deepEqual(word, {
      kind: 'word',
      text: 'unaffable',
      source: [14, 23],
      input_ids: [14477, 20961, 3468],
      tokens: ['una', '##ffa', '##ble'],
      offsets: [
        [14, 17],
        [17, 20],
        [20, 23],
      ],
    });
    assert.deepEqual(candidates[0], { text: 'unaffable', id: null });
    assert.deepEqual(candidates.at(-1), { text: '##ble', id: 3468 });
    // the ids are those of the tokens
    const row = json(['tokenize', '--json', '--no-special-tokens', text]);
    assert.deepEqual(
      answer.words.flatMap(({ input_ids }) => input_ids),
      row.input_ids,
    );
    assert.deepEqual(
      answer.words.flatMap(({ offsets }) => offsets),
      row.offsets,
    );
    assert.deepEqual(json(['tokenize', '--explain', '--json', text, 'a'])[0], answer);
    assert.equal(json(['tokenize', '--explain', '--json', '--untrusted', '[MASK]']).words.length, 3);
    const lines = [{ text }, { text: 'a', pair: 'b' }, {}, ...Array(40).fill({ text: 'a' }), { text }];
    const answers = stream(['tokenize', '--explain'], lines, 1);
    assert.deepEqual([answers[0], answers.at(-1)], [answer, answer]);
    assert.match(answers[1].error.message, /--explain .* without "pair"/);
    assert.match(answers[2].error.message, /"text" is missing/);
  });
  it('gives the words that were split in every format', () => {
    const text = 'é unaffable';
    const word = {
      text: 'unaffable',
      pieces: ['una', '##ffa', '##ble'],
      first_token: 2,
      word_id: 1,
      sequence_id: 0,
      offsets: [2, 11],
    };
    const { split_words, ...row } = json(['tokenize', '--words', '--json', text]);
    assert.deepEqual(split_words, [word]);
    assert.deepEqual(row, json(['tokenize', '--json', text]));
    assert.deepEqual(
      json(['tokenize', '--words', '--json', 'a', text]).map((one) => one.split_words),
      [[], [word]],
    );
    const [first, second] = stream(['tokenize', '--words'], [{ text }, { text: 'a', pair: text }]);
    assert.deepEqual(first.split_words, [word]);
    assert.deepEqual(second.split_words, [{ ...word, first_token: 4, sequence_id: 1 }]);
    const windows = ['tokenize', '--words', '--max-length', '6', '--stride', '0', `${text} ${text}`];
    assert.deepEqual(
      json([...windows, '--json']).overflowing.map((one) => one.split_words.length),
      [1],
    );
    assert.equal(
      output(['tokenize', '--words', '--csv', text, text]),
      'row,text,pieces,first_token,word_id,sequence_id,begin,end\n' +
        '0,unaffable,una ##ffa ##ble,2,1,0,2,11\n1,unaffable,una ##ffa ##ble,2,1,0,2,11\n',
    );
    assert.match(output([...windows, '--csv']), /^row,window,text,.*\n0,0,unaffable,.*\n0,1,unaffable,/);
    assert.match(output(['tokenize', '--words', '--md', text]), /^\| +row \| text +\| pieces/);
  });
  it('says which text it cannot explain', (t) => {
    const long = 'a'.repeat(2_000_000);
    const file = path.join(temporaryFolder(t), 'texts');
    writeFileSync(file, `short\n${long}\n`);
    const { status, stderr } = run(['tokenize', '--explain', '--file', file]);
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`'${file}', line 2: explain takes at most`));
  });
  it('explains one text as it stands: an option that would have no say in it is refused', () => {
    for (const option of [
      ['--pair', 'b'],
      ['--split-words'],
      ['--max-length', '4'],
      ['--truncation', 'only_first'],
      ['--padding', 'max_length'],
      ['--stride', '1'],
      ['--no-special-tokens'],
    ]) {
      failure(['tokenize', '--explain', ...option, 'a'], 2, new RegExp(`${option[0]} excludes --explain`));
    }
    // the limit stands in the help
    assert.match(output(['tokenize', '--help']), /--explain .* up to 8192 bytes/);
    assert.match(output(['tokenize', '--explain', 'a'.repeat(8192)]), /too long for the match/);
    failure(['tokenize', '--explain', 'a'.repeat(8193)], 1, /8192 bytes/);
  });
  it('options of the normaliser', () => {
    const tokens = (...args) => json(['tokenize', '--json', '--no-special-tokens', ...args]).tokens;
    assert.deepEqual(tokens('É'), ['e']);
    assert.deepEqual(tokens('É', '--strip-accents', 'false'), ['[UNK]']);
    assert.deepEqual(tokens('E', '--do-lower-case', 'false'), ['[UNK]']);
    assert.deepEqual(tokens('中文', '--tokenize-chinese-chars', 'false'), ['中', '##文']);
  });
});

describe('decode', () => {
  it('turns ids into text', () => {
    const lines = [{ input_ids: [101, 2123, 1005, 1056, 2175, 1012, 102] }, { input_ids: [] }];
    assert.deepEqual(stream(['decode'], lines), [{ text: "[CLS] don ' t go. [SEP]" }, { text: '' }]);
    const clean = ['decode', '--skip-special-tokens', '--clean-up', 'string'];
    assert.deepEqual(stream(clean, lines), [{ text: "don't go." }, { text: '' }]);
    assert.equal(output(['decode', '101', '7592', '102']), '[CLS] hello [SEP]\n');
    assert.equal(output(['decode', '[7592, 2088]']), 'hello world\n');
    assert.equal(output(['decode', '3989']), '##ization\n');
  });
  it('refuses what is no list of ids', () => {
    const bad = [{}, { input_ids: 'x' }, { input_ids: [1.5] }, { input_ids: [-1] }, { input_ids: [30522] }];
    const big = [{ input_ids: [2 ** 40] }, { input_ids: [[1]] }, { input_ids: null }, { input_ids: [true] }];
    for (const answer of stream(['decode'], [...bad, ...big], 1)) {
      assert.equal(answer.error.code, 'invalid_argument');
    }
    const [{ error }] = stream(['decode'], ['{"input_ids": [99999999999999999999]}'], 1);
    assert.equal(error.message, '"input_ids": 99999999999999999999 is not an id from 0 to 30521');
    failure(['decode', '12', 'x3'], 1, /'x3' is not a token id/);
  });
});

describe('vocab', () => {
  it('finds entries', () => {
    const found = json(['vocab', '--json', '--find', 'ization', '--facet', 'subword', '--limit', '2']);
    assert.deepEqual(found[0], { id: 3989, token: '##ization' });
    assert.equal(found.length, 2);
    assert.equal(json(['vocab', '--json']).length, 30522);
    assert.deepEqual(json(['vocab', '--json', '--limit', '0']), []);
    assert.deepEqual(json(['vocab', '--json', '--find', '[MASK]']), [{ id: 103, token: '[MASK]' }]);
    assert.match(output(['vocab', '--csv', '--facet', 'special']), /^id,token\n0,\[PAD\]\n/);
    assert.equal(output(['vocab', '--jsonl', '--find', '[CLS]']), '{"id":101,"token":"[CLS]"}\n');
    assert.deepEqual(json(['vocab', '--json', '--id', '2088,103']), [
      { id: 2088, token: 'world' },
      { id: 103, token: '[MASK]' },
    ]);
    assert.match(output(['vocab', '--id', '0']), /\| \[PAD\] +\|\n\n1 of 1 matches/);
  });
  it('names what it does not know', () => {
    failure(['vocab', '--facet', 'verbs'], 2, /--facet: 'verbs' is not one of unused\|special/);
    failure(['vocab', '--script', 'Klingon'], 2, /--script: 'Klingon' is not the name of a script/);
    failure(['vocab', '--script', ''], 2, /--script: '' is not the name/);
    failure(['vocab', '--limit', '-1'], 2, /--limit: must be at least 0, got -1/);
    failure(['vocab', '--id', '5,30522'], 2, /--id: no token has the id 30522; there are 30522 entries/);
    failure(['vocab', '--id', '5,x'], 2, /--id: 'x' is not a whole number/);
    failure(['vocab', '--id', '5', '--find', 'a'], 2, /--(id|find) excludes --(id|find)/);
  });
});

describe('streams', () => {
  it('answer a bad line in its place and go on', () => {
    const lines = [
      '{"text": "a"}',
      'not json',
      '{"text": 3}',
      '{"pair": "b"}',
      '',
      '[1]',
      '"x"',
      '{"text": "a", "pair": 7}',
      '{"text": "z"}',
    ];
    const answers = stream(['tokenize'], lines, 1);
    assert.equal(answers.length, lines.length);
    assert.equal(answers[0].tokens[1], 'a');
    assert.equal(answers.at(-1).tokens[1], 'z');
    for (const answer of answers.slice(1, -1)) {
      assert.deepEqual(Object.keys(answer), ['error']);
      assert.equal(answer.error.code, 'invalid_argument');
      assert.ok(answer.error.message.length > 10);
    }
    const [huge] = stream(['tokenize'], ['{"text": 1e999}'], 1);
    assert.equal(huge.error.message, "the line cannot be read: number overflow parsing '1e999'");
    assert.match(answers[3].error.message, /"text" is missing/);
    assert.match(answers[7].error.message, /"pair" must be a string, got 7/);
  });
  it('invalid UTF-8 is a bad line in JSON and U+FFFD in plain text', () => {
    const bytes = Buffer.concat([
      Buffer.from('{"text": "a'),
      Buffer.from([0xff]),
      Buffer.from('"}\n{"text":"b"}\n'),
    ]);
    const result = run(['tokenize', '--jsonl'], { input: bytes });
    assert.equal(result.status, 1);
    const [bad, good] = result.stdout
      .split('\n')
      .slice(0, 2)
      .map((line) => JSON.parse(line));
    assert.match(bad.error.message, /UTF-8/);
    assert.equal(good.tokens[1], 'b');
    const plain = JSON.parse(
      run(['tokenize', '--json'], { input: Buffer.from([0x61, 0x20, 0xff, 0x20, 0x62]) }).stdout,
    );
    assert.deepEqual(plain.offsets.slice(1, 3), [
      [0, 1],
      [4, 5],
    ]);
  });
  it('CRLF and a last line without its end', () => {
    const result = run(['tokenize', '--jsonl'], { input: '{"text":"a"}\r\n{"text":"b"}' });
    assert.equal(result.status, 0);
    assert.equal(result.stdout.split('\n').length, 3);
    assert.equal(json(['tokenize', '--json'], { input: 'a\r\nb\r' }).length, 2);
  });
  it('a byte order mark is none of the first text', () => {
    assert.deepEqual(json(['tokenize', '--json'], { input: '\ufeffhello\n' }).offsets[1], [0, 5]);
    assert.equal(output(['decode'], { input: '\ufeff101 7592\n' }), '[CLS] hello\n');
    assert.deepEqual(json(['tokenize', '--json'], { input: 'a\n\ufeffb\n' })[1].offsets[1], [1, 2]);
  });
  it('no input gives no output', () => {
    assert.equal(output(['tokenize', '--jsonl']), '');
    assert.equal(output(['decode', '--jsonl']), '');
  });
  it('answers what is there as soon as the writer pauses', async () => {
    const child = spawn(binary, ['tokenize', '--jsonl']);
    const answers = talk(child);
    for (const word of ['one', 'two']) {
      child.stdin.write(JSON.stringify({ text: word }) + '\n');
      assert.equal((await answers.next()).value.tokens[1], word);
    }
    // the start of a third line does not hold the second back
    child.stdin.write('{"text": "three"}\n{"te');
    assert.equal((await answers.next()).value.tokens[1], 'three');
    child.stdin.end('xt": "four"}');
    assert.equal((await answers.next()).value.tokens[1], 'four');
    assert.equal((await answers.next()).done, true);
  });
  it('with --padding longest a batch does not end at a pause', async () => {
    const child = spawn(binary, ['tokenize', '--jsonl', '--padding', 'longest', '--batch', '2']);
    const answers = talk(child);
    for (const text of ['a', 'a b c', 'a']) {
      child.stdin.write(JSON.stringify({ text }) + '\n');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    child.stdin.end();
    for (const length of [5, 5, 3]) assert.equal((await answers.next()).value.input_ids.length, length);
  });
  it('a closed standard stream is an error, whatever file takes its number', () => {
    const inShell = (command, ...args) => {
      const result = spawnSync('bash', ['-c', `"$0" ${command}`, binary, ...args], { encoding: 'utf8' });
      return { status: result.status, stdout: result.stdout, stderr: result.stderr };
    };
    for (const [command, name] of [
      ['tokenize --jsonl <&-', 'standard input'],
      ['tokenize a >&-', 'standard output'],
    ]) {
      const result = inShell(command);
      assert.equal(result.status, 1);
      assert.equal(result.stdout, '');
      assertOneLine(result.stderr);
      assert.match(result.stderr, new RegExp(`${name}: Bad file descriptor`));
    }
    assert.equal(inShell('tokenize --jsonl a 2>&-').status, 0);
  });
  it('waits for pipes that another program has set to non-blocking', () => {
    // the flag belongs to what a program inherits, and Node.js cannot set it
    const script = `
      use Fcntl;
      my ($mode, @command) = @ARGV;
      pipe(my $read, my $write) or die;
      my $ours = $mode eq 'in' ? $read : $write;
      fcntl($ours, F_SETFL, fcntl($ours, F_GETFL, 0) | O_NONBLOCK) or die;
      my $child = fork();
      if (!$child) {
        close($mode eq 'in' ? $write : $read);
        $mode eq 'in' ? open(STDIN, '<&', $read) : open(STDOUT, '>&', $write);
        exec @command;
      }
      close($ours);
      select(undef, undef, undef, 0.3);
      if ($mode eq 'in') { syswrite($write, '{"text":"a"}'); close($write); }
      else { my $all = ''; 1 while sysread($read, $all, 65536, length $all); print length $all; }
      waitpid($child, 0);
      exit($? >> 8);
    `;
    const between = (mode, ...args) =>
      spawnSync('perl', ['-e', script, mode, binary, ...args], { encoding: 'utf8' });
    const read = between('in', 'tokenize', '--jsonl');
    assert.equal(read.stderr, '');
    assert.equal(JSON.parse(read.stdout).tokens[1], 'a');
    const written = between('out', 'vocab', '--json');
    assert.equal(written.stderr, '');
    assert.equal(Number(written.stdout), Buffer.byteLength(output(['vocab', '--json'])));
  });
  it('memory does not grow with the length of the stream', async () => {
    const readStatus = (pid) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
    const peak = (lines) =>
      new Promise((resolve, reject) => {
        const child = spawn(binary, ['tokenize', '--jsonl']);
        let most = 0;
        let answers = 0;
        child.stdout.on('data', (data) => {
          for (const byte of data) answers += byte === 10 ? 1 : 0;
        });
        const line =
          JSON.stringify({ text: 'Memory must not grow with the number of lines in a stream.' }) + '\n';
        let left = lines;
        const write = () => {
          try {
            const status = readStatus(child.pid);
            most = Math.max(most, status);
          } catch {
            // it has ended already
          }
          while (left > 0) {
            const count = Math.min(left, 1000);
            left -= count;
            if (!child.stdin.write(line.repeat(count))) return child.stdin.once('drain', write);
          }
          child.stdin.end();
        };
        write();
        child.on('close', (status) =>
          status === 0 && answers === lines ? resolve(most) : reject(new Error(`${status}`)),
        );
      });
    const few = await peak(20_000);
    const many = await peak(200_000);
    assert.ok(many < few + 3000, `${few} KB for 20,000 lines, ${many} KB for 200,000`);
  });
  it('memory does not grow with the windows or the padding of a batch', () => {
    const input = (JSON.stringify({ text: 'one two three '.repeat(335) }) + '\n').repeat(256);
    const windows = '--stride 120 --max-length 128';
    const rows = '--padding max_length --max-length 20000';
    for (const [args, said] of [
      [windows, /^$/],
      [rows, /^bertlens: warning: more tokens than the model's maximum/],
    ]) {
      const command = `ulimit -v 200000 && exec "$0" tokenize --jsonl --threads 1 ${args}`;
      const result = spawnSync('bash', ['-c', command, binary], { input, maxBuffer: 1 << 30 });
      assert.match(result.stderr.toString(), said);
      assert.equal(result.status, 0);
      assert.equal(result.stdout.toString().split('\n').length, 257);
    }
  });
  it('ends quietly when the reader goes away', async () => {
    const child = spawn(binary, ['tokenize', '--jsonl']);
    let stderr = '';
    child.stderr.on('data', (data) => (stderr += data));
    child.stdin.on('error', () => {});
    child.stdout.destroy();
    child.stdin.end('{"text":"a"}\n'.repeat(50_000));
    const signal = await new Promise((resolve) => child.on('close', (_, name) => resolve(name)));
    assert.equal(signal, 'SIGPIPE');
    assert.equal(stderr, '');
  });
  it('a full disk is an error', () => {
    const full = openSync('/dev/full', 'w');
    for (const args of [
      ['tokenize', 'a'],
      ['vocab'],
      ['--help'],
      ['tokenize', '--help'],
      ['tokenize', '--jsonl', 'a'],
    ]) {
      const result = run(args, { stdout: full });
      assert.equal(result.status, 1, args.join(' '));
      assertOneLine(result.stderr);
      assert.match(result.stderr, /standard output: No space left on device/);
    }
  });
});

describe('usage', () => {
  it('says what is wrong in one line and exits with 2', () => {
    failure([], 2, /a command is missing/);
    failure(['tokeniz'], 2, /unknown command 'tokeniz' \(did you mean tokenize\?\)/);
    failure(
      ['tokenize', '--pading', 'longest', 'a'],
      2,
      /unknown option '--pading' \(did you mean --padding\?\)/,
    );
    failure(['tokenize', '--padding', 'sometimes', 'a'], 2, /--padding: 'sometimes' is not one of/);
    failure(['tokenize', '--truncation', 'x', 'a'], 2, /--truncation: 'x'/);
    failure(['tokenize', '--threads', '0', 'a'], 2, /--threads: must be from 1 to 1024, got 0/);
    failure(['tokenize', '--threads', '-3', 'a'], 2, /--threads: .*-3/);
    failure(['tokenize', '--threads', 'many', 'a'], 2, /--threads: 'many' is not a whole number/);
    failure(['tokenize', '--stride', '1.5', 'a'], 2, /--stride: '1\.5' is not a whole number/);
    failure(['vocab', '--limit', '09x'], 2, /--limit: '09x' is not a whole number/);
    for (const number of ['99999999999999999999', '3000000000']) {
      const message = new RegExp(`--max-length: must be from 0 to 2147483647, got ${number}`);
      failure(['tokenize', '--max-length', number, 'a'], 2, message);
    }
    for (const option of ['--file', '--model', '--vocab']) {
      failure(['tokenize', option, '', 'a'], 2, new RegExp(`${option}: .*is empty`));
      failure(['tokenize', `${option}=`, 'a'], 2, new RegExp(`${option}: .*is empty`));
    }
    assert.deepEqual(json(['tokenize', '--json', '--pair=', 'a']).tokens, ['[CLS]', 'a', '[SEP]', '[SEP]']);
    failure(['tokenize', '--precision', 'f64', 'a'], 2, /--precision: 'f64' is not one of f32\|f16\|int8/);
    failure(
      ['tokenize', '--backend', 'tpu', 'a'],
      2,
      /--backend: 'tpu' is not one of xnnpack\|reference\|cuda/,
    );
    failure(['tokenize', '--json', '--csv', 'a'], 2, /--json and --csv exclude each other/);
    failure(['tokenize', '--words', '--explain'], 2, /--words excludes --explain/);
    failure(['tokenize', '--csv', '--explain'], 2, /--csv excludes --explain/);
    failure(
      ['pad', '--jsonl', 'a'],
      2,
      /pad: --jsonl: .* --json answers; tokenize --jsonl --padding longest/,
    );
    assert.doesNotMatch(output(['pad', '--help']), /--jsonl/);
    failure(['tokenize', 'a', '--file', 'b'], 2, /not both/);
    failure(['tokenize', '--max-length'], 2, /--max-length: its value is missing \(N\);/);
    failure(['tokenize', '--file', 'a', '--file', 'b'], 2, /--file is given 2 times instead of once;/);
    // only where a command takes texts is there one that could start with -
    failure(
      ['tokenize', '--texts'],
      2,
      /unknown option '--texts'.*; a text that starts with - goes after --/,
    );
    failure(['tokenize', '--json', '-hello'], 2, /unknown option '-hello'; a text that starts with - goes/);
    for (const help of ['-h', '--help']) assert.match(output(['tokenize', help]), /\n {2}-h,--help/);
    failure(['quantize', '--csw', '--out', 'x'], 2, /unknown option '--csw' \(did you mean --csv\?\); see/);
    // also where the command lacks something
    failure(['quantize', '--csw'], 2, /unknown option '--csw' \(did you mean --csv\?\); see/);
    failure(['pull', '--nosuch'], 2, /unknown option '--nosuch'; see/);
    failure(['pull'], 2, /OWNER\/NAME is missing/);
    failure(['--json', 'tokenize', 'a'], 2, /the command comes first, options go after it: got '--json';/);
    failure(['tokenize'], 2, /standard input is empty/);
    failure(['tokenize', '--\u001b[31m\n' + 'x'.repeat(5000)], 2, /unknown option/);
    failure(['tokenize', '--none='], 2, /unknown option '--none='/);
    for (const value of ['', 'maybe'])
      failure(['tokenize', `--json=${value}`, 'a'], 2, new RegExp(`--json: '${value}' is not true or false`));
    failure(['eval-nsp', 'pairs.csv'], 2, /argument 'pairs\.csv'; is it meant for --file PATH\?;/);
    failure(['vocab', '[MASK]'], 2, /argument '\[MASK\]'; is it meant for --find TEXT\?;/);
    failure(['bench', 'x'], 2, /argument 'x'; is it meant for --model DIR\?;/);
  });
  it('whole numbers are in base 10, with zeros in front too', () => {
    assert.equal(json(['vocab', '--json', '--limit', '010']).length, 10);
    assert.equal(json(['vocab', '--json', '--limit', '08']).length, 8);
    assert.deepEqual(json(['vocab', '--json', '--id', '0103'])[0].token, '[MASK]');
  });
  it('guesses what a mistyped option means, and not where little speaks for it', () => {
    failure(['embed', '--pool', 'cls', 'a'], 2, /'--pool' \(did you mean --pooling\?\)/);
    failure(['embed', '--pool=cls', 'a'], 2, /'--pool=cls' \(did you mean --pooling\?\)/);
    failure(['encode', '--hidden', 'a'], 2, /'--hidden' \(did you mean --hidden-states\?\)/);
    failure(['embed', '--out', 'a'], 2, /unknown option '--out';/);
    failure(['tok'], 2, /unknown command 'tok' \(did you mean tokenize\?\)/);
  });
  it('values stay as they are, whatever options look like', () => {
    const pair = (...args) => {
      const row = json(['tokenize', '--json', '--clean-text', 'false', 'a', ...args]);
      return row.tokens.slice(3, -1).concat(row.offsets.at(-2)[1]);
    };
    assert.deepEqual(pair('--pair', '--x='), ['-', '-', 'x', '=', 4]);
    assert.deepEqual(pair('--pair=--x='), ['-', '-', 'x', '=', 4]);
    assert.deepEqual(pair('--pair=[MASK]'), ['[MASK]', 6]);
    for (const value of ['\u001fa', '--x=\u001f', '--x=\u001fa', '[\u001f]', '\u001f\u001f'])
      for (const args of [['--pair', value], [`--pair=${value}`]])
        assert.equal(pair(...args).at(-1), value.length, JSON.stringify(args));
  });
  it('reports show what could steer a terminal as escapes', () => {
    const text = 'a\u001b[31m\u009b\u202e\u0007 b\u200dc';
    const shown = 'a\\x1b[31m\\u009b\\u202e\\x07 b\u200dc';
    const report = output(['tokenize', '--pair', text, text]);
    assert.ok(report.startsWith(`Original text: ${shown}\nSecond text:   ${shown}\n`), report);
    assert.deepEqual(json(['tokenize', '--json', text]).offsets.at(-2), [10, 13]);
  });
  it("reports show a vocabulary's entries so, too", (t) => {
    const folder = temporaryFolder(t);
    const token = '\u001b[31m';
    const vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', '##\u001bb', token];
    writeFileSync(path.join(folder, 'vocab.txt'), vocabulary.join('\n') + '\n');
    const special = { content: token, special: true };
    writeFileSync(
      path.join(folder, 'tokenizer_config.json'),
      JSON.stringify({ added_tokens_decoder: { 7: special }, model_max_length: 512 }),
    );
    for (const args of [
      ['vocab'],
      ['tokenize', `a ${token}`],
      ['tokenize', '--explain', `a ${token}`],
      ['tokenize', '--words', `a ${token}`],
    ]) {
      const report = output([...args, '--vocab', folder]);
      assert.ok(!report.includes('\u001b'), JSON.stringify(report));
      assert.ok(report.includes('\\x1b[31m'), report);
    }
  });
  it('what follows -- is texts, whatever they look like', () => {
    const texts = output(['tokenize', '--', '--attentions', '12', '--json']).match(/(?<=Original text: ).*/g);
    assert.deepEqual(texts, ['--attentions', '12', '--json']);
  });
  it('an empty value is not the default', () => {
    for (const [command, option, ...rest] of [
      ['inspect', '--config'],
      ['quantize', '--out'],
      ['pull', '--out', 'a/b'],
      ['pull', '--hub', 'a/b'],
      ['pull', '--revision', 'a/b'],
    ]) {
      failure([command, option, '', ...rest], 2, new RegExp(`${command}: ${option}: is empty`));
    }
  });
  it('names the file of a vocabulary that is none', (t) => {
    const folder = temporaryFolder(t);
    const write = (name, text) => {
      writeFileSync(path.join(folder, name), text);
      return path.join(folder, name);
    };
    const short = write('short.txt', 'a\nb\n');
    failure(
      ['tokenize', '--vocab', folder, 'a'],
      1,
      /: --vocab: the folder '.*' has neither .*tokenizer\.json\n$/,
    );
    failure(['tokenize', '--vocab', short, 'a'], 1, /short\.txt': no entry '\[UNK\]'/);
    failure(['tokenize', '--vocab', write('none.txt', ''), 'a'], 1, /none\.txt': the file is empty/);
    failure(['tokenize', '--vocab', write('bad.json', '{'), 'a'], 1, /bad\.json': not well-formed JSON/);
    write('tokenizer.json', '{"model": {"type": "BPE"}}');
    failure(['tokenize', '--vocab', folder, 'a'], 1, new RegExp(`'${folder}/tokenizer\\.json': .*BPE`));
  });
  it('names files that cannot be read', (t) => {
    const folder = temporaryFolder(t);
    failure(['tokenize', '--file', path.join(folder, 'none')], 1, /none': No such file/);
    failure(['tokenize', '--file', folder], 1, /Is a directory/);
    failure(
      ['tokenize', '--model', path.join(folder, 'none'), 'a'],
      1,
      /--model '.*none': there is no such folder/,
    );
    failure(['tokenize', 'a'], 1, /BERTLENS_MODEL '\/none'/, { env: { BERTLENS_MODEL: '/none' } });
    failure(['tokenize', '--model', folder, 'a'], 1, /has neither vocab\.txt nor tokenizer\.json/);
    const file = path.join(folder, 'vocab.txt');
    writeFileSync(file, '');
    failure(['tokenize', '--model', file, 'a'], 1, /is not a folder/);
    failure(['tokenize', '--vocab', file, 'a'], 1, /empty/);
    writeFileSync(file, '[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\na\na\n');
    failure(['tokenize', '--vocab', file, 'a'], 1, /vocab\.txt/);
    writeFileSync(file, '[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\na\n##b\n');
    assert.deepEqual(json(['tokenize', '--vocab', file, '--json', 'Ab']).tokens, [
      '[CLS]',
      'a',
      '##b',
      '[SEP]',
    ]);
    assert.deepEqual(
      json(['tokenize', '--json', 'Ab'], { env: { BERTLENS_MODEL: folder } }).input_ids,
      [1, 5, 6, 2],
    );
  });
  it('--help teaches, --version tells', () => {
    const help = output(['--help']);
    for (const command of ['tokenize', 'decode', 'pad', 'vocab']) {
      assert.match(help, new RegExp(`^  ${command} `, 'm'));
      assert.match(output([command, '--help']), new RegExp(`examples\\n  bertlens ${command}`));
    }
    for (const asked of ['help', '--help', '-h'])
      assert.equal(output([asked, 'tokenize']), output(['tokenize', '--help']));
    failure(['help', 'tokeniz'], 2, /unknown command 'tokeniz' \(did you mean tokenize\?\)/);
    for (const [, command] of help.matchAll(/^ {2}([a-z-]+) {2,}\w/gm)) {
      const lines = output([command, '--help']).split('\n');
      assert.equal(lines[1].startsWith(`Usage: bertlens ${command} [OPTIONS]`), true);
      // what CLI11 says in its own notation stands there in words
      for (const line of lines) {
        assert.ok(line.length <= 120, `${command}: ${line}`);
        assert.doesNotMatch(line, /REQUIRED|Excludes:|Needs:|\{all\}|\btexts\.\.\./);
      }
    }
    assert.match(
      output(['encode', '--help']),
      /\n {2}--attentions \[all\|N,\.\.\.\] +the attentions of all layers/,
    );
    assert.doesNotMatch(output(['pull', '--help']), /Normaliser/);
    assert.match(output(['vocab', '--help']), /--jsonl +one JSON object a line\n/);
    assert.match(output(['pull', '--help']), /--model DIR +as for other commands; without effect here\n/);
    assert.match(output(['--version']), /^bertlens \d+\.\d+\.\d+\n$/);
  });
});
