// bertlens: a BERT checkpoint in a worker. Calls are queued here, so that an abort of a waiting one is immediate and a dead
// worker leaves nobody waiting.
import { proxy, wrap, type Remote } from 'comlink';

import { BertlensError, abortError, throwIfAborted } from './errors.ts';
import type { EngineMethod } from './engine.ts';
import type {
  Bert,
  Build,
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
import { evaluationResult, kEvaluationBatch } from './evaluation.ts';
import { browserWorker, nodeWorker, type Endpoint, type HostWorker } from './host-worker.ts';
import { loadOptions } from './load-options.ts';
import { portableSource } from './model-files.ts';
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
import type { Answer, Opened, WorkerHost } from './worker.ts';

export { BertlensError, type BertlensErrorCode } from './errors.ts';
export type * from './engine-types.ts';
export type * from './tokenizer-types.ts';
export { deleteStored, listStored, storageEstimate } from './storage.ts';

/** One address a build, each written out, so that bundlers find and follow it. */
function startWorker(build: Build): HostWorker {
  // put together here: in one expression bundlers would take it for a pattern of files
  const [file, here] = [`./worker-${build}.js`, import.meta.url];
  const onNode = nodeWorker(new URL(file, here), 'bertlens');
  if (onNode) return onNode;
  switch (build) {
    case 'simd':
      return browserWorker(new Worker(new URL('./worker-simd.js', import.meta.url), { type: 'module' }));
    case 'simd-threads':
      return browserWorker(
        new Worker(new URL('./worker-simd-threads.js', import.meta.url), { type: 'module' }),
      );
    case 'relaxed':
      return browserWorker(new Worker(new URL('./worker-relaxed.js', import.meta.url), { type: 'module' }));
    case 'relaxed-threads':
      return browserWorker(
        new Worker(new URL('./worker-relaxed-threads.js', import.meta.url), { type: 'module' }),
      );
  }
}

/** A call that waits or runs. */
interface Job {
  readonly method: EngineMethod;
  readonly args: readonly unknown[];
  readonly signal: AbortSignal | undefined;
  settle(answer: Answer<unknown>): void;
  fail(error: BertlensError): void;
}

/** The worker, its queue, and its end. Every promise it has given settles, whatever happens to the worker. */
class Line {
  readonly host: Remote<WorkerHost>;
  readonly #worker: HostWorker;
  readonly #flag: Int32Array | undefined;
  readonly #waiting: Job[] = [];
  #running: Job | undefined;
  #ended: BertlensError | undefined;
  readonly #onEnd = new Set<(error: BertlensError) => void>();

  constructor(worker: HostWorker, flag: Int32Array | undefined) {
    this.#worker = worker;
    this.#flag = flag;
    worker.onerror = (event) => {
      void this.end(
        new BertlensError(
          'crashed',
          `the worker failed: ${event.message || 'its script could not be loaded'}`,
        ),
      );
    };
    worker.onmessageerror = () => {
      void this.end(new BertlensError('crashed', 'the worker sent a message that cannot be read'));
    };
    this.host = wrap<WorkerHost>(worker as unknown as Endpoint);
  }

  /** What `work` gives, or the error that ends the line before. */
  async untilEnd<Value>(work: Promise<Value>): Promise<Value> {
    let listener: ((error: BertlensError) => void) | undefined;
    const ended = new Promise<never>((_, fail) => {
      if (this.#ended) fail(this.#ended);
      this.#onEnd.add((listener = fail));
    });
    try {
      return await Promise.race([work, ended]);
    } finally {
      if (listener) this.#onEnd.delete(listener);
    }
  }

  call(method: EngineMethod, args: readonly unknown[], signal: AbortSignal | undefined): Promise<unknown> {
    return new Promise((done, fail) => {
      throwIfAborted(signal);
      if (this.#ended) throw this.#ended;
      const onAbort = (): void => {
        const at = this.#waiting.indexOf(job);
        if (at >= 0) this.#waiting.splice(at, 1);
        else if (this.#flag) Atomics.store(this.#flag, 0, 1); // the core looks between layers
        job.fail(abortError(signal!));
      };
      const job: Job = {
        method,
        args,
        signal,
        settle: (answer) => {
          signal?.removeEventListener('abort', onAbort);
          if (answer.ok) done(answer.value);
          else fail(new BertlensError(answer.code, answer.message));
        },
        fail: (error) => {
          signal?.removeEventListener('abort', onAbort);
          fail(error);
        },
      };
      signal?.addEventListener('abort', onAbort);
      this.#waiting.push(job);
      void this.#next();
    });
  }

  /** Runs what waits, one at a time and in order. */
  async #next(): Promise<void> {
    if (this.#running || this.#ended) return;
    const job = this.#waiting.shift();
    if (!job) {
      this.#worker.hold(false);
      return;
    }
    this.#running = job;
    this.#worker.hold(true);
    if (this.#flag) Atomics.store(this.#flag, 0, 0);
    let answer: Answer<unknown>;
    try {
      answer = await this.untilEnd<Answer<unknown>>(this.host.call(job.method, job.args));
    } catch (error) {
      job.fail(
        error instanceof BertlensError
          ? error
          : new BertlensError('internal', String(error), { cause: error }),
      );
      answer = { ok: false, code: 'internal', message: String(error) };
    }
    this.#running = undefined;
    job.settle(answer);
    if (!answer.ok && (answer.code === 'crashed' || answer.code === 'out_of_memory')) {
      void this.end(new BertlensError(answer.code, answer.message));
      return;
    }
    void this.#next();
  }

  hold(held: boolean): void {
    this.#worker.hold(held);
  }

  /** Ends the worker; all that waits or runs fails with `error`, and so does every later call. */
  async end(error: BertlensError): Promise<void> {
    if (this.#ended) return;
    this.#ended = error;
    for (const job of this.#waiting.splice(0)) job.fail(error);
    this.#running?.fail(error);
    for (const listener of this.#onEnd) listener(error);
    // comlink keeps the worker for as long as its proxy lives: nothing of the worker may lead back to us
    this.#worker.onerror = null;
    this.#worker.onmessageerror = null;
    await this.#worker.end();
  }
}

/**
 * Loads a checkpoint into a worker.
 *
 * Errors: `not_found`, `io`, `invalid_model`, `missing_tensor`, `unsupported`, `out_of_memory`, `invalid_argument`,
 * `aborted`, `crashed`.
 */
export async function load(source: ModelSource, options?: LoadOptions): Promise<Bert> {
  const { engine, build, threads, signal, onProgress } = loadOptions(options);
  throwIfAborted(signal);
  const portable = portableSource(source);
  const choice = chooseBuild(build, threads, true);
  const flag =
    typeof SharedArrayBuffer === 'undefined' ? undefined : new Int32Array(new SharedArrayBuffer(4));
  const line = new Line(startWorker(choice.build), flag);
  const onAbort = (): void => void line.end(abortError(signal!));
  signal?.addEventListener('abort', onAbort);
  try {
    const opened = await line.untilEnd<Answer<Opened>>(
      line.host.open(portable, engine, choice, flag, onProgress && proxy(onProgress)),
    );
    if (!opened.ok) throw new BertlensError(opened.code, opened.message);
    const { info, runtime, tokenizerBytes } = opened.value;
    const tokenizer = await loadTokenizer(tokenizerBytes);
    throwIfAborted(signal);
    line.hold(false);
    return new WorkerBert(line, tokenizer, { ...runtime, inWorker: true }, info);
  } catch (error) {
    await line.end(error instanceof BertlensError ? error : new BertlensError('internal', String(error)));
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

class WorkerBert implements Bert {
  readonly tokenizer: Tokenizer;
  readonly runtime: Runtime;
  readonly info: ModelInfo;
  readonly #line: Line;

  constructor(line: Line, tokenizer: Tokenizer, runtime: Runtime, info: ModelInfo) {
    this.#line = line;
    this.tokenizer = tokenizer;
    this.runtime = runtime;
    this.info = info;
  }

  async fillMask(text: TextPair, options?: FillMaskOptions): Promise<FillMaskResult> {
    return (await this.#call('fillMask', [fillMaskRequest(text, options)], options)) as FillMaskResult;
  }

  async nextSentence(text: string, textPair: string, options?: CallOptions): Promise<NextSentenceResult> {
    const request = nextSentenceRequest(text, textPair, options);
    const [answer] = (await this.#call('nextSentence', [request], options)) as NextSentenceResult[];
    return answer!;
  }

  async evaluateNextSentence(
    pairs: readonly SentencePair[],
    options?: EvaluateOptions,
  ): Promise<EvaluationResult> {
    const request = evaluationRequest(pairs, options);
    const answers: NextSentenceResult[] = [];
    // in parts, so that other calls get their turn and progress can be told
    for (let at = 0; at < pairs.length; at += kEvaluationBatch) {
      const part = { pairs: request.pairs.slice(at, at + kEvaluationBatch) };
      answers.push(...((await this.#call('nextSentence', [part], options)) as NextSentenceResult[]));
      options?.onProgress?.(answers.length, pairs.length);
    }
    return await evaluationResult(pairs, request, answers, (args) =>
      this.#call('nextSentenceReport', args, options),
    );
  }

  encode(input: TextPair | TokenInput, options?: EncodeModelOptions): Promise<EncodeResult>;
  encode(inputs: readonly (TextPair | TokenInput)[], options?: EncodeModelOptions): Promise<EncodeResult[]>;
  async encode(
    input: TextPair | TokenInput | readonly (TextPair | TokenInput)[],
    options?: EncodeModelOptions,
  ): Promise<EncodeResult | EncodeResult[]> {
    const inputs = (Array.isArray(input) ? input : [input]) as readonly (TextPair | TokenInput)[];
    const call = encodeCall(inputs, options, this.tokenizer, this.info);
    const results = encodeResults(
      call,
      (await this.#call('encode', [call.request], options)) as RawEncoding[],
    );
    return Array.isArray(input) ? results : results[0]!;
  }

  embed(text: string, options?: EmbedOptions): Promise<Float32Array>;
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Tensor>;
  async embed(input: string | readonly string[], options?: EmbedOptions): Promise<Float32Array | Tensor> {
    const request = embedRequest(typeof input === 'string' ? [input] : input, options);
    return embedResult(input, (await this.#call('embed', [request], options)) as Tensor);
  }

  async score(text: TextPair, options?: ScoreOptions): Promise<ScoreResult> {
    return (await this.#call('score', [scoreRequest(text, options)], options)) as ScoreResult;
  }

  async maskEffect(texts: readonly string[], options?: CallOptions): Promise<MaskEffectResult> {
    return (await this.#call('maskEffect', [maskEffectRequest(texts, options)], options)) as MaskEffectResult;
  }

  async maskEffectCurve(text: string, paddings: readonly number[], options?: CallOptions): Promise<number[]> {
    const args = maskEffectCurveRequest(text, paddings, options);
    return (await this.#call('maskEffectCurve', args, options)) as number[];
  }

  inspect(options?: CallOptions): Promise<ModelInfo> {
    callOptions('inspect', options, []);
    return Promise.resolve(this.info);
  }

  async memory(options?: CallOptions): Promise<MemoryUse> {
    callOptions('memory', options, []);
    return (await this.#call('memory', [], options)) as MemoryUse;
  }

  async dispose(): Promise<void> {
    await this.#line.end(new BertlensError('disposed', 'the model was disposed of'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #call(
    method: EngineMethod,
    args: readonly unknown[],
    options: CallOptions | undefined,
  ): Promise<unknown> {
    return await this.#line.call(method, args, options?.signal);
  }
}
