// Section 3: what the attention mask changes. Cell 7 of the notebook, then per layer and by the number of padding tokens.
import { scaleLinear } from 'd3-scale';
import { line } from 'd3-shape';
import type { MaskEffectResult } from 'bertlens';
import type { ComponentChildren } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { answers } from '../../engine/answers';
import { bert, timed } from '../../engine/model';
import { tokenizer } from '../../engine/tokenizer';
import { families, mix, monoWidth, readableOn, type Colours } from '../../lib/colours';
import { count, plural } from '../../lib/format';
import { javascriptString, shellTexts } from '../../lib/python';
import type { Painter } from '../../lib/painter';
import { DataTable, tableOf, type Column } from '../../ui/data-table';
import { Instrument } from '../../ui/instrument';
import { noDrawing, Picture, pictureExports, type Drawing } from '../../ui/picture';
import { Printed } from '../../ui/printed';
import { Results } from '../../ui/results';
import { PlaceTabs } from '../../ui/tabs';
import { TextList, TextListTrouble } from '../../ui/texts';
import { useWidth } from '../../ui/use-width';
import { Trouble, WithModel } from '../../ui/with-model';
import { modelNames } from '../naming';
import type { View } from '../view';
import { SoftmaxInstrument } from './softmax';
import { chosen, notebookTexts, shorten, texts } from './state';

const effectOf = answers<string[], MaskEffectResult>(
  () => texts.value,
  (model, batch, abort) => timed(model.maskEffect(batch, { signal: abort })),
  250,
);

const paddings = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

/** The shortest row is the one that padding would disturb most; one that is still to be written has nothing to disturb. */
function shortest(): string | null {
  return texts.value
    .filter((text) => text.trim() !== '')
    .reduce<string | null>(
      (least, text) => (least === null || text.length < least.length ? text : least),
      null,
    );
}

const curve = answers<string, number[]>(
  shortest,
  (model, text, abort) => model.maskEffectCurve(text, paddings, { signal: abort }),
  400,
);

interface Row {
  text: string;
  tokens: number;
  padding: number;
  distance: number;
}

const columns: readonly Column<Row>[] = [
  { title: 'text', kind: 'wrap', value: (row) => row.text },
  { title: 'tokens', kind: 'number', value: (row) => row.tokens },
  { title: 'padding', kind: 'number', value: (row) => row.padding },
  {
    title: 'L2 of [CLS], with and without mask',
    short: 'L2 of [CLS]',
    kind: 'number',
    value: (row) => row.distance,
    show: (row) => row.distance.toFixed(4),
  },
];

function rowsOf(result: MaskEffectResult, batch: readonly string[]): Row[] {
  return result.clsL2.map((distance, i) => ({
    text: batch[i] ?? '',
    tokens: result.tokens[i] ?? 0,
    padding: result.padding[i] ?? 0,
    distance,
  }));
}

function BatchInstrument() {
  effectOf.use();
  const answer = effectOf.answer.value;
  const { value, input, trouble } = answer;
  const rows = value && input ? rowsOf(value, input) : [];
  return (
    <Instrument
      title="With the mask, and without it"
      tools={
        <button
          type="button"
          class="quiet"
          onClick={() => {
            texts.value = notebookTexts;
          }}
        >
          The notebook’s
        </button>
      }
      exports={[{ kind: 'table', name: 'mask-effect', table: () => tableOf(columns, rows) }]}
    >
      <div class="flow">
        <TextList what="text" texts={texts} most={8} scope="mask" room="10rem" />
        <WithModel speaks room="7rem">
          {() => (
            <div class="flow">
              <TextListTrouble trouble={trouble} texts={texts} />
              {rows.length > 0 && (
                <Results of={answer} about="the texts">
                  <DataTable
                    caption="Distance of the [CLS] vectors with and without the mask"
                    columns={columns}
                    rows={rows}
                    narrow="shrinks"
                  />
                  <p class="hint">
                    L2 is the straight line between two vectors: the differences of their{' '}
                    {count(bert.value?.info.config.hiddenSize ?? 0)} numbers squared, summed, and the root of
                    that. At 0 they are the same vector.
                  </p>
                </Results>
              )}
            </div>
          )}
        </WithModel>
      </div>
    </Instrument>
  );
}

interface Series {
  name: string;
  /** Of the text in the batch: it has one colour in all charts. */
  place: number;
  points: readonly (readonly [x: number, y: number])[];
}

interface Chart {
  drawing: Drawing;
  series: readonly Series[];
  /** The middle of a point in the drawing. */
  middle: (point: Series['points'][number]) => readonly [x: number, y: number];
}

/** Lines over whole numbers: names stand at their ends, so that colour is not needed to tell them apart. */
function chart(series: readonly Series[], width: number, across: string, ticks: readonly number[]): Chart {
  const height = 288;
  const most = Math.max(0.001, ...series.flatMap((entry) => entry.points.map((point) => point[1])));
  const x = scaleLinear([Math.min(...ticks), Math.max(...ticks)], [44, width - 96]);
  const y = scaleLinear([0, most], [height - 44, 40]).nice(5);
  const drawing: Drawing = {
    width,
    height,
    draw(painter: Painter, colours: Colours) {
      const small = { size: 11.5, family: families.text, fill: colours.muted };
      painter.text(0, 12, 'L2 distance of [CLS], with and without the mask', small);
      for (const tick of y.ticks(5)) {
        painter.path(`M${x.range()[0]!},${y(tick)}H${x.range()[1]!}`, {
          stroke: colours.line,
          strokeWidth: 1,
        });
        painter.text(36, y(tick), String(tick), { ...small, align: 'right' });
      }
      for (const tick of ticks)
        painter.text(x(tick), height - 30, String(tick), { ...small, align: 'center' });
      painter.text((x.range()[0]! + x.range()[1]!) / 2, height - 10, across, { ...small, align: 'center' });
      const hues = [colours.accent, colours.warm, colours['tint-line-2'], colours['tint-line-3']];
      let lastLabel = Infinity;
      const ordered = [...series].sort((a, b) => (a.points.at(-1)?.[1] ?? 0) - (b.points.at(-1)?.[1] ?? 0));
      for (const entry of ordered) {
        const stroke = hues[entry.place % hues.length]!;
        painter.path(
          line<readonly [number, number]>(
            (point) => x(point[0]),
            (point) => y(point[1]),
          )([...entry.points]) ?? '',
          { stroke, strokeWidth: 2 },
        );
        for (const [px, py] of entry.points)
          painter.rect(x(px) - 3, y(py) - 3, 6, 6, { fill: stroke, radius: 3 });
        lastLabel = Math.min(y(entry.points.at(-1)?.[1] ?? 0), lastLabel - 15);
        painter.text(x.range()[1]! + 10, lastLabel, entry.name, { ...small, fill: colours.ink });
      }
    },
  };
  return { drawing, series, middle: (point) => [x(point[0]), y(point[1])] };
}

/** The point of a chart that is nearest: across before up, as lines are read. */
function nearest({ series, middle }: Chart, x: number, y: number): PointedAt | null {
  let found: PointedAt | null = null;
  let least = [Infinity, Infinity] as const;
  series.forEach((entry, line) => {
    entry.points.forEach((point, at) => {
      const [px, py] = middle(point);
      const away = [Math.abs(px - x), Math.abs(py - y)] as const;
      if (away[0] < least[0] || (away[0] === least[0] && away[1] < least[1])) {
        least = away;
        found = { line, at };
      }
    });
  });
  return found;
}

interface PointedAt {
  /** Of the series. */
  line: number;
  /** Of the points of its line. */
  at: number;
}

/** A chart whose points can be read: under the pointer, or where a finger taps. */
function ReadChart({
  chart: shown,
  label,
  where,
}: {
  chart: Chart;
  label: string;
  /** What a whole number across stands for. */
  where: (across: number) => ComponentChildren;
}) {
  const [pointed, setPointed] = useState<PointedAt | null>(null);
  const line = pointed && shown.series[pointed.line];
  const point = pointed && line?.points[pointed.at];
  const middle = point && shown.middle(point);
  const read = (x: number, y: number) => {
    const next = nearest(shown, x, y);
    setPointed((before) => (before?.line === next?.line && before?.at === next?.at ? before : next));
  };
  return (
    <>
      <Picture
        drawing={shown.drawing}
        label={label}
        mark={middle ? { x: middle[0] - 6, y: middle[1] - 6, width: 12, height: 12 } : null}
        onPoint={read}
        onLeave={() => {
          setPointed(null);
        }}
      />
      <p class="hint readout brief">
        {line && point ? (
          <>
            <span class="mono">{line.name}</span>, {where(point[0])}:{' '}
            <b class="mono">{point[1].toFixed(4)}</b>
          </>
        ) : (
          'Point at the chart to read it.'
        )}
      </p>
    </>
  );
}

interface LayerRow {
  text: string;
  distances: readonly number[];
}

function layerColumns(layers: number): readonly Column<LayerRow>[] {
  return [
    { title: 'text', kind: 'wrap', value: (row) => row.text },
    ...Array.from({ length: layers }, (_, i): Column<LayerRow> => ({
      title: String(i),
      kind: 'number',
      value: (row) => row.distances[i] ?? 0,
      show: (row) => (row.distances[i] ?? 0).toFixed(4),
    })),
  ];
}

function LayersInstrument() {
  const { ref, width } = useWidth();
  const answer = effectOf.answer.value;
  const { value, input } = answer;
  const layers = value?.perLayer[0]?.length ?? 0;
  const columns = useMemo(() => layerColumns(layers), [layers]);
  const rows = (value?.perLayer ?? []).map((distances, i) => ({ text: input?.[i] ?? '', distances }));
  const found = useMemo(
    () =>
      value && input && width > 0
        ? chart(
            value.perLayer.map((distances, i) => ({
              name: shorten(input[i] ?? ''),
              place: i,
              points: distances.map((distance, at) => [at, distance] as const),
            })),
            Math.min(width, 960),
            'after this layer (0: the embeddings)',
            Array.from({ length: layers }, (_, i) => i),
          )
        : null,
    [value, input, width, layers],
  );
  return (
    <Instrument
      title="Layer by layer"
      exports={[
        ...pictureExports('mask-effect-layers', () => found?.drawing ?? noDrawing),
        { kind: 'table', name: 'mask-effect-layers', table: () => tableOf(columns, rows) },
      ]}
    >
      <div ref={ref}>
        <WithModel room="18rem">
          {() =>
            found && (
              <Results of={answer} about="the texts">
                <ReadChart
                  chart={found}
                  label={`Distance of [CLS] after each layer: ${rows
                    .map(({ text, distances }) => `${text}: ${distances.map((d) => d.toFixed(2)).join(', ')}`)
                    .join('; ')}`}
                  where={(layer) => (layer === 0 ? 'the embeddings' : `after layer ${layer}`)}
                />
                <details>
                  <summary>Every layer in numbers</summary>
                  <DataTable
                    caption="Distance of [CLS] after each layer, 0 the embeddings"
                    columns={columns}
                    rows={rows}
                  />
                </details>
              </Results>
            )
          }
        </WithModel>
      </div>
    </Instrument>
  );
}

const mapCell = { width: 58, height: 26 };
const mapType = 13;

/** One text's tokens by layer: how far each vector moves without the mask. */
function tokenMap(tokens: readonly string[], distances: readonly (readonly number[])[]): Drawing {
  const widest = monoWidth(Math.max(...tokens.map((token) => token.length)), mapType) + 14;
  const most = Math.max(1e-6, ...distances.flat());
  return {
    width: widest + distances.length * mapCell.width,
    height: 24 + tokens.length * mapCell.height,
    draw(painter: Painter, colours: Colours) {
      const small = { size: 11.5, family: families.text, fill: colours.muted, align: 'center' as const };
      distances.forEach((_, layer) => {
        painter.text(widest + (layer + 0.5) * mapCell.width, 10, String(layer), small);
      });
      tokens.forEach((token, row) => {
        const top = 24 + row * mapCell.height;
        const middle = top + mapCell.height / 2;
        painter.text(widest - 8, middle, token, {
          size: mapType,
          family: families.mono,
          fill: colours.ink,
          align: 'right',
        });
        distances.forEach((layer, at) => {
          const share = (layer[row] ?? 0) / most;
          const left = widest + at * mapCell.width;
          const fill = mix(colours.sunken, colours.accent, share);
          painter.rect(left, top, mapCell.width - 1, mapCell.height - 1, { fill, radius: 2 });
          painter.text(left + mapCell.width / 2, middle, (layer[row] ?? 0).toFixed(2), {
            ...small,
            family: families.mono,
            fill: readableOn(fill, colours),
          });
        });
      });
    },
  };
}

function TokensInstrument() {
  const answer = effectOf.answer.value;
  const { value, input } = answer;
  const ready = tokenizer.value;
  const at = Math.min(chosen.value, (input?.length ?? 1) - 1);
  const text = input?.[at];
  const tokens = useMemo(
    () => (ready && text !== undefined ? ready.encode(text, { truncation: true }).tokens : []),
    [ready, text],
  );
  const distances = value?.perToken[at] ?? [];
  const drawing = useMemo(
    () => (tokens.length > 0 && distances.length > 0 ? tokenMap(tokens, distances) : null),
    [tokens, distances],
  );
  return (
    <Instrument
      title="Token by token"
      exports={[
        ...pictureExports('mask-effect-tokens', () => drawing ?? noDrawing),
        {
          kind: 'table',
          name: 'mask-effect-tokens',
          table: () => ({
            columns: ['token', ...distances.map((_, layer) => String(layer))],
            rows: tokens.map((token, row) => [token, ...distances.map((layer) => layer[row] ?? 0)]),
          }),
        },
      ]}
    >
      <WithModel>
        {() =>
          drawing && (
            <Results of={answer} about="the texts">
              {input && input.length > 1 && (
                <PlaceTabs
                  label="Which text"
                  places={input.map(shorten)}
                  value={at}
                  onChange={(next) => {
                    chosen.value = next;
                  }}
                />
              )}
              <div class="table-scroll" tabIndex={0} role="region" aria-label="Distance by token and layer">
                <Picture
                  drawing={drawing}
                  label={`Distance of each token’s vector with and without the mask, after each layer: ${tokens
                    .map(
                      (token, row) =>
                        `${token} ${distances.map((layer) => (layer[row] ?? 0).toFixed(2)).join(' ')}`,
                    )
                    .join('; ')}`}
                />
              </div>
              <p class="hint">
                Columns are layers, 0 the embeddings. Not [CLS] alone moves: every token that could see the
                padding does.
              </p>
            </Results>
          )
        }
      </WithModel>
    </Instrument>
  );
}

interface CurveRow {
  padding: number;
  distance: number;
}

const curveColumns: readonly Column<CurveRow>[] = [
  { title: 'padding', kind: 'number', value: (row) => row.padding },
  {
    title: 'L2 of [CLS]',
    kind: 'number',
    value: (row) => row.distance,
    show: (row) => row.distance.toFixed(4),
  },
];

/** What the curve says, which need not rise throughout. */
function trendOf(rows: readonly CurveRow[]): string {
  const falls = rows.findIndex(({ distance }, i) => i > 0 && distance < rows[i - 1]!.distance);
  if (falls < 0) return 'The more padding, the further off.';
  return `With ${plural(rows[falls]!.padding, 'padding token')} [CLS] is less far off than with ${rows[falls - 1]!.padding}: more padding is not always worse.`;
}

function CurveInstrument() {
  curve.use();
  const { ref, width } = useWidth();
  const answer = curve.answer.value;
  const { value, input, trouble } = answer;
  const place = Math.max(0, texts.value.indexOf(input ?? ''));
  const rows = (value ?? []).map((distance, i) => ({ padding: paddings[i] ?? 0, distance }));
  const found = useMemo(
    () =>
      value && input !== null && width > 0
        ? chart(
            [
              {
                name: shorten(input),
                place,
                points: value.map((distance, i) => [paddings[i]!, distance] as const),
              },
            ],
            Math.min(width, 960),
            'padding tokens that are not masked',
            [0, 8, 16, 24, 32, 48, 64],
          )
        : null,
    [value, input, place, width],
  );
  return (
    <Instrument
      title="By the amount of padding"
      exports={[
        ...pictureExports('mask-effect-curve', () => found?.drawing ?? noDrawing),
        {
          kind: 'table',
          name: 'mask-effect-curve',
          table: () => ({
            columns: ['padding', 'cls_l2'],
            rows: rows.map(({ padding, distance }) => [padding, distance]),
          }),
        },
      ]}
    >
      <div ref={ref} class="flow">
        <WithModel room="18rem">
          {() => (
            <>
              <Trouble text={trouble} />
              {found && (
                <Results of={answer} about="the text">
                  <ReadChart
                    chart={found}
                    label={`Distance of [CLS] by padding tokens: ${rows
                      .map(({ padding, distance }) => `${padding}: ${distance.toFixed(2)}`)
                      .join(', ')}`}
                    where={(padding) => `with ${plural(padding, 'padding token')}`}
                  />
                  <p class="hint">{trendOf(rows)}</p>
                  <details>
                    <summary>Every length in numbers</summary>
                    <DataTable
                      caption="Distance of [CLS] by padding tokens that are not masked"
                      columns={curveColumns}
                      rows={rows}
                    />
                  </details>
                </Results>
              )}
            </>
          )}
        </WithModel>
      </div>
    </Instrument>
  );
}

function Instruments() {
  return (
    <>
      <BatchInstrument />
      <SoftmaxInstrument />
      <LayersInstrument />
      <TokensInstrument />
      <CurveInstrument />
    </>
  );
}

function Notice() {
  const { value, input } = effectOf.answer.value;
  if (!value || !input) return <p class="hint">The sentences here speak of what is on screen.</p>;
  const rows = rowsOf(value, input);
  const whole = rows.filter((row) => row.padding === 0);
  const moved = rows.filter((row) => row.padding > 0 && row.text.trim() !== '');
  const worst = moved.reduce((most, row) => (row.distance > most.distance ? row : most), moved[0]!);
  return (
    <>
      {whole.length > 0 && (
        <p>
          {plural(whole.length, 'row')} of this batch needed no padding; there the mask has nothing to hide,
          and the distance is {(whole[0]?.distance ?? 0).toFixed(4)}.
        </p>
      )}
      {moved.length > 0 && (
        <p>
          “{worst.text}” got {plural(worst.padding, 'padding token')}. Without the mask{' '}
          {worst.padding === 1 ? 'it is' : 'they are'} read like words, and [CLS] moves by{' '}
          {worst.distance.toFixed(4)}. The embeddings, layer 0, are equal: the harm is done by attention.
        </p>
      )}
      <p>
        With the mask, padding has a weight of exactly 0 in every head, so a text gives the same vectors
        however wide its batch is. That is why it must always be passed along.
      </p>
    </>
  );
}

function code() {
  const names = modelNames();
  const list = texts.value;
  return {
    python: `import torch
from transformers import BertModel, BertTokenizerFast

tokenizer = BertTokenizerFast.from_pretrained(${names.python})
model = BertModel.from_pretrained(${names.python}).eval()
batch = tokenizer(
    [${list.map((text) => JSON.stringify(text)).join(', ')}],
    padding=True,
    return_tensors="pt",
)
with torch.no_grad():
    masked = model(batch.input_ids, attention_mask=batch.attention_mask)
    every = torch.ones_like(batch.attention_mask)
    unmasked = model(batch.input_ids, attention_mask=every)
difference = (masked.last_hidden_state - unmasked.last_hidden_state)[:, 0]
print(difference.norm(dim=-1).tolist())`,
    javascript: `import { load } from 'bertlens';

const bert = await load(${names.javascript});
const { clsL2, perLayer } = await bert.maskEffect([${list.map(javascriptString).join(', ')}]);
console.log(clsL2, perLayer);
await bert.dispose();`,
    cli: `bertlens mask-effect${names.cli} ${shellTexts(list)}`,
  };
}

const notebookEffect = answers<string[], MaskEffectResult>(
  () => notebookTexts,
  (model, batch, abort) => model.maskEffect(batch, { signal: abort }),
);

function Notebook() {
  notebookEffect.use();
  const { value, trouble } = notebookEffect.answer.value;
  return (
    <div class="printed">
      <Trouble text={trouble} />
      <Printed
        cell="Cell 7 printed, for bert-base-uncased; here: the model that is loaded"
        otherModel
        lines={notebookTexts.map((text, i) => ({
          what: text,
          printed: ['0.0', '2.567479133605957'][i] ?? '',
          here: value?.clsL2[i],
        }))}
      />
    </div>
  );
}

const view: View = {
  lead: 'The same padded batch goes through the model twice, with the attention mask and without. The distance between the two answers is what the mask is for.',
  Instrument: Instruments,
  Notice,
  code,
  Notebook,
};

export default view;
