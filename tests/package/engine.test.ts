// `bertlens` and `bertlens/sync` from the packed tarball: golden values, tasks, queue and errors in every build.
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { fixtures, installed, makeModels, nodes, otherRuntimes, root, runNode } from './support.ts';

const golden = path.join(root, 'tests/golden');
const defaultModel = path.join(root, 'models/default');
const builds = ['simd', 'simd-threads', 'relaxed', 'relaxed-threads'];
let project: ReturnType<typeof installed>;
let models: string;
before(() => {
  project = installed();
  models = makeModels(project.folder);
  for (const file of ['engine-checks.js', 'node-engine.js', 'node-lifetime.js']) {
    cpSync(path.join(fixtures, file), path.join(project.folder, file));
  }
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
  test(`500 loads and disposals leave the heap where it was, in Node ${major}`, (t) => {
    t.diagnostic(
      runNode(node, 'node-lifetime.js', [path.join(models, 'wide')], project.folder, ['--expose-gc']),
    );
  });
}

for (const [name, { program, flags }] of otherRuntimes()) {
  for (const build of builds) {
    test(`the ${build} build in ${name}`, (t) => {
      const args = [golden, models, defaultModel, build];
      t.diagnostic(runNode(program, 'node-engine.js', args, project.folder, flags));
    });
  }
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
