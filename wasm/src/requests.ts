// Calls as the engine takes them: arguments checked on the caller's side, then plain values.
import { BertlensError } from './errors.ts';
import type {
  EmbedOptions,
  EncodeModelOptions,
  EncodeResult,
  FillMaskOptions,
  ModelInfo,
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
  countOption,
  flagOption,
  objectArgument,
  optionObject,
  shown,
  textArgument,
} from './options.ts';
import type { EncodeOptions, Encoding, Tokenizer } from './tokenizer-types.ts';
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

function invalid(message: string): BertlensError {
  return new BertlensError('invalid_argument', message);
}

/** Checks the names of a call's options; `signal` is always one. */
export function callOptions(call: string, given: unknown, known: readonly string[]): Record<string, unknown> {
  const options = optionObject(call, given);
  checkNames(call, options, [...known, 'signal']);
  const { signal } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalid(`${call}: signal must be an AbortSignal, not ${shown(signal)}`);
  }
  return options;
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

function listArgument(name: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`${name} must be an array, not ${shown(value)}`);
  return value;
}

export function fillMaskRequest(text: TextPair, given: FillMaskOptions | undefined): object {
  const options = callOptions('fillMask', given, ['topK', 'targets', 'labelText', 'order']);
  const orders = Object.keys(kMaskOrders) as (keyof typeof kMaskOrders)[];
  const { targets, labelText } = options;
  return {
    ...plainText(text),
    topK: countOption('topK', options['topK'], 1),
    order: kMaskOrders[choiceOption('order', options['order'], orders) ?? 'independent'],
    targets:
      targets === undefined
        ? undefined
        : listArgument('targets', targets).map((target) => wellFormed('a target', target)),
    labelText: labelText === undefined ? undefined : wellFormed('labelText', labelText),
  };
}

export function nextSentenceRequest(text: string, textPair: string, options: unknown): object {
  callOptions('nextSentence', options, []);
  return { pairs: [{ text: wellFormed('text', text), textPair: wellFormed('textPair', textPair) }] };
}

export interface EvaluationRequest {
  readonly pairs: readonly PlainText[];
  readonly labels: readonly number[];
  readonly threshold: number;
}

export function evaluationRequest(pairs: readonly SentencePair[], given: unknown): EvaluationRequest {
  const options = callOptions('evaluateNextSentence', given, ['threshold', 'onProgress']);
  const threshold = options['threshold'] ?? 0.5;
  if (typeof threshold !== 'number' || !(threshold >= 0 && threshold <= 1)) {
    throw invalid(`threshold must be a number from 0 to 1, not ${shown(threshold)}`);
  }
  const rows = listArgument('pairs', pairs).map((row, i) => {
    const name = `pairs[${i}]`;
    const { text, pair, isNext } = objectArgument(name, row);
    if (typeof isNext !== 'boolean') {
      throw invalid(`${name}.isNext must be true or false, not ${shown(isNext)}`);
    }
    return {
      input: { text: wellFormed(`${name}.text`, text), textPair: wellFormed(`${name}.pair`, pair) },
      label: Number(isNext),
    };
  });
  return { threshold, pairs: rows.map(({ input }) => input), labels: rows.map(({ label }) => label) };
}

export function scoreRequest(text: TextPair, given: ScoreOptions | undefined): object {
  const options = callOptions('score', given, ['hideRestOfWord']);
  return {
    ...plainText(text),
    hideRestOfWord: flagOption('hideRestOfWord', options['hideRestOfWord'], false),
  };
}

export function embedRequest(texts: readonly string[], given: EmbedOptions | undefined): object {
  const options = callOptions('embed', given, ['pooling', 'normalize']);
  const poolings = Object.keys(kPoolings) as (keyof typeof kPoolings)[];
  return {
    texts: listArgument('texts', texts).map((text) => ({ text: wellFormed('text', text) })),
    pooling: kPoolings[choiceOption('pooling', options['pooling'], poolings) ?? 'mean'],
    normalize: flagOption('normalize', options['normalize'], false),
  };
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
  const counts = listArgument('paddings', paddings).map((count) => countOption('a padding', count, 0));
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
  return listArgument(name, value).map((one) => {
    const number = countOption(`${name}: each`, one, 0, count - 1);
    if (number === undefined) throw invalid(`${name} must not have holes`);
    return number;
  });
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
  const rows =
    texts.length > 0 ? [...tokenizer.encodeBatch(texts, options['tokenizer'] as EncodeOptions)] : [];
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
  const same = (name: string, values: ArrayLike<number> | undefined): Int32Array | undefined => {
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

/** A copy as 32-bit integers: encodings share one memory, and requests are sent. */
function wholeNumbers(name: string, values: ArrayLike<number>): Int32Array {
  if (!Array.isArray(values) && !(ArrayBuffer.isView(values) && 'length' in values)) {
    throw invalid(`${name} must be an array of whole numbers, not ${shown(values)}`);
  }
  // tensors of other libraries have 64-bit integers
  return Int32Array.from(values as ArrayLike<number | bigint>, (value, i) => {
    const number = typeof value === 'bigint' ? Number(value) : value;
    if (typeof number !== 'number' || number !== (number | 0)) {
      throw invalid(`${name}[${i}] must be a whole number of 32 bits, not ${shown(value)}`);
    }
    return number;
  });
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
