// Trains a tiny model on made-up text: what prepare.py writes, train.py and the CPU trainer learn, resume and write, and
// what evaluate.py reads; packed batches against padded ones. Each test is skipped, by name, where Python with PyTorch or a
// CPU that can is missing.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';

const models = resolve(import.meta.dirname, '../../models');
const environment = { ...process.env, OMP_NUM_THREADS: '1', PYTHONDONTWRITEBYTECODE: '1' };

const answers = (program, args) => spawnSync(program, args, { env: environment }).status === 0;
const python = ['/usr/bin/python3', 'python3'].find((p) => answers(p, ['-c', 'import numpy, torch']));
const needsTorch = { skip: python ? false : 'Python with PyTorch is not installed' };
const compiler = ['g++', 'clang++'].find((p) => answers(p, ['--version']));
const cpu = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
// Of the two sets of products that the CPU trainer can be compiled for.
const needs = (name, flag) => ({
  skip:
    needsTorch.skip || (!compiler && 'no C++ compiler') || (!cpu.includes(flag) && `the CPU has no ${name}`),
});

let folder;
let report; // of prepare.py
const path = (...parts) => join(folder, ...parts);
const run = (script, ...args) =>
  execFileSync(python, [join(models, script), ...args], { env: environment, encoding: 'utf8' });

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'bertlens-training-'));
  const words = ['the', 'red', 'blue', 'cat', 'dog', 'see', '##s', 'like', 'a', 'on', 'mat', '.'];
  const vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...words];
  writeFileSync(path('vocab.txt'), vocabulary.join('\n') + '\n');
  // Each document keeps its colours and animals, so that there is something to learn.
  const documents = Array.from({ length: 400 }, (_, i) => {
    const colour = i % 2 ? 'red' : 'blue';
    const [one, other] = i % 3 ? ['cat', 'dog'] : ['dog', 'cat'];
    return Array.from({ length: 6 }, (_, j) =>
      j % 2
        ? `A ${one} likes the ${other} on ${'the '.repeat(1 + (i % 5))}mat.`
        : `The ${colour} ${one} sees ${i} mats.`,
    ).join('\n');
  });
  writeFileSync(path('text.txt'), documents.join('\n\n') + '\n');
  if (!python) return;
  report = run(
    'train/prepare.py',
    '--vocab',
    path('vocab.txt'),
    '--out',
    path('shards'),
    '--jobs',
    '1',
    path('text.txt'),
  );
});
after(() => rmSync(folder, { recursive: true, force: true }));

const lossesOf = (log) => [...log.matchAll(/mlm loss ([\d.]+)/g)].map((match) => Number(match[1]));

test('prepare.py tokenizes, and holds out one document in a hundred', needsTorch, () => {
  assert.match(report, /^text: [\d,]+ tokens to train on, [\d,]+ held out/);
  const words = (name, Type) => new Type(new Uint8Array(readFileSync(path('shards', `text.${name}`))).buffer);
  const tokens = words('train.tokens', Uint16Array);
  const sentences = words('train.sentences', Uint32Array);
  const documents = words('train.documents', Uint32Array);
  // "The blue dog sees 0 mats." and "A dog likes the cat on the mat."
  assert.deepEqual([...tokens.slice(0, sentences[1])], [5, 7, 9, 10, 11, 1, 15, 11, 16]);
  assert.deepEqual([...tokens.slice(sentences[1], sentences[2])], [13, 9, 12, 11, 5, 8, 14, 5, 15, 16]);
  assert.equal(sentences.at(-1), tokens.length);
  assert.equal(documents.at(-1), sentences.length - 1);
  const held = words('held.documents', Uint32Array).length - 1;
  assert.equal(documents.length - 1 + held, 400);
  assert.ok(held >= 1 && held <= 20, `${held} documents held out`);
});

test('packed batches give what padded ones give; Muon makes matrices orthogonal', needsTorch, () => {
  run('train/check_packed.py', path('vocab.txt'), path('shards')); // fails if they differ
});

test('train.py learns, resumes, and writes a folder that evaluate.py reads', needsTorch, () => {
  const args = ['--vocab', path('vocab.txt'), '--data', path('shards'), '--out', path('model')];
  const size = [
    '--layers',
    '1',
    '--hidden',
    '32',
    '--heads',
    '2',
    '--positions',
    '128',
    '--lengths',
    '128',
    '128',
  ];
  const pace = [
    '--seconds',
    '3600',
    '--batch-tokens',
    '2048',
    '--batches',
    '1',
    '1',
    '--warmup',
    '5',
    '--rate',
    '0.01',
    '--embedding-rate',
    '0.01',
    '--log-steps',
    '10',
  ];
  const first = run('train/train.py', ...args, ...size, ...pace, '--steps', '60', '--jobs', '1');
  const losses = lossesOf(first);
  assert.ok(losses.at(-1) < losses[0] - 0.3, `the loss did not fall: ${losses}`);
  const second = run('train/train.py', ...args, ...size, ...pace, '--steps', '10', '--jobs', '1');
  assert.match(second, /^resumed at step 60/m);
  assert.match(second, /stopped at step 70/);
  assert.match(second, /^held out: \d+ pieces asked, loss \d/m);
  const adam = ['--optimizer', 'adamw', '--no-checkpoint', '--out', path('adamw')];
  const other = lossesOf(
    run('train/train.py', ...args, ...size, ...pace, ...adam, '--steps', '60', '--jobs', '2'),
  );
  assert.ok(other.at(-1) < other[0] - 0.3, `the loss did not fall with AdamW: ${other}`);
  assert.ok(!existsSync(path('adamw', 'checkpoint.pt')));

  // The pieces for transport are the file.
  const whole = readFileSync(path('model', 'model.safetensors'));
  assert.ok(whole.equals(readFileSync(path('model', 'parts', 'model.aa'))));
  const done = JSON.parse(readFileSync(path('model', 'parts', 'DONE'), 'utf8'));
  assert.deepEqual([done.step, done.sha256], [70, createHash('sha256').update(whole).digest('hex')]);
  const config = JSON.parse(readFileSync(path('model', 'config.json'), 'utf8'));
  assert.deepEqual(
    [config.model_type, config.vocab_size, config.hidden_size, config.num_hidden_layers],
    ['bert', 17, 32, 1],
  );
  const file = path('figures.json');
  run(
    'evaluate/evaluate.py',
    '--model',
    path('model'),
    '--data',
    path('shards'),
    '--passages',
    '10',
    '--pairs',
    '10',
    '--json',
    file,
  );
  const figures = JSON.parse(readFileSync(file, 'utf8'));
  assert.ok(figures.mlm.masks >= 10, `${figures.mlm.masks} masks`);
  assert.ok(figures.mlm.loss > 0 && figures.mlm.loss < Math.log(17), `mlm loss ${figures.mlm.loss}`);
  assert.ok(figures.mlm.top1 <= figures.mlm.top5 && figures.nsp.pairs === 10);
  // the made-up documents are short: it says so, where it could look for ever
  const asked = ['--model', path('model'), '--data', path('shards'), '--passages', '1', '--pairs', '1'];
  const long = spawnSync(python, [join(models, 'evaluate/evaluate.py'), ...asked, '--long', '2'], {
    env: environment,
    encoding: 'utf8',
  });
  assert.equal(long.status, 1);
  assert.match(long.stderr, /^--long 2: hardly any held-out document has 510 pieces, of \d+$/m);
});

test(
  'train.py waits for a first shard, takes up later ones, and saves when it is told to stop',
  needsTorch,
  async () => {
    mkdirSync(path('coming'));
    const tiny =
      '--layers 1 --hidden 16 --heads 1 --positions 128 --lengths 128 128 --batch-tokens 1024 --log-steps 1';
    const training = spawn(
      python,
      [
        ...[join(models, 'train/train.py'), '--vocab', path('vocab.txt'), '--data', path('coming')],
        ...['--out', path('waiting'), '--seconds', '3600', '--jobs', '2', ...tiny.split(' ')],
      ],
      { env: { ...environment, PYTHONUNBUFFERED: '1' } },
    );
    let log = '';
    const ended = new Promise((done) => training.on('close', done));
    const said = (what) =>
      new Promise((done, fail) => {
        const look = () => what.test(log) && done();
        training.stdout.on('data', look);
        ended.then(() => fail(new Error(`ended without ${what}: ${log}`)));
        look();
      });
    training.stdout.on('data', (text) => (log += text));
    training.stderr.on('data', (text) => (log += text));
    const add = (name) => {
      for (const kind of ['tokens', 'sentences', 'documents'])
        copyFileSync(path('shards', `text.train.${kind}`), path('coming', `${name}.train.${kind}`));
    };
    await said(/CPU, PyTorch/);
    add('one');
    await said(/^1 part\b/m);
    add('two');
    await said(/^2 parts/m);
    training.kill();
    assert.equal(await ended, 0);
    assert.match(log, /^stopped at step \d+/m);
    assert.ok(existsSync(path('waiting', 'parts', 'DONE')));
  },
);

// The same model with its matrices as int8 and a scale a row, as `bertlens quantize --precision int8` stores them.
function toInt8(from, to) {
  const file = readFileSync(from);
  const start = 8 + Number(file.readBigUInt64LE());
  const header = {};
  const parts = [];
  let end = 0;
  const add = (name, dtype, shape, data) => {
    header[name] = { dtype, shape, data_offsets: [end, (end += data.length)] };
    parts.push(data);
  };
  for (const [name, { shape, data_offsets }] of Object.entries(JSON.parse(file.subarray(8, start)))) {
    if (name === '__metadata__') continue;
    const data = file.subarray(...data_offsets.map((offset) => start + offset));
    if (shape.length < 2) {
      add(name, 'F32', shape, data);
      continue;
    }
    const [rows, columns] = shape;
    const values = new Float32Array(new Uint8Array(data).buffer);
    const scales = Float32Array.from({ length: rows }, (_, r) => {
      const row = values.subarray(r * columns, (r + 1) * columns);
      return row.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-9) / 127;
    });
    const whole = Int8Array.from(values, (x, i) => Math.round(x / scales[Math.floor(i / columns)]));
    add(name, 'I8', shape, Buffer.from(whole.buffer));
    add(`${name}_scale`, 'F32', [rows], Buffer.from(scales.buffer));
  }
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(to, Buffer.concat([size, json, ...parts]));
}

const targets = [
  ['AVX2', 'avx2', 'haswell'],
  ['AMX', 'amx_bf16', 'sapphirerapids'],
];
for (const [name, flag, march] of targets)
  test(
    `the CPU trainer on ${name} has PyTorch's losses and gradients, learns, resumes, starts from a model`,
    needs(name, flag),
    () => {
      const program = path(`train-${name}`);
      const source = join(models, 'train/cpu/train.cpp');
      const flags = ['-std=c++20', '-O3', `-march=${march}`, '-ffast-math', '-fno-finite-math-only'];
      execFileSync(compiler, [...flags, source, '-o', program, '-pthread'], { stdio: 'pipe' });
      for (const part of ['dump', 'first', 'int8', 'from float', 'from int8', 'other'])
        mkdirSync(path(name, part), { recursive: true });
      const shard = (kind) => path('shards', `text.${kind}`);
      const options =
        `--vocab ${path('vocab.txt')} --train ${shard('train')} --held ${shard('held')} --layers 2 --hidden 64 --heads 2
         --intermediate 128 --positions 128 --rows 512 --batches 2 --lengths 64 128 40 --warmup 20 --rate 0.003
         --pieces 1e6`.split(/\s+/);
      const train = (out, ...more) =>
        spawnSync(program, [...options, '--out', path(name, out), ...more], { encoding: 'utf8' });
      assert.equal(train('first', '--dump', path(name, 'dump')).status, 0);
      run('train/cpu/check_gradients.py', path(name, 'dump')); // fails if they differ
      const losses = lossesOf(train('first', '--steps', '200').stdout);
      assert.ok(losses.at(-1) < losses[0] - 0.3, `the loss did not fall: ${losses}`);
      assert.match(train('first', '--steps', '201').stdout, /^resumed at step 200/);

      // What the first run ended with is what another starts with, also from int8.
      const reached = lossesOf(train('first', '--steps', '201').stdout)[0];
      const start = (out, from) =>
        lossesOf(train(out, '--start', path(name, from), '--pieces', '1').stdout)[0];
      assert.equal(start('from float', 'first'), reached);
      toInt8(path(name, 'first/model.safetensors'), path(name, 'int8/model.safetensors'));
      assert.ok(Math.abs(start('from int8', 'int8') - reached) < 0.02);
      const other = train('other', '--start', path(name, 'first'), '--layers', '3');
      assert.equal(other.status, 1);
      assert.match(other.stderr, /^\S+model\.safetensors has no bert\.encoder\.layer\.2\.\S+\n$/);
    },
  );
