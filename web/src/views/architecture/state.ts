// Which BERT the architecture section takes apart, and the part that is open.
import { batch, computed, type Signal } from '@preact/signals';
import { loaded } from '../../engine/model';
import { choiceCodec, integerCodec, parameter, textCodec } from '../../state/url';
import { partsOf, published, type Configuration } from './parts';

export const choices = ['loaded', 'base', 'large', 'own'] as const;
export type Choice = (typeof choices)[number];

/** What was asked for; '' until then. */
const asked = parameter<Choice | ''>('architecture', 'of', '', choiceCodec(['', ...choices]));

/** The notebook's model, unless the visitor has loaded another than the default one. */
export const choice = computed<Choice>(() => {
  const here = loaded.value;
  if (asked.value === 'loaded' && !here) return 'base';
  return asked.value || (here && here.choice.kind !== 'default' ? 'loaded' : 'base');
});

/** Own sizes begin as those that were on screen; once changed they stay. */
export function choose(next: Choice): void {
  batch(() => {
    if (next === 'own' && choice.peek() !== 'own' && untouched()) fill(configuration.peek());
    asked.value = next;
  });
}

export const open = parameter('architecture', 'part', 'layer', textCodec);
/** Which layer of the stack was pressed; all have the same parts. */
export const openLayer = parameter('architecture', 'layer', 1, integerCodec(1, 64));

/** How much the fields take; 1 is the least of each. */
export const ownMost: Readonly<Record<keyof Configuration, number>> = {
  vocabSize: 1_000_000,
  hiddenSize: 16_384,
  numHiddenLayers: 64,
  numAttentionHeads: 256,
  intermediateSize: 65_536,
  maxPositionEmbeddings: 65_536,
  typeVocabSize: 16,
};

/** A small BERT, as the page's default model is. */
const initial: Configuration = {
  ...published.base,
  hiddenSize: 384,
  numHiddenLayers: 6,
  numAttentionHeads: 6,
  intermediateSize: 1536,
};

function ownParameter(name: string, size: keyof Configuration) {
  return parameter('architecture', name, initial[size], integerCodec(1, ownMost[size]));
}

const own: Record<keyof Configuration, Signal<number>> = {
  vocabSize: ownParameter('vocab', 'vocabSize'),
  hiddenSize: ownParameter('hidden', 'hiddenSize'),
  numHiddenLayers: ownParameter('layers', 'numHiddenLayers'),
  numAttentionHeads: ownParameter('heads', 'numAttentionHeads'),
  intermediateSize: ownParameter('inner', 'intermediateSize'),
  maxPositionEmbeddings: ownParameter('positions', 'maxPositionEmbeddings'),
  typeVocabSize: ownParameter('types', 'typeVocabSize'),
};

export const ownFields = own;
const ownNames = Object.keys(own) as (keyof Configuration)[];

function ownSizes(): Configuration {
  return Object.fromEntries(ownNames.map((name) => [name, own[name].value])) as Record<
    keyof Configuration,
    number
  >;
}

/** What the fields held before anyone changed them. */
let filled = initial;

function untouched(): boolean {
  return ownNames.every((name) => own[name].peek() === filled[name]);
}

function fill(sizes: Configuration): void {
  for (const name of ownNames) own[name].value = Math.min(ownMost[name], sizes[name]);
  filled = ownSizes();
}

export const configuration = computed<Configuration>(() => {
  if (choice.value === 'loaded') return loaded.value!.model.info.config;
  if (choice.value !== 'own') return published[choice.value];
  return ownSizes();
});

/** A hidden size that the heads do not divide makes no BERT. */
export const configurationTrouble = computed(() => {
  const { hiddenSize, numAttentionHeads } = configuration.value;
  return hiddenSize % numAttentionHeads === 0
    ? undefined
    : `${numAttentionHeads} heads cannot share ${hiddenSize} numbers evenly; choose a hidden size that ${numAttentionHeads} divides.`;
});

let lastWhole = published.base;

/** What is drawn: while the sizes asked for make no BERT, the last ones that did. */
export const drawn = computed<Configuration>(() => {
  if (!configurationTrouble.value) lastWhole = configuration.value;
  return lastWhole;
});

export const parts = computed(() => partsOf(drawn.value));

/** What the list of tensors is searched for. */
export const tensorText = parameter('architecture', 'find', '', textCodec);
