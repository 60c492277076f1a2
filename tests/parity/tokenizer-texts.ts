// Texts that are hard to tokenize, from a seed: many scripts, controls, special tokens, combining sequences, long words.

/** A small generator of numbers (mulberry32), so that a failing text can be made again. */
export function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const ranges: [number, number][] = [
  [0x20, 0x7e],
  [0x61, 0x7a],
  [0x41, 0x5a],
  [0xa0, 0x24f],
  [0x250, 0x2ff],
  [0x370, 0x3ff],
  [0x400, 0x52f],
  [0x531, 0x58f],
  [0x591, 0x5f4],
  [0x600, 0x6ff],
  [0x900, 0x97f],
  [0x980, 0xdff],
  [0xe01, 0xe5b],
  [0xf00, 0xfd8],
  [0x1000, 0x109f],
  [0x10a0, 0x11ff],
  [0x1e00, 0x1fff],
  [0x2000, 0x206f],
  [0x20a0, 0x2bff],
  [0x2e00, 0x2e7f],
  [0x3000, 0x30ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfb00, 0xfdff],
  [0xfe00, 0xffff],
  [0x10400, 0x1044f],
  [0x11000, 0x11fff],
  [0x1d100, 0x1d1ff],
  [0x1e900, 0x1e95f],
  [0x1f300, 0x1faff],
  [0x20000, 0x2a6df],
  [0x2b820, 0x2ceaf],
  [0x2f800, 0x2fa1d],
];
const marks: [number, number][] = [
  [0x300, 0x36f],
  [0x483, 0x487],
  [0x591, 0x5bd],
  [0x64b, 0x65f],
  [0x8ca, 0x8ff],
  [0x93c, 0x94d],
  [0xf71, 0xf84],
  [0x1ab0, 0x1ace],
  [0x1dc0, 0x1dff],
  [0x20d0, 0x20f0],
  [0x3099, 0x309a],
  [0xfe20, 0xfe2f],
  [0x1d165, 0x1d172],
];
const snippets = [
  ...[
    '[CLS]',
    '[SEP]',
    '[MASK]',
    '[PAD]',
    '[UNK]',
    '[mask]',
    '[unused5]',
    '[MASK',
    'MASK]',
    '##ing',
    '##',
    '[[SEP]]',
  ],
  ...[
    '\u0130',
    '\u03a3\u03a3',
    'ΟΔΟΣ',
    '\u1e9e',
    '\u01c5',
    '\ufb01',
    '\u0344',
    '\u0f73',
    '\u0f75',
    '\u0f81',
    '\u1fc1',
  ],
  ...[
    '\u{1d15e}',
    '\u{1d160}',
    '\u{2f800}',
    '\ufa0e',
    '\uac01',
    '\u1100\u1161\u11a8',
    '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}',
  ],
  ...[
    '\0',
    '\x01',
    '\x0b',
    '\x0c',
    '\x1c',
    '\x7f',
    '\x85',
    '\xad',
    '\u200b',
    '\u200d',
    '\u2028',
    '\u3000',
    '\ufeff',
    '\ufffd',
  ],
  ...[
    '\r\n',
    '\t',
    '\n',
    '  ',
    ' ',
    "don't",
    "I'm",
    'e\u0301',
    'A\u030a\u0323',
    '...',
    '$5.00',
    'U.S.',
    'C++',
    'naïve café',
  ],
];
const words =
  'the of and tokenization embeddings Paris language unaffable antidisestablishmentarianism WordPiece transformers BERT ' +
  'pre-trained 30,522 machine learning straße Ελλάδα Москва 東京 서울 नमस्ते สวัสดี שלום مرحبا';
const common = words.split(' ');

/** One text; `extra` are strings to mix in. */
export function text(next: () => number, extra: string[] = []): string {
  const below = (n: number): number => Math.floor(next() * n);
  const pick = <T>(list: T[]): T => list[below(list.length)]!;
  const from = ([low, high]: [number, number]): string => {
    const c = low + below(high - low + 1);
    return c >= 0xd800 && c <= 0xdfff ? 'x' : String.fromCodePoint(c);
  };
  let out = '';
  const range = pick(ranges); // most of a text stays in one script
  for (let parts = 1 + below(12); parts > 0; parts--) {
    switch (below(12)) {
      case 0:
        out += pick(snippets);
        break;
      case 1:
        out += pick(extra.length > 0 ? extra : snippets);
        break;
      case 2:
      case 3:
        out += ` ${pick(common)}`;
        break;
      case 4:
        out += from(pick(ranges));
        break;
      case 5: // a letter under a heap of marks
        out += from(range);
        for (let k = below(next() < 0.02 ? 300 : 6); k > 0; k--) out += from(pick(marks));
        break;
      case 6:
        out += String.fromCodePoint(pick([below(0x250), below(0xd800), 0xe000 + below(0x102000)]));
        break;
      case 7: // words at and beyond the limit of 100
        if (next() < 0.1) out += (next() < 0.5 ? 'a' : from(range)).repeat(pick([99, 100, 101, 250]));
        break;
      case 8:
        out += ' ';
        break;
      default:
        for (let k = 1 + below(8); k > 0; k--) out += from(range);
    }
  }
  return out;
}
