// The commands that run a model: their answers against PyTorch's golden values and against each other, their errors.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

import { difference, goldenCases, goldenModel, modelsFolder, numbers, tinyModel } from './models.js';
import { binary, failure, json, output, root, run, stream, talk, temporaryFolder } from './program.js';

const close = (actual, expected, bound = 1e-6) =>
  assert.ok(Math.abs(actual - expected) <= bound, `${actual} is not ${expected}`);
const withTiny = (...args) => [args[0], '--model', tinyModel(), ...args.slice(1)];
const sentence = 'The capital of France is [MASK].';

/** The tiny model with other tensors: `change` gets { name: { dtype, shape, bytes } }. */
function changedModel(t, change) {
  const folder = temporaryFolder(t);
  for (const name of ['config.json', 'vocab.txt'])
    copyFileSync(path.join(tinyModel(), name), path.join(folder, name));
  const file = readFileSync(path.join(tinyModel(), 'model.safetensors'));
  const start = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__, ...tensors } = JSON.parse(file.subarray(8, start));
  for (const tensor of Object.values(tensors)) {
    const [begin, end] = tensor.data_offsets;
    tensor.bytes = Buffer.from(file.subarray(start + begin, start + end));
  }
  change(tensors);
  let offset = 0;
  const header = { __metadata__ };
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors))
    header[name] = { dtype, shape, data_offsets: [offset, (offset += bytes.length)] };
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  const parts = [size, text, ...Object.values(tensors).map(({ bytes }) => bytes)];
  writeFileSync(path.join(folder, 'model.safetensors'), Buffer.concat(parts));
  return folder;
}

describe('encode', () => {
  for (const name of ['deep', 'sharded', 'plain', 'masked', 'wide']) {
    for (const backend of ['xnnpack', 'reference']) {
      it(`gives PyTorch's values: ${name}, ${backend}`, () => {
        const args = ['encode', '--model', goldenModel(name), '--backend', backend, '--precision', 'f32'];
        for (const golden of goldenCases(name)) {
          const rows = golden.input_ids.map((input_ids, i) => ({
            input_ids,
            token_type_ids: golden.token_type_ids[i],
            attention_mask: golden.attention_mask[i],
          }));
          const answers = stream([...args, '--hidden-states', '--attentions'], rows);
          const last = golden.hidden_states.length - 1;
          assert.ok(
            difference(
              answers.map((a) => a.last_hidden_state),
              numbers(golden.hidden_states[last]),
            ) < 1e-4,
          );
          golden.hidden_states.forEach((state, layer) => {
            const values = answers.map((answer) => answer.hidden_states[layer]);
            assert.ok(difference(values, numbers(state)) < 1e-4, `${golden.name}, hidden state ${layer}`);
          });
          (golden.attentions ?? []).forEach((attention, layer) => {
            const values = answers.map((answer) => answer.attentions[layer]);
            assert.ok(difference(values, numbers(attention)) < 1e-4, `${golden.name}, attention ${layer}`);
          });
          if (golden.pooler_output) {
            assert.ok(
              difference(
                answers.map((a) => a.pooler_output),
                numbers(golden.pooler_output),
              ) < 1e-4,
            );
          } else {
            assert.equal(answers[0].pooler_output, null);
          }
        }
      });
    }
  }
  it('shows inner values: scores are those of queries and keys, contexts those of attentions and values', () => {
    const asked = 'query:1,key:1,value:1,scores:1,context:1,embedding_sum,feed_forward';
    const args = ['encode', ...['--precision', 'f32', '--attentions', '1', '--probes', asked]];
    const lines = [{ text: 'hello world' }, { text: 'hello', pair: 'big world' }];
    for (const answer of stream(withTiny(...args), lines)) {
      const { probes, attentions } = answer;
      const names = ['embedding_sum', 'query', 'key', 'value', 'scores', 'context', 'feed_forward'];
      assert.deepEqual(Object.keys(probes), names);
      assert.deepEqual(Object.keys(probes.feed_forward), ['0', '1']);
      const [query, key, value, context, scores] = ['query', 'key', 'value', 'context', 'scores'].map(
        (name) => probes[name][1],
      );
      assert.equal(probes.embedding_sum[0].length, answer.last_hidden_state.length);
      assert.equal(probes.embedding_sum[0][0].length, answer.last_hidden_state[0].length);
      const size = query[0].length / scores.length;
      const of = (row, head) => row.slice(head * size, (head + 1) * size);
      const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
      scores.forEach((matrix, head) => {
        matrix.forEach((row, q) => {
          const weights = row.map(Math.exp);
          const total = weights.reduce((a, b) => a + b);
          row.forEach((score, k) => {
            close(score, dot(of(query[q], head), of(key[k], head)) / Math.sqrt(size), 1e-4);
            close(weights[k] / total, attentions[0][head][q][k], 1e-5);
          });
          of(context[q], head).forEach((x, i) =>
            close(
              x,
              dot(
                attentions[0][head][q],
                value.map((row) => of(row, head)[i]),
              ),
              1e-4,
            ),
          );
        });
      });
    }
    assert.match(
      output(withTiny('encode', '--probes', 'scores:0', 'a')),
      /^scores of layer 0 \[1, \d+, 3, 3\]$/m,
    );
    failure(
      withTiny('encode', '--probes', 'keys', 'a'),
      2,
      /--probes: 'keys' is none of embedding_sum, query/,
    );
    failure(withTiny('encode', '--probes', 'key:2', 'a'), 2, /--probes: '2' is not a layer from 0 to 1/);
    failure(withTiny('encode', '--probes', 'embedding_sum:1', 'a'), 2, /'1' is not a layer from 0 to 0/);
  });
  it('takes a text or ids, and nothing of the other beside them', () => {
    const ids = [101, 102];
    const mixed = [
      { text: 'a', input_ids: ids },
      { text: 'a', token_type_ids: [0, 0, 1] },
      { text: 'a', attention_mask: [1, 1, 0] },
      { pair: 'a', input_ids: ids },
    ];
    for (const [i, { error }] of stream(withTiny('encode'), mixed, 1).entries()) {
      const [one, other] = Object.keys(mixed[i]);
      assert.equal(error.message, `"${one}" and "${other}" exclude each other`);
    }
  });
  it('chooses layers, with a text after the option', () => {
    const one = json(withTiny('encode', '--json', '--attentions', '1', 'hello world'));
    const all = json(withTiny('encode', '--json', 'hello world', '--attentions'));
    assert.equal(one.attentions.length, 1);
    assert.equal(all.attentions.length, 2);
    assert.deepEqual(one.attentions[0], all.attentions[1]);
    assert.equal(one.hidden_states, undefined);
    assert.equal(json(withTiny('encode', '--json', '--attentions', '0', '1', 'a')).attentions.length, 2);
    assert.equal(json(withTiny('encode', '--json', '--attentions', '0, 1', 'a')).attentions.length, 2);
    failure(withTiny('encode', '--attentions', '0 1', 'a'), 2, /--attentions: '0 1' is not a layer/);
    failure(
      withTiny('encode', '--attentions', '0,2', 'a'),
      2,
      /--attentions: '2' is not a layer from 0 to 1/,
    );
    assert.deepEqual(json(withTiny('encode', '--json', '--attentions', 'all', 'hello world')), all);
    failure(withTiny('encode', '--attentions', '-1', 'a'), 2, /--attentions: '-1' is not a layer/);
    failure(withTiny('encode', '--attentions=', 'a'), 2, /--attentions: is empty/);
    failure(withTiny('encode', '--attentions', ''), 2, /--attentions: '' is neither all nor numbers/);
    failure(
      withTiny('encode', '--jsonl', '--attentions', 'first'),
      2,
      /--attentions: 'first' is neither all/,
    );
    assert.equal(json(withTiny('encode', '--json', '--attentions=0', '5')).attentions.length, 1);
    assert.equal(json(withTiny('encode', '--json', '--attentions', 'a text')).attentions.length, 2);
    const twice = ['--attentions', '0', '--attentions', '1'];
    failure(withTiny('encode', ...twice, 'a'), 2, /--attentions is given 2 times instead of once/);
  });
  it('the same with text, pair and ids', () => {
    const [text, ids, alone] = stream(withTiny('encode'), [
      { text: 'hello', pair: 'world' },
      { input_ids: [101, 7592, 102, 2088, 102], token_type_ids: [0, 0, 0, 1, 1] },
      { input_ids: [101, 7592, 102, 2088, 102] },
    ]);
    assert.deepEqual(text, ids);
    assert.notDeepEqual(text, alone);
    // --pair is the second text of every line that has none
    const [given, own] = stream(withTiny('encode', '--pair', 'world'), [
      { text: 'hello' },
      { text: 'hello', pair: '' },
    ]);
    assert.deepEqual(given, text);
    assert.equal(own.last_hidden_state.length, 4);
  });
  it('numbers read back equal, and none of the floats looks like a whole number', () => {
    const text = output(withTiny('encode', '--json', 'hello world'));
    for (const number of text.match(/-?\d[^,\]]*/g)) {
      assert.match(number, /[.e]/);
      assert.ok(Math.abs(Math.fround(number) - number) <= Math.abs(number) * 1e-7, number);
    }
    const values = JSON.parse(text).last_hidden_state;
    const rows = output(withTiny('encode', '--csv', 'hello world'))
      .trim()
      .split('\n')
      .slice(1);
    assert.deepEqual(
      rows.map((row) => row.split(',').slice(3).map(Number)),
      values,
    );
    assert.match(output(withTiny('mask-effect', '--json', 'a', 'a b')), /"cls_l2":\[\d+\.\d+,0\.0\]/);
  });
  it('a bad line spoils no other', () => {
    const bad = [
      {},
      { text: 'a', input_ids: [1] },
      { input_ids: [] },
      { input_ids: [30522] },
      { input_ids: [-1] },
      { input_ids: [101], token_type_ids: [2] },
      { input_ids: [101], attention_mask: [1, 1] },
      { input_ids: [101], attention_mask: [7] },
      { input_ids: Array(513).fill(101) },
      { text: 'hello '.repeat(600) },
    ];
    // numbers that JSON's own types do not hold, as they were written
    const large = [
      ['{"input_ids": [101, 4294967397]}', '"input_ids": 4294967397 is not an id from 0 to 30521'],
      [
        '{"a\\"": "1e20", "input_ids": [99999999999999999999]}',
        '"input_ids": 99999999999999999999 is not an id from 0 to 30521',
      ],
      ['{"input_ids": [-4294967397]}', '"input_ids": -4294967397 is not an id from 0 to 30521'],
      [
        '{"input_ids": [1], "token_type_ids": [1e9]}',
        '"token_type_ids" must be a list of whole numbers, got 1e9',
      ],
      [
        '{"input_ids": [1], "token_type_ids": [4294967296]}',
        '"token_type_ids": 4294967296 is not a type id from 0 to 1',
      ],
      [
        '{"input_ids": [1], "attention_mask": [4294967296]}',
        '"attention_mask": 4294967296 is not a number from 0 to 1',
      ],
    ];
    for (const [i, answer] of stream(
      withTiny('encode'),
      large.map(([line]) => line),
      1,
    ).entries())
      assert.equal(answer.error.message, large[i][1]);
    const answers = stream(withTiny('encode'), [{ text: 'hello' }, ...bad, { text: 'hello' }], 1);
    assert.equal(answers.length, bad.length + 2);
    for (const answer of answers.slice(1, -1)) assert.ok(answer.error.message.length > 10);
    assert.equal(answers.at(-2).error.code, 'too_long');
    assert.ok(difference(answers.at(-1).last_hidden_state, answers[0].last_hidden_state.flat()) < 1e-5);
  });
});

describe('fill-mask', () => {
  it('gives the fields of the contract', () => {
    const [answer] = stream(withTiny('fill-mask', '--top-k', '3'), [
      { text: sentence, label_text: 'The capital of France is Paris.' },
    ]);
    assert.equal(answer.masks[0].position, 6);
    assert.equal(answer.masks[0].predictions.length, 3);
    for (const prediction of answer.masks[0].predictions) {
      assert.deepEqual(Object.keys(prediction).slice(0, 5), ['token', 'id', 'probability', 'logit', 'loss']);
      close(prediction.loss, -Math.log(prediction.probability), 1e-9);
    }
    assert.deepEqual(answer.labels, [-100, -100, -100, -100, -100, -100, 3000, -100, -100]);
    assert.equal(answer.loss, answer.masks[0].label.loss);
    assert.equal(answer.sequence, `the capital of france is ${answer.masks[0].predictions[0].token}.`);
  });
  it('many predictions of many lines come as they are ready', () => {
    const lines = Array.from({ length: 9 }, (_, i) => ({ text: i === 4 ? 'none' : `${sentence} ${i}` }));
    const answers = stream(withTiny('fill-mask', '--top-k', '30522'), lines, 1);
    assert.deepEqual(
      answers.map((answer) => answer.masks?.[0].predictions.length),
      lines.map((_, i) => (i === 4 ? undefined : 30522)),
    );
    const [alone] = stream(withTiny('fill-mask', '--top-k', '3'), [lines[8]]);
    assert.deepEqual(answers[8].masks[0].predictions.slice(0, 3), alone.masks[0].predictions);
  });
  it('the whole vocabulary sums to one', () => {
    const answer = json(withTiny('fill-mask', '--json', '--top-k', '30522', sentence));
    const { predictions } = answer.masks[0];
    assert.equal(predictions.length, 30522);
    close(
      predictions.reduce((sum, p) => sum + p.probability, 0),
      1,
      1e-9,
    );
  });
  it('targets keep the probability that they have among all', () => {
    const all = json(withTiny('fill-mask', '--json', '--top-k', '30522', sentence)).masks[0].predictions;
    const [answer] = stream(withTiny('fill-mask'), [
      { text: sentence, targets: ['Paris', 'london', 'antidisestablishment'] },
    ]);
    const byToken = Object.fromEntries(answer.masks[0].predictions.map((p) => [p.token, p]));
    for (const token of ['paris', 'london']) {
      const other = all.find((p) => p.token === token);
      close(byToken[token].probability, other.probability, 1e-9);
      assert.equal(byToken[token].rank, other.rank);
    }
    assert.equal(byToken.antidisestablishment.id, null);
    assert.equal(byToken.antidisestablishment.logit, null);
    assert.ok(byToken.antidisestablishment.ids.length > 2);
    assert.ok(byToken.antidisestablishment.loss > 0);
  });
  it('a target of several pieces is reported with all of their ids', () => {
    const [{ ids }] = json(withTiny('fill-mask', '--json', '--targets', 'new york', sentence)).masks[0]
      .predictions;
    const report = output(withTiny('fill-mask', '--targets', 'new york', sentence));
    assert.ok(report.includes(`Predicted token id: [${ids.join(', ')}] -> new york\n`), report);
  });
  it('several masks in three orders', () => {
    const text = '[MASK] is the [MASK] of Germany.';
    for (const order of ['independent', 'left_to_right', 'most_confident']) {
      const [answer] = stream(withTiny('fill-mask', '--order', order), [{ text }]);
      assert.equal(answer.masks.length, 2);
      assert.doesNotMatch(answer.sequence, /MASK/);
    }
  });
  it('refuses what it cannot answer', () => {
    const bad = [
      { text: 'no mask' },
      { text: 'a [mask] in lower case' },
      { text: sentence, label_text: 'too short' },
      { text: sentence, label_text: sentence },
      { text: sentence, pair: 'a [MASK]', label_text: sentence.replace('[MASK]', 'Paris') },
      { text: sentence, targets: [] },
      { text: sentence, targets: ['\u{1f600}'] },
      { text: sentence, targets: 'paris' },
      { text: 1 },
    ];
    const answers = stream(withTiny('fill-mask'), bad, 1);
    assert.match(answers[0].error.message, /no \[MASK\] among the tokens of/);
    for (const answer of answers) assert.ok(answer.error);
    assert.match(
      answers[2].error.message,
      /^"label_text" 'too short': the label text has \d+ tokens, the text/,
    );
    assert.match(answers[6].error.message, /^"targets": the target '.*' cannot be written/);
    const options = withTiny('fill-mask', '--label-text', 'x', '--targets', '\u{1f600}');
    const of = (line) => stream(options, [line], 1)[0].error.message;
    assert.match(of({ text: sentence }), /^--targets: the target/);
    assert.match(of({ text: sentence, targets: ['a'] }), /^--label-text 'x': the label text has 3 tokens/);
    failure([...options, sentence], 1, /fill-mask: --targets: the target '.*' cannot be written/);
    failure(
      withTiny('fill-mask', '--label-text', 'x', 'a[MASK]'),
      1,
      /fill-mask: --label-text 'x': the label text has 3 tokens, the text with masks 4/,
    );
    for (const [answer, token] of [
      [answers[3], 6],
      [answers[4], 10],
    ])
      assert.ok(
        answer.error.message.endsWith(`the label text leaves the [MASK] at token ${token} unfilled`),
        answer.error.message,
      );
    failure(
      withTiny('fill-mask', '--top-k', '30523', sentence),
      2,
      /--top-k: must be from 1 to 30522.*got 30523/,
    );
    failure(withTiny('fill-mask', '--top-k', '0', sentence), 2, /--top-k: .*got 0/);
    failure(
      withTiny('fill-mask', '--one-mask-per-word', sentence),
      2,
      /--one-mask-per-word requires --mask-words/,
    );
    failure(withTiny('fill-mask', 'no mask'), 1, /no \[MASK\]/);
    failure(withTiny('fill-mask', '--mask-words', '1,x', 'a b'), 2, /'x' is not the position of a word/);
    failure(
      withTiny('fill-mask', '--mask-words', '7', 'a b'),
      2,
      /--mask-words: word position 7 is not in the text/,
    );
    failure(
      withTiny('fill-mask', '--mask-words', '1,1', 'a b'),
      2,
      /--mask-words: word position 1 is given twice/,
    );
    const masking = (...args) => withTiny('fill-mask', '--mask-words', '1', ...args);
    failure(masking('[MASK] brown fox'), 1, /'\[MASK\] brown fox' has a \[MASK\] already/);
    failure(masking('--json', '[MASK] brown fox'), 1, /has a \[MASK\] already/);
    failure(masking('--label-text', 'a b', 'a b'), 2, /--mask-words and --label-text exclude each other/);
    failure(masking('--untrusted', 'a b'), 2, /--mask-words and --untrusted exclude each other/);
    const cut = ['--truncation', 'longest_first', '--max-length', '5'];
    failure(
      withTiny('fill-mask', ...cut, 'one two three [MASK]'),
      1,
      /no \[MASK\] .*not behind what is cut off/,
    );
    failure(
      withTiny('fill-mask', '--untrusted', 'a [MASK]'),
      1,
      /no \[MASK\] among the tokens of 'a \[MASK\]'/,
    );
    const words = ['--mask-words', '1,4', 'one two three four five'];
    failure(withTiny('fill-mask', ...cut, ...words), 1, /truncation cut off 1 of the 2 masks/);
    failure(withTiny('fill-mask', '--json', ...cut, ...words), 1, /truncation cut off 1 of the 2 masks/);
  });
  it("prints the notebook's reports: cells 9 and 10, exercise 4", () => {
    const report = output(
      withTiny('fill-mask', '--top-k', '10', '--label-text', 'The capital of France is Paris.', sentence),
    );
    for (const line of [
      '[MASK] -> 103\n',
      "Tokens: ['[CLS]', 'the', 'capital', 'of', 'france', 'is', 'paris', '.', '[SEP]']\n",
      'Labels before masking non-[MASK]: [[101, 1996, 3007, 1997, 2605, 2003, 3000, 1012, 102]]\n',
      'Labels after masking non-[MASK]: [[-100, -100, -100, -100, -100, -100, 3000, -100, -100]]\n',
      "Top 10 predictions for 'The capital of France is [MASK].':\n",
      'Rank   Token           Probability     Loss if correct',
    ]) {
      assert.ok(report.includes(line), line);
    }
    assert.match(report, /\nLoss: \d+\.\d\d\n/);
    const words = output(
      withTiny('fill-mask', '--mask-words', '1,4,7', 'The quick brown fox jumps over the lazy dog'),
    );
    assert.match(words, /Masked: {3}The \[MASK\] brown fox \[MASK\] over the \[MASK\] dog\n/);
    assert.match(words, /Position 4 - Original word: 'jumps'\n-{50}\n {2}1\. /);
    assert.match(words, /Average confidence of top predictions: \d+\.\d\d%\n$/);
  });
});

describe('next sentence', () => {
  const pairs = [
    { text: 'It rains.', pair: 'Take an umbrella.', is_next: true, topic: 'Weather' },
    { text: 'It rains.', pair: 'Pizza is "popular", they say.', is_next: false },
    { text: 'She studied hard.', pair: 'She passed.', is_next: true },
  ];
  it('nsp answers in order', () => {
    const answers = stream(withTiny('nsp'), pairs);
    for (const answer of answers) {
      assert.deepEqual(Object.keys(answer), ['is_next', 'not_next', 'logits']);
      close(answer.is_next + answer.not_next, 1, 1e-12);
      close(answer.is_next, 1 / (1 + Math.exp(answer.logits[1] - answer.logits[0])), 1e-6);
    }
    const [, missing] = stream(withTiny('nsp'), [pairs[0], { text: 'a' }], 1);
    assert.match(missing.error.message, /"pair" is missing/);
    assert.match(output(withTiny('nsp', 'It rains.', 'Take an umbrella.')), /P\(is next\) {5}= \d\.\d{4}\n/);
    failure(withTiny('nsp', 'one text'), 2, /got one text/);
  });
  it('eval-nsp holds answers against labels, from JSON lines and from CSV', (t) => {
    const report = stream(withTiny('eval-nsp'), pairs).at(-1);
    const correct = report.pairs.filter((pair) => pair.label === pair.predicted).length;
    close(report.accuracy, correct / 3, 1e-12);
    const { tp, fp, tn, fn } = report.confusion;
    assert.equal(tp + fp + tn + fn, 3);
    assert.equal(tp + fn, 2);
    for (const key of ['precision', 'recall', 'f1', 'highest_confidence']) assert.ok(key in report, key);
    const margins = report.pairs.map((pair) => Math.abs(pair.logits[0] - pair.logits[1]));
    assert.equal(report.highest_confidence.index, margins.indexOf(Math.max(...margins)));
    const file = path.join(temporaryFolder(t), 'pairs.csv');
    const quote = (text) => `"${text.replaceAll('"', '""')}"`;
    writeFileSync(
      file,
      'topic,is_next,text,pair\r\n' +
        pairs
          .map((p) => [p.topic ?? '', p.is_next, quote(p.text), quote(p.pair)].join(',') + '\r\n')
          .join(''),
    );
    const table = json(withTiny('eval-nsp', '--json', '--file', file));
    assert.deepEqual(table, report);
    writeFileSync(file, '\ufeff' + readFileSync(file, 'utf8'));
    assert.deepEqual(json(withTiny('eval-nsp', '--json', '--file', file)), report, 'a byte order mark');
    assert.match(output(withTiny('eval-nsp', '--file', file)), /Pair 1 \(Weather\) - [✓✗] (CORRECT|WRONG)\n/);
  });
  it('eval-nsp leaves empty lines out where it is no stream', () => {
    const lines = pairs.map((pair) => JSON.stringify(pair));
    const input = `\n${lines.join('\n\r\n')}\n  \n`;
    assert.deepEqual(
      json(withTiny('eval-nsp', '--json'), { input }),
      json(withTiny('eval-nsp', '--json'), { input: lines.join('\n') }),
    );
    assert.match(stream(withTiny('eval-nsp'), [pairs[0], ''], 1)[0].error.message, /the line is empty/);
  });
  it('eval-nsp: a bad line keeps its place; a stream ends with its object even without a pair', () => {
    const answers = stream(
      withTiny('eval-nsp'),
      [pairs[0], { text: 'a', pair: 'b', is_next: 'yes' }, pairs[1]],
      1,
    );
    assert.equal(answers.length, 2);
    assert.match(answers[0].error.message, /"is_next" must be true or false/);
    assert.equal(answers[1].pairs.length, 2);
    const [nothing] = stream(withTiny('eval-nsp'), []);
    assert.deepEqual([nothing.accuracy, nothing.highest_confidence, nothing.pairs], [null, null, []]);
    const alone = stream(withTiny('eval-nsp'), ['bad'], 1);
    assert.match(alone[0].error.message, /not JSON/);
    assert.deepEqual(alone[1], nothing);
    const header = { input: 'text,pair,is_next\na,b,true\n' };
    failure(withTiny('eval-nsp', '--jsonl'), 1, /standard input is a CSV table: --jsonl takes/, header);
    // what only speaks of a column, or begins with a blank, is a line like any other
    const blank = stream(withTiny('eval-nsp'), [` ${JSON.stringify(pairs[0])}`]);
    assert.equal(blank[0].pairs.length, 1);
    assert.match(stream(withTiny('eval-nsp'), ['is_next?'], 1)[0].error.message, /not JSON/);
    failure(withTiny('eval-nsp'), 1, /standard input: no pair to evaluate/);
    failure(withTiny('eval-nsp', '--threshold', '2'), 2, /--threshold: must be from 0 to 1/);
    failure(withTiny('eval-nsp'), 1, /pair 1: .*is_next/, { input: '{"text":"a","pair":"b"}\n' });
    const csv = (input, pattern) => failure(withTiny('eval-nsp'), 1, pattern, { input });
    csv('a,b\n1,2\n', /standard input: .* columns text, pair, is_next: it begins with 'a,b', without text/);
    csv('text;pair;is_next\n', /begins with 'text;pair;is_next', without text/);
    csv('text,pair,is_next\n""\na,b,true\n', /record 1: 1 fields, the first line has 3/);
    csv('[{"text":"a"}]\n', /standard input: a JSON list, where one object a line is expected/);
    csv('\n\ntext,pair,is_next\na,b,maybe\n', /record 1: is_next must be true or false, got 'maybe'/);
    const columns = { input: '\n Text, PAIR ,Is_Next\na,b,yes\n' };
    assert.equal(json(withTiny('eval-nsp', '--json'), columns).pairs.length, 1);
  });
  it('eval-nsp tells a bad line as soon as the writer pauses', async () => {
    const child = spawn(binary, withTiny('eval-nsp', '--jsonl'));
    const answers = talk(child);
    child.stdin.write('bad\n');
    assert.match((await answers.next()).value.error.message, /not JSON/);
    child.stdin.end(JSON.stringify(pairs[0]) + '\n');
    assert.equal((await answers.next()).value.pairs.length, 1);
    assert.equal((await answers.next()).done, true);
  });
  it('eval-nsp says where a threshold goes against the surer side', () => {
    const input = '{"text":"a","pair":"b","is_next":false}\n';
    const { is_next: isNext } = json(withTiny('eval-nsp', '--json'), { input }).pairs[0];
    const against = ['--threshold', isNext > 0.5 ? '1' : '0'];
    assert.match(
      output(withTiny('eval-nsp', ...against), { input }),
      /Predicted: \w+ next \(by the threshold\)\n/,
    );
    assert.doesNotMatch(output(withTiny('eval-nsp'), { input }), /by the threshold/);
  });
});

describe('one answer', () => {
  const cells = (text) =>
    text
      .trim()
      .split('\n')
      .map((line) => line.split(','));
  it('CSV holds the numbers of JSON in full', () => {
    const column = (rows, name) => rows.slice(1).map((row) => Number(row[rows[0].indexOf(name)]));
    const filled = cells(output(withTiny('fill-mask', '--csv', '--top-k', '3', sentence)));
    const { predictions } = json(withTiny('fill-mask', '--json', '--top-k', '3', sentence)).masks[0];
    for (const name of ['probability', 'loss', 'logit', 'cumulative']) {
      assert.deepEqual(
        column(filled, name),
        predictions.map((prediction) => prediction[name]),
      );
    }
    const label = ['--label-text', sentence.replace('[MASK]', 'Paris')];
    const labelled = cells(output(withTiny('fill-mask', '--csv', ...label, sentence)));
    assert.deepEqual(labelled[0].slice(-2), ['label', 'label_loss']);
    assert.deepEqual(labelled[1].slice(-2), [
      'paris',
      String(json(withTiny('fill-mask', '--json', ...label, sentence)).loss),
    ]);
    for (const option of ['--hidden-states', '--attentions'])
      failure(withTiny('encode', '--csv', option), 2, /--csv holds the last hidden state alone/);
    const scored = cells(output(withTiny('score', '--csv', 'the cat sat')));
    const { tokens } = json(withTiny('score', '--json', 'the cat sat'));
    assert.deepEqual(
      column(scored, 'log_probability'),
      tokens.map((token) => token.log_probability),
    );
    assert.deepEqual(
      column(scored, 'best_probability'),
      tokens.map((token) => token.best_probability),
    );
    const pairs = cells(output(withTiny('nsp', '--csv', 'a', 'b', 'c')));
    assert.deepEqual(
      column(pairs, 'not_next'),
      json(withTiny('nsp', '--json', 'a', 'b', 'c')).map((answer) => answer.not_next),
    );
  });
  it('an error says which of several texts it is about', (t) => {
    for (const command of ['embed', 'score', 'encode']) {
      failure(withTiny(command, 'a', 'b '.repeat(600)), 1, new RegExp(`${command}: text 2: .*602 tokens`));
    }
    failure(withTiny('nsp', 'a', 'b', 'c '.repeat(600)), 1, /nsp: text 3: .*tokens/);
    failure(withTiny('fill-mask', sentence, 'none'), 1, /text 2: no \[MASK\]/);
    failure(
      withTiny('fill-mask', '--mask-words', '1', 'a b', 'a'),
      2,
      /text 2: --mask-words: word position 1/,
    );
    failure(withTiny('decode', '--file', '-'), 1, /standard input, line 2: no token has the id 99999/, {
      input: '101\n99999\n',
    });
    const file = path.join(temporaryFolder(t), 'long.txt');
    writeFileSync(file, `a\n${'b '.repeat(600)}\n`);
    failure(withTiny('embed', '--file', file), 1, /embed: '.*long\.txt', line 2: .*602 tokens/);
    failure(withTiny('score'), 1, /score: standard input, line 1: .*602 tokens/, {
      input: 'b '.repeat(600),
    });
    failure(withTiny('fill-mask', '--targets', 'a,,b', '[MASK]'), 2, /--targets: 'a,,b' has an empty word/);
    failure(withTiny('mask-effect', 'a', 'b '.repeat(600)), 1, /mask-effect: text 2: .*602 tokens/);
    failure(withTiny('mask-effect', '--jsonl', '--curve', '3', 'a'), 2, /--curve works without --jsonl/);
    failure(
      withTiny('mask-effect', '--jsonl', 'a', 'b'),
      2,
      /the batches come from --file or standard input/,
    );
    failure(withTiny('bench', '--seq', '600'), 2, /--seq: must be from 1 to 512 .*got 600/);
  });
});

describe('embed, score, mask-effect', () => {
  it('embed pools and normalizes', () => {
    const lines = [{ text: 'hello world' }, { text: 'hello' }];
    const states = stream(withTiny('encode'), lines);
    const vectors = (...args) => stream(withTiny('embed', ...args), lines).map((answer) => answer.embedding);
    assert.ok(difference(vectors('--pooling', 'cls')[0], states[0].last_hidden_state[0]) < 1e-5);
    const column = (i) => states[1].last_hidden_state.map((row) => row[i]);
    const mean = vectors('--pooling', 'mean')[1];
    const most = vectors('--pooling', 'max')[1];
    mean.forEach((value, i) => close(value, column(i).reduce((a, b) => a + b) / 3, 1e-5));
    most.forEach((value, i) => close(value, Math.max(...column(i)), 1e-5));
    close(Math.hypot(...vectors('--normalize')[0]), 1, 1e-5);
    const [bad] = stream(withTiny('embed'), [{ text: null }], 1);
    assert.match(bad.error.message, /"text" is missing/);
    const both = [{ text: 'hello', pair: 'world' }];
    const [pair] = stream(withTiny('embed', '--pooling', 'cls'), both);
    assert.ok(difference(pair.embedding, stream(withTiny('encode'), both)[0].last_hidden_state[0]) < 1e-5);
    const [wrong] = stream(withTiny('embed'), [{ text: 'a', pair: 1 }], 1);
    assert.match(wrong.error.message, /"pair" must be a string/);
  });
  it('score sums the tokens', () => {
    const [answer, empty] = stream(withTiny('score'), [{ text: 'the cat sat' }, { text: '' }]);
    assert.deepEqual(
      answer.tokens.map((token) => token.token),
      ['the', 'cat', 'sat'],
    );
    close(
      answer.pseudo_log_likelihood,
      answer.tokens.reduce((sum, token) => sum + token.log_probability, 0),
      1e-9,
    );
    const mask = json(withTiny('fill-mask', '--json', '--targets', 'cat', 'the [MASK] sat')).masks[0]
      .predictions[0];
    close(answer.tokens[1].log_probability, -mask.loss, 1e-4);
    assert.deepEqual(empty, { pseudo_log_likelihood: 0, tokens: [] });
    const [pair, masked] = ['score', 'fill-mask'].map(
      (command) =>
        stream(withTiny(command), [
          { text: 'the cat', pair: command === 'score' ? 'sat' : '[MASK]', targets: ['sat'] },
        ])[0],
    );
    assert.deepEqual(
      pair.tokens.map((token) => token.token),
      ['the', 'cat', 'sat'],
    );
    close(pair.tokens[2].log_probability, -masked.masks[0].predictions[0].loss, 1e-4);
  });
  it('mask-effect: none without padding', () => {
    const [answer] = stream(withTiny('mask-effect'), [{ texts: ['hello world', 'hello'] }]);
    assert.equal(answer.cls_l2[0], 0);
    assert.ok(answer.cls_l2[1] > 0.1);
    assert.deepEqual(
      answer.per_layer.map((layers) => layers.length),
      [3, 3],
    );
    assert.equal(answer.per_layer[1][0], 0);
    assert.equal(answer.per_layer[1][2], answer.cls_l2[1]);
    assert.deepEqual(
      answer.per_token.map((states) => states.map((tokens) => tokens.length)),
      [Array(3).fill(4), Array(3).fill(3)],
    );
    answer.per_token.forEach((states, sequence) => {
      const first = states.map((tokens) => tokens[0]);
      assert.deepEqual(first, answer.per_layer[sequence]);
    });
    const report = output(withTiny('mask-effect', 'hello world', 'hello'));
    assert.match(report, /^L2 distance between CLS with\/without mask per sequence: \[0\.0, \d+\.\d+\]\n/);
    const curve = json(withTiny('mask-effect', '--json', '--curve', '3', 'hello'));
    close(curve.cls_l2[1], answer.cls_l2[1], 1e-4);
    failure(
      withTiny('mask-effect', '--curve', '600', 'hello'),
      2,
      /--curve 600: the text's 3 tokens leave the model's positions for at most 509/,
    );
    assert.equal(json(withTiny('mask-effect', '--json', '--curve', '509', 'hello')).cls_l2.length, 510);
    for (const line of [{ texts: [] }, { texts: 'a' }, { text: 'a' }, { texts: [1] }]) {
      assert.ok(stream(withTiny('mask-effect'), [line], 1)[0].error);
    }
  });
});

describe('inspect', () => {
  const base = {
    model_type: 'bert',
    vocab_size: 30522,
    hidden_size: 768,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    intermediate_size: 3072,
  };
  it("prints the notebook's cell 8 and exercise 3 from a configuration alone", (t) => {
    const file = path.join(temporaryFolder(t), 'bert-base-uncased.json');
    writeFileSync(file, JSON.stringify(base));
    const report = output(['inspect', '--config', file]);
    for (const line of [
      'Total params in bert-base-uncased: 109,482,240 (trainable: 109,482,240)',
      ' - embeddings : BertEmbeddings',
      'Encoder layer stack depth: 12',
      'Intermediate FF size: 3072',
      'Embedding layer parameters: 23,837,184',
      '  - Word embeddings: 23,440,896',
      '  - Position embeddings: 393,216',
      '  - Token type embeddings: 1,536',
      '  - LayerNorm + others: 1,536',
      'Single encoder layer parameters: 7,087,872',
      '  - Self-attention: 2,363,904',
      '  - Intermediate (FFN): 2,362,368',
      '  - Output projection: 2,361,600',
      'Pooler layer parameters: 590,592',
      'All encoder layers (12 layers) parameters: 85,054,464',
      'Sum of calculated parameters: 109,482,240',
      'Match: True',
      'Encoder layers contain 77.7% of all parameters',
      'Average parameters per layer (including embeddings): 7,820,160',
    ]) {
      assert.ok(report.includes(line), line);
    }
    const answer = json(['inspect', '--config', file, '--json']);
    assert.equal(answer.total_parameters, 109482240);
    assert.equal(answer.with_mlm_head, 109514298);
    assert.equal(answer.with_nsp_head, 109483778);
    assert.equal(answer.with_both_heads, 110106428);
    assert.deepEqual(answer.tensors, []);
  });
  it("gives config.json's own members whole, with the values that hold for what it leaves open", (t) => {
    const own = { initializer_range: 0.02, id2label: { 0: 'a' }, pad_token_id: 0, layer_norm_eps: null };
    const file = path.join(temporaryFolder(t), 'config.json');
    writeFileSync(file, JSON.stringify({ ...base, ...own }));
    const { config } = json(['inspect', '--config', file, '--json']);
    assert.deepEqual(config, {
      ...base,
      ...own,
      max_position_embeddings: 512,
      type_vocab_size: 2,
      hidden_act: 'gelu',
      layer_norm_eps: 1e-12,
      tie_word_embeddings: true,
      position_embedding_type: 'absolute',
    });
    const whole = JSON.parse(readFileSync(path.join(root, 'models/default/config.json'), 'utf8'));
    const shown = json(['inspect', '--model', path.join(root, 'models/default'), '--json']).config;
    for (const [name, value] of Object.entries(whole)) assert.deepEqual(shown[name], value, name);
  });
  it('counts the tensors of the files', () => {
    const answer = json(withTiny('inspect', '--json'));
    assert.equal(answer.stored.matches, true);
    assert.equal(answer.heads.mlm.present, true);
    assert.equal(answer.tensors.length, 46);
    const statistics = json(withTiny('inspect', '--json', '--statistics')).tensors[0];
    assert.ok(statistics.min < statistics.mean && statistics.mean < statistics.max);
  });
  it('knows no statistics of a module that is there in part', (t) => {
    const folder = changedModel(t, (tensors) => delete tensors['bert.pooler.dense.bias']);
    const { tensors } = json(['inspect', '--model', folder, '--json', '--statistics']);
    const [weight] = tensors.filter(({ name }) => name === 'bert.pooler.dense.weight');
    assert.deepEqual(weight.shape, [128, 128]);
    assert.ok(!('mean' in weight), JSON.stringify(weight));
    assert.ok('mean' in tensors.find(({ name }) => name === 'bert.encoder.layer.0.output.dense.bias'));
  });
});

describe('quantize and bench', () => {
  it('makes a folder that loads like the original', () => {
    const states = (model) =>
      stream(['encode', '--model', model], [{ text: 'hello world' }])[0].last_hidden_state.flat();
    const original = states(tinyModel());
    for (const [precision, bound] of [
      ['int8', 0.999],
      ['f16', 0.999999],
    ]) {
      const out = path.join(modelsFolder(), `tiny-${precision}`);
      output(withTiny('quantize', '--out', out, '--precision', precision));
      assert.deepEqual(
        readdirSync(out).filter((name) => name.endsWith('.part')),
        [],
      );
      const values = states(out);
      const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
      const cosine = dot(values, original) / Math.sqrt(dot(values, values) * dot(original, original));
      assert.ok(cosine > bound, `${precision}: ${cosine}`);
      const bytes = (folder) => statSync(path.join(folder, 'model.safetensors')).size;
      assert.ok(bytes(out) < bytes(tinyModel()) * (precision === 'int8' ? 0.28 : 0.52));
      assert.equal(
        json(['bench', '--model', out, '--json', '--runs', '1', '--seq', '8']).precision,
        precision,
      );
    }
    const out = path.join(modelsFolder(), 'tiny-table');
    const size = statSync(path.join(tinyModel(), 'model.safetensors')).size;
    assert.match(
      output(withTiny('quantize', '--out', out, '--csv')),
      new RegExp(`^out,precision,bytes,source_bytes\n${out},int8,\\d+,${size}\n$`),
    );
    // nothing of a model that was there before stays beside the new one
    const stale = ['tokenizer.json', 'added_tokens.json', 'model.safetensors.index.json'];
    for (const name of stale) writeFileSync(path.join(out, name), '{}');
    const again = run(withTiny('quantize', '--out', out));
    assert.equal(again.status, 0, again.stderr);
    const removed = again.stderr.matchAll(/^bertlens: warning: '(.*)' of a model before was removed$/gm);
    assert.deepEqual(
      Array.from(removed, ([, file]) => path.relative(out, file)),
      stale,
    );
    assert.deepEqual(
      readdirSync(out).filter((name) => stale.includes(name)),
      [],
    );
    failure(withTiny('quantize'), 2, /--out is required/);
    failure(withTiny('quantize', '--out', tinyModel()), 1, /is the model's own folder/);
    failure(withTiny('quantize', '--out', '/dev/null'), 1, /'\/dev\/null' is not a folder/);
    failure(withTiny('quantize', '--out', '/dev/null/x'), 1, /\/dev\/null\/x/);
  });
  it('names the file that cannot be copied beside the weights', (t) => {
    const folder = temporaryFolder(t);
    for (const name of ['config.json', 'model.safetensors']) {
      copyFileSync(path.join(tinyModel(), name), path.join(folder, name));
    }
    mkdirSync(path.join(folder, 'vocab.txt'));
    const out = path.join(folder, 'int8');
    failure(
      ['quantize', '--model', folder, '--out', out],
      1,
      new RegExp(`'${folder}/vocab.txt' cannot be copied to '${out}/vocab.txt': `),
    );
  });
  it('a signal that ends quantize leaves no part of a file', async (t) => {
    const out = temporaryFolder(t);
    const part = path.join(out, 'model.safetensors.part');
    for (const signal of ['SIGINT', 'SIGTERM']) {
      const child = spawn(binary, withTiny('quantize', '--out', out));
      const end = new Promise((resolve) => child.on('close', (status, name) => resolve(name ?? status)));
      while (!existsSync(part) && !existsSync(path.join(out, 'config.json')));
      child.kill(signal);
      assert.equal(await end, signal);
      assert.deepEqual(readdirSync(out), []);
    }
  });
  it('bench gives the fields of the contract', () => {
    const answer = json(
      withTiny('bench', '--json', '--batch', '2', '--seq', '16', '--threads', '1', '--runs', '3'),
    );
    assert.equal(answer.ms.length, 3);
    for (const key of ['gflops', 'tokens_per_second', 'peak_rss_mb']) assert.ok(answer[key] > 0, key);
    assert.equal(answer.backend, 'xnnpack');
    assert.equal(answer.threads, 1);
    assert.ok(answer.kernels.length > 3);
    assert.deepEqual([answer.batch, answer.seq, answer.tokens], [2, 16, 32]);
  });
  it('bench takes sequences of several lengths, and the pooler alone', () => {
    const bench = (...args) => json(withTiny('bench', '--json', '--runs', '1', ...args));
    const mixed = bench('--lengths', '9,128,31');
    assert.deepEqual([mixed.batch, mixed.seq, mixed.tokens], [3, 128, 168]);
    assert.equal(bench('--seq', '1').tokens, 1);
    assert.equal(bench('--lengths', '1,2,1').tokens, 4);
    // operations, as far as they can be told: those of equal lengths are those of --batch and --seq
    const work = (answer) => answer.gflops * answer.median_ms;
    const near = (a, b) => assert.ok(Math.abs(a / b - 1) < 1e-9, `${a} ${b}`);
    near(work(bench('--lengths', '16,16')), work(bench('--batch', '2', '--seq', '16')));
    const pooler = bench('--lengths', '16,16', '--output', 'pooler');
    assert.ok(work(pooler) < work(bench('--lengths', '16,16', '--output', 'states')));
    for (const [args, message] of [
      [['--lengths', '9,0'], /--lengths: must be from 1 to 1048576, got 0;/],
      [['--lengths', '9,,7'], /--lengths: '' is not a whole number;/],
      [['--lengths', '9,600'], /--lengths: must be from 1 to 512 \(the model's positions\), got 600;/],
      [['--lengths', '9', '--batch', '2'], /--batch excludes --lengths;/],
      [['--lengths', '9', '--seq', '2'], /--seq excludes --lengths;/],
      [['--output', 'logits'], /--output: 'logits' is not one of states\|pooler;/],
    ]) {
      failure(withTiny('bench', ...args), 2, message);
    }
  });
});

describe('threads', () => {
  // each has a stack of some megabytes, and this address space room for a few
  const limited = (...args) =>
    spawnSync('bash', ['-c', 'ulimit -v 700000 && exec "$0" "$@"', binary, ...args], { encoding: 'utf8' });

  it('that cannot be had are an error, of a model and of a tokenizer', (t) => {
    const model = limited('encode', '--model', tinyModel(), '--threads', '1000', 'hello');
    assert.deepEqual([model.status, model.stdout], [1, '']);
    assert.equal(model.stderr, 'bertlens: encode: --threads: no 1000 threads to be had\n');
    const lines = path.join(temporaryFolder(t), 'lines.txt');
    writeFileSync(lines, 'hello\n'.repeat(20_000));
    const tokenizer = limited('tokenize', '--jsonl', '--threads', '1000', '--file', lines);
    assert.deepEqual([tokenizer.status, tokenizer.stdout], [1, '']);
    assert.equal(tokenizer.stderr, 'bertlens: tokenize: --threads: no 1000 threads to be had\n');
  });
});

describe('truncation', () => {
  it('cuts at the positions of the model, whatever the files of the tokenizer say', (t) => {
    const folder = changedModel(t, () => {});
    const long = 'word '.repeat(700);
    const refused = /702 tokens, the model takes 512: shorten or truncate it/;
    for (const limit of [1e30, 1024]) {
      writeFileSync(path.join(folder, 'tokenizer_config.json'), JSON.stringify({ model_max_length: limit }));
      const cut = ['--model', folder, '--json', '--truncation', 'longest_first'];
      assert.equal(json(['encode', ...cut, long]).last_hidden_state.length, 512);
      assert.equal(json(['embed', ...cut, long]).embedding.length, 128);
      failure(['embed', '--model', folder, long], 1, refused);
      failure(['embed', ...cut, '--max-length', '702', long], 1, refused);
    }
  });
  it('is no advice where a target is too long for the text', () => {
    const text = `[MASK] ${'word '.repeat(507)}`;
    assert.equal(json(withTiny('fill-mask', '--json', text, '--targets', 'cat')).masks.length, 1);
    failure(
      withTiny('fill-mask', text, '--targets', 'antidisestablishmentarianism'),
      1,
      /the target 'antidisestablishmentarianism' has \d tokens: with it .* has 5\d\d, the model takes 512/,
    );
  });
});

describe('--max-length', () => {
  const warning = 'bertlens: warning: --max-length without --truncation truncates longest_first\n';
  const input = '{"text":"one two three four","pair":"five","is_next":true}\n';
  it('alone truncates with a warning, and an error stands alone', () => {
    for (const command of ['tokenize', 'encode', 'embed', 'score', 'nsp', 'eval-nsp']) {
      const limited = withTiny(command, '--jsonl', '--max-length', '4');
      const result = run(limited, { input });
      assert.deepEqual([result.status, result.stderr], [0, warning], command);
      const asked = run([...limited, '--truncation', 'longest_first'], { input });
      assert.deepEqual([asked.status, asked.stderr], [0, ''], command);
      assert.equal(result.stdout, asked.stdout);
    }
    assert.equal(run(withTiny('embed', '--max-length', '4', 'one two three four')).stderr, warning);
    assert.equal(run(withTiny('mask-effect', '--max-length', '4', 'one two three', 'four')).stderr, warning);
    assert.equal(run(withTiny('fill-mask', '--max-length', '4', '[MASK] two three')).stderr, warning);
    failure(
      withTiny('embed', '--max-length', '1', 'one two'),
      1,
      /embed: --max-length 1 is less than the 2 special/,
    );
  });
  it('alone says nothing where nothing is cut', () => {
    for (const command of ['tokenize', 'encode', 'embed', 'score', 'nsp', 'eval-nsp']) {
      const args = withTiny(command, '--jsonl', '--max-length', '9');
      assert.equal(output(args, { input }).split('\n').length, 2, command);
    }
    output(withTiny('mask-effect', '--max-length', '5', 'one two three', 'four'));
    output(withTiny('fill-mask', '--max-length', '5', '[MASK] two three'));
  });
});

describe('models that cannot be used', () => {
  const copy = (t, change) => {
    const folder = path.join(temporaryFolder(t), 'model');
    mkdirSync(folder);
    for (const name of ['config.json', 'model.safetensors', 'vocab.txt']) {
      copyFileSync(path.join(tinyModel(), name), path.join(folder, name));
    }
    change(folder);
    return folder;
  };
  it('say which file and what', (t) => {
    const weights = readFileSync(path.join(tinyModel(), 'model.safetensors'));
    const cases = [
      [
        (f) => writeFileSync(path.join(f, 'model.safetensors'), weights.subarray(0, 100_000)),
        /model\.safetensors/,
      ],
      [(f) => writeFileSync(path.join(f, 'model.safetensors'), weights.subarray(0, 5)), /model\.safetensors/],
      [(f) => writeFileSync(path.join(f, 'model.safetensors'), ''), /model\.safetensors/],
      [(f) => rmSync(path.join(f, 'model.safetensors')), /the folder '.*model' has no model\.safetensors/],
      [(f) => rmSync(path.join(f, 'config.json')), /config\.json': No such file/],
      [(f) => rmSync(path.join(f, 'vocab.txt')), /has neither vocab\.txt nor tokenizer\.json/],
      // once, with its folder
      [(f) => writeFileSync(path.join(f, 'config.json'), '{'), /: '[^']*\/config\.json': not well-formed/],
      [(f) => writeFileSync(path.join(f, 'config.json'), '{}'), /: '[^']*\/config\.json' has no vocab_size/],
      [
        (f) => writeFileSync(path.join(f, 'config.json'), '{"model_type": "llama"}'),
        /: '[^']*\/config\.json': model_type is 'llama'/,
      ],
      [
        (f) => {
          rmSync(path.join(f, 'model.safetensors'));
          writeFileSync(path.join(f, 'model.safetensors.index.json'), '{}');
        },
        /: '[^']*model\.safetensors\.index\.json' has no weight_map/,
      ],
      [(f) => writeFileSync(path.join(f, 'vocab.txt'), 'a\n'), /\[UNK\]/],
    ];
    for (const [change, pattern] of cases) {
      failure(['fill-mask', '--model', copy(t, change), sentence], 1, pattern);
    }
    failure(['fill-mask', '--model', '/none', sentence], 1, /--model '\/none': there is no such folder$/m);
    failure(
      ['fill-mask', '--model', 'google-bert/nosuch', sentence],
      1,
      /'google-bert\/nosuch': there is no such folder; .*`bertlens pull google-bert\/nosuch` fetches it$/m,
    );
    failure(['embed', 'a'], 1, /BERTLENS_MODEL '\/none'/, { env: { BERTLENS_MODEL: '/none' } });
    failure(['nsp', '--model', goldenModel('masked'), 'a', 'b'], 1, /pooler|seq_relationship|nsp/);
    failure(withTiny('embed', '--backend', 'cuda', 'a'), 1, /--backend cuda/);
  });
  it('with a weight that is no number say so, whatever is asked', (t) => {
    const folder = changedModel(t, (tensors) => {
      tensors['bert.encoder.layer.0.output.dense.bias'].bytes.writeFloatLE(NaN, 4);
    });
    for (const [command, ...texts] of [
      ['encode', 'hello'],
      ['encode', '--attentions', '1', 'hello'],
      ['embed', 'hello'],
      ['embed', '--pooling', 'max', 'hello', 'world'],
      ['mask-effect', 'hello world', 'hello'],
      ['mask-effect', '--curve', '4', 'hello'],
      ['fill-mask', sentence],
      ['score', 'hello'],
      ['nsp', 'hello', 'world'],
    ]) {
      for (const backend of ['xnnpack', 'reference'])
        failure(
          [command, '--model', folder, '--precision', 'f32', '--backend', backend, ...texts],
          1,
          new RegExp(
            `^bertlens: ${command}: '${folder}': .*(is not a finite number|are not finite): its weights are damaged$`,
            'm',
          ),
        );
    }
    const answers = stream(
      ['encode', '--model', folder, '--precision', 'f32'],
      [{ text: 'a' }, { text: 'b' }],
      1,
    );
    for (const { error } of answers) {
      assert.equal(error.code, 'invalid_model');
      assert.ok(error.message.startsWith(`'${folder}': the model's `), error.message);
    }
    const pair = { text: 'a', pair: 'b', is_next: true };
    const damaged = ['eval-nsp', '--model', folder, '--precision', 'f32'];
    const [{ error }] = stream(damaged, [pair], 1);
    assert.ok(error.message.startsWith(`'${folder}': `), error.message);
    failure(damaged, 1, new RegExp(`standard input, pair 1: '${folder}': the`), {
      input: JSON.stringify(pair),
    });
    failure(
      ['quantize', '--model', folder, '--out', path.join(folder, 'int8')],
      1,
      new RegExp(`^bertlens: quantize: '${folder}': tensor '[a-z0-9.]+', row 0: a value is not finite$`, 'm'),
    );
    const large = changedModel(t, (tensors) => {
      tensors['bert.encoder.layer.0.output.dense.weight'].bytes.writeFloatLE(1e6, 4);
    });
    failure(['embed', '--model', large, '--precision', 'f16', 'a'], 1, /beyond the range of f16/);
  });
  it('that lack the head of a task say so, not of one of its texts', () => {
    const missing = (model, head, command, ...texts) => {
      const folder = goldenModel(model);
      const message = new RegExp(`${command}: '${folder}': the checkpoint has no ${head}`);
      failure([command, '--model', folder, ...texts], 1, message);
      failure([command, '--model', folder, '--jsonl'], 1, message, { input: '{"text":"a","pair":"b"}\n' });
    };
    missing('plain', 'next-sentence head', 'nsp', 'a', 'b');
    missing('masked', 'pooler', 'nsp', 'a', 'b');
    missing('plain', 'next-sentence head', 'eval-nsp');
    missing('plain', 'masked-language-model head', 'fill-mask', '[MASK]');
    missing('plain', 'masked-language-model head', 'score', 'a');
  });
  it('pytorch_model.bin is refused with what to do', (t) => {
    const folder = temporaryFolder(t);
    copyFileSync(path.join(tinyModel(), 'config.json'), path.join(folder, 'config.json'));
    writeFileSync(path.join(folder, 'pytorch_model.bin'), 'x');
    failure(['embed', '--model', folder, 'a'], 1, /safetensors only: save the model with save_pretrained/);
  });
  it('BERTLENS_MODEL names the model', () => {
    const result = run(['embed', '--json', 'a'], { env: { BERTLENS_MODEL: tinyModel() } });
    assert.equal(result.status, 0);
    assert.equal(JSON.parse(result.stdout).embedding.length, 128);
  });
});

describe('the examples of --help', () => {
  const examples = (command) =>
    output([command, '--help'])
      .split('\nexamples\n')[1]
      .replace(/\\\n */g, '')
      .trim()
      .split('\n')
      .map((line) => line.trim());
  for (const [, command] of output(['--help']).matchAll(/^ {2}([a-z-]+) {2,}\w/gm)) {
    if (command === 'pull') continue;
    it(`of ${command} run with the model that comes with bertlens`, (t) => {
      const cwd = temporaryFolder(t);
      const line = JSON.stringify({ text: 'It rains.', pair: 'Take an umbrella.', is_next: true }) + '\n';
      for (const name of ['texts.jsonl', 'long.jsonl', 'pairs.jsonl'])
        writeFileSync(path.join(cwd, name), line);
      writeFileSync(path.join(cwd, 'sentences.txt'), 'It rains.\nTake an umbrella.\n');
      copyFileSync(path.join(root, 'native/examples/pairs.csv'), path.join(cwd, 'pairs.csv'));
      for (const name of ['DIR', 'bert-base-uncased'])
        symlinkSync(path.join(root, 'models/default'), path.join(cwd, name));
      const env = {
        ...process.env,
        BERTLENS_MODEL: '',
        PATH: `${path.dirname(binary)}:${process.env.PATH}`,
      };
      for (const example of examples(command)) {
        assert.match(example, /\bbertlens /);
        const result = spawnSync('bash', ['-c', `set -o pipefail; ${example}`], {
          cwd,
          env,
          encoding: 'utf8',
          maxBuffer: 1 << 28,
        });
        assert.equal(result.stderr, '', example);
        assert.equal(result.status, 0, example);
      }
    });
  }
});
