// Runs the built command line for the tests and checks what every call must keep to.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const binary = process.env.BERTLENS_CLI ?? path.join(root, 'build/native/bertlens');

/** The reference files beside the checkout, which need not be there. */
export const shared = process.env.BERTLENS_SHARED ?? path.join(root, '../shared');
export const withoutShared = existsSync(shared) ? false : 'the shared reference files are not there';

/**
 * Runs `bertlens ...args`. Standard output is decoded strictly, so that bytes that are not UTF-8 fail the test.
 * @param {string[]} args
 * @param {{ input?: string | Uint8Array, env?: Record<string, string>, stdout?: number }} [options]
 */
export function run(args, options = {}) {
  const result = spawnSync(binary, args, {
    input: options.input ?? '',
    env: { ...process.env, BERTLENS_MODEL: '', ...options.env },
    stdio: ['pipe', options.stdout ?? 'pipe', 'pipe'],
    maxBuffer: 1 << 30,
  });
  assert.ifError(result.error);
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const stdout = result.stdout ? utf8.decode(result.stdout) : '';
  const stderr = utf8.decode(result.stderr);
  return { status: result.status, signal: result.signal, stdout, stderr };
}

/** Standard output of a call that must succeed without a word on standard error. */
export function output(args, options) {
  const result = run(args, options);
  assert.equal(result.stderr, '');
  assert.equal(result.status, 0);
  return result.stdout;
}

/** The JSON value that a call prints. */
export const json = (args, options) => JSON.parse(output(args, options));

/** The answers of a stream: objects or lines of text in, objects out. `status` is 1 where a line is bad. */
export function stream(args, lines, status = 0) {
  const input = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)) + '\n').join('');
  const result = run([...args, '--jsonl'], { input });
  assert.equal(result.status, status, result.stderr);
  const answers = result.stdout.split('\n');
  assert.equal(answers.pop(), '', 'the last line has its end');
  const objects = answers.map((line) => JSON.parse(line));
  if (status === 1) {
    const bad = objects.filter((object) => object.error);
    // eval-nsp answers no line by itself, so that only others have their errors in place
    const first = args.includes('eval-nsp') ? '\\d+' : objects.indexOf(bad[0]) + 1;
    assertOneLine(result.stderr);
    assert.match(result.stderr, new RegExp(`: ${bad.length} of ${lines.length} lines? .* line ${first};`));
  }
  return objects;
}

/** The answers of a running stream as they come; it is ended when it hangs. */
export async function* talk(child) {
  const timer = setTimeout(() => child.kill(), 10_000);
  for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line);
  clearTimeout(timer);
}

/** A call that must fail: the status, nothing on standard output, and one clean line that matches. */
export function failure(args, status, pattern, options) {
  const result = run(args, options);
  assert.equal(result.status, status, `${args.join(' ')}: ${result.stderr}`);
  assert.equal(result.stdout, '');
  assertOneLine(result.stderr);
  assert.match(result.stderr, pattern);
}

/** One line of at most 300 characters without control characters. */
export function assertOneLine(text) {
  assert.match(text, /^bertlens: .*\n$/);
  assert.ok(text.length <= 300, `${text.length} characters`);
  // eslint-disable-next-line no-control-regex
  assert.doesNotMatch(text.slice(0, -1), /[\x00-\x1f\x7f-\x9f\u2028\u2029]/);
}

/** A new folder for the length of a test. */
export function temporaryFolder(t) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bertlens-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A golden file beside the tests. */
export const golden = (name) => readFileSync(path.join(root, 'tests/golden/cli', name), 'utf8');
