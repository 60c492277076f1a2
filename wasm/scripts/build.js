// Makes dist/ from src/ and the linked WebAssembly modules: bundles with esbuild, declares types with tsc.
// usage: node wasm/scripts/build.js    (after the CMake builds named below)
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import { unpack } from '../src/packed-wasm.ts';
import { pack } from './pack.js';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const source = path.join(root, 'wasm/src');
const dist = path.join(root, 'wasm/dist');

/** Module name in src/ -> CMake preset and target that make it; `tokenizer` has no JavaScript. */
const modules = {
  tokenizer: { preset: 'wasm-tokenizer', target: 'tokenizer' },
  'engine-simd': { preset: 'wasm-simd', target: 'engine' },
  'engine-simd-threads': { preset: 'wasm-simd-threads', target: 'engine' },
  'engine-relaxed': { preset: 'wasm-relaxed', target: 'engine' },
  'engine-relaxed-threads': { preset: 'wasm-relaxed-threads', target: 'engine' },
};
const entries = ['index', 'inline', 'sync', 'tokenizer'];
/** Scripts that workers run: entries of their own, so that a page loads the one it needs. */
const workers = ['simd', 'relaxed'].flatMap((name) => [
  `worker-${name}`,
  `worker-${name}-threads`,
  `thread-${name}`,
]);
/** The modules that src/inline.ts carries, each with the one that it is made of. */
const inlineModules = {
  tokenizer: undefined,
  'engine-relaxed': 'tokenizer',
  'engine-simd': 'engine-relaxed',
};

const linked = Object.entries(modules).map(([name, { preset, target }]) => {
  const output = path.join(root, 'build', preset, 'wasm', target);
  for (const file of name === 'tokenizer' ? [`${output}.wasm`] : [`${output}.js`, `${output}.wasm`]) {
    if (!existsSync(file)) throw new Error(`${path.relative(root, file)} is missing: run ./run build`);
  }
  return { name, output };
});

/** Emscripten's own ways to its .wasm, which nobody goes: src/*.ts hands it the compiled module. */
const fetching = [
  /var scriptDirectory="";.*?(?=var out=console)/,
  /var dataURIPrefix=.*?(?=function getWasmImports\(\))/,
  /function receiveInstantiationResult\(.*?(?=if\(Module\["instantiateWasm"\])/,
  /wasmBinaryFile\?\?=.*?(?=return\{\}\})/,
];

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
for (const { name, output } of linked) copyFileSync(`${output}.wasm`, path.join(dist, `${name}.wasm`));

/** What the files of the package and the inlined scripts have in common. */
const common = {
  bundle: true,
  target: 'es2022',
  minify: true,
  legalComments: 'inline',
  alias: Object.fromEntries(linked.map(({ name, output }) => [`bertlens-wasm/${name}`, `${output}.js`])),
  // Emscripten also writes exports for CommonJS and AMD, and asks for what modules have not; here that is dead code
  define: Object.fromEntries(
    ['exports', 'module', 'define', 'document', 'process'].map((name) => [name, 'undefined']),
  ),
  logLevel: 'warning',
};
const glue = { name: 'glue', setup: changeGlue };

await build({
  ...common,
  entryPoints: [...entries, ...workers].map((entry) => path.join(source, `${entry}.ts`)),
  outdir: dist,
  splitting: true,
  format: 'esm',
  sourcemap: true,
  sourcesContent: false,
  chunkNames: 'shared-[hash]',
  plugins: [glue, { name: 'inline', setup: inline }],
});

execFileSync(
  path.join(root, 'node_modules/.bin/tsc'),
  ['--project', path.join(root, 'wasm'), '--emitDeclarationOnly', '--sourceMap', 'false'],
  { stdio: 'inherit' },
);
finishDeclarations();

/** Names the files in declarations as they are imported, and removes those that no entry reaches: internals. */
function finishDeclarations() {
  const reached = new Set();
  const visit = (file) => {
    if (reached.has(file)) return;
    reached.add(file);
    const at = path.join(dist, file);
    const text = readFileSync(at, 'utf8').replace(/(from |import\()'\.\/([a-z-]+)\.ts'/g, "$1'./$2.js'");
    writeFileSync(at, text);
    for (const [, name] of text.matchAll(/'\.\/([a-z-]+)\.js'/g)) visit(`${name}.d.ts`);
  };
  for (const entry of entries) visit(`${entry}.d.ts`);
  for (const file of readdirSync(dist)) {
    if (file.endsWith('.d.ts') && !reached.has(file)) rmSync(path.join(dist, file));
  }
}

/**
 * An esbuild plugin's setup: leaves `fetching` out of what the pages download. The glue of builds with threads runs a thread as
 * soon as it is evaluated, so it first gives it the browser's names itself: esbuild does not keep the order of chunks.
 */
function changeGlue({ onLoad }) {
  onLoad({ filter: /\/build\/wasm-[a-z-]+\/wasm\/\w+\.js$/ }, ({ path: file }) => {
    let contents = readFileSync(file, 'utf8');
    for (const part of fetching) {
      if (!part.test(contents))
        throw new Error(`${file} has no ${part}: this Emscripten writes other output`);
      contents = contents.replace(part, '');
    }
    if (/-threads\/wasm/.test(file)) {
      const host = JSON.stringify(path.join(source, 'host-worker.ts'));
      contents = `import { becomeWorker } from ${host};\nbecomeWorker();\n${contents}`;
    }
    return { contents, loader: 'js' };
  });
}

/** An esbuild plugin's setup: the modules `bertlens-inline/...` are texts, scripts as they are and WebAssembly packed. */
function inline({ onResolve, onLoad }) {
  onResolve({ filter: /^bertlens-inline\// }, ({ path: name }) => ({
    path: name.slice('bertlens-inline/'.length),
    namespace: 'inline',
  }));
  onLoad({ filter: /\.js$/, namespace: 'inline' }, async ({ path: file }) => {
    // a classic script, which Node.js can run as text too
    const { outputFiles } = await build({
      ...common,
      entryPoints: [path.join(source, file.replace('.js', '.ts'))],
      write: false,
      format: 'iife',
      plugins: [glue],
    });
    return { contents: outputFiles[0].text, loader: 'text' };
  });
  onLoad({ filter: /\.wasm$/, namespace: 'inline' }, async ({ path: file }) => ({
    contents: (await packed(path.parse(file).name)).packed,
    loader: 'text',
  }));
}

/** A module packed, as src/packed-wasm.ts has it; unpacked again to be sure. */
async function packed(name) {
  const read = (module) => readFileSync(path.join(dist, `${module}.wasm`));
  const baseName = inlineModules[name];
  const base = baseName && (await packed(baseName));
  const wasm = { packed: pack(read(name), baseName && read(baseName)).toString('base64'), base };
  if (!read(name).equals(await unpack(wasm))) throw new Error(`${name}.wasm is another one when unpacked`);
  return wasm;
}
