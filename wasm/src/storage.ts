// Downloaded model files in the browser's Cache storage: kept whole or not at all; nothing where storage is refused.
import { BertlensError } from './errors.ts';
import type { StoredFile } from './engine-types.ts';

const kStore = 'bertlens-models-1';
const kStoredAt = 'x-bertlens-stored-at';

async function openStore(): Promise<Cache | undefined> {
  if (typeof caches === 'undefined') return undefined; // Node, or a page without a secure origin
  try {
    return await caches.open(kStore);
  } catch {
    return undefined; // storage is refused: files then live in memory alone
  }
}

export async function cachedResponse(url: URL): Promise<Response | undefined> {
  return await (await openStore())?.match(url);
}

/** Passes the chunks on and keeps them; a download that fails or is left off leaves nothing behind. */
export async function* keepResponse(
  url: URL,
  size: number | undefined,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const store = await openStore();
  if (!store) {
    yield* chunks;
    return;
  }
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array<ArrayBuffer>>();
  const writer = writable.getWriter();
  const headers = {
    'content-type': 'application/octet-stream',
    [kStoredAt]: new Date().toISOString(),
    ...(size !== undefined && { 'content-length': String(size) }),
  };
  const state = { refused: false };
  const kept = store.put(url, new Response(readable, { headers })).catch(() => {
    state.refused = true; // e.g. no space left: the model is loaded all the same
  });
  let complete = false;
  try {
    for await (const chunk of chunks) {
      // the write settles only as the store reads on; a store that gave up must not hold up the download
      if (!state.refused) await Promise.race([writer.write(chunk.slice()), kept]).catch(() => undefined);
      yield chunk;
    }
    complete = true;
  } finally {
    if (complete && !state.refused) {
      await writer.close().catch(() => undefined);
    } else {
      await writer.abort().catch(() => undefined);
    }
    await kept;
  }
}

/** Forgets one file, after it turned out not to be what it should. */
export async function forget(url: URL): Promise<void> {
  await (await openStore())?.delete(url);
}

/** The model files in this origin's storage. */
export async function listStored(): Promise<StoredFile[]> {
  const store = await openStore();
  const files: StoredFile[] = [];
  for (const request of (await store?.keys()) ?? []) {
    const response = await store?.match(request);
    if (!response) continue;
    const length = response.headers.get('content-length');
    files.push({
      url: request.url,
      size: length === null ? (await response.blob()).size : Number(length),
      storedAt: new Date(response.headers.get(kStoredAt) ?? 0),
    });
  }
  return files;
}

/** Deletes stored files: one address, those below a folder's address (it ends in '/'), or all. Gives their number. */
export async function deleteStored(url?: string | URL): Promise<number> {
  const store = await openStore();
  const wanted = url === undefined ? '' : new URL(url, globalThis.location.href).href;
  let deleted = 0;
  for (const request of (await store?.keys()) ?? []) {
    const fits =
      wanted === '' || request.url === wanted || (wanted.endsWith('/') && request.url.startsWith(wanted));
    if (fits && (await store?.delete(request))) deleted++;
  }
  return deleted;
}

/** What the browser says of this origin's storage, in bytes. */
export async function storageEstimate(): Promise<{ usage: number; quota: number }> {
  try {
    const { usage, quota } = await navigator.storage.estimate();
    return { usage: usage ?? 0, quota: quota ?? 0 };
  } catch (cause) {
    throw new BertlensError('unsupported', 'storage is not to be had here', { cause });
  }
}
