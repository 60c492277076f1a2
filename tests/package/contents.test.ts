// The tarball itself: sizes, types, and what publint and are-the-types-wrong say of it.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

import { dist, fixtures, installed, root } from './support.ts';

const bin = path.join(root, 'node_modules/.bin');
let project: ReturnType<typeof installed>;
before(() => {
  project = installed();
});
after(() => {
  project.finish();
});

/** An entry's file and all that it imports, statically and dynamically. */
function graph(entry: string): Set<string> {
  const found = new Set<string>();
  const visit = (file: string): void => {
    if (found.has(file)) return;
    found.add(file);
    const text = readFileSync(path.join(dist, file), 'utf8');
    for (const [, name] of text.matchAll(/(?:from|import\(?)\s*["']\.\/([\w-]+\.js)["']/g)) visit(name!);
  };
  visit(entry);
  return found;
}

function brotliKilobytes(files: Iterable<string>): number {
  let bytes = 0;
  for (const file of files) {
    const options = { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 } };
    bytes += brotliCompressSync(readFileSync(path.join(dist, file)), options).length;
  }
  return bytes / 1000;
}

test('bertlens/tokenizer takes at most 60 KB with brotli, WebAssembly and JavaScript together', (t) => {
  const size = brotliKilobytes([...graph('tokenizer.js'), 'tokenizer.wasm']);
  t.diagnostic(`${size.toFixed(1)} KB`);
  assert.ok(size <= 60, `${size.toFixed(1)} KB`);
});

// what a page downloads for one build beside its own JavaScript: the worker's, and the WebAssembly
for (const build of ['simd', 'relaxed']) {
  for (const [suffix, most] of [
    ['', 142],
    ['-threads', 150],
  ] as const) {
    test(`the engine's ${build}${suffix} build takes at most ${most} KB with brotli, its worker's JavaScript included`, (t) => {
      const files = new Set([...graph(`worker-${build}${suffix}.js`), `engine-${build}${suffix}.wasm`]);
      if (suffix) for (const file of graph(`thread-${build}.js`)) files.add(file);
      const size = brotliKilobytes(files);
      t.diagnostic(`${size.toFixed(1)} KB`);
      assert.ok(size <= most, `${size.toFixed(1)} KB`);
    });
  }
}

test("the page's own JavaScript for the engine takes at most 25 KB with brotli", (t) => {
  const size = brotliKilobytes(graph('index.js'));
  t.diagnostic(`${size.toFixed(1)} KB`);
  assert.ok(size <= 25, `${size.toFixed(1)} KB`);
});

// the text is compressed already: what a server does with it adds little
test('bertlens/inline, all that it carries included, takes at most 250 KB with brotli and 270 KB with gzip', (t) => {
  const sizes = [...graph('inline.js')].map((file) => gzipSync(readFileSync(path.join(dist, file))).length);
  const gzip = sizes.reduce((sum, size) => sum + size) / 1000;
  const brotli = brotliKilobytes(graph('inline.js'));
  t.diagnostic(`${brotli.toFixed(1)} KB, with gzip ${gzip.toFixed(1)} KB`);
  assert.ok(brotli <= 250 && gzip <= 270, `${brotli.toFixed(1)} KB, with gzip ${gzip.toFixed(1)} KB`);
});

test('bertlens/inline exports what bertlens does, and loadTokenizer', async () => {
  const names = async (entry: string): Promise<string[]> =>
    Object.keys((await import(pathToFileURL(path.join(dist, entry)).href)) as object);
  assert.deepEqual(await names('inline.js'), [...(await names('index.js')), 'loadTokenizer'].sort());
});

test('of bertlens/inline a bundle has what it imports: the tokenizer alone takes at most 75 KB', (t) => {
  const page = "import { loadTokenizer } from 'bertlens/inline'; loadTokenizer('/model/');";
  writeFileSync(path.join(project.folder, 'tokenizer-page.js'), page);
  const flags = ['tokenizer-page.js', '--bundle', '--minify'];
  const bundle = execFileSync(path.join(bin, 'esbuild'), flags, { cwd: project.folder });
  const size = brotliCompressSync(bundle).length / 1000;
  t.diagnostic(`${size.toFixed(1)} KB`);
  assert.ok(size <= 75, `${size.toFixed(1)} KB`);
});

test('the tarball takes at most 3 MB', (t) => {
  const size = statSync(project.tarball).size / 1e6;
  t.diagnostic(`${size.toFixed(2)} MB`);
  assert.ok(size <= 3, `${size.toFixed(2)} MB`);
});

test('nothing but bertlens/inline evaluates text or makes blob addresses', () => {
  const files = ['index', 'sync', 'worker-relaxed-threads', 'thread-relaxed'].flatMap((name) => [
    ...graph(`${name}.js`),
  ]);
  for (const file of new Set(files)) {
    const text = readFileSync(path.join(dist, file), 'utf8');
    assert.doesNotMatch(text, /\beval\(|new Function|createObjectURL|\bblob:(?!")/, file);
  }
});

// declarations are checked with the code: nothing of them may need a library that a user does not have
const dom = ['es2022', 'dom', 'dom.iterable', 'dom.asynciterable'];
const nodeTypes = { types: ['node'], typeRoots: [path.join(root, 'node_modules/@types')] };
for (const [what, moduleResolution, options] of [
  ['for a page, found as Node finds it', 'nodenext', { lib: [...dom, 'esnext.disposable'], types: [] }],
  ['for a page, found as a bundler finds it', 'bundler', { lib: [...dom, 'esnext.disposable'], types: [] }],
  ['with the default libraries alone', 'nodenext', { types: [] }],
  ['for Node, without the DOM', 'nodenext', { lib: ['es2022'], ...nodeTypes }],
] as const) {
  test(`a user's code type-checks ${what}`, () => {
    cpSync(path.join(fixtures, 'types.ts'), path.join(project.folder, 'types.ts'));
    writeFileSync(
      path.join(project.folder, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          target: 'es2022',
          module: moduleResolution === 'nodenext' ? 'nodenext' : 'esnext',
          moduleResolution,
          ...options,
          strict: true,
          skipLibCheck: false,
          exactOptionalPropertyTypes: true,
          noEmit: true,
        },
        include: ['types.ts'],
      }),
    );
    const done = spawnSync(path.join(bin, 'tsc'), ['-p', project.folder], { encoding: 'utf8' });
    assert.equal(done.stdout, '');
    assert.equal(done.status, 0);
  });
}

test('publint finds nothing', () => {
  const done = spawnSync(path.join(bin, 'publint'), ['run', project.tarball, '--strict'], {
    encoding: 'utf8',
  });
  assert.equal(done.status, 0, done.stdout + done.stderr);
});

test('are-the-types-wrong finds nothing', () => {
  // the package is ES modules only: CommonJS resolution is not offered
  execFileSync(path.join(bin, 'attw'), [project.tarball, '--profile', 'esm-only', '--format', 'ascii'], {
    encoding: 'utf8',
  });
});
