// One checkpoint in one WebAssembly module, in the thread that calls it: loading from a stream, and the calls.
import { BertlensError, abortError, throwIfAborted, type BertlensErrorCode } from './errors.ts';
import type {
  LoadOptions,
  ModelInfo,
  ModelSource,
  Precision,
  ProgressEvent,
  Runtime,
} from './engine-types.ts';
import { allBytes, openFolder, type ByteStream, type ModelFolder } from './model-files.ts';
import { compileWasm } from './resources.ts';
import type { Choice } from './runtime.ts';
import { Sha256 } from './sha256.ts';
import type { CreateEngineModule, EngineHandle, EngineModule, ThreadWorker } from './wasm-modules.ts';

/** A build: its WebAssembly file, its JavaScript, and how its threads are made. */
export interface EngineBuild {
  readonly wasm: URL;
  readonly create: CreateEngineModule;
  readonly ThreadWorker?: ThreadWorker;
}

/** What the engine reads of the load options; all of it can be sent to a worker. */
export type EngineOptions = Pick<
  LoadOptions,
  'precision' | 'cache' | 'integrity' | 'revision' | 'files' | 'statistics'
>;

/** The methods that `call` runs: those of the handle that take plain values and give plain values. */
export type EngineMethod =
  | 'fillMask'
  | 'nextSentence'
  | 'nextSentenceReport'
  | 'score'
  | 'embed'
  | 'maskEffect'
  | 'maskEffectCurve'
  | 'encode'
  | 'memory';

/** The tokenizer's files of a loaded model, for a tokenizer on the caller's side. */
export interface TokenizerBytes {
  readonly vocabTxt?: Uint8Array;
  readonly tokenizerJson?: Uint8Array;
  readonly tokenizerConfigJson?: Uint8Array;
}

const kPrecisions = { f32: 0, f16: 1, int8: 2 } as const satisfies Record<Precision, number>;
const kNothing = new Uint8Array();

export class Engine {
  readonly info: ModelInfo;
  readonly runtime: Omit<Runtime, 'inWorker'>;
  readonly tokenizerBytes: TokenizerBytes;
  readonly #handle: EngineHandle;
  #crashed: BertlensError | undefined;

  private constructor(handle: EngineHandle, choice: Choice, tokenizerBytes: TokenizerBytes) {
    this.#handle = handle;
    this.tokenizerBytes = tokenizerBytes;
    this.info = handle.info();
    this.runtime = {
      build: choice.build,
      threads: handle.threads(),
      precision: handle.precision() as Precision,
      kernels: handle.kernels(),
      reasons: choice.reasons,
    };
  }

  static async load(
    build: EngineBuild,
    choice: Choice,
    source: ModelSource,
    options: EngineOptions,
    signal: AbortSignal | undefined,
    onProgress: ((event: ProgressEvent) => void) | undefined,
  ): Promise<Engine> {
    const folder = openFolder(source, { ...options, ...(signal && { signal }) });
    const loading = instantiate(build, choice.threads);
    loading.catch(() => undefined); // reported where it is awaited, unless the files fail first
    const loader = new Loader(folder, options, signal, onProgress);
    const [config, tokenizer] = await Promise.all([loader.required('config.json'), loader.tokenizerFiles()]);
    const module = await loading;
    throwIfAborted(signal);
    try {
      const handle = new module.Engine();
      const opened = handle.open(
        config,
        tokenizer.vocabTxt ?? kNothing,
        tokenizer.tokenizerJson ?? kNothing,
        tokenizer.tokenizerConfigJson ?? kNothing,
        choice.threads,
      );
      if (!opened) throw handleError(handle);
      await loader.weights(module, handle);
      return new Engine(handle, choice, tokenizer);
    } catch (error) {
      throw error instanceof BertlensError ? error : crash(error);
    }
  }

  /** Polled between layers; true ends the running call with `aborted`. */
  setAborted(poll: (() => boolean) | undefined): void {
    this.#handle.setAborted(poll);
  }

  /** Runs one method. A trap gives the module up: every later call throws the same error. */
  call(method: EngineMethod, args: readonly unknown[]): unknown {
    if (this.#crashed) throw this.#crashed;
    let value: unknown;
    try {
      value = (this.#handle[method] as (...given: unknown[]) => unknown).apply(this.#handle, [...args]);
    } catch (error) {
      this.#crashed = crash(error);
      throw this.#crashed;
    }
    if (value === undefined) throw handleError(this.#handle);
    return value;
  }
}

async function instantiate(build: EngineBuild, threads: number): Promise<EngineModule> {
  const compiled = await compileWasm(build.wasm);
  return await new Promise<EngineModule>((done, fail) => {
    build
      .create({
        threads,
        ...(build.ThreadWorker && { ThreadWorker: build.ThreadWorker }),
        instantiateWasm(imports, loaded) {
          WebAssembly.instantiate(compiled, imports).then((instance) => {
            loaded(instance, compiled);
          }, fail);
          return {};
        },
      })
      .then(done, fail);
  }).catch((cause: unknown) => {
    throw crash(cause);
  });
}

function handleError(handle: EngineHandle): BertlensError {
  const { code, message } = handle.error();
  return new BertlensError(code as BertlensErrorCode, message);
}

/** What a trap, a failed allocation or a fault of the glue is called. */
function crash(cause: unknown): BertlensError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  if (cause instanceof RangeError) {
    return new BertlensError('out_of_memory', `the WebAssembly heap cannot grow: ${reason}`, { cause });
  }
  return new BertlensError('crashed', `the WebAssembly module failed: ${reason}; load again`, { cause });
}

/** Reads a model folder's files and feeds the weights to the module as they arrive. */
class Loader {
  readonly #folder: ModelFolder;
  readonly #options: EngineOptions;
  readonly #signal: AbortSignal | undefined;
  readonly #onProgress: ((event: ProgressEvent) => void) | undefined;

  constructor(
    folder: ModelFolder,
    options: EngineOptions,
    signal: AbortSignal | undefined,
    onProgress: ((event: ProgressEvent) => void) | undefined,
  ) {
    this.#folder = folder;
    this.#options = options;
    this.#signal = signal;
    this.#onProgress = onProgress;
  }

  /** A file's stream, watched: progress is told, an abort ends it, and its SHA-256 is checked where one is given. */
  async #open(file: string): Promise<ByteStream | undefined> {
    const stream = await this.#folder.open(file);
    return stream && { ...stream, chunks: this.#watched(file, stream) };
  }

  async *#watched(file: string, stream: ByteStream): AsyncGenerator<Uint8Array> {
    const expected = this.#options.integrity?.[file]?.toLowerCase();
    const hash = expected === undefined ? undefined : new Sha256();
    let loaded = 0;
    for await (const chunk of stream.chunks) {
      if (this.#signal?.aborted) throw abortError(this.#signal);
      hash?.update(chunk);
      loaded += chunk.length;
      yield chunk;
      this.#onProgress?.({ phase: 'load', file, loaded, total: stream.size, source: stream.source });
    }
    const found = hash?.finish();
    if (found !== expected) {
      throw new BertlensError('io', `${file} has SHA-256 ${found ?? ''}, expected is ${expected ?? ''}`);
    }
  }

  async #optional(file: string): Promise<Uint8Array | undefined> {
    const stream = await this.#open(file);
    return stream && (await allBytes(stream));
  }

  async required(file: string): Promise<Uint8Array> {
    const bytes = await this.#optional(file);
    if (bytes) return bytes;
    throw new BertlensError('not_found', `there is no ${file} in ${this.#folder.name}`);
  }

  async tokenizerFiles(): Promise<TokenizerBytes> {
    const [tokenizerJson, tokenizerConfigJson] = await Promise.all([
      this.#optional('tokenizer.json'),
      this.#optional('tokenizer_config.json'),
    ]);
    const config = tokenizerConfigJson ? { tokenizerConfigJson } : {};
    if (tokenizerJson) return { tokenizerJson, ...config };
    const vocabTxt = await this.#optional('vocab.txt');
    if (vocabTxt) return { vocabTxt, ...config };
    throw new BertlensError('not_found', `no tokenizer.json and no vocab.txt in ${this.#folder.name}`);
  }

  /** Streams model.safetensors, or its shards in order, into the module. */
  async weights(module: EngineModule, handle: EngineHandle): Promise<void> {
    const checked = <Value>(value: Value | undefined | false): Value => {
      if (value === undefined || value === false) throw handleError(handle);
      return value;
    };
    const single = await this.#open('model.safetensors');
    const index = single ? undefined : await this.#optional('model.safetensors.index.json');
    if (!single && !index) throw await this.#noWeights();
    const names = index ? checked(handle.shardFiles(index)) : ['model.safetensors'];
    const files: AsyncIterator<Uint8Array>[] = [];
    const rests: Uint8Array[] = [];
    for (const name of names) {
      const stream = single ?? (await this.#open(name));
      if (!stream) throw new BertlensError('not_found', `there is no ${name} in ${this.#folder.name}`);
      const chunks = stream.chunks[Symbol.asyncIterator]();
      const { header, rest } = await readHeader(name, chunks, (prefix) => {
        const size = handle.headerSize(prefix);
        if (size === 0) throw handleError(handle);
        return size;
      });
      checked(handle.addHeader(header, stream.size ?? -1));
      files.push(chunks);
      rests.push(rest);
    }
    const { precision, statistics } = this.#options;
    checked(handle.begin(index ?? kNothing, precision ? kPrecisions[precision] : -1, statistics ?? false));
    for (const [i, chunks] of files.entries()) {
      feed(module, handle, names[i]!, rests[i]!);
      for (;;) {
        const next = await chunks.next();
        if (next.done === true) break;
        feed(module, handle, names[i]!, next.value);
      }
    }
    checked(handle.finish());
  }

  async #noWeights(): Promise<BertlensError> {
    const old = await this.#folder.open('pytorch_model.bin');
    if (!old) return new BertlensError('not_found', `there is no model.safetensors in ${this.#folder.name}`);
    await old.chunks[Symbol.asyncIterator]().return?.();
    return new BertlensError(
      'unsupported',
      `${this.#folder.name} has only pytorch_model.bin; convert it to model.safetensors first (save_pretrained with safe_serialization=True)`,
    );
  }
}

/** The header of a safetensors file, and what of its data came with it. */
async function readHeader(
  name: string,
  chunks: AsyncIterator<Uint8Array>,
  sizeFrom: (prefix: Uint8Array) => number,
): Promise<{ header: Uint8Array; rest: Uint8Array }> {
  let bytes: Uint8Array = kNothing;
  let size: number | undefined;
  while (size === undefined || bytes.length < size) {
    const next = await chunks.next();
    if (next.done === true) {
      throw new BertlensError('invalid_model', `${name} ends after ${bytes.length} bytes, within its header`);
    }
    const longer = new Uint8Array(bytes.length + next.value.length);
    longer.set(bytes);
    longer.set(next.value, bytes.length);
    bytes = longer;
    if (size === undefined && bytes.length >= 8) size = sizeFrom(bytes.subarray(0, 8));
  }
  return { header: bytes.slice(0, size), rest: bytes.subarray(size) };
}

/** Copies bytes to where the module wants them; it packs each part of the model that they complete. */
function feed(module: EngineModule, handle: EngineHandle, name: string, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    const room = handle.room();
    const size = handle.roomSize();
    if (room === 0) {
      if (size > 0) throw handleError(handle);
      throw new BertlensError('invalid_model', `${name} is longer than its header says`);
    }
    const part = bytes.subarray(at, at + size);
    new Uint8Array(module.wasmMemory.buffer, room, part.length).set(part);
    if (!handle.commit(part.length)) throw handleError(handle);
    at += part.length;
  }
}
