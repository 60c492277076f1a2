// A server of model files that misbehaves as told: cut connections, ignored ranges, changed files, encodings, wrong answers.
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

/** How one answer departs from that of a well-behaved server. */
export interface Answer {
  /** Break the connection after so many bytes of the body, once `reading` was called: a break drops unread bytes. */
  readonly cut?: number;
  /** Send so many bytes and never the rest: the connection stays open. */
  readonly stall?: number;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** null: no ETag. Default "1". */
  readonly etag?: string | null;
  /** Ranges are ignored, and not offered. */
  readonly noRanges?: boolean;
  readonly gzip?: boolean;
  readonly body?: Uint8Array;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  /** With its "?"; empty where there is none. */
  readonly query: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly authorization: string | undefined;
}

export interface ModelServer {
  /** Ends in '/'. */
  readonly address: string;
  /** Every request, in order. */
  readonly asked: Asked[];
  /** Tells that bytes are being read as they come. */
  reading(): void;
  close(): Promise<void>;
}

/** Serves `folder`; each request of a file takes the next of its answers, the last one for good. */
export async function serveModel(
  folder: string,
  answers: Readonly<Record<string, readonly Answer[]>> = {},
  rewrite: (path: string) => string = (name) => name,
): Promise<ModelServer> {
  const asked: Asked[] = [];
  let reading = (): void => undefined;
  const read = new Promise<void>((done) => (reading = done));
  const counts = new Map<string, number>();
  const server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url!, 'http://localhost');
    const name = rewrite(decodeURIComponent(pathname).slice(1));
    asked.push({
      method: request.method!,
      path: pathname,
      query: search,
      range: request.headers.range,
      ifRange: request.headers['if-range'] as string | undefined,
      authorization: request.headers.authorization,
    });
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    const answer = answers[name]?.[Math.min(count, answers[name].length - 1)] ?? {};
    let whole: Uint8Array;
    try {
      whole = answer.body ?? readFileSync(path.join(folder, name));
    } catch {
      response.writeHead(answer.status ?? 404, answer.headers).end();
      return;
    }
    const etag = answer.etag === undefined ? '"1"' : answer.etag;
    const from = answer.noRanges || answer.gzip ? undefined : rangeOf(request, etag);
    const plain = whole.subarray(from ?? 0);
    const body = answer.gzip ? gzipSync(plain) : plain;
    response.writeHead(answer.status ?? (from === undefined ? 200 : 206), {
      'Content-Type': 'application/octet-stream',
      'Content-Length': body.length,
      ...(etag !== null && { ETag: etag }),
      ...(!answer.noRanges && { 'Accept-Ranges': 'bytes' }),
      ...(answer.gzip && { 'Content-Encoding': 'gzip' }),
      ...(from !== undefined && { 'Content-Range': `bytes ${from}-${whole.length - 1}/${whole.length}` }),
      ...answer.headers,
    });
    const part = answer.cut ?? answer.stall;
    if (part === undefined || part >= body.length) {
      response.end(body);
    } else {
      response.write(body.subarray(0, part));
      if (answer.cut !== undefined) {
        void (part > 0 ? read : Promise.resolve()).then(() => {
          setTimeout(() => request.socket.destroy(), 100);
        });
      }
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked,
    reading,
    close: () =>
      new Promise<void>((done) => {
        server.closeAllConnections();
        server.close(() => {
          done();
        });
      }),
  };
}

/** Where the part asked for begins; undefined where the whole file is to be sent. */
function rangeOf({ headers }: IncomingMessage, etag: string | null): number | undefined {
  const from = /^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1];
  const condition = headers['if-range'];
  return from === undefined || (condition !== undefined && condition !== etag) ? undefined : Number(from);
}
