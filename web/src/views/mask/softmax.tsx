// How the mask works: the scores that [CLS] gives, the mask added to them, and the weights that softmax makes of the sums.
import { signal } from '@preact/signals';
import type { EncodeResult } from 'bertlens';
import { answers } from '../../engine/answers';
import { bert } from '../../engine/model';
import { tokenizer } from '../../engine/tokenizer';
import { decimal, plural, probability } from '../../lib/format';
import { DataTable, tableOf, type Column } from '../../ui/data-table';
import { Instrument } from '../../ui/instrument';
import { Results } from '../../ui/results';
import { PlaceTabs } from '../../ui/tabs';
import { Trouble, WithModel } from '../../ui/with-model';
import '../../styles/mask.css';
import { chosen, shorten, texts } from './state';

interface Ask {
  text: string;
  /** Of the batch: so far the text is padded. */
  width: number;
}

/** What the first layer has for [CLS]. */
interface FirstRow {
  tokens: readonly string[];
  mask: readonly number[];
  /** By head, over the tokens. */
  scores: readonly Float32Array[];
  masked: readonly Float32Array[];
  unmasked: readonly Float32Array[];
}

/** [heads, tokens, tokens] to the first token's row in each head. */
function firstRows(tensor: { shape: readonly number[]; data: Float32Array } | undefined): Float32Array[] {
  const [heads = 0, tokens = 0] = tensor?.shape ?? [];
  return Array.from({ length: heads }, (_, head) => {
    const start = head * tokens * tokens;
    return tensor!.data.slice(start, start + tokens);
  });
}

// The first layer's scores are the same with the mask and without: what goes in is the same.
const rows = answers<Ask, FirstRow>(
  () => {
    const ready = tokenizer.value;
    const all = texts.value;
    const text = all[Math.min(chosen.value, all.length - 1)];
    if (!ready || text === undefined) return null;
    return { text, width: Math.max(...all.map((each) => ready.encode(each, { truncation: true }).length)) };
  },
  async (model, { text, width }, signal) => {
    const options = {
      tokenizer: { padding: 'max_length', maxLength: width, truncation: true },
      attentions: [0],
      signal,
    } as const;
    const masked: EncodeResult = await model.encode(text, { ...options, probes: { scores: [0] } });
    const unmasked: EncodeResult = await model.encode(text, { ...options, useAttentionMask: false });
    return {
      tokens: masked.encoding?.tokens ?? [],
      mask: [...(masked.encoding?.attentionMask ?? [])],
      scores: firstRows(masked.probes?.scores?.[0]),
      masked: firstRows(masked.attentions?.[0]),
      unmasked: firstRows(unmasked.attentions?.[0]),
    };
  },
  250,
);

const chosenHead = signal(0);

interface Line {
  token: string;
  /** null in the line of sums. */
  score: number | null;
  mask: number | null;
  weight: number;
  unmasked: number;
}

/** Nothing at all is not the same as very little. */
function written(weight: number): string {
  return weight === 0 ? '0' : probability(weight);
}

function Weight({ value }: { value: number }) {
  return (
    <span class="weight">
      <span class="weight-bar" aria-hidden="true">
        {value > 0 && (
          <span class="bar-fill" style={{ width: `${(100 * Math.min(1, value)).toFixed(2)}%` }} />
        )}
      </span>
      {written(value)}
    </span>
  );
}

const columns: readonly Column<Line>[] = [
  { title: 'token', kind: 'mono', value: (row) => row.token },
  {
    title: 'score',
    kind: 'number',
    value: (row) => row.score,
    show: (row) => row.score !== null && decimal(row.score, 2),
  },
  {
    title: '+ mask',
    kind: 'number',
    value: (row) => row.mask,
    show: (row) => row.mask !== null && (row.mask === 0 ? '0' : '−∞'),
  },
  {
    title: 'softmax: the weight',
    short: 'weight',
    kind: 'number',
    value: (row) => row.weight,
    show: (row) => <Weight value={row.weight} />,
  },
  {
    title: 'without the mask',
    short: 'without',
    kind: 'number',
    value: (row) => row.unmasked,
    show: (row) => <Weight value={row.unmasked} />,
  },
];

function sum(values: Iterable<number>): number {
  let all = 0;
  for (const value of values) all += value;
  return all;
}

function linesOf(found: FirstRow, head: number): Line[] {
  const masked = found.masked[head] ?? [];
  const unmasked = found.unmasked[head] ?? [];
  return [
    ...found.tokens.map((token, i) => ({
      token,
      score: found.scores[head]?.[i] ?? 0,
      mask: found.mask[i] === 1 ? 0 : -Infinity,
      weight: masked[i] ?? 0,
      unmasked: unmasked[i] ?? 0,
    })),
    { token: 'Sum', score: null, mask: null, weight: sum(masked), unmasked: sum(unmasked) },
  ];
}

export function SoftmaxInstrument() {
  rows.use();
  const answer = rows.answer.value;
  const { value, trouble } = answer;
  const config = bert.value?.info.config;
  const heads = config?.numAttentionHeads ?? 1;
  const head = Math.min(chosenHead.value, heads - 1);
  const lines = value ? linesOf(value, head) : [];
  const padding = lines.filter((line) => line.mask === -Infinity);
  const all = texts.value;
  return (
    <Instrument
      title="Minus infinity in, exactly 0 out"
      exports={[{ kind: 'table', name: 'mask-softmax', table: () => tableOf(columns, lines) }]}
    >
      <WithModel room="20rem">
        {() => (
          <div class="flow">
            <p class="hint">
              In every head each token scores every token, q · k / √{config && config.hiddenSize / heads}. The
              mask is added to the scores: 0 for a real token, minus infinity for padding. Softmax raises e to
              each sum and divides by the total, and e to the minus infinity is 0.
            </p>
            <div class="row">
              {all.length > 1 && (
                <PlaceTabs
                  label="Which text’s scores"
                  places={all.map(shorten)}
                  value={Math.min(chosen.value, all.length - 1)}
                  onChange={(next) => {
                    chosen.value = next;
                  }}
                />
              )}
              <PlaceTabs
                label="Head"
                caption="Layer 1, head"
                places={heads}
                value={head}
                onChange={(next) => {
                  chosenHead.value = next;
                }}
              />
            </div>
            <Trouble text={trouble} />
            {value && (
              <Results of={answer} about="the text">
                <DataTable
                  caption="What [CLS] gives to each token: score, mask and weight"
                  columns={columns}
                  rows={lines}
                  window={14}
                  class="softmax"
                  rowClass={(line) => (line.mask === -Infinity ? 'hidden-token' : undefined)}
                />
                <p class="hint">
                  {padding.length === 0
                    ? 'This text fills its row: the mask is 0 everywhere and changes nothing.'
                    : `This is the row of [CLS]. Without the mask ${plural(padding.length, '[PAD] takes', '[PAD] take')} ${written(sum(padding.map((line) => line.unmasked)))} of its attention; with it, exactly ${written(sum(padding.map((line) => line.weight)))}, and the real tokens share the whole.`}
                </p>
                <p class="hint">
                  Programs often add a very large negative number instead, transformers the least that the
                  type of number holds. It comes to the same: e to that is 0 too.
                </p>
              </Results>
            )}
          </div>
        )}
      </WithModel>
    </Instrument>
  );
}
