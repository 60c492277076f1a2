// Downloaded model files in the browser's Cache storage: kept whole or not at all, used while the server has the same.
import { contentLength, sameVersion, versionOf } from './download.ts';
import { BertlensError } from './errors.ts';
import type { StoredFile } from './engine-types.ts';
import { namedOptions, textArgument, type RequestOptions } from './options.ts';
import { hubAddress, hubValues, isPassing, nodeProcess, requestInit, toAddress } from './resources.ts';
import type { HubOptions } from './tokenizer-types.ts';

const kStore = 'bertlens-models-1';
const kStoredAt = 'x-bertlens-stored-at';
const kSha256 = 'x-bertlens-sha256';
/** Says that the server had no such file. */
const kMissing = 'x-bertlens-missing';

async function openStore(): Promise<Cache> {
  if (nodeProcess()) throw new BertlensError('unsupported', 'there is none outside a browser');
  if (typeof caches === 'undefined') {
    throw new BertlensError('unsupported', 'the page has no secure origin (https or localhost)');
  }
  return await caches.open(kStore);
}

/** The store where there is one: what is not there holds nothing. */
async function openIfThere(): Promise<Cache | undefined> {
  return await openStore().catch(() => undefined);
}

/** What one load keeps and finds. Where storage is refused the model lives in memory alone, and `fault` says why. */
export class ModelStore {
  fault: string | undefined;

  /** A stored file that may be used: it has the sum asked for, or the server still has the same, or cannot be asked. */
  async find(
    url: URL,
    sum: string | undefined,
    options: RequestOptions,
  ): Promise<{ size: number | undefined; body: ReadableStream<Uint8Array> } | undefined> {
    const response = await this.#match(url);
    if (!response?.body || response.headers.has(kMissing)) return undefined;
    const current =
      sum === undefined
        ? await isCurrent(url, response.headers, options)
        : response.headers.get(kSha256) === sum;
    return current ? { size: contentLength(response), body: response.body } : undefined;
  }

  /** Whether the server had no such file when it was last asked. */
  async isKnownMissing(url: URL): Promise<boolean> {
    return (await this.#match(url))?.headers.has(kMissing) ?? false;
  }

  async keepMissing(url: URL): Promise<void> {
    await this.#use((store) => store.put(url, new Response(null, { headers: { [kMissing]: 'yes' } })));
  }

  /**
   * Passes the chunks on and keeps them; a download that fails or is left off leaves nothing behind. `response` is the
   * server's, `sum` is the SHA-256 that the chunks are known to have when they end.
   */
  async *keep(
    url: URL,
    response: Response,
    sum: string | undefined,
    chunks: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array<ArrayBuffer>>();
    const writer = writable.getWriter();
    const { etag, lastModified } = versionOf(response.headers);
    const size = contentLength(response);
    const kept = {
      'content-type': 'application/octet-stream',
      [kStoredAt]: new Date().toISOString(),
      ...(etag !== undefined && { etag }),
      ...(lastModified !== undefined && { 'last-modified': lastModified }),
      ...(size !== undefined && { 'content-length': String(size) }),
      ...(sum !== undefined && { [kSha256]: sum }),
    };
    const state = { settled: false };
    const put = this.#use((store) => store.put(url, new Response(readable, { headers: kept }))).then(() => {
      state.settled = true; // finished, or refused, e.g. for want of space: the model is loaded all the same
    });
    let complete = false;
    try {
      for await (const chunk of chunks) {
        // the write settles only as the store reads on; a store that gave up must not hold up the download
        if (!state.settled) await Promise.race([writer.write(chunk.slice()), put]).catch(() => undefined);
        yield chunk;
      }
      complete = true;
    } finally {
      if (complete && !state.settled) {
        await writer.close().catch(() => undefined);
        await put;
      } else {
        // not waited for: in Firefox a store that is given a broken stream never says so
        writer.abort().catch(() => undefined);
      }
    }
  }

  async #match(url: URL): Promise<Response | undefined> {
    return await this.#use((store) => store.match(url));
  }

  /** Runs `work` on the store; what fails is told once and is no hindrance. */
  async #use<Value>(work: (store: Cache) => Promise<Value>): Promise<Value | undefined> {
    try {
      return await work(await openStore());
    } catch (error) {
      this.fault ??= error instanceof Error ? error.message : String(error);
      return undefined;
    }
  }
}

/** Milliseconds that a server has to say which version it has. */
const kAnswerTime = 5000;

/** A commit of the hub never changes. */
function isPinned(url: URL): boolean {
  return /\/resolve\/[0-9a-f]{40}\//.test(url.pathname);
}

/** Whether the server still has the same, or does not say in time what it has. */
async function isCurrent(url: URL, kept: Headers, options: RequestOptions): Promise<boolean> {
  if (isPinned(url) || !navigator.onLine) return true;
  const late = new Promise<undefined>((done) => setTimeout(done, kAnswerTime));
  const asked = fetch(url, { method: 'HEAD', ...requestInit(options) }).catch(() => undefined); // no network
  const response = await Promise.race([asked, late]);
  if (!response || isPassing(response)) return true;
  // what is gone, or is not sent to everyone, the request of the file itself tells
  return response.ok && sameVersion(versionOf(kept), versionOf(response.headers)) === true;
}

/** The model files in this origin's storage; none where storage is refused. */
export async function listStored(): Promise<StoredFile[]> {
  const store = await openIfThere();
  const files: StoredFile[] = [];
  for (const request of (await store?.keys()) ?? []) {
    const response = await store?.match(request);
    if (!response || response.headers.has(kMissing)) continue;
    files.push({
      url: request.url,
      size: contentLength(response) ?? (await response.blob()).size,
      storedAt: new Date(response.headers.get(kStoredAt) ?? 0),
    });
  }
  return files;
}

/**
 * Deletes stored files: those of a model (its folder's address or its Hugging Face name, as for `load`; without a
 * `revision` all of them), one file by its address, or all. Gives their number.
 */
export async function deleteStored(source?: string | URL, options?: HubOptions): Promise<number> {
  const given = namedOptions('deleteStored', options, ['revision', 'endpoint']);
  const isWanted = stored(source, hubValues(given));
  const store = await openIfThere();
  let deleted = 0;
  for (const request of (await store?.keys()) ?? []) {
    if (!isWanted(request.url)) continue;
    const counts = !(await store?.match(request))?.headers.has(kMissing);
    if ((await store?.delete(request)) && counts) deleted++;
  }
  return deleted;
}

/** Which addresses a source stands for. */
function stored(source: string | URL | undefined, options: HubOptions): (url: string) => boolean {
  if (source === undefined) return () => true;
  if (!(source instanceof URL)) textArgument('the source', source);
  const hub = hubAddress(source, options);
  const folder = hub && options.revision === undefined ? new URL('..', hub) : (hub ?? toAddress(source));
  const { href } = folder;
  return (url) => url === href || url.startsWith(href.endsWith('/') ? href : `${href}/`);
}

/** What the browser says of this origin's storage, in bytes. Errors: `unsupported`. */
export async function storageEstimate(): Promise<{ usage: number; quota: number }> {
  try {
    const { usage, quota } = await navigator.storage.estimate();
    return { usage: usage ?? 0, quota: quota ?? 0 };
  } catch (cause) {
    throw new BertlensError('unsupported', 'storage is not to be had here', { cause });
  }
}
