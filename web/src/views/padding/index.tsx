// Section 2: a batch is a rectangle. Cell 6 and Exercise 2 of the notebook.
import { javascriptString, shellTexts } from '../../lib/python';
import { count, list, percent, plural, shape } from '../../lib/format';
import { Answer, CheckedField, readNumber } from '../../ui/exercise';
import { leadTo } from '../../ui/lead';
import { Printed } from '../../ui/printed';
import { WithTokenizer } from '../../ui/with-tokenizer';
import '../../styles/padding.css';
import '../../styles/tokenizer.css';
import type { View } from '../view';
import { BatchInstrument, DetailInstrument, StrategiesInstrument } from './instruments';
import {
  batch,
  computedInVain,
  exerciseBatch,
  maxLength,
  notebookBatch,
  padBatch,
  padded,
  strategy,
  type Padded,
} from './state';

function Instruments() {
  return (
    <>
      <BatchInstrument />
      <StrategiesInstrument />
      <DetailInstrument />
    </>
  );
}

function share(result: Padded): number {
  return (result.total - result.real) / result.total;
}

function Shape({ of }: { of: Padded }) {
  return <span class="nowrap">{shape([of.rows.length, of.columns])}</span>;
}

function Notice() {
  const none = padded.value.find((result) => result.strategy === 'none');
  const longest = padded.value.find((result) => result.strategy === 'longest');
  const fixed = padded.value.find((result) => result.strategy === 'max_length');
  if (!none || !longest || !fixed) return <p class="hint">The sentences here speak of what is on screen.</p>;
  const lengths = none.rows.map((row) => row.length);
  const cut = lengths.filter((length) => length > fixed.columns).length;
  return (
    <>
      <p>
        The rows have {list(lengths.map(String))} tokens. A tensor has one width, so the short rows are filled
        with [PAD], id 0, and the attention mask says 0 there: look away.
      </p>
      <p>
        Padding to the longest makes <Shape of={longest} />, {percent(share(longest))} of it empty;{' '}
        <span class="nowrap">max_length = {fixed.columns}</span> makes <Shape of={fixed} />,{' '}
        {percent(share(fixed))} empty.{' '}
        {fixed.real < longest.real
          ? `The first holds ${plural(longest.real, 'real token')}, the second only ${count(fixed.real)}, because it cuts.`
          : `Both hold the same ${plural(longest.real, 'real token')}.`}
      </p>
      <p>
        A model that computes every cell spends {percent(computedInVain(longest), 1)} of its multiplications
        on padding in the first case, {percent(computedInVain(fixed), 1)} in the second (counted for
        bert-base-uncased; attention grows with the square of the width). bertlens computes real tokens only.
      </p>
      {cut > 0 && (
        <p>
          max_length also cuts: {cut === 1 ? 'one row is' : `${cut} rows are`} longer than {fixed.columns}{' '}
          tokens and lose{cut === 1 ? 's' : ''} the end of the text, but never [SEP].
        </p>
      )}
    </>
  );
}

function code() {
  const texts = batch.value;
  const max = maxLength.value;
  const name = strategy.value;
  const lines = (quote: (text: string) => string, indent: string) =>
    texts.map((text) => `${indent}${quote(text)},\n`).join('');
  const python =
    name === 'none'
      ? 'padding=False, truncation=True'
      : name === 'longest'
        ? 'padding="longest", truncation=True, return_tensors="pt"'
        : `padding="max_length", max_length=${max}, truncation=True, return_tensors="pt"`;
  const javascript =
    name === 'none'
      ? '{ padding: false, truncation: true }'
      : name === 'longest'
        ? "{ padding: 'longest', truncation: true }"
        : `{ padding: 'max_length', maxLength: ${max}, truncation: true }`;
  const length = name === 'max_length' ? ` --max-length ${max}` : '';
  return {
    python: `from transformers import BertTokenizerFast

tokenizer = BertTokenizerFast.from_pretrained("bert-base-uncased")
batch = [
${lines((text) => JSON.stringify(text), '    ')}]
encoding = tokenizer(
    batch, ${python}
)
print(${name === 'none' ? '[len(row) for row in encoding["input_ids"]]' : 'encoding["input_ids"].shape'})`,
    javascript: `import { loadTokenizer } from 'bertlens/tokenizer';

const tokenizer = await loadTokenizer('./models/default/');
const encoding = tokenizer.encodeBatch(
  [
${lines(javascriptString, '    ')}  ],
  ${javascript},
);
console.log(${name === 'none' ? '[...encoding].map((row) => row.length)' : 'encoding.tensors().inputIds.shape'});`,
    cli: `bertlens tokenize --padding ${name}${length} --truncation longest_first \\\n  ${shellTexts(texts, ' \\\n  ')}`,
  };
}

function Notebook() {
  return (
    <WithTokenizer>
      {() => {
        const none = padBatch(notebookBatch, 'none', 16);
        const fixed = padBatch(notebookBatch, 'max_length', 16);
        const first = fixed?.rows[0];
        return (
          <div class="printed">
            <Printed
              cell="Cell 6 printed, for its own batch"
              lines={[
                {
                  what: 'Without padding',
                  printed:
                    'Unable to create tensor, you should probably activate truncation and/or padding …',
                  here: undefined,
                },
                {
                  what: 'Input IDs shape',
                  printed: 'torch.Size([3, 16])',
                  here: fixed ? `torch.Size(${shape([fixed.rows.length, fixed.columns])})` : undefined,
                },
                {
                  what: 'First tokens',
                  printed: '[CLS] this movie was amazing !',
                  here: first?.tokens.slice(0, 6).join(' '),
                },
                {
                  what: 'First ids',
                  printed: '101 2023 3185 2001 6429',
                  here: first ? [...first.inputIds.slice(0, 5)].join(' ') : undefined,
                },
              ]}
            >
              {none?.ragged !== undefined && <p class="hint">The same error here: {none.ragged}</p>}
            </Printed>
          </div>
        );
      }}
    </WithTokenizer>
  );
}

function checkPercent(expected: number) {
  return (answer: string): true | string => {
    const value = readNumber(answer);
    if (value === undefined) return 'A number is wanted, such as 12.5.';
    if (Math.abs(value - expected) < 0.0051) return true;
    return Math.abs(value - expected) < 0.6
      ? 'Close: two decimals, please.'
      : 'Not that. Count cells of padding over all cells.';
  };
}

function ExerciseTwo() {
  return (
    <WithTokenizer>
      {() => {
        const longest = padBatch(exerciseBatch, 'longest', 64);
        const fixed = padBatch(exerciseBatch, 'max_length', 64);
        if (!longest || !fixed) return null;
        const near = Number((100 * share(longest)).toFixed(2));
        const far = Number((100 * share(fixed)).toFixed(2));
        const gain = Number((100 * (share(fixed) - share(longest))).toFixed(2));
        return (
          <div class="exercise">
            <ol class="quote plain-list">
              {exerciseBatch.map((text) => (
                <li key={text}>{text}</li>
              ))}
            </ol>
            <p>
              <button
                type="button"
                class="link"
                onClick={() => {
                  batch.value = exerciseBatch;
                  maxLength.value = 64;
                  leadTo('.stack textarea');
                }}
              >
                Put this batch into the instrument
              </button>{' '}
              and read the numbers there, or count for yourself.
            </p>
            <ol class="tasks">
              <li>
                <CheckedField
                  label="Padded to the longest, how many columns has the batch?"
                  inputMode="numeric"
                  check={(answer) => {
                    const value = readNumber(answer);
                    return value === longest.columns || 'Not that: the longest row sets the width.';
                  }}
                />
              </li>
              <li>
                <CheckedField
                  label="What percentage of its cells is padding?"
                  inputMode="decimal"
                  check={checkPercent(near)}
                />
              </li>
              <li>
                <CheckedField
                  label="What percentage with max_length = 64?"
                  inputMode="decimal"
                  check={checkPercent(far)}
                />
              </li>
              <li>
                <CheckedField
                  label="How many percentage points of padding are saved by going to the longest only?"
                  inputMode="decimal"
                  check={checkPercent(gain)}
                />
              </li>
            </ol>
            <Answer>
              {() => (
                <>
                  <div class="printed">
                    <Printed
                      cell="The notebook printed"
                      lines={[
                        {
                          what: 'longest',
                          printed: 'torch.Size([4, 20])',
                          here: `torch.Size(${shape([longest.rows.length, longest.columns])})`,
                        },
                        {
                          what: 'max_length (64)',
                          printed: 'torch.Size([4, 64])',
                          here: `torch.Size(${shape([fixed.rows.length, fixed.columns])})`,
                        },
                        { what: 'Padding, longest', printed: '48.75%', here: `${near.toFixed(2)}%` },
                        { what: 'Padding, max_length', printed: '83.98%', here: `${far.toFixed(2)}%` },
                        { what: 'Efficiency gain', printed: '35.23%', here: `${gain.toFixed(2)}%` },
                      ]}
                    />
                  </div>
                  <p>
                    For training, padding to the longest is usually better: each batch is only as wide as it
                    must be, and less is computed in vain. A fixed width is wanted where the hardware compiles
                    for one shape, or where runs must be compared under equal conditions.
                  </p>
                </>
              )}
            </Answer>
          </div>
        );
      }}
    </WithTokenizer>
  );
}

const view: View = {
  lead: 'To compute many sentences at once, all rows get one length. What fills them up carries no meaning, and the attention mask says so.',
  Instrument: Instruments,
  Notice,
  code,
  Notebook,
  exercise: { title: 'Exercise 2', Exercise: ExerciseTwo },
};

export default view;
