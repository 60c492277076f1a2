// README's quick starts run as they stand there, with a tiny model in place of the default one.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

import { tinyModel } from './models.js';
import { binary, output, root } from './program.js';

const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const commands = [...readme.matchAll(/```sh\n([^]*?)```/g)]
  .flatMap((block) => block[1].split('\n'))
  .filter((line) => /^(printf .*\| )?bertlens /.test(line) && !line.startsWith('bertlens pull'));

describe('README', () => {
  it('shows the command line', () => assert.ok(commands.length >= 15, `${commands.length}`));
  for (const line of commands) {
    it(line, () => {
      const env = {
        ...process.env,
        BERTLENS_MODEL: tinyModel(),
        PATH: `${path.dirname(binary)}:${process.env.PATH}`,
      };
      const result = spawnSync('bash', ['-c', `set -o pipefail; ${line}`], {
        cwd: root,
        env,
        encoding: 'utf8',
      });
      assert.equal(result.stderr, '');
      assert.equal(result.status, 0);
      assert.ok(result.stdout.length > 50);
    });
  }
  it('the C++ quick start gives what the command line gives', () => {
    const program =
      process.env.BERTLENS_README ?? path.join(root, 'build/native/tests/build/readme_quick_start');
    const result = spawnSync(program, [tinyModel()], { encoding: 'utf8' });
    assert.ifError(result.error);
    assert.equal(result.stderr, '');
    const [token, probability] = result.stdout.split(/\s+/);
    const args = ['fill-mask', '--model', tinyModel(), '--csv', 'The capital of France is [MASK].'];
    const best = output(args).split('\n')[1].split(',');
    assert.equal(token, best[3]);
    assert.equal(probability, Number(best[5]).toFixed(4));
  });
});
