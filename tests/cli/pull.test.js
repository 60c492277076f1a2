// `pull` against a small server of our own that serves a tiny checkpoint, cuts connections and sends wrong bytes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { describe, it } from 'node:test';

import { goldenModel, tinyModel } from './models.js';
import { assertOneLine, binary, failure, temporaryFolder } from './program.js';

/**
 * A hub that serves `folder` as some/model. `trouble(name, request, response, bytes)` may answer a GET itself and then
 * returns true. Requests are kept in `log`.
 */
async function hub(t, folder, trouble = () => false) {
  const log = [];
  const server = http.createServer((request, response) => {
    const name = decodeURIComponent(request.url).replace('/some/model/resolve/main/', '');
    log.push(`${request.method} ${name} ${request.headers.range ?? ''}`.trim());
    const file = path.join(folder, name);
    if (name.includes('/') || !existsSync(file)) {
      response.writeHead(404).end('Entry not found');
      return;
    }
    const bytes = readFileSync(file);
    const hash = createHash('sha256').update(bytes).digest('hex');
    // as the hub: of a file in git the hash that git gives it
    const blob = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
    response.setHeader('ETag', `"${blob}"`);
    if (name.endsWith('.safetensors')) {
      response.setHeader('X-Linked-ETag', `"${hash}"`);
      response.setHeader('X-Linked-Size', bytes.length);
    }
    response.setHeader('Accept-Ranges', 'bytes');
    if (request.method === 'GET' && trouble(name, request, response, bytes)) return;
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const start = range ? Number(range[1]) : 0;
    if (range) {
      response.setHeader('Content-Range', `bytes ${start}-${bytes.length - 1}/${bytes.length}`);
      response.statusCode = 206;
    }
    response.setHeader('Content-Length', bytes.length - start);
    response.end(request.method === 'HEAD' ? undefined : bytes.subarray(start));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  t.after(() => server.closeAllConnections());
  return { url: `http://127.0.0.1:${server.address().port}`, log, server };
}

/** Runs pull without blocking the server, which lives in this process. */
function pull(url, out, ...args) {
  return pullWith({}, url, out, ...args);
}
/** The same with variables of the environment. */
function pullWith(variables, url, out, ...args) {
  return new Promise((resolve) => {
    const env = {
      ...process.env,
      BERTLENS_HUB: url,
      BERTLENS_MODEL: '',
      HF_TOKEN: '',
      no_proxy: '*',
      ...variables,
    };
    const child = spawn(
      binary,
      ['pull', 'some/model', '--out', out, ...(args.includes('--tries') ? [] : ['--tries', '3']), ...args],
      { env },
    );
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => (stdout += data));
    child.stderr.on('data', (data) => (stderr += data));
    child.on('close', (status) => resolve({ status, stdout, stderr }));
  });
}

const same = (out, folder, names) => {
  for (const name of names) {
    assert.ok(readFileSync(path.join(out, name)).equals(readFileSync(path.join(folder, name))), name);
  }
  assert.deepEqual(
    readdirSync(out).filter((name) => name.includes('.part')),
    [],
  );
};

describe('pull', () => {
  it('fetches a checkpoint, and nothing again the second time', async (t) => {
    const { url, log } = await hub(t, tinyModel());
    const out = path.join(temporaryFolder(t), 'deep/er');
    const first = await pull(url, out);
    assert.equal(first.stderr, '');
    assert.equal(first.status, 0);
    assert.equal(first.stdout, out + '\n');
    same(out, tinyModel(), ['config.json', 'vocab.txt', 'model.safetensors']);
    log.length = 0;
    assert.equal((await pull(url, out)).status, 0);
    assert.deepEqual(
      log.filter((line) => line.startsWith('GET')),
      [],
    );
  });
  const script = existsSync('/usr/bin/script') ? false : 'there is no `script`, which makes a terminal';
  it('shows on a terminal how much came, however fast', { skip: script }, async (t) => {
    const { url } = await hub(t, tinyModel());
    const out = temporaryFolder(t);
    const shown = () =>
      new Promise((resolve) => {
        const env = { ...process.env, BERTLENS_HUB: url, no_proxy: '*' };
        const line = `'${binary}' pull some/model --out '${out}'`;
        const child = spawn('/usr/bin/script', ['-qec', line, '/dev/null'], {
          env,
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        let text = '';
        child.stdout.on('data', (data) => (text += data));
        child.on('close', () => resolve(text));
      });
    const text = await shown();
    const lines = text.split('\r\n').map((line) => line.split('\x1b[K').at(-1));
    assert.match(lines[0], /^config\.json {2}\[#{24}\] 100 % {2}(0\.\d kB) of \1/);
    const weights = lines.find((line) => line.startsWith('model.safetensors'));
    assert.match(weights, /^model\.safetensors {2}\[#{24}\] 100 % {2}(\d+\.\d MB) of \1/);
    assert.match(text, /config\.json {2}\[\.{24}\] 0 %/);
    assert.deepEqual(lines.slice(-2), [out, '']);
    // and nothing of what was there already
    assert.equal(await shown(), out + '\r\n');
  });
  it('fetches a file again that differs in its bytes alone, or of which no hash is named', async (t) => {
    const folder = temporaryFolder(t);
    for (const name of readdirSync(tinyModel()))
      writeFileSync(path.join(folder, name), readFileSync(path.join(tinyModel(), name)));
    const { url, log } = await hub(t, folder);
    const out = temporaryFolder(t);
    assert.equal((await pull(url, out)).status, 0);
    const vocabulary = path.join(folder, 'vocab.txt');
    const lines = readFileSync(vocabulary, 'utf8').split('\n');
    const [word] = lines.splice(5, 1);
    writeFileSync(vocabulary, [...lines.slice(0, -1), word, ''].join('\n'));
    log.length = 0;
    assert.equal((await pull(url, out)).status, 0);
    assert.deepEqual(
      log.filter((line) => line.startsWith('GET')),
      ['GET vocab.txt'],
    );
    same(out, folder, ['config.json', 'vocab.txt', 'model.safetensors']);

    const plain = http.createServer((request, response) => {
      const file = path.join(folder, path.basename(request.url));
      if (!existsSync(file)) return response.writeHead(404).end();
      return response.writeHead(200, { ETag: '"of its own"' }).end(readFileSync(file));
    });
    await new Promise((resolve) => plain.listen(0, '127.0.0.1', resolve));
    t.after(() => plain.close());
    t.after(() => plain.closeAllConnections());
    writeFileSync(path.join(out, 'vocab.txt'), readFileSync(path.join(tinyModel(), 'vocab.txt')));
    assert.equal((await pull(`http://127.0.0.1:${plain.address().port}`, out)).status, 0);
    same(out, folder, ['vocab.txt']);
  });
  it('goes on after cut connections', async (t) => {
    let cuts = 0;
    const { url, log } = await hub(t, tinyModel(), (name, request, response, bytes) => {
      if (name !== 'model.safetensors' || cuts >= 2) return false;
      cuts += 1;
      const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      if (start > 0) {
        response.statusCode = 206;
        response.setHeader('Content-Range', `bytes ${start}-${bytes.length - 1}/${bytes.length}`);
      }
      response.setHeader('Content-Length', bytes.length - start);
      response.write(bytes.subarray(start, start + 5_000_000), () =>
        setTimeout(() => response.destroy(), 50),
      );
      return true;
    });
    const out = temporaryFolder(t);
    const result = await pull(url, out);
    assert.equal(result.status, 0, result.stderr);
    assert.equal(cuts, 2);
    same(out, tinyModel(), ['model.safetensors']);
    const ranges = log.filter((line) => /GET model\.safetensors bytes=[1-9]/.test(line));
    assert.equal(ranges.length, 2, log.join('\n'));
  });
  it('a later call goes on where an earlier one gave up', async (t) => {
    let broken = true;
    const { url, log } = await hub(t, tinyModel(), (name, request, response, bytes) => {
      if (name !== 'model.safetensors' || !broken) return false;
      if (request.headers.range) {
        response.destroy();
      } else {
        response.setHeader('Content-Length', bytes.length);
        response.write(bytes.subarray(0, 3_000_000), () => setTimeout(() => response.destroy(), 50));
      }
      return true;
    });
    const out = temporaryFolder(t);
    const first = await pull(url, out);
    assert.equal(first.status, 1);
    assertOneLine(first.stderr);
    assert.match(first.stderr, /model\.safetensors': .*gave up after 3 tries/);
    assert.ok(!existsSync(path.join(out, 'model.safetensors')));
    broken = false;
    log.length = 0;
    assert.equal((await pull(url, out)).status, 0);
    assert.ok(
      log.some((line) => /GET model\.safetensors bytes=[1-9]/.test(line)),
      log.join('\n'),
    );
    same(out, tinyModel(), ['model.safetensors']);
  });
  it('a server without ranges sends it all again', async (t) => {
    let cut = false;
    const { url } = await hub(t, tinyModel(), (name, _, response, bytes) => {
      if (name !== 'model.safetensors') return false;
      response.setHeader('Content-Length', bytes.length);
      if (cut) {
        response.end(bytes);
      } else {
        response.write(bytes.subarray(0, 1_000_000), () => setTimeout(() => response.destroy(), 50));
      }
      cut = true;
      return true;
    });
    const out = temporaryFolder(t);
    const result = await pull(url, out);
    assert.equal(result.status, 0, result.stderr);
    same(out, tinyModel(), ['model.safetensors']);
  });
  it('a server that knows GET alone serves as well', async (t) => {
    for (const status of [405, 501]) {
      const { url } = await hub(t, tinyModel());
      const front = http.createServer((request, response) =>
        request.method === 'GET'
          ? response.writeHead(302, { Location: url + request.url }).end()
          : response.writeHead(status).end(),
      );
      await new Promise((resolve) => front.listen(0, '127.0.0.1', resolve));
      t.after(() => front.close());
      t.after(() => front.closeAllConnections());
      const out = temporaryFolder(t);
      const result = await pull(`http://127.0.0.1:${front.address().port}`, out);
      assert.equal(result.status, 0, result.stderr);
      same(out, tinyModel(), ['config.json', 'vocab.txt', 'model.safetensors']);
    }
  });
  it('says how many bytes came where they are not as many as were announced', async (t) => {
    const serve = async (difference) => {
      const { url } = await hub(t, tinyModel(), (name, _, response, bytes) => {
        if (name !== 'model.safetensors') return false;
        const sent = difference < 0 ? bytes.subarray(0, difference) : Buffer.concat([bytes, bytes]);
        response.setHeader('Content-Length', sent.length);
        response.end(sent);
        return true;
      });
      const out = temporaryFolder(t);
      const result = await pull(url, out, '--tries', '1');
      assert.equal(result.status, 1);
      assertOneLine(result.stderr);
      return [result.stderr, readdirSync(out).filter((name) => name.startsWith('model'))];
    };
    const { length } = readFileSync(path.join(tinyModel(), 'model.safetensors'));
    const [few] = await serve(-10);
    assert.match(few, new RegExp(`: ${length - 10} of ${length} bytes came; gave up after 1 try,`));
    const [many, files] = await serve(1);
    assert.match(many, new RegExp(`: ${2 * length} bytes came, ${length} were announced`));
    assert.deepEqual(files, []);
  });
  for (const [file, kind] of [
    ['model.safetensors', 'SHA-256'],
    ['vocab.txt', 'git hash'],
  ])
    it(`throws wrong bytes of ${file} away`, async (t) => {
      const { url } = await hub(t, tinyModel(), (name, _, response, bytes) => {
        if (name !== file) return false;
        const wrong = Buffer.from(bytes);
        wrong[wrong.length >> 1] ^= 1;
        response.setHeader('Content-Length', wrong.length);
        response.end(wrong);
        return true;
      });
      const out = temporaryFolder(t);
      const result = await pull(url, out);
      assert.equal(result.status, 1);
      assertOneLine(result.stderr);
      assert.match(result.stderr, new RegExp(`${kind} .* they were thrown away`));
      assert.deepEqual(
        readdirSync(out).filter((name) => name.startsWith(file)),
        [],
      );
    });
  it('a leftover of another version is not gone on with', async (t) => {
    const { url, log } = await hub(t, tinyModel());
    const out = temporaryFolder(t);
    writeFileSync(path.join(out, 'model.safetensors.part'), 'old bytes');
    writeFileSync(path.join(out, 'model.safetensors.part.etag'), 'old-version\n');
    assert.equal((await pull(url, out)).status, 0);
    assert.ok(log.includes('GET model.safetensors'));
    same(out, tinyModel(), ['model.safetensors']);
  });
  it('fetches shards', async (t) => {
    const { url } = await hub(t, goldenModel('sharded'));
    const out = temporaryFolder(t);
    const result = await pull(url, out, '--json');
    assert.equal(result.status, 0, result.stderr);
    const { files } = JSON.parse(result.stdout);
    assert.equal(files.filter((name) => /^model-0000\d-of-00003\.safetensors$/.test(name)).length, 3);
    same(out, goldenModel('sharded'), files);
  });
  it('what the model does not have goes, once all has come', async (t) => {
    const { url } = await hub(t, goldenModel('sharded'));
    const out = temporaryFolder(t);
    const old = ['model.safetensors', 'tokenizer.json', 'vocab.txt', 'tokenizer_config.json'];
    const absent = old.filter((name) => !existsSync(path.join(goldenModel('sharded'), name)));
    assert.ok(absent.includes('model.safetensors') && absent.length > 1);
    for (const name of old) writeFileSync(path.join(out, name), 'of a model before');
    const wrong = await pull(url, out, '--revision', 'none');
    assert.match(wrong.stderr, /config\.json': there is no such file/);
    for (const name of old) assert.ok(existsSync(path.join(out, name)), name);
    const result = await pull(url, out, '--json');
    assert.equal(result.status, 0, result.stderr);
    for (const name of absent) {
      assert.ok(!existsSync(path.join(out, name)), name);
      assert.ok(result.stderr.includes(`${name}' of a model before was removed\n`), result.stderr);
    }
    same(out, goldenModel('sharded'), JSON.parse(result.stdout).files);

    // and the other way round: no index stays beside one file
    const whole = await hub(t, tinyModel());
    assert.equal((await pull(whole.url, out)).status, 0);
    assert.ok(!existsSync(path.join(out, 'model.safetensors.index.json')));
    same(out, tinyModel(), ['model.safetensors']);
  });
  it('asks for a revision and for files by names that addresses can hold', async (t) => {
    const folder = temporaryFolder(t);
    const index = JSON.parse(readFileSync(path.join(goldenModel('sharded'), 'model.safetensors.index.json')));
    for (const name of readdirSync(goldenModel('sharded'))) {
      const renamed = name.endsWith('.safetensors') ? name.replace('model-', 'model #') : name;
      writeFileSync(path.join(folder, renamed), readFileSync(path.join(goldenModel('sharded'), name)));
    }
    for (const [tensor, file] of Object.entries(index.weight_map))
      index.weight_map[tensor] = file.replace('model-', 'model #');
    writeFileSync(path.join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
    const addresses = [];
    const { url } = await hub(t, folder);
    const front = http.createServer((request, response) => {
      addresses.push(request.url);
      const address = request.url.replace('refs%2Fpr%2F1', 'main');
      response.writeHead(302, { Location: url + address }).end();
    });
    await new Promise((resolve) => front.listen(0, '127.0.0.1', resolve));
    t.after(() => front.close());
    t.after(() => front.closeAllConnections());
    const out = temporaryFolder(t);
    const address = `http://127.0.0.1:${front.address().port}`;
    const result = await pull(address, out, '--revision', 'refs/pr/1', '--csv');
    assert.equal(result.status, 0, result.stderr);
    assert.ok(addresses.every((one) => one.startsWith('/some/model/resolve/refs%2Fpr%2F1/')));
    const files = readdirSync(out).filter((name) => name.endsWith('.safetensors'));
    assert.equal(files.length, 3);
    same(out, folder, files);
    // --csv lists what came with its size
    const rows = result.stdout.trim().split('\n');
    assert.equal(rows[0], 'file,bytes');
    for (const name of files) {
      const file = path.join(out, name);
      assert.ok(rows.includes(`${file},${readFileSync(file).length}`), result.stdout);
    }
  });
  it('follows redirections', async (t) => {
    const { url } = await hub(t, tinyModel());
    const front = http.createServer((request, response) =>
      response.writeHead(302, { Location: url + request.url }).end(),
    );
    await new Promise((resolve) => front.listen(0, '127.0.0.1', resolve));
    t.after(() => front.close());
    t.after(() => front.closeAllConnections());
    const out = temporaryFolder(t);
    assert.equal((await pull(`http://127.0.0.1:${front.address().port}`, out)).status, 0);
    same(out, tinyModel(), ['model.safetensors']);
  });
  it('names what is not there', async (t) => {
    const folder = temporaryFolder(t);
    const { url } = await hub(t, folder);
    const expectFailure = async (pattern) => {
      const result = await pull(url, path.join(temporaryFolder(t), 'out'));
      assert.equal(result.status, 1);
      assert.equal(result.stdout, '');
      assertOneLine(result.stderr);
      assert.match(result.stderr, pattern);
    };
    await expectFailure(/config\.json': there is no such file \(HTTP 404\)/);
    writeFileSync(path.join(folder, 'config.json'), '{"model_type": "gpt2"}');
    await expectFailure(/gpt2/);
    writeFileSync(path.join(folder, 'config.json'), readFileSync(path.join(tinyModel(), 'config.json')));
    await expectFailure(/neither vocab\.txt nor tokenizer\.json/);
    writeFileSync(path.join(folder, 'vocab.txt'), '[UNK]\n');
    await expectFailure(/no model\.safetensors/);
    writeFileSync(path.join(folder, 'pytorch_model.bin'), 'x');
    await expectFailure(/safetensors only: save the model with save_pretrained/);
  });
  it('where nothing came no folder is left', async (t) => {
    const { url } = await hub(t, temporaryFolder(t));
    const folder = temporaryFolder(t);
    mkdirSync(path.join(folder, 'models'));
    assert.equal((await pull(url, path.join(folder, 'models/some/model'))).status, 1);
    assert.deepEqual(readdirSync(folder, { recursive: true }), ['models']);
    // the folder of all models of one owner is none
    mkdirSync(path.join(folder, 'models/some/model'), { recursive: true });
    for (const name of ['some', 'some/model']) {
      failure(['embed', '--model', name, 'a'], 1, new RegExp(`--model '${name}': there is no such folder`), {
        env: { BERTLENS_CACHE: folder },
      });
    }
  });
  it('a token in HF_TOKEN opens what is not open to all, and is shown to the hub alone', async (t) => {
    const storage = await hub(t, tinyModel()); // where the hub keeps large files
    const seen = [];
    storage.server.on('request', (request) => seen.push(request.headers.authorization));
    const front = http.createServer((request, response) => {
      if (request.headers.authorization !== 'Bearer hf_secret') response.writeHead(401).end();
      else response.writeHead(302, { Location: storage.url + request.url }).end();
    });
    await new Promise((resolve) => front.listen(0, '127.0.0.1', resolve));
    t.after(() => front.close());
    t.after(() => front.closeAllConnections());
    const address = `http://127.0.0.1:${front.address().port}`;
    const out = path.join(temporaryFolder(t), 'out');
    const closed = await pull(address, out);
    assert.equal(closed.status, 1);
    assert.match(closed.stderr, /HTTP 401.*only with a token of the hub, in HF_TOKEN and over https$/m);
    const wrong = await pullWith({ HF_TOKEN: 'hf_wrong' }, address, out);
    assert.equal(wrong.status, 1);
    assert.match(wrong.stderr, /HTTP 401.*or the token in HF_TOKEN does not open it$/m);
    assert.doesNotMatch(wrong.stderr, /hf_wrong/);
    const opened = await pullWith({ HF_TOKEN: 'hf_secret' }, address, out);
    assert.equal(opened.status, 0, opened.stderr);
    same(out, tinyModel(), ['config.json', 'vocab.txt', 'model.safetensors']);
    assert.ok(seen.length > 0);
    assert.deepEqual(
      seen.filter((header) => header !== undefined),
      [],
    );
    for (const HF_TOKEN of ['hf secret', 'hf_secret\r\nX-Other: 1']) {
      const none = await pullWith({ HF_TOKEN }, address, out);
      assert.equal(none.status, 2);
      assertOneLine(none.stderr);
      assert.match(none.stderr, /HF_TOKEN is not a token/);
    }
  });
  it('a token is not shown without encryption, save to this machine', async (t) => {
    const { url, server } = await hub(t, tinyModel());
    const seen = [];
    server.on('request', (request) => seen.push(request.headers.authorization));
    const { port } = new URL(url);
    for (const [address, shown] of [
      [`http://localhost:${port}`, true],
      [`http://127.0.0.1:${port}`, true],
      [`http://127.0.0.1:x@127.0.0.1:${port}`, false], // a name and a password, which could stand before any host
      [`http://127.0.0.1.nip.invalid:${port}`, false],
    ]) {
      seen.length = 0;
      const out = path.join(temporaryFolder(t), 'out');
      const { status } = await pullWith({ HF_TOKEN: 'hf_secret' }, address, out, '--tries', '1');
      assert.equal(status, address.includes('invalid') ? 1 : 0, address);
      assert.equal(seen.includes('Bearer hf_secret'), shown, address);
    }
  });
  it('says why a server or a name is of no use', async (t) => {
    const refusing = http.createServer((_, response) => response.writeHead(401).end());
    await new Promise((resolve) => refusing.listen(0, '127.0.0.1', resolve));
    const { port } = refusing.address();
    const refused = await pull(`http://127.0.0.1:${port}`, path.join(temporaryFolder(t), 'out'));
    assert.match(refused.stderr, /HTTP 401/);
    refusing.closeAllConnections();
    await new Promise((resolve) => refusing.close(resolve));
    const nobody = await pull(`http://127.0.0.1:${port}`, path.join(temporaryFolder(t), 'out'));
    assert.equal(nobody.status, 1);
    assertOneLine(nobody.stderr);
    failure(['pull'], 2, /pull: OWNER\/NAME is missing;/);
    for (const name of ['../x', 'a/b/c', '/a', 'a/', 'a b', 'a/../b']) {
      failure(['pull', name, '--hub', 'http://127.0.0.1:1'], 2, /is not the name of a repository/);
    }
    for (const address of ['ftp://x', 'http://', 'https:///']) {
      failure(['pull', 'a/b', '--hub', address], 2, new RegExp(`--hub: '${address}' is not an address`));
    }
    mkdirSync(path.join(temporaryFolder(t), 'x'));
  });
});
