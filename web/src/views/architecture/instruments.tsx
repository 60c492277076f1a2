// The stack, the open part with its formulas, and the picture of all parameters.
import { useMemo, useState } from 'preact/hooks';
import { encoding } from '../tokenizer/state';
import { count, percent, portion } from '../../lib/format';
import type { Colours } from '../../lib/colours';
import { families, mix, readableOn } from '../../lib/colours';
import type { Painter } from '../../lib/painter';
import { DataTable, tableOf, type Column } from '../../ui/data-table';
import { Instrument } from '../../ui/instrument';
import { NumberField } from '../../ui/number-field';
import { Picture, pictureExports, type Drawing } from '../../ui/picture';
import { Tabs } from '../../ui/tabs';
import { useWidth } from '../../ui/use-width';
import { findPart, type Configuration, type Part } from './parts';
import { bert } from '../../engine/model';
import {
  choice,
  choose,
  configurationTrouble,
  drawn,
  open,
  openLayer,
  ownFields,
  ownMost,
  parts,
  tensorText,
  type Choice,
} from './state';

const fixedNames = {
  base: 'bert-base-uncased',
  large: 'bert-large-uncased',
  own: 'Your own sizes',
} as const;
const choiceNames: Record<Choice, string> = { ...fixedNames, loaded: 'The loaded model' };

const fieldNames: Record<keyof Configuration, string> = {
  numHiddenLayers: 'Layers',
  hiddenSize: 'Hidden size',
  numAttentionHeads: 'Heads',
  intermediateSize: 'Intermediate size',
  vocabSize: 'Vocabulary',
  maxPositionEmbeddings: 'Positions',
  typeVocabSize: 'Token types',
};

/** Shapes with the length of the page's sentence put in. */
function withTokens(shape: string): string {
  const tokens = encoding.value?.length;
  return tokens === undefined ? shape : shape.replaceAll('tokens', String(tokens));
}

function Block({ part, narrow, label }: { part: Part; narrow?: boolean; label?: string }) {
  return (
    <button
      type="button"
      class={narrow ? 'block narrow' : 'block'}
      aria-pressed={open.value === part.id}
      onClick={() => {
        open.value = part.id;
      }}
    >
      <span>{label ?? part.name}</span>
      {!narrow && <small>{count(part.parameters)}</small>}
    </button>
  );
}

function Stack() {
  const { base, heads } = parts.value;
  const [embeddings, layer, pooler] = base.children;
  const [masked, next] = heads.children;
  if (!embeddings || !layer || !pooler || !masked || !next) return null;
  return (
    <div class="stack-scroll" role="group" aria-label="The parts, from left to right" tabIndex={0}>
      <div class="stack-row">
        <div class="block-io">
          <span class="mono">{withTokens('[tokens]')}</span>
          <small>ids</small>
        </div>
        <Block part={embeddings} />
        <div class="layers" role="group" aria-label={`${layer.times} layers`}>
          {Array.from({ length: layer.times }, (_, i) => (
            <button
              type="button"
              key={i}
              class="block narrow"
              aria-label={`Layer ${i + 1}`}
              aria-pressed={open.value.startsWith('layer') && openLayer.value === i + 1}
              onClick={() => {
                open.value = 'layer';
                openLayer.value = i + 1;
              }}
            >
              {i + 1}
            </button>
          ))}
          <small>
            {layer.times} × {count(layer.parameters)}
          </small>
        </div>
        {/* masked words do without the pooler */}
        <div class="branches">
          <div class="branch" role="group" aria-label="From the layers to masked words">
            <Block part={masked} />
          </div>
          <div class="branch" role="group" aria-label="From the layers to the next sentence">
            <Block part={pooler} />
            <Block part={next} />
          </div>
        </div>
      </div>
    </div>
  );
}

interface PartRow {
  part: Part;
  depth: number;
  /** The name after those of the parts that it is in, whose numbers hold its own: a saved table has no indents. */
  path: string;
}

function flatten(part: Part, depth = 0, within = ''): PartRow[] {
  const path = within + part.name;
  return [
    { part, depth, path },
    ...part.children.flatMap((child) => flatten(child, depth + 1, `${path} / `)),
  ];
}

const partColumns: readonly Column<PartRow>[] = [
  {
    title: 'part',
    kind: 'wrap',
    value: ({ path }) => path,
    show: ({ part, depth }) => (
      <span class={`indent-${depth}`}>
        {/* what the whole is stands above the table */}
        {depth === 0 ? (
          <strong>{part.name}</strong>
        ) : (
          <>
            {part.name} <span class="hint">{part.what}</span>
          </>
        )}
      </span>
    ),
  },
  {
    title: 'parameters',
    kind: 'number',
    value: ({ part }) => part.parameters,
    show: ({ part }) => (part.parameters === 0 ? '–' : count(part.parameters)),
  },
  { title: 'formula', kind: 'mono', value: ({ part }) => part.formula },
  { title: 'gives', kind: 'mono', value: ({ part }) => withTokens(part.output) },
];

/** What the names of a part's tensors have in common. */
function tensorPrefix(id: string): string {
  if (id.startsWith('layer')) return `encoder.layer.${openLayer.value - 1}.`;
  return (
    { embeddings: 'embeddings.', pooler: 'pooler.', mlm: 'predictions', nsp: 'seq_relationship' }[id] ?? ''
  );
}

export function StackInstrument() {
  const { base, heads } = parts.value;
  const part = findPart(base, open.value) ?? findPart(heads, open.value) ?? base.children[1]!;
  const rows = flatten(part);
  const trouble = configurationTrouble.value;
  const { hiddenSize, numAttentionHeads } = drawn.value;
  return (
    <Instrument
      title="The whole model, left to right"
      exports={[{ kind: 'table', name: `parameters-${part.id}`, table: () => tableOf(partColumns, rows) }]}
    >
      <div class="flow">
        <Tabs
          label="Which BERT"
          options={bert.value ? choiceNames : fixedNames}
          value={choice.value}
          onChange={choose}
        />
        {choice.value === 'own' && (
          <div class="sizes">
            {(Object.keys(fieldNames) as (keyof Configuration)[]).map((name) => (
              <NumberField
                key={name}
                label={fieldNames[name]}
                value={ownFields[name].value}
                low={1}
                high={ownMost[name]}
                onChange={(value) => {
                  ownFields[name].value = value;
                }}
              />
            ))}
          </div>
        )}
        {choice.value === 'own' && (
          <p class={trouble ? 'hint own-note differ' : 'hint own-note'} role="status">
            {trouble ?? (
              <>
                Each head works on {hiddenSize / numAttentionHeads} of the {count(hiddenSize)} numbers.
              </>
            )}
          </p>
        )}
        <div class={trouble ? 'flow stale' : 'flow'}>
          <Stack />
          <h3 class="part-title">
            {part.id === 'layer'
              ? `Layer ${Math.min(openLayer.value, part.times)} of ${part.times}`
              : part.name}
            <span class="hint">{part.what}</span>
          </h3>
          {choice.value === 'loaded' && (
            <div class="row">
              <button
                type="button"
                class="link hint"
                onClick={() => {
                  tensorText.value = tensorPrefix(part.id);
                }}
              >
                Its tensors, below
              </button>
            </div>
          )}
          <DataTable
            caption={`${part.name}: parts, shapes, formulas and parameters`}
            columns={partColumns}
            rows={rows}
            narrow="blocks"
            class="part-rows"
          />
        </div>
      </div>
    </Instrument>
  );
}

interface Leaf {
  id: string;
  name: string;
  parameters: number;
}

/** The base model's parameters in the groups that Exercise 3 asks for. */
function leaves(base: Part): Leaf[] {
  const [embeddings, layer, pooler] = base.children;
  if (!embeddings || !layer || !pooler) return [];
  return [
    ...embeddings.children.map((part) => ({ id: part.id, name: part.name, parameters: part.parameters })),
    ...Array.from({ length: layer.times }, (_, i) =>
      layer.children.map((part) => ({
        id: `${part.id}:${i + 1}`,
        name: `${i + 1} ${part.name}`,
        parameters: part.parameters,
      })),
    ).flat(),
    { id: pooler.id, name: pooler.name, parameters: pooler.parameters },
  ];
}

const gap = 2;
/** Above the columns, for their names. */
const top = 20;

function heightFor(width: number): number {
  return Math.max(300, Math.min(460, Math.round(width * 0.48)));
}

/** Width of the columns, by the parameters in them: what stands beside one layer keeps its proportion to it. */
function columnWidths(base: Part, width: number): { embeddings: number; layer: number; pooler: number } {
  const [embeddings, layer, pooler] = base.children.map((part) => part.parameters) as [
    number,
    number,
    number,
  ];
  const exact = (width * layer) / base.parameters;
  // whole pixels, so that no layer looks wider than another
  const column = exact >= 4 ? Math.floor(exact) : exact;
  return { embeddings: (column * embeddings) / layer, layer: column, pooler: (column * pooler) / layer };
}

/** The model from left to right, each area true: the embeddings, layer after layer, the pooler. */
function columnsDrawing(base: Part, width: number): Drawing {
  const [embeddings, layer, pooler] = base.children as [Part, Part, Part];
  const height = heightFor(width);
  const wide = columnWidths(base, width);
  const headRoom = (text: string) => 7 * text.length;
  const nameRoom = (part: Part) => 5.8 * part.name.length + 8;
  return {
    width,
    height,
    draw(painter: Painter, colours: Colours) {
      const fills: Readonly<Record<string, string>> = {
        pooler: colours['tint-line-3'],
        'layer.attention': colours['tint-line-0'],
        'layer.intermediate': mix(colours['tint-0'], colours['tint-line-0'], 0.25),
        'layer.output': mix(colours['tint-0'], colours['tint-line-0'], 0.25),
      };
      const ofEmbeddings = mix(colours['tint-1'], colours['tint-line-1'], 0.45);
      const head = (x: number, text: string) => {
        const lettering = { fill: colours.ink, size: 12, weight: 600, family: families.text };
        painter.text(x + 1, 9, text, lettering);
      };
      const column = (x: number, across: number, parts: readonly Part[], of: Part) => {
        const inner = across - Math.min(gap, across / 3);
        const heights = parts.map((part) => ((height - top) * part.parameters) / of.parameters);
        // all names of a column stand alike
        const flat = parts.every((part, i) => heights[i]! < 16 || nameRoom(part) <= inner);
        const turned =
          inner >= 15 && parts.every((part, i) => heights[i]! < 16 || nameRoom(part) <= heights[i]!);
        let y = top;
        for (const [i, part] of parts.entries()) {
          const high = heights[i]!;
          const fill = fills[part.id] ?? ofEmbeddings;
          const shown = high - Math.min(gap, high / 3);
          painter.rect(x, y, inner, shown, { fill, radius: 2 });
          const lettering = { fill: readableOn(fill, colours), size: 11.5, family: families.text };
          if (high >= 16 && flat) {
            painter.text(x + 5, y + 10, part.name, lettering);
          } else if (high >= 16 && turned) {
            painter.text(x + inner / 2, y + shown / 2, part.name, {
              ...lettering,
              align: 'center',
              turn: -90,
            });
          }
          y += high;
        }
      };
      if (wide.embeddings >= headRoom(embeddings.name)) head(0, embeddings.name);
      column(0, wide.embeddings, embeddings.children, embeddings);
      const whole = wide.layer >= headRoom('Layer 10');
      // where the numbers would touch, only every second or third layer has its own
      const every = whole ? 1 : Math.ceil(18 / wide.layer);
      for (let i = 0; i < layer.times; i += 1) {
        const x = wide.embeddings + i * wide.layer;
        if (i % every === 0) head(x, whole ? `Layer ${i + 1}` : String(i + 1));
        column(x, wide.layer, layer.children, layer);
      }
      column(wide.embeddings + layer.times * wide.layer, wide.pooler, [pooler], pooler);
    },
  };
}

interface Field {
  name: string;
  parameters: number;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The areas of that drawing, each with what it stands for. */
function fieldsOf(base: Part, width: number): Field[] {
  const [embeddings, layer, pooler] = base.children as [Part, Part, Part];
  const wide = columnWidths(base, width);
  const column = (x: number, across: number, parts: readonly Part[], of: Part, prefix: string) => {
    let y = top;
    return parts.map((part) => {
      const height = ((heightFor(width) - top) * part.parameters) / of.parameters;
      y += height;
      const name = prefix === '' ? part.name : `${prefix}, ${part.name.toLowerCase()}`;
      return { name, parameters: part.parameters, x, y: y - height, width: across, height };
    });
  };
  const layers = Array.from({ length: layer.times }, (_, i) =>
    column(wide.embeddings + i * wide.layer, wide.layer, layer.children, layer, `Layer ${i + 1}`),
  );
  return [
    ...column(0, wide.embeddings, embeddings.children, embeddings, embeddings.name),
    ...layers.flat(),
    ...column(wide.embeddings + layer.times * wide.layer, wide.pooler, [pooler], pooler, ''),
  ];
}

interface Share {
  name: string;
  parameters: number;
  share: number;
}

const shareColumns: readonly Column<Share>[] = [
  { title: 'part', value: (row) => row.name },
  {
    title: 'parameters',
    kind: 'number',
    value: (row) => row.parameters,
    show: (row) => count(row.parameters),
  },
  {
    title: 'share',
    kind: 'number',
    value: (row) => Number((100 * row.share).toFixed(2)),
    show: (row) => portion(row.share, 1),
  },
];

/** Formulas on the one side, the elements that the file really has on the other. */
function CheckSum({ total }: { total: number }) {
  const info = bert.value?.info;
  if (!info) return null;
  const own = info.tensors.filter((tensor) => tensor.module !== undefined);
  const inFile = own.reduce((sum, tensor) => sum + tensor.parameters, 0);
  const { heads } = info;
  const whole = heads.pooler && heads.mlm && heads.nsp;
  return (
    <p data-testid="check-sum">
      The file of the loaded model has {count(own.length)} tensors with {count(inFile)} elements.{' '}
      {whole ? (
        inFile === total ? (
          <span class="agree">= the sum of the formulas</span>
        ) : (
          <span class="differ">the formulas give {count(total)}</span>
        )
      ) : (
        <span class="hint">
          It lacks{' '}
          {[
            heads.pooler || 'the pooler',
            heads.mlm || 'the masked word head',
            heads.nsp || 'the next sentence head',
          ]
            .filter((part) => part !== true)
            .join(', ')}
          .
        </span>
      )}
    </p>
  );
}

/** The picture, and what it has under the pointer or where a finger taps. */
function Columns({ base, width, label }: { base: Part; width: number; label: string }) {
  const drawing = useMemo(() => columnsDrawing(base, width), [base, width]);
  const fields = useMemo(() => fieldsOf(base, width), [base, width]);
  const [pointed, setPointed] = useState(-1);
  const field = fields[pointed];
  const read = (x: number, y: number) => {
    setPointed(
      fields.findIndex((of) => x >= of.x && x < of.x + of.width && y >= of.y && y < of.y + of.height),
    );
  };
  return (
    <>
      <Picture
        drawing={drawing}
        label={label}
        mark={field ?? null}
        onPoint={read}
        onLeave={() => {
          setPointed(-1);
        }}
      />
      <p class="hint readout brief">
        {field ? (
          <>
            {field.name}: <b class="mono">{count(field.parameters)}</b> parameters,{' '}
            <b class="mono">{portion(field.parameters / base.parameters)}</b>
          </>
        ) : (
          'Point at an area to read it.'
        )}
      </p>
    </>
  );
}

export function ParametersInstrument() {
  const { ref, width } = useWidth();
  const { base, heads } = parts.value;
  const stale = configurationTrouble.value !== undefined;
  const [embeddings, layer, pooler] = base.children;
  if (!embeddings || !layer || !pooler) return null;
  const total = base.parameters;
  const rows = [
    { name: 'Embeddings', parameters: embeddings.parameters, share: embeddings.parameters / total },
    {
      name: `${layer.times} layers`,
      parameters: layer.parameters * layer.times,
      share: (layer.parameters * layer.times) / total,
    },
    { name: 'Pooler', parameters: pooler.parameters, share: pooler.parameters / total },
    { name: 'Sum', parameters: total, share: 1 },
  ];
  const masked = heads.children[0]?.parameters ?? 0;
  const next = heads.children[1]?.parameters ?? 0;
  const label = `${count(total)} parameters from left to right, each area by their number: ${rows
    .slice(0, 3)
    .map((row) => `${row.name} ${percent(row.share, 1)}`)
    .join(', ')}`;
  return (
    <Instrument
      title="Where the parameters are"
      exports={[
        ...pictureExports('parameters', () => columnsDrawing(base, 1000)),
        {
          kind: 'table',
          name: 'parameters',
          table: () => ({
            columns: ['part', 'parameters'],
            rows: leaves(base).map((row) => [row.name, row.parameters]),
          }),
        },
      ]}
    >
      <div class={stale ? 'flow stale' : 'flow'}>
        <div ref={ref}>{width > 0 && <Columns base={base} width={Math.max(280, width)} label={label} />}</div>
        <p class="legend hint">
          <span>
            <span class="key emb" /> embeddings
          </span>
          <span>
            <span class="key att" /> self-attention
          </span>
          <span>
            <span class="key ffn" /> dense
          </span>
          <span>
            <span class="key pool" /> pooler
          </span>
        </p>
        <DataTable caption="Shares of the parameters, with their sum" columns={shareColumns} rows={rows} />
        <details>
          <summary>Every part in numbers</summary>
          <DataTable
            caption="Every part of the base model with its share of the parameters"
            columns={shareColumns}
            rows={fieldsOf(base, 1000).map(({ name, parameters }) => ({
              name,
              parameters,
              share: parameters / total,
            }))}
            window={12}
          />
        </details>
        <p class="hint">
          With the head for masked words, which does without the pooler,{' '}
          {count(total - pooler.parameters + masked)}; with the one for next sentences {count(total + next)};
          with both {count(total + masked + next)}.
        </p>
        {choice.value === 'loaded' && <CheckSum total={total + masked + next} />}
      </div>
    </Instrument>
  );
}
