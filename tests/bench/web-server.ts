// A cross-origin isolated server on the loopback address for web.bench.ts: its pages, the npm package, the peers, the models.
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

import { here, models, root } from './common.ts';

const kTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};
const kFolders: Readonly<Record<string, string>> = {
  '/bench/': path.join(here, 'web'),
  '/bertlens/': path.join(root, 'wasm/dist'),
  '/npm/': path.join(here, 'node_modules'),
  '/models/': models,
};

/** Where transformers.js looks for the ONNX twins. */
const kOnnx: Readonly<Record<string, string>> = {
  'onnx/model.onnx': 'hidden-f32.onnx',
  'onnx/model_quantized.onnx': 'hidden-int8.onnx',
};

function fileOf(url: string): string | undefined {
  const name = path.normalize(decodeURIComponent(new URL(url, 'http://localhost').pathname));
  const prefix = Object.keys(kFolders).find((one) => name.startsWith(one));
  if (prefix === undefined) return undefined;
  const onnx = Object.keys(kOnnx).find((one) => name.endsWith(`/${one}`));
  const rest = name.slice(prefix.length);
  return path.join(kFolders[prefix]!, onnx === undefined ? rest : rest.slice(0, -onnx.length) + kOnnx[onnx]!);
}

export async function serve(): Promise<{ address: string; close: () => void }> {
  const server = createServer((request, response) => {
    const file = fileOf(request.url ?? '/');
    const status = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false });
    const headers = {
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
      'Cache-Control': 'max-age=3600', // the HTTP cache may be warm; what was compiled is never kept
    };
    if (file === undefined || status?.isFile() !== true) {
      response.writeHead(404, headers).end();
      return;
    }
    response.writeHead(200, {
      ...headers,
      'Content-Type': kTypes[path.extname(file)] ?? 'application/octet-stream',
      'Content-Length': status.size,
    });
    if (request.method === 'HEAD') response.end();
    else createReadStream(file, { highWaterMark: 1 << 20 }).pipe(response);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
