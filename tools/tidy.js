// clang-tidy over our own C++ files, several at a time; a file whose preprocessed text was clean before is not read again.
// usage: node tools/tidy.js JOBS    (after the native build, whose compile commands it uses; after the CUDA build also for its files)
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = process.cwd();
const clean = path.join(process.env.BERTLENS_CACHE, 'tidy');
const options = { maxBuffer: 256 << 20 };
mkdirSync(clean, { recursive: true });

/** Our own C++ files of a build, each with its compile command and the build's folder; none if it is not there. */
function filesOf(build) {
  const commands = path.join(root, build, 'compile_commands.json');
  if (!existsSync(commands)) return [];
  return JSON.parse(readFileSync(commands, 'utf8'))
    .filter(
      ({ file }) =>
        file.endsWith('.cpp') &&
        file.startsWith(root + path.sep) &&
        !file.startsWith(path.join(root, 'build') + path.sep),
    )
    .map((entry) => ({ ...entry, build: path.join(root, build) }));
}
const ours = filesOf('build/native');
const known = new Set(ours.map(({ file }) => file));
ours.push(...filesOf('build/cuda').filter(({ file }) => !known.has(file)));
const rules = readFileSync('.clang-tidy');
let failed = 0;

async function tidy({ file, command, directory, build }) {
  // the compile command as the shell reads it (it has quoted definitions), without its output, preprocessing only
  const preprocess = command.replace(/^.*?(?=\S*(?:clang|g|c)\+\+)/, '').replace(/ -o \S+ -c /, ' -E -P ');
  const { stdout } = await run('sh', ['-c', preprocess], { ...options, cwd: directory });
  const mark = path.join(
    clean,
    createHash('sha256').update(rules).update(file.slice(root.length)).update(stdout).digest('hex'),
  );
  if (existsSync(mark)) return;
  try {
    await run('clang-tidy-19', ['--quiet', '--warnings-as-errors=*', '-p', build, file], options);
    writeFileSync(mark, '');
  } catch (error) {
    failed++;
    console.log(error.stdout || error.message);
  }
}

const queue = [...ours];
await Promise.all(
  Array.from({ length: Number(process.argv[2] ?? 2) }, async () => {
    for (let next = queue.pop(); next; next = queue.pop()) await tidy(next);
  }),
);
console.log(`${ours.length} files, ${failed} with findings`);
process.exit(failed ? 1 : 0);
