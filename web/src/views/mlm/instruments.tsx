// Hide words and see what the model expects there; the strip of surprises; the curve between probability and loss.
import { scaleLinear } from 'd3-scale';
import { line } from 'd3-shape';
import { signal } from '@preact/signals';
import type { FillMaskResult, MaskPredictions, Prediction } from 'bertlens';
import { useMemo } from 'preact/hooks';
import { bert } from '../../engine/model';
import { tokenizer } from '../../engine/tokenizer';
import { families, mix, monoWidth, type Colours } from '../../lib/colours';
import { count, decimal, list, plural, probability } from '../../lib/format';
import type { Painter } from '../../lib/painter';
import { Bars } from '../../ui/bars';
import { DataTable, tableOf, type Column } from '../../ui/data-table';
import { Editor } from '../../ui/editor';
import { Instrument } from '../../ui/instrument';
import { NumberField } from '../../ui/number-field';
import { Picture, pictureExports, type Drawing } from '../../ui/picture';
import { Results } from '../../ui/results';
import { Slider } from '../../ui/slider';
import { SmallModel } from '../../ui/small-model';
import { Suggestions } from '../../ui/suggestions';
import { Tabs } from '../../ui/tabs';
import { TokenText } from '../../ui/token';
import { TextTrouble, type Texts } from '../../ui/too-long';
import { useWidth } from '../../ui/use-width';
import { WithModel } from '../../ui/with-model';
import { WithTokenizer } from '../../ui/with-tokenizer';
import { wordMark } from '../../state/lit';
import {
  hidden,
  notebookHidden,
  notebookMasked,
  notebookText,
  order,
  prediction,
  question,
  setText,
  showLinked,
  shown,
  showOwn,
  surprise,
  targets,
  targetWords,
  text,
  toggleHidden,
  topK,
  words,
  type Gap,
  type Order,
} from './state';

const orderNames: Record<Order, string> = {
  independent: 'Each alone',
  left_to_right: 'Left to right',
  most_confident: 'Surest first',
};

function keepFirst([cut]: readonly Texts[]): void {
  setText(cut!.text);
}

interface PredictionRow extends Prediction {
  mask: number;
  place: number;
}

const predictionColumns: readonly Column<PredictionRow>[] = [
  { title: 'mask', kind: 'number', value: (row) => row.mask },
  { title: 'place', kind: 'number', value: (row) => row.place },
  { title: 'token', kind: 'mono', value: (row) => row.token },
  { title: 'probability', kind: 'number', value: (row) => row.probability },
  { title: 'loss', kind: 'number', value: (row) => row.loss },
  { title: 'logit', kind: 'number', value: (row) => row.logit },
  { title: 'rank', kind: 'number', value: (row) => row.rank },
  { title: 'cumulative', kind: 'number', value: (row) => row.cumulative },
];

function predictionTable() {
  const rows = (prediction.answer.value.value?.masks ?? []).flatMap((mask, i) =>
    mask.predictions.map((entry, place) => ({ ...entry, mask: i + 1, place: place + 1 })),
  );
  return tableOf(predictionColumns, rows);
}

interface MaskColumnProps {
  mask: MaskPredictions;
  gap: Gap | undefined;
  nth: number;
  /** The probability of a full bar, the same for all masks. */
  most: number;
}

function MaskColumn({ mask, gap, nth, most }: MaskColumnProps) {
  const label = mask.label;
  return (
    <section data-testid={`mask-${nth}`}>
      <h3>
        {gap ? (
          <>
            Instead of <bdi class="mono">{gap.word}</bdi>
            {gap.of > 1 && (
              <>
                :{' '}
                <span class="mono">
                  <TokenText token={gap.piece} />
                </span>{' '}
                ({gap.nth} of {gap.of})
              </>
            )}
          </>
        ) : (
          `Mask ${nth + 1}`
        )}
      </h3>
      <Bars
        label={`What fits at mask ${nth + 1}`}
        most={most}
        bars={mask.predictions.map((entry) => ({
          label: entry.token,
          value: entry.probability,
          note: `loss ${entry.loss.toFixed(4)}`,
          marked: label !== undefined && entry.id === label.id,
        }))}
      />
      <p class="hint">
        Together {probability(mask.predictions.at(-1)?.cumulative ?? 0)} of all probability.
        {label && (
          <>
            {' '}
            What was there has {probability(label.probability)}
            {label.rank !== null && `, rank ${count(label.rank)}`}: loss <b>{label.loss.toFixed(4)}</b>.
          </>
        )}
      </p>
    </section>
  );
}

function highest(result: FillMaskResult): number {
  return Math.max(...result.masks.flatMap((mask) => mask.predictions.map((entry) => entry.probability)));
}

export function MaskInstrument() {
  prediction.use();
  const answer = prediction.answer.value;
  const { value, input, trouble } = answer;
  const asked = question.value;
  const { unwritten } = targetWords.value;
  return (
    <Instrument
      title="Hide a word"
      exports={[{ kind: 'table', name: 'predictions', table: predictionTable }]}
    >
      <div class="flow">
        <WithTokenizer room="16rem">
          {() => (
            <>
              <Tabs
                label="Which text"
                options={{
                  linked: 'Linked to your sentence',
                  notebook: 'The notebook’s',
                  ...(shown.value === 'own' && { own: 'A text of its own' }),
                }}
                value={shown.value}
                onChange={(next) => {
                  if (next === 'linked') showLinked();
                  if (next === 'notebook') showOwn(notebookText, notebookHidden);
                }}
              />
              <Editor
                label="Text"
                value={text.value}
                scope="mlm"
                spans={words.value.map((word, i) => ({
                  start: word.offsets[0],
                  end: word.offsets[1],
                  word: i,
                }))}
                placeholder="Type a sentence, then hide words of it"
                onChange={setText}
              />
              <TextTrouble trouble={trouble} texts={[{ text: text.value }]} onCut={keepFirst} />
              <div>
                <p class="hint" id="hide-words">
                  Press a word to hide it. The model sees [MASK] there and the rest of the sentence, on both
                  sides.
                </p>
                <div class="hide-words" role="group" aria-labelledby="hide-words">
                  {words.value.map((word, i) => {
                    const typed = word.text === '[MASK]';
                    const gone = typed || hidden.value.includes(i);
                    return (
                      <button
                        type="button"
                        key={i}
                        class={`hide-word tint-${i % 4}`}
                        aria-pressed={gone}
                        disabled={typed}
                        data-lit={wordMark('mlm', i)}
                        onClick={() => {
                          toggleHidden(i);
                        }}
                      >
                        {gone && !typed ? (
                          <>
                            <span class="visually-hidden">{text.value.slice(...word.offsets)}, hidden: </span>
                            <span class="mono">
                              [MASK]{word.pieces.length > 1 && ` × ${word.pieces.length}`}
                            </span>
                          </>
                        ) : (
                          text.value.slice(...word.offsets)
                        )}
                      </button>
                    );
                  })}
                </div>
              </div>
              <div class="row">
                <NumberField
                  label="Show the best"
                  value={topK.value}
                  low={1}
                  high={50}
                  inline
                  onChange={(next) => {
                    topK.value = next;
                  }}
                />
                <label class="field inline grow">
                  <span>or score</span>
                  <input
                    class="input"
                    placeholder="words, separated by commas"
                    spellcheck={false}
                    autocomplete="off"
                    value={targets.value}
                    onInput={(event) => {
                      targets.value = event.currentTarget.value;
                    }}
                  />
                </label>
              </div>
              {unwritten.length > 0 && (
                <p class="hint" role="status">
                  Not scored: {list(unwritten)}. The vocabulary has no pieces for{' '}
                  {unwritten.length === 1 ? 'it' : 'them'}.
                </p>
              )}
              {asked.pieces.length > 1 && (
                <Tabs
                  label="Order in which several masks are filled"
                  caption={`Fill the ${asked.pieces.length} masks`}
                  options={orderNames}
                  value={order.value}
                  onChange={(next) => {
                    order.value = next;
                  }}
                />
              )}
            </>
          )}
        </WithTokenizer>
        <WithModel speaks room="28rem">
          {({ tokenizer: ready }) => (
            <>
              {asked.pieces.length === 0 ? (
                <p class="hint">Nothing is hidden. Press a word above, or type [MASK].</p>
              ) : (
                value &&
                input && (
                  <Results of={answer} about="the question">
                    <p class="hint">
                      {value.masks.length > 1
                        ? 'All bars are to one scale: the longest is'
                        : 'The longest bar is'}{' '}
                      {probability(highest(value))}.
                    </p>
                    <div class="columns">
                      {value.masks.map((mask, i) => (
                        <MaskColumn key={i} mask={mask} gap={input.gaps[i]} nth={i} most={highest(value)} />
                      ))}
                    </div>
                    <div role="status">
                      <p>
                        <span class="hint">
                          {input.targets.length > 0
                            ? 'The likeliest of these put in'
                            : 'The best words put in'}
                          :{' '}
                        </span>
                        {ready.decode(value.filled.subarray(1, -1))}
                      </p>
                      {value.loss !== undefined && (
                        <p>
                          <span class="hint">
                            {value.masks.length > 1
                              ? 'Mean loss of what was hidden: '
                              : 'Loss of the hidden word: '}
                          </span>
                          <span data-testid="loss">{value.loss.toFixed(4)}</span>
                        </p>
                      )}
                    </div>
                    <SmallModel>
                      {input.label === notebookText && input.masked === notebookMasked && (
                        <>
                          In the notebook bert-base-uncased answered paris 0.4168, lille 0.0714, lyon 0.0634,
                          with a loss of 0.88.
                        </>
                      )}
                    </SmallModel>
                  </Results>
                )
              )}
            </>
          )}
        </WithModel>
      </div>
    </Instrument>
  );
}

interface SurpriseRow {
  token: string;
  loss: number;
  probability: number;
  rank: number;
  best: string;
  bestProbability: number;
}

const surpriseColumns: readonly Column<SurpriseRow>[] = [
  { title: 'token', kind: 'mono', value: (row) => row.token, show: (row) => <TokenText token={row.token} /> },
  {
    title: 'probability',
    kind: 'number',
    value: (row) => row.probability,
    show: (row) => probability(row.probability),
  },
  { title: 'loss', kind: 'number', value: (row) => row.loss, show: (row) => row.loss.toFixed(4) },
  { title: 'rank', kind: 'number', value: (row) => row.rank },
  { title: 'expected', kind: 'mono', value: (row) => row.best },
  {
    title: 'with',
    kind: 'number',
    value: (row) => row.bestProbability,
    show: (row) => probability(row.bestProbability),
  },
];

// A loss of this many nats is shown at full strength; the vocabulary's ln 30,522 is 10.3.
const fullSurprise = 8;

function surpriseDrawing(rows: readonly SurpriseRow[]): Drawing {
  const widths = rows.map((row) => Math.max(34, monoWidth(row.token.length, 13) + 14));
  const height = 116;
  return {
    width: widths.reduce((sum, width) => sum + width + 2, 0),
    height,
    draw(painter: Painter, colours: Colours) {
      let x = 0;
      rows.forEach((row, i) => {
        const width = widths[i]!;
        const share = Math.min(1, row.loss / fullSurprise);
        const bar = Math.max(1, share * 60);
        painter.rect(x, 62 - bar, width, bar, {
          fill: mix(colours['accent-soft'], colours.accent, share),
          radius: 2,
        });
        painter.text(x + width / 2, 80, row.token, {
          fill: colours.ink,
          size: 13,
          family: families.mono,
          align: 'center',
        });
        painter.text(x + width / 2, 100, row.loss < 0.005 ? '<0.01' : row.loss.toFixed(2), {
          fill: colours.muted,
          size: 11.5,
          family: families.mono,
          align: 'center',
        });
        x += width + 2;
      });
    },
  };
}

export function SurpriseInstrument() {
  surprise.use();
  const answer = surprise.answer.value;
  const { value, trouble } = answer;
  const rows = useMemo<SurpriseRow[]>(
    () =>
      (value?.tokens ?? []).map((token) => ({
        token: token.token,
        loss: -token.logProbability,
        probability: Math.exp(token.logProbability),
        rank: token.rank,
        best: token.bestToken,
        bestProbability: token.bestProbability,
      })),
    [value],
  );
  const drawing = useMemo(() => surpriseDrawing(rows), [rows]);
  return (
    <Instrument
      title="How surprising is each word?"
      exports={[
        ...pictureExports('surprise', () => drawing),
        { kind: 'table', name: 'surprise', table: () => tableOf(surpriseColumns, rows) },
      ]}
    >
      <WithModel room="30rem">
        {() => (
          <div class="flow">
            <TextTrouble trouble={trouble} texts={[{ text: text.value }]} onCut={keepFirst} />
            {text.value.trim() === '' ? (
              <p class="hint">There is no word to ask for: type a sentence above.</p>
            ) : (
              value?.tokens.length === 0 &&
              !answer.outdated && (
                <p class="hint">There is no word to ask for: every token is a special one.</p>
              )
            )}
            {rows.length > 0 && value && (
              <Results of={answer}>
                <div class="table-scroll" tabIndex={0} role="region" aria-label="Loss of each token">
                  <Picture
                    drawing={drawing}
                    label={`Loss of each of ${rows.length} tokens when it alone is hidden; the table below has the numbers`}
                  />
                </div>
                <p class="hint">
                  Each token is hidden in turn and asked for; tall means unexpected. The sum of the
                  logarithms, the sentence’s pseudo-log-likelihood, is {decimal(value.pseudoLogLikelihood, 2)}
                  .
                </p>
                <DataTable
                  caption="Probability, loss and rank of each token, and what was expected instead"
                  columns={surpriseColumns}
                  rows={rows}
                  window={10}
                />
              </Results>
            )}
          </div>
        )}
      </WithModel>
    </Instrument>
  );
}

const probe = signal(0.5);
/** The steps of its “Understanding the Loss Value”. */
const notebookLosses: readonly (readonly [loss: string, probability: number])[] = [
  ['0.0', 1],
  ['0.69', 0.5],
  ['1.0', 0.37],
  ['2.0', 0.14],
];

// The curve is drawn up to this loss, and further where the hidden word has a greater one.
const leastTop = 6;

function lossDrawing(width: number, at: number, label: number | undefined): Drawing {
  const height = 268;
  const lossOf = (p: number) => -Math.log(Math.max(p, 1e-30));
  const highestLoss = Math.max(leastTop, label === undefined ? 0 : Math.ceil(lossOf(label)));
  const x = scaleLinear([0, 1], [44, width - 12]);
  const y = scaleLinear([0, highestLoss], [height - 52, 40]);
  const ticks = y.ticks(6);
  // words stand between two grid lines: above the curve, which falls to their right
  const rows = ticks.slice(1).map((tick, i) => (y(tick) + y(ticks[i]!)) / 2);
  const curve =
    line<number>(
      (p) => x(p),
      (p) => y(-Math.log(p)),
    )(Array.from({ length: 200 }, (_, i) => Math.exp(highestLoss * (i / 199 - 1)))) ?? '';
  return {
    width,
    height,
    draw(painter, colours) {
      const small = { size: 11.5, family: families.text, fill: colours.muted };
      for (const tick of x.ticks(5)) {
        painter.text(x(tick), height - 34, String(tick), { ...small, align: 'center' });
      }
      for (const tick of ticks) {
        painter.path(`M${x(0)},${y(tick)}H${x(1)}`, { stroke: colours.line, strokeWidth: 1 });
        painter.text(x(0) - 10, y(tick), String(tick), { ...small, align: 'right' });
      }
      painter.text(0, 12, 'loss = −ln(probability)', small);
      painter.text(x(0.5), height - 12, 'probability of the right word', { ...small, align: 'center' });
      painter.path(curve, { stroke: colours.accent, strokeWidth: 2 });
      const mark = (p: number, fill: string, words: string) => {
        const top = y(lossOf(p));
        const row = rows.find((middle) => middle < top - 7) ?? rows.at(-1)!;
        painter.rect(x(p) - 5, top - 5, 10, 10, { fill, radius: 5 });
        painter.text(x(p) + (p > 0.7 ? -10 : 10), row, words, {
          ...small,
          fill: colours.ink,
          align: p > 0.7 ? 'right' : 'left',
        });
      };
      if (label !== undefined) mark(label, colours.warm, 'the hidden word');
      mark(at, colours.accent, `${at.toFixed(2)} → ${(-Math.log(at)).toFixed(2)}`);
    },
  };
}

export function LossInstrument() {
  const { ref, width } = useWidth();
  const { value, outdated } = prediction.answer.value;
  const label = outdated ? undefined : value?.masks[0]?.label?.probability;
  const at = probe.value;
  const entries = bert.value?.info.config.vocabSize ?? tokenizer.value?.vocabulary.size ?? 30522;
  const drawing = useMemo(
    () => lossDrawing(Math.min(960, Math.max(260, width)), at, label),
    [width, at, label],
  );
  return (
    <Instrument
      title="Loss is probability, seen another way"
      exports={[
        ...pictureExports('loss', () => drawing),
        {
          kind: 'table',
          name: 'loss',
          table: () => ({
            columns: ['probability', 'loss'],
            rows: Array.from({ length: 100 }, (_, i) => [(i + 1) / 100, -Math.log((i + 1) / 100)]),
          }),
        },
      ]}
    >
      <div class="flow" ref={ref}>
        {width > 0 && (
          <Picture
            drawing={drawing}
            label={`Loss against probability: at ${at.toFixed(2)} the loss is ${(-Math.log(at)).toFixed(2)}`}
          />
        )}
        <Slider
          low={0.01}
          high={1}
          step={0.01}
          value={at}
          onChange={(next) => {
            probe.value = next;
          }}
        >
          Probability of the right word <b class="mono">{at.toFixed(2)}</b>, loss{' '}
          <b class="mono">{(-Math.log(at)).toFixed(2)}</b>
        </Slider>
        <Suggestions
          title="The notebook’s"
          items={notebookLosses.map(([loss, p]) => [`loss ${loss} → ${Math.round(100 * p)} %`, p])}
          onChoose={(p) => {
            probe.value = p;
          }}
        />
        <p class="hint">
          {plural(entries, 'entry', 'entries')} of the vocabulary share the probability; an even share each
          would be a loss of {Math.log(entries).toFixed(2)}.
        </p>
      </div>
    </Instrument>
  );
}
