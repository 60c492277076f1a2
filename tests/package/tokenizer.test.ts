// `bertlens/tokenizer` from the packed tarball, in every Node.js at hand.
import { cpSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { fixtures, installed, nodes, otherRuntimes, runNode, vocabulary } from './support.ts';

let project: ReturnType<typeof installed>;
before(() => {
  project = installed();
  for (const file of ['tokenizer-checks.js', 'node-tokenizer.js']) {
    cpSync(path.join(fixtures, file), path.join(project.folder, file));
  }
});
after(() => {
  project.finish();
});

for (const [major, node] of nodes()) {
  test(`the tokenizer entry in Node ${major}`, () => {
    runNode(node, 'node-tokenizer.js', [vocabulary], project.folder);
  });
}

for (const [name, { program, flags }] of otherRuntimes()) {
  test(`the tokenizer entry in ${name}`, () => {
    runNode(program, 'node-tokenizer.js', [vocabulary], project.folder, flags);
  });
}
