// Writes tokenizer/cases.json: the notebook's cells 5 to 7, its exercises 1 and 2, and texts where tokenizers go wrong, with
// what the reference (npm `tokenizers`, the Rust package) makes of them. Run by hand, after ./run setup:
//   node tests/golden/make-tokenizer-golden.ts
import { readFileSync, writeFileSync } from 'node:fs';
import type { Encoding, Tokenizer } from 'tokenizers';
import { reference, tokenizerJson, withWindows } from '../parity/tokenizer-reference.ts';
import { vocabPath } from '../support/paths.ts';

interface Options {
  padding?: 'longest' | 'max_length';
  max_length?: number;
  pad_to_multiple_of?: number;
  padding_side?: 'left';
  truncation?: 'longest_first' | 'only_first' | 'only_second';
  truncation_side?: 'left';
  add_special_tokens?: false;
}
interface Input {
  text: string;
  pair?: string;
}
interface Case {
  name: string;
  lowercase?: false;
  options?: Options;
  inputs: Input[];
}

const texts = (...all: string[]): Input[] => all.map((text) => ({ text }));
const notebookBatch = texts('This movie was amazing!', 'Bad.', 'I would not watch it again, honestly.');
const exercise2 = texts(
  'Great!',
  'This is a medium length sentence about machine learning.',
  'Short one.',
  'This is the longest sentence in our batch and it talks about natural language processing and transformers.',
);
const pair: Input = {
  text: 'The weather is beautiful today.',
  pair: "I think I'll go for a walk in the park.",
};
const plain: Options = { add_special_tokens: false };

const cases: Case[] = [
  {
    name: 'cell 5',
    inputs: texts('Tokenization and padding are fundamental steps in most NLP pipelines.'),
  },
  { name: 'cell 6, no padding', options: { truncation: 'longest_first' }, inputs: notebookBatch },
  {
    name: 'cell 6, max_length 16',
    options: { padding: 'max_length', max_length: 16, truncation: 'longest_first' },
    inputs: notebookBatch,
  },
  {
    name: 'cell 6, longest',
    options: { padding: 'longest', truncation: 'longest_first' },
    inputs: notebookBatch,
  },
  { name: 'cell 7', options: { padding: 'longest' }, inputs: texts('hello world', 'hello') },
  {
    name: 'exercise 1',
    inputs: texts('The pre-trained BERT model uses WordPiece tokenization with 30,522 tokens.'),
  },
  { name: 'exercise 1, rare word', inputs: texts('Antidisestablishmentarianism is a very long word.') },
  {
    name: 'exercise 2, longest',
    options: { padding: 'longest', truncation: 'longest_first' },
    inputs: exercise2,
  },
  {
    name: 'exercise 2, max_length 64',
    options: { padding: 'max_length', max_length: 64, truncation: 'longest_first' },
    inputs: exercise2,
  },
  { name: 'a pair', inputs: [pair] },
  { name: 'an empty second text', inputs: [{ text: 'hello', pair: '' }] },
  { name: 'an empty text', inputs: texts('', ' ', '\n\t') },
  { name: 'longest_first', options: { truncation: 'longest_first', max_length: 12 }, inputs: [pair] },
  { name: 'only_first', options: { truncation: 'only_first', max_length: 18 }, inputs: [pair] },
  { name: 'only_second', options: { truncation: 'only_second', max_length: 12 }, inputs: [pair] },
  {
    name: 'truncation on the left',
    options: { truncation: 'longest_first', max_length: 6, truncation_side: 'left' },
    inputs: texts('one two three four five six seven'),
  },
  {
    name: 'padding on the left to a multiple of 8',
    options: { padding: 'longest', padding_side: 'left', pad_to_multiple_of: 8 },
    inputs: notebookBatch,
  },
  {
    name: 'one missing piece makes the whole word unknown',
    options: plain,
    inputs: texts('Hello \u{1f999}.cpp unaffable\u{1f999}x', 'token\u2603ization'),
  },
  {
    name: 'words of 100 and 101 code points',
    options: plain,
    inputs: texts('a'.repeat(100), 'a'.repeat(101), '\u0436\u0301'.repeat(100), '\u0436'.repeat(101)),
  },
  {
    name: 'accents, composed or not',
    options: plain,
    inputs: texts(
      'caf\u00e9 cafe\u0301',
      'na\u00efve \u1ec7 e\u0323\u0302',
      '\u00c5\u030a\u0323',
      '\uac01\u1100\u1161',
    ),
  },
  {
    name: 'white space and controls',
    options: plain,
    inputs: texts(
      'a\tb\nc\rd\u00a0e\u3000f\u2028g',
      'he\u0000ll\u0001o wor\u007fld\u0085x\u000by',
      'a\u200bb\u200dc\ufeffd\u00ade\ufffdf',
    ),
  },
  {
    name: 'symbols of ASCII are punctuation, others are not',
    options: plain,
    inputs: texts('a$b+c<d=e>f^g`h|i~j', 'a\u20acb\u00d7c\u2192d', '!!!??...', '\u2014\u201cx\u201d\u00bf'),
  },
  {
    name: 'CJK and its extensions',
    options: plain,
    inputs: texts(
      '\u6211\u60f3\u5728apple\u5de5\u4f5c',
      '\u{20000}\u{2a6df}x\u{2b81f}',
      'a\u{2b820}b\u{2b91f}c\u{2b920}d',
      '\uf900\u{2f800}\u3042\u30a2\uac00',
    ),
  },
  {
    name: 'letters with odd lower cases',
    options: plain,
    inputs: texts(
      '\u039f\u0394\u039f\u03a3',
      '\u0130stanbul I\u0307',
      'STRASSE stra\u1e9ee',
      '\u01c5 \u{10400}',
    ),
  },
  {
    name: 'tables of several ages',
    options: plain,
    inputs: texts('a\u2e43b\u2e52c\u2e2ed', 'a\u08cab\u1abfc\u{1cf00}d\u0300e', '\u166d \u{111c9}x'),
  },
  {
    name: 'special tokens in the text',
    options: plain,
    inputs: texts(
      'The capital of France is [MASK].',
      '[mask] [Mask] [MASK',
      'a[SEP]b [CLS][PAD][UNK]',
      '[unused1] ##ing',
    ),
  },
  {
    name: 'emoji sequences',
    options: plain,
    inputs: texts('\u{1f600} \u{1f468}\u200d\u{1f469}\u200d\u{1f467} \u2764\ufe0f \u{1f1eb}\u{1f1f7}'),
  },
  {
    name: 'cased',
    lowercase: false,
    options: plain,
    inputs: texts('hello Hello caf\u00e9 na\u0308ive \u0130 [MASK] \u4e2d'),
  },
];

const vocab = readFileSync(vocabPath, 'utf8').trimEnd().split('\n');
const uncased = reference(tokenizerJson(vocab));
const cased = reference(tokenizerJson(vocab, { lowercase: false, strip_accents: false }));
const strategies = { longest_first: 'LongestFirst', only_first: 'OnlyFirst', only_second: 'OnlySecond' };

function set(tokenizer: Tokenizer, options: Options): void {
  tokenizer.disableTruncation();
  tokenizer.disablePadding();
  if (options.truncation !== undefined) {
    const strategy = strategies[options.truncation];
    tokenizer.setTruncation(options.max_length ?? 512, {
      strategy,
      direction: options.truncation_side ?? 'right',
    } as object);
  }
}
function row(encoding: Encoding): object {
  return {
    input_ids: encoding.getIds(),
    token_type_ids: encoding.getTypeIds(),
    attention_mask: encoding.getAttentionMask(),
    special_tokens_mask: encoding.getSpecialTokensMask(),
    tokens: encoding.getIds().map((id) => vocab[id]),
    offsets: encoding.getOffsets(),
    word_ids: encoding.getWordIds().map((w) => w ?? null),
  };
}

const lines: string[] = [];
for (const one of cases) {
  const tokenizer = one.lowercase === false ? cased : uncased;
  const options = one.options ?? {};
  set(tokenizer, options);
  const encodings: Encoding[] = [];
  for (const { text, pair: second } of one.inputs) {
    const special = options.add_special_tokens ?? true;
    encodings.push(
      options.truncation_side === 'left' // encode() numbers words wrongly there, see withWindows
        ? await withWindows(tokenizer, {
            first: text,
            lengths: [options.max_length! - 2, 0],
            stride: 0,
            direction: 'left',
            special,
          })
        : await tokenizer.encode(text, second, { addSpecialTokens: special }),
    );
  }
  if (options.padding !== undefined) {
    const longest = Math.max(...encodings.map((e) => e.getLength()));
    const length = options.padding === 'longest' ? longest : options.max_length!;
    const multiple = options.pad_to_multiple_of ?? 1;
    for (const e of encodings)
      e.pad(Math.ceil(length / multiple) * multiple, {
        direction: options.padding_side ?? 'right',
        padId: 0,
        padTypeId: 0,
        padToken: '[PAD]',
      });
  }
  lines.push(JSON.stringify({ lowercase: true, options: {}, ...one, rows: encodings.map(row) }));
}

const decoded: object[] = [];
for (const text of ["I don't know, isn't it? No!", 'The pre-trained [MASK] costs $5.00.']) {
  set(uncased, {});
  const ids = (await uncased.encode(text)).getIds();
  for (const skip of [false, true])
    decoded.push({ input_ids: ids, skip_special_tokens: skip, text: await uncased.decode(ids, skip) });
}
decoded.push({ input_ids: [3989], skip_special_tokens: false, text: await uncased.decode([3989], false) });

const escape = (json: string): string =>
  json.replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
const about =
  'Made by make-tokenizer-golden.ts with the vocabulary of bert-base-uncased; offsets count code points.';
const target = new URL('tokenizer/cases.json', import.meta.url);
writeFileSync(
  target,
  `{"about": ${JSON.stringify(about)},\n"encode": [\n${lines.map(escape).join(',\n')}\n],\n"decode": [\n${decoded
    .map((d) => escape(JSON.stringify(d)))
    .join(',\n')}\n]}\n`,
);
