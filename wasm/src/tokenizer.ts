// bertlens/tokenizer: BERT's tokenizer alone, exact against BertTokenizerFast, in a WebAssembly module of its own.
import createModule from 'bertlens-wasm/tokenizer';

import { BertlensError, throwIfAborted, type BertlensErrorCode } from './errors.ts';
import {
  checkNames,
  choiceOption,
  countOption,
  flagOption,
  optionObject,
  shown,
  textArgument,
} from './options.ts';
import {
  addressName,
  compileWasm,
  folderAddress,
  hubAddress,
  hubValues,
  isFileName,
  readBytes,
  toAddress,
} from './resources.ts';
import { Batch, Row, readRows } from './rows.ts';
import type {
  BatchEncoding,
  DecodeOptions,
  EncodeOptions,
  Encoding,
  Explanation,
  HubOptions,
  LoadTokenizerOptions,
  PadOptions,
  PaddingStatistics,
  PairInput,
  SpecialToken,
  TextInput,
  TextSequence,
  Tokenizer,
  TokenizerFiles,
  TokenizerOptions,
  TokenizerSource,
  Vocabulary,
  VocabularyEntry,
  VocabularyQuery,
  Word,
} from './tokenizer-types.ts';
import type { TokenizerHandle, TokenizerModule } from './wasm-modules.ts';

export { BertlensError, type BertlensErrorCode } from './errors.ts';
export type * from './tokenizer-types.ts';

// the orders of the core's enums (bert/tokenizer.h)
const kPaddings = { do_not_pad: 0, longest: 1, max_length: 2 } as const;
const kTruncations = { do_not_truncate: 0, longest_first: 1, only_first: 2, only_second: 3 } as const;
const kSides = { right: 0, left: 1 } as const;
const kCleanUps = { none: 0, fast: 1, slow: 2 } as const;
const kFacets = { all: 0, special: 1, unused: 2, subword: 3, word: 4 } as const;

const kEncodeOptions = [
  'addSpecialTokens',
  'padding',
  'truncation',
  'maxLength',
  'stride',
  'returnOverflowingTokens',
  'padToMultipleOf',
  'paddingSide',
  'truncationSide',
  'splitSpecialTokens',
] as const satisfies readonly (keyof EncodeOptions)[];
const kPadOptions = [
  'padding',
  'maxLength',
  'padToMultipleOf',
  'paddingSide',
] as const satisfies readonly (keyof PadOptions)[];
const kTokenizerOptions = [
  'doLowerCase',
  'stripAccents',
  'tokenizeChineseChars',
  'cleanText',
  'modelMaxLength',
] as const satisfies readonly (keyof TokenizerOptions)[];

const utf8 = new TextEncoder();
const kOptionWords = 10;
/** Longer texts are measured before they are written, so that the request is not three times too large. */
const kMeasuredLength = 1 << 16;

let compiled: Promise<WebAssembly.Module> | undefined;

async function instantiate(): Promise<TokenizerModule> {
  compiled ??= compileWasm(new URL('./tokenizer.wasm', import.meta.url));
  let module: WebAssembly.Module;
  try {
    module = await compiled;
  } catch (error) {
    compiled = undefined; // the next call may find the network again
    throw error;
  }
  return await createModule({
    instantiateWasm(imports, done) {
      void WebAssembly.instantiate(module, imports).then((instance) => {
        done(instance, module);
      });
      return {};
    },
  });
}

/**
 * Loads a tokenizer: from a folder's address ('/models/default/': tokenizer.json where it is there, else vocab.txt),
 * from one file's address, or from the files' contents. The options override what the files say.
 *
 * Errors: `not_found`, `io`, `invalid_model` (which file, and what is wrong in it), `unsupported` (a tokenizer.json
 * that is not BERT's), `invalid_argument`, `aborted`.
 */
export async function loadTokenizer(
  source: TokenizerSource,
  options?: LoadTokenizerOptions,
): Promise<Tokenizer> {
  const given = optionObject('loadTokenizer', options);
  checkNames('loadTokenizer', given, [...kTokenizerOptions, 'revision', 'endpoint', 'signal']);
  const numbers = tokenizerOptionNumbers(given);
  const signal = options?.signal;
  throwIfAborted(signal);
  const loading = instantiate();
  loading.catch(() => undefined); // reported where it is awaited, unless the files fail first
  const files =
    typeof source === 'string' || source instanceof URL
      ? await fetchFiles(source, hubValues(given), signal)
      : source;
  if (typeof files !== 'object' || (files as unknown) === null) {
    throw new BertlensError('invalid_argument', `no tokenizer can be loaded from ${shown(source)}`);
  }
  checkNames('loadTokenizer', files, ['vocabTxt', 'tokenizerJson', 'tokenizerConfigJson']);
  const module = await loading;
  throwIfAborted(signal);
  return new WasmTokenizer(module, files, numbers);
}

async function fetchFiles(
  source: string | URL,
  options: HubOptions,
  signal: AbortSignal | undefined,
): Promise<TokenizerFiles> {
  const address = hubAddress(source, options) ?? toAddress(source);
  if (isFileName(address.pathname)) {
    const bytes = await readBytes(address, signal);
    if (!bytes) throw new BertlensError('not_found', `there is no file ${addressName(address)}`);
    return address.pathname.toLowerCase().endsWith('.json') ? { tokenizerJson: bytes } : { vocabTxt: bytes };
  }
  const folder = folderAddress(address);
  const [tokenizerJson, tokenizerConfigJson] = await Promise.all([
    readBytes(new URL('tokenizer.json', folder), signal),
    readBytes(new URL('tokenizer_config.json', folder), signal),
  ]);
  const config = tokenizerConfigJson ? { tokenizerConfigJson } : {};
  if (tokenizerJson) return { tokenizerJson, ...config };
  const vocabTxt = await readBytes(new URL('vocab.txt', folder), signal);
  if (vocabTxt) return { vocabTxt, ...config };
  throw new BertlensError('not_found', `no tokenizer.json and no vocab.txt in ${addressName(folder)}`);
}

function tokenizerOptionNumbers(options: Record<string, unknown>): readonly number[] {
  const flag = (name: string): number => {
    const value = options[name];
    return value === undefined ? -1 : Number(flagOption(name, value, false));
  };
  return [
    flag('doLowerCase'),
    flag('stripAccents'),
    flag('tokenizeChineseChars'),
    flag('cleanText'),
    countOption('modelMaxLength', options['modelMaxLength'], 1) ?? -1,
  ];
}

function fileBytes(name: string, content: unknown): Uint8Array {
  if (content === undefined) return new Uint8Array();
  if (typeof content === 'string') return utf8.encode(content);
  if (content instanceof ArrayBuffer) return new Uint8Array(content);
  if (content instanceof Uint8Array) return content;
  throw new BertlensError('invalid_argument', `${name} must be text or bytes, not ${shown(content)}`);
}

/** The names of paddings and truncations with their short forms true and false. */
function named<Name extends string>(
  name: string,
  value: unknown,
  table: Readonly<Record<Name, number>>,
  off: Name,
  on: Name,
): number | undefined {
  const choices: (Name | boolean)[] = [true, false, ...(Object.keys(table) as Name[])];
  const choice = choiceOption(name, value, choices);
  if (choice === undefined) return undefined;
  return table[choice === true ? on : choice === false ? off : choice];
}

/** The options of a call as the words that bindings/tokenizer.cpp reads. */
function encodeOptionWords(call: string, given: unknown, known: readonly string[]): number[] {
  const options = optionObject(call, given);
  checkNames(call, options, known);
  const side = (name: string): number => {
    const value = choiceOption(name, options[name], ['left', 'right']);
    return value === undefined ? -1 : kSides[value];
  };
  const stride = countOption('stride', options['stride'], 0) ?? 0;
  return [
    named('padding', options['padding'], kPaddings, 'do_not_pad', 'longest') ?? kPaddings.do_not_pad,
    named('truncation', options['truncation'], kTruncations, 'do_not_truncate', 'longest_first') ?? -1,
    countOption('maxLength', options['maxLength'], 1) ?? -1,
    countOption('padToMultipleOf', options['padToMultipleOf'], 1) ?? 0,
    side('paddingSide'),
    side('truncationSide'),
    Number(flagOption('returnOverflowingTokens', options['returnOverflowingTokens'], stride > 0)),
    stride,
    Number(flagOption('addSpecialTokens', options['addSpecialTokens'], true)),
    Number(!flagOption('splitSpecialTokens', options['splitSpecialTokens'], false)),
  ];
}

const kDefaultEncodeWords: readonly number[] = encodeOptionWords('encode', undefined, kEncodeOptions);

function isPairInput(input: unknown): input is PairInput {
  return typeof input === 'object' && input !== null && !Array.isArray(input) && 'text' in input;
}

/** The sequences of one input: one or two. */
function sequencesOf(input: TextInput): readonly TextSequence[] {
  if (typeof input === 'string') return [input];
  if (!isPairInput(input)) {
    throw new BertlensError(
      'invalid_argument',
      `a text must be a string or { text, textPair }, not ${shown(input)}`,
    );
  }
  checkNames('text', input, ['text', 'textPair']);
  const sequences = input.textPair === undefined ? [input.text] : [input.text, input.textPair];
  for (const sequence of sequences) {
    if (Array.isArray(sequence)) {
      for (const word of sequence as unknown[]) textArgument('a word', word);
    } else {
      textArgument('text', sequence);
    }
  }
  return sequences;
}

class WasmTokenizer implements Tokenizer {
  readonly settings: Tokenizer['settings'];
  readonly specialTokens: readonly SpecialToken[];
  readonly vocabulary: Vocabulary;
  readonly #memory: WebAssembly.Memory;
  readonly #handle: TokenizerHandle;
  readonly #tokens: (string | undefined)[] = [];
  readonly #tokenText = (id: number): string => {
    const text = this.#token(id);
    if (text === undefined) throw new BertlensError('invalid_argument', `id ${id} has no token`);
    return text;
  };
  #words = new Int32Array();
  #bytes = new Uint8Array();

  constructor(module: TokenizerModule, files: TokenizerFiles, numbers: readonly number[]) {
    this.#memory = module.wasmMemory;
    this.#handle = new module.Tokenizer();
    const loaded = this.#handle.load(
      fileBytes('vocabTxt', files.vocabTxt),
      fileBytes('tokenizerJson', files.tokenizerJson),
      fileBytes('tokenizerConfigJson', files.tokenizerConfigJson),
      ...(numbers as [number, number, number, number, number]),
    );
    if (!loaded) this.#fail();
    this.settings = this.#handle.settings();
    this.specialTokens = this.#handle.specialTokens();
    this.vocabulary = new WasmVocabulary(
      this.#handle,
      (id) => this.#token(id),
      () => this.#fail(),
    );
  }

  get unkTokenId(): number {
    return this.#special('unk_token').id;
  }
  get sepTokenId(): number {
    return this.#special('sep_token').id;
  }
  get padTokenId(): number {
    return this.#special('pad_token').id;
  }
  get clsTokenId(): number {
    return this.#special('cls_token').id;
  }
  get maskTokenId(): number {
    return this.#special('mask_token').id;
  }
  get maskToken(): string {
    return this.#special('mask_token').content;
  }

  encode(text: TextInput, options?: EncodeOptions): Encoding;
  encode(texts: readonly TextInput[], options?: EncodeOptions): BatchEncoding;
  encode(input: TextInput | readonly TextInput[], options?: EncodeOptions): Encoding | BatchEncoding {
    if (Array.isArray(input)) return this.encodeBatch(input as readonly TextInput[], options);
    return this.#encode([input as TextInput], options)[0]!;
  }

  encodeBatch(texts: readonly TextInput[], options?: EncodeOptions): BatchEncoding {
    if (!Array.isArray(texts)) {
      throw new BertlensError('invalid_argument', `encodeBatch needs an array of texts, not ${shown(texts)}`);
    }
    return new Batch(this.#encode(texts as readonly TextInput[], options));
  }

  pad(rows: BatchEncoding | readonly Encoding[], options?: PadOptions): BatchEncoding {
    const settings = encodeOptionWords('pad', { padding: true, ...options }, kPadOptions);
    this.#requestRows(settings, rows);
    return new Batch(this.#answer(this.#handle.pad()));
  }

  paddingStatistics(rows: BatchEncoding | readonly Encoding[]): PaddingStatistics {
    this.#requestRows([], rows);
    return this.#handle.paddingStatistics();
  }

  decode(inputIds: ArrayLike<number>, options?: DecodeOptions): string {
    const given = optionObject('decode', options);
    checkNames('decode', given, ['skipSpecialTokens', 'cleanUpTokenizationSpaces']);
    const cleanUp = choiceOption('cleanUpTokenizationSpaces', given['cleanUpTokenizationSpaces'], [
      true,
      false,
      'fast',
      'slow',
    ]);
    const skip = flagOption('skipSpecialTokens', given['skipSpecialTokens'], false);
    this.#request(4 * (1 + inputIds.length));
    this.#words[0] = inputIds.length;
    this.#words.set(checkedIds(inputIds), 1);
    const mode =
      cleanUp === undefined
        ? -1
        : cleanUp === true
          ? kCleanUps.fast
          : kCleanUps[cleanUp === false ? 'none' : cleanUp];
    return this.#handle.decode(skip, mode) ?? this.#fail();
  }

  decodeBatch(rows: readonly ArrayLike<number>[], options?: DecodeOptions): string[] {
    return rows.map((row) => this.decode(row, options));
  }

  convertTokensToIds(tokens: readonly string[]): number[] {
    return tokens.map((token) => this.#handle.idOrUnknown(bytesOf('a token', token)));
  }

  convertIdsToTokens(inputIds: ArrayLike<number>): string[] {
    return Array.from(checkedIds(inputIds), this.#tokenText);
  }

  words(encoding: Encoding, leastPieces = 1): Word[] {
    const row = rowOf(encoding);
    this.#request(row.words.byteLength);
    this.#words.set(row.words);
    return this.#handle.words(countOption('leastPieces', leastPieces, 1) ?? 1);
  }

  splitWords(encoding: Encoding): Word[] {
    return this.words(encoding, 2);
  }

  explain(text: string, options?: { readonly splitSpecialTokens?: boolean }): Explanation {
    const given = optionObject('explain', options);
    checkNames('explain', given, ['splitSpecialTokens']);
    const split = flagOption('splitSpecialTokens', given['splitSpecialTokens'], false);
    return this.#handle.explain(bytesOf('text', text), !split) ?? this.#fail();
  }

  #special(role: SpecialToken['role']): SpecialToken {
    const found = this.specialTokens.find((token) => token.role === role);
    if (!found) throw new BertlensError('invalid_model', `the vocabulary has no ${role}`);
    return found;
  }

  #token(id: number): string | undefined {
    return (this.#tokens[id] ??= Number.isInteger(id) && id >= 0 ? this.#handle.token(id) : undefined);
  }

  /** Makes room for a request of `bytes` bytes and lets #words and #bytes begin there. */
  #request(bytes: number): void {
    const at = this.#handle.request(bytes);
    const { buffer } = this.#memory; // may have grown, and then is another one
    if (this.#words.buffer !== buffer || this.#words.byteOffset !== at || this.#bytes.length < bytes) {
      this.#words = new Int32Array(buffer, at, (bytes >> 2) + 1);
      this.#bytes = new Uint8Array(buffer, at, bytes);
    }
  }

  #encode(texts: readonly TextInput[], options: EncodeOptions | undefined): Row[] {
    const settings =
      options === undefined ? kDefaultEncodeWords : encodeOptionWords('encode', options, kEncodeOptions);
    let words = kOptionWords + 2 + texts.length;
    let bytes = 0;
    const inputs = texts.map(sequencesOf);
    for (const sequences of inputs) {
      for (const sequence of sequences) {
        const whole = typeof sequence === 'string';
        words += 1 + 2 * (whole ? 1 : sequence.length);
        if (whole) bytes += byteBound(sequence);
        else for (const word of sequence) bytes += byteBound(word);
      }
    }
    this.#request(4 * words + bytes);
    const out = this.#words;
    out.set(settings);
    let at = kOptionWords;
    out[at++] = 4 * words;
    out[at++] = texts.length;
    let byte = 4 * words;
    const write = (text: string): void => {
      const { written } = utf8.encodeInto(text, this.#bytes.subarray(byte));
      out[at++] = written;
      out[at++] = text.length;
      byte += written;
    };
    for (const sequences of inputs) {
      out[at++] = sequences.length;
      for (const sequence of sequences) {
        if (typeof sequence === 'string') {
          out[at++] = -1;
          write(sequence);
        } else {
          out[at++] = sequence.length;
          sequence.forEach(write);
        }
      }
    }
    return this.#answer(this.#handle.encode());
  }

  #requestRows(settings: readonly number[], rows: BatchEncoding | readonly Encoding[]): void {
    const all = Array.from(rows, rowOf);
    const count = all.reduce((sum, row) => sum + row.words.length, settings.length + 1);
    this.#request(4 * count);
    this.#words.set(settings);
    let at = settings.length;
    this.#words[at++] = all.length;
    for (const { words } of all) {
      this.#words.set(words, at);
      at += words.length;
    }
  }

  /** The rows of an answer, whose words leave the heap in one copy. */
  #answer(at: number): Row[] {
    if (at === 0) this.#fail();
    const heap = new Int32Array(this.#memory.buffer);
    const from = (at >>> 2) + 1;
    return readRows(heap.slice(from, from + heap[from - 1]!), this.#tokenText);
  }

  #fail(): never {
    const { code, message } = this.#handle.error();
    throw new BertlensError(code as BertlensErrorCode, message);
  }
}

class WasmVocabulary implements Vocabulary {
  readonly size: number;
  readonly scripts: readonly string[];
  readonly token: (id: number) => string | undefined;
  readonly #handle: TokenizerHandle;
  readonly #fail: () => never;

  constructor(handle: TokenizerHandle, token: (id: number) => string | undefined, fail: () => never) {
    this.#handle = handle;
    this.#fail = fail;
    this.token = token;
    this.size = handle.vocabSize();
    this.scripts = handle.scripts();
  }

  id(token: string): number | undefined {
    const id = this.#handle.id(bytesOf('a token', token));
    return id < 0 ? undefined : id;
  }

  script(id: number): string {
    return this.#handle.script(id);
  }

  find(query?: VocabularyQuery): { total: number; entries: VocabularyEntry[] } {
    const given = optionObject('find', query);
    checkNames('find', given, ['text', 'facet', 'script', 'offset', 'limit']);
    const facets = Object.keys(kFacets) as (keyof typeof kFacets)[];
    const facet = choiceOption('facet', given['facet'], facets) ?? 'all';
    const offset = countOption('offset', given['offset'], 0) ?? 0;
    const limit = countOption('limit', given['limit'], 1) ?? 100;
    const text = bytesOf('text', given['text'] ?? '');
    const script = bytesOf('script', given['script'] ?? '');
    const found = this.#handle.find(text, kFacets[facet], script, offset, limit) ?? this.#fail();
    return { total: found.total, entries: found.ids.map((id) => ({ id, token: this.token(id)! })) };
  }
}

/** UTF-8 with U+FFFD for lone surrogates, as a heap string. */
function bytesOf(name: string, text: unknown): Uint8Array {
  return utf8.encode(textArgument(name, text));
}

/** At least the bytes that `text` takes in UTF-8. */
function byteBound(text: string): number {
  return text.length > kMeasuredLength ? utf8.encode(text).length : 3 * text.length;
}

function checkedIds(ids: ArrayLike<number>): ArrayLike<number> {
  for (let i = 0; i < ids.length; i++) {
    if (!Number.isInteger(ids[i])) {
      throw new BertlensError(
        'invalid_argument',
        `input id ${i} must be a whole number, not ${shown(ids[i])}`,
      );
    }
  }
  return ids;
}

function rowOf(encoding: Encoding): Row {
  if (encoding instanceof Row) return encoding;
  throw new BertlensError(
    'invalid_argument',
    `an encoding made by this tokenizer is needed, not ${shown(encoding)}`,
  );
}
