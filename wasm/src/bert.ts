// A BERT checkpoint in a worker. Calls are queued here, so that an abort of a waiting one is immediate and a dead worker leaves
// nobody waiting.
import { BertlensError, abortError, throwIfAborted } from './errors.ts';
import type { EngineMethod } from './engine.ts';
import type {
  Bert,
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
  ProgressEvent,
  Runtime,
  ScoreOptions,
  ScoreResult,
  SentencePair,
  Tensor,
  TextPair,
  TokenInput,
} from './engine-types.ts';
import { evaluationResult, kEvaluationBatch } from './evaluation.ts';
import type { HostWorker } from './host-worker.ts';
import { loadOptions, loadTwice } from './load-options.ts';
import { StoredFault, portableSource } from './model-files.ts';
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
import { chooseBuild, type Choice, type Threading } from './runtime.ts';
import type { BatchEncoding, Tokenizer } from './tokenizer-types.ts';
import type { RawEncoding } from './wasm-modules.ts';
import { loadTokenizerWith } from './wasm-tokenizer.ts';
import type { Answer, Opened, ToWorker, WorkerMessage, WorkerRequest } from './worker.ts';

/** The engine's worker and the threads that it computes with. */
export interface Workers {
  readonly engine: HostWorker;
  /** Empty in Node, where the engine makes its own. */
  readonly threads: readonly HostWorker[];
}

/** Where an entry's scripts and WebAssembly come from. */
export interface Entry {
  readonly threading: Threading;
  /** Starts the workers of a build. Throws what the host throws where it refuses. */
  startWorkers(choice: Choice): Workers;
  compileTokenizer(): Promise<WebAssembly.Module>;
}

/** A request that waits or runs. */
interface Job {
  readonly request: WorkerRequest;
  readonly onProgress: ((event: ProgressEvent) => void) | undefined;
  settle(answer: Answer): void;
  fail(error: Error): void;
}

/** The worker, its queue, and its end. Every promise it has given settles, whatever happens to the worker. */
class Line {
  readonly #worker: HostWorker;
  readonly #threads: readonly HostWorker[];
  readonly #flag: Int32Array | undefined;
  readonly #waiting: Job[] = [];
  #running: Job | undefined;
  #ended: BertlensError | undefined;
  #ending: Promise<unknown> | undefined;

  constructor({ engine, threads }: Workers, flag: Int32Array | undefined) {
    this.#worker = engine;
    this.#threads = threads;
    this.#flag = flag;
    engine.onmessage = ({ data }) => {
      this.#receive(data as WorkerMessage);
    };
    for (const [thread, worker] of threads.entries()) {
      worker.onmessage = ({ data }) => {
        engine.postMessage({ thread, message: data } satisfies ToWorker);
      };
    }
    for (const worker of [engine, ...threads]) {
      worker.onerror = (event) => {
        const error = event.message
          ? new BertlensError('crashed', `the worker failed: ${event.message}; load again`)
          : new BertlensError(
              'io',
              "the worker's script could not be loaded: it is not on the server, or the content security policy has no worker-src for it",
            );
        void this.end(error);
      };
      worker.onmessageerror = () => {
        void this.end(new BertlensError('crashed', 'the worker sent a message that cannot be read'));
      };
    }
  }

  async load(
    request: WorkerRequest,
    signal: AbortSignal | undefined,
    onProgress: Job['onProgress'],
  ): Promise<unknown> {
    const onAbort = (): void => void this.end(abortError(signal!));
    signal?.addEventListener('abort', onAbort);
    try {
      return await new Promise((done, fail) => {
        this.check(signal);
        this.#enqueue(request, done, fail, onProgress);
      });
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Answers come in the order of the calls. */
  call(method: EngineMethod, args: readonly unknown[], signal: AbortSignal | undefined): Promise<unknown> {
    return new Promise((done, fail) => {
      this.check(signal);
      const onAbort = (): void => {
        const at = this.#waiting.indexOf(job);
        if (at >= 0) this.#waiting.splice(at, 1);
        else if (this.#flag) Atomics.store(this.#flag, 0, 1); // the core looks between layers
        job.fail(abortError(signal!));
      };
      const finished = (): void => signal?.removeEventListener('abort', onAbort);
      const job = this.#enqueue(
        { call: method, args },
        (value) => {
          finished();
          done(value);
        },
        (error) => {
          finished();
          fail(error);
        },
      );
      signal?.addEventListener('abort', onAbort);
    });
  }

  /** Throws where a call could not be made now. */
  check(signal: AbortSignal | undefined): void {
    throwIfAborted(signal);
    if (this.#ended) throw this.#ended;
  }

  #enqueue(
    request: WorkerRequest,
    done: (value: unknown) => void,
    fail: (error: Error) => void,
    onProgress?: Job['onProgress'],
  ): Job {
    const job: Job = {
      request,
      onProgress,
      settle: (answer) => {
        if (answer.ok) done(answer.value);
        else fail(new (answer.stored ? StoredFault : BertlensError)(answer.code, answer.message));
      },
      fail,
    };
    this.#waiting.push(job);
    this.#next();
    return job;
  }

  /** Sends the next request, if none runs. */
  #next(): void {
    if (this.#running) return;
    this.#running = this.#waiting.shift();
    // an idle worker does not keep a process from ending
    this.#worker.hold(this.#running !== undefined);
    if (!this.#running) return;
    if (this.#flag) Atomics.store(this.#flag, 0, 0);
    try {
      this.#worker.postMessage(this.#running.request satisfies ToWorker);
    } catch (cause) {
      this.#running.fail(
        new BertlensError('invalid_argument', `this cannot be sent to a worker: ${String(cause)}`, { cause }),
      );
      this.#running = undefined;
      this.#next();
    }
  }

  #receive(message: WorkerMessage): void {
    if (this.#ended) return;
    if ('thread' in message) {
      this.#threads[message.thread]?.postMessage(message.message);
      return;
    }
    const job = this.#running;
    if (!job) return;
    if ('progress' in message) {
      try {
        job.onProgress?.(message.progress);
      } catch (error) {
        job.fail(error as Error); // the caller's own
        void this.end(new BertlensError('aborted', 'onProgress threw an error'));
      }
      return;
    }
    this.#running = undefined;
    const { answer } = message;
    job.settle(answer);
    if (!answer.ok && (answer.code === 'crashed' || answer.code === 'out_of_memory')) {
      void this.end(new BertlensError(answer.code, answer.message));
    } else {
      this.#next();
    }
  }

  /** Ends the worker; all that waits or runs fails with `error`, and so does every later call. Settled when it has ended. */
  async end(error: BertlensError): Promise<void> {
    this.#ending ??= this.#end(error);
    await this.#ending;
  }

  async #end(error: BertlensError): Promise<void> {
    this.#ended = error;
    const loading = this.#running !== undefined && 'load' in this.#running.request;
    this.#running?.fail(error);
    for (const job of this.#waiting.splice(0)) job.fail(error);
    this.#running = undefined;
    const workers = [this.#worker, ...this.#threads];
    for (const worker of workers) worker.onmessage = worker.onerror = worker.onmessageerror = null;
    if (loading && error.code === 'aborted') await closeFiles(this.#worker);
    await Promise.all(workers.map((worker) => worker.end()));
  }
}

/** So long may a worker take to close its files, in milliseconds. */
const kClosingTime = 1000;

/** Lets a worker that loads close the files that it reads, where nobody else would. */
async function closeFiles(worker: HostWorker): Promise<void> {
  if (!worker.leavesFilesOpen) return;
  await new Promise<void>((done) => {
    const closed = (): void => {
      clearTimeout(timer);
      done();
    };
    const timer = setTimeout(closed, kClosingTime);
    worker.onerror = closed;
    worker.onmessage = ({ data }) => {
      if ('answer' in (data as WorkerMessage)) closed();
    };
    worker.postMessage({ stop: true } satisfies ToWorker);
  });
  worker.onmessage = worker.onerror = null;
}

/** Loads a checkpoint into a worker of this entry. */
export async function loadInWorker(
  entry: Entry,
  source: ModelSource,
  options: LoadOptions | undefined,
): Promise<Bert> {
  const { engine, build, threads, signal, onProgress } = loadOptions(options);
  const portable = portableSource(source, engine);
  const choice = chooseBuild(build, threads, entry.threading);
  const flag =
    typeof SharedArrayBuffer === 'undefined' ? undefined : new Int32Array(new SharedArrayBuffer(4));
  return await loadTwice(async (afresh) => {
    throwIfAborted(signal);
    const line = new Line(startWorkers(entry, choice), flag);
    try {
      const request = { load: { source: portable, options: { ...engine, afresh }, choice, flag } };
      const opening = line.load(request, signal, onProgress) as Promise<Opened>;
      const tokenizing = loadTokenizerWith(
        () => entry.compileTokenizer(),
        opening.then(({ tokenizerBytes }) => tokenizerBytes),
        signal && { signal },
      );
      const [{ runtime, info }, tokenizer] = await Promise.all([opening, tokenizing]);
      return new WorkerBert(line, tokenizer, { ...runtime, inWorker: true }, info);
    } catch (error) {
      await line.end(new BertlensError('internal', 'the load failed'));
      throw error;
    }
  });
}

function startWorkers(entry: Entry, choice: Choice): Workers {
  try {
    return entry.startWorkers(choice);
  } catch (cause) {
    // e.g. a script of another origin
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BertlensError('unsupported', `the worker cannot be started: ${reason}`, { cause });
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
    return (await this.#call('fillMask', [fillMaskRequest(text, options, this)], options)) as FillMaskResult;
  }

  async nextSentence(
    text: string,
    textPair: string,
    options?: NextSentenceOptions,
  ): Promise<NextSentenceResult> {
    const request = nextSentenceRequest(text, textPair, options);
    const [answer] = (await this.#call('nextSentence', [request], options)) as NextSentenceResult[];
    return answer!;
  }

  async evaluateNextSentence(
    pairs: readonly (LabelledPair | SentencePair)[],
    options?: EvaluateOptions,
  ): Promise<EvaluationResult> {
    const request = evaluationRequest(pairs, options);
    const answers: NextSentenceResult[] = [];
    // in parts, so that other calls get their turn and progress can be told
    for (let at = 0; at < request.pairs.length; at += kEvaluationBatch) {
      const part = { pairs: request.pairs.slice(at, at + kEvaluationBatch) };
      const answered = await this.#callTexts('nextSentence', part, 'pairs', request.pairs, options);
      answers.push(...(answered as NextSentenceResult[]));
      options?.onProgress?.(answers.length, request.pairs.length);
    }
    return await evaluationResult(request, answers, (args) =>
      this.#call('nextSentenceReport', args, options),
    );
  }

  encode(input: TextPair | TokenInput, options?: EncodeModelOptions): Promise<EncodeResult>;
  encode(
    inputs: readonly (TextPair | TokenInput)[] | BatchEncoding,
    options?: EncodeModelOptions,
  ): Promise<EncodeResult[]>;
  async encode(input: EncodeInput, options?: EncodeModelOptions): Promise<EncodeResult | EncodeResult[]> {
    const inputs = encodeInputs(input);
    const call = encodeCall(inputs ?? [input as TextPair | TokenInput], options, this.tokenizer, this.info);
    const results = encodeResults(
      call,
      (await this.#call('encode', [call.request], options)) as RawEncoding[],
    );
    return inputs ? results : results[0]!;
  }

  embed(text: string, options?: EmbedOptions): Promise<Float32Array>;
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Tensor>;
  async embed(input: string | readonly string[], options?: EmbedOptions): Promise<Float32Array | Tensor> {
    const request = embedRequest(typeof input === 'string' ? [input] : input, options);
    const vectors = embedRoom(request, this.info);
    for (const { at, part } of embedParts(request)) {
      const answered = await this.#callTexts('embed', part, 'texts', request.texts, options);
      vectors.data.set((answered as Tensor).data, at * this.info.config.hiddenSize);
    }
    return embedResult(input, vectors);
  }

  async score(text: TextPair, options?: ScoreOptions): Promise<ScoreResult> {
    return (await this.#call('score', [scoreRequest(text, options)], options)) as ScoreResult;
  }

  async maskEffect(texts: readonly string[], options?: CallOptions): Promise<MaskEffectResult> {
    const request = maskEffectRequest(texts, options);
    return (await this.#callTexts('maskEffect', request, 'texts', request, options)) as MaskEffectResult;
  }

  async maskEffectCurve(text: string, paddings: readonly number[], options?: CallOptions): Promise<number[]> {
    const args = maskEffectCurveRequest(text, paddings, options);
    return (await this.#call('maskEffectCurve', args, options)) as number[];
  }

  async inspect(options?: CallOptions): Promise<ModelInfo> {
    callOptions('inspect', options, []);
    this.#line.check(options?.signal);
    return await Promise.resolve(this.info);
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

  /** A call about several texts, whose error says which of them it is about. */
  async #callTexts(
    method: EngineMethod,
    request: object,
    name: string,
    texts: readonly PlainText[],
    options: CallOptions | undefined,
  ): Promise<unknown> {
    try {
      return await this.#call(method, [request], options);
    } catch (error) {
      throw ofText(error, name, texts, this);
    }
  }

  async #call(
    method: EngineMethod,
    args: readonly unknown[],
    options: CallOptions | undefined,
  ): Promise<unknown> {
    return await this.#line.call(method, args, options?.signal);
  }
}
