// Writes unicode_data.cpp: what the reference (npm `tokenizers`, the Rust package) does with every Unicode scalar value.
//   node core/text/generate-unicode-data.mjs
// Source of every table but one is the reference itself, asked about all 1,112,064 scalar values, because it mixes
// tables of several Unicode versions. The script names of the vocabulary browser come from Node's own Unicode data. The sweep in tests/parity checks the result.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bertNormalizer, bertPreTokenizer, nfdNormalizer, Tokenizer } from 'tokenizers';

const target = fileURLToPath(new URL('unicode_data.cpp', import.meta.url));
const kBlockBits = 7;
// Bits of a record; the same names stand in unicode.h.
const flag = { drop: 1, space: 2, punctuation: 4, mark: 8, cjk: 16, word: 32, decomposes: 64 };
const scripts =
  'Latin Greek Cyrillic Armenian Hebrew Arabic Syriac Devanagari Bengali Gurmukhi Gujarati Oriya Tamil Telugu Kannada ' +
  'Malayalam Sinhala Thai Lao Tibetan Myanmar Georgian Hangul Ethiopic Khmer Mongolian Hiragana Katakana Bopomofo Han';

const text = String.fromCodePoint;
const codePoints = (s) => [...s].map((c) => c.codePointAt(0));
const scalars = [];
for (let c = 0; c < 0x110000; c++) if (c < 0xd800 || c > 0xdfff) scalars.push(c);

const off = { cleanText: false, handleChineseChars: false, stripAccents: false, lowercase: false };
const clean = bertNormalizer({ ...off, cleanText: true });
const chinese = bertNormalizer({ ...off, handleChineseChars: true });
const strip = bertNormalizer({ ...off, stripAccents: true });
const lower = bertNormalizer({ ...off, lowercase: true });
const nfd = nfdNormalizer();
const split = bertPreTokenizer();

/** Code points that `\w` of the added tokens' single_word rule takes as part of a word. */
async function wordCharacters() {
  const token = { id: 1, content: '<t>', single_word: true, lstrip: false, rstrip: false, normalized: false };
  const tokenizer = Tokenizer.fromString(
    JSON.stringify({
      version: '1.0',
      added_tokens: [{ ...token, special: false }],
      normalizer: null,
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: null,
      decoder: null,
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
        vocab: { '[UNK]': 0 },
      },
    }),
  );
  const words = new Set();
  for (let i = 0; i < scalars.length; i += 50000) {
    const part = scalars.slice(i, i + 50000);
    const encodings = await tokenizer.encodeBatch(part.map((c) => `${text(c)}<t>`));
    encodings.forEach((e, k) => !e.getIds().includes(1) && words.add(part[k]));
  }
  return words;
}

/** Canonical combining classes, from the order in which the reference sorts two marks. */
function combiningClasses(decompositions) {
  // One mark for each class that Unicode uses, in the order of the classes.
  const known = {
    1: 0x334,
    7: 0x93c,
    8: 0x3099,
    9: 0x94d,
    10: 0x5b0,
    11: 0x5b1,
    12: 0x5b2,
    13: 0x5b3,
    14: 0x5b4,
  };
  Object.assign(known, {
    15: 0x5b5,
    16: 0x5b6,
    17: 0x5b7,
    18: 0x5b8,
    19: 0x5b9,
    20: 0x5bb,
    21: 0x5bc,
    22: 0x5bd,
  });
  Object.assign(known, {
    23: 0x5bf,
    24: 0x5c1,
    25: 0x5c2,
    26: 0xfb1e,
    27: 0x64b,
    28: 0x64c,
    29: 0x64d,
    30: 0x64e,
  });
  Object.assign(known, {
    31: 0x64f,
    32: 0x650,
    33: 0x651,
    34: 0x652,
    35: 0x670,
    36: 0x711,
    84: 0xc55,
    91: 0xc56,
  });
  Object.assign(known, {
    103: 0xe38,
    107: 0xe48,
    118: 0xeb8,
    122: 0xec8,
    129: 0xf71,
    130: 0xf72,
    132: 0xf74,
  });
  Object.assign(known, {
    202: 0x321,
    214: 0x1dce,
    216: 0x31b,
    218: 0x302a,
    220: 0x316,
    222: 0x59a,
    224: 0x302e,
  });
  Object.assign(known, {
    226: 0x1d16d,
    228: 0x5ae,
    230: 0x300,
    232: 0x315,
    233: 0x35c,
    234: 0x35d,
    240: 0x345,
  });
  const classes = Object.keys(known).map(Number);
  const swaps = (a, b) => a !== b && nfd.normalizeString(a + b) === b + a;
  for (let i = 1; i < classes.length; i++)
    if (!swaps(text(known[classes[i]]), text(known[classes[i - 1]])))
      throw new Error(`class ${classes[i]} is not sorted`);
  const result = new Map();
  for (const c of scalars) {
    if (decompositions.has(c)) continue;
    const s = text(c);
    if (!swaps(s, text(known[1])) && !swaps(text(known[240]), s)) continue;
    const found = classes.filter((k) => !swaps(s, text(known[k])) && !swaps(text(known[k]), s));
    if (found.length !== 1) throw new Error(`U+${c.toString(16)} has combining classes [${found}]`);
    result.set(c, found[0]);
  }
  return result;
}

const words = await wordCharacters();
const decompositions = new Map();
const properties = new Map(); // "flags,class,delta" -> index
const recordOf = new Uint8Array(0x110000);
for (const c of scalars) {
  const decomposed = codePoints(nfd.normalizeString(text(c)));
  const hangul = c >= 0xac00 && c < 0xac00 + 11172; // by arithmetic in normalizer.cpp
  if (!hangul && (decomposed.length > 1 || decomposed[0] !== c)) decompositions.set(c, decomposed);
}
const classes = combiningClasses(decompositions);
for (const c of scalars) {
  const s = text(c);
  const framed = `a${s}b`;
  const cleaned = clean.normalizeString(framed);
  const pieces = split.preTokenizeString(framed);
  let bits = 0;
  if (cleaned === 'ab') bits |= flag.drop;
  else if (cleaned !== framed && cleaned !== 'a b')
    throw new Error(`clean_text makes ${cleaned} of U+${c.toString(16)}`);
  if (pieces.length === 2) bits |= flag.space;
  if (pieces.length === 3) bits |= flag.punctuation;
  if (cleaned === 'a b' && !(bits & flag.space))
    throw new Error(`U+${c.toString(16)} is white space in one place only`);
  if (strip.normalizeString(s) === '' && !decompositions.has(c)) bits |= flag.mark;
  if (chinese.normalizeString(framed) === `a ${s} b`) bits |= flag.cjk;
  if (words.has(c)) bits |= flag.word;
  if (decompositions.has(c)) bits |= flag.decomposes;
  const lowered = codePoints(lower.normalizeString(s));
  // U+0130 alone becomes two characters; unicode.h spells that case out.
  if (lowered.length > 1 && c !== 0x130) throw new Error(`U+${c.toString(16)} has a long lower case`);
  const delta = lowered.length > 1 ? 0 : lowered[0] - c;
  const key = [bits, classes.get(c) ?? 0, delta].join();
  if (!properties.has(key)) properties.set(key, properties.size);
  recordOf[c] = properties.get(key);
}
if (properties.size > 256) throw new Error(`${properties.size} records do not fit a byte`);

const blocks = new Map();
const blockOf = [];
for (let c = 0; c < 0x110000; c += 1 << kBlockBits) {
  const block = recordOf.subarray(c, c + (1 << kBlockBits)).join();
  if (!blocks.has(block)) blocks.set(block, blocks.size);
  blockOf.push(blocks.get(block));
}
if (blocks.size > 256) throw new Error(`${blocks.size} blocks do not fit a byte`);

const keys = [...decompositions.keys()].sort((a, b) => a - b);
if (keys.at(-1) >= 0x30000) throw new Error('a decomposition beyond kDecompositionEnd');
const units = keys.map((c) => {
  const s = text(...decompositions.get(c));
  return Array.from({ length: s.length }, (_, i) => s.charCodeAt(i));
});

const names = ['Common', ...scripts.split(' '), 'Other'];
const patterns = names.slice(1, -1).map((name) => new RegExp(`^\\p{Script=${name}}$`, 'u'));
const common = /^[\p{Script=Common}\p{Script=Inherited}\p{Script=Unknown}]$/u;
const ranges = [];
let last = -1;
for (const c of scalars) {
  const s = text(c);
  // Unassigned code points and those of no script take the range that they stand in.
  const script = /^\p{Cn}$/u.test(s)
    ? last
    : common.test(s)
      ? 0
      : patterns.findIndex((p) => p.test(s)) + 1 || names.length - 1;
  if (script !== last) ranges.push(c * 64 + script);
  last = script;
}

function list(type, name, values) {
  const lines = [];
  let line = ' ';
  for (const v of values) {
    if (line.length + String(v).length + 1 > 110) {
      lines.push(line);
      line = ' ';
    }
    line += `${v},`;
  }
  return `const ${type} ${name}[] = {\n${[...lines, line].join('\n')}\n};\n`;
}
const records = [...properties.keys()].map((k) => `{${k.replaceAll(',', ', ')}}`);
const output = `// Unicode as the reference sees it, written by generate-unicode-data.mjs: change that, not this.
#include "text/unicode_data.h"

// clang-format off
namespace bert::unicode {

${[
  list('Record', 'kRecords', records),
  list('std::uint8_t', 'kBlockOf', blockOf),
  list('std::uint8_t', 'kRecordOf', [...blocks.keys()].join().split(',')),
  list(
    'std::uint8_t',
    'kDecompositionSizes',
    units.map((list) => list.length),
  ),
  list(
    'std::uint16_t',
    'kDecompositionFirsts',
    units.map(([first], i) => (first - (i > 0 ? units[i - 1][0] : 0)) & 0xffff),
  ),
  list(
    'std::uint16_t',
    'kDecompositionRests',
    units.flatMap(([, ...rest]) => rest),
  ),
  list(
    'std::string_view',
    'kScriptNames',
    names.map((n) => `"${n}"`),
  ),
  `const std::size_t kScriptCount = ${names.length};\n`,
  list('std::uint32_t', 'kScriptRanges', ranges),
  `const std::size_t kScriptRangeCount = ${ranges.length};\n`,
].join('\n')}
}  // namespace bert::unicode
`;

writeFileSync(target, output);
console.log(
  `${properties.size} records, ${blocks.size} blocks, ${keys.length} decompositions, ${ranges.length} script ranges`,
);
