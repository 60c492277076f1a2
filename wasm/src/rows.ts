// Rows of tokens as the core answers them, in 32-bit words (bindings/words.h is the other side).
import { BertlensError } from './errors.ts';
import type { BatchEncoding, Encoding, IntTensor } from './tokenizer-types.ts';

const kTooLong = 1;
const kTruncationImplied = 2;
const kHeaderWords = 3;
const kColumn = { ids: 0, types: 1, mask: 2, special: 3, begin: 4, end: 5, word: 6, sequence: 7 } as const;
const kColumns = 8;

/** Gives the text of a token id. */
export type TokenText = (id: number) => string;

/** One row: typed arrays are views into one copy of the answer; the other lists are made when first read. */
export class Row implements Encoding {
  readonly length: number;
  readonly tooLong: boolean;
  readonly truncationImplied: boolean;
  readonly overflowing: readonly Row[];
  readonly #words: Int32Array;
  readonly #start: number;
  readonly #end: number;
  readonly #text: TokenText;
  #tokens: readonly string[] | undefined;
  #offsets: readonly (readonly [number, number])[] | undefined;
  #wordIds: readonly (number | null)[] | undefined;
  #sequenceIds: readonly (number | null)[] | undefined;

  constructor(words: Int32Array, start: number, text: TokenText) {
    this.#words = words;
    this.#start = start;
    this.#text = text;
    this.length = words[start]!;
    const flags = words[start + 1]!;
    this.tooLong = (flags & kTooLong) !== 0;
    this.truncationImplied = (flags & kTruncationImplied) !== 0;
    let next = start + kHeaderWords + kColumns * this.length;
    const windows = words[start + 2]!;
    if (windows === 0) {
      this.overflowing = [];
    } else {
      const overflowing: Row[] = [];
      for (let i = 0; i < windows; i++) {
        const window = new Row(words, next, text);
        overflowing.push(window);
        next = window.#end;
      }
      this.overflowing = overflowing;
    }
    this.#end = next;
  }

  /** The words of the row with its overflowing rows, for a call that reads rows. */
  get words(): Int32Array {
    return this.#words.subarray(this.#start, this.#end);
  }

  /** Where the next row begins. */
  get end(): number {
    return this.#end;
  }

  #column(index: number): Int32Array {
    const at = this.#start + kHeaderWords + index * this.length;
    return this.#words.subarray(at, at + this.length);
  }

  get inputIds(): Int32Array {
    return this.#column(kColumn.ids);
  }
  get tokenTypeIds(): Int32Array {
    return this.#column(kColumn.types);
  }
  get attentionMask(): Int32Array {
    return this.#column(kColumn.mask);
  }
  get specialTokensMask(): Int32Array {
    return this.#column(kColumn.special);
  }
  get tokens(): readonly string[] {
    return (this.#tokens ??= Array.from(this.inputIds, this.#text));
  }
  get offsets(): readonly (readonly [number, number])[] {
    if (this.#offsets === undefined) {
      const begin = this.#column(kColumn.begin);
      const end = this.#column(kColumn.end);
      this.#offsets = Array.from(begin, (from, i) => [from, end[i]!] as const);
    }
    return this.#offsets;
  }
  get wordIds(): readonly (number | null)[] {
    return (this.#wordIds ??= Array.from(this.#column(kColumn.word), nullIfNegative));
  }
  get sequenceIds(): readonly (number | null)[] {
    return (this.#sequenceIds ??= Array.from(this.#column(kColumn.sequence), nullIfNegative));
  }

  toJSON(): Record<string, unknown> {
    return {
      input_ids: [...this.inputIds],
      token_type_ids: [...this.tokenTypeIds],
      attention_mask: [...this.attentionMask],
      tokens: this.tokens,
      offsets: this.offsets,
      word_ids: this.wordIds,
      special_tokens_mask: [...this.specialTokensMask],
      ...(this.overflowing.length > 0 && { overflowing: this.overflowing.map((row) => row.toJSON()) }),
    };
  }
}

function nullIfNegative(value: number): number | null {
  return value < 0 ? null : value;
}

/** The rows of an answer: their number, then the rows. */
export function readRows(words: Int32Array, text: TokenText): Row[] {
  const rows: Row[] = [];
  let at = 1;
  for (let i = words[0]!; i > 0; i--) {
    const row = new Row(words, at, text);
    rows.push(row);
    at = row.end;
  }
  return rows;
}

/** The rows of a batch. */
export class Batch implements BatchEncoding {
  readonly encodings: readonly Row[];

  constructor(encodings: readonly Row[]) {
    this.encodings = encodings;
  }

  get length(): number {
    return this.encodings.length;
  }

  [Symbol.iterator](): Iterator<Encoding> {
    return this.encodings[Symbol.iterator]();
  }

  tensors(): { inputIds: IntTensor; tokenTypeIds: IntTensor; attentionMask: IntTensor } {
    const lengths = this.encodings.map((row) => row.length);
    const columns = lengths[0] ?? 0;
    if (lengths.some((length) => length !== columns)) {
      const listed = lengths.length > 12 ? [...lengths.slice(0, 12), '...'] : lengths;
      throw new BertlensError(
        'invalid_text',
        `rows of ${listed.join(', ')} tokens cannot form one tensor; encode them with { padding: 'longest' }`,
      );
    }
    const stack = (column: (row: Row) => Int32Array): IntTensor => {
      const data = new Int32Array(this.length * columns);
      this.encodings.forEach((row, i) => {
        data.set(column(row), i * columns);
      });
      return { shape: [this.length, columns], data };
    };
    return {
      inputIds: stack((row) => row.inputIds),
      tokenTypeIds: stack((row) => row.tokenTypeIds),
      attentionMask: stack((row) => row.attentionMask),
    };
  }

  toJSON(): unknown {
    return this.encodings.map((row) => row.toJSON());
  }
}
