// bertlens/sync: a BERT checkpoint in the thread that loads it, in a browser or in Node. Calls return their results at once.
import { BertlensError, throwIfAborted } from './errors.ts';
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
  LoadOptions,
  MaskEffectResult,
  MemoryUse,
  ModelInfo,
  ModelSource,
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
import { loadOptions } from './load-options.ts';
import {
  callOptions,
  embedRequest,
  embedResult,
  encodeCall,
  encodeResults,
  evaluationRequest,
  fillMaskRequest,
  maskEffectCurveRequest,
  maskEffectRequest,
  nextSentenceRequest,
  scoreRequest,
} from './requests.ts';
import { chooseBuild } from './runtime.ts';
import type { Tokenizer } from './tokenizer-types.ts';
import { loadTokenizer } from './tokenizer.ts';
import type { RawEncoding } from './wasm-modules.ts';

export { BertlensError, type BertlensErrorCode } from './errors.ts';
export type * from './engine-types.ts';
export type * from './tokenizer-types.ts';
export { deleteStored, listStored, storageEstimate } from './storage.ts';

/** The builds without threads: a page must not wait for others. */
async function buildOf(name: string): Promise<EngineBuild> {
  if (name === 'relaxed') {
    const { default: create } = await import('bertlens-wasm/engine-relaxed');
    return { create, wasm: new URL('./engine-relaxed.wasm', import.meta.url) };
  }
  const { default: create } = await import('bertlens-wasm/engine-simd');
  return { create, wasm: new URL('./engine-simd.wasm', import.meta.url) };
}

/** Loads a checkpoint into this thread. Errors as those of `load` in 'bertlens'. */
export async function load(source: ModelSource, options?: LoadOptions): Promise<BertSync> {
  const { engine: engineOptions, build, threads, signal, onProgress } = loadOptions(options);
  throwIfAborted(signal);
  const choice = chooseBuild(build, threads, false);
  const module = await buildOf(choice.build);
  const engine = await Engine.load(module, choice, source, engineOptions, signal, onProgress);
  return new BertSync(engine, await loadTokenizer(engine.tokenizerBytes, signal && { signal }));
}

/** A loaded model. Every method computes in place; a signal is looked at between layers. */
export class BertSync implements Disposable {
  readonly tokenizer: Tokenizer;
  readonly runtime: Runtime;
  readonly info: ModelInfo;
  #engine: Engine | undefined;

  /** @internal */
  constructor(engine: Engine, tokenizer: Tokenizer) {
    this.#engine = engine;
    this.tokenizer = tokenizer;
    this.runtime = { ...engine.runtime, inWorker: false };
    this.info = engine.info;
  }

  /** Predict the [MASK]s of a text. */
  fillMask(text: TextPair, options?: FillMaskOptions): FillMaskResult {
    return this.#call('fillMask', [fillMaskRequest(text, options)], options) as FillMaskResult;
  }

  /** Does the second sentence follow the first? */
  nextSentence(text: string, textPair: string, options?: CallOptions): NextSentenceResult {
    const request = nextSentenceRequest(text, textPair, options);
    return (this.#call('nextSentence', [request], options) as NextSentenceResult[])[0]!;
  }

  /** Judge labelled pairs (Exercise 5 of the notebook). */
  evaluateNextSentence(pairs: readonly SentencePair[], options?: EvaluateOptions): EvaluationResult {
    const request = evaluationRequest(pairs, options);
    const answers: NextSentenceResult[] = [];
    for (let at = 0; at < pairs.length; at += kEvaluationBatch) {
      const part = { pairs: request.pairs.slice(at, at + kEvaluationBatch) };
      answers.push(...(this.#call('nextSentence', [part], options) as NextSentenceResult[]));
      options?.onProgress?.(answers.length, pairs.length);
    }
    const report = this.#call('nextSentenceReport', reportArguments(request, answers), options);
    return finishEvaluation(pairs, answers, report);
  }

  /** Hidden states, attentions and inner values of a text, or of each text of a batch. */
  encode(input: TextPair | TokenInput, options?: EncodeModelOptions): EncodeResult;
  encode(inputs: readonly (TextPair | TokenInput)[], options?: EncodeModelOptions): EncodeResult[];
  encode(
    input: TextPair | TokenInput | readonly (TextPair | TokenInput)[],
    options?: EncodeModelOptions,
  ): EncodeResult | EncodeResult[] {
    const inputs = (Array.isArray(input) ? input : [input]) as readonly (TextPair | TokenInput)[];
    const call = encodeCall(inputs, options, this.tokenizer, this.info);
    const results = encodeResults(call, this.#call('encode', [call.request], options) as RawEncoding[]);
    return Array.isArray(input) ? results : results[0]!;
  }

  /** One vector per text. */
  embed(text: string, options?: EmbedOptions): Float32Array;
  embed(texts: readonly string[], options?: EmbedOptions): Tensor;
  embed(input: string | readonly string[], options?: EmbedOptions): Float32Array | Tensor {
    const request = embedRequest(typeof input === 'string' ? [input] : input, options);
    return embedResult(input, this.#call('embed', [request], options) as Tensor);
  }

  /** How likely a sentence is, each token masked in turn. */
  score(text: TextPair, options?: ScoreOptions): ScoreResult {
    return this.#call('score', [scoreRequest(text, options)], options) as ScoreResult;
  }

  /** What the attention mask changes in a padded batch. */
  maskEffect(texts: readonly string[], options?: CallOptions): MaskEffectResult {
    return this.#call('maskEffect', [maskEffectRequest(texts, options)], options) as MaskEffectResult;
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

  #call(method: EngineMethod, args: readonly unknown[], options: CallOptions | undefined): unknown {
    const signal = options?.signal;
    const engine = this.#check(signal);
    engine.setAborted(signal && (() => signal.aborted));
    return engine.call(method, args);
  }
}
