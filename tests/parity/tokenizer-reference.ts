// The reference: npm `tokenizers`, the Rust package, set up as transformers' BertTokenizerFast sets it up.
import { Tokenizer } from 'tokenizers';
import type { Encoding } from 'tokenizers';
import type { Row } from './tokenizer-driver.ts';

export interface NormalizerOptions {
  lowercase?: boolean;
  strip_accents?: boolean | null;
  handle_chinese_chars?: boolean;
  clean_text?: boolean;
}
export interface AddedToken {
  id: number;
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  special: boolean;
}

/** A tokenizer.json for the lines of a vocab.txt. */
export function tokenizerJson(
  vocab: string[],
  normalizer: NormalizerOptions = {},
  added: AddedToken[] = [],
  maxChars = 100,
): string {
  const ids = Object.fromEntries(vocab.map((token, id) => [token, id]));
  const rules = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const specials = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].map((content) => ({
    id: ids[content]!,
    content,
    ...rules,
  }));
  const special = (id: string, type: number): object => ({ SpecialToken: { id, type_id: type } });
  const sequence = (id: string, type: number): object => ({ Sequence: { id, type_id: type } });
  const token = (id: string): object => ({ id, ids: [ids[id]], tokens: [id] });
  return JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...specials, ...added].sort((a, b) => a.id - b.id),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
      ...normalizer,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [special('[CLS]', 0), sequence('A', 0), special('[SEP]', 0)],
      pair: [
        special('[CLS]', 0),
        sequence('A', 0),
        special('[SEP]', 0),
        sequence('B', 1),
        special('[SEP]', 1),
      ],
      special_tokens: { '[CLS]': token('[CLS]'), '[SEP]': token('[SEP]') },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: maxChars,
      vocab: ids,
    },
  });
}

export function reference(json: string): Tokenizer {
  return Tokenizer.fromString(json);
}

/** The difference between a row of ours and the reference's, or nothing. */
export function difference(
  ours: Pick<Row, 'ids' | 'begins' | 'ends' | 'words'>,
  theirs: Encoding,
  words = true,
): string | undefined {
  const same = (name: string, a: ArrayLike<number>, b: ArrayLike<number>): string | undefined => {
    if (a.length !== b.length) return `${name}: ${a.length} for ${b.length}`;
    for (let i = 0; i < a.length; i++)
      if (a[i] !== b[i]) return `${name}: [${Array.from(a).join()}] for [${Array.from(b).join()}]`;
    return undefined;
  };
  const ids = same('ids', ours.ids, theirs.getIds());
  if (ids !== undefined) return ids;
  const offsets = theirs.getOffsets();
  for (let i = 0; i < offsets.length; i++)
    if (ours.begins[i] !== offsets[i]![0] || ours.ends[i] !== offsets[i]![1])
      return `offsets of token ${i}: ${ours.begins[i]}-${ours.ends[i]} for ${offsets[i]![0]}-${offsets[i]![1]}`;
  if (!words) return undefined;
  return same(
    'word ids',
    ours.words,
    theirs.getWordIds().map((w) => w ?? -1),
  );
}

/** The same over every column, or without word ids, or without type and sequence ids. */
export function fullDifference(
  ours: Row,
  theirs: Encoding,
  words = true,
  sequences = true,
): string | undefined {
  const first = difference(ours, theirs, words);
  if (first !== undefined) return first;
  const columns: [string, Int32Array, number[]][] = [
    ['attention mask', ours.mask, theirs.getAttentionMask()],
    ['special tokens mask', ours.special, theirs.getSpecialTokensMask()],
  ];
  if (sequences)
    columns.push(
      ['type ids', ours.types, theirs.getTypeIds()],
      ['sequence ids', ours.sequences, theirs.getSequenceIds().map((s) => s ?? -1)],
    );
  for (const [name, a, b] of columns)
    if (a.join() !== b.join()) return `${name}: [${a.join()}] for [${b.join()}]`;
  return undefined;
}

/** How windows follow when a row keeps `lengths` tokens of its sequences. */
export interface Windows {
  first: string;
  second?: string;
  lengths: [number, number];
  stride: number;
  direction: 'left' | 'right';
  special: boolean;
}

/**
 * The row and its windows, put together from the reference's own parts: since 0.23.1 its encode() stops reading at
 * max_length tokens and so loses windows (huggingface/tokenizers issue 2091), but truncate() and postProcess() do not.
 * (Cut on the left, encode() numbers words from the first one kept, too.) Type and sequence ids of the windows are not
 * set on this way.
 */
export async function withWindows(tokenizer: Tokenizer, of: Windows): Promise<Encoding> {
  tokenizer.disableTruncation();
  tokenizer.disablePadding();
  const part = async (text: string, length: number): Promise<Encoding> => {
    const encoding = await tokenizer.encode(text, null, { addSpecialTokens: false });
    if (length < encoding.getLength()) encoding.truncate(length, of.stride, of.direction);
    return encoding;
  };
  const first = await part(of.first, of.lengths[0]);
  const second = of.second === undefined ? null : await part(of.second, of.lengths[1]);
  return tokenizer.postProcess(first, second, of.special);
}
