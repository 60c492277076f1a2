// A small static server for the built page: the headers of security.ts, text compressed, files checked by their ETag.
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { headers } from './security.ts';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.svg': 'image/svg+xml; charset=utf-8',
  '.png': 'image/png',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
};
const compressible = new Set(['.html', '.js', '.css', '.json', '.webmanifest', '.txt', '.svg', '.wasm']);
const encodings = ['br', 'gzip'] as const;

function compress(encoding: (typeof encodings)[number], bytes: Buffer): Promise<Buffer> {
  return encoding === 'gzip'
    ? promisify(gzip)(bytes)
    : promisify(brotliCompress)(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } });
}

export interface ServeOptions {
  /** 0 takes a free one. */
  port?: number;
  host?: string;
  /** The path under which the folder appears; begins and ends with '/'. */
  base?: string;
  /** false leaves the headers out, as hosts do that cannot set any. */
  withHeaders?: boolean;
}

export interface Served {
  server: Server;
  url: string;
}

/** Serves the files of `folder`. Resolves once the server listens; rejects if the port is taken. */
export async function serve(folder: string, options: ServeOptions = {}): Promise<Served> {
  const { port = 0, host = '127.0.0.1', base = '/', withHeaders = true } = options;
  const kept = new Map<string, Promise<Buffer>>();

  const refuse = (response: ServerResponse, status: number, why: string) => {
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${why}\n`);
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const asked = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      refuse(response, 405, 'only GET and HEAD are answered');
      return;
    }
    let file = path.join(folder, asked.slice(base.length));
    const inside = !path.relative(folder, file).startsWith('..');
    if (asked.endsWith('/')) file = path.join(file, 'index.html');
    const facts = asked.startsWith(base) && inside ? await stat(file).catch(() => undefined) : undefined;
    if (!facts?.isFile()) {
      refuse(response, 404, `nothing at ${asked}`);
      return;
    }
    const kind = path.extname(file);
    const etag = `"${facts.size.toString(16)}-${Math.trunc(facts.mtimeMs).toString(16)}"`;
    if (withHeaders) for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.setHeader('Content-Type', types[kind] ?? 'application/octet-stream');
    response.setHeader('ETag', etag);
    response.setHeader('Vary', 'Accept-Encoding');
    // the build puts a hash into the names under assets/; everything else is asked for again
    const lasting = asked.startsWith(`${base}assets/`);
    response.setHeader('Cache-Control', lasting ? 'public, max-age=31536000, immutable' : 'no-cache');
    if (request.headers['if-none-match'] === etag) {
      response.writeHead(304).end();
      return;
    }
    const accepted = request.headers['accept-encoding']?.toString() ?? '';
    const encoding = compressible.has(kind)
      ? encodings.find((name) => new RegExp(`\\b${name}\\b`).test(accepted))
      : undefined;
    if (encoding) {
      const key = `${encoding} ${file} ${etag}`;
      const bytes = kept.get(key) ?? readFile(file).then((content) => compress(encoding, content));
      kept.set(key, bytes);
      response.setHeader('Content-Encoding', encoding);
      response.setHeader('Content-Length', (await bytes).length);
      response.end(request.method === 'HEAD' ? undefined : await bytes);
      return;
    }
    response.setHeader('Content-Length', facts.size);
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    createReadStream(file)
      .on('error', () => response.destroy())
      .pipe(response);
  };

  const server = createServer((request, response) => {
    answer(request, response).catch(() => {
      if (response.headersSent) response.destroy();
      else refuse(response, 400, 'a request that cannot be read');
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const { port: taken } = server.address() as AddressInfo;
  return { server, url: `http://${host === '127.0.0.1' ? 'localhost' : host}:${taken}${base}` };
}
