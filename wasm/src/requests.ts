// Calls as the engine takes them: arguments checked on the caller's side, then plain values.
import { BertlensError } from './errors.ts';
import type {
  EmbedOptions,
  EncodeModelOptions,
  EncodeResult,
  FillMaskOptions,
  LabelledPair,
  ModelInfo,
  NextSentenceOptions,
  Probe,
  ScoreOptions,
  SentencePair,
  Tensor,
  TextPair,
  TokenInput,
} from './engine-types.ts';
import {
  checkNames,
  choiceOption,
  countArgument,
  countOption,
  flagOption,
  invalid,
  listArgument,
  namedOptions,
  objectArgument,
  shown,
  signalOption,
  textArgument,
  truncationOption,
  wholeNumbers,
} from './options.ts';
import type { BatchEncoding, EncodeOptions, Encoding, Tokenizer, WholeNumbers } from './tokenizer-types.ts';
import type { RawEncoding } from './wasm-modules.ts';

// the orders of the core's enums (bert/tasks.h, bert/encoder.h)
const kMaskOrders = { independent: 0, left_to_right: 1, most_confident: 2 } as const;
const kPoolings = { cls: 0, mean: 1, max: 2 } as const;
const kProbes = [
  'embedding_sum',
  'query',
  'key',
  'value',
  'scores',
  'context',
  'attention_output',
  'feed_forward',
] as const satisfies readonly Probe[];

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A string without lone surrogates: Emscripten's conversion would misread them. */
function wellFormed(name: string, value: unknown): string {
  return decoder.decode(encoder.encode(textArgument(name, value)));
}

/** Checks the names of a call's options; `signal` is always one. */
export function callOptions(call: string, given: unknown, known: readonly string[]): Record<string, unknown> {
  const options = namedOptions(call, given, [...known, 'signal']);
  signalOption(call, options['signal']);
  return options;
}

/** A loaded model as the requests of texts need it. */
export interface TextModel {
  readonly tokenizer: Tokenizer;
  readonly info: ModelInfo;
}

export interface PlainText {
  readonly text: string;
  readonly textPair?: string;
}

export function plainText(input: TextPair): PlainText {
  if (typeof input === 'string') return { text: wellFormed('text', input) };
  if (typeof input !== 'object' || (input as unknown) === null || Array.isArray(input)) {
    throw invalid(`a text must be a string or { text, textPair }, not ${shown(input)}`);
  }
  checkNames('text', input, ['text', 'textPair']);
  const text = wellFormed('text', input.text);
  return input.textPair === undefined ? { text } : { text, textPair: wellFormed('textPair', input.textPair) };
}

/** A function, or undefined where it is not given. */
export function functionOption(name: string, value: unknown): unknown {
  if (value !== undefined && typeof value !== 'function') {
    throw invalid(`${name} must be a function, not ${shown(value)}`);
  }
  return value;
}

export function fillMaskRequest(
  text: TextPair,
  given: FillMaskOptions | undefined,
  { info }: TextModel,
): object {
  const options = callOptions('fillMask', given, ['topK', 'targets', 'labelText', 'order']);
  const orders = Object.keys(kMaskOrders) as (keyof typeof kMaskOrders)[];
  const { targets, labelText } = options;
  if (Array.isArray(targets) && targets.length === 0) throw invalid('targets must name at least one word');
  return {
    ...plainText(text),
    topK: countOption('topK', options['topK'], 1, info.config.vocabSize),
    order: kMaskOrders[choiceOption('order', options['order'], orders) ?? 'independent'],
    targets:
      targets === undefined
        ? undefined
        : listArgument('targets', targets).map((target) => wellFormed('a target', target)),
    labelText: labelText === undefined ? undefined : wellFormed('labelText', labelText),
  };
}

/** An error of several texts, with the name of the one that it is about: the engine does not tell which is too long. */
export function ofText(error: unknown, name: string, texts: readonly PlainText[], model: TextModel): unknown {
  if (texts.length === 1 || !(error instanceof BertlensError) || error.code !== 'too_long') return error;
  const most = model.info.config.maxPositionEmbeddings;
  const i = texts.findIndex((text) => model.tokenizer.encode(text).length > most);
  return i < 0 ? error : new BertlensError('too_long', `${name}[${i}]: ${error.message}`, { cause: error });
}

export function nextSentenceRequest(
  text: string,
  textPair: string,
  given: NextSentenceOptions | undefined,
): object {
  const { truncation } = callOptions('nextSentence', given, ['truncation']);
  return {
    pairs: [{ text: wellFormed('text', text), textPair: wellFormed('textPair', textPair) }],
    truncation: truncationOption(truncation),
  };
}

export interface EvaluationRequest {
  readonly pairs: readonly PlainText[];
  readonly labels: readonly number[];
  readonly threshold: number;
  /** The caller's pairs as they were, with both names of the second text. */
  readonly given: readonly (LabelledPair & SentencePair)[];
}

export function evaluationRequest(
  pairs: readonly (LabelledPair | SentencePair)[],
  options: unknown,
): EvaluationRequest {
  const { threshold = 0.5, onProgress } = callOptions('evaluateNextSentence', options, [
    'threshold',
    'onProgress',
  ]);
  if (typeof threshold !== 'number' || !(threshold >= 0 && threshold <= 1)) {
    throw invalid(`threshold must be a number from 0 to 1, not ${shown(threshold)}`);
  }
  functionOption('onProgress', onProgress);
  const given = listArgument('pairs', pairs).map((row, i) => {
    const name = `pairs[${i}]`;
    const one = objectArgument(name, row);
    const { pair = one['textPair'], textPair = pair, text, isNext } = one;
    if (textPair !== pair) throw invalid(`${name} has a textPair and another pair`);
    if (typeof isNext !== 'boolean') {
      throw invalid(`${name}.isNext must be true or false, not ${shown(isNext)}`);
    }
    const second = textArgument(`${name}.textPair`, textPair);
    return { ...one, text: textArgument(`${name}.text`, text), textPair: second, pair: second, isNext };
  });
  return {
    threshold,
    pairs: given.map(({ text, textPair }) => ({
      text: wellFormed('text', text),
      textPair: wellFormed('textPair', textPair),
    })),
    labels: given.map(({ isNext }) => Number(isNext)),
    given,
  };
}

export function scoreRequest(text: TextPair, given: ScoreOptions | undefined): object {
  const options = callOptions('score', given, ['hideRestOfWord']);
  return {
    ...plainText(text),
    hideRestOfWord: flagOption('hideRestOfWord', options['hideRestOfWord'], false),
  };
}

export interface EmbedRequest {
  readonly texts: readonly PlainText[];
  readonly pooling: number;
  readonly normalize: boolean;
  readonly truncation: number | undefined;
}

export function embedRequest(texts: readonly string[], given: EmbedOptions | undefined): EmbedRequest {
  const options = callOptions('embed', given, ['pooling', 'normalize', 'truncation']);
  const poolings = Object.keys(kPoolings) as (keyof typeof kPoolings)[];
  return {
    texts: listArgument('texts', texts).map((text) => ({ text: wellFormed('text', text) })),
    pooling: kPoolings[choiceOption('pooling', options['pooling'], poolings) ?? 'mean'],
    normalize: flagOption('normalize', options['normalize'], false),
    truncation: truncationOption(options['truncation']),
  };
}

/** One call embeds at most so many texts, of so many UTF-16 units together or a single longer one. */
const kPartTexts = 128;
const kPartUnits = 4096;

/**
 * An embed request in parts, at least one: the texts and vectors of a call lie in the heap together, and that never
 * shrinks. `at` is the index of a part's first text.
 */
export function* embedParts(request: EmbedRequest): Generator<{ at: number; part: EmbedRequest }> {
  const { texts } = request;
  let at = 0;
  do {
    let end = at;
    let units = 0;
    do units += texts[end++]?.text.length ?? 0;
    while (end < texts.length && end - at < kPartTexts && units + texts[end]!.text.length <= kPartUnits);
    yield { at, part: { ...request, texts: texts.slice(at, end) } };
    at = end;
  } while (at < texts.length);
}

/** Room for the vectors of an embed request. */
export function embedRoom({ texts }: EmbedRequest, { config: { hiddenSize } }: ModelInfo): Tensor {
  return { shape: [texts.length, hiddenSize], data: new Float32Array(texts.length * hiddenSize) };
}

/** What `embed` returns: a vector for a text, a tensor for a list. */
export function embedResult(input: string | readonly string[], tensor: Tensor): Float32Array | Tensor {
  return typeof input === 'string' ? tensor.data : tensor;
}

export function maskEffectRequest(texts: readonly string[], options: unknown): readonly PlainText[] {
  callOptions('maskEffect', options, []);
  return listArgument('texts', texts).map((text) => ({ text: wellFormed('text', text) }));
}

export function maskEffectCurveRequest(
  text: string,
  paddings: readonly number[],
  options: unknown,
): unknown[] {
  callOptions('maskEffectCurve', options, []);
  const counts = listArgument('paddings', paddings).map((count, i) =>
    countArgument(`paddings[${i}]`, count, 0),
  );
  return [{ text: wellFormed('text', text) }, counts];
}

/** An encode call, and what is needed to put its results together. */
export interface EncodeCall {
  readonly request: object;
  readonly encodings: readonly (Encoding | undefined)[];
  readonly probes: readonly { readonly name: Probe; readonly layer: number }[];
  readonly hiddenStates: boolean;
  readonly attentions: boolean;
}

/** Numbers from 0 to `count` - 1: all, none, or those listed. */
function choiceOfNumbers(name: string, value: unknown, count: number): number[] {
  if (value === undefined || value === false) return [];
  if (value === true) return Array.from({ length: count }, (_, i) => i);
  return listArgument(name, value).map((one) => countArgument(`${name}: each`, one, 0, count - 1));
}

/** What `encode` may be asked for: one sequence, or several. */
export type EncodeInput = TextPair | TokenInput | readonly (TextPair | TokenInput)[] | BatchEncoding;

/** The sequences of an input; undefined where it is a single one. */
export function encodeInputs(input: EncodeInput): readonly (TextPair | TokenInput)[] | undefined {
  if (Array.isArray(input)) return listArgument('inputs', input) as readonly (TextPair | TokenInput)[];
  const encodings: unknown = (input as Partial<BatchEncoding> | null)?.encodings;
  return encodings === undefined ? undefined : (listArgument('encodings', encodings) as readonly Encoding[]);
}

/** The tokenizer's options, with a length where one is needed and none is given: its files may say more than the model takes. */
function withLength(options: unknown, tokenizer: Tokenizer, info: ModelInfo): EncodeOptions | undefined {
  const given = options as EncodeOptions | undefined;
  const { truncation = false, padding, maxLength } = Object(given) as EncodeOptions;
  const cut = truncation !== false && truncation !== 'do_not_truncate';
  if (maxLength !== undefined || (!cut && padding !== 'max_length')) return given;
  const most = Math.min(tokenizer.settings.modelMaxLength, info.config.maxPositionEmbeddings);
  return { ...given, maxLength: most };
}

export function encodeCall(
  inputs: readonly (TextPair | TokenInput)[],
  given: EncodeModelOptions | undefined,
  tokenizer: Tokenizer,
  info: ModelInfo,
): EncodeCall {
  const options = callOptions('encode', given, [
    'tokenizer',
    'hiddenStates',
    'attentions',
    'probes',
    'useAttentionMask',
  ]);
  const layers = info.config.numHiddenLayers;
  const useMask = flagOption('useAttentionMask', options['useAttentionMask'], true);
  const texts = inputs.filter((input) => !isTokenInput(input)) as readonly TextPair[];
  const rows = [...tokenizer.encodeBatch(texts, withLength(options['tokenizer'], tokenizer, info))];
  const encodings: (Encoding | undefined)[] = [];
  const sequences = inputs.map((input) => {
    const encoding = isTokenInput(input) ? undefined : rows.shift();
    encodings.push(encoding);
    return tokenSequence(encoding ?? (input as TokenInput), useMask);
  });
  const probes: { name: Probe; layer: number }[] = [];
  const asked = objectArgument('probes', options['probes'] ?? {});
  checkNames('probes', asked, kProbes);
  for (const name of kProbes) {
    for (const layer of choiceOfNumbers(
      `probes.${name}`,
      asked[name],
      name === 'embedding_sum' ? 1 : layers,
    )) {
      probes.push({ name, layer });
    }
  }
  const { hiddenStates, attentions } = options;
  return {
    request: {
      sequences,
      hiddenStates: choiceOfNumbers('hiddenStates', hiddenStates, layers + 1),
      attentions: choiceOfNumbers('attentions', attentions, layers),
      probes: probes.map(({ name, layer }) => ({ probe: kProbes.indexOf(name), layer })),
    },
    encodings,
    probes,
    hiddenStates: hiddenStates !== undefined && hiddenStates !== false,
    attentions: attentions !== undefined && attentions !== false,
  };
}

export function isTokenInput(input: unknown): input is TokenInput {
  return typeof input === 'object' && input !== null && 'inputIds' in input;
}

function tokenSequence(input: TokenInput, useMask: boolean): object {
  // an encoding has more than is needed; a misspelt name in an object of the caller's would be lost
  if (Object.getPrototypeOf(input) === Object.prototype) {
    checkNames('token ids', input, ['inputIds', 'tokenTypeIds', 'attentionMask']);
  }
  const ids = wholeNumbers('inputIds', input.inputIds);
  const same = (name: string, values: WholeNumbers | undefined): Int32Array | undefined => {
    if (values === undefined) return undefined;
    const numbers = wholeNumbers(name, values);
    if (numbers.length !== ids.length) {
      throw invalid(`${name} has ${numbers.length} entries, inputIds ${ids.length}`);
    }
    return numbers;
  };
  return {
    inputIds: ids,
    tokenTypeIds: same('tokenTypeIds', input.tokenTypeIds),
    attentionMask: useMask ? same('attentionMask', input.attentionMask) : undefined,
  };
}

export function encodeResults(call: EncodeCall, raw: readonly RawEncoding[]): EncodeResult[] {
  return raw.map((one, i) => {
    const probes: Partial<Record<Probe, Record<number, Tensor>>> = {};
    call.probes.forEach(({ name, layer }, k) => {
      (probes[name] ??= {})[layer] = one.probes[k]!;
    });
    const encoding = call.encodings[i];
    return {
      ...(encoding && { encoding }),
      lastHiddenState: one.lastHiddenState,
      ...(one.poolerOutput && { poolerOutput: one.poolerOutput }),
      ...(call.hiddenStates && { hiddenStates: one.hiddenStates }),
      ...(call.attentions && { attentions: one.attentions }),
      ...(call.probes.length > 0 && { probes }),
    };
  });
}
