// BERT's tokenizer, exact against BertTokenizerFast, in a WebAssembly module of its own.
import {
  BertlensError,
  coreError,
  crashError,
  throwIfAborted,
  unlessAborted,
  type CoreError,
} from './errors.ts';
import {
  choiceOption,
  checkNames,
  countOption,
  flagOption,
  headerValues,
  invalid,
  listArgument,
  namedOption,
  namedOptions,
  shown,
  signalOption,
  textArgument,
  truncationOption,
  wholeNumbers,
  type RequestOptions,
} from './options.ts';
import {
  addressName,
  fileAddress,
  folderAddress,
  hubAddress,
  hubValues,
  isFileName,
  readBytes,
  toAddress,
} from './resources.ts';
import { Batch, Row, readRows, type TokenText } from './rows.ts';
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
  WholeNumbers,
  Word,
} from './tokenizer-types.ts';
import { instantiateTokenizer } from './tokenizer-module.ts';
import type { TokenizerModule } from './wasm-modules.ts';

// the orders of the core's enums (bert/tokenizer.h)
const kPaddings = { do_not_pad: 0, longest: 1, max_length: 2 } as const;
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
const decoder = new TextDecoder();
const kOptionWords = 10;
/** Up to it ASCII is written here: a call into the browser would take longer. */
const kShortLength = 256;
/** Longer texts are measured before they are written, so that the request is not three times too large. */
const kMeasuredLength = 1 << 16;

let compiled: Promise<WebAssembly.Module> | undefined;
/** Those that somebody may still hold. */
let loaded: readonly WeakRef<WasmTokenizer>[] = [];

async function instantiate(compile: () => Promise<WebAssembly.Module>): Promise<TokenizerModule> {
  compiled ??= compile();
  let module: WebAssembly.Module;
  try {
    module = await compiled;
  } catch (error) {
    compiled = undefined; // the next call may find the network again
    throw error;
  }
  return await instantiateTokenizer(module);
}

/** `loadTokenizer` of an entry: `compile` is called once, by the first load of all entries. */
export async function loadTokenizerWith(
  compile: () => Promise<WebAssembly.Module>,
  source: TokenizerSource,
  options: LoadTokenizerOptions | undefined,
): Promise<Tokenizer> {
  // a promise of the caller's is ours to handle, also where the options are refused first
  if (source instanceof Promise) source.catch(() => undefined);
  const known = [...kTokenizerOptions, 'revision', 'endpoint', 'headers', 'signal'];
  const given = namedOptions('loadTokenizer', options, known);
  const numbers = tokenizerOptionNumbers(given);
  const signal = signalOption('loadTokenizer', given['signal']);
  throwIfAborted(signal);
  const loading = instantiate(compile);
  loading.catch(() => undefined); // reported where it is awaited, unless the files fail first
  const files =
    typeof source === 'string' || source instanceof URL
      ? await fetchFiles(source, hubValues(given), { headers: headerValues(given['headers']), signal })
      : await unlessAborted(Promise.resolve(source), signal);
  if (typeof files !== 'object' || (files as unknown) === null) {
    throw invalid(`no tokenizer can be loaded from ${shown(source)}`);
  }
  checkNames('loadTokenizer', files, ['vocabTxt', 'tokenizerJson', 'tokenizerConfigJson']);
  const contents = [
    fileBytes('vocabTxt', files.vocabTxt),
    fileBytes('tokenizerJson', files.tokenizerJson),
    fileBytes('tokenizerConfigJson', files.tokenizerConfigJson),
  ];
  const module = await unlessAborted(loading, signal);
  loaded = loaded.filter((one) => one.deref());
  const same = loaded.map((one) => one.deref()).find((one) => one?.isOf(contents, numbers));
  if (same) return same;
  const tokenizer = new WasmTokenizer(module, contents, numbers);
  loaded = [...loaded, new WeakRef(tokenizer)];
  return tokenizer;
}

async function fetchFiles(
  source: string | URL,
  hub: HubOptions,
  options: RequestOptions,
): Promise<TokenizerFiles> {
  const address = hubAddress(source, hub) ?? toAddress(source);
  if (isFileName(address.pathname)) {
    const bytes = await readBytes(address, options);
    if (!bytes) throw new BertlensError('not_found', `there is no file ${addressName(address)}`);
    return address.pathname.toLowerCase().endsWith('.json') ? { tokenizerJson: bytes } : { vocabTxt: bytes };
  }
  const folder = folderAddress(address);
  const [tokenizerJson, tokenizerConfigJson] = await Promise.all([
    readBytes(fileAddress('tokenizer.json', folder), options),
    readBytes(fileAddress('tokenizer_config.json', folder), options),
  ]);
  const config = tokenizerConfigJson ? { tokenizerConfigJson } : {};
  if (tokenizerJson) return { tokenizerJson, ...config };
  const vocabTxt = await readBytes(fileAddress('vocab.txt', folder), options);
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

/** The bytes of a file's contents, from the start of their buffer; not the caller's own, which may change. */
function fileBytes(name: string, content: unknown): Uint8Array {
  if (content === undefined) return new Uint8Array();
  const bytes = typeof content === 'string' ? utf8.encode(content) : content;
  // Node's Buffer is a Uint8Array too, but its slice is no copy
  if (bytes instanceof Uint8Array) return new Uint8Array(bytes);
  if (bytes instanceof ArrayBuffer) return new Uint8Array(bytes.slice());
  throw invalid(`${name} must be text or bytes, not ${shown(content)}`);
}

/** The options of a call as the words that bindings/tokenizer.cpp reads. */
function encodeOptionWords(call: string, given: unknown, known: readonly string[]): number[] {
  const options = namedOptions(call, given, known);
  const side = (name: string): number => {
    const value = choiceOption(name, options[name], ['left', 'right']);
    return value === undefined ? -1 : kSides[value];
  };
  const stride = countOption('stride', options['stride'], 0) ?? 0;
  return [
    namedOption('padding', options['padding'], kPaddings, 'do_not_pad', 'longest') ?? kPaddings.do_not_pad,
    truncationOption(options['truncation']) ?? -1,
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

/** The sequences of one input: one or two. */
function sequencesOf(input: TextInput): readonly TextSequence[] {
  if (typeof input === 'string') return [input];
  if (typeof input !== 'object' || (input as unknown) === null || !('text' in input)) {
    throw invalid(`a text must be a string or { text, textPair }, not ${shown(input)}`);
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

/** The module's memory: requests are written into it, answers read from it. */
class Core {
  readonly call: TokenizerModule;
  /** Of a trap: the module is given up, and every later call throws the same error. */
  crashed: BertlensError | undefined;
  #words = new Int32Array();
  #bytes = new Uint8Array();
  #room = 0;
  #roomAt = 0;

  constructor(module: TokenizerModule) {
    const guard =
      <Arguments extends unknown[], Result>(call: (...given: Arguments) => Result) =>
      (...given: Arguments): Result => {
        if (this.crashed) throw this.crashed;
        try {
          return call(...given);
        } catch (error) {
          this.crashed = crashError(error);
          throw this.crashed;
        }
      };
    const parts = Object.entries(module).map(([name, part]: [string, unknown]) => [
      name,
      typeof part === 'function' ? guard(part as (...given: unknown[]) => unknown) : part,
    ]);
    this.call = Object.fromEntries(parts) as TokenizerModule;
  }

  /** The memory as words and as bytes; views end when it grows. */
  get words(): Int32Array {
    if (this.#words.length === 0) this.#words = new Int32Array(this.call.memory.buffer);
    return this.#words;
  }
  get bytes(): Uint8Array {
    if (this.#bytes.length === 0) this.#bytes = new Uint8Array(this.call.memory.buffer);
    return this.#bytes;
  }

  /** Makes room for a request of words and then bytes; the index of its first word. */
  request(words: number, bytes = 0): number {
    const size = words + (bytes >> 2) + 1;
    if (size > this.#room || size < this.#room / 16) {
      this.#roomAt = this.call.bert_request(size) >>> 2;
      this.#room = size;
    }
    return this.#roomAt;
  }

  /** A request of words that ends with texts, their sizes among the words where `sizesAt` says. */
  requestTexts(words: readonly number[], sizesAt: number, texts: readonly Uint8Array[]): void {
    const size = texts.reduce((sum, text) => sum + text.length, 0);
    const at = this.request(words.length, size);
    this.words.set(words, at);
    let byte = 4 * (at + words.length);
    texts.forEach((text, i) => {
      this.words[at + sizesAt + i] = text.length;
      this.bytes.set(text, byte);
      byte += text.length;
    });
  }

  /** A copy of the words of an answer. */
  answer(at: number): Int32Array {
    if (at === 0) this.fail();
    const from = (at >>> 2) + 1;
    return this.words.slice(from, from + this.words[from - 1]!);
  }

  /** What an answer in JSON says. */
  json(at: number): unknown {
    const size = this.words[at >>> 2]!;
    const begin = (at >>> 0) + 4;
    return JSON.parse(decoder.decode(this.bytes.subarray(begin, begin + size)));
  }

  fail(): never {
    throw coreError(this.json(this.call.bert_error()) as CoreError);
  }
}

class WasmTokenizer implements Tokenizer {
  readonly settings: Tokenizer['settings'];
  readonly specialTokens: readonly SpecialToken[];
  readonly vocabulary: Vocabulary;
  readonly #core: Core;
  readonly #contents: readonly Uint8Array[];
  readonly #numbers: readonly number[];
  readonly #tokens: (string | undefined)[] = [];
  readonly #tokenText = (id: number): string => {
    const text = this.#token(id);
    if (text === undefined) throw invalid(`id ${id} has no token`);
    return text;
  };

  /** `contents`: of vocab.txt, tokenizer.json and tokenizer_config.json, empty where there is none. */
  constructor(module: TokenizerModule, contents: readonly Uint8Array[], numbers: readonly number[]) {
    const core = new Core(module);
    this.#core = core;
    this.#contents = contents;
    this.#numbers = numbers;
    core.requestTexts([...numbers, 0, 0, 0], numbers.length, contents);
    if (!core.call.bert_load()) core.fail();
    const about = core.json(core.call.bert_about()) as About;
    this.settings = { ...about.settings, modelMaxLength: about.settings.modelMaxLength ?? Infinity };
    this.specialTokens = about.specialTokens;
    this.vocabulary = new WasmVocabulary(core, about, (id) => this.#token(id), this.#tokenText);
  }

  /** Whether it works, and was made of just these. */
  isOf(contents: readonly Uint8Array[], numbers: readonly number[]): boolean {
    const equal = (some: ArrayLike<number>, other: ArrayLike<number>): boolean => {
      for (let i = 0; i < some.length; i++) if (some[i] !== other[i]) return false;
      return some.length === other.length;
    };
    // four bytes at a time: a page that starts runs this before it is compiled
    const words = ({ buffer, byteLength }: Uint8Array): Int32Array =>
      new Int32Array(buffer, 0, byteLength >> 2);
    const rest = (bytes: Uint8Array): Uint8Array => bytes.subarray(bytes.length & ~3);
    return (
      !this.#core.crashed &&
      equal(this.#numbers, numbers) &&
      this.#contents.every((bytes, i) => {
        const other = contents[i]!;
        return equal(words(bytes), words(other)) && equal(rest(bytes), rest(other));
      })
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
    return new Batch(this.#encode(listArgument('texts', texts) as readonly TextInput[], options));
  }

  pad(rows: BatchEncoding | readonly Encoding[], options?: PadOptions): BatchEncoding {
    const settings = encodeOptionWords('pad', options, kPadOptions);
    if (options?.padding === undefined) settings[0] = kPaddings.longest;
    this.#requestRows(settings, rows);
    return new Batch(this.#answer(this.#core.call.bert_pad()));
  }

  paddingStatistics(rows: BatchEncoding | readonly Encoding[]): PaddingStatistics {
    this.#requestRows([], rows);
    const core = this.#core;
    const counted = core.json(core.call.bert_padding_statistics()) as Omit<
      PaddingStatistics,
      'paddingPercent'
    >;
    const { cells, padding } = counted;
    return { ...counted, paddingPercent: cells === 0 ? 0 : (100 * padding) / cells };
  }

  decode(inputIds: WholeNumbers | number | bigint, options?: DecodeOptions): string {
    const given = namedOptions('decode', options, ['skipSpecialTokens', 'cleanUpTokenizationSpaces']);
    const { cleanUpTokenizationSpaces } = given;
    const mode = namedOption(
      'cleanUpTokenizationSpaces',
      cleanUpTokenizationSpaces,
      kCleanUps,
      'none',
      'fast',
    );
    const skip = flagOption('skipSpecialTokens', given['skipSpecialTokens'], false);
    const core = this.#core;
    const single = typeof inputIds === 'number' || typeof inputIds === 'bigint';
    const ids = wholeNumbers('inputIds', single ? [Number(inputIds)] : inputIds);
    const at = core.request(1 + ids.length);
    core.words[at] = ids.length;
    core.words.set(ids, at + 1);
    return (core.json(core.call.bert_decode(skip, mode ?? -1)) as string | null) ?? core.fail();
  }

  decodeBatch(rows: readonly (WholeNumbers | number | bigint)[], options?: DecodeOptions): string[] {
    return listArgument('rows', rows).map((row) => this.decode(row as WholeNumbers, options));
  }

  convertTokensToIds(tokens: readonly string[]): number[] {
    const core = this.#core;
    return listArgument('tokens', tokens).map((token) => {
      core.requestTexts([0], 0, [bytesOf('a token', token)]);
      return core.call.bert_id(true);
    });
  }

  convertIdsToTokens(inputIds: WholeNumbers): string[] {
    return Array.from(wholeNumbers('inputIds', inputIds), this.#tokenText);
  }

  words(encoding: Encoding, leastPieces = 1): Word[] {
    const row = rowOf(encoding);
    const core = this.#core;
    const least = countOption('leastPieces', leastPieces, 1) ?? 1;
    core.words.set(row.words, core.request(row.words.length));
    return core.json(core.call.bert_words(least)) as Word[];
  }

  splitWords(encoding: Encoding): Word[] {
    return this.words(encoding, 2);
  }

  explain(text: string, options?: { readonly splitSpecialTokens?: boolean }): Explanation {
    const given = namedOptions('explain', options, ['splitSpecialTokens']);
    const split = flagOption('splitSpecialTokens', given['splitSpecialTokens'], false);
    const core = this.#core;
    core.requestTexts([0], 0, [bytesOf('text', text)]);
    return (core.json(core.call.bert_explain(!split)) as Explanation | null) ?? core.fail();
  }

  #special(role: SpecialToken['role']): SpecialToken {
    const found = this.specialTokens.find((token) => token.role === role);
    if (!found) throw new BertlensError('invalid_model', `the vocabulary has no ${role}`);
    return found;
  }

  #token(id: number): string | undefined {
    if (id !== id >>> 0) return undefined;
    const core = this.#core;
    return (this.#tokens[id] ??= (core.json(core.call.bert_token(id)) as string | null) ?? undefined);
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
        words += 1 + (whole ? 1 : sequence.length);
        if (whole) bytes += byteBound(sequence);
        else for (const word of sequence) bytes += byteBound(word);
      }
    }
    const core = this.#core;
    const start = core.request(words, bytes);
    const heap = core.words;
    let at = start;
    for (const word of settings) heap[at++] = word;
    heap[at++] = 4 * words;
    heap[at++] = texts.length;
    let byte = 4 * (start + words);
    const write = (text: string): void => {
      const written = writeText(text, core.bytes, byte);
      heap[at++] = written;
      byte += written;
    };
    for (const sequences of inputs) {
      heap[at++] = sequences.length;
      for (const sequence of sequences) {
        if (typeof sequence === 'string') {
          heap[at++] = -1;
          write(sequence);
        } else {
          heap[at++] = sequence.length;
          sequence.forEach(write);
        }
      }
    }
    return this.#answer(core.call.bert_encode());
  }

  #requestRows(settings: readonly number[], rows: BatchEncoding | readonly Encoding[]): void {
    const all = Array.from(rows instanceof Batch ? rows : listArgument('rows', rows), rowOf);
    const count = all.reduce((sum, row) => sum + row.words.length, settings.length + 1);
    let at = this.#core.request(count);
    const heap = this.#core.words;
    heap.set(settings, at);
    at += settings.length;
    heap[at++] = all.length;
    for (const { words } of all) {
      heap.set(words, at);
      at += words.length;
    }
  }

  #answer(at: number): Row[] {
    return readRows(this.#core.answer(at), this.#tokenText);
  }
}

/** What a loaded tokenizer tells of itself. */
interface About {
  settings: Omit<Tokenizer['settings'], 'modelMaxLength'> & { modelMaxLength: number | null };
  specialTokens: SpecialToken[];
  vocabSize: number;
  scripts: string[];
}

class WasmVocabulary implements Vocabulary {
  readonly size: number;
  readonly scripts: readonly string[];
  readonly token: (id: number) => string | undefined;
  readonly #core: Core;
  readonly #tokenText: TokenText;

  constructor(core: Core, about: About, token: (id: number) => string | undefined, tokenText: TokenText) {
    this.#core = core;
    this.token = token;
    this.#tokenText = tokenText;
    this.size = about.vocabSize;
    this.scripts = about.scripts;
  }

  id(token: string): number | undefined {
    this.#core.requestTexts([0], 0, [bytesOf('a token', token)]);
    const id = this.#core.call.bert_id(false);
    return id < 0 ? undefined : id;
  }

  script(id: number): string {
    this.#tokenText(id); // an id without one is an error
    return this.#core.json(this.#core.call.bert_script(id)) as string;
  }

  find(query?: VocabularyQuery): { total: number; entries: VocabularyEntry[] } {
    const given = namedOptions('find', query, ['text', 'facet', 'script', 'offset', 'limit']);
    const facets = Object.keys(kFacets) as (keyof typeof kFacets)[];
    const facet = choiceOption('facet', given['facet'], facets) ?? 'all';
    const offset = countOption('offset', given['offset'], 0) ?? 0;
    const limit = countOption('limit', given['limit'], 1) ?? 100;
    const text = bytesOf('text', given['text'] ?? '');
    const script = bytesOf('script', given['script'] ?? '');
    const core = this.#core;
    core.requestTexts([kFacets[facet], offset, limit, 0, 0], 3, [text, script]);
    const found =
      (core.json(core.call.bert_find()) as { total: number; ids: number[] } | null) ?? core.fail();
    return { total: found.total, entries: found.ids.map((id) => ({ id, token: this.token(id)! })) };
  }
}

/** Writes UTF-8 with U+FFFD for lone surrogates; how many bytes. */
function writeText(text: string, bytes: Uint8Array, at: number): number {
  const { length } = text;
  if (length <= kShortLength) {
    let i = 0;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) break;
      bytes[at + i] = code;
    }
    if (i === length) return length;
  }
  return utf8.encodeInto(text, bytes.subarray(at)).written;
}

/** UTF-8 with U+FFFD for lone surrogates. */
function bytesOf(name: string, text: unknown): Uint8Array {
  return utf8.encode(textArgument(name, text));
}

/** At least the bytes that `text` takes in UTF-8. */
function byteBound(text: string): number {
  return text.length > kMeasuredLength ? utf8.encode(text).length : 3 * text.length;
}

function rowOf(encoding: unknown): Row {
  if (encoding instanceof Row) return encoding;
  throw invalid(`an encoding made by this tokenizer is needed, not ${shown(encoding)}`);
}
