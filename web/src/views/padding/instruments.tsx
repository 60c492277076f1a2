// The padding lab: an editable batch, the three strategies at one scale, and the chosen one in detail.
import { signal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { tokenizer, type Encoding } from '../../engine/tokenizer';
import type { Colours } from '../../lib/colours';
import { count, list, percent, sentenceCase, shape } from '../../lib/format';
import type { Painter } from '../../lib/painter';
import { wordMark } from '../../state/lit';
import { language } from '../../ui/code';
import { DataTable, tableOf, type Column } from '../../ui/data-table';
import { Instrument } from '../../ui/instrument';
import { NumberField } from '../../ui/number-field';
import { Picture, pictureExports, type Drawing } from '../../ui/picture';
import { PlaceTabs, Tabs } from '../../ui/tabs';
import { TextList } from '../../ui/texts';
import { tintClass, TokenText } from '../../ui/token';
import { useWidth } from '../../ui/use-width';
import { WithTokenizer } from '../../ui/with-tokenizer';
import {
  batch,
  chosenRow,
  cuts,
  exerciseBatch,
  maxLength,
  mostRows,
  notebookBatch,
  padded,
  strategy,
  type Padded,
  type Strategy,
} from './state';

export const strategyNames: Record<Strategy, string> = {
  none: 'No padding',
  longest: 'To the longest',
  max_length: 'To max_length',
};

export function BatchInstrument() {
  return (
    <Instrument
      title="Your batch"
      tools={
        <>
          <button
            type="button"
            class="quiet"
            onClick={() => {
              batch.value = notebookBatch;
              maxLength.value = 16;
            }}
          >
            The notebook’s
          </button>
          <button
            type="button"
            class="quiet"
            onClick={() => {
              batch.value = exerciseBatch;
              maxLength.value = 64;
            }}
          >
            Exercise 2’s
          </button>
        </>
      }
    >
      <TextList what="sentence" texts={batch} most={mostRows} scope="row" speaks>
        <NumberField
          label="max_length"
          value={maxLength.value}
          low={2}
          high={512}
          inline
          onChange={(length) => {
            maxLength.value = length;
          }}
        />
      </TextList>
    </Instrument>
  );
}

// One cell is so many pixels wide and high; the three pictures share it, so that their areas can be compared.
function cellSize(width: number, results: readonly Padded[]): number {
  const side = results.reduce((sum, result) => sum + result.columns, 0);
  const widest = Math.max(1, ...results.map((result) => result.columns));
  const gaps = 2 * 40;
  const together = Math.floor((width - gaps) / Math.max(1, side));
  return Math.max(5, Math.min(18, together >= 8 ? together : Math.floor(width / widest)));
}

function gridDrawing(result: Padded, cell: number): Drawing {
  const gap = cell >= 8 ? 2 : 1;
  return {
    width: result.columns * cell,
    height: result.rows.length * cell,
    draw(painter: Painter, colours: Colours) {
      result.rows.forEach((row, y) => {
        for (let x = 0; x < row.length; x += 1) {
          const real = row.attentionMask[x] === 1;
          const left = x * cell;
          const top = y * cell;
          const side = cell - gap;
          if (real) {
            painter.rect(left, top, side, side, { fill: colours.accent, radius: Math.min(3, side / 4) });
          } else {
            painter.rect(left + 0.5, top + 0.5, side - 1, side - 1, {
              stroke: colours['line-strong'],
              strokeWidth: 1,
              opacity: 0.55,
              radius: Math.min(3, side / 4),
            });
          }
        }
      });
    },
  };
}

function describe(result: Padded): string {
  if (result.ragged !== undefined) {
    return `Rows of ${list(result.rows.map((row) => String(row.length)))} tokens, no padding`;
  }
  return `${shape([result.rows.length, result.columns])}: ${result.real} real cells and ${result.total - result.real} cells of padding, ${percent(1 - result.real / result.total)}`;
}

function Panel({ result, cell }: { result: Padded; cell: number }) {
  const drawing = useMemo(() => gridDrawing(result, cell), [result, cell]);
  const padding = result.total - result.real;
  return (
    <section class="panel" aria-label={strategyNames[result.strategy]} data-strategy={result.strategy}>
      <h3>{strategyNames[result.strategy]}</h3>
      <div
        class="table-scroll"
        tabIndex={0}
        role="region"
        aria-label={`Cells: ${strategyNames[result.strategy]}`}
      >
        <Picture drawing={drawing} label={describe(result)} />
      </div>
      {result.ragged !== undefined ? (
        <dl class="facts">
          <div>
            <dt>shape</dt>
            <dd>none</dd>
          </div>
          <div>
            <dt>rows of</dt>
            <dd>{result.rows.map((row) => row.length).join(', ')}</dd>
          </div>
        </dl>
      ) : (
        <dl class="facts">
          <div>
            <dt>shape</dt>
            <dd>{shape([result.rows.length, result.columns])}</dd>
          </div>
          <div>
            <dt>padding</dt>
            <dd>{percent(padding / result.total)}</dd>
          </div>
          <div>
            <dt>real + padding</dt>
            <dd>
              {count(result.real)} + {count(padding)}
            </dd>
          </div>
        </dl>
      )}
    </section>
  );
}

interface Summary {
  strategy: string;
  rows: number;
  columns: number | null;
  real: number;
  padding: number;
  percent: number;
}

const summaryColumns: readonly Column<Summary>[] = [
  { title: 'strategy', value: (row) => row.strategy },
  { title: 'rows', kind: 'number', value: (row) => row.rows },
  { title: 'columns', kind: 'number', value: (row) => row.columns },
  { title: 'real', kind: 'number', value: (row) => row.real },
  { title: 'padding', kind: 'number', value: (row) => row.padding },
  { title: 'padding %', kind: 'number', value: (row) => row.percent },
];

function summaries(): Summary[] {
  return padded.value.map((result) => ({
    strategy: result.strategy,
    rows: result.rows.length,
    columns: result.ragged === undefined ? result.columns : null,
    real: result.real,
    padding: result.total - result.real,
    percent: Number(((100 * (result.total - result.real)) / result.total).toFixed(2)),
  }));
}

/** The three grids below each other, as one picture. */
function allDrawing(): Drawing {
  const cell = 12;
  const drawings = padded.value.map((result) => ({ result, drawing: gridDrawing(result, cell) }));
  const head = 28;
  const gap = 20;
  return {
    width: Math.max(320, ...drawings.map(({ drawing }) => drawing.width)) + 32,
    height: drawings.reduce((sum, { drawing }) => sum + drawing.height + head + gap, 16),
    draw(painter, colours) {
      let top = 16;
      for (const { result, drawing } of drawings) {
        const text = `${strategyNames[result.strategy]}: ${describe(result)}`;
        painter.text(16, top + head / 2, text, { fill: colours.ink, size: 13, family: 'sans-serif' });
        const shifted: Painter = {
          rect: (x, y, width, height, shapeOf) => {
            painter.rect(x + 16, y + top + head, width, height, shapeOf);
          },
          path: (d, shapeOf) => {
            painter.path(d, shapeOf);
          },
          text: (x, y, words, lettering) => {
            painter.text(x + 16, y + top + head, words, lettering);
          },
        };
        drawing.draw(shifted, colours);
        top += drawing.height + head + gap;
      }
    },
  };
}

export function StrategiesInstrument() {
  const { ref, width } = useWidth();
  const results = padded.value;
  const cell = cellSize(width, results);
  return (
    <Instrument
      title="Three ways to pad, at one scale"
      exports={[
        ...pictureExports('padding', allDrawing),
        { kind: 'table', name: 'padding', table: () => tableOf(summaryColumns, summaries()) },
      ]}
    >
      <div ref={ref}>
        <WithTokenizer>
          {() => (
            <div class="flow">
              <div class="panels">
                {results.map((result) => (
                  <Panel key={result.strategy} result={result} cell={cell} />
                ))}
              </div>
              <p class="legend hint">
                <span>
                  <span class="key real" /> a real token, mask 1
                </span>
                <span>
                  <span class="key pad" /> padding, mask 0
                </span>
              </p>
              {cuts.value.length > 0 && (
                <p class="hint" role="status">
                  {list(cuts.value.map(({ row, length }) => `Sentence ${row} has ${count(length)} tokens`))}:
                  more than BERT has positions. truncation=True cuts {cuts.value.length === 1 ? 'it' : 'them'}{' '}
                  to {count(tokenizer.value?.settings.modelMaxLength ?? 512)}, also without padding.
                </p>
              )}
            </div>
          )}
        </WithTokenizer>
      </div>
    </Instrument>
  );
}

const faces = { token: 'Tokens', id: 'input_ids', mask: 'attention_mask' } as const;
type Face = keyof typeof faces;

const facesShown = signal<Face>('token');

interface CellRow {
  position: number;
  token: string;
  id: number;
  mask: number;
  word: number | null;
}

const cellColumns: readonly Column<CellRow>[] = [
  { title: '#', kind: 'number', value: (row) => row.position },
  { title: 'token', kind: 'mono', value: (row) => row.token, show: (row) => <TokenText token={row.token} /> },
  { title: 'token_id', kind: 'number', value: (row) => row.id },
  { title: 'attention_mask', kind: 'number', value: (row) => row.mask },
];

function rowCells(row: Encoding): CellRow[] {
  return row.tokens.map((token, i) => ({
    position: i,
    token,
    id: row.inputIds[i]!,
    mask: row.attentionMask[i]!,
    word: row.wordIds[i] ?? null,
  }));
}

// As many cells as stay quick as elements; wider batches show their first columns.
const mostCells = 2400;

function Matrix({ result }: { result: Padded }) {
  const columns = Math.min(result.columns, Math.max(8, Math.floor(mostCells / result.rows.length)));
  const face = facesShown.value;
  return (
    <>
      <div class="table-scroll" role="region" aria-label={`${faces[face]} of the batch`} tabIndex={0}>
        <table class="matrix">
          <caption class="visually-hidden">
            {faces[face]}, {strategyNames[result.strategy]}
          </caption>
          <tbody>
            {result.rows.map((row, y) => (
              <tr key={y}>
                <th scope="row">{y + 1}</th>
                {Array.from({ length: Math.min(columns, row.length) }, (_, x) => {
                  const real = row.attentionMask[x] === 1;
                  const word = row.wordIds[x] ?? null;
                  return (
                    <td key={x} class={real ? tintClass(word) : 'pad'} data-lit={wordMark(`row${y}`, word)}>
                      {face === 'token' ? (
                        <TokenText token={row.tokens[x]!} />
                      ) : face === 'id' ? (
                        row.inputIds[x]
                      ) : (
                        row.attentionMask[x]
                      )}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {columns < result.columns && (
        <p class="hint">
          The first {columns} of {result.columns} columns; the table below has them all.
        </p>
      )}
    </>
  );
}

// The engine's advice is JavaScript; it follows the language that the samples are read in.
const advice = {
  python: 'padding="longest"',
  javascript: "{ padding: 'longest' }",
  cli: '--padding longest',
} as const;

function Ragged({ why }: { why: string }) {
  return (
    <div class="trouble" data-testid="ragged">
      <strong>Without padding there is no tensor.</strong>{' '}
      {sentenceCase(why.replace(advice.javascript, advice[language.value]))}
      <div class="row">
        <button
          type="button"
          class="button"
          onClick={() => {
            strategy.value = 'longest';
          }}
        >
          Pad to the longest
        </button>
      </div>
    </div>
  );
}

export function DetailInstrument() {
  const result = padded.value.find((entry) => entry.strategy === strategy.value);
  const at = Math.min(chosenRow.value, (result?.rows.length ?? 1) - 1);
  const row = result?.rows[at];
  const cells = row ? rowCells(row) : [];
  return (
    <Instrument
      title="Cell by cell"
      exports={[{ kind: 'table', name: 'padded-row', table: () => tableOf(cellColumns, cells) }]}
    >
      <WithTokenizer>
        {() =>
          result && (
            <div class="flow">
              <div class="row">
                <Tabs
                  label="Strategy"
                  options={strategyNames}
                  value={strategy.value}
                  onChange={(next) => {
                    strategy.value = next;
                  }}
                />
                <Tabs
                  label="What the cells show"
                  options={faces}
                  value={facesShown.value}
                  onChange={(next) => {
                    facesShown.value = next;
                  }}
                />
              </div>
              <Matrix result={result} />
              {result.ragged !== undefined && <Ragged why={result.ragged} />}
              <PlaceTabs
                label="Sequence"
                caption="One sequence as a table, as the notebook prints it"
                places={result.rows.length}
                value={at}
                onChange={(next) => {
                  chosenRow.value = next;
                }}
              />
              <DataTable
                caption={`Sequence ${at + 1}: token, id and attention mask`}
                columns={cellColumns}
                rows={cells}
                window={12}
                rowMark={(entry) => wordMark(`row${at}`, entry.word)}
                rowClass={(entry) => tintClass(entry.word)}
              />
            </div>
          )
        }
      </WithTokenizer>
    </Instrument>
  );
}
