// Adds up what `./run test` left in its results folder (checks, ctest, GoogleTest, node:test); names what failed or was skipped.
// usage: node tools/count.js build/results
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

const folder = process.argv[2];
const total = { passed: 0, failed: [], skipped: [] };

function unescape(text) {
  return text.replace(
    /&(lt|gt|quot|apos|amp|#10);/g,
    (_, name) => ({ lt: '<', gt: '>', quot: '"', apos: "'", amp: '&', '#10': ' ' })[name],
  );
}
function attribute(tag, name) {
  const match = new RegExp(`\\s${name}="([^"]*)"`).exec(tag);
  return match ? unescape(match[1]) : undefined;
}
/** The <testcase> elements of a JUnit file: their opening tag and what is inside. */
function* cases(xml) {
  for (const match of xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g))
    yield [match[1], match[2] ?? ''];
}
function add(outcome, name) {
  if (outcome === 'passed') total.passed++;
  else total[outcome].push(name);
}

/** ctest runs executables; the cases inside are in GoogleTest's own report. */
function countCtest(preset, xml) {
  for (const [tag, body] of cases(xml)) {
    const name = attribute(tag, 'name');
    const status = attribute(tag, 'status');
    const report = path.join('build', preset, 'reports', `${name}.json`);
    let failures = 0;
    if (existsSync(report)) {
      for (const suite of JSON.parse(readFileSync(report, 'utf8')).testsuites) {
        for (const test of suite.testsuite) {
          const label = `${preset}: ${suite.name}.${test.name}`;
          if (test.status === 'NOTRUN' || test.result === 'SKIPPED') add('skipped', label);
          else if (test.failures) failures += add('failed', label) ?? 1;
          else add('passed', label);
        }
      }
    } else if (status === 'run') add('passed', name);
    else if (status === 'disabled' || status === 'notrun' || body.includes('<skipped'))
      add('skipped', `${preset}: ${name}`);
    // a program that fails outside its cases (a crash, a sanitizer's report, no start) is a failure of its own
    if (status === 'fail' && failures === 0) add('failed', `${preset}: ${name}`);
  }
}

for (const file of readdirSync(folder)) {
  const text = readFileSync(path.join(folder, file), 'utf8');
  if (file === 'checks.tsv') {
    for (const line of text.trim().split('\n')) add(...line.split('\t'));
  } else if (file.startsWith('ctest-')) {
    countCtest(file.slice('ctest-'.length, -'.xml'.length), text);
  } else if (file.startsWith('node-')) {
    for (const [tag, body] of cases(text)) {
      const name = `${attribute(tag, 'file') ?? file.slice('node-'.length, -'.xml'.length)}: ${attribute(tag, 'name')}`;
      add(body.includes('<skipped') ? 'skipped' : body.includes('<failure') ? 'failed' : 'passed', name);
    }
  }
}

for (const kind of ['skipped', 'failed']) {
  if (total[kind].length) console.log(`${kind}:\n${total[kind].map((name) => `  ${name}`).join('\n')}`);
}
console.log(`${total.passed} passed, ${total.failed.length} failed, ${total.skipped.length} skipped`);
process.exit(total.failed.length || !total.passed ? 1 : 0);
