// A file over HTTP as a stream: broken connections are taken up again, and what arrives is of one version of the file.
import { BertlensError } from './errors.ts';
import type { RequestOptions } from './options.ts';
import { kFailures, pause, readError, request } from './resources.ts';
import type { HeaderList } from './tokenizer-types.ts';

/** So many bytes between two failures, and they are not in a row. */
const kWorthwhile = 1 << 16;

/** What tells versions of a file apart; empty where the server says nothing. */
export interface Version {
  readonly etag?: string;
  readonly lastModified?: string;
}

export function versionOf(headers: Headers): Version {
  const etag = headers.get('etag');
  const lastModified = headers.get('last-modified');
  return { ...(etag !== null && { etag }), ...(lastModified !== null && { lastModified }) };
}

/** Whether two answers are of one version: true, false, or undefined where it cannot be told. */
export function sameVersion(one: Version, other: Version): boolean | undefined {
  // weak comparison: compressing on the way turns a strong validator into a weak one
  const strong = (etag: string): string => etag.replace(/^W\//, '');
  if (one.etag !== undefined && other.etag !== undefined) return strong(one.etag) === strong(other.etag);
  if (one.lastModified !== undefined && other.lastModified !== undefined) {
    return one.lastModified === other.lastModified;
  }
  return undefined;
}

/**
 * The length of the body as it will be read, where that is known: with a content encoding the header tells another one,
 * and another origin may hide that there is one.
 */
export function contentLength({ type, headers }: Response): number | undefined {
  return type === 'cors' && !headers.has('content-encoding') ? undefined : toldLength(headers);
}

function toldLength(headers: Headers): number | undefined {
  const length = headers.get('content-length');
  return length === null || isEncoded(headers) ? undefined : Number(length);
}

function isEncoded(headers: Headers): boolean {
  return (headers.get('content-encoding') ?? 'identity') !== 'identity';
}

/** The bytes of a stream. Leaving off early cancels it. */
export async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
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

/**
 * The bytes of the file at `url`, whose first answer is `first`. `trusted` says that a check of the whole file follows,
 * so that the server need not say which version it continues.
 */
export async function* download(
  url: URL,
  first: Response,
  trusted: boolean,
  options: RequestOptions,
): AsyncGenerator<Uint8Array> {
  const { signal } = options;
  let { headers } = first;
  const sameOrigin = first.type !== 'cors';
  let response: Response | undefined = first;
  let seen = 0; // bytes of this answer that an earlier one had, still to come
  let done = 0;
  let failures = 0;
  let ended = -1; // where an answer ended short of its length, though nothing broke
  for (let mark = 0; ;) {
    let reason: unknown;
    try {
      if (!response) {
        response = await request(url, options, ended === done ? {} : rangeFrom(done, headers, sameOrigin));
        if (done === 0 && response.ok) ({ headers } = response);
        seen = startOf(response, done, versionOf(headers), trusted);
      }
      for await (const chunk of chunksOf(response.body!)) {
        const known = Math.min(seen, chunk.length);
        seen -= known;
        if (known === chunk.length) continue;
        done += chunk.length - known;
        yield chunk.subarray(known);
      }
      const size = toldLength(headers);
      // more than the length: that was the length of an encoding that cross-origin headers do not show
      if (size === undefined || done >= size) return;
      // less may be that too, as of a short file: it is if another whole answer ends there
      const asked = trusted || Object.keys(versionOf(headers)).length > 0;
      if (!sameOrigin && (ended === done || !asked)) return;
      ended = done;
      reason = new Error('the connection was closed');
    } catch (cause) {
      if (signal?.aborted || cause instanceof Final) throw readError(url, cause, signal);
      reason = cause;
    }
    response = undefined;
    failures = done - mark >= kWorthwhile ? 1 : failures + 1;
    mark = done;
    if (failures === kFailures) {
      const size = toldLength(headers);
      const what = reason instanceof Error ? reason.message : String(reason);
      throw new BertlensError(
        'io',
        `cannot read ${url.href}: it broke off after ${done}${size === undefined ? '' : ` of ${size}`} bytes (${what})`,
        { cause: reason },
      );
    }
    await pause(failures, signal);
  }
}

/** Trying again is no use. */
class Final extends Error {}

/** Asks for what is missing, if it is still the same file; for all of it where ranges would count encoded bytes. */
function rangeFrom(done: number, first: Headers, sameOrigin: boolean): HeaderList {
  const { etag, lastModified } = versionOf(first);
  const validator = etag?.startsWith('W/') ? undefined : (etag ?? lastModified);
  const ranges = validator !== undefined && !isEncoded(first) && first.get('accept-ranges') !== 'none';
  if (done === 0 || !ranges) return {};
  // another origin would have to allow If-Range; there the answer's own validator has to do
  return { Range: `bytes=${done}-`, ...(sameOrigin && { 'If-Range': validator }) };
}

/** How many bytes of an answer are known already; throws where it cannot continue the first one. */
function startOf(
  { status, ok, headers }: Response,
  done: number,
  version: Version,
  trusted: boolean,
): number {
  if (done === 0 && status === 200) return 0;
  if (!ok && status !== 416) throw new Final(`HTTP status ${status} when its download was continued`);
  const same = ok ? (sameVersion(version, versionOf(headers)) ?? (trusted || undefined)) : false;
  if (same === false) throw new Final('it changed on the server while it was downloaded; load again');
  if (same === undefined) {
    throw new Final(
      `it broke off after ${done} bytes, and the server does not tell (by ETag or Last-Modified) whether what it sends now is the same file`,
    );
  }
  if (status === 200) return done;
  const range = headers.get('content-range'); // from another origin it may be hidden
  if (range === null || range.startsWith(`bytes ${done}-`)) return 0;
  throw new Final(`the server sent ${range} where bytes from ${done} were asked for`);
}
