// Which BERT the architecture section takes apart, and the part that is open.
import { computed } from '@preact/signals';
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

export function choose(next: Choice): void {
  asked.value = next;
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

const own = {
  vocabSize: parameter('architecture', 'vocab', 30522, integerCodec(1, ownMost.vocabSize)),
  hiddenSize: parameter('architecture', 'hidden', 384, integerCodec(1, ownMost.hiddenSize)),
  numHiddenLayers: parameter('architecture', 'layers', 6, integerCodec(1, ownMost.numHiddenLayers)),
  numAttentionHeads: parameter('architecture', 'heads', 6, integerCodec(1, ownMost.numAttentionHeads)),
  intermediateSize: parameter('architecture', 'inner', 1536, integerCodec(1, ownMost.intermediateSize)),
  maxPositionEmbeddings: parameter(
    'architecture',
    'positions',
    512,
    integerCodec(1, ownMost.maxPositionEmbeddings),
  ),
  typeVocabSize: parameter('architecture', 'types', 2, integerCodec(1, ownMost.typeVocabSize)),
};

export const ownFields = own;

export const configuration = computed<Configuration>(() => {
  if (choice.value === 'loaded') return loaded.value!.model.info.config;
  if (choice.value !== 'own') return published[choice.value];
  return {
    vocabSize: own.vocabSize.value,
    hiddenSize: own.hiddenSize.value,
    numHiddenLayers: own.numHiddenLayers.value,
    numAttentionHeads: own.numAttentionHeads.value,
    intermediateSize: own.intermediateSize.value,
    maxPositionEmbeddings: own.maxPositionEmbeddings.value,
    typeVocabSize: own.typeVocabSize.value,
  };
});

/** A hidden size that the heads do not divide makes no BERT. */
export const configurationTrouble = computed(() => {
  const { hiddenSize, numAttentionHeads } = configuration.value;
  return hiddenSize % numAttentionHeads === 0
    ? undefined
    : `${numAttentionHeads} heads cannot share ${hiddenSize} numbers evenly; choose a hidden size that ${numAttentionHeads} divides.`;
});

export const parts = computed(() => partsOf(configuration.value));

/** What the list of tensors is searched for. */
export const tensorText = parameter('architecture', 'find', '', textCodec);
