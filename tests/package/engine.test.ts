// `bertlens`, `bertlens/inline` and `bertlens/sync` from the packed tarball: golden values, tasks, queue and errors in every build.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { copyFixtures, installed, makeModels, nodes, otherRuntimes, root, runNode } from './support.ts';

const golden = path.join(root, 'tests/golden');
const defaultModel = path.join(root, 'models/default');
const builds = ['simd', 'simd-threads', 'relaxed', 'relaxed-threads'];
let project: ReturnType<typeof installed>;
let models: string;
before(() => {
  project = installed();
  models = makeModels(project.folder);
  copyFixtures(['engine-checks.js', 'node-engine.js', 'node-lifetime.js'], project.folder);
  copyFixtures(
    ['engine-checks.js', 'node-engine.js'],
    path.join(project.folder, 'inline'),
    'bertlens/inline',
  );
});
after(() => {
  project.finish();
});

for (const [major, node] of nodes()) {
  for (const build of builds) {
    // Node 20 has no relaxed SIMD, and computes it wrongly behind its flag
    if (major < 22 && build.startsWith('relaxed')) continue;
    test(`the ${build} build in Node ${major}`, (t) => {
      t.diagnostic(runNode(node, 'node-engine.js', [golden, models, defaultModel, build], project.folder));
    });
  }
  const inlined = major < 22 ? 'simd' : 'relaxed';
  test(`bertlens/inline, the ${inlined} build in Node ${major}`, (t) => {
    const args = [golden, models, defaultModel, inlined];
    t.diagnostic(runNode(node, 'inline/node-engine.js', args, project.folder));
  });
  test(`500 loads and disposals leave the heap where it was, in Node ${major}`, (t) => {
    t.diagnostic(
      runNode(node, 'node-lifetime.js', [path.join(models, 'wide')], project.folder, ['--expose-gc']),
    );
  });
}

for (const [name, { program, flags }] of otherRuntimes()) {
  // the least and the most; Deno takes half a minute for each
  for (const build of ['simd', 'relaxed-threads']) {
    test(`the ${build} build in ${name}`, (t) => {
      const args = [golden, models, defaultModel, build];
      t.diagnostic(runNode(program, 'node-engine.js', args, project.folder, flags));
    });
  }
  test(`bertlens/inline in ${name}`, (t) => {
    const args = [golden, models, defaultModel, 'relaxed'];
    t.diagnostic(runNode(program, 'inline/node-engine.js', args, project.folder, flags));
  });
}

test('Node 20 is told why it does not get relaxed SIMD', () => {
  const old = nodes().get(20);
  if (old === undefined) return;
  const code = `import { load } from 'bertlens/sync';
    const bert = await load(process.argv[1]);
    console.log(JSON.stringify(bert.runtime));`;
  const run = (flags: string[]): { build: string; reasons: string[] } =>
    JSON.parse(
      runNode(old, '--input-type=module', ['-e', code, path.join(models, 'wide')], project.folder, flags),
    ) as { build: string; reasons: string[] };
  assert.equal(run([]).build, 'simd');
  assert.match(run([]).reasons.join(), /relaxed SIMD: not in this/);
  const flagged = run(['--experimental-wasm-relaxed-simd']);
  assert.equal(flagged.build, 'simd');
  assert.match(flagged.reasons.join(), /computes -120 for/);
});

test('bertlens/inline says that it has no threads, and what is missing where its WebAssembly cannot be unpacked', () => {
  const code = `import { load, loadTokenizer } from 'bertlens/inline';
    const fault = async (loading) => { try { await loading; } catch ({ code, message }) { return { code, message }; } };
    const model = process.argv[1];
    const threads = [await fault(load(model, { threads: 2 })), await fault(load(model, { build: 'simd-threads' }))];
    const { DecompressionStream } = globalThis;
    delete globalThis.DecompressionStream;
    const none = await fault(loadTokenizer(model));
    globalThis.DecompressionStream = DecompressionStream;
    const { atob } = globalThis;
    globalThis.atob = (text) => atob(text).replace(/.$/s, '');
    const cut = await fault(loadTokenizer(model));
    globalThis.atob = atob;
    const { tokens } = (await loadTokenizer(model)).encode('hello');
    console.log(JSON.stringify({ threads, none, cut, tokens }));`;
  const args = ['-e', code, path.join(models, 'tiny')];
  const found = runNode(process.execPath, '--input-type=module', args, project.folder);
  type Fault = Readonly<{ code: string; message: string }>;
  const { threads, none, cut, tokens } = JSON.parse(found) as {
    threads: Fault[];
    none: Fault;
    cut: Fault;
    tokens: string[];
  };
  for (const { code: threadsCode, message } of threads) {
    assert.equal(threadsCode, 'unsupported');
    assert.match(message, /cannot run: threads: bertlens\/inline has no builds with threads/);
  }
  assert.deepEqual(none, { code: 'unsupported', message: 'DecompressionStream is needed and not here' });
  assert.equal(cut.code, 'unsupported');
  assert.match(cut.message, /the inlined WebAssembly cannot be unpacked or compiled: \w/);
  assert.deepEqual(tokens, ['[CLS]', 'hello', '[SEP]'], 'a later load finds it again');
});
