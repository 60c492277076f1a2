// Where a model's files come from: an address, the Hugging Face hub, chosen files, a directory handle, or bytes.
import { BertlensError, throwIfAborted } from './errors.ts';
import type { LoadOptions, ModelSource, ProgressEvent } from './engine-types.ts';
import { shown } from './options.ts';
import {
  addressName,
  folderAddress,
  isMissing,
  nodeProcess,
  readBytes,
  readError,
  toAddress,
} from './resources.ts';
import { cachedResponse, keepResponse } from './storage.ts';

const kHub = 'https://huggingface.co';
const kAttempts = 4;

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
  /** A file's stream, or undefined where there is none of that name. */
  open(file: string): Promise<ByteStream | undefined>;
}

export type FolderOptions = Pick<LoadOptions, 'cache' | 'revision' | 'files' | 'signal'>;

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
export function portableSource(source: ModelSource): ModelSource {
  if (typeof source === 'string') return isHubName(source) ? source : folderAddress(toAddress(source)).href;
  if (source instanceof URL) return folderAddress(source).href;
  if (isDirectoryHandle(source)) return source;
  const files = listedFiles(source);
  return files ? Object.fromEntries(files) : source;
}

export function openFolder(source: ModelSource, options: FolderOptions): ModelFolder {
  const folder = folderOf(source, options);
  const { files } = options;
  if (!files) return folder;
  return { name: folder.name, open: async (file) => (files.includes(file) ? folder.open(file) : undefined) };
}

function folderOf(source: ModelSource, options: FolderOptions): ModelFolder {
  if (typeof source === 'string' && isHubName(source)) {
    const revision = encodeURIComponent(options.revision ?? 'main');
    return new RemoteFolder(new URL(`${kHub}/${source}/resolve/${revision}/`), options);
  }
  if (typeof source === 'string' || source instanceof URL) {
    return new RemoteFolder(folderAddress(toAddress(source)), options);
  }
  if (typeof source !== 'object' || (source as unknown) === null) {
    throw new BertlensError('invalid_argument', `no model can be loaded from ${shown(source)}`);
  }
  if (isDirectoryHandle(source)) return new HandleFolder(source);
  const files = listedFiles(source) ?? Object.entries(source as Record<string, unknown>);
  return new FileFolder(new Map(files.map(([name, content]) => [name, blobOf(name, content)])));
}

/** owner/name, with nothing that makes it a path. */
function isHubName(source: string): boolean {
  return /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(source);
}

function isDirectoryHandle(source: object): source is FileSystemDirectoryHandle {
  return (source as { kind?: unknown }).kind === 'directory' && 'getFileHandle' in source;
}

/** Names and files of a FileList or another collection of files. */
function listedFiles(source: object): [string, File][] | undefined {
  const iterable = Symbol.iterator in source;
  if (!iterable && !('length' in source)) return undefined;
  return Array.from(source as ArrayLike<File>, (file) => [file.name, file]);
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

async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

class FileFolder implements ModelFolder {
  readonly name = 'the files given';
  readonly #files: ReadonlyMap<string, Blob>;
  constructor(files: ReadonlyMap<string, Blob>) {
    this.#files = files;
  }
  open(file: string): Promise<ByteStream | undefined> {
    const blob = this.#files.get(file);
    return Promise.resolve(blob && { size: blob.size, source: 'file', chunks: chunksOf(blob.stream()) });
  }
}

class HandleFolder implements ModelFolder {
  readonly name: string;
  readonly #handle: FileSystemDirectoryHandle;
  constructor(handle: FileSystemDirectoryHandle) {
    this.#handle = handle;
    this.name = handle.name;
  }
  async open(name: string): Promise<ByteStream | undefined> {
    try {
      const file = await (await this.#handle.getFileHandle(name)).getFile();
      return { size: file.size, source: 'file', chunks: chunksOf(file.stream()) };
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotFoundError') return undefined;
      throw new BertlensError('io', `cannot read ${name}: ${String(error)}`, { cause: error });
    }
  }
}

/** A folder on a server, or on disk in Node. */
class RemoteFolder implements ModelFolder {
  readonly name: string;
  readonly #address: URL;
  readonly #options: FolderOptions;
  constructor(address: URL, options: FolderOptions) {
    this.#address = address;
    this.#options = options;
    this.name = addressName(address);
  }

  async open(file: string): Promise<ByteStream | undefined> {
    const url = new URL(file, this.#address);
    const { signal, cache } = this.#options;
    throwIfAborted(signal);
    if (url.protocol === 'file:') return await openLocal(url, signal);
    const kept = cache === false ? undefined : await cachedResponse(url);
    if (kept?.body) return { size: contentLength(kept), source: 'cache', chunks: chunksOf(kept.body) };
    let response: Response;
    try {
      response = await fetch(url, signal ? { signal } : {});
    } catch (cause) {
      throw readError(url, cause, signal);
    }
    if (isMissing(response)) return undefined;
    if (!response.ok || !response.body) {
      throw new BertlensError('io', `cannot read ${url.href}: HTTP status ${response.status}`);
    }
    const size = contentLength(response);
    const resumed = resuming(url, response, size, signal);
    return { size, source: 'network', chunks: cache === false ? resumed : keepResponse(url, size, resumed) };
  }
}

/** The length of the body as it will be read: a content encoding makes the header tell another one. */
function contentLength(response: Response): number | undefined {
  const encoded = response.headers.get('content-encoding');
  const length = response.headers.get('content-length');
  return length === null || (encoded !== null && encoded !== 'identity') ? undefined : Number(length);
}

/** A response's bytes; a broken connection is taken up again where it ended, where the server allows ranges. */
async function* resuming(
  url: URL,
  first: Response,
  size: number | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const validator = first.headers.get('etag') ?? first.headers.get('last-modified');
  const ranges = first.headers.get('accept-ranges') === 'bytes' && size !== undefined && validator !== null;
  let response = first;
  let done = 0;
  for (let attempt = 1; ; attempt++) {
    try {
      for await (const chunk of chunksOf(response.body!)) {
        done += chunk.length;
        yield chunk;
      }
      if (size === undefined || done === size) return;
      throw new Error(`it ended after ${done} of ${size} bytes`);
    } catch (cause) {
      if (signal?.aborted || !ranges || attempt === kAttempts) throw readError(url, cause, signal);
      await new Promise((wait) => setTimeout(wait, 250 * attempt));
      try {
        response = await fetch(url, {
          headers: { Range: `bytes=${done}-`, 'If-Range': validator },
          ...(signal && { signal }),
        });
      } catch (again) {
        throw readError(url, again, signal);
      }
      if (response.status !== 206) throw readError(url, cause, signal); // changed on the server, or no ranges after all
    }
  }
}

interface NodeFileHandle {
  stat(): Promise<{ size: number; isFile(): boolean }>;
  read(buffer: Uint8Array): Promise<{ bytesRead: number }>;
  close(): Promise<void>;
}

const kLocalChunk = 1 << 20;

async function openLocal(url: URL, signal: AbortSignal | undefined): Promise<ByteStream | undefined> {
  const node = nodeProcess();
  if (!node) {
    await readBytes(url, signal); // says why not
    return undefined;
  }
  const files = node.getBuiltinModule('node:fs/promises') as unknown as {
    open(path: URL): Promise<NodeFileHandle>;
  };
  let handle: NodeFileHandle;
  try {
    handle = await files.open(url);
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw readError(url, error, signal);
  }
  const { size } = await handle.stat();
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    const buffer = new Uint8Array(Math.min(kLocalChunk, Math.max(size, 1)));
    try {
      for (;;) {
        throwIfAborted(signal);
        const { bytesRead } = await handle.read(buffer);
        if (bytesRead === 0) return;
        yield buffer.slice(0, bytesRead);
      }
    } catch (error) {
      throw readError(url, error, signal);
    } finally {
      await handle.close();
    }
  };
  return { size, source: 'file', chunks: chunks() };
}
