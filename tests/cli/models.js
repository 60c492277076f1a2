// Model folders for the tests, made from seeds by the project's own maker.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { root } from './program.js';

const maker =
  process.env.BERTLENS_MAKE_CHECKPOINT ?? path.join(root, 'build/native/tests/support/make_checkpoint');
const cache =
  process.env.BERTLENS_CACHE ||
  path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'bertlens');

/** The vocabulary that set-up makes. */
export const vocabulary = path.join(cache, 'vocab/bert-base-uncased.txt');

let folder;
/** A folder for all models of a test file; it goes with the process. */
export function modelsFolder() {
  if (!folder) {
    folder = mkdtempSync(path.join(os.tmpdir(), 'bertlens-models-'));
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  }
  return folder;
}

function make(name, args) {
  const out = path.join(modelsFolder(), name);
  if (existsSync(out)) return out;
  const result = spawnSync(maker, [...args, '--out', out], { encoding: 'utf8' });
  assert.ifError(result.error);
  assert.equal(result.status, 0, result.stderr);
  return out;
}

/** Two layers, hidden size 128, the vocabulary of bert-base-uncased, random weights. */
export const tinyModel = (name = 'tiny', ...args) =>
  make(name, ['--size', 'tiny', '--vocab', vocabulary, ...args]);

/** One of the models that the golden values were made with. */
export const goldenModel = (name) =>
  make(`golden-${name}`, ['--models', path.join(root, 'tests/golden/models.json'), '--model', name]);

/** The golden cases of a model, tensors as flat arrays with their shape. */
export function goldenCases(name) {
  return JSON.parse(readFileSync(path.join(root, `tests/golden/bert/${name}.json`), 'utf8')).cases;
}

/** The numbers of a golden tensor. */
export function numbers(tensor) {
  const bytes = Buffer.from(tensor.data, 'base64');
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

/** The greatest difference between nested lists of numbers and a flat one. */
export function difference(nested, flat) {
  const all = nested.flat(Infinity);
  assert.equal(all.length, flat.length);
  return all.reduce((most, value, i) => Math.max(most, Math.abs(value - flat[i])), 0);
}
