// Where Node's tests find their files: the checkout, the build, the cache of set-up, reference files beside the checkout.
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');
const cache =
  process.env['BERTLENS_CACHE'] ??
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'bertlens');

/** The vocabulary of bert-base-uncased, which set-up puts into the cache. */
export const vocabPath = process.env['BERTLENS_VOCAB'] ?? join(cache, 'vocab/bert-base-uncased.txt');
/** The native tokenizer behind a pipe (tests/parity/tokenizer_driver.cpp). */
export const driverPath =
  process.env['BERTLENS_TOKENIZER_DRIVER'] ?? join(root, 'build/native/tests/parity/tokenizer_driver');

const shared = process.env['BERTLENS_SHARED'] ?? join(root, '../shared');
/** A path inside the optional folder of reference files. */
export function sharedPath(relative: string): string {
  return join(shared, relative);
}
/** For node:test's `skip`: false, or why tests on a reference file or folder are left out. */
export function without(relative: string): string | false {
  return existsSync(sharedPath(relative))
    ? false
    : `${relative} is not in the shared folder beside the checkout`;
}
