// Attention: every head as a thumbnail, one head as lines between tokens, and the same head as a matrix.
import { useMemo } from 'preact/hooks';
import type { EncodeResult } from 'bertlens';
import { bert } from '../../engine/model';
import { families, mix, type Colours } from '../../lib/colours';
import { percent, plural, probability } from '../../lib/format';
import type { Painter } from '../../lib/painter';
import { lit, wordMark } from '../../state/lit';
import { sentence } from '../../state/sentence';
import { DataTable, type Column } from '../../ui/data-table';
import { Editor } from '../../ui/editor';
import { Instrument } from '../../ui/instrument';
import { Picture, pictureExports, type Drawing } from '../../ui/picture';
import { Tabs } from '../../ui/tabs';
import { TokenText, tintClass } from '../../ui/token';
import { useWidth } from '../../ui/use-width';
import { Trouble, WithModel } from '../../ui/with-model';
import { WithTokenizer } from '../../ui/with-tokenizer';
import { scopeOf, spansOf } from '../tokenizer/chips';
import { encoding, second } from '../tokenizer/state';
import {
  attentions,
  current,
  direction,
  head,
  headOf,
  hideSpecial,
  layer,
  pointed,
  share,
  type Direction,
  type Head,
} from './state';

// A thumbnail has at most so many cells a side; longer texts show the strongest weight of each cell.
const thumbCells = 24;

function thumbnails(result: EncodeResult, layers: number, heads: number, width: number): Drawing {
  const left = 30;
  const top = 22;
  const cell = Math.max(30, Math.min(110, Math.floor((width - left) / heads)));
  const side = cell - 6;
  return {
    width: left + heads * cell,
    height: top + layers * cell,
    draw(painter: Painter, colours: Colours) {
      const small = { size: 11.5, family: families.text, fill: colours.muted, align: 'center' as const };
      for (let h = 0; h < heads; h += 1) painter.text(left + h * cell + side / 2, 10, String(h + 1), small);
      for (let l = 0; l < layers; l += 1) {
        painter.text(12, top + l * cell + side / 2, String(l + 1), small);
        for (let h = 0; h < heads; h += 1) {
          const found = headOf(result, l, h);
          if (!found) continue;
          const x0 = left + h * cell;
          const y0 = top + l * cell;
          const chosen = layer.value === l && head.value === h;
          painter.rect(x0 - 2, y0 - 2, side + 4, side + 4, {
            fill: colours.sunken,
            stroke: chosen ? colours.accent : colours.line,
            strokeWidth: chosen ? 2 : 1,
            radius: 3,
          });
          const cells = Math.min(found.size, thumbCells);
          const step = side / cells;
          for (let y = 0; y < cells; y += 1) {
            for (let x = 0; x < cells; x += 1) {
              const weight = strongest(found, y, x, cells);
              if (weight < 0.02) continue;
              painter.rect(x0 + x * step, y0 + y * step, step, step, {
                fill: mix(colours.sunken, colours.accent, Math.sqrt(weight)),
              });
            }
          }
        }
      }
    },
  };
}

/** The strongest weight in one cell of a picture of cells × cells. */
function strongest(found: Head, row: number, column: number, cells: number): number {
  const { size, raw } = found;
  const from = (at: number) => Math.floor((at * size) / cells);
  let most = 0;
  for (let y = from(row); y < from(row + 1); y += 1) {
    for (let x = from(column); x < from(column + 1); x += 1) most = Math.max(most, raw[y * size + x]!);
  }
  return most;
}

export function HeadsInstrument() {
  attentions.use();
  const { ref, width } = useWidth();
  const { value, pending, trouble } = attentions.answer.value;
  const config = bert.value?.info.config;
  const layers = config?.numHiddenLayers ?? 0;
  const heads = config?.numAttentionHeads ?? 0;
  const at = `${layer.value}.${head.value}`;
  const drawing = useMemo(
    () => (value && width > 0 ? thumbnails(value, layers, heads, width) : null),
    [value, layers, heads, width, at],
  );
  return (
    <Instrument
      title="Every head of every layer"
      exports={pictureExports(
        'attention-heads',
        () => drawing ?? { width: 1, height: 1, draw: () => undefined },
      )}
    >
      <div class="flow">
        <WithTokenizer>
          {(ready) => (
            <>
              <Editor
                label="Sentence"
                value={sentence.value}
                scope="first"
                spans={spansOf(ready, encoding.value, 0)}
                onChange={(next) => {
                  sentence.value = next;
                }}
              />
              {second.value !== undefined && (
                <Editor
                  label="Second sentence"
                  value={second.value}
                  scope="second"
                  spans={spansOf(ready, encoding.value, 1)}
                  onChange={(next) => {
                    second.value = next;
                  }}
                />
              )}
              <div class="row">
                <button
                  type="button"
                  class="quiet"
                  onClick={() => {
                    second.value = second.value === undefined ? '' : undefined;
                  }}
                >
                  {second.value === undefined ? 'Add a second sentence' : 'Remove the second'}
                </button>
              </div>
            </>
          )}
        </WithTokenizer>
        <WithModel speaks>
          {() => (
            <>
              <Trouble text={trouble} />
              <p class="hint">
                Rows are layers, columns are heads. Inside, a row is a token that looks, a column one that is
                looked at; strong colour is much. Press one to open it below.
              </p>
              <div
                ref={ref}
                class={pending ? 'table-scroll stale' : 'table-scroll'}
                tabIndex={0}
                role="region"
                aria-label="Heads by layer"
              >
                {drawing && (
                  <Picture
                    class="pressable"
                    drawing={drawing}
                    label={`${layers} layers with ${heads} heads each; layer ${layer.value + 1}, head ${head.value + 1} is open below`}
                    onPress={(x, y) => {
                      const cell = (drawing.width - 30) / heads;
                      const h = Math.floor((x - 30) / cell);
                      const l = Math.floor((y - 22) / cell);
                      if (h < 0 || l < 0 || h >= heads || l >= layers) return;
                      layer.value = l;
                      head.value = h;
                    }}
                  />
                )}
              </div>
              <div class="row">
                <Numbers
                  label="Layer"
                  count={layers}
                  value={layer.value}
                  onChange={(next) => (layer.value = next)}
                />
                <Numbers
                  label="Head"
                  count={heads}
                  value={head.value}
                  onChange={(next) => (head.value = next)}
                />
              </div>
            </>
          )}
        </WithModel>
      </div>
    </Instrument>
  );
}

interface NumbersProps {
  label: string;
  count: number;
  value: number;
  onChange: (value: number) => void;
}

function Numbers({ label, count, value, onChange }: NumbersProps) {
  return (
    <div class="row">
      <span class="hint">{label}</span>
      <Tabs
        label={label}
        options={Object.fromEntries(Array.from({ length: count }, (_, i) => [String(i), String(i + 1)]))}
        value={String(value)}
        onChange={(next) => {
          onChange(Number(next));
        }}
      />
    </div>
  );
}

const rowHeight = 24;

function focusOf(found: Head): number | null {
  if (pointed.value !== null && pointed.value < found.size) return pointed.value;
  const mark = lit.value;
  if (mark === null) return null;
  const at = found.tokens.findIndex(
    (_, i) => wordMark(scopeOf(found.encoding.sequenceIds[i] ?? null), found.encoding.wordIds[i]) === mark,
  );
  return at < 0 ? null : at;
}

// With more tokens than this, lines are drawn for the token pointed at alone.
const mostForAllLines = 80;

function linesDrawing(found: Head, focus: number | null): Drawing {
  const widest = Math.max(...found.tokens.map((token) => token.length)) * 8.1;
  const gap = 200;
  const width = 2 * widest + gap + 32;
  const height = found.size * rowHeight + 8;
  const leftEdge = widest + 12;
  const rightEdge = leftEdge + gap;
  const y = (i: number) => i * rowHeight + rowHeight / 2 + 4;
  return {
    width,
    height,
    draw(painter: Painter, colours: Colours) {
      const middle = (leftEdge + rightEdge) / 2;
      for (let from = 0; from < found.size; from += 1) {
        if (focus === null ? found.size > mostForAllLines : from !== focus) continue;
        for (let to = 0; to < found.size; to += 1) {
          const weight = found.weights[from * found.size + to]!;
          if (weight < 0.01) continue;
          painter.path(
            `M${leftEdge},${y(from)}C${middle},${y(from)} ${middle},${y(to)} ${rightEdge},${y(to)}`,
            {
              stroke: colours.accent,
              strokeWidth: 1 + 2.5 * weight,
              opacity: Math.min(1, 0.08 + weight),
            },
          );
        }
      }
      found.tokens.forEach((token, i) => {
        const looks = focus === null || focus === i;
        const weight = focus === null ? 1 : found.weights[focus * found.size + i]!;
        if (focus !== null && weight > 0.01) {
          painter.rect(rightEdge + 4, y(i) - 10, widest + 8, 20, {
            fill: mix(colours.surface, colours['accent-soft'], Math.min(1, 0.3 + weight)),
            radius: 4,
          });
        }
        if (focus === i) {
          painter.rect(2, y(i) - 10, widest + 8, 20, { fill: colours['accent-soft'], radius: 4 });
        }
        const style = { size: 13.5, family: families.mono };
        painter.text(leftEdge - 6, y(i), token, {
          ...style,
          fill: looks ? colours.ink : colours.muted,
          align: 'right',
        });
        painter.text(rightEdge + 8, y(i), token, {
          ...style,
          fill: focus === null || weight > 0.05 ? colours.ink : colours.muted,
        });
      });
    },
  };
}

const directionNames: Record<Direction, string> = {
  all: 'All',
  aa: 'A → A',
  ab: 'A → B',
  ba: 'B → A',
  bb: 'B → B',
};

function point(at: number | null, found: Head): void {
  pointed.value = at;
  const mark =
    at === null
      ? undefined
      : wordMark(scopeOf(found.encoding.sequenceIds[at] ?? null), found.encoding.wordIds[at]);
  lit.value = mark ?? null;
}

interface WeightRow {
  position: number;
  token: string;
  weight: number;
  word: number | null;
}

const weightColumns: readonly Column<WeightRow>[] = [
  { title: '#', kind: 'number', value: (row) => row.position },
  {
    title: 'looked at',
    kind: 'mono',
    value: (row) => row.token,
    show: (row) => <TokenText token={row.token} />,
  },
  { title: 'weight', kind: 'number', value: (row) => row.weight, show: (row) => probability(row.weight) },
];

export function LinesInstrument() {
  const found = current.value;
  const focus = found ? focusOf(found) : null;
  const drawing = useMemo(() => (found ? linesDrawing(found, focus) : null), [found, focus]);
  const from = focus ?? 0;
  const rows: WeightRow[] = found
    ? found.tokens
        .map((token, i) => ({
          position: i,
          token,
          weight: found.raw[from * found.size + i]!,
          word: found.encoding.wordIds[i] ?? null,
        }))
        .sort((a, b) => b.weight - a.weight)
    : [];
  return (
    <Instrument
      title={`Layer ${layer.value + 1}, head ${head.value + 1}: who looks at whom`}
      exports={[
        ...pictureExports('attention-head', () => drawing ?? { width: 1, height: 1, draw: () => undefined }),
        {
          kind: 'table',
          name: 'attention',
          table: () => ({
            columns: ['query', ...(found?.tokens ?? [])],
            rows: (found?.tokens ?? []).map((token, i) => [
              token,
              ...found!.raw.subarray(i * found!.size, (i + 1) * found!.size),
            ]),
          }),
        },
      ]}
    >
      <WithModel>
        {() =>
          found &&
          drawing && (
            <div class="flow">
              <div class="row">
                {second.value !== undefined && (
                  <Tabs
                    label="From which sentence to which"
                    options={directionNames}
                    value={direction.value}
                    onChange={(next) => {
                      direction.value = next;
                    }}
                  />
                )}
                <label class="check">
                  <input
                    type="checkbox"
                    checked={hideSpecial.value}
                    onChange={(event) => {
                      hideSpecial.value = event.currentTarget.checked;
                    }}
                  />
                  Hide [CLS] and [SEP]
                </label>
                <label class="field slider short-slider">
                  <span>
                    Strongest <b class="mono">{share.value} %</b> of each row
                  </span>
                  <input
                    type="range"
                    min={1}
                    max={100}
                    value={share.value}
                    onInput={(event) => {
                      share.value = event.currentTarget.valueAsNumber;
                    }}
                  />
                </label>
              </div>
              <div class="columns">
                <section>
                  <p class="hint">
                    Left looks, right is looked at.{' '}
                    {found.size > mostForAllLines
                      ? 'Point at a token to see its lines.'
                      : 'Point at a token to see it alone.'}
                  </p>
                  <div class="table-scroll tall" tabIndex={0} role="region" aria-label="Lines between tokens">
                    <Picture
                      class="pressable"
                      drawing={drawing}
                      label={`Lines from ${plural(found.size, 'token')} to the tokens they look at; the table has the weights`}
                      onPoint={(_, y) => {
                        const at = Math.floor((y - 4) / rowHeight);
                        point(at >= 0 && at < found.size ? at : null, found);
                      }}
                      onLeave={() => {
                        point(null, found);
                      }}
                    />
                  </div>
                </section>
                <section>
                  <p class="hint">
                    What <span class="mono">{found.tokens[from]}</span> looks at, strongest first
                  </p>
                  <DataTable
                    caption="Weights of one token, strongest first"
                    columns={weightColumns}
                    rows={rows}
                    window={14}
                    rowClass={(entry) => tintClass(entry.word)}
                  />
                </section>
              </div>
            </div>
          )
        }
      </WithModel>
    </Instrument>
  );
}

function matrixDrawing(found: Head, cell: number, focus: number | null): Drawing {
  const labels = cell >= 11;
  const widest = labels ? Math.max(...found.tokens.map((token) => token.length)) * 7.2 + 10 : 0;
  const side = found.size * cell;
  return {
    width: widest + side + 2,
    height: widest + side + 2,
    draw(painter: Painter, colours: Colours) {
      if (labels) {
        found.tokens.forEach((token, i) => {
          const style = { size: 12, family: families.mono, fill: focus === i ? colours.accent : colours.ink };
          painter.text(widest - 6, widest + i * cell + cell / 2, token, { ...style, align: 'right' });
          painter.text(widest + i * cell + cell / 2, widest - 6, token, {
            ...style,
            fill: colours.ink,
            turn: -90,
          });
        });
      }
      painter.rect(widest, widest, side, side, { fill: colours.sunken });
      for (let y = 0; y < found.size; y += 1) {
        for (let x = 0; x < found.size; x += 1) {
          const weight = found.weights[y * found.size + x]!;
          if (weight < 0.005) continue;
          painter.rect(
            widest + x * cell,
            widest + y * cell,
            cell - (cell > 6 ? 1 : 0),
            cell - (cell > 6 ? 1 : 0),
            {
              fill: mix(colours.sunken, colours.accent, Math.sqrt(weight)),
            },
          );
        }
      }
      if (focus !== null) {
        painter.rect(widest, widest + focus * cell, side, cell, { stroke: colours.accent, strokeWidth: 1.5 });
      }
    },
  };
}

export function MatrixInstrument() {
  const { ref, width } = useWidth();
  const found = current.value;
  const focus = found ? focusOf(found) : null;
  const cell = found ? Math.max(3, Math.min(28, Math.floor((Math.min(width, 760) - 110) / found.size))) : 0;
  const drawing = useMemo(
    () => (found && width > 0 ? matrixDrawing(found, cell, focus) : null),
    [found, cell, focus, width],
  );
  return (
    <Instrument
      title="The same head as a matrix"
      exports={pictureExports(
        'attention-matrix',
        () => drawing ?? { width: 1, height: 1, draw: () => undefined },
      )}
    >
      <div ref={ref}>
        <WithModel>
          {() =>
            found &&
            drawing && (
              <div class="flow">
                <div class="table-scroll" tabIndex={0} role="region" aria-label="Matrix of attention weights">
                  <Picture
                    drawing={drawing}
                    label={`${found.size} by ${found.size} weights; every row sums to 1`}
                    onPoint={(_, y) => {
                      const at = Math.floor((y - (drawing.height - 2 - found.size * cell)) / cell);
                      point(at >= 0 && at < found.size ? at : null, found);
                    }}
                    onLeave={() => {
                      point(null, found);
                    }}
                  />
                </div>
                <p class="hint">
                  Rows look, columns are looked at; every row sums to 1, so an even look at all {found.size}{' '}
                  tokens would be {percent(1 / found.size, 1)} each.
                </p>
              </div>
            )
          }
        </WithModel>
      </div>
    </Instrument>
  );
}
