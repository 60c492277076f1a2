// Does the second sentence follow the first? One pair, and a table of labelled pairs with metrics and a confusion matrix.
import { batch } from '@preact/signals';
import { useMemo, useRef, useState } from 'preact/hooks';
import type { EvaluatedPair, EvaluationResult } from 'bertlens';
import { families, type Colours } from '../../lib/colours';
import { readCsv } from '../../lib/csv';
import type { Table } from '../../lib/export';
import { decimal, percent, plural, probability } from '../../lib/format';
import type { Painter } from '../../lib/painter';
import { Bars } from '../../ui/bars';
import { tableOf, type Column } from '../../ui/data-table';
import { Instrument } from '../../ui/instrument';
import { Picture, pictureExports, type Drawing } from '../../ui/picture';
import { Results } from '../../ui/results';
import { Slider } from '../../ui/slider';
import { SmallModel } from '../../ui/small-model';
import { Suggestions } from '../../ui/suggestions';
import { TextEditor, useFocusAtEnd } from '../../ui/texts';
import { TextTrouble } from '../../ui/too-long';
import { useWidth } from '../../ui/use-width';
import { Trouble, WithModel } from '../../ui/with-model';
import { WithTokenizer } from '../../ui/with-tokenizer';
import { notebookFirst, notebookSeconds, printedFor } from './notebook';
import {
  chosenCell,
  evaluation,
  first,
  mostPairs,
  pairs,
  second,
  showNotebookPairs,
  threshold,
  verdict,
  type Cell,
} from './state';

export function PairInstrument() {
  verdict.use();
  const answer = verdict.answer.value;
  const { value, input, trouble } = answer;
  const printed = printedFor(first.value, second.value);
  return (
    <Instrument
      title="Does the second follow the first?"
      exports={[
        {
          kind: 'table',
          name: 'next-sentence',
          table: () => ({
            columns: ['first', 'second', 'is_next', 'not_next', 'logit_is_next', 'logit_not_next'],
            rows: value && input ? [[...input, value.isNext, value.notNext, ...value.logits]] : [],
          }),
        },
      ]}
    >
      <div class="flow">
        <WithTokenizer room="11rem">
          {(ready) => (
            <>
              <TextEditor
                ready={ready}
                label="First sentence"
                value={first.value}
                scope="nsp-a"
                placeholder="The first sentence"
                onChange={(next) => {
                  first.value = next;
                }}
              />
              <TextEditor
                ready={ready}
                label="Second sentence"
                value={second.value}
                scope="nsp-b"
                placeholder="The second sentence"
                onChange={(next) => {
                  second.value = next;
                }}
              />
              <Suggestions
                title="Try the notebook’s"
                items={[
                  ['true continuation', notebookSeconds[0]],
                  ['false continuation', notebookSeconds[1]],
                ]}
                onChoose={(text) => {
                  first.value = notebookFirst;
                  second.value = text;
                }}
              />
            </>
          )}
        </WithTokenizer>
        <WithModel speaks room="8rem">
          {() => (
            <div class="flow">
              <TextTrouble
                trouble={trouble}
                texts={[{ text: first.value, textPair: second.value }]}
                onCut={([cut]) => {
                  batch(() => {
                    first.value = cut!.text;
                    second.value = cut!.textPair!;
                  });
                }}
              />
              <Empty />
              {value && (
                <Results of={answer} about="the pair">
                  <div data-testid="verdict">
                    <Bars
                      label="Is next, is not next"
                      bars={[
                        {
                          label: 'is next',
                          value: value.isNext,
                          note: `logit ${decimal(value.logits[0], 4)}`,
                        },
                        {
                          label: 'is not next',
                          value: value.notNext,
                          note: `logit ${decimal(value.logits[1], 4)}`,
                        },
                      ]}
                    />
                  </div>
                </Results>
              )}
              {value && (
                <SmallModel>
                  {printed !== undefined && (
                    <>In the notebook bert-base-uncased gave this pair {printed} for “is next”.</>
                  )}
                </SmallModel>
              )}
            </div>
          )}
        </WithModel>
      </div>
    </Instrument>
  );
}

/** The model answers whatever it is given; of a pair that is no pair the answer means nothing. */
function Empty() {
  const lacks = [first.value, second.value].map((text) => text.trim() === '');
  if (!lacks.includes(true)) return null;
  return (
    <p class="hint" role="status" data-testid="empty">
      {lacks[0] && lacks[1]
        ? 'Both sentences are empty. The model answers all the same, for [CLS] [SEP] [SEP] alone'
        : `The ${lacks[0] ? 'first' : 'second'} sentence is empty. The model answers all the same`}
      : what it says here means nothing.
    </p>
  );
}

function cellOf(pair: EvaluatedPair): Cell {
  if (pair.isNext) return pair.predicted ? 'tp' : 'fn';
  return pair.predicted ? 'fp' : 'tn';
}

function setPair(at: number, change: Partial<{ text: string; pair: string; isNext: boolean }>): void {
  pairs.value = pairs.value.map((old, i) => (i === at ? { ...old, ...change } : old));
}

const labels: Readonly<Record<string, boolean>> = {
  next: true,
  'is next': true,
  true: true,
  yes: true,
  1: true,
  'not next': false,
  'is not next': false,
  false: false,
  no: false,
  0: false,
};

/** Whether the second sentence is said to follow; undefined for what is no label. */
function readLabel(written: string): boolean | undefined {
  const label = written.trim().toLowerCase();
  return Object.hasOwn(labels, label) ? labels[label] : undefined;
}

/** Whether a cell looks like the name of a column rather than a sentence. */
function isName(cell: string): boolean {
  return cell.trim().split(/\s+/).length <= 3 && !/[.!?…]$/.test(cell.trim());
}

function readPairs(written: string): {
  rows: { text: string; pair: string; isNext: boolean }[];
  trouble?: string;
} {
  const rows: { text: string; pair: string; isNext: boolean }[] = [];
  const lines = readCsv(written);
  for (const [i, line] of lines.entries()) {
    const [text, pair, label] = line;
    if (text === undefined || pair === undefined || label === undefined) {
      return {
        rows,
        trouble: `Line ${i + 1} has ${plural(line.length, 'field')}; it needs three: first, second, label.`,
      };
    }
    const isNext = readLabel(label);
    if (isNext === undefined) {
      if (i === 0 && lines.length > 1 && line.every(isName)) continue;
      return { rows, trouble: `Line ${i + 1}: the label is “${label}”; write next or not next.` };
    }
    rows.push({ text, pair, isNext });
  }
  if (rows.length === 0) return { rows, trouble: 'There are no pairs in this text.' };
  if (rows.length > mostPairs)
    return { rows, trouble: `${rows.length} pairs are too many; ${mostPairs} fit.` };
  return { rows };
}

function Paste({ onDone }: { onDone: () => void }) {
  const [written, setWritten] = useState('');
  const [trouble, setTrouble] = useState<string | null>(null);
  return (
    <form
      class="flow"
      onSubmit={(event) => {
        event.preventDefault();
        const read = readPairs(written);
        setTrouble(read.trouble ?? null);
        if (read.trouble !== undefined) return;
        pairs.value = read.rows;
        onDone();
      }}
    >
      <label class="field">
        <span>
          One pair a line: first sentence, second sentence, next or not next (true or false will do). Between
          them commas, semicolons or tabs.
        </span>
        <textarea
          class="input"
          rows={5}
          spellcheck={false}
          value={written}
          onInput={(event) => {
            setWritten(event.currentTarget.value);
          }}
        />
      </label>
      <Trouble text={trouble} />
      <div class="row">
        <button type="submit" class="button primary">
          Use these pairs
        </button>
        <button type="button" class="button" onClick={onDone}>
          Cancel
        </button>
      </div>
    </form>
  );
}

function PairRow({
  at,
  judged,
  outdated,
  highest,
  onRemove,
}: {
  at: number;
  judged: EvaluatedPair | undefined;
  outdated: boolean;
  highest: boolean;
  onRemove: () => void;
}) {
  const pair = pairs.value[at]!;
  const out = chosenCell.value !== null && judged !== undefined && cellOf(judged) !== chosenCell.value;
  return (
    <tr role="row" class={out ? 'dimmed' : ''}>
      <td role="cell" class="number">
        {at + 1}
      </td>
      <td role="cell" class="wrap">
        <textarea
          rows={1}
          class="cell-input"
          aria-label={`Pair ${at + 1}, first sentence`}
          value={pair.text}
          onInput={(event) => {
            setPair(at, { text: event.currentTarget.value });
          }}
        />
        <textarea
          rows={1}
          class="cell-input"
          aria-label={`Pair ${at + 1}, second sentence`}
          value={pair.pair}
          onInput={(event) => {
            setPair(at, { pair: event.currentTarget.value });
          }}
        />
      </td>
      <td role="cell">
        <button
          type="button"
          class="button label-switch"
          aria-label={`Pair ${at + 1} is labelled ${pair.isNext ? 'next' : 'not next'}; change`}
          onClick={() => {
            setPair(at, { isNext: !pair.isNext });
          }}
        >
          {pair.isNext ? 'next' : 'not next'}
        </button>
      </td>
      <td role="cell" class={outdated ? 'number stale' : 'number'}>
        {judged ? probability(judged.result.isNext) : ''}
      </td>
      <td role="cell" class={outdated ? 'stale' : ''}>
        {judged && (
          <span class={judged.correct ? 'agree' : 'differ'}>
            {judged.correct ? '✓' : '✗'} {judged.predicted ? 'next' : 'not next'}
          </span>
        )}
        {highest && <span class="hint"> surest</span>}
      </td>
      <td role="cell">
        <button
          type="button"
          class="quiet inset"
          aria-label={`Remove pair ${at + 1}`}
          disabled={pairs.value.length === 1}
          onClick={onRemove}
        >
          Remove
        </button>
      </td>
    </tr>
  );
}

const pairColumns: readonly Column<EvaluatedPair>[] = [
  { title: 'first', value: (row) => row.text },
  { title: 'second', value: (row) => row.pair },
  { title: 'is_next', value: (row) => row.isNext },
  { title: 'predicted', value: (row) => row.predicted },
  { title: 'p_is_next', kind: 'number', value: (row) => row.result.isNext },
  { title: 'confidence', kind: 'number', value: (row) => row.confidence },
];

export function PairsInstrument() {
  evaluation.use();
  const [pasting, setPasting] = useState(false);
  const [refused, setRefused] = useState<string | null>(null);
  const file = useRef<HTMLInputElement>(null);
  const { root, follow } = useFocusAtEnd(pairs.value.length, '.cell-input:first-child');
  const answer = evaluation.answer.value;
  const { value, input, outdated, trouble } = answer;
  // while a verdict is on its way the ones before it stand beside their pairs, as far as these are still the same ones
  const current = trouble === null && input?.pairs.length === pairs.value.length ? value : null;
  return (
    <Instrument
      title="A table of pairs"
      tools={
        <>
          <button type="button" class="quiet" onClick={showNotebookPairs}>
            The notebook’s ten
          </button>
          <button
            type="button"
            class="quiet"
            aria-expanded={pasting}
            onClick={() => {
              setPasting(!pasting);
            }}
          >
            Paste CSV
          </button>
          <button
            type="button"
            class="quiet"
            onClick={() => {
              file.current?.click();
            }}
          >
            Open CSV
          </button>
          <input
            ref={file}
            type="file"
            hidden
            accept=".csv,.tsv,text/csv,text/tab-separated-values,text/plain"
            aria-label="A CSV file of pairs"
            onChange={(event) => {
              const chosen = event.currentTarget.files?.[0];
              event.currentTarget.value = '';
              void chosen?.text().then((written) => {
                const read = readPairs(written);
                setRefused(read.trouble === undefined ? null : `${chosen.name}: ${read.trouble}`);
                if (read.trouble === undefined) pairs.value = read.rows;
              });
            }}
          />
        </>
      }
      exports={[
        { kind: 'table', name: 'pairs', table: () => tableOf(pairColumns, value?.pairs ?? []) },
        { kind: 'table', name: 'metrics', what: 'metrics', table: () => metricsTable(value) },
      ]}
    >
      <div class="flow">
        {pasting && (
          <Paste
            onDone={() => {
              setPasting(false);
            }}
          />
        )}
        <Trouble text={refused} />
        <TextTrouble
          trouble={trouble}
          texts={pairs.value.map(({ text, pair }) => ({ text, textPair: pair }))}
          onCut={(cut) => {
            pairs.value = pairs.value.map((old, i) => ({
              ...old,
              text: cut[i]!.text,
              pair: cut[i]!.textPair!,
            }));
          }}
        />
        <div class="pairs-room">
          <div
            class="table-scroll pairs"
            ref={root}
            role="region"
            aria-label="Pairs of sentences with label and verdict"
            tabIndex={0}
          >
            {/* the roles in words: with little room its rows are laid out as blocks */}
            <table class="table" role="table">
              <caption class="visually-hidden">Pairs of sentences with label and verdict</caption>
              <thead role="rowgroup">
                <tr role="row">
                  <th role="columnheader" scope="col" class="number">
                    #
                  </th>
                  <th role="columnheader" scope="col">
                    first, second
                  </th>
                  <th role="columnheader" scope="col">
                    label
                  </th>
                  <th role="columnheader" scope="col" class="number">
                    P(is next)
                  </th>
                  <th role="columnheader" scope="col">
                    verdict
                  </th>
                  <th role="columnheader" scope="col">
                    <span class="visually-hidden">Remove</span>
                  </th>
                </tr>
              </thead>
              <tbody role="rowgroup">
                {pairs.value.map((_, i) => (
                  <PairRow
                    key={i}
                    at={i}
                    judged={current?.pairs[i]}
                    outdated={outdated}
                    highest={current !== null && current.highestConfidence === i}
                    onRemove={() => {
                      if (i === pairs.value.length - 1) follow();
                      pairs.value = pairs.value.filter((_, at) => at !== i);
                    }}
                  />
                ))}
              </tbody>
            </table>
          </div>
        </div>
        <div class="row">
          <button
            type="button"
            class="button"
            disabled={pairs.value.length >= mostPairs}
            onClick={() => {
              follow();
              pairs.value = [...pairs.value, { text: '', pair: '', isNext: true }];
            }}
          >
            Add a pair
          </button>
        </div>
        <WithModel room="15rem">
          {() =>
            value && (
              <Results of={answer} about="the pairs">
                <Metrics result={value} />
              </Results>
            )
          }
        </WithModel>
      </div>
    </Instrument>
  );
}

const cellNames: Record<Cell, readonly [label: string, what: string]> = {
  tp: ['is next, judged next', 'true positive'],
  fn: ['is next, judged not next', 'false negative'],
  fp: ['is not next, judged next', 'false positive'],
  tn: ['is not next, judged not next', 'true negative'],
};

function Metrics({ result }: { result: EvaluationResult }) {
  const { tp, fp, fn, tn } = result.confusion;
  const most = Math.max(1, tp, fp, fn, tn);
  return (
    <div class="columns">
      <section aria-label="Metrics">
        <h3>Metrics</h3>
        <dl class="facts metrics">
          {(
            [
              ['Accuracy', result.accuracy, `${tp + tn} of ${tp + tn + fp + fn} judged right`, null],
              [
                'Precision',
                result.precision,
                `${tp} of ${tp + fp} judged “next” are`,
                tp + fp === 0 ? 'none is judged “next”' : null,
              ],
              [
                'Recall',
                result.recall,
                `${tp} of ${tp + fn} that are next were found`,
                tp + fn === 0 ? 'none is labelled “next”' : null,
              ],
              [
                'F1',
                result.f1,
                'the harmonic mean of precision and recall',
                tp + fp === 0 || tp + fn === 0 ? 'needs both precision and recall' : null,
              ],
            ] as const
          ).map(([name, share, meaning, lack]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{lack === null ? percent(share) : '–'}</dd>
              <dd class="meaning">{lack ?? meaning}</dd>
            </div>
          ))}
        </dl>
        <Slider
          low={0}
          high={100}
          value={threshold.value}
          onChange={(next) => {
            threshold.value = next;
          }}
        >
          Judged “next” above <b class="mono">{(threshold.value / 100).toFixed(2)}</b>
        </Slider>
      </section>
      <section aria-label="Confusion matrix">
        <h3>Confusion matrix</h3>
        <div class="confusion" role="group" aria-label="Cells pick out their pairs">
          {(Object.keys(cellNames) as Cell[]).map((cell) => (
            <button
              type="button"
              key={cell}
              aria-pressed={chosenCell.value === cell}
              data-cell={cell}
              class={cell === 'tp' || cell === 'tn' ? 'confusion-cell right' : 'confusion-cell'}
              style={{ '--share': `${Math.round((60 * result.confusion[cell]) / most)}%` }}
              onClick={() => {
                chosenCell.value = chosenCell.value === cell ? null : cell;
              }}
            >
              <b>{result.confusion[cell]}</b>
              <span>{cellNames[cell][0]}</span>
              <small>{cellNames[cell][1]}</small>
            </button>
          ))}
        </div>
      </section>
    </div>
  );
}

function metricsTable(result: EvaluationResult | null): Table {
  if (!result) return { columns: ['metric', 'value'], rows: [] };
  const { threshold: above, accuracy, precision, recall, f1, confusion, meanConfidence } = result;
  return {
    columns: ['metric', 'value'],
    rows: Object.entries({ threshold: above, accuracy, precision, recall, f1, meanConfidence, ...confusion }),
  };
}

function confidenceTable(result: EvaluationResult | null): Table {
  return {
    columns: ['from', 'to', 'right', 'wrong'],
    rows: (result?.correctByConfidence ?? []).map((right, i) => [
      Number((0.5 + 0.05 * i).toFixed(2)),
      Number((0.55 + 0.05 * i).toFixed(2)),
      right,
      result?.wrongByConfidence[i] ?? 0,
    ]),
  };
}

function confidenceDrawing(result: EvaluationResult, width: number): Drawing {
  const height = 212;
  const floor = height - 52;
  const right = result.correctByConfidence;
  const wrong = result.wrongByConfidence;
  const most = Math.max(1, ...right.map((value, i) => value + (wrong[i] ?? 0)));
  const left = 36;
  const step = (width - left - 8) / right.length;
  const unit = (floor - 20) / most;
  return {
    width,
    height,
    draw(painter: Painter, colours: Colours) {
      const small = { size: 11.5, family: families.text, fill: colours.muted };
      painter.path(`M${left},${floor}H${width - 8}`, {
        stroke: colours['line-strong'],
        strokeWidth: 1,
      });
      right.forEach((value, i) => {
        const x = left + i * step + 2;
        const good = value * unit;
        const bad = (wrong[i] ?? 0) * unit;
        painter.rect(x, floor - good, step - 4, good, { fill: colours.accent });
        painter.rect(x, floor - good - bad, step - 4, bad, { fill: colours.warm });
        const all = value + (wrong[i] ?? 0);
        if (all > 0)
          painter.text(x + step / 2 - 2, floor - 10 - good - bad, String(all), {
            ...small,
            align: 'center',
          });
        if (i % 2 === 0)
          painter.text(x - 2, floor + 16, (0.5 + 0.05 * i).toFixed(2), { ...small, align: 'center' });
      });
      painter.text(width - 8, floor + 16, '1', { ...small, align: 'right' });
      const across =
        width < 440 ? 'confidence' : 'confidence, the larger of the two probabilities; height: pairs';
      painter.text((left + width - 8) / 2, height - 12, across, { ...small, align: 'center' });
    },
  };
}

export function ConfidenceInstrument() {
  const answer = evaluation.answer.value;
  const { value } = answer;
  const { ref, width } = useWidth();
  const drawing = useMemo(
    () => (value ? confidenceDrawing(value, Math.min(720, Math.max(260, width))) : null),
    [value, width],
  );
  if (!value || !drawing) return null;
  return (
    <Instrument
      title="How sure, and how right"
      exports={[
        ...pictureExports('confidence', () => drawing),
        { kind: 'table', name: 'confidence', table: () => confidenceTable(value) },
      ]}
    >
      <Results of={answer} about="the pairs">
        <div ref={ref}>
          <Picture
            drawing={drawing}
            label={`Verdicts by confidence in ten steps from 0.5 to 1: right ${value.correctByConfidence.join(', ')}; wrong ${value.wrongByConfidence.join(', ')}`}
          />
        </div>
        <p class="legend hint">
          <span>
            <span class="key real" /> right
          </span>
          <span>
            <span class="key wrong" /> wrong
          </span>
          <span>mean confidence {value.meanConfidence.toFixed(4)}</span>
        </p>
      </Results>
    </Instrument>
  );
}
