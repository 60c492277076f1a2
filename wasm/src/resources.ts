// Bytes by address: fetched in a browser, read from disk in Node, Deno and Bun.
import { BertlensError, abortError, throwIfAborted, unlessAborted } from './errors.ts';
import { textArgument, type RequestOptions } from './options.ts';
import type { HeaderList, HubOptions } from './tokenizer-types.ts';

interface NodeFileSystem {
  readFile(path: string | URL, options?: { signal?: AbortSignal }): Promise<Uint8Array<ArrayBuffer>>;
}

/** Built-in modules without an import, so that bundlers for the browser have nothing to resolve. */
interface NodeProcess {
  readonly execArgv?: readonly string[];
  getBuiltinModule?(name: 'node:fs/promises'): NodeFileSystem;
  getBuiltinModule?(name: 'node:url'): { pathToFileURL(path: string): URL };
  getBuiltinModule?(name: 'node:worker_threads'): unknown;
  getBuiltinModule?(name: 'node:os'): { availableParallelism(): number };
}

/** `process` where there is a file system behind it, else undefined. */
export function nodeProcess(): Required<NodeProcess> | undefined {
  const found = (globalThis as { process?: NodeProcess }).process;
  return typeof found?.getBuiltinModule === 'function' ? (found as Required<NodeProcess>) : undefined;
}

/**
 * The address that a person's string means: an absolute address as it is, a relative one against the page; in Node a
 * path on disk.
 */
export function toAddress(source: string | URL): URL {
  if (source instanceof URL) return source;
  if (/^[a-z][a-z0-9+.-]+:/i.test(source)) return parseAddress(source);
  const node = nodeProcess();
  return node ? node.getBuiltinModule('node:url').pathToFileURL(source) : pageAddress(source);
}

/** A web address; a relative one is against the page, where there is one. */
export function pageAddress(source: string): URL {
  const { document, location } = globalThis as { document?: Document; location?: Location };
  return parseAddress(source, document?.baseURI ?? location?.href);
}

function parseAddress(source: string, base?: string): URL {
  try {
    return new URL(source, base);
  } catch (cause) {
    throw new BertlensError('invalid_argument', `${JSON.stringify(source)} is not an address`, { cause });
  }
}

/** The checked options of a hub, the endpoint made absolute. */
export function hubValues({ revision, endpoint }: Record<string, unknown>): HubOptions {
  return {
    ...(revision !== undefined && { revision: textArgument('revision', revision) }),
    ...(endpoint !== undefined && { endpoint: pageAddress(textArgument('endpoint', endpoint)).href }),
  };
}

/** The address of a Hugging Face name's folder; undefined for what is no such name ('owner/name'). */
export function hubAddress(name: string | URL, options: HubOptions): URL | undefined {
  if (typeof name !== 'string' || !/^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(name) || isFileName(name))
    return undefined;
  const { endpoint = 'https://huggingface.co', revision = 'main' } = options;
  return new URL(`${name}/resolve/${encodeURIComponent(revision)}/`, folderAddress(parseAddress(endpoint)));
}

/** One of a tokenizer's files in place of a folder. */
export function isFileName(name: string): boolean {
  return /\.(txt|json)$/i.test(name);
}

/** A folder's address, with the slash at its end that relative addresses need. */
export function folderAddress(folder: URL): URL {
  if (folder.pathname.endsWith('/')) return folder;
  const address = new URL(folder);
  address.pathname += '/';
  return address;
}

/** The address of a file in a folder; a query of the folder's (a signature, say) is each file's. */
export function fileAddress(file: string, folder: URL): URL {
  const address = new URL(encodeURIComponent(file), folder);
  address.search = folder.search;
  return address;
}

/** What an address is called in messages. */
export function addressName(url: URL): string {
  return url.protocol === 'file:' ? decodeURIComponent(url.pathname) : url.href;
}

/** Turns what `fetch` or a file system throws into our error. */
export function readError(url: URL, cause: unknown, signal: AbortSignal | undefined): BertlensError {
  if (cause instanceof BertlensError) return cause;
  if (signal?.aborted) return abortError(signal);
  const reason = cause instanceof Error ? cause.message : String(cause);
  // Node's fetch says no more than that it failed
  const { code, message } = Object((cause as Partial<Error>).cause) as { code?: string; message?: string };
  const why = code ?? message;
  const more = why ? ` (${why})` : '';
  return new BertlensError('io', `cannot read ${addressName(url)}: ${reason}${more}`, { cause });
}

/** Failures in a row before a request or a download is given up. */
export const kFailures = 5;
/** Milliseconds before the second try, doubled for each further one. */
const kFirstWait = 250;

/** Whether a moment later the answer may be another one. */
export function isPassing({ status }: Response): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/** What `fetch` takes of them; `more` are headers of one request alone. */
export function requestInit({ headers, signal }: RequestOptions, more?: HeaderList): RequestInit {
  return { headers: { ...headers, ...more }, ...(signal && { signal }) };
}

/** `fetch`, tried again while the server is busy. */
export async function request(url: URL, options: RequestOptions, more?: HeaderList): Promise<Response> {
  const { signal } = options;
  const init = requestInit(options, more);
  for (let failures = 1; ; failures++) {
    let response: Response;
    try {
      response = await fetch(url, init);
    } catch (cause) {
      throw readError(url, cause, signal);
    }
    if (failures === kFailures || !isPassing(response)) return response;
    await response.body?.cancel();
    await pause(failures, signal);
  }
}

/** Waits, the longer the more failures there were. */
export async function pause(failures: number, signal: AbortSignal | undefined): Promise<void> {
  const wait = kFirstWait * 2 ** (failures - 1);
  await unlessAborted(new Promise<void>((done) => setTimeout(done, wait)), signal);
}

/** Why an answer is none. */
export function httpError(url: URL, { status }: Response): BertlensError {
  // the hub answers so for names that it does not know, too
  const closed = (status === 401 || status === 403) && url.pathname.includes('/resolve/');
  return closed
    ? new BertlensError(
        'not_found',
        `${new URL('.', url).href} is not there, or not for everyone (HTTP status ${status})`,
      )
    : new BertlensError('io', `cannot read ${url.href}: HTTP status ${status}`);
}

/** All bytes at an address; undefined where nothing is there. */
export async function readBytes(
  url: URL,
  options: RequestOptions,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const { signal } = options;
  throwIfAborted(signal);
  try {
    if (url.protocol === 'file:') return await readLocal(url, signal);
    const response = await request(url, options);
    if (isMissing(response)) return undefined;
    if (!response.ok) throw httpError(url, response);
    return new Uint8Array(await response.arrayBuffer());
  } catch (cause) {
    throw readError(url, cause, signal);
  }
}

/** 404 and 410; also a page in place of a file, which hosts of single-page applications send with status 200. */
export function isMissing(response: Response): boolean {
  return (
    response.status === 404 ||
    response.status === 410 ||
    (response.ok && (response.headers.get('content-type') ?? '').startsWith('text/html'))
  );
}

export function notReadable(url: URL): BertlensError {
  return new BertlensError('unsupported', `${url.href} cannot be read from here: it is a local file`);
}

/** Whether a file system says that nothing is there. */
export function isNoSuchFile(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as { code?: string }).code ?? '');
}

async function readLocal(
  url: URL,
  signal: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const node = nodeProcess();
  if (!node) throw notReadable(url);
  try {
    return await node.getBuiltinModule('node:fs/promises').readFile(url, signal ? { signal } : {});
  } catch (error) {
    if (isNoSuchFile(error)) return undefined;
    throw error;
  }
}

/** Compiles a WebAssembly file of this package, while it streams in where the host allows it. `signal` ends the reading. */
export async function compileWasm(url: URL, signal?: AbortSignal): Promise<WebAssembly.Module> {
  try {
    if (url.protocol !== 'file:') {
      const response = await fetch(url, { signal: signal ?? null });
      if (isMissing(response)) throw new Error('the file is not there');
      if (!response.ok) throw new Error(`HTTP status ${response.status}`);
      // a host that does not know the type application/wasm is served by the slower way
      if (response.headers.get('content-type')?.startsWith('application/wasm')) {
        return await WebAssembly.compileStreaming(response);
      }
      return await WebAssembly.compile(await response.arrayBuffer());
    }
    const bytes = await readLocal(url, signal);
    if (!bytes) throw new Error('the file is not there');
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    throw cause instanceof WebAssembly.CompileError
      ? new BertlensError('unsupported', `cannot compile ${addressName(url)}: ${cause.message}`, { cause })
      : readError(url, cause, undefined);
  }
}
