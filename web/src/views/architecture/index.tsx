// Section 4: the model as a stack of parts, each with its parameters. Cell 8 and Exercise 3 of the notebook.
import { count, percent } from '../../lib/format';
import { Answer, CheckedField } from '../../ui/exercise';
import { Printed } from '../../ui/printed';
import '../../styles/architecture.css';
import { modelNames } from '../naming';
import type { View } from '../view';
import { ParametersInstrument, StackInstrument } from './instruments';
import { SimilarityInstrument } from './similarity';
import { TensorsInstrument } from './tensors';
import { findPart, partsOf, published } from './parts';
import { drawn, parts } from './state';

function Instruments() {
  return (
    <>
      <StackInstrument />
      <ParametersInstrument />
      <TensorsInstrument />
      <SimilarityInstrument />
    </>
  );
}

function Notice() {
  const { base } = parts.value;
  const { hiddenSize, numHiddenLayers, numAttentionHeads, intermediateSize } = drawn.value;
  const [embeddings, layer] = base.children;
  const word = findPart(base, 'embeddings.word')?.parameters ?? 0;
  const attention = findPart(base, 'layer.attention')?.parameters ?? 0;
  if (!embeddings || !layer) return null;
  return (
    <>
      <p>
        Shapes never change along the way: every layer takes [tokens, {hiddenSize}] and gives [tokens,{' '}
        {hiddenSize}], so {numHiddenLayers} equal ones can be stacked. Only their weights differ.
      </p>
      <p>
        Attention, the part that BERT is known for, holds {percent(attention / layer.parameters, 1)} of a
        layer. The rest are two dense steps that widen each token to {count(intermediateSize)} numbers and
        back, without a look at the others.
      </p>
      <p>
        The word embeddings alone are {percent(word / base.parameters, 1)} of the model, though a sentence
        touches only the few rows of its own tokens. More heads cost nothing: {numAttentionHeads} heads of{' '}
        {hiddenSize / numAttentionHeads} numbers share the same {count(hiddenSize)}.
      </p>
    </>
  );
}

function code() {
  const names = modelNames();
  return {
    python: `from transformers import BertModel

bert = BertModel.from_pretrained(${names.python})
count = lambda module: sum(p.numel() for p in module.parameters())

print(f"total       {count(bert):,}")
print(f"embeddings  {count(bert.embeddings):,}")
print(f"one layer   {count(bert.encoder.layer[0]):,}")
print(f"pooler      {count(bert.pooler):,}")`,
    javascript: `import { load } from 'bertlens';

const bert = await load(${names.javascript});
const { totalParameters, parameters } = bert.info;
const { embeddings, encoderLayer, pooler } = parameters;
console.log({ totalParameters, embeddings, encoderLayer, pooler });
await bert.dispose();`,
    cli: `bertlens inspect${names.cli}`,
  };
}

/** The classes of transformers that the parts are; names, not numbers, so there is nothing to compare. */
const modules = [
  ['embeddings', 'BertEmbeddings'],
  ['encoder', 'BertEncoder'],
  ['pooler', 'BertPooler'],
] as const;

const reference = partsOf(published.base).base;

function parametersOf(id: string): number {
  return findPart(reference, id)?.parameters ?? 0;
}

function Notebook() {
  const layers = parametersOf('layer') * published.base.numHiddenLayers;
  return (
    <div class="printed">
      <Printed
        cell="Cell 8 printed, for bert-base-uncased; here counted from its configuration"
        lines={[
          { what: 'Total params', printed: '109,482,240', here: count(reference.parameters) },
          { what: 'Trainable', printed: '109,482,240', here: count(reference.parameters) },
          ...modules.map(([what, printed]) => ({ what, printed, here: undefined })),
          { what: 'Stack depth', printed: '12', here: String(published.base.numHiddenLayers) },
          { what: 'Hidden size', printed: '768', here: String(published.base.hiddenSize) },
          { what: 'Intermediate', printed: '3072', here: String(published.base.intermediateSize) },
          { what: 'Attention heads', printed: '12', here: String(published.base.numAttentionHeads) },
        ]}
      />
      <Printed
        cell="Exercise 3 printed"
        lines={[
          { what: 'Embeddings', printed: '23,837,184', here: count(parametersOf('embeddings')) },
          { what: 'One layer', printed: '7,087,872', here: count(parametersOf('layer')) },
          { what: 'All layers', printed: '85,054,464', here: count(layers) },
          {
            what: 'Layers’ share',
            printed: '77.7%',
            here: `${((100 * layers) / reference.parameters).toFixed(1)}%`,
          },
        ]}
      />
    </div>
  );
}

function wholeNumber(answer: string): number | undefined {
  const digits = answer.replaceAll(/[\s,.'_]/g, '');
  return /^\d+$/.test(digits) ? Number(digits) : undefined;
}

function checkCount(expected: number, remedy: string) {
  return (answer: string): true | string => {
    const value = wholeNumber(answer);
    if (value === undefined) return 'A whole number is wanted.';
    return value === expected || remedy;
  };
}

function Exercise() {
  return (
    <div class="exercise">
      <p>
        Count by hand for bert-base-uncased: 30,522 words, 512 positions, 2 types, hidden size 768,
        intermediate size 3,072, 12 layers.
      </p>
      <ol class="tasks">
        <li>
          <CheckedField
            label="Parameters of the embeddings, their layer norm included"
            inputMode="numeric"
            check={checkCount(
              parametersOf('embeddings'),
              'Not that: three tables of width 768, and 2 × 768 for the norm.',
            )}
          />
        </li>
        <li>
          <CheckedField
            label="Parameters of one layer"
            inputMode="numeric"
            check={checkCount(
              parametersOf('layer'),
              'Not that: four dense 768 × 768, one 768 × 3072, one 3072 × 768, each with its bias, and two norms.',
            )}
          />
        </li>
        <li>
          <CheckedField
            label="Parameters of the pooler"
            inputMode="numeric"
            check={checkCount(parametersOf('pooler'), 'Not that: one dense 768 × 768 with its bias.')}
          />
        </li>
        <li>
          <CheckedField
            label="All together"
            inputMode="numeric"
            check={checkCount(reference.parameters, 'Not that: embeddings, 12 layers, pooler.')}
          />
        </li>
      </ol>
      <Answer>
        {() => (
          <div class="printed">
            <Printed
              cell="The notebook printed"
              lines={[
                { what: 'Embeddings', printed: '23,837,184', here: count(parametersOf('embeddings')) },
                { what: '– Word', printed: '23,440,896', here: count(parametersOf('embeddings.word')) },
                { what: '– Position', printed: '393,216', here: count(parametersOf('embeddings.position')) },
                { what: '– Token type', printed: '1,536', here: count(parametersOf('embeddings.type')) },
                { what: '– Layer norm', printed: '1,536', here: count(parametersOf('embeddings.norm')) },
                { what: 'One layer', printed: '7,087,872', here: count(parametersOf('layer')) },
                {
                  what: '– Self-attention',
                  printed: '2,363,904',
                  here: count(parametersOf('layer.attention')),
                },
                {
                  what: '– Intermediate',
                  printed: '2,362,368',
                  here: count(parametersOf('layer.intermediate')),
                },
                { what: '– Output', printed: '2,361,600', here: count(parametersOf('layer.output')) },
                { what: 'Pooler', printed: '590,592', here: count(parametersOf('pooler')) },
                { what: 'Sum', printed: '109,482,240', here: count(reference.parameters) },
                {
                  what: 'Mean of a layer',
                  printed: '7,820,160',
                  here: count(Math.floor(reference.parameters / (published.base.numHiddenLayers + 2))),
                },
              ]}
            />
            <p class="hint">
              The notebook’s mean is the sum over 14 parts, the embeddings and the pooler among them: that is
              why it is more than one layer has.
            </p>
          </div>
        )}
      </Answer>
    </div>
  );
}

const view: View = {
  lead: () => {
    const layers = drawn.value.numHiddenLayers;
    const stack = layers === 1 ? 'one layer' : `a stack of ${layers} equal layers`;
    return `Embeddings, ${stack}, a pooler. Open any part to see what it computes, in which shape, and what it costs.`;
  },
  Instrument: Instruments,
  Notice,
  code,
  Notebook,
  exercise: { title: 'Exercise 3', Exercise },
};

export default view;
