// The tokenizer's public types: options in Hugging Face's words, results with the command line's fields, in camelCase.

/** Token ids and the like: of any array, also one of 64-bit integers. */
export type WholeNumbers = ArrayLike<number> | ArrayLike<bigint>;

/** Padding: `true` or `'longest'` to the longest row, `'max_length'` to `maxLength`, `false` or `'do_not_pad'` none. */
export type Padding = boolean | 'longest' | 'max_length' | 'do_not_pad';

/** Truncation: which text gives way. `true` is `'longest_first'`, `false` is `'do_not_truncate'`. */
export type Truncation = boolean | 'longest_first' | 'only_first' | 'only_second' | 'do_not_truncate';

/** Options of `encode` and `encodeBatch`. An unknown option is an error. */
export interface EncodeOptions {
  /** Add [CLS] and [SEP]. Default true. */
  readonly addSpecialTokens?: boolean | undefined;
  /** Default false. */
  readonly padding?: Padding | undefined;
  /** Default: none; `maxLength` without it and without padding truncates longest_first (`truncationImplied`). */
  readonly truncation?: Truncation | undefined;
  /** Tokens per row, special tokens counted. Default: the model's maximum where padding or truncation needs one. */
  readonly maxLength?: number | undefined;
  /** Tokens that consecutive windows share; needs truncation. The further windows are `overflowing`. Default 0. */
  readonly stride?: number | undefined;
  /** Give the windows that truncation cut off, as `overflowing`. Default: true where `stride` is given. */
  readonly returnOverflowingTokens?: boolean | undefined;
  /** Round the padded length up to a multiple of this. */
  readonly padToMultipleOf?: number | undefined;
  /** Default 'right'. */
  readonly paddingSide?: 'left' | 'right' | undefined;
  /** Where truncation cuts. Default 'right'. */
  readonly truncationSide?: 'left' | 'right' | undefined;
  /** Treat special tokens in the text as plain text, for text that is not trusted. Default false. */
  readonly splitSpecialTokens?: boolean | undefined;
}

/** A text, or its words where it was split beforehand (a word id is then the word's index). */
export type TextSequence = string | readonly string[];

/** One text, or a first and a second one (token types 0 and 1). An empty pair is a pair: it keeps its [SEP]. */
export interface PairInput {
  readonly text: TextSequence;
  readonly textPair?: TextSequence | undefined;
}

/** What `encode` takes for one row. Words that were split beforehand go in a `PairInput`. */
export type TextInput = string | PairInput;

/**
 * One row of token ids with everything known about each token. All lists have one entry a token.
 * Offsets count UTF-16 units, as JavaScript's strings do: `text.slice(start, end)` is what the token came from;
 * special and padding tokens have [0, 0].
 *
 * The lists are made when they are read: `{ ...encoding }` and `structuredClone` have none of them. For changed ids or
 * masks give `encode` an object of your own: `{ inputIds: encoding.inputIds, attentionMask }`; `toJSON` gives all lists.
 */
export interface Encoding {
  readonly length: number;
  readonly inputIds: Int32Array;
  readonly tokenTypeIds: Int32Array;
  /** 1 for real tokens, 0 for padding. */
  readonly attentionMask: Int32Array;
  /** 1 for tokens that were added ([CLS], [SEP], padding). */
  readonly specialTokensMask: Int32Array;
  readonly tokens: readonly string[];
  readonly offsets: readonly (readonly [start: number, end: number])[];
  /** Index of the word in its text; null for special and padding tokens. */
  readonly wordIds: readonly (number | null)[];
  /** 0 or 1: the text the token came from; null for special and padding tokens. */
  readonly sequenceIds: readonly (number | null)[];
  /** Further windows of a text that was truncated. */
  readonly overflowing: readonly Encoding[];
  /** More tokens than `settings.modelMaxLength`. A model may have fewer positions, or more, than its tokenizer's files say. */
  readonly tooLong: boolean;
  /** Truncated because `maxLength` was given without `truncation`. */
  readonly truncationImplied: boolean;
  /** Plain arrays under the command line's names (`input_ids` ...), for JSON.stringify. */
  toJSON(): Record<string, unknown>;
}

/** An integer tensor, row-major. */
export interface IntTensor {
  readonly shape: readonly number[];
  readonly data: Int32Array;
}

/** The rows of a batch. Iterable. */
export interface BatchEncoding extends Iterable<Encoding> {
  readonly encodings: readonly Encoding[];
  readonly length: number;
  /**
   * The batch as tensors `[rows, tokens]`. Rows of different lengths cannot form one: an `invalid_text` error that says
   * each row's length and the remedy.
   */
  tensors(): { inputIds: IntTensor; tokenTypeIds: IntTensor; attentionMask: IntTensor };
  toJSON(): unknown;
}

/** What padding costs in a batch (Exercise 2 of the notebook). Ragged rows count as padded to the longest. */
export interface PaddingStatistics {
  readonly rows: number;
  /** Tokens of the longest row. */
  readonly columns: number;
  /** rows x columns */
  readonly cells: number;
  /** Cells that are padding, or missing where rows are ragged. */
  readonly padding: number;
  /** 100 x padding / cells; 0 for an empty batch. */
  readonly paddingPercent: number;
  /** Query x key cells that a dense encoder computes: rows x columns². */
  readonly attentionCells: number;
  /** Those between real tokens: the sum over the rows of length². */
  readonly attentionUseful: number;
}

/** Options of `decode`. */
export interface DecodeOptions {
  /** Leave [CLS], [SEP], [PAD] ... out. Default false. */
  readonly skipSpecialTokens?: boolean | undefined;
  /**
   * Remove blanks before punctuation and in contractions. `false` is `'none'`. `true` is `'fast'`: token by token, as
   * BertTokenizerFast does ("don ' t"). `'slow'`: over the whole string, as BertTokenizer does ("don't"). Default: as the files say, else true.
   */
  readonly cleanUpTokenizationSpaces?: boolean | 'none' | 'fast' | 'slow' | undefined;
}

/** Kinds of vocabulary entries: `subword` is "##...", `special` [CLS] and the like, `unused` [unused0] .... */
export type VocabularyFacet = 'all' | 'special' | 'unused' | 'subword' | 'word';

export interface VocabularyEntry {
  readonly id: number;
  readonly token: string;
}

export interface VocabularyQuery {
  /** Part of the token; ASCII letters are compared without case. Default: everything. */
  readonly text?: string | undefined;
  readonly facet?: VocabularyFacet | undefined;
  /** One of `scripts`, e.g. 'Latin'. Default: any. */
  readonly script?: string | undefined;
  /** Entries to leave out first, and the most to return. Defaults 0 and 100. */
  readonly offset?: number | undefined;
  readonly limit?: number | undefined;
}

/** The vocabulary, to be looked through. */
export interface Vocabulary {
  /** Entries of the vocabulary proper: 30,522 for bert-base-uncased. */
  readonly size: number;
  /** The scripts that a query may name. */
  readonly scripts: readonly string[];
  /** The token of an id, or undefined. */
  token(id: number): string | undefined;
  /** The id of a token ("##" included), or undefined. */
  id(token: string): number | undefined;
  /**
   * The script of a token's first letter; 'Common' for digits, punctuation and special tokens. An id without a token is an
   * error.
   */
  script(id: number): string;
  /** Entries in the order of ids, and how many match in all. */
  find(query?: VocabularyQuery): { readonly total: number; readonly entries: readonly VocabularyEntry[] };
}

/** A word and its pieces (Exercise 1 of the notebook). */
export interface Word {
  /** The pieces joined, without their "##". */
  readonly text: string;
  readonly pieces: readonly string[];
  /** Index of the first piece in the encoding. */
  readonly firstToken: number;
  readonly wordId: number;
  readonly sequenceId: number;
  /** UTF-16 units, from the first piece's start to the last one's end. */
  readonly offsets: readonly [start: number, end: number];
}

/** One change of a step: `before` in the text that enters the step becomes `after` ('' where it is dropped). */
export interface ExplainedChange {
  /** Where in the input text it comes from, UTF-16 units. */
  readonly source: readonly [start: number, end: number];
  readonly before: string;
  readonly after: string;
}

/** One step of the normaliser, for the whole text. */
export interface ExplainedStep {
  readonly name: 'clean_text' | 'tokenize_chinese_chars' | 'strip_accents' | 'lowercase';
  /** Switched off: `after` equals `before`. */
  readonly enabled: boolean;
  readonly before: string;
  readonly after: string;
  readonly changes: readonly ExplainedChange[];
}

/** One try of the greedy match: is `text` in the vocabulary? */
export interface ExplainedCandidate {
  /** With "##" where it continues a word. */
  readonly text: string;
  /** null: not there, a shorter one is tried next. */
  readonly id: number | null;
}

export interface ExplainedWord {
  /** `added_token`: found whole, e.g. [MASK]; `too_long`: over the word limit, one [UNK] without a try. */
  readonly kind: 'word' | 'added_token' | 'too_long';
  /** Normalised. */
  readonly text: string;
  readonly source: readonly [start: number, end: number];
  /** In the order tried. */
  readonly candidates: readonly ExplainedCandidate[];
  /** The result; one [UNK] where some part had no match. */
  readonly inputIds: readonly number[];
  readonly tokens: readonly string[];
  /** Of each id, UTF-16 units of the input text. */
  readonly offsets: readonly (readonly [start: number, end: number])[];
}

/** Every step from text to ids. */
export interface Explanation {
  readonly steps: readonly ExplainedStep[];
  /** Their ids in order are those of `encode` with `addSpecialTokens: false`. */
  readonly words: readonly ExplainedWord[];
}

/** A token with a role. */
export interface SpecialToken {
  readonly role: 'unk_token' | 'sep_token' | 'pad_token' | 'cls_token' | 'mask_token' | 'additional';
  readonly content: string;
  readonly id: number;
}

/** Overrides of what the files say; absent means: as the files say, else BERT's default. */
export interface TokenizerOptions {
  /** Default true. */
  readonly doLowerCase?: boolean | undefined;
  /** NFD, then drop the combining marks. Default: as `doLowerCase`. */
  readonly stripAccents?: boolean | undefined;
  /** Every CJK ideograph becomes a word. Default true. */
  readonly tokenizeChineseChars?: boolean | undefined;
  /** Drop control characters, turn all white space to blanks. Default true. */
  readonly cleanText?: boolean | undefined;
  /** Tokens, special ones included. Default 512. */
  readonly modelMaxLength?: number | undefined;
}

/** The tokenizer files of a model folder: text or bytes. `tokenizerJson` wins over `vocabTxt`; one of the two is needed. */
export interface TokenizerFiles {
  readonly vocabTxt?: string | ArrayBuffer | Uint8Array | undefined;
  readonly tokenizerJson?: string | ArrayBuffer | Uint8Array | undefined;
  readonly tokenizerConfigJson?: string | ArrayBuffer | Uint8Array | undefined;
}

/** Where a Hugging Face name ('owner/name') is looked up, and which version of it is meant. */
export interface HubOptions {
  /** A branch, a tag or a commit. Default 'main'. */
  readonly revision?: string | undefined;
  /** The address of a hub in place of https://huggingface.co; a relative one is against the page. */
  readonly endpoint?: string | undefined;
}

/** Headers of requests, by name. */
export type HeaderList = Readonly<Record<string, string>>;

/** Headers by name or as pairs: a `Headers`, a `Map`, an array. Written out, as not every host's types have `Headers`. */
export type HeaderSource = HeaderList | Iterable<readonly [name: string, value: string]>;

/** Options of `loadTokenizer`. */
export interface LoadTokenizerOptions extends TokenizerOptions, HubOptions {
  /** Headers of every request for a file, as `load` has them. */
  readonly headers?: HeaderSource | undefined;
  /** Ends the load, which then rejects with the code `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** A loaded vocabulary with its options. Every method is synchronous. */
export interface Tokenizer {
  /** What it was loaded with, after files and overrides. */
  readonly settings: {
    readonly doLowerCase: boolean;
    readonly stripAccents: boolean;
    readonly tokenizeChineseChars: boolean;
    readonly cleanText: boolean;
    /** Infinity where the files state no limit. */
    readonly modelMaxLength: number;
    readonly maxInputCharsPerWord: number;
  };
  /** In transformers' order: unknown, separator, padding, class, mask, then any others. */
  readonly specialTokens: readonly SpecialToken[];
  readonly unkTokenId: number;
  readonly sepTokenId: number;
  readonly padTokenId: number;
  readonly clsTokenId: number;
  readonly maskTokenId: number;
  readonly maskToken: string;
  readonly vocabulary: Vocabulary;

  /** One row. */
  encode(text: TextInput, options?: EncodeOptions): Encoding;
  /** A batch, padded together. */
  encode(texts: readonly TextInput[], options?: EncodeOptions): BatchEncoding;
  encodeBatch(texts: readonly TextInput[], options?: EncodeOptions): BatchEncoding;
  /** Pads rows that were made before. Takes the padding options alone. */
  pad(rows: BatchEncoding | readonly Encoding[], options?: PadOptions): BatchEncoding;
  paddingStatistics(rows: BatchEncoding | readonly Encoding[]): PaddingStatistics;
  /** The text of ids, or of a single one. */
  decode(inputIds: WholeNumbers | number | bigint, options?: DecodeOptions): string;
  decodeBatch(rows: readonly (WholeNumbers | number | bigint)[], options?: DecodeOptions): string[];
  /** Ids of tokens; [UNK]'s for an unknown one. */
  convertTokensToIds(tokens: readonly string[]): number[];
  /** Tokens of ids; an id without a token is an error. */
  convertIdsToTokens(inputIds: WholeNumbers): string[];
  /** The words of an encoding with at least `leastPieces` tokens (default 1; 2: the words that were split). */
  words(encoding: Encoding, leastPieces?: number): Word[];
  /** Words that became more than one piece (Exercise 1): `words(encoding, 2)`. */
  splitWords(encoding: Encoding): Word[];
  /** Every step of normalisation and each try of the greedy match. At most 8,192 bytes of UTF-8. */
  explain(text: string, options?: { readonly splitSpecialTokens?: boolean | undefined }): Explanation;
}

/** Options of `pad`. */
export type PadOptions = Pick<EncodeOptions, 'padding' | 'maxLength' | 'padToMultipleOf' | 'paddingSide'>;

/**
 * Where tokenizer files are: the address of a folder (a string that ends in '/'), of one `vocab.txt` or
 * `tokenizer.json`, a Hugging Face name ('google-bert/bert-base-uncased'), or the files' contents, also a promise of them.
 * In Node a string may also be a path that begins with '/' or '.'.
 */
export type TokenizerSource = string | URL | TokenizerFiles | PromiseLike<TokenizerFiles>;
