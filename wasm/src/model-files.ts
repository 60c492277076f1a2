// Where a model's files come from: an address, the Hugging Face hub, chosen files, a directory handle, or bytes.
import { chunksOf, contentLength, download } from './download.ts';
import { BertlensError, throwIfAborted } from './errors.ts';
import type { DirectoryHandle, LoadOptions, ModelSource, ProgressEvent } from './engine-types.ts';
import { shown, type RequestOptions } from './options.ts';
import {
  addressName,
  fileAddress,
  folderAddress,
  httpError,
  hubAddress,
  isMissing,
  isNoSuchFile,
  nodeProcess,
  notReadable,
  readError,
  request,
  toAddress,
} from './resources.ts';
import { Sha256 } from './sha256.ts';
import { ModelStore } from './storage.ts';
import type { HubOptions } from './tokenizer-types.ts';

/** May be the fault of a stored file: a load that takes none may succeed. */
export class StoredFault extends BertlensError {
  static override readonly name = BertlensError.name;
}

/** A file's bytes as they arrive. */
export interface ByteStream {
  /** Undefined where the server does not tell. */
  readonly size: number | undefined;
  readonly source: ProgressEvent['source'];
  readonly chunks: AsyncIterable<Uint8Array>;
}

export interface ModelFolder {
  /** What messages call it. */
  readonly name: string;
  /** Why downloads are not kept; undefined where they are, or where there are none. */
  readonly storageFault: string | undefined;
  /** A file's stream, or undefined where there is none of that name. Its bytes are checked where a sum is given. */
  open(file: string): Promise<ByteStream | undefined>;
}

export type FolderOptions = HubOptions &
  Pick<LoadOptions, 'cache' | 'files' | 'integrity'> &
  Pick<RequestOptions, 'headers'> & {
    /** Ask the server for every file, whatever is stored. */
    readonly afresh?: boolean;
  };

/** All bytes of a stream in one array. */
export async function allBytes(stream: ByteStream): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream.chunks) {
    parts.push(chunk);
    length += chunk.length;
  }
  if (parts.length === 1) return parts[0]!;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * What of a source can be sent to a worker: addresses are made absolute (a worker's base is another one), files are
 * listed by name.
 */
export function portableSource(source: ModelSource, options: HubOptions): ModelSource {
  if (typeof source === 'string' || source instanceof URL) return addressOf(source, options).href;
  checkObject(source);
  if (isDirectoryHandle(source)) return source;
  const files = listedFiles(source);
  return files ? Object.fromEntries(files) : source;
}

/** Reads end with `aborted` when `signal` is. */
export function openFolder(source: ModelSource, options: FolderOptions, signal: AbortSignal): ModelFolder {
  const folder = folderOf(source, options, signal);
  const { files } = options;
  if (!files) return folder;
  const open = folder.open.bind(folder);
  folder.open = async (file) => (files.includes(file) ? await open(file) : undefined);
  return folder;
}

function folderOf(source: ModelSource, options: FolderOptions, signal: AbortSignal): ModelFolder {
  if (typeof source === 'string' || source instanceof URL) {
    const address = addressOf(source, options);
    if (address.protocol === 'file:') return new LocalFolder(address, options, signal);
    return new RemoteFolder(address, options, signal);
  }
  checkObject(source);
  if (isDirectoryHandle(source)) return new HandleFolder(source, options);
  const files = listedFiles(source) ?? Object.entries(source as Record<string, unknown>);
  return new FileFolder(new Map(files.map(([name, content]) => [name, blobOf(name, content)])), options);
}

function checkObject(source: unknown): void {
  if (typeof source === 'object' && source !== null) return;
  throw new BertlensError('invalid_argument', `no model can be loaded from ${shown(source)}`);
}

function addressOf(source: string | URL, options: HubOptions): URL {
  return hubAddress(source, options) ?? folderAddress(toAddress(source));
}

function isDirectoryHandle(source: object): source is DirectoryHandle {
  return (source as { kind?: unknown }).kind === 'directory' && 'getFileHandle' in source;
}

/**
 * Names and files of a FileList or another collection of files. Of a folder with folders in it, those that lie beside
 * the uppermost config.json: others may hold a config.json of something else.
 */
function listedFiles(source: object): [string, File][] | undefined {
  const iterable = Symbol.iterator in source;
  if (!iterable && !('length' in source)) return undefined;
  const files = Array.from(source as ArrayLike<unknown>, (file, i) => {
    if (file instanceof File) return file;
    throw new BertlensError('invalid_argument', `file ${i} must be a File, not ${shown(file)}`);
  });
  // Node's File has no such path
  const folder = ({ name, webkitRelativePath }: Partial<File>): string =>
    webkitRelativePath?.slice(0, -name!.length) ?? '';
  const [uppermost] = files
    .filter(({ name }) => name === 'config.json')
    .sort((a, b) => folder(a).split('/').length - folder(b).split('/').length);
  return files
    .filter((file) => !uppermost || folder(file) === folder(uppermost))
    .map((file) => [file.name, file]);
}

function blobOf(name: string, content: unknown): Blob {
  if (content instanceof Blob) return content;
  if (content instanceof ArrayBuffer || content instanceof Uint8Array) {
    return new Blob([content as Uint8Array<ArrayBuffer>]);
  }
  throw new BertlensError(
    'invalid_argument',
    `${name} must be bytes, a Blob or a File, not ${shown(content)}`,
  );
}

/** Passes chunks on and throws at the end where their SHA-256 is not the one given for `file`. */
async function* verified(
  file: string,
  { integrity }: FolderOptions,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const expected = integrity?.[file];
  const hash = expected === undefined ? undefined : new Sha256();
  for await (const chunk of chunks) {
    hash?.update(chunk);
    yield chunk;
  }
  const found = hash?.finish();
  if (found !== expected) {
    throw new BertlensError('io', `${file} has SHA-256 ${found ?? ''}, expected is ${expected ?? ''}`);
  }
}

class FileFolder implements ModelFolder {
  readonly name = 'the files given';
  readonly storageFault = undefined;
  readonly #files: ReadonlyMap<string, Blob>;
  readonly #options: FolderOptions;
  constructor(files: ReadonlyMap<string, Blob>, options: FolderOptions) {
    this.#files = files;
    this.#options = options;
  }
  open(file: string): Promise<ByteStream | undefined> {
    const blob = this.#files.get(file);
    return Promise.resolve(blob && blobStream(file, blob, this.#options));
  }
}

class HandleFolder implements ModelFolder {
  readonly name: string;
  readonly storageFault = undefined;
  readonly #handle: DirectoryHandle;
  readonly #options: FolderOptions;
  constructor(handle: DirectoryHandle, options: FolderOptions) {
    this.#handle = handle;
    this.name = handle.name;
    this.#options = options;
  }
  async open(name: string): Promise<ByteStream | undefined> {
    try {
      return blobStream(name, await (await this.#handle.getFileHandle(name)).getFile(), this.#options);
    } catch (error) {
      const { name: kind } = error as { name?: unknown };
      if (kind === 'NotFoundError' || kind === 'TypeMismatchError') return undefined;
      throw new BertlensError('io', `cannot read ${name}: ${String(error)}`, { cause: error });
    }
  }
}

function blobStream(file: string, blob: Blob, options: FolderOptions): ByteStream {
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* chunksOf(blob.stream());
    } catch (error) {
      throw new BertlensError('io', `cannot read ${file}: ${String(error)}`, { cause: error });
    }
  };
  return { size: blob.size, source: 'file', chunks: verified(file, options, chunks()) };
}

/** A folder on a server. Files are kept in the browser's storage, and taken from there while they are the same. */
class RemoteFolder implements ModelFolder {
  readonly name: string;
  readonly #address: URL;
  readonly #options: FolderOptions;
  readonly #asking: RequestOptions;
  readonly #store: ModelStore | undefined;
  constructor(address: URL, options: FolderOptions, signal: AbortSignal) {
    this.#address = address;
    this.#options = options;
    this.#asking = { headers: options.headers, signal };
    this.#store = options.cache === false ? undefined : new ModelStore();
    this.name = addressName(address);
  }

  get storageFault(): string | undefined {
    return this.#store?.fault;
  }

  async open(file: string): Promise<ByteStream | undefined> {
    const url = fileAddress(file, this.#address);
    throwIfAborted(this.#asking.signal);
    const sum = this.#options.integrity?.[file];
    const stored = this.#options.afresh ? undefined : await this.#store?.find(url, sum, this.#asking);
    if (stored) {
      const chunks = verified(file, this.#options, chunksOf(stored.body));
      return { size: stored.size, source: 'cache', chunks: ofStorage(file, chunks) };
    }
    let response: Response;
    try {
      response = await request(url, this.#asking);
    } catch (error) {
      // without a network, what the server said last
      if (await this.#store?.isKnownMissing(url)) return undefined;
      throw error;
    }
    if (isMissing(response)) {
      await response.body?.cancel();
      await this.#store?.keepMissing(url);
      return undefined;
    }
    if (!response.ok || !response.body) throw httpError(url, response);
    const chunks = verified(file, this.#options, download(url, response, sum !== undefined, this.#asking));
    return {
      size: contentLength(response),
      source: 'network',
      chunks: this.#store ? this.#store.keep(url, response, sum, chunks) : chunks,
    };
  }
}

/** Passes chunks on; what goes wrong with them is the fault of what is stored. */
async function* ofStorage(file: string, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StoredFault('io', `cannot use ${file} as it is stored: ${reason}`, { cause });
  }
}

interface NodeFileHandle {
  read(buffer: Uint8Array): Promise<{ bytesRead: number }>;
  close(): Promise<void>;
}

interface NodeFiles {
  stat(path: URL): Promise<{ size: number; isFile(): boolean }>;
  open(path: URL): Promise<NodeFileHandle>;
}

const kLocalChunk = 1 << 20;

/** A folder on disk, in Node, Deno and Bun. */
class LocalFolder implements ModelFolder {
  readonly name: string;
  readonly storageFault = undefined;
  readonly #address: URL;
  readonly #options: FolderOptions;
  readonly #signal: AbortSignal;
  constructor(address: URL, options: FolderOptions, signal: AbortSignal) {
    this.#address = address;
    this.#options = options;
    this.#signal = signal;
    this.name = addressName(address);
  }

  async open(file: string): Promise<ByteStream | undefined> {
    const url = fileAddress(file, this.#address);
    const node = nodeProcess();
    if (!node) throw notReadable(url);
    const files = node.getBuiltinModule('node:fs/promises') as unknown as NodeFiles;
    const signal = this.#signal;
    let size: number;
    try {
      throwIfAborted(signal);
      const found = await files.stat(url);
      if (!found.isFile()) return undefined;
      ({ size } = found);
    } catch (error) {
      if (isNoSuchFile(error)) return undefined;
      throw readError(url, error, signal);
    }
    // opened with the first read: a stream that no one reads leaves nothing open
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      let handle: NodeFileHandle | undefined;
      try {
        handle = await files.open(url);
        const buffer = new Uint8Array(Math.min(kLocalChunk, Math.max(size, 1)));
        for (;;) {
          throwIfAborted(signal);
          const { bytesRead } = await handle.read(buffer);
          if (bytesRead === 0) return;
          yield buffer.slice(0, bytesRead);
        }
      } catch (error) {
        throw readError(url, error, signal);
      } finally {
        await handle?.close();
      }
    };
    return { size, source: 'file', chunks: verified(file, this.#options, chunks()) };
  }
}
