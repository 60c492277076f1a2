// Section 5: attention. Beyond the notebook: every weight of every head, for the visitor's own sentence.
import { percent } from '../../lib/format';
import { javascriptString, shellOption, shellTexts } from '../../lib/python';
import { sentence } from '../../state/sentence';
import { second } from '../tokenizer/state';
import '../../styles/mlm.css';
import '../../styles/attention.css';
import { modelNames } from '../naming';
import type { View } from '../view';
import { HeadsInstrument, LinesInstrument, MatrixInstrument } from './instruments';
import { attentions, head, layer, ownShares, summaries } from './state';

function Instruments() {
  return (
    <>
      <HeadsInstrument />
      <LinesInstrument />
      <MatrixInstrument />
    </>
  );
}

function Notice() {
  const { outdated, trouble } = attentions.answer.value;
  const all = trouble === null ? summaries.value : [];
  const here = all.find((one) => one.layer === layer.value + 1 && one.head === head.value + 1);
  if (!here) return <p class="hint">The sentences here speak of what is on screen.</p>;
  const most = all.reduce((best, one) => (one.special > best.special ? one : best));
  const aged = outdated ? 'stale' : '';
  return (
    <>
      {ownShares.value && (
        <p class={aged}>
          In layer {here.layer}, head {here.head}, a token of the text gives itself{' '}
          {percent(ownShares.value.self, 1)} of its weight on average, and [CLS] and [SEP]{' '}
          {percent(ownShares.value.special, 1)}.
        </p>
      )}
      {most.special < 0.9999 && ( // of [CLS] and [SEP] alone every head says so
        <p class={aged}>
          Head {most.head} of layer {most.layer} puts the most weight on [CLS] and [SEP]:{' '}
          {percent(most.special, 1)}. A head that finds nothing to do looks there: it is BERT’s way of looking
          at nothing.
        </p>
      )}
      <p>
        Weights say where a head reads from, not what it makes of it. Two heads with the same picture may pass
        on different things.
      </p>
    </>
  );
}

function code() {
  const names = modelNames();
  const text = sentence.value;
  const pair = second.value;
  const python =
    pair === undefined ? JSON.stringify(text) : `${JSON.stringify(text)}, ${JSON.stringify(pair)}`;
  const input =
    pair === undefined
      ? javascriptString(text)
      : `{ text: ${javascriptString(text)}, textPair: ${javascriptString(pair)} }`;
  return {
    python: `import torch
from transformers import BertModel, BertTokenizerFast

tokenizer = BertTokenizerFast.from_pretrained(${names.python})
model = BertModel.from_pretrained(
    ${names.python}, attn_implementation="eager"
).eval()
inputs = tokenizer(
    ${python},
    return_tensors="pt",
)
with torch.no_grad():
    attentions = model(**inputs, output_attentions=True).attentions
print(attentions[${layer.value}][0, ${head.value}])`,
    javascript: `import { load } from 'bertlens';

const bert = await load(${names.javascript});
const { attentions } = await bert.encode(${input}, { attentions: [${layer.value}] });
const { shape, data } = attentions[${layer.value}];
const size = shape[1] * shape[2];
console.log(shape, data.subarray(${head.value} * size, ${head.value + 1} * size));
await bert.dispose();`,
    cli: `bertlens encode${names.cli} --attentions ${layer.value} --json${pair === undefined ? '' : ` ${shellOption('--pair', pair)}`} ${shellTexts([text])}`,
  };
}

function Notebook() {
  return (
    <p class="prose">
      The notebook loads bert-base-uncased with its 12 layers of 12 heads but draws no attention. Here all of
      it lies open, for the model that is loaded.
    </p>
  );
}

const view: View = {
  lead: 'Attention is how words reach each other: each head spreads one unit of weight over the whole text, anew for every token.',
  Instrument: Instruments,
  Notice,
  code,
  Notebook,
};

export default view;
