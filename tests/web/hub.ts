// A stand-in for Hugging Face's hub: the two of its addresses that the page uses, on the loopback address. Weights come from
// another host by a redirect, as there. The browser is told to find both here.
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

/** DER: a tag, a length, the content. */
function der(tag: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const size = body.length;
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

/** A certificate of this run's own key, for any name: the browser is told not to ask who signed it. */
function certificate(): { key: string; cert: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const sequence = (...parts: Buffer[]) => der(0x30, ...parts);
  const algorithm = sequence(der(0x06, Buffer.from('2a8648ce3d040302', 'hex'))); // ecdsa-with-SHA256
  const name = sequence(
    der(0x31, sequence(der(0x06, Buffer.from('550403', 'hex')), der(0x0c, Buffer.from('stand-in')))),
  );
  const year = (shift: number) =>
    `${String((new Date().getFullYear() + shift) % 100).padStart(2, '0')}0101000000Z`;
  const validity = sequence(der(0x17, Buffer.from(year(-1))), der(0x17, Buffer.from(year(2))));
  const content = sequence(
    der(0x02, Buffer.from([1])),
    algorithm,
    name,
    validity,
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  const signature = sign('sha256', content, privateKey);
  const whole = sequence(content, algorithm, der(0x03, Buffer.from([0]), signature));
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${whole.toString('base64')}\n-----END CERTIFICATE-----\n`,
  };
}

export interface Hub {
  /** For the browser: where the hub's names lead. */
  readonly switches: readonly string[];
  /** Every address that was asked for, in order. */
  readonly asked: string[];
  /** Bytes after which large files break off; undefined lets them through. */
  cutAt: number | undefined;
  /** Large files stop here until the request ends. */
  stallAt: number | undefined;
  /** Tell another SHA-256 than that of the file. */
  lies: boolean;
  close(): void;
}

const large = /\.(safetensors|bin)$/;
export const commit = '0123456789abcdef0123456789abcdef01234567';

/** `models`: folder by owner/name. */
export async function standIn(models: Readonly<Record<string, string>>): Promise<Hub> {
  const state = {
    cutAt: undefined as number | undefined,
    stallAt: undefined as number | undefined,
    lies: false,
  };
  const asked: string[] = [];
  const server = createServer(certificate(), (request, response) => {
    const host = request.headers.host ?? '';
    const { pathname } = new URL(request.url ?? '/', `https://${host}`);
    asked.push(`${host}${pathname}`);
    response.setHeader('Access-Control-Allow-Origin', '*');
    const refuse = (status: number) => response.writeHead(status, { 'Content-Type': 'text/plain' }).end();
    const [, api, file] =
      /^\/api\/models\/(.+)\/revision\/main$/.exec(pathname) ??
      (/^\/(.+)\/resolve\/[0-9a-f]{40}\/[^/]+$/.test(pathname) ? ['', undefined, pathname] : []);
    if (api !== undefined) {
      const folder = models[api];
      if (folder === undefined) return void refuse(401); // as the hub answers for what is not there
      const siblings = readdirSync(folder).map((name) => {
        const bytes = readFileSync(path.join(folder, name));
        const sha256 = createHash('sha256')
          .update(state.lies ? 'other' : bytes)
          .digest('hex');
        return { rfilename: name, size: bytes.length, ...(large.test(name) && { lfs: { sha256 } }) };
      });
      response.writeHead(200, { 'Content-Type': 'application/json' });
      return void response.end(JSON.stringify({ id: api, sha: commit, siblings }));
    }
    const [, model, name] = /^\/(.+)\/resolve\/[0-9a-f]{40}\/([^/]+)$/.exec(file ?? '') ?? [];
    const folder = models[model ?? ''];
    if (folder === undefined || name === undefined) return void refuse(404);
    if (large.test(name) && host.startsWith('huggingface.co')) {
      response.writeHead(302, { Location: `https://cas-bridge.xethub.hf.co${pathname}` });
      return void response.end();
    }
    const bytes = readFileSync(path.join(folder, name));
    response.writeHead(200, { 'Content-Length': bytes.length });
    const stop = large.test(name) ? (state.cutAt ?? state.stallAt) : undefined;
    if (stop === undefined) return void response.end(bytes);
    response.write(bytes.subarray(0, stop), () => {
      if (state.cutAt !== undefined) response.destroy();
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    asked,
    switches: [
      `--host-resolver-rules=MAP huggingface.co:443 127.0.0.1:${port},MAP *.hf.co:443 127.0.0.1:${port}`,
      '--ignore-certificate-errors',
    ],
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  });
}
