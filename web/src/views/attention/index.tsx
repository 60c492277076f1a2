// Section 5: attention. Beyond the notebook: every weight of every head, for the visitor's own sentence.
import { bert } from '../../engine/model';
import { percent } from '../../lib/format';
import { javascriptString, shellString } from '../../lib/python';
import { sentence } from '../../state/sentence';
import { second } from '../tokenizer/state';
import '../../styles/mlm.css';
import '../../styles/attention.css';
import type { View } from '../view';
import { HeadsInstrument, LinesInstrument, MatrixInstrument } from './instruments';
import { attentions, current, head, headOf, layer } from './state';

function Instruments() {
  return (
    <>
      <HeadsInstrument />
      <LinesInstrument />
      <MatrixInstrument />
    </>
  );
}

/** The share of all weight in a head that goes to [CLS] and [SEP]. */
function toSpecial(found: {
  size: number;
  raw: Float32Array;
  encoding: { specialTokensMask: Int32Array };
}): number {
  let sum = 0;
  for (let from = 0; from < found.size; from += 1) {
    for (let to = 0; to < found.size; to += 1) {
      if (found.encoding.specialTokensMask[to] === 1) sum += found.raw[from * found.size + to]!;
    }
  }
  return sum / found.size;
}

function Notice() {
  const found = current.value;
  const result = attentions.answer.value.value;
  const config = bert.value?.info.config;
  if (!found || !result || !config) return <p class="hint">The sentences here speak of what is on screen.</p>;
  let most = { at: '', share: 0 };
  for (let l = 0; l < config.numHiddenLayers; l += 1) {
    for (let h = 0; h < config.numAttentionHeads; h += 1) {
      const other = headOf(result, l, h);
      const share = other ? toSpecial(other) : 0;
      if (share > most.share) most = { at: `head ${h + 1} of layer ${l + 1}`, share };
    }
  }
  let self = 0;
  for (let i = 0; i < found.size; i += 1) self += found.raw[i * found.size + i]! / found.size;
  return (
    <>
      <p>
        In layer {layer.value + 1}, head {head.value + 1}, a token gives itself {percent(self, 1)} of its
        weight and the special tokens {percent(toSpecial(found), 1)}.
      </p>
      <p>
        Most weight on [CLS] and [SEP] has {most.at}, {percent(most.share, 1)}. A head that finds nothing to
        do looks there: it is BERT’s way of looking at nothing.
      </p>
      <p>
        Weights say where a head reads from, not what it makes of it. Two heads with the same picture may pass
        on different things.
      </p>
    </>
  );
}

function code() {
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

tokenizer = BertTokenizerFast.from_pretrained("bert-base-uncased")
model = BertModel.from_pretrained("bert-base-uncased", attn_implementation="eager").eval()
inputs = tokenizer(${python}, return_tensors="pt")
with torch.no_grad():
    attentions = model(**inputs, output_attentions=True).attentions
print(attentions[${layer.value}][0, ${head.value}])`,
    javascript: `import { load } from 'bertlens';

const bert = await load('./models/default/');
const { attentions } = await bert.encode(${input}, { attentions: [${layer.value}] });
const { shape, data } = attentions[${layer.value}];
const size = shape[1] * shape[2];
console.log(shape, data.subarray(${head.value} * size, ${head.value + 1} * size));
await bert.dispose();`,
    cli: `bertlens encode --attentions ${layer.value} --json ${shellString(text)}${pair === undefined ? '' : ` --pair ${shellString(pair)}`}`,
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
  idea: 'Every token looks at every other. Here is where.',
  lead: 'Attention is how words reach each other: each head spreads one unit of weight over the whole text, anew for every token.',
  Instrument: Instruments,
  Notice,
  code,
  Notebook,
};

export default view;
