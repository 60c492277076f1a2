// Attention: every head as a thumbnail, one head as lines between tokens, and the same head as a matrix.
import { batch, signal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import type { EncodeResult } from 'bertlens';
import { bert } from '../../engine/model';
import { families, mix, monoWidth, ramp, type Colours } from '../../lib/colours';
import type { Table } from '../../lib/export';
import { percent, plural, probability } from '../../lib/format';
import type { Painter } from '../../lib/painter';
import { lit, wordMark } from '../../state/lit';
import { sentence } from '../../state/sentence';
import { isDark } from '../../state/theme';
import { DataTable, tableOf, type Column } from '../../ui/data-table';
import { Editor } from '../../ui/editor';
import { Instrument } from '../../ui/instrument';
import { noDrawing, Picture, pictureExports, type Drawing } from '../../ui/picture';
import { Results } from '../../ui/results';
import { Slider } from '../../ui/slider';
import { PlaceTabs, Tabs } from '../../ui/tabs';
import { Said, TokenText, tintClass } from '../../ui/token';
import { TextTrouble } from '../../ui/too-long';
import { useRested } from '../../ui/use-rested';
import { useWidth } from '../../ui/use-width';
import { WithModel } from '../../ui/with-model';
import { WithTokenizer } from '../../ui/with-tokenizer';
import { scopeOf, SecondSentence, spansOf } from '../tokenizer/chips';
import { second } from '../tokenizer/state';
import {
  attentions,
  current,
  direction,
  filtered,
  habitOf,
  head,
  headOf,
  hideSpecial,
  layer,
  openHead,
  pointed,
  share,
  summaries,
  type Direction,
  type Head,
  type HeadSummary,
} from './state';

// A thumbnail has at most so many cells a side; longer texts show the strongest weight of each cell.
const thumbCells = 24;
// What is smaller is left blank: in a thumbnail, in a matrix, as a line. In long texts that is half of an even look at all.
const thumbBlank = (size: number) => Math.min(0.02, 1 / (2 * size));
const matrixBlank = (size: number) => Math.min(0.005, 1 / (2 * size));
const lineBlank = (size: number) => Math.min(0.01, 1 / (2 * size));

/** Where the thumbnails stand. */
interface Wall extends Drawing {
  left: number;
  top: number;
  /** From one head to the next, from one layer to the next. */
  column: number;
  row: number;
}

// Below a thumbnail stands where its head mostly looks, where the word has room.
const leastNamed = 44;

function thumbnails(
  result: EncodeResult,
  habits: readonly (string | undefined)[],
  layers: number,
  heads: number,
  width: number,
): Wall {
  const left = 30;
  const top = 22;
  const column = Math.max(30, Math.min(160, Math.floor((width - left) / heads)));
  const side = column - 6;
  const row = side >= leastNamed ? column + 16 : column;
  return {
    left,
    top,
    column,
    row,
    width: left + heads * column,
    height: top + layers * row,
    draw(painter: Painter, colours: Colours) {
      const small = { size: 11.5, family: families.text, fill: colours.muted, align: 'center' as const };
      const shade = ramp(colours.sunken, colours.accent);
      for (let h = 0; h < heads; h += 1) painter.text(left + h * column + side / 2, 10, String(h + 1), small);
      for (let l = 0; l < layers; l += 1) {
        painter.text(12, top + l * row + side / 2, String(l + 1), small);
        for (let h = 0; h < heads; h += 1) {
          const found = headOf(result, l, h);
          if (!found) continue;
          const x0 = left + h * column;
          const y0 = top + l * row;
          const habit = habits[l * heads + h];
          if (row > column && habit !== undefined) {
            painter.text(x0 + side / 2, y0 + side + 10, habit, { ...small, size: side < 64 ? 10.5 : 11.5 });
          }
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
              if (weight < thumbBlank(found.size)) continue;
              painter.rect(x0 + x * step, y0 + y * step, step, step, { fill: shade(weight) });
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

const shareColumn = (title: string, value: (row: HeadSummary) => number): Column<HeadSummary> => ({
  title,
  kind: 'number',
  sorts: true,
  value: (row) => Number(value(row).toFixed(6)),
  show: (row) => percent(value(row), 1),
});

const summaryColumns: readonly Column<HeadSummary>[] = [
  { title: 'layer', kind: 'number', sorts: true, value: (row) => row.layer },
  { title: 'head', kind: 'number', sorts: true, value: (row) => row.head },
  shareColumn('[CLS], [SEP]', (row) => row.special),
  shareColumn('itself', (row) => row.self),
  shareColumn('one before', (row) => row.previous),
  shareColumn('one after', (row) => row.next),
  {
    title: 'entropy, bits',
    kind: 'number',
    sorts: true,
    value: (row) => Number(row.entropy.toFixed(6)),
    show: (row) => row.entropy.toFixed(2),
  },
  { title: 'mostly', value: (row) => habitOf(row) ?? '' },
];

export function HeadsInstrument() {
  attentions.use();
  const { ref, width } = useWidth();
  const { ref: beside, width: room } = useWidth();
  const answer = attentions.answer.value;
  const { value, trouble } = answer;
  const config = bert.value?.info.config;
  const layers = config?.numHiddenLayers ?? 0;
  const heads = config?.numAttentionHeads ?? 0;
  const at = `${layer.value}.${head.value}`;
  const habits = useMemo(() => summaries.value.map(habitOf), [summaries.value]);
  const habit = habits[layer.value * heads + head.value];
  const drawing = useMemo(
    () => (value && width > 0 ? thumbnails(value, habits, layers, heads, width) : null),
    [value, habits, layers, heads, width, at],
  );
  const opened = useMemo(() => {
    const found = value && room > 0 ? headOf(value, layer.value, head.value) : null;
    return found && besideOf(found, room);
  }, [value, room, at]);
  return (
    <Instrument
      title="Every head of every layer"
      tools={<SecondSentence />}
      exports={[
        ...pictureExports('attention-heads', () => drawing ?? noDrawing),
        { kind: 'table', name: 'attention-heads', table: () => tableOf(summaryColumns, summaries.value) },
      ]}
    >
      <div class="flow">
        <WithTokenizer room="8rem">
          {() => (
            <>
              <Editor
                label="Sentence"
                value={sentence.value}
                scope="first"
                spans={spansOf(0)}
                onChange={(next) => {
                  sentence.value = next;
                }}
              />
              {second.value !== undefined && (
                <Editor
                  label="Second sentence"
                  value={second.value}
                  scope="second"
                  spans={spansOf(1)}
                  onChange={(next) => {
                    second.value = next;
                  }}
                />
              )}
            </>
          )}
        </WithTokenizer>
        <WithModel speaks room="clamp(38rem, 100vw - 30rem, 48rem)">
          {() => (
            <div class="flow">
              <TextTrouble
                trouble={trouble}
                texts={[{ text: sentence.value, textPair: second.value }]}
                onCut={([cut]) => {
                  batch(() => {
                    sentence.value = cut!.text;
                    second.value = cut!.textPair;
                  });
                }}
              />
              <p class="hint">
                Rows are layers, columns are heads. Inside, a row is a token that looks, a column one that is
                looked at. {isDark() ? 'The brighter' : 'The darker'}, the more weight. Press one to open it.
                {habits.some((one) => one !== undefined) &&
                  ' A head is called by where it mostly looks: the next token, the previous one, the token itself, [CLS] or [SEP].'}
              </p>
              <Results of={answer}>
                <div class="heads">
                  <div ref={ref} class="table-scroll" tabIndex={0} role="region" aria-label="Heads by layer">
                    {drawing && (
                      <Picture
                        class="pressable"
                        drawing={drawing}
                        label={`${layers} layers with ${heads} heads each; layer ${layer.value + 1}, head ${head.value + 1} is open`}
                        onPress={(x, y) => {
                          const h = Math.floor((x - drawing.left) / drawing.column);
                          const l = Math.floor((y - drawing.top) / drawing.row);
                          if (h < 0 || l < 0 || h >= heads || l >= layers) return;
                          openHead(l, h);
                          // where there is no room for it beside the others, its lines are what is opened
                          if (room === 0) linesCard.current?.scrollIntoView();
                        }}
                      />
                    )}
                  </div>
                  <div class="head-beside" ref={beside}>
                    {opened && (
                      <>
                        <p class="hint">
                          Layer {layer.value + 1}, head {head.value + 1}
                          {habit !== undefined && `, mostly ${habit}`}
                        </p>
                        <Picture
                          drawing={opened}
                          label={`The open head, layer ${layer.value + 1}, head ${head.value + 1}, as a matrix`}
                        />
                      </>
                    )}
                  </div>
                </div>
                {value?.encoding && <Scale blank={thumbBlank(value.encoding.length)} />}
              </Results>
              <div class="row">
                <PlaceTabs
                  label="Layer"
                  caption="Layer"
                  places={layers}
                  value={layer.value}
                  onChange={(next) => {
                    openHead(next, head.value);
                  }}
                />
                <PlaceTabs
                  label="Head"
                  caption="Head"
                  places={heads}
                  value={head.value}
                  onChange={(next) => {
                    openHead(layer.value, next);
                  }}
                />
              </div>
              <details>
                <summary>Every head in numbers</summary>
                <Results of={answer}>
                  <DataTable
                    caption="Heads: shares of their weight, and how spread it is"
                    columns={summaryColumns}
                    rows={summaries.value}
                    window={12}
                  />
                </Results>
              </details>
            </div>
          )}
        </WithModel>
      </div>
    </Instrument>
  );
}

/** What the colours of the weights mean; the same steps as `ramp` has. */
function Scale({ blank }: { blank: number }) {
  return (
    <p class="legend hint">
      <span>
        <span class="key weight" /> blank: below {Number(blank.toPrecision(1))}
      </span>
      {[0.1, 0.5, 1].map((weight) => (
        <span key={weight}>
          <span class="key weight" style={{ '--weight': percent(Math.sqrt(weight)).replace('\u00a0', '') }} />{' '}
          {weight}
        </span>
      ))}
      <span>square-root scale</span>
    </p>
  );
}

// A head's own cells are drawn from this size on; smaller ones together, as in a thumbnail.
const leastBeside = 4;

/** One head in the room beside the others. */
function besideOf(found: Head, room: number): Drawing {
  const cell = fitting(found, room);
  if (cell >= leastBeside) return matrixOf(found, cell, thumbBlank(found.size)).drawing;
  const cells = Math.min(found.size, Math.floor(room / leastBeside));
  const step = room / cells;
  return {
    width: room,
    height: room,
    draw(painter: Painter, colours: Colours) {
      painter.rect(0, 0, room, room, { fill: colours.sunken });
      const shade = ramp(colours.sunken, colours.accent);
      for (let y = 0; y < cells; y += 1) {
        for (let x = 0; x < cells; x += 1) {
          const weight = strongest(found, y, x, cells);
          if (weight < thumbBlank(found.size)) continue;
          painter.rect(x * step, y * step, step, step, { fill: shade(weight) });
        }
      }
    },
  };
}

/** The card of the open head's lines. */
const linesCard: { current: HTMLDivElement | null } = { current: null };

const rowHeight = 24;

function focusOf(found: Head): number | null {
  if (pointed.value !== null && pointed.value < found.size) return pointed.value;
  const mark = lit.value;
  if (mark === null) return null;
  const at = found.tokens.findIndex((_, i) => markOf(found, i) === mark);
  return at < 0 ? null : at;
}

/** The mark of a token's word for state/lit.ts. */
function markOf({ encoding, places }: Head, at: number): string | undefined {
  const place = places[at]!;
  return wordMark(scopeOf(encoding.sequenceIds[place] ?? null), encoding.wordIds[place]);
}

/** The first token of which something is on show, whatever is filtered. */
function firstSeen(found: Head): number {
  return Math.max(0, Math.floor(found.weights.findIndex((weight) => weight > 0) / found.size));
}

// With more tokens than this, lines are drawn for one alone: the token pointed at, or that of the table.
const mostForAllLines = 80;

function linesOf(found: Head, focus: number | null, room: number): Drawing {
  const type = 13.5;
  const widest = monoWidth(longest(found), type);
  const gap = Math.max(96, Math.min(320, room - 2 * widest - 32));
  const leftEdge = widest + 12;
  const rightEdge = leftEdge + gap;
  const middle = (leftEdge + rightEdge) / 2;
  const y = (i: number) => i * rowHeight + rowHeight / 2 + 4;
  const style = { size: type, family: families.mono };
  const blank = lineBlank(found.size);
  // many lines together may be faint, the many small weights of one token in a long text not
  const faintest = found.size > mostForAllLines ? 0.25 : 0.08;
  return {
    width: 2 * widest + gap + 32,
    height: found.size * rowHeight + 8,
    draw(painter: Painter, colours: Colours, seen) {
      const top = seen ? Math.max(0, Math.floor(seen.top / rowHeight) - 1) : 0;
      const bottom = seen ? Math.min(found.size, Math.ceil(seen.bottom / rowHeight)) : found.size;
      // lines that lead out of view go one view further: more of them cannot be told apart at its edge
      const further = bottom - top;
      const linesFrom = (from: number) => {
        for (let to = Math.max(0, top - further); to < Math.min(found.size, bottom + further); to += 1) {
          const weight = found.weights[from * found.size + to]!;
          if (weight < blank) continue;
          painter.path(
            `M${leftEdge},${y(from)}C${middle},${y(from)} ${middle},${y(to)} ${rightEdge},${y(to)}`,
            {
              stroke: colours.accent,
              strokeWidth: 1 + 2.5 * weight,
              opacity: Math.min(1, faintest + weight),
            },
          );
        }
      };
      if (focus !== null) linesFrom(focus);
      else for (let from = 0; from < found.size; from += 1) linesFrom(from);
      for (let i = top; i < bottom; i += 1) {
        const token = found.tokens[i]!;
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
        painter.text(leftEdge - 6, y(i), token, {
          ...style,
          fill: looks ? colours.ink : colours.muted,
          align: 'right',
        });
        painter.text(rightEdge + 8, y(i), token, {
          ...style,
          fill: focus === null || weight > 0.05 ? colours.ink : colours.muted,
        });
      }
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
  lit.value = (at === null ? undefined : markOf(found, at)) ?? null;
}

/** Scrolls the lines so far that a token's row is in view. */
function show(frame: HTMLElement, at: number): void {
  const top = at * rowHeight;
  if (top < frame.scrollTop) frame.scrollTop = top;
  else if (top + 2 * rowHeight > frame.scrollTop + frame.clientHeight) {
    frame.scrollTop = top + 2 * rowHeight - frame.clientHeight;
  }
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

/** One row a token that looks, one column a token looked at. */
function weightTable(found: Head | null): Table {
  return {
    columns: ['query', ...(found?.tokens ?? [])],
    rows: (found?.tokens ?? []).map((token, i) => [
      token,
      ...found!.raw.subarray(i * found!.size, (i + 1) * found!.size),
    ]),
  };
}

export function LinesInstrument() {
  const { ref, width } = useWidth();
  const found = current.value;
  const focus = found ? focusOf(found) : null;
  const first = useMemo(() => (found ? firstSeen(found) : 0), [found]);
  const drawn = focus ?? (found && found.size > mostForAllLines ? first : null);
  const drawing = useMemo(() => (found ? linesOf(found, drawn, width) : null), [found, drawn, width]);
  // The table follows when the pointer rests: its rows cost more than the lines.
  const rested = useRested(focus, 60);
  const from = rested !== null && found && rested < found.size ? rested : first;
  const table = useMemo(() => {
    const rows = (found?.tokens ?? [])
      .map((token, i): WeightRow => ({
        position: found!.places[i]!,
        token,
        weight: found!.weights[from * found!.size + i]!,
        word: found!.encoding.wordIds[found!.places[i]!] ?? null,
      }))
      // what a filter hides is 0, and so is hardly anything else
      .filter((row) => row.weight > 0 || !filtered.value);
    return rows.length === 0 ? (
      <p class="hint">All of its weight is hidden by the choice above.</p>
    ) : (
      <DataTable
        caption="Weights of one token, strongest first"
        columns={weightColumns}
        rows={rows.sort((a, b) => b.weight - a.weight)}
        window={14}
        rowClass={(entry) => tintClass(entry.word)}
      />
    );
  }, [found, from]);
  return (
    <div ref={linesCard}>
      <Instrument
        title={`Layer ${layer.value + 1}, head ${head.value + 1}: who looks at whom`}
        exports={[
          ...pictureExports('attention-head', () => drawing ?? noDrawing),
          { kind: 'table', name: 'attention', table: () => weightTable(found) },
        ]}
      >
        <WithModel room="36rem">
          {() =>
            found &&
            drawing && (
              <Results of={attentions.answer.value}>
                <div class="row low">
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
                        // the tokens after [CLS] get other indexes
                        point(null, found);
                        hideSpecial.value = event.currentTarget.checked;
                      }}
                    />
                    Hide [CLS] and [SEP]
                  </label>
                  <Slider
                    class="short-slider"
                    low={1}
                    high={100}
                    value={share.value}
                    onChange={(next) => {
                      share.value = next;
                    }}
                  >
                    Strongest <b class="mono">{share.value} %</b> of each row
                  </Slider>
                </div>
                <div class="columns">
                  <section>
                    <p class="hint">
                      Left looks, right is looked at.{' '}
                      {found.size > mostForAllLines
                        ? 'Point at a token or press it, or go through them with ↑ and ↓, to see its lines.'
                        : 'Point at a token or press it, or go through them with ↑ and ↓, to see it alone.'}
                    </p>
                    <div
                      class="table-scroll tall"
                      tabIndex={0}
                      role="region"
                      aria-label="Lines between tokens"
                      ref={ref}
                      onKeyDown={(event) => {
                        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
                        if (step !== undefined) {
                          const next = focus === null ? 0 : focus + step;
                          point(Math.min(found.size - 1, Math.max(0, next)), found);
                          show(event.currentTarget, Math.min(found.size - 1, Math.max(0, next)));
                        } else if (event.key === 'Escape') point(null, found);
                        else return;
                        event.preventDefault();
                      }}
                    >
                      <Picture
                        class="pressable"
                        drawing={drawing}
                        windowed
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
                    <p class="hint" role="status">
                      What <Said token={found.tokens[from]!} /> looks at
                      {filtered.value && ', of what is on show'}, strongest first
                    </p>
                    {table}
                  </section>
                </div>
              </Results>
            )
          }
        </WithModel>
      </Instrument>
    </div>
  );
}

interface Matrix {
  drawing: Drawing;
  /** Where the cells begin, from the left and from the top. */
  edge: number;
  cell: number;
}

/** Of the tokens beside cells of this size; 0 where they would not be legible. */
function labelSize(cell: number): number {
  return cell < 11 ? 0 : Math.min(12.5, cell * 0.8);
}

function longest(found: Head): number {
  return Math.max(...found.tokens.map((token) => token.length));
}

/** The largest cell with which the whole matrix is seen at once, in halves of a pixel. */
function fitting(found: Head, width: number): number {
  const labelled = (cell: number) => monoWidth(longest(found), labelSize(cell)) + 12;
  let cell = 36;
  while (cell > 1 && found.size * cell + labelled(cell) > Math.min(width, tallest)) cell -= 0.5;
  return cell;
}

function matrixOf(found: Head, cell: number, blank = matrixBlank(found.size)): Matrix {
  const size = labelSize(cell);
  const edge = size === 0 ? 0 : monoWidth(longest(found), size) + 10;
  const side = found.size * cell;
  const gap = cell > 6 ? 1 : 0;
  const draw = (painter: Painter, colours: Colours) => {
    const style = { size, family: families.mono, fill: colours.ink };
    if (size > 0) {
      found.tokens.forEach((token, i) => {
        const middle = edge + i * cell + cell / 2;
        painter.text(edge - 6, middle, token, { ...style, align: 'right' });
        painter.text(middle, edge - 6, token, { ...style, turn: -90 });
      });
    }
    painter.rect(edge, edge, side, side, { fill: colours.sunken });
    const shade = ramp(colours.sunken, colours.accent);
    for (let y = 0; y < found.size; y += 1) {
      for (let x = 0; x < found.size; x += 1) {
        const weight = found.weights[y * found.size + x]!;
        if (weight < blank) continue;
        painter.rect(edge + x * cell, edge + y * cell, cell - gap, cell - gap, { fill: shade(weight) });
      }
    }
  };
  return { drawing: { width: edge + side + 2, height: edge + side + 2, draw }, edge, cell };
}

const zooms = { whole: 'Whole', closer: 'Closer', readable: 'With its tokens' } as const;
const zoom = signal<keyof typeof zooms>('whole');
/** The cell that the pointer is on, as [from, to]. */
const cellPointed = signal<readonly [from: number, to: number] | null>(null);
// Labels read well from here on.
const readable = 13;
// The height of `.tall`, at the least size of type.
const tallest = 640;

export function MatrixInstrument() {
  const { ref, width } = useWidth();
  const found = current.value;
  const focus = found ? focusOf(found) : null;
  const whole = useMemo(() => (found && width > 0 ? fitting(found, width) : 1), [found, width]);
  const cell = { whole, closer: Math.max(whole, 5), readable: Math.max(whole, readable) }[zoom.value];
  const matrix = useMemo(() => (found && width > 0 ? matrixOf(found, cell) : null), [found, cell, width]);
  const mark =
    matrix && found && focus !== null
      ? { x: matrix.edge, y: matrix.edge + focus * cell, width: found.size * cell, height: cell }
      : null;
  const at = cellPointed.value;
  return (
    <Instrument
      title="The same head as a matrix"
      exports={[
        ...pictureExports('attention-matrix', () => matrix?.drawing ?? noDrawing),
        { kind: 'table', name: 'attention', table: () => weightTable(found) },
      ]}
    >
      <div ref={ref}>
        <WithModel>
          {() =>
            found &&
            matrix && (
              <Results of={attentions.answer.value}>
                {whole < readable && (
                  <Tabs
                    label="How large"
                    options={zooms}
                    value={zoom.value}
                    onChange={(next) => {
                      zoom.value = next;
                    }}
                  />
                )}
                <div
                  class="table-scroll tall"
                  tabIndex={0}
                  role="region"
                  aria-label="Matrix of attention weights"
                >
                  <Picture
                    drawing={matrix.drawing}
                    mark={mark}
                    label={`${found.size} by ${found.size} weights; every row sums to 1${filtered.value ? ' with those that are hidden' : ''}`}
                    onPoint={(x, y) => {
                      const from = Math.floor((y - matrix.edge) / cell);
                      const to = Math.floor((x - matrix.edge) / cell);
                      const inside = from >= 0 && from < found.size;
                      point(inside ? from : null, found);
                      cellPointed.value = inside && to >= 0 && to < found.size ? [from, to] : null;
                    }}
                    onLeave={() => {
                      point(null, found);
                      cellPointed.value = null;
                    }}
                  />
                </div>
                <p class="hint readout">
                  {at && at[0] < found.size && at[1] < found.size ? (
                    <>
                      <Said token={found.tokens[at[0]]!} /> (place {found.places[at[0]]}) looks at{' '}
                      <Said token={found.tokens[at[1]]!} /> (place {found.places[at[1]]}) with{' '}
                      <b class="mono">{probability(found.raw[at[0] * found.size + at[1]]!)}</b>
                    </>
                  ) : (
                    <>
                      Rows look, columns are looked at; every row sums to 1
                      {filtered.value && ', together with the weights that are hidden now'}, so an even look
                      at all {found.encoding.length} tokens would be {percent(1 / found.encoding.length, 1)}{' '}
                      each. Point at a cell or press it to read it.
                    </>
                  )}
                </p>
                <Scale blank={matrixBlank(found.size)} />
              </Results>
            )
          }
        </WithModel>
      </div>
    </Instrument>
  );
}
