// Loading by the packed package: broken downloads, hostile servers, the hub, files that a person chose, progress, aborts.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import type * as Bertlens from 'bertlens';
import type * as BertlensSync from 'bertlens/sync';
import type * as BertlensTokenizer from 'bertlens/tokenizer';

import { serveModel, type Answer, type ModelServer } from './model-server.ts';
import { installed, makeModels } from './support.ts';

let project: ReturnType<typeof installed>;
let models: string;
let tiny: string;
let worker: typeof Bertlens;
let inPlace: typeof BertlensSync;
let alone: typeof BertlensTokenizer;
let weights: Uint8Array;
before(async () => {
  project = installed();
  models = makeModels(project.folder);
  tiny = path.join(models, 'tiny');
  weights = readFileSync(path.join(tiny, 'model.safetensors'));
  const entry = async <Module>(name: string): Promise<Module> => {
    const file = path.join(project.folder, 'node_modules/bertlens/dist', `${name}.js`);
    return (await import(pathToFileURL(file).href)) as Module;
  };
  worker = await entry('index');
  inPlace = await entry('sync');
  alone = await entry('tokenizer');
});
after(() => {
  project.finish();
});

const open: { dispose(): unknown }[] = [];
afterEach(async () => {
  for (const bert of open.splice(0)) await bert.dispose();
});

/** What `loading` gives, disposed of after the test. */
async function loaded<Model extends { dispose(): unknown }>(loading: Promise<Model>): Promise<Model> {
  const bert = await loading;
  open.push(bert);
  return bert;
}

/** Runs `body` with a server of the tiny model. */
async function served(
  answers: Readonly<Record<string, readonly Answer[]>>,
  body: (server: ModelServer) => Promise<void>,
  rewrite?: (path: string) => string,
): Promise<void> {
  const server = await serveModel(tiny, answers, rewrite);
  try {
    await body(server);
  } finally {
    await server.close();
  }
}

async function rejects(load: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  await assert.rejects(load, (error: Bertlens.BertlensError) => {
    assert.equal(error.name, 'BertlensError', String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.ok(error.message.length < 400, error.message);
    return true;
  });
}

/** Loads from the server in place, which then cuts what it was told to cut. */
async function fetched(
  server: ModelServer,
  options: Bertlens.LoadOptions = {},
): Promise<BertlensSync.BertSync> {
  const onProgress = (event: Bertlens.ProgressEvent): void => {
    if (event.phase === 'weights') server.reading();
    options.onProgress?.(event);
  };
  return await loaded(inPlace.load(server.address, { ...options, onProgress }));
}

/** Loads from the server in place, and holds the result to that of the files on disk. */
async function loadsWell(server: ModelServer, options: Bertlens.LoadOptions = {}): Promise<void> {
  const bert = await fetched(server, options);
  const expected = await loaded(inPlace.load(tiny));
  const ids = { inputIds: [101, 7592, 102] };
  assert.deepEqual(bert.encode(ids).lastHiddenState, expected.encode(ids).lastHiddenState);
}

const file = 'model.safetensors';
const ranges = (server: ModelServer): (string | undefined)[] =>
  server.asked.filter(({ path: name }) => name === `/${file}`).map(({ range }) => range);

test('a cut download is taken up where it ended', async () => {
  await served({ [file]: [{ cut: 100_000 }, { cut: 200_000 }, {}] }, async (server) => {
    await loadsWell(server);
    assert.deepEqual(ranges(server), [undefined, 'bytes=100000-', 'bytes=300000-']);
    assert.equal(server.asked.find(({ range }) => range !== undefined)?.ifRange, '"1"');
  });
});

test('a cut download goes on where the server ignores ranges, if its ETag is the same', async () => {
  await served({ [file]: [{ cut: 100_000 }, { noRanges: true }] }, async (server) => {
    await loadsWell(server);
    assert.deepEqual(ranges(server), [undefined, 'bytes=100000-']);
  });
});

test('a download that is cut again and again without a byte is given up', async () => {
  await served({ [file]: [{ cut: 100_000 }, { cut: 0 }] }, async (server) => {
    await rejects(fetched(server), 'io', /model\.safetensors: it broke off after 100000 of \d+ bytes/);
    assert.equal(ranges(server).length, 5);
  });
});

test('a file that changes between the parts of its download is refused', async () => {
  for (const changed of [{ etag: '"2"' }, { etag: '"2"', noRanges: true }, { status: 416, etag: null }]) {
    await served({ [file]: [{ cut: 100_000 }, changed] }, async (server) => {
      await rejects(fetched(server), 'io', /model\.safetensors: it changed on the server/);
    });
  }
  await served({ [file]: [{ cut: 100_000 }, { status: 404, body: new Uint8Array() }] }, async (server) => {
    await rejects(fetched(server), 'io', /HTTP status 404 when its download was continued/);
  });
});

test('without a validator a cut download goes on only where a SHA-256 is given', async () => {
  const answers = { [file]: [{ cut: 100_000, etag: null }, { etag: null }] };
  await served(answers, async (server) => {
    await rejects(fetched(server), 'io', /does not tell \(by ETag or Last-Modified\)/);
  });
  const integrity = { [file]: createHash('sha256').update(weights).digest('hex').toUpperCase() };
  await served(answers, (server) => loadsWell(server, { integrity }));
});

test('a busy server is asked again', async () => {
  await served({ [file]: [{ status: 503 }, { status: 429 }, {}] }, loadsWell);
  await served({ 'vocab.txt': [{ status: 503 }, { status: 429 }, {}] }, async (server) => {
    const tokenizer = await alone.loadTokenizer(server.address);
    assert.equal(tokenizer.encode('hello').tokens[1], 'hello');
  });
  await served({ 'config.json': [{ status: 500 }] }, async (server) => {
    await rejects(inPlace.load(server.address), 'io', /config\.json: HTTP status 500/);
  });
});

test('gzip-encoded files load, cut ones too, and their progress is true', async () => {
  const gzip = { gzip: true };
  const cut = { gzip: true, cut: 300_000 };
  await served({ [file]: [cut, gzip], 'vocab.txt': [gzip], 'config.json': [gzip] }, async (server) => {
    const events: Bertlens.ProgressEvent[] = [];
    await loadsWell(server, { onProgress: (event) => events.push(event) });
    assert.deepEqual(ranges(server), [undefined, undefined]);
    for (const name of ['config.json', 'vocab.txt', file]) {
      const told = events.filter((event) => event.file === name);
      const size = readFileSync(path.join(tiny, name)).length;
      assert.equal(told.at(-1)?.loaded, size, name);
      assert.equal(told.at(-1)?.total, size, name);
      told.forEach(({ loaded, total, phase, source }, i) => {
        assert.ok(loaded <= (total ?? Infinity) && loaded >= (told[i - 1]?.loaded ?? 0), name);
        if (name === file) assert.equal(total, size);
        assert.equal(phase, name === file ? 'weights' : 'files');
        assert.equal(source, 'network');
      });
    }
  });
});

test('wrong bytes are refused: by SHA-256, by the header, by the length', async () => {
  const wrong = Uint8Array.from(weights);
  wrong[wrong.length - 1]! ^= 1;
  const integrity = { [file]: createHash('sha256').update(weights).digest('hex') };
  await served({ [file]: [{ body: wrong }] }, async (server) => {
    await rejects(
      inPlace.load(server.address, { integrity }),
      'io',
      /model\.safetensors has SHA-256 [0-9a-f]{64}, expected is [0-9a-f]{64}/,
    );
  });
  for (const body of [
    weights.subarray(0, 5),
    weights.subarray(0, 100_000),
    Buffer.concat([weights, Buffer.from('x')]),
    Buffer.from('<!doctype html><title>Not a model</title>'),
    new Uint8Array(),
  ]) {
    await served({ [file]: [{ body }] }, async (server) => {
      await rejects(inPlace.load(server.address), 'invalid_model', /model\.safetensors|header|bytes/);
    });
  }
});

test('what is missing is named, also where a page comes in its place', async () => {
  const none = { headers: { 'Content-Type': 'text/html' }, body: Buffer.from('<!doctype html>') };
  await served({ 'config.json': [none] }, async (server) => {
    await rejects(inPlace.load(server.address), 'not_found', /no config\.json in http:\/\/127/);
    await rejects(
      worker.load(`${server.address}elsewhere`),
      'not_found',
      /no config\.json in http.*elsewhere/,
    );
  });
  await served({ 'vocab.txt': [{ status: 404, body: new Uint8Array() }] }, async (server) => {
    await rejects(inPlace.load(server.address), 'not_found', /no tokenizer\.json and no vocab\.txt/);
  });
  await served({ [file]: [none] }, async (server) => {
    await rejects(inPlace.load(server.address), 'not_found', /no model\.safetensors in/);
  });
  await rejects(worker.load('http://127.0.0.1:9/'), 'io', /cannot read http:\/\/127\.0\.0\.1:9\//);
  const closed = await serveModel(tiny);
  await closed.close();
  for (const load of [worker.load, inPlace.load, alone.loadTokenizer]) {
    await rejects(load(closed.address), 'io', /cannot read http.*: fetch failed \(ECONNREFUSED\)/);
  }
});

test('weights as pytorch_model.bin only are refused, with what to do', async () => {
  const missing = { status: 404, body: new Uint8Array() };
  for (const old of ['pytorch_model.bin', 'pytorch_model.bin.index.json']) {
    await served({ [file]: [missing], [old]: [{ body: Buffer.from('x') }] }, async (server) => {
      await rejects(
        worker.load(server.address),
        'unsupported',
        /pytorch_model\.bin.*convert it.*save_pretrained/,
      );
    });
  }
});

test('a Hugging Face name, its revision, and a hub at another address', async () => {
  const name = 'some-owner/bert.tiny_1';
  const inFolder = (asked: string): string => asked.split('/').at(-1)!;
  await served(
    {},
    async (server) => {
      const endpoint = server.address.slice(0, -1);
      const bert = await loaded(inPlace.load(name, { endpoint }));
      assert.ok(bert.info.heads.mlm);
      const other = await loaded(
        worker.load(name, { endpoint: `${endpoint}/mirror/`, revision: 'refs/pr/7' }),
      );
      assert.ok(other.info.heads.mlm);
      const tokenizer = await alone.loadTokenizer(name, { endpoint, revision: 'v2' });
      assert.equal(tokenizer.encode('hello').tokens[1], 'hello');
      const folders = new Set(
        server.asked.map(({ path: asked }) => asked.slice(0, asked.lastIndexOf('/') + 1)),
      );
      assert.deepEqual(
        [...folders],
        [`/${name}/resolve/main/`, `/mirror/${name}/resolve/refs%2Fpr%2F7/`, `/${name}/resolve/v2/`],
      );
    },
    inFolder,
  );
  // the hub sends files from elsewhere, and answers 401 for names that it does not know
  const moved = { status: 302, headers: { Location: '/stored/model.safetensors' }, body: new Uint8Array() };
  await served(
    { [`${name}/resolve/main/${file}`]: [moved] },
    async (server) => {
      await loadsWell({ ...server, address: `${server.address}${name}/resolve/main/` });
      assert.ok(server.asked.some(({ path: asked }) => asked === '/stored/model.safetensors'));
    },
    (asked) => (asked.endsWith(file) && !asked.startsWith('stored') ? asked : inFolder(asked)),
  );
  const closed = [{ status: 401, body: new Uint8Array() }];
  await served(
    { 'config.json': closed, 'tokenizer.json': closed },
    async (server) => {
      await rejects(
        worker.load('no-such/name', { endpoint: server.address }),
        'not_found',
        /no-such\/name.* is not there, or not for everyone/,
      );
      await rejects(
        alone.loadTokenizer('no-such/name', { endpoint: server.address }),
        'not_found',
        /no-such\/name\/resolve\/main\/ is not there, or not for everyone/,
      );
    },
    inFolder,
  );
  await rejects(
    worker.load(name, { endpoint: 'nowhere' }),
    'invalid_argument',
    /"nowhere" is not an address/,
  );
  await rejects(
    worker.load(name, { endpoint: 7 as never }),
    'invalid_argument',
    /endpoint must be a string, not 7/,
  );
});

test('headers go with every request, and Authorization to no other origin', async () => {
  const headers = { Authorization: 'Bearer hf_secret' };
  const shown = (server: ModelServer): Set<string | undefined> =>
    new Set(server.asked.map(({ authorization }) => authorization));
  const secret = new Set([headers.Authorization]);
  await served({ [file]: [{ cut: 100_000 }, {}] }, async (server) => {
    await loadsWell(server, { headers });
    assert.deepEqual(ranges(server), [undefined, 'bytes=100000-']);
    assert.deepEqual(shown(server), secret);
  });
  await served({}, async (server) => {
    await loaded(worker.load(server.address, { headers }));
    await alone.loadTokenizer(server.address, { headers });
    await alone.loadTokenizer(`${server.address}vocab.txt`, { headers });
    const pairs = Object.entries(headers);
    for (const given of [new Headers(headers), new Map(pairs), pairs] as Bertlens.LoadOptions['headers'][]) {
      await loaded(worker.load(server.address, { headers: given }));
      await alone.loadTokenizer(server.address, { headers: given });
    }
    assert.deepEqual(shown(server), secret);
  });
  await served({}, async (elsewhere) => {
    const moved = { status: 302, headers: { Location: elsewhere.address + file }, body: new Uint8Array() };
    await served({ [file]: [moved] }, async (server) => {
      await loadsWell(server, { headers });
      assert.deepEqual(shown(server), secret);
    });
    assert.deepEqual(shown(elsewhere), new Set([undefined]));
  });
  for (const [wrong, message] of [
    ['Bearer x', /headers must be an object, not "Bearer x"/],
    [{ Authorization: 7 }, /the header Authorization must be a string/],
    [['Authorization', 'Bearer x'], /^a header must be an array, not "Authorization"/],
    [new Map([['Authorization', 7]]), /the header Authorization must be a string/],
    [{ 'a name': 'x' }, /the header "a name" has a name or a value that none can have/],
    [{ Authorization: 'hf_secret\n' + 'x' }, /^the header "Authorization" has a name or a value/],
  ] as const) {
    const options = { headers: wrong as never };
    await rejects(worker.load('owner/name', options), 'invalid_argument', message);
    await rejects(alone.loadTokenizer('owner/name', options), 'invalid_argument', message);
  }
});

test('weights in shards, from a server', async () => {
  const server = await serveModel(path.join(models, 'sharded'));
  try {
    const bert = await loaded(worker.load(server.address, { precision: 'int8' }));
    assert.equal(bert.runtime.precision, 'int8');
    assert.ok(server.asked.some(({ path: asked }) => /-of-/.test(asked)));
  } finally {
    await server.close();
  }
});

test('files that a person chose, bytes, and a directory handle', async () => {
  const names = readdirSync(tiny);
  const bytes = Object.fromEntries(names.map((name) => [name, readFileSync(path.join(tiny, name))]));
  const buffers = Object.fromEntries(names.map((name) => [name, Uint8Array.from(bytes[name]!).buffer]));
  const chosen = names.map((name) => new File([bytes[name]! as Uint8Array<ArrayBuffer>], name));
  // a folder as a browser lists it, with another config.json further down
  const inFolder = (file: File, folder: string): File =>
    Object.defineProperty(file, 'webkitRelativePath', { value: `${folder}${file.name}` });
  const listed = [
    inFolder(new File(['{}'], 'config.json'), 'bert/1_Pooling/'),
    ...names.map((name) => inFolder(new File([bytes[name]! as Uint8Array<ArrayBuffer>], name), 'bert/')),
    inFolder(new File(['{}'], 'config.json'), 'bert/onnx/'),
  ];
  const handle = {
    kind: 'directory',
    name: 'bert',
    getFileHandle: (name: string) =>
      names.includes(name)
        ? Promise.resolve({
            getFile: () => Promise.resolve(new File([bytes[name]! as Uint8Array<ArrayBuffer>], name)),
          })
        : Promise.reject(new DOMException('no such file', 'NotFoundError')),
  } as const;
  for (const source of [bytes, buffers, chosen, new Set(chosen), listed]) {
    const bert = await loaded(worker.load(source as Bertlens.ModelSource));
    assert.equal((await bert.encode('hello')).encoding?.tokens[1], 'hello');
  }
  for (const source of [handle, bytes]) {
    const bert = await loaded(inPlace.load(source));
    assert.equal(bert.encode('hello').encoding?.tokens[1], 'hello');
  }
  assert.equal(
    buffers['config.json']!.byteLength,
    bytes['config.json']!.length,
    'what was given stays the caller’s',
  );
  await rejects(worker.load([]), 'not_found', /no config\.json in the files given/);
  await rejects(worker.load(['x'] as never), 'invalid_argument', /file 0 must be a File, not "x"/);
  await rejects(
    worker.load({ 'config.json': 'text' } as never),
    'invalid_argument',
    /config\.json must be bytes.*"text"/,
  );
  await rejects(worker.load(7 as never), 'invalid_argument', /no model can be loaded from 7/);
  await rejects(worker.load(null as never), 'invalid_argument', /no model can be loaded from null/);
  const unreadable = {
    kind: 'directory',
    name: 'bert',
    getFileHandle: () => Promise.reject(new DOMException('no', 'NotAllowedError')),
  };
  await rejects(inPlace.load(unreadable as never), 'io', /cannot read .*NotAllowedError/);
});

test('all that has come is told, although the connection stalls', async () => {
  await served({ [file]: [{ stall: 100_000 }] }, async (server) => {
    const controller = new AbortController();
    let most = 0;
    const loading = inPlace.load(server.address, {
      signal: controller.signal,
      onProgress: (event) => {
        if (event.file !== file) return;
        most = event.loaded;
        if (most === 100_000) controller.abort();
      },
    });
    const patience = setTimeout(() => {
      controller.abort();
    }, 20_000);
    await rejects(loading, 'aborted', /aborted/);
    clearTimeout(patience);
    assert.equal(most, 100_000);
  });
});

test('a load is aborted at once, by a controller and by time, also while a server sends nothing', async () => {
  await served({ [file]: [{ stall: 100_000 }] }, async (server) => {
    for (const load of [worker.load, inPlace.load]) {
      await rejects(load(server.address, { signal: AbortSignal.timeout(300) }), 'aborted', /aborted/);
      const controller = new AbortController();
      const reason = new Error('changed my mind');
      const loading = load(server.address, {
        signal: controller.signal,
        onProgress: ({ phase }) => {
          if (phase === 'files') controller.abort(reason);
        },
      });
      await assert.rejects(loading, { code: 'aborted', cause: reason });
      const before_ = server.asked.length;
      await rejects(load(server.address, { signal: AbortSignal.abort() }), 'aborted', /aborted/);
      assert.equal(server.asked.length, before_, 'nothing is asked for');
    }
  });
});

test('a load in place is aborted between two parts of a file, of whatever it comes from', async () => {
  const names = readdirSync(tiny);
  // of parts, because Node's blobs come in the parts that they were made of
  const blob = (name: string): Blob => {
    const bytes = readFileSync(path.join(tiny, name));
    const count = Math.ceil(bytes.length / 1e6);
    return new Blob(Array.from({ length: count }, (_, i) => bytes.subarray(i * 1e6, (i + 1) * 1e6)));
  };
  const blobs = Object.fromEntries(names.map((name) => [name, blob(name)]));
  const handle = {
    kind: 'directory',
    name: 'bert',
    getFileHandle: (name: string) =>
      name in blobs
        ? Promise.resolve({ getFile: () => Promise.resolve(new File([blobs[name]!], name)) })
        : Promise.reject(new DOMException('no such file', 'NotFoundError')),
  } as const;
  for (const source of [blobs, handle, tiny]) {
    const controller = new AbortController();
    const reason = new Error('changed my mind');
    let read = 0;
    const loading = inPlace.load(source, {
      signal: controller.signal,
      onProgress: ({ phase, loaded: bytes }) => {
        if (phase === 'files') return;
        read = bytes;
        controller.abort(reason);
      },
    });
    await assert.rejects(loading, { code: 'aborted', cause: reason });
    assert.ok(read < weights.length / 2, `${read} bytes were read`);
  }
});

test('a load leaves no listener on its signal, one that fails neither', async () => {
  const { signal } = new AbortController();
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  for (const load of [worker.load, inPlace.load]) {
    await rejects(load(42 as never, { signal }), 'invalid_argument', /from 42/);
    await rejects(load({ 'config.json': 7 } as never, { signal }), 'invalid_argument', /must be bytes/);
    await rejects(load(`${tiny}/none`, { signal }), 'not_found', /no config\.json/);
    await loaded<{ dispose(): unknown }>(load(tiny, { signal }));
    assert.equal(listeners, 0);
  }
});

/** The files of models and of WebAssembly that this process has open; none where its system does not tell. */
function openFiles(): string[] {
  const folder = '/proc/self/fd';
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((name) => {
    try {
      const file = readlinkSync(path.join(folder, name));
      return /\.wasm$|models/.test(file) ? [file] : [];
    } catch {
      return []; // closed meanwhile
    }
  });
}

test('a load that fails, or is aborted, leaves no file open', async () => {
  for (let i = 0; i < 40; i++) await rejects(worker.load(`${tiny}/none`), 'not_found', /no config\.json/);
  assert.deepEqual(openFiles(), []);
  for (let wait = 0; wait < 80; wait += 2) {
    const loading = worker.load(tiny, { signal: AbortSignal.timeout(wait) });
    await loading.then(
      (bert) => bert.dispose(),
      (error: unknown) => {
        assert.equal((error as Bertlens.BertlensError).code, 'aborted');
      },
    );
  }
  assert.deepEqual(openFiles(), []);
});

test('a sum for a file that a model cannot have is refused', async () => {
  const sum = '0'.repeat(64);
  const wrong = { 'model.safetensor': sum };
  for (const load of [worker.load, inPlace.load]) {
    await rejects(
      load(tiny, { integrity: wrong }),
      'invalid_argument',
      /integrity: the model has no file "model\.safetensor"/,
    );
  }
  // one that it may have, and does not have: another file would be read in its place, unchecked
  for (const file of ['tokenizer.json', 'model.safetensors']) {
    const folder = path.join(models, file === 'tokenizer.json' ? 'tiny' : 'sharded');
    await rejects(
      inPlace.load(folder, { integrity: { [file]: sum } }),
      'not_found',
      new RegExp(`no ${file} in .*, and integrity names it`),
    );
  }
  const shards = path.join(models, 'sharded');
  const shard = readdirSync(shards).find((name) => /-of-/.test(name))!;
  const right = createHash('sha256')
    .update(readFileSync(path.join(shards, shard)))
    .digest('hex');
  await loaded(inPlace.load(shards, { integrity: { [shard]: right } }));
  await rejects(inPlace.load(shards, { integrity: { [shard]: sum } }), 'io', /has SHA-256/);
});

test('a shard that ends early is named, whatever follows it', async () => {
  const shards = path.join(models, 'sharded');
  const files = Object.fromEntries(
    readdirSync(shards).map((name) => [name, readFileSync(path.join(shards, name))]),
  );
  const [first] = Object.keys(files)
    .filter((name) => /-of-/.test(name))
    .sort();
  const whole = files[first!]!;
  files[first!] = whole.subarray(0, -4);
  await rejects(inPlace.load(files), 'invalid_model', new RegExp(`${first!}: .*${whole.length - 4} bytes`));
  const server = await serveModel(shards, { [first!]: [{ body: files[first!]! }] });
  try {
    await rejects(
      inPlace.load(server.address),
      'invalid_model',
      new RegExp(
        `${first!} ends after ${whole.length - 4} bytes of the ${whole.length} that its header says`,
      ),
    );
  } finally {
    await server.close();
  }
});

test("a folder's query goes with each of its files", async () => {
  await served({}, async (server) => {
    await loaded(inPlace.load(`${server.address}?signature=1`));
    assert.ok(server.asked.length > 3);
    for (const { path: file, query } of server.asked) assert.equal(query, '?signature=1', file);
  });
});

test('a promise of files that fails is handled also where the options are refused', async () => {
  const failing = Promise.reject<Uint8Array>(new Error('the network')).then((vocabTxt) => ({ vocabTxt }));
  await rejects(alone.loadTokenizer(failing, { signal: AbortSignal.abort() }), 'aborted', /aborted/);
  await new Promise((done) => setTimeout(done, 10)); // an unhandled one would end this process
});

test('an error that onProgress throws is the one that the caller gets', async () => {
  for (const load of [worker.load, inPlace.load]) {
    const own = new RangeError('my own');
    const loading = load(tiny, {
      onProgress: () => {
        throw own;
      },
    });
    await assert.rejects(loading, (error) => error === own);
  }
});

test('where downloads cannot be kept, `runtime` says so', async () => {
  await served({}, async (server) => {
    const bert = await loaded(worker.load(server.address));
    assert.match(
      bert.runtime.reasons.join('\n'),
      /storage: downloads are not kept: there is none outside a browser/,
    );
    const other = await loaded(worker.load(server.address, { cache: false }));
    assert.doesNotMatch(other.runtime.reasons.join('\n'), /storage/);
    const local = await loaded(worker.load(tiny));
    assert.doesNotMatch(local.runtime.reasons.join('\n'), /storage/);
  });
  assert.deepEqual(await worker.listStored(), []);
  assert.equal(await worker.deleteStored('owner/name'), 0);
  assert.equal(await worker.deleteStored(), 0);
});

test('wrong options of load are named with their value', async () => {
  const wrong: [unknown, RegExp][] = [
    [{ precison: 'int8' }, /load: unknown option "precison"; known options: precision/],
    [{ precision: 'int4' }, /precision must be one of "f32", "f16", "int8", not "int4"/],
    [{ threads: 0 }, /threads must be a whole number from 1 to 64, not 0/],
    [{ threads: 2, build: 'simd' }, /the build simd has one thread, and threads is 2/],
    [{ threads: 'many' }, /threads must be .*not "many"/],
    [{ build: 'avx' }, /build must be one of .*not "avx"/],
    [{ cache: 'yes' }, /cache must be true or false, not "yes"/],
    [{ integrity: 'abc' }, /integrity must be an object, not "abc"/],
    [{ integrity: { 'config.json': 'abc' } }, /SHA-256 of config\.json must be 64 hex digits, not "abc"/],
    [{ revision: 1 }, /revision must be a string, not 1/],
    [{ files: 'config.json' }, /files must be an array of names, not "config.json"/],
    [{ files: [1] }, /a file must be a string, not 1/],
    [{ statistics: 1 }, /statistics must be true or false, not 1/],
    [{ onProgress: true }, /onProgress must be a function, not true/],
    [{ signal: 'stop' }, /signal must be an AbortSignal, not "stop"/],
    ['int8', /load: options must be an object, not "int8"/],
  ];
  for (const [options, message] of wrong) {
    for (const load of [worker.load, inPlace.load]) {
      await rejects(load(tiny, options as Bertlens.LoadOptions), 'invalid_argument', message);
    }
  }
});
