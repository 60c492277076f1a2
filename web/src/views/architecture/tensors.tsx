// Every tensor of the loaded model's file: shape, type and the statistics of its elements, searched and sorted.
import { Fragment } from 'preact';
import { useMemo } from 'preact/hooks';
import type { TensorInfo, TensorStatistics } from 'bertlens';
import { bert, choiceName, loaded } from '../../engine/model';
import { count, decimal, plural, shape } from '../../lib/format';
import { DataTable, tableOf, type Column } from '../../ui/data-table';
import { Instrument } from '../../ui/instrument';
import { WithModel } from '../../ui/with-model';
import { tensorText } from './state';

/** Small numbers keep their digits: weights are mostly around a hundredth. */
function digits(value: number | undefined): string {
  if (value === undefined) return '';
  const size = Math.abs(value);
  if (Number.isInteger(value)) return count(value);
  return size !== 0 && size < 0.001
    ? value.toExponential(1).replaceAll('-', '−')
    : decimal(value, size < 10 ? 4 : 2);
}

/** From the least to the greatest element, one deviation either way of the mean in ink; 0 is the middle of the track. */
function Spread({ tensor, most }: { tensor: TensorInfo; most: number }) {
  const found = tensor.statistics;
  if (!found || most === 0) return null;
  // a root's scale: small weights can still be told apart
  const at = (value: number) => 50 + 50 * Math.sign(value) * Math.sqrt(Math.min(1, Math.abs(value) / most));
  const span = (from: number, to: number) => ({
    left: `${at(from).toFixed(2)}%`,
    width: `${Math.max(1, at(to) - at(from)).toFixed(2)}%`,
  });
  return (
    <span class="spread-track" aria-hidden="true">
      <span class="spread-range" style={span(found.min, found.max)} />
      <span
        class="spread-core"
        style={span(
          Math.max(found.min, found.mean - found.deviation),
          Math.min(found.max, found.mean + found.deviation),
        )}
      />
    </span>
  );
}

/** A name may break after each of its dots and low lines; "bert." goes without saying. */
function Name({ name }: { name: string }) {
  const parts = name.replace(/^bert\./, '').split(/(?<=[._])/);
  return (
    <span class="tensor-name" title={name}>
      {parts.map((part, i) => (
        <Fragment key={i}>
          {part}
          <wbr />
        </Fragment>
      ))}
    </span>
  );
}

function elementsOf(tensor: TensorInfo): number {
  return tensor.shape.reduce((product, side) => product * side, 1);
}

function statistic(title: string, pick: (found: TensorStatistics) => number): Column<TensorInfo> {
  return {
    title,
    kind: 'number',
    sorts: true,
    value: (row) => (row.statistics ? pick(row.statistics) : null),
    show: (row) => digits(row.statistics && pick(row.statistics)),
  };
}

const spread = 'range';

/** The end of the ranges' scale: one tensor in twenty may reach beyond it, lest a few outliers squeeze all others. */
function scaleOf(tensors: readonly TensorInfo[]): number {
  const extremes = tensors
    .flatMap(({ statistics: found }) => (found ? [Math.max(Math.abs(found.min), Math.abs(found.max))] : []))
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  return extremes[Math.floor(0.95 * (extremes.length - 1))] ?? 0;
}

function columnsFor(most: number): readonly Column<TensorInfo>[] {
  return [
    {
      title: 'tensor',
      kind: 'mono',
      sorts: true,
      value: (row) => row.name,
      show: (row) => <Name name={row.name} />,
    },
    statistic('least', (found) => found.min),
    { title: spread, value: () => '', show: (row) => <Spread tensor={row} most={most} /> },
    statistic('greatest', (found) => found.max),
    statistic('mean', (found) => found.mean),
    statistic('deviation', (found) => found.deviation),
    { title: 'shape', kind: 'mono', value: (row) => shape(row.shape) },
    { title: 'type', kind: 'mono', sorts: true, value: (row) => row.dtype },
    {
      title: 'elements',
      kind: 'number',
      sorts: true,
      value: elementsOf,
      show: (row) => count(elementsOf(row)),
    },
    statistic('zeros', (found) => found.zeros),
  ];
}

const order = [
  ...['embeddings', 'word_', 'position_', 'token_type_', 'encoder', 'attention', 'self', 'query', 'key'],
  ...['value', 'intermediate', 'output', 'pooler', 'cls', 'dense', 'LayerNorm', 'weight', 'bias'],
];

/** Where the text comes by each: embeddings, layer after layer, pooler, heads. A file has them in an order of its own. */
function inReadingOrder(tensors: readonly TensorInfo[]): readonly TensorInfo[] {
  const ranks = (name: string) =>
    name
      .replace(/^bert\./, '')
      .split('.')
      .map((part) => {
        const at = order.findIndex((known) => part.startsWith(known));
        if (/^\d+$/.test(part)) return Number(part);
        // the scales of quantised weights come right after these
        return part === 'weight_scale' ? at + 0.5 : at < 0 ? order.length : at;
      });
  return tensors
    .map((tensor) => ({ tensor, at: ranks(tensor.name) }))
    .sort((a, b) => {
      const differs = a.at.findIndex((rank, i) => rank !== b.at[i]);
      return differs < 0 ? 0 : a.at[differs]! - (b.at[differs] ?? -1);
    })
    .map(({ tensor }) => tensor);
}

export function TensorsInstrument() {
  const given = bert.value?.info.tensors;
  const tensors = useMemo(() => given && inReadingOrder(given), [given]);
  const text = tensorText.value.trim().toLowerCase();
  const rows = useMemo(
    () => (tensors ?? []).filter((tensor) => tensor.name.toLowerCase().includes(text)),
    [tensors, text],
  );
  const columns = useMemo(() => columnsFor(scaleOf(tensors ?? [])), [tensors]);
  const saved = columns.filter((column) => column.title !== spread);
  const broken = rows.filter(({ statistics: found }) => found && found.nans + found.infinities > 0);
  const here = loaded.value;
  return (
    <Instrument
      title={here ? `The tensors of ${choiceName(here.choice).replace(/^D/, 'the d')}` : 'The tensors'}
      exports={[{ kind: 'table', name: 'tensors', table: () => tableOf(saved, rows) }]}
    >
      <WithModel speaks>
        {() => (
          <div class="flow">
            <label class="field">
              <span class="visually-hidden">Find tensors by name</span>
              <input
                class="input"
                type="search"
                placeholder="Find by name: layer.0, LayerNorm, query"
                spellcheck={false}
                autocomplete="off"
                value={tensorText.value}
                onInput={(event) => {
                  tensorText.value = event.currentTarget.value;
                }}
              />
            </label>
            <p class="hint" role="status">
              {rows.length === 0 ? 'No tensor has that in its name.' : plural(rows.length, 'tensor')}
              {rows.length > 0 &&
                '; press a title to sort. The faint bar is the whole range, the strong one a deviation about the mean.'}
            </p>
            {broken.length > 0 && (
              <p class="trouble" role="alert">
                {plural(broken.length, 'tensor has', 'tensors have')} elements that are no numbers or
                infinite: {broken[0]!.name}. What this model answers cannot be trusted.
              </p>
            )}
            {rows.length > 0 && (
              <div class="tensors">
                <DataTable
                  caption="Tensors with shape, type and statistics"
                  columns={columns}
                  rows={rows}
                  window={12}
                />
              </div>
            )}
          </div>
        )}
      </WithModel>
    </Instrument>
  );
}
