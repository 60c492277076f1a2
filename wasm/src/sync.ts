/// <reference lib="esnext.disposable" preserve="true" />
// bertlens/sync: a BERT checkpoint in the thread that loads it, in a browser or in Node. Calls return their results at once.
import { BertlensError, throwIfAborted, unlessAborted } from './errors.ts';
import { Engine, type EngineBuild, type EngineMethod } from './engine.ts';
import type {
  CallOptions,
  EmbedOptions,
  EncodeModelOptions,
  EncodeResult,
  EvaluateOptions,
  EvaluationResult,
  FillMaskOptions,
  FillMaskResult,
  LabelledPair,
  LoadOptions,
  MaskEffectResult,
  MemoryUse,
  ModelInfo,
  ModelSource,
  NextSentenceOptions,
  NextSentenceResult,
  Runtime,
  ScoreOptions,
  ScoreResult,
  SentencePair,
  Tensor,
  TextPair,
  TokenInput,
} from './engine-types.ts';
import { finishEvaluation, kEvaluationBatch, reportArguments } from './evaluation.ts';
import { loadOptions, loadTwice } from './load-options.ts';
import {
  callOptions,
  embedParts,
  embedRequest,
  embedResult,
  embedRoom,
  encodeCall,
  encodeInputs,
  encodeResults,
  evaluationRequest,
  fillMaskRequest,
  maskEffectCurveRequest,
  maskEffectRequest,
  nextSentenceRequest,
  ofText,
  scoreRequest,
  type EncodeInput,
  type PlainText,
} from './requests.ts';
import { compileWasm } from './resources.ts';
import { chooseBuild } from './runtime.ts';
import type { BatchEncoding, Tokenizer } from './tokenizer-types.ts';
import type { RawEncoding } from './wasm-modules.ts';
import { loadTokenizerWith } from './wasm-tokenizer.ts';

export { BertlensError, type BertlensErrorCode } from './errors.ts';
export type * from './engine-types.ts';
export type * from './tokenizer-types.ts';
export { maskWords } from './mask-words.ts';
export { cosineSimilarity } from './similarity.ts';
export { deleteStored, listStored, storageEstimate } from './storage.ts';

/** The builds without threads: a page must not wait for others. */
async function buildOf(name: string): Promise<EngineBuild> {
  if (name === 'relaxed') {
    const { default: create } = await import('bertlens-wasm/engine-relaxed');
    return {
      create,
      compile: (signal) => compileWasm(new URL('./engine-relaxed.wasm', import.meta.url), signal),
    };
  }
  const { default: create } = await import('bertlens-wasm/engine-simd');
  return { create, compile: (signal) => compileWasm(new URL('./engine-simd.wasm', import.meta.url), signal) };
}

/** Loads a checkpoint into this thread. Errors as those of `load` in 'bertlens'. */
export async function load(source: ModelSource, options?: LoadOptions): Promise<BertSync> {
  const { engine: engineOptions, build, threads, signal, onProgress } = loadOptions(options);
  const choice = chooseBuild(build, threads, 'in place');
  return await loadTwice(async (afresh) => {
    throwIfAborted(signal);
    const opening = unlessAborted(buildOf(choice.build), signal).then((module) =>
      Engine.load(module, choice, source, { ...engineOptions, afresh }, signal, onProgress),
    );
    const tokenizing = loadTokenizerWith(
      () => compileWasm(new URL('./tokenizer.wasm', import.meta.url)),
      opening.then(({ tokenizerBytes }) => tokenizerBytes),
      signal && { signal },
    );
    const [engine, tokenizer] = await Promise.all([opening, tokenizing]);
    return BertSync.create(engine, tokenizer);
  });
}

/** A loaded model. Every method computes in place: a signal can end a load, and a call only before it begins. */
export class BertSync implements Disposable {
  readonly tokenizer: Tokenizer;
  readonly runtime: Runtime;
  readonly info: ModelInfo;
  #engine: Engine | undefined;

  /** @internal */
  static create(engine: Engine, tokenizer: Tokenizer): BertSync {
    return new BertSync(engine, tokenizer);
  }

  private constructor(engine: Engine, tokenizer: Tokenizer) {
    this.#engine = engine;
    this.tokenizer = tokenizer;
    this.runtime = { ...engine.runtime, inWorker: false };
    this.info = engine.info;
  }

  /** Predict the [MASK]s of a text. */
  fillMask(text: TextPair, options?: FillMaskOptions): FillMaskResult {
    return this.#call('fillMask', [fillMaskRequest(text, options, this)], options) as FillMaskResult;
  }

  /** Does the second sentence follow the first? */
  nextSentence(text: string, textPair: string, options?: NextSentenceOptions): NextSentenceResult {
    const request = nextSentenceRequest(text, textPair, options);
    return (this.#call('nextSentence', [request], options) as NextSentenceResult[])[0]!;
  }

  /** Judge labelled pairs (Exercise 5 of the notebook). */
  evaluateNextSentence(
    pairs: readonly (LabelledPair | SentencePair)[],
    options?: EvaluateOptions,
  ): EvaluationResult {
    const request = evaluationRequest(pairs, options);
    const answers: NextSentenceResult[] = [];
    for (let at = 0; at < request.pairs.length; at += kEvaluationBatch) {
      const part = { pairs: request.pairs.slice(at, at + kEvaluationBatch) };
      const answered = this.#callTexts('nextSentence', part, 'pairs', request.pairs, options);
      answers.push(...(answered as NextSentenceResult[]));
      options?.onProgress?.(answers.length, request.pairs.length);
    }
    const report = this.#call('nextSentenceReport', reportArguments(request, answers), options);
    return finishEvaluation(request, answers, report);
  }

  /** Hidden states, attentions and inner values of a text, or of each text of a batch. */
  encode(input: TextPair | TokenInput, options?: EncodeModelOptions): EncodeResult;
  encode(
    inputs: readonly (TextPair | TokenInput)[] | BatchEncoding,
    options?: EncodeModelOptions,
  ): EncodeResult[];
  encode(input: EncodeInput, options?: EncodeModelOptions): EncodeResult | EncodeResult[] {
    const inputs = encodeInputs(input);
    const call = encodeCall(inputs ?? [input as TextPair | TokenInput], options, this.tokenizer, this.info);
    const results = encodeResults(call, this.#call('encode', [call.request], options) as RawEncoding[]);
    return inputs ? results : results[0]!;
  }

  /** One vector per text. */
  embed(text: string, options?: EmbedOptions): Float32Array;
  embed(texts: readonly string[], options?: EmbedOptions): Tensor;
  embed(input: string | readonly string[], options?: EmbedOptions): Float32Array | Tensor {
    const request = embedRequest(typeof input === 'string' ? [input] : input, options);
    const vectors = embedRoom(request, this.info);
    for (const { at, part } of embedParts(request)) {
      const answered = this.#callTexts('embed', part, 'texts', request.texts, options);
      vectors.data.set((answered as Tensor).data, at * this.info.config.hiddenSize);
    }
    return embedResult(input, vectors);
  }

  /** How likely a sentence is, each token masked in turn. */
  score(text: TextPair, options?: ScoreOptions): ScoreResult {
    return this.#call('score', [scoreRequest(text, options)], options) as ScoreResult;
  }

  /** What the attention mask changes in a padded batch. */
  maskEffect(texts: readonly string[], options?: CallOptions): MaskEffectResult {
    const request = maskEffectRequest(texts, options);
    return this.#callTexts('maskEffect', request, 'texts', request, options) as MaskEffectResult;
  }

  /** The distance of [CLS] with and without the mask, for each of these numbers of padding tokens. */
  maskEffectCurve(text: string, paddings: readonly number[], options?: CallOptions): number[] {
    return this.#call(
      'maskEffectCurve',
      maskEffectCurveRequest(text, paddings, options),
      options,
    ) as number[];
  }

  /** Sizes, shapes and parameters: `info`. */
  inspect(options?: CallOptions): ModelInfo {
    callOptions('inspect', options, []);
    this.#check(options?.signal);
    return this.info;
  }

  memory(options?: CallOptions): MemoryUse {
    callOptions('memory', options, []);
    return this.#call('memory', [], options) as MemoryUse;
  }

  /** Lets go of the module, whose memory the garbage collector then takes. Safe to call twice. */
  dispose(): void {
    this.#engine = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #check(signal: AbortSignal | undefined): Engine {
    if (!this.#engine) throw new BertlensError('disposed', 'the model was disposed of');
    throwIfAborted(signal);
    return this.#engine;
  }

  /** A call about several texts, whose error says which of them it is about. */
  #callTexts(
    method: EngineMethod,
    request: object,
    name: string,
    texts: readonly PlainText[],
    options: CallOptions | undefined,
  ): unknown {
    try {
      return this.#call(method, [request], options);
    } catch (error) {
      throw ofText(error, name, texts, this);
    }
  }

  #call(method: EngineMethod, args: readonly unknown[], options: CallOptions | undefined): unknown {
    return this.#check(options?.signal).call(method, args);
  }
}
