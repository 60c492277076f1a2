/// <reference lib="esnext.disposable" preserve="true" />
// The engine's public types: how a model is loaded, what each call takes and gives, and how the runtime was chosen.
import type {
  BatchEncoding,
  EncodeOptions,
  Encoding,
  HeaderSource,
  HubOptions,
  Tokenizer,
  Truncation,
  WholeNumbers,
} from './tokenizer-types.ts';

/** One text, or a first and a second one. */
export type TextPair = string | { readonly text: string; readonly textPair?: string | undefined };

/** How weights are kept: as floats, as half floats, or as int8 per output channel. */
export type Precision = 'f32' | 'f16' | 'int8';

/** The builds of the engine. `relaxed` uses relaxed SIMD; `threads` needs a cross-origin isolated page. */
export type Build = 'simd' | 'simd-threads' | 'relaxed' | 'relaxed-threads';

/** Files by name, e.g. `{ 'config.json': bytes, 'model.safetensors': bytes, 'vocab.txt': bytes }`. */
export type ModelFiles = Readonly<Record<string, ArrayBuffer | Uint8Array | Blob>>;

/** What of a browser's FileSystemDirectoryHandle is used. */
export interface DirectoryHandle {
  readonly kind: 'directory';
  readonly name: string;
  getFileHandle(name: string): Promise<{ getFile(): Promise<File> }>;
}

/**
 * Where a model is: the address of a folder (a string that ends in '/', or a URL), a Hugging Face name
 * ('google-bert/bert-base-uncased'), files that a person chose, a directory handle, or bytes. In Node a string may also
 * be a folder's path that begins with '/' or '.'.
 */
export type ModelSource = string | URL | Iterable<File> | ArrayLike<File> | DirectoryHandle | ModelFiles;

/** One step of progress: at most twenty a second for each file, and one at its end. */
export interface ProgressEvent {
  /** What the file belongs to: `'files'` are config.json and the tokenizer's, `'weights'` the rest. */
  readonly phase: 'files' | 'weights';
  /** Its name in the folder, e.g. 'model.safetensors'. */
  readonly file: string;
  /** Bytes so far, after any content encoding was undone. */
  readonly loaded: number;
  /** Bytes in all, counted as `loaded`; undefined before the end where the server does not tell. */
  readonly total: number | undefined;
  /** `'cache'` is the browser's storage, `'file'` a file or bytes that were given, or a path in Node. */
  readonly source: 'network' | 'cache' | 'file';
}

/** Options that every asynchronous call takes. */
export interface CallOptions {
  /** Rejects the call with the code `aborted`: at once while it is queued, between layers while it runs. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `load`. An unknown option is an error. */
export interface LoadOptions extends CallOptions, HubOptions {
  /** Default: as the checkpoint stores them. `'int8'` quantises float weights while they load. */
  readonly precision?: Precision | undefined;
  /**
   * Default 'auto': the cores available, at most 8, where the page is cross-origin isolated; else 1. More than the build
   * or the page can have are an error.
   */
  readonly threads?: number | 'auto' | undefined;
  /** Default 'auto': the fastest build that passes the probe. */
  readonly build?: Build | 'auto' | undefined;
  /**
   * Keep downloaded files in the browser's storage and look there first. A stored file is used while the server has the
   * same one (by ETag or Last-Modified), or is busy or cannot be reached. One that turns out to be damaged is fetched again:
   * the load then starts once more, and so does its progress. Default true.
   */
  readonly cache?: boolean | undefined;
  /**
   * Headers of every request for a file, such as `Authorization` of a hub or a server that is not open to all. A server of
   * another origin has to allow them (CORS); redirected to another origin, `fetch` drops `Authorization`.
   */
  readonly headers?: HeaderSource | undefined;
  /** SHA-256 (64 hex digits) by file name; a file that differs is an error, and so is one that is not there. */
  readonly integrity?: Readonly<Record<string, string>> | undefined;
  /** The files that the folder has, where they are known: no others are asked for. */
  readonly files?: readonly string[] | undefined;
  /** Gather each tensor's statistics while it loads, for `info.tensors`. Default false. */
  readonly statistics?: boolean | undefined;
  /** Told of each step. What it throws ends the load and rejects it with that very error. */
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

/** Which build runs, and why. */
export interface Runtime {
  readonly build: Build;
  /** Threads that compute, the worker's own among them. */
  readonly threads: number;
  /** How the weights are kept. */
  readonly precision: Precision;
  /** false with `bertlens/sync`. */
  readonly inWorker: boolean;
  /** The kernels that this machine runs, for people. */
  readonly kernels: string;
  /** One sentence for each better choice that could not be taken: relaxed SIMD, threads, storage. */
  readonly reasons: readonly string[];
}

/** A float tensor, row-major. `data` is the caller's own copy. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Options of `fillMask`. An unknown option is an error. */
export interface FillMaskOptions extends CallOptions {
  /** Predictions a mask. Default 5. */
  readonly topK?: number | undefined;
  /** Score these words instead of the best ones; the softmax stays over the whole vocabulary. */
  readonly targets?: readonly string[] | undefined;
  /** The text without masks: gives the loss. It has as many tokens as the masked text, and no mask is left in it. */
  readonly labelText?: string | undefined;
  /** How several masks are filled. Default 'independent': each alone, as transformers does. */
  readonly order?: 'independent' | 'left_to_right' | 'most_confident' | undefined;
}

export interface Prediction {
  /** As the vocabulary writes it; a target of several pieces as given. */
  readonly token: string;
  /** null for a target of several pieces, as `logit` and `rank`. */
  readonly id: number | null;
  readonly pieces: readonly number[];
  /** Softmax over the whole vocabulary; of several pieces the product of their conditional probabilities. */
  readonly probability: number;
  readonly logit: number | null;
  /** The cross-entropy if this were the right word: -ln(probability). */
  readonly loss: number;
  /** Among the whole vocabulary, from 1. */
  readonly rank: number | null;
  /** Probability of this and of all predictions before it in the list. */
  readonly cumulative: number;
}

export interface MaskPredictions {
  /** Index of the mask among the tokens. */
  readonly position: number;
  /** When it was filled, from 0; 0 for all where each is filled alone. */
  readonly step: number;
  readonly predictions: readonly Prediction[];
  /** The label's own prediction, with `labelText`. */
  readonly label?: Prediction;
}

export interface FillMaskResult {
  readonly masks: readonly MaskPredictions[];
  /** The text with the best word in each mask. */
  readonly sequence: string;
  /** Its ids, special tokens included. */
  readonly filled: Int32Array;
  /** Mean cross-entropy over the masks, with `labelText`. */
  readonly loss?: number;
  /** The label's ids at the masks and -100 elsewhere, with `labelText`. */
  readonly labels?: Int32Array;
}

/** Options of `maskWords`. An unknown option is an error. */
export interface MaskWordsOptions {
  /** One mask for a word of several pieces too. Default false: one a piece. */
  readonly oneMaskPerWord?: boolean | undefined;
}

/** A word that `maskWords` took out. */
export interface MaskedWord {
  /** Its index among the words between white space. */
  readonly word: number;
  /** Without punctuation around it. */
  readonly original: string;
  /** Index of its first mask among those of the whole text. */
  readonly firstMask: number;
  readonly masks: number;
}

export interface MaskedText {
  readonly text: string;
  /** In the order of the text. */
  readonly words: readonly MaskedWord[];
}

export interface NextSentenceResult {
  /** P(the second sentence follows the first). */
  readonly isNext: number;
  readonly notNext: number;
  /** [is next, not next] */
  readonly logits: readonly [number, number];
}

/** Two sentences, and whether the second follows the first. */
export interface LabelledPair {
  readonly text: string;
  readonly textPair: string;
  readonly isNext: boolean;
}

/** A LabelledPair as the command line has it, which calls the second text `pair`. */
export interface SentencePair {
  readonly text: string;
  readonly pair: string;
  readonly isNext: boolean;
}

export interface EvaluateOptions extends CallOptions {
  /** A pair counts as "is next" above this probability. Default 0.5. */
  readonly threshold?: number | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** A pair with its answer; `pair` is `textPair` by its other name. */
export interface EvaluatedPair extends LabelledPair, SentencePair {
  /** P(is next), P(not next) and the logits. */
  readonly result: NextSentenceResult;
  readonly predicted: boolean;
  readonly correct: boolean;
  /** The larger of the two probabilities. */
  readonly confidence: number;
}

export interface EvaluationResult {
  readonly threshold: number;
  readonly accuracy: number;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  readonly confusion: { readonly tp: number; readonly fp: number; readonly tn: number; readonly fn: number };
  /** Index of the pair with the highest confidence; ties are broken by the margin of the logits. */
  readonly highestConfidence: number;
  readonly meanConfidence: number;
  /** Right and wrong answers by confidence, in ten steps of 0.05 from 0.5 to 1. */
  readonly correctByConfidence: readonly number[];
  readonly wrongByConfidence: readonly number[];
  readonly pairs: readonly EvaluatedPair[];
}

/** Ready token ids instead of a text. */
export interface TokenInput {
  readonly inputIds: WholeNumbers;
  readonly tokenTypeIds?: WholeNumbers | undefined;
  readonly attentionMask?: WholeNumbers | undefined;
}

/** The inner values of a layer that can be asked for, by the same names everywhere. */
export type Probe =
  'embedding_sum' | 'query' | 'key' | 'value' | 'scores' | 'context' | 'attention_output' | 'feed_forward';

export interface EncodeModelOptions extends CallOptions {
  /** Tokenizer options, for text inputs. `maxLength` is by default at most what the model has positions for. */
  readonly tokenizer?: EncodeOptions | undefined;
  /** These hidden states (0 the embeddings, i the output of layer i), or all with `true`. Default none. */
  readonly hiddenStates?: boolean | readonly number[] | undefined;
  /** Attentions of these layers (from 0), or of all with `true`. Default none. */
  readonly attentions?: boolean | readonly number[] | undefined;
  /** Inner values: probe names with the layers (from 0) wanted. */
  readonly probes?: Readonly<Partial<Record<Probe, readonly number[]>>> | undefined;
  /** `false` ignores the attention mask, to show why it matters. Default true. */
  readonly useAttentionMask?: boolean | undefined;
}

export interface EncodeResult {
  /** Absent where ids were given. */
  readonly encoding?: Encoding;
  /** [tokens, hidden], padding tokens included as Hugging Face computes them. */
  readonly lastHiddenState: Tensor;
  /** [hidden]; absent where the checkpoint has no pooler. */
  readonly poolerOutput?: Tensor;
  /** By number, [tokens, hidden] each: 0 the embeddings, i the output of layer i. */
  readonly hiddenStates?: Readonly<Record<number, Tensor>>;
  /** By layer: [heads, tokens, tokens], query before key. */
  readonly attentions?: Readonly<Record<number, Tensor>>;
  /** By name and layer: [tokens, width]; scores as attentions. */
  readonly probes?: Readonly<Partial<Record<Probe, Readonly<Record<number, Tensor>>>>>;
}

/** Options of `nextSentence`. An unknown option is an error. */
export interface NextSentenceOptions extends CallOptions {
  /** Cut what the model has no positions for from the texts' ends, as the tokenizer would. Default: none, an error. */
  readonly truncation?: Truncation | undefined;
}

/** Options of `embed`. An unknown option is an error. */
export interface EmbedOptions extends CallOptions {
  /** Cut what the model has no positions for from a text's end. Default: none, an error that names the text. */
  readonly truncation?: Truncation | undefined;
  /** Default 'mean' over the real tokens. */
  readonly pooling?: 'cls' | 'mean' | 'max' | undefined;
  /** Scale to length 1. Default false. */
  readonly normalize?: boolean | undefined;
}

export interface ScoreOptions extends CallOptions {
  /** Mask the later pieces of a token's word too, so that its own end does not give it away. Default false. */
  readonly hideRestOfWord?: boolean | undefined;
}

export interface ScoredToken {
  /** Index among the tokens of the encoding. */
  readonly position: number;
  readonly token: string;
  readonly id: number;
  /** ln P(token | all others), the token itself masked. */
  readonly logProbability: number;
  /** Among the whole vocabulary, from 1. */
  readonly rank: number;
  /** What the model would have put there. */
  readonly bestToken: string;
  readonly bestProbability: number;
}

export interface ScoreResult {
  /** The sum of the log probabilities, each token masked in turn (natural logarithm). */
  readonly pseudoLogLikelihood: number;
  readonly tokens: readonly ScoredToken[];
}

export interface MaskEffectResult {
  /** L2 distance of the [CLS] vectors with and without the mask, by sequence. */
  readonly clsL2: readonly number[];
  /** The same for each hidden state, embeddings first: [sequence][layers + 1]. */
  readonly perLayer: readonly (readonly number[])[];
  /** By token: [sequence][layers + 1][real token]. */
  readonly perToken: readonly (readonly (readonly number[])[])[];
  /** Real and padding tokens of each sequence. */
  readonly tokens: readonly number[];
  readonly padding: readonly number[];
}

/** Statistics of a tensor's elements. */
export interface TensorStatistics {
  readonly zeros: number;
  readonly nans: number;
  readonly infinities: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly deviation: number;
}

/** A tensor as the file has it. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Its elements; 0 for the scales of int8 storage. */
  readonly parameters: number;
  /** The part of BERT that it belongs to, e.g. 'bert.encoder.layer.3.attention.self.query'. */
  readonly module?: string;
  /** With the option `statistics`. */
  readonly statistics?: TensorStatistics;
}

/** One line of the parameter table, e.g. { count: 23440896, formula: '30522 x 768' }. */
export interface ParameterCount {
  readonly name: string;
  readonly formula: string;
  readonly count: number;
}

/** The parts of the parameter table (Exercise 3 of the notebook); layer parts are of one layer. */
export type ParameterPart =
  | 'wordEmbeddings'
  | 'positionEmbeddings'
  | 'tokenTypeEmbeddings'
  | 'embeddingsNorm'
  | 'embeddings'
  | 'selfAttention'
  | 'intermediate'
  | 'output'
  | 'encoderLayer'
  | 'encoder'
  | 'pooler'
  | 'mlmTransform'
  | 'mlmNorm'
  | 'mlmBias'
  | 'mlmDecoder'
  | 'mlmHead'
  | 'nspHead';

export interface ModelInfo {
  readonly config: {
    readonly vocabSize: number;
    readonly hiddenSize: number;
    readonly numHiddenLayers: number;
    readonly numAttentionHeads: number;
    readonly intermediateSize: number;
    readonly hiddenAct: string;
    readonly maxPositionEmbeddings: number;
    readonly typeVocabSize: number;
    readonly layerNormEps: number;
  };
  readonly parameters: Readonly<Record<ParameterPart, ParameterCount>>;
  /** Of the base model with its pooler, as the notebook counts: 109,482,240 for bert-base-uncased. */
  readonly totalParameters: number;
  readonly trainableParameters: number;
  readonly withMlmHead: number;
  readonly withNspHead: number;
  readonly withBothHeads: number;
  /** Which of the optional parts the checkpoint has. */
  readonly heads: { readonly pooler: boolean; readonly mlm: boolean; readonly nsp: boolean };
  readonly tensors: readonly TensorInfo[];
}

/** Bytes held by a loaded model. */
export interface MemoryUse {
  /** The WebAssembly heap. */
  readonly heapBytes: number;
  /** Packed weights within it. */
  readonly weightBytes: number;
}

/**
 * A loaded model. Calls may overlap: they are answered in the order they were made, only that `evaluateNextSentence` and
 * `embed` of a long list let others in between. After `dispose()` every call rejects with `disposed`; after a crash with
 * `crashed`.
 */
export interface Bert extends AsyncDisposable {
  readonly tokenizer: Tokenizer;
  readonly runtime: Runtime;
  readonly info: ModelInfo;
  /** Predict the [MASK]s of a text. */
  fillMask(text: TextPair, options?: FillMaskOptions): Promise<FillMaskResult>;
  /** Does the second sentence follow the first? */
  nextSentence(text: string, textPair: string, options?: NextSentenceOptions): Promise<NextSentenceResult>;
  /** Judge labelled pairs (Exercise 5 of the notebook). */
  evaluateNextSentence(
    pairs: readonly (LabelledPair | SentencePair)[],
    options?: EvaluateOptions,
  ): Promise<EvaluationResult>;
  /** Hidden states, attentions and inner values of a text, or of each text of a batch. */
  encode(input: TextPair | TokenInput, options?: EncodeModelOptions): Promise<EncodeResult>;
  encode(
    inputs: readonly (TextPair | TokenInput)[] | BatchEncoding,
    options?: EncodeModelOptions,
  ): Promise<EncodeResult[]>;
  /** One vector per text. */
  embed(text: string, options?: EmbedOptions): Promise<Float32Array>;
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Tensor>;
  /** How likely a sentence is, each token masked in turn. */
  score(text: TextPair, options?: ScoreOptions): Promise<ScoreResult>;
  /** What the attention mask changes in a padded batch. */
  maskEffect(texts: readonly string[], options?: CallOptions): Promise<MaskEffectResult>;
  /** The distance of [CLS] with and without the mask, for each of these numbers of padding tokens. */
  maskEffectCurve(text: string, paddings: readonly number[], options?: CallOptions): Promise<number[]>;
  /** Sizes, shapes and parameters: `info`. */
  inspect(options?: CallOptions): Promise<ModelInfo>;
  /** Bytes that the model holds now. */
  memory(options?: CallOptions): Promise<MemoryUse>;
  /** Ends the worker and returns all memory. Pending calls reject with `disposed`. Safe to call twice. */
  dispose(): Promise<void>;
}

/** A file kept in the browser's storage. */
export interface StoredFile {
  readonly url: string;
  /** Bytes. */
  readonly size: number;
  readonly storedAt: Date;
}
