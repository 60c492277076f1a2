// What the vectors are for: each text as one vector, and how near the texts are to each other.
import { useMemo } from 'preact/hooks';
import { answers } from '../../engine/answers';
import { bert, timed } from '../../engine/model';
import { families, mix, readableOn, type Colours } from '../../lib/colours';
import { count, decimal } from '../../lib/format';
import type { Painter } from '../../lib/painter';
import { choiceCodec, listCodec, parameter } from '../../state/url';
import { DataTable, tableOf, type Column } from '../../ui/data-table';
import { Instrument } from '../../ui/instrument';
import { noDrawing, Picture, pictureExports, type Drawing } from '../../ui/picture';
import { Results } from '../../ui/results';
import { Tabs } from '../../ui/tabs';
import { TextList, TextListTrouble } from '../../ui/texts';
import { useWidth } from '../../ui/use-width';
import { WithModel } from '../../ui/with-model';

const texts = parameter(
  'architecture',
  'texts',
  [
    'The cat slept on the warm chair.',
    'A dog lay on the old sofa.',
    'The company sold its shares in London.',
    'The bank bought a firm in New York.',
  ],
  listCodec,
);

const poolings = ['mean', 'cls', 'max'] as const;
type Pooling = (typeof poolings)[number];
const pooling = parameter<Pooling>('architecture', 'pooling', 'mean', choiceCodec(poolings));

const poolingNames: Record<Pooling, string> = { mean: 'The mean', cls: '[CLS]', max: 'The greatest' };
const poolingNotes: Record<Pooling, string> = {
  mean: 'of the vectors of its tokens, padding left out',
  cls: 'whose vector has read the whole text',
  max: 'of each number among its tokens',
};

interface Ask {
  texts: readonly string[];
  pooling: Pooling;
}

/** By text and text, from -1 to 1. */
const similarity = answers<Ask, number[][]>(
  () => ({ texts: texts.value, pooling: pooling.value }),
  async (model, ask, signal) => {
    const { cosineSimilarity } = await import('bertlens');
    const { shape, data } = await timed(model.embed(ask.texts, { pooling: ask.pooling, signal }));
    const size = shape[1]!;
    const vectors = ask.texts.map((_, i) => data.subarray(i * size, (i + 1) * size));
    return vectors.map((a) => vectors.map((b) => cosineSimilarity(a, b)));
  },
  250,
);

function written(cosine: number): string {
  return decimal(cosine, 4);
}

interface Pair {
  first: number;
  second: number;
  cosine: number;
}

/** Every two of them once, the nearest first. */
function pairsOf(cosines: readonly (readonly number[])[]): Pair[] {
  return cosines
    .flatMap((row, first) => row.map((cosine, second) => ({ first, second, cosine })))
    .filter(({ first, second }) => first < second)
    .sort((a, b) => b.cosine - a.cosine);
}

const cellHeight = 36;

function matrixDrawing(
  names: readonly string[],
  cosines: readonly (readonly number[])[],
  width: number,
): Drawing {
  const cell = Math.max(50, Math.min(84, Math.floor((width - 30) / names.length)));
  const room = Math.max(26, Math.min(330, width - names.length * cell));
  const letters = Math.floor((room - 38) / 7.2);
  const least = Math.min(0.999, ...cosines.flat());
  return {
    width: room + names.length * cell,
    height: 24 + names.length * cellHeight,
    draw(painter: Painter, colours: Colours) {
      const small = { size: 13, family: families.text, fill: colours.muted };
      names.forEach((name, row) => {
        const middle = 24 + row * cellHeight + cellHeight / 2;
        painter.text(room + (row + 0.5) * cell, 10, String(row + 1), { ...small, align: 'center' });
        painter.text(4, middle, String(row + 1), small);
        if (letters >= 6) {
          const text = name.length > letters ? `${name.slice(0, letters - 1)}…` : name;
          painter.text(26, middle, text, { ...small, fill: colours.ink });
        }
        (cosines[row] ?? []).forEach((cosine, at) => {
          const fill = mix(colours.sunken, colours.accent, Math.max(0, (cosine - least) / (1 - least)));
          painter.rect(room + at * cell, middle - cellHeight / 2, cell - 2, cellHeight - 2, {
            fill,
            radius: 3,
          });
          painter.text(room + at * cell + cell / 2 - 1, middle, decimal(cosine, cell < 64 ? 2 : 4), {
            size: 12.5,
            family: families.mono,
            fill: readableOn(fill, colours),
            align: 'center',
          });
        });
      });
    },
  };
}

function columnsFor(asked: readonly string[]): readonly Column<Pair>[] {
  const named = (at: number) => `${at + 1} ${asked[at] ?? ''}`;
  return [
    { title: 'text', kind: 'wrap', value: (row) => named(row.first) },
    { title: 'and text', kind: 'wrap', value: (row) => named(row.second) },
    { title: 'cosine', kind: 'number', value: (row) => row.cosine, show: (row) => written(row.cosine) },
  ];
}

export function SimilarityInstrument() {
  similarity.use();
  const { ref, width } = useWidth();
  const answer = similarity.answer.value;
  const { value, input, trouble } = answer;
  const asked = input?.texts ?? [];
  const drawing = useMemo(
    () => (value && input && width > 0 ? matrixDrawing(input.texts, value, width) : null),
    [value, input, width],
  );
  const pairs = useMemo(() => pairsOf(value ?? []), [value]);
  const columns = columnsFor(asked);
  const [nearest, furthest] = [pairs[0], pairs.at(-1)];
  const size = bert.value?.info.config.hiddenSize;
  return (
    <Instrument
      title="A text as one vector"
      exports={[
        ...pictureExports('similarity', () => drawing ?? noDrawing),
        { kind: 'table', name: 'similarity', table: () => tableOf(columns, pairs) },
      ]}
    >
      <div class="flow" ref={ref}>
        <p class="hint">
          The last layer gives a vector for every token. Made into one
          {size !== undefined && ` of ${count(size)} numbers`}, a text can be compared with others: the cosine
          of the angle between two is 1 where they point the same way.
        </p>
        <TextList what="text" texts={texts} most={8} scope="similar" room="17rem" />
        <WithModel room="20rem">
          {() => (
            <div class="flow">
              <div class="row">
                <Tabs
                  label="How a text becomes one vector"
                  caption="One vector from"
                  options={poolingNames}
                  value={pooling.value}
                  onChange={(next) => {
                    pooling.value = next;
                  }}
                />
                <span class="hint">{poolingNotes[pooling.value]}</span>
              </div>
              <TextListTrouble trouble={trouble} texts={texts} />
              {drawing && (
                <Results of={answer} about="the texts">
                  <div class="table-scroll" tabIndex={0} role="region" aria-label="Cosines of the texts">
                    <Picture
                      drawing={drawing}
                      label={`Cosine similarity of each of ${asked.length} texts with each; the table below has the numbers`}
                    />
                  </div>
                  {nearest && furthest && (
                    <p role="status" data-testid="nearest">
                      Nearest are {nearest.first + 1} and {nearest.second + 1} with{' '}
                      <span class="mono">{written(nearest.cosine)}</span>
                      {pairs.length > 1 && (
                        <>
                          , furthest {furthest.first + 1} and {furthest.second + 1} with{' '}
                          <span class="mono">{written(furthest.cosine)}</span>
                        </>
                      )}
                      .
                    </p>
                  )}
                  <p class="hint">
                    BERT was trained to guess words, not to place texts by what they mean: even texts with
                    nothing in common are well above 0. Read which of two is higher, not how high it is.
                    Models made for search are trained further until it can be read as such.
                  </p>
                  {pairs.length > 0 && (
                    <details>
                      <summary>Every pair in numbers</summary>
                      <DataTable
                        caption="Cosine of every two texts, the nearest first"
                        columns={columns}
                        rows={pairs}
                        narrow="shrinks"
                        window={12}
                      />
                    </details>
                  )}
                </Results>
              )}
            </div>
          )}
        </WithModel>
      </div>
    </Instrument>
  );
}
