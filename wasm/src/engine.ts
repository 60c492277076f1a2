// One checkpoint in one WebAssembly module, in the thread that calls it: loading from a stream, and the calls.
import { BertlensError, coreError, crashError, throwIfAborted, unlessAborted } from './errors.ts';
import type {
  LoadOptions,
  ModelInfo,
  ModelSource,
  Precision,
  ProgressEvent,
  Runtime,
} from './engine-types.ts';
import {
  StoredFault,
  allBytes,
  openFolder,
  type ByteStream,
  type FolderOptions,
  type ModelFolder,
} from './model-files.ts';
import { shown } from './options.ts';
import type { Choice } from './runtime.ts';
import type {
  CreateEngineModule,
  EmscriptenOptions,
  EngineHandle,
  EngineModule,
  ThreadWorker,
} from './wasm-modules.ts';

/** A build: its WebAssembly, its JavaScript, and how its threads are made. */
export interface EngineBuild {
  readonly compile: (signal: AbortSignal) => Promise<WebAssembly.Module>;
  readonly create: CreateEngineModule;
  readonly ThreadWorker?: ThreadWorker;
}

/** What the engine reads of the load options; all of it can be sent to a worker. */
export type EngineOptions = FolderOptions & Pick<LoadOptions, 'precision' | 'statistics'>;

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
/** Those that a model may have beside its weights. */
const kSmallFiles = [
  'config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.txt',
  'model.safetensors.index.json',
];

export class Engine {
  readonly info: ModelInfo;
  readonly runtime: Omit<Runtime, 'inWorker'>;
  readonly tokenizerBytes: TokenizerBytes;
  readonly #handle: EngineHandle;
  #crashed: BertlensError | undefined;

  private constructor(
    handle: EngineHandle,
    choice: Choice,
    tokenizerBytes: TokenizerBytes,
    storageFault: string | undefined,
  ) {
    this.#handle = handle;
    this.tokenizerBytes = tokenizerBytes;
    this.info = handle.info();
    this.runtime = {
      build: choice.build,
      threads: handle.threads(),
      precision: handle.precision() as Precision,
      kernels: handle.kernels(),
      reasons: [
        ...choice.reasons,
        ...(storageFault === undefined ? [] : [`storage: downloads are not kept: ${storageFault}`]),
      ],
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
    // ends all reading, when the caller or a failure ends the load
    const reading = new AbortController();
    const onAbort = (): void => {
      reading.abort(signal?.reason);
    };
    throwIfAborted(signal);
    const folder = openFolder(source, options, reading.signal);
    const loader = new Loader(folder, options, reading.signal, onProgress);
    signal?.addEventListener('abort', onAbort);
    let early: Promise<unknown>[] = [];
    try {
      const compiling = build.compile(reading.signal);
      const loading = instantiate(build, compiling, choice.threads);
      const weights = loader.firstWeights(); // on its way while the small files are read
      const configuring = loader.required('config.json');
      const tokenizing = loader.tokenizerFiles();
      early = [compiling, configuring, tokenizing];
      // reported where they are awaited: of several that are not there it is always the same
      for (const one of [loading, weights, ...early]) one.catch(() => undefined);
      const config = await configuring;
      const tokenizer = await tokenizing;
      const module = await unlessAborted(loading, signal);
      const handle = new module.Engine();
      const opened = handle.open(
        config,
        tokenizer.vocabTxt ?? kNothing,
        tokenizer.tokenizerJson ?? kNothing,
        tokenizer.tokenizerConfigJson ?? kNothing,
        choice.threads,
      );
      if (!opened) throw handleError(handle);
      await loader.weights(module, handle, await weights);
      return new Engine(handle, choice, tokenizer, folder.storageFault);
    } catch (error) {
      reading.abort();
      await Promise.allSettled(early); // what is still being read is closed before a worker is ended
      if (loader.callerFault) throw loader.callerFault.error;
      if (!(error instanceof BertlensError)) throw crashError(error);
      if (!loader.tookStored || error.code !== 'invalid_model') throw error;
      throw new StoredFault(error.code, error.message, { cause: error });
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Polled between layers; true ends the running call with `aborted`. */
  setAborted(poll: (() => boolean) | undefined): void {
    this.#guard(() => {
      this.#handle.setAborted(poll);
    });
  }

  /** Runs one method. */
  call(method: EngineMethod, args: readonly unknown[]): unknown {
    const value = this.#guard(() => (this.#handle[method] as (...given: unknown[]) => unknown)(...args));
    if (value === undefined) throw this.#guard(() => handleError(this.#handle));
    return value;
  }

  /** A trap gives the module up: every later use of it throws the same error. */
  #guard<Value>(use: () => Value): Value {
    if (this.#crashed) throw this.#crashed;
    try {
      return use();
    } catch (error) {
      this.#crashed = crashError(error);
      throw this.#crashed;
    }
  }
}

/** A new instance of a build's module. Its `create` alone would never settle where the instance cannot be made. */
async function instantiate(
  build: EngineBuild,
  compiling: Promise<WebAssembly.Module>,
  threads: number,
): Promise<EngineModule> {
  const compiled = await compiling;
  try {
    return await new Promise<EngineModule>((done, fail) => {
      const instantiateWasm: EmscriptenOptions['instantiateWasm'] = (imports, loaded) => {
        WebAssembly.instantiate(compiled, imports).then((instance) => {
          loaded(instance, compiled);
        }, fail);
        return {};
      };
      const { ThreadWorker } = build;
      build.create({ threads, ...(ThreadWorker && { ThreadWorker }), instantiateWasm }).then(done, fail);
    });
  } catch (cause) {
    throw crashError(cause);
  }
}

/** Why the last call failed; `file` is whose header it was about. */
function handleError(handle: EngineHandle, file?: string): BertlensError {
  const { code, message } = handle.error();
  const named = file === undefined ? message : message.replace(/^safetensors: /, `${file}: `);
  return coreError({ code, message: named });
}

/** At most so often is progress told, in milliseconds; each file's end always is. */
const kProgressInterval = 50;

/** A file's stream whose progress is told. */
interface Watched extends Omit<ByteStream, 'size' | 'chunks'> {
  /** Set again once it is known better than the server told. */
  size: number | undefined;
  readonly chunks: AsyncGenerator<Uint8Array>;
}

/** Reads a model folder's files and feeds the weights to the module as they arrive. */
class Loader {
  /** What `onProgress` threw, which is no fault of ours. */
  callerFault: { readonly error: unknown } | undefined;
  /** Whether a file came out of the browser's storage. */
  tookStored = false;
  readonly #folder: ModelFolder;
  readonly #options: EngineOptions;
  readonly #signal: AbortSignal;
  readonly #onProgress: ((event: ProgressEvent) => void) | undefined;

  constructor(
    folder: ModelFolder,
    options: EngineOptions,
    signal: AbortSignal,
    onProgress: ((event: ProgressEvent) => void) | undefined,
  ) {
    this.#folder = folder;
    this.#options = options;
    this.#signal = signal;
    this.#onProgress = onProgress;
  }

  async #open(file: string, phase: ProgressEvent['phase']): Promise<Watched | undefined> {
    const stream = await this.#folder.open(file);
    if (!stream) {
      if (this.#options.integrity?.[file] === undefined) return undefined;
      // what would be read in its place has no sum
      throw new BertlensError(
        'not_found',
        `there is no ${file} in ${this.#folder.name}, and integrity names it`,
      );
    }
    this.tookStored ||= stream.source === 'cache';
    const size = { size: stream.size };
    return Object.assign(size, { source: stream.source, chunks: this.#told(file, phase, stream, size) });
  }

  async *#told(
    file: string,
    phase: ProgressEvent['phase'],
    { source, chunks }: ByteStream,
    watched: Pick<Watched, 'size'>,
  ): AsyncGenerator<Uint8Array> {
    let loaded = 0;
    let last = -Infinity;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const tell = (total: number | undefined): void => {
      last = performance.now();
      try {
        this.#onProgress?.({ phase, file, loaded, total, source });
      } catch (error) {
        this.callerFault = { error };
        throw error;
      }
    };
    const tellOnTheWay = (): void => {
      // a length that was passed was that of an encoding
      tell(watched.size !== undefined && loaded <= watched.size ? watched.size : undefined);
    };
    // what came since the last event is told although nothing more may come
    const tellLater = (): void => {
      timer = undefined;
      try {
        tellOnTheWay();
      } catch {
        // the next chunk throws it
      }
    };
    try {
      for await (const chunk of chunks) {
        throwIfAborted(this.#signal);
        if (this.callerFault) throw this.callerFault.error;
        loaded += chunk.length;
        yield chunk;
        const wait = last + kProgressInterval - performance.now();
        if (wait > 0) {
          timer ??= setTimeout(tellLater, wait);
          continue;
        }
        clearTimeout(timer);
        timer = undefined;
        tellOnTheWay();
      }
    } finally {
      clearTimeout(timer);
    }
    tell(loaded);
  }

  async #optional(file: string): Promise<Uint8Array | undefined> {
    const stream = await this.#open(file, 'files');
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

  /** model.safetensors, or undefined where the weights are in shards. */
  async firstWeights(): Promise<Watched | undefined> {
    return await this.#open('model.safetensors', 'weights');
  }

  /** Streams `single`, or the shards in order, into the module. */
  async weights(module: EngineModule, handle: EngineHandle, single: Watched | undefined): Promise<void> {
    const checked = <Value>(value: Value | undefined | false): Value => {
      if (value === undefined || value === false) throw handleError(handle);
      return value;
    };
    const index = single ? undefined : await this.#optional('model.safetensors.index.json');
    if (!single && !index) throw await this.#noWeights();
    const names = index ? checked(handle.shardFiles(index)) : ['model.safetensors'];
    this.#checkIntegrityNames(names);
    const files: AsyncGenerator<Uint8Array>[] = [];
    try {
      const parts: { name: string; header: Uint8Array; rest: Uint8Array; size: number }[] = [];
      for (const name of names) {
        const stream = single ?? (await this.#open(name, 'weights'));
        if (!stream) throw new BertlensError('not_found', `there is no ${name} in ${this.#folder.name}`);
        files.push(stream.chunks);
        const { header, rest } = await readHeader(name, stream.chunks, (prefix) => {
          const size = handle.headerSize(prefix);
          if (size === 0) throw handleError(handle, name);
          return size;
        });
        // a server's word, also one that was stored, is no ground to refuse a file: it may be the length of an encoding
        const known = stream.source === 'file' ? stream.size! : -1;
        if (!handle.addHeader(header, known)) throw handleError(handle, name);
        stream.size = fileSize(header);
        parts.push({ name, header, rest, size: stream.size });
      }
      const { precision, statistics } = this.#options;
      checked(handle.begin(index ?? kNothing, precision ? kPrecisions[precision] : -1, statistics ?? false));
      for (const [i, chunks] of files.entries()) {
        const { name, header, rest, size } = parts[i]!;
        let read = header.length + rest.length;
        feed(module, handle, name, rest);
        for (;;) {
          const next = await chunks.next();
          if (next.done === true) break;
          read += next.value.length;
          feed(module, handle, name, next.value);
        }
        // the module would take the next shard's bytes for those that are missing
        if (read < size) {
          throw new BertlensError(
            'invalid_model',
            `${name} ends after ${read} bytes of the ${size} that its header says`,
          );
        }
      }
    } finally {
      // those not read to their end, after an error, let go of what they have open
      for (const chunks of files) await chunks.return(undefined).catch(() => undefined);
    }
    checked(handle.finish());
  }

  /** A sum whose name is that of no file would check nothing. */
  #checkIntegrityNames(weights: readonly string[]): void {
    const known = [...kSmallFiles, 'model.safetensors', ...weights];
    for (const name of Object.keys(this.#options.integrity ?? {})) {
      if (!known.includes(name)) {
        throw new BertlensError('invalid_argument', `integrity: the model has no file ${shown(name)}`);
      }
    }
  }

  async #noWeights(): Promise<BertlensError> {
    const { name } = this.#folder;
    for (const old of ['pytorch_model.bin', 'pytorch_model.bin.index.json']) {
      if (!(await this.#folder.open(old))) continue;
      return new BertlensError(
        'unsupported',
        `${name} has its weights as ${old} only, a format that can run programs; convert it to model.safetensors first: in Python, BertForPreTraining.from_pretrained(folder).save_pretrained(folder)`,
      );
    }
    return new BertlensError('not_found', `there is no model.safetensors in ${name}`);
  }
}

/** The length of a safetensors file by its header, which the core has accepted. */
function fileSize(header: Uint8Array): number {
  const tensors = JSON.parse(new TextDecoder().decode(header.subarray(8))) as Record<
    string,
    { readonly data_offsets?: readonly [number, number] }
  >;
  const ends = Object.values(tensors).map(({ data_offsets: offsets }) => offsets?.[1] ?? 0);
  return header.length + Math.max(0, ...ends);
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
