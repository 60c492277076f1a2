// A static server on the loopback address, with a strict content security policy and, if asked, cross-origin isolation.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

const kTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
};

export const kPolicy =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'; img-src data:";

/** What `bertlens/inline` needs, as the package's README says. */
export const kInlinePolicy = kPolicy.replace("worker-src 'self'", 'worker-src blob:');

export interface ServeOptions {
  isolated?: boolean;
  /** In place of the strict policy. */
  policy?: string;
}

export async function serve(
  folder: string,
  options: ServeOptions = {},
): Promise<{ address: string; close: () => Promise<void> }> {
  let version = 0;
  const server = createServer((request, response) => {
    const name = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
    const headers: Record<string, string> = {
      'Content-Type': kTypes[path.extname(name)] ?? 'application/octet-stream',
      'Content-Security-Policy': options.policy ?? kPolicy,
      ...(options.isolated && {
        'Cross-Origin-Opener-Policy': 'same-origin',
        'Cross-Origin-Embedder-Policy': 'require-corp',
      }),
    };
    if (name === '/favicon.ico') {
      response.writeHead(204).end();
      return;
    }
    // what lies under /changing/ is another version with every request
    const changing = name.startsWith('/changing/');
    if (changing) version++;
    const file = changing ? name.replace('/changing/', '/models/') : name;
    readFile(path.join(folder, path.normalize(file))).then(
      (bytes) => {
        headers['ETag'] = `"${changing ? version : bytes.length}"`;
        response.writeHead(200, { ...headers, 'Content-Length': bytes.length });
        response.end(request.method === 'HEAD' ? undefined : bytes);
      },
      () => response.writeHead(404, headers).end(),
    );
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return {
    address: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise<void>((done) => {
        server.closeAllConnections();
        server.close(() => {
          done();
        });
      }),
  };
}
