// Writes the licence texts that the npm package or the page must carry: its bundled npm packages, and for the package also
// the C++ libraries inside its WebAssembly modules. usage: node tools/licenses.js wasm|web OUT
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const [part, out] = process.argv.slice(2);
const cache = process.env.BERTLENS_CACHE;
const sections = [];

function add(name, text) {
  sections.push(`${name}\n${'-'.repeat(name.length)}\n\n${text.trim()}\n`);
}
function licenceOf(folder) {
  const file = readdirSync(folder).find((name) => /^(licen[cs]e|copying|copyright)/i.test(name));
  return file && readFileSync(path.join(folder, file), 'utf8');
}

/** What stands in a file from one mark to the end of another. */
function partOf(file, from, to) {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const [start, end] = [text.indexOf(from), text.indexOf(to)];
  return start >= 0 && end > start ? text.slice(start, end + to.length).replace(/^ +/gm, '') : undefined;
}
function need(name, text) {
  if (text) add(name, text);
  else console.error(`licenses: the licence of ${name} is not here; add it before you publish`);
}

// C++ libraries inside the modules
for (const [name, file] of [
  ['XNNPACK', `${cache}/sources/xnnpack/LICENSE`],
  ['pthreadpool', `${cache}/sources/pthreadpool/LICENSE`],
  ['FXdiv', `${cache}/sources/fxdiv/LICENSE`],
  ['FP16', `${cache}/sources/fp16/LICENSE`],
  ['JSON for Modern C++', '/usr/share/doc/nlohmann-json3-dev/copyright'],
  ['tl::expected', '/usr/share/doc/libexpected-dev/copyright'],
  ['musl (C library)', `${cache}/emscripten/emscripten/system/lib/libc/musl/COPYRIGHT`],
  ['LLVM libc++ and compiler-rt', '/usr/share/doc/libclang-common-19-dev/copyright'],
]) {
  if (existsSync(file)) add(name, readFileSync(file, 'utf8'));
  else console.error(`licenses: ${file} is not here; add the licence of ${name} before you publish`);
}

// node's own licence has that of its Unicode tables; FXdiv's has the words of MIT, which Emscripten names alone
need(
  'Unicode Character Database',
  partOf(
    path.join(path.dirname(process.execPath), '../LICENSE'),
    'UNICODE LICENSE V3',
    'SPDX-License-Identifier: Unicode-3.0',
  ),
);
const mit = partOf(`${cache}/sources/fxdiv/LICENSE`, 'Permission is hereby granted', 'IN THE SOFTWARE.');
need("Emscripten's run-time", mit && `Copyright 2010 The Emscripten Authors\n\n${mit}`);

// npm packages that are bundled: what the part depends on at run time, and what those depend on
const seen = new Set(['bertlens']);
function bundle(manifest) {
  for (const name of Object.keys(manifest.dependencies ?? {}).sort()) {
    const folder = path.join('node_modules', name);
    if (seen.has(name) || !existsSync(folder)) continue;
    seen.add(name);
    const own = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
    add(`${name} ${own.version} (${own.license})`, licenceOf(folder) ?? `License: ${own.license}`);
    bundle(own);
  }
}
bundle(JSON.parse(readFileSync(`${part}/package.json`, 'utf8')));

writeFileSync(out, `Licences of the third-party works in this folder\n\n${sections.join('\n\n')}`);
