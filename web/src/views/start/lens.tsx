// The opening's picture: a row of tokens; above it where each looks, below it how surprising each is.
import { batch } from '@preact/signals';
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { bert, modelTrouble } from '../../engine/model';
import { families, mix, type Colours } from '../../lib/colours';
import { count, plural, probability } from '../../lib/format';
import type { Table } from '../../lib/export';
import type { Painter } from '../../lib/painter';
import { lit, wordMark } from '../../state/lit';
import { notebookSentence, sentence } from '../../state/sentence';
import { Editor } from '../../ui/editor';
import { Instrument } from '../../ui/instrument';
import { noDrawing, Picture, pictureExports, type Drawing } from '../../ui/picture';
import { Suggestions } from '../../ui/suggestions';
import { PlaceTabs } from '../../ui/tabs';
import { groupTokens, Said, TokenText, tintClass, type TokenGroup } from '../../ui/token';
import { useTurn } from '../../ui/use-turn';
import { modelArrival, NoModel, Trouble } from '../../ui/with-model';
import { WithTokenizer } from '../../ui/with-tokenizer';
import { tokenizer, type Encoding } from '../../engine/tokenizer';
import { attentions } from '../attention/state';
import { scopeOf, SecondEditor, SecondSentence, spansOf } from '../tokenizer/chips';
import { encoding } from '../tokenizer/state';
import {
  kept,
  layer,
  looks,
  mostTokens,
  openLayer,
  scored,
  scores,
  tooLong,
  type Looks,
  type Score,
} from './state';

interface Example {
  text: string;
  /** A layer to open, and a token to keep: where there is something to see at once. */
  layer?: number;
  token?: number;
}

const examples: readonly (readonly [label: string, example: Example])[] = [
  ['The notebook’s', { text: notebookSentence }],
  ['A story', { text: 'The old king lived in a castle with his three daughters.' }],
  ['A capital', { text: 'The capital of France is Paris.' }],
  // in the default model's fourth layer "it" rests at [SEP], and of the words looks most at "dog"
  ['A riddle', { text: 'The dog chased the cat because it was hungry.', layer: 3, token: 7 }],
];

function show({ text, layer: at, token = -1 }: Example): void {
  batch(() => {
    sentence.value = text;
    kept.value = token;
    if (at !== undefined) openLayer(at);
  });
}

const archHeight = 150;
const skylineHeight = 72;
// A loss of this many nats is drawn at full height; an even guess over the whole vocabulary would be 10.3.
const fullLoss = 10;
const mostBar = 30;

/** Where a token stands on screen, in CSS pixels from the left of the row. */
interface Place {
  left: number;
  width: number;
}

function arches(painter: Painter, colours: Colours, found: Looks, places: readonly Place[], from: number[]) {
  const floor = archHeight - 2;
  const middle = (i: number) => places[i]!.left + places[i]!.width / 2;
  const widest = Math.max(1, middle(places.length - 1) - middle(0));
  const alone = from.length < places.length;
  // an even look at all tokens is what the rest stands out from
  const even = 1 / found.size;
  const strokes: { weight: number; d: string }[] = [];
  for (const i of from) {
    for (let j = 0; j < places.length; j += 1) {
      const weight = found.weights[i * found.size + j]!;
      if (weight < (alone ? even / 2 : 1.5 * even) || i === j) continue;
      const a = middle(i);
      const b = middle(j);
      // a curve reaches three quarters of the way to its handles
      const rise = 16 + (floor - 20) * Math.sqrt(Math.abs(b - a) / widest);
      const top = floor - rise / 0.75;
      strokes.push({ weight, d: `M${a},${floor}C${a},${top} ${b},${top} ${b},${floor}` });
    }
  }
  strokes.sort((a, b) => a.weight - b.weight);
  for (const { weight, d } of strokes) {
    painter.path(d, {
      stroke: colours.accent,
      strokeWidth: 1 + 4 * weight,
      opacity: Math.min(1, (alone ? 0.25 : 0.1) + 1.2 * weight),
    });
  }
}

function skyline(
  painter: Painter,
  colours: Colours,
  found: ReadonlyMap<number, Score>,
  places: readonly Place[],
  from: number[],
  y: number,
) {
  places.forEach((place, i) => {
    const score = found.get(i);
    if (!score) return;
    const loss = -score.logProbability;
    const share = Math.min(1, loss / fullLoss);
    const tall = Math.max(1.5, share * (skylineHeight - 22));
    const seen = from.includes(i);
    const wide = Math.min(place.width - 4, mostBar);
    painter.rect(place.left + (place.width - wide) / 2, y, wide, tall, {
      fill: mix(colours['accent-soft'], colours.accent, 0.15 + 0.85 * share),
      radius: 2,
      opacity: seen ? 1 : 0.3,
    });
    painter.text(place.left + place.width / 2, y + tall + 11, loss.toFixed(2), {
      fill: seen ? colours.muted : colours.faint,
      size: 11,
      family: families.mono,
      align: 'center',
    });
  });
}

const chipHeight = 48;

/** The whole of it as one picture, for saving. */
function wholeDrawing(row: Encoding, places: readonly Place[], from: number[]): Drawing {
  const last = places.at(-1);
  if (!last || places.length !== row.length) return noDrawing;
  return {
    width: last.left + last.width + 8,
    height: archHeight + chipHeight + 8 + skylineHeight,
    draw(painter, colours) {
      if (looks.peek()) arches(painter, colours, looks.peek()!, places, from);
      places.forEach((place, i) => {
        const word = row.wordIds[i];
        const tint = word === null || word === undefined ? colours.sunken : tintOf(word, colours);
        painter.rect(place.left, archHeight, place.width, chipHeight, { fill: tint, radius: 5 });
        const centre = place.left + place.width / 2;
        const style = { family: families.mono, align: 'center' as const };
        painter.text(centre, archHeight + 17, row.tokens[i]!, { ...style, size: 13, fill: colours.ink });
        const id = String(row.inputIds[i]);
        painter.text(centre, archHeight + 35, id, { ...style, size: 11, fill: colours.muted });
      });
      skyline(painter, colours, scored.peek(), places, from, archHeight + chipHeight + 6);
    },
  };
}

function tintOf(word: number, colours: Colours): string {
  return [colours['tint-0'], colours['tint-1'], colours['tint-2'], colours['tint-3']][word % 4]!;
}

/** Once `wanted`, follows where the tokens of a row stand, also when the type arrives that they are set in. */
function usePlaces(row: Encoding, wanted: boolean) {
  const ref = useRef<HTMLDivElement>(null);
  const [places, setPlaces] = useState<readonly Place[]>([]);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element || !wanted) return;
    const measure = () => {
      setPlaces(
        [...element.querySelectorAll<HTMLElement>('.token')].map((token) => ({
          left: token.offsetLeft,
          width: token.offsetWidth,
        })),
      );
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => {
      observer.disconnect();
    };
  }, [row, wanted]);
  return { ref, places };
}

/** The mark of a group for state/lit.ts: special tokens have one here too. */
function markOf(group: TokenGroup): string {
  return wordMark(scopeOf(group.sequence), group.word) ?? `special:${group.first}`;
}

function Group({ group }: { group: TokenGroup }) {
  const chosen = kept.value === group.first;
  return (
    <button
      type="button"
      class={`token-word ${tintClass(group.word)}`}
      data-lit={markOf(group)}
      aria-pressed={chosen}
      onClick={() => {
        kept.value = chosen ? -1 : group.first;
      }}
    >
      {group.tokens.map((token, i) => (
        <span class="token" key={i}>
          <span>
            <TokenText token={token} />
          </span>
          <small>{group.ids[i]}</small>
        </span>
      ))}
    </button>
  );
}

/** The position that `from` looks at most, of those that `counts`; -1 for none. */
function strongestOf(found: Looks, from: number, counts: (to: number) => boolean): number {
  let best = -1;
  for (let to = 0; to < found.size; to += 1) {
    if (to === from || !counts(to)) continue;
    if (best < 0 || found.weights[from * found.size + to]! > found.weights[from * found.size + best]!) {
      best = to;
    }
  }
  return best;
}

/** Where a word looks. Most words look at [SEP] in most layers, which says little of them: then also at which word. */
function LooksAt({ found, row, group }: { found: Looks; row: Encoding; group: TokenGroup }) {
  const from = group.first;
  const inGroup = (at: number) => at >= from && at < from + group.tokens.length;
  const special = (at: number) => row.specialTokensMask[at] === 1;
  const weight = (at: number) => probability(found.weights[from * found.size + at]!);
  const most = strongestOf(found, from, () => true);
  if (most < 0) return null;
  const word = special(most)
    ? strongestOf(found, from, (at) => !special(at) && !inGroup(at) && /[\p{L}\p{N}]/u.test(row.tokens[at]!))
    : -1;
  return (
    <>
      <Mono of={row.tokens[from]!} /> looks most at <Mono of={row.tokens[most]!} />
      {special(most) && ', a resting place'}, with {weight(most)}
      {word >= 0 && (
        <>
          ; of the words, at <Mono of={row.tokens[word]!} />, with {weight(word)}
        </>
      )}
      .{' '}
    </>
  );
}

/** What the picture says of the word pointed at, or of the most surprising one. */
function Readout({ row, group }: { row: Encoding; group: TokenGroup | undefined }) {
  const found = looks.value;
  const all = scored.value;
  if (!found) return <>{bert.value ? 'The model is reading.' : modelArrival()}</>;
  if (group) {
    const score = all.get(group.first);
    return (
      <>
        <LooksAt found={found} row={row} group={group} />
        {score ? (
          <Expected score={score} />
        ) : (
          row.specialTokensMask[group.first] === 1 && <>BERT adds this token to every text.</>
        )}
      </>
    );
  }
  const scores = [...all.values()];
  const odd = scores.reduce<Score | undefined>(
    (most, score) => (!most || score.logProbability < most.logProbability ? score : most),
    undefined,
  );
  return odd ? (
    <>
      The greatest surprise is <Mono of={odd.token} />. <Expected score={odd} />
    </>
  ) : null;
}

function Mono({ of }: { of: string }) {
  return (
    <b>
      <Said token={of} />
    </b>
  );
}

function Expected({ score }: { score: Score }) {
  if (score.rank === 1) {
    return <>Hidden, it is guessed right, with {probability(score.bestProbability)}.</>;
  }
  return (
    <>
      Hidden, it is guess number {count(score.rank)}; the model would rather read{' '}
      <Mono of={score.bestToken} />, with {probability(score.bestProbability)}.
    </>
  );
}

/** The row of tokens between its two pictures, which come in their turn. */
function Lens({
  row,
  groups,
  group,
}: {
  row: Encoding;
  groups: readonly TokenGroup[];
  group: TokenGroup | undefined;
}) {
  const turn = useTurn();
  const { ref, places } = usePlaces(row, turn);
  const from = useMemo(() => positionsOf(row, group), [row, group]);
  const found = looks.value;
  const all = scored.value;
  const last = places.at(-1);
  const width = last ? last.left + last.width + 2 : 1;
  const placed = places.length === row.length;
  const above = useMemo<Drawing>(
    () => ({
      width,
      height: archHeight,
      draw(painter, colours) {
        if (found && placed) arches(painter, colours, found, places, from);
      },
    }),
    [found, places, placed, from, width],
  );
  const below = useMemo<Drawing>(
    () => ({
      width,
      height: skylineHeight,
      draw(painter, colours) {
        if (placed) skyline(painter, colours, all, places, from, 4);
      },
    }),
    [all, places, placed, from, width],
  );
  drawn.current = wholeDrawing(row, places, from);
  const losses = [...all.values()].map((score) => `${score.token} ${(-score.logProbability).toFixed(2)}`);
  return (
    <div class="table-scroll lens" tabIndex={0} role="region" aria-label="The sentence as BERT reads it">
      <div class="lens-inside">
        {turn ? (
          <Picture
            drawing={above}
            label={`Arches from each token to those that it looks at in layer ${layer.value + 1}`}
          />
        ) : (
          <div style={{ height: `${archHeight}px` }} />
        )}
        <div class="lens-tokens" data-testid="tokens" ref={ref} style={{ fontSize: typeSize(row, groups) }}>
          {groups.map((one) => (
            <Group key={one.first} group={one} />
          ))}
        </div>
        {turn ? (
          <Picture
            drawing={below}
            label={`Loss of each token when it alone is hidden${losses.length > 0 ? ': ' : ''}${losses.join(', ')}`}
          />
        ) : (
          <div style={{ height: `${skylineHeight}px` }} />
        )}
      </div>
    </div>
  );
}

function positionsOf(row: Encoding, group: TokenGroup | undefined): number[] {
  return group
    ? group.tokens.map((_, i) => group.first + i)
    : Array.from({ length: row.length }, (_, i) => i);
}

// Of the monospaced type: a character's width in its size.
const characterWidth = 0.65;

/** The size of type with which the row fills its frame, within what reads well; longer rows scroll. */
function typeSize(row: Encoding, groups: readonly TokenGroup[]): string {
  const characters = row.tokens.reduce(
    (sum, token, i) => sum + Math.max(token.length, 0.92 * String(row.inputIds[i]).length),
    0,
  );
  const between = row.length * 10 + groups.length * 5;
  return `clamp(11.5px, (100cqi - ${between}px) / ${(characters * characterWidth).toFixed(2)}, 17px)`;
}

/** Every token with what is drawn below it; special tokens have no loss. */
function scoreTable(): Table {
  const row = encoding.peek();
  return {
    columns: ['token', 'id', 'loss', 'rank', 'expected', 'probability of it'],
    rows: (row?.tokens ?? []).map((token, i) => {
      const score = scored.peek().get(i);
      return score
        ? [
            token,
            row!.inputIds[i]!,
            -score.logProbability,
            score.rank,
            score.bestToken,
            score.bestProbability,
          ]
        : [token, row!.inputIds[i]!, null, null, null, null];
    }),
  };
}

/** What the export menu saves: the picture as it was last on screen. */
const drawn: { current: Drawing } = { current: noDrawing };

function Seen({ row }: { row: Encoding }) {
  const groups = useMemo(() => groupTokens(row), [row]);
  const mark = lit.value;
  const group = groups.find((one) => markOf(one) === mark) ?? groups.find((one) => one.first === kept.value);
  const config = bert.value?.info.config;
  const layers = config?.numHiddenLayers ?? 0;
  const missing = bert.value ? null : modelTrouble.value;
  const trouble = attentions.answer.value.trouble ?? scores.answer.value.trouble;
  const most = config?.maxPositionEmbeddings ?? tokenizer.value?.settings.modelMaxLength ?? 512;
  if (tooLong.value) {
    return (
      <p class="hint">
        {plural(row.length, 'token')} are too many for one picture, which holds {mostTokens}. The sections of
        the lesson take up to {count(most)}.
      </p>
    );
  }
  return (
    <>
      <Lens row={row} groups={groups} group={group} />
      {missing ? (
        <NoModel trouble={missing} />
      ) : (
        <p class="lens-readout" aria-live="polite">
          <Readout row={row} group={group} />
        </p>
      )}
      <Trouble text={trouble} />
      <div class="row lens-foot">
        <PlaceTabs label="Layer" caption="Layer" places={layers} value={layer.value} onChange={openLayer} />
        <p class="hint">
          Above: where each piece looks, the mean of the layer’s {config?.numAttentionHeads ?? ''} heads.
          Below: how surprising it is, its loss when it alone is hidden. Point at a word, or press it.
        </p>
      </div>
    </>
  );
}

// About the height of the instrument's content.
const room = 'max(33rem, calc(64rem - 55vw))';

function Content() {
  const turn = useTurn();
  return (
    <div class="flow lens-content" style={{ minHeight: turn ? undefined : room }}>
      <Editor
        label="Sentence"
        value={sentence.value}
        scope="first"
        spans={spansOf(0)}
        placeholder="Type anything"
        onChange={(text) => {
          sentence.value = text;
          kept.value = -1;
        }}
      />
      <SecondEditor />
      <Suggestions title="Try" items={examples} onChoose={show} />
      {turn && encoding.value && <Seen row={encoding.value} />}
    </div>
  );
}

export function LensInstrument() {
  attentions.use();
  scores.use();
  return (
    <Instrument
      title="Your sentence, inside BERT"
      tools={<SecondSentence />}
      exports={[
        ...pictureExports('inside-bert', () => drawn.current),
        { kind: 'table', name: 'inside-bert', table: scoreTable },
      ]}
    >
      <WithTokenizer speaks room={room}>
        {() => <Content />}
      </WithTokenizer>
    </Instrument>
  );
}
