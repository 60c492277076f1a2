// Section 8: the visitor's own model in place of the default one. The notebook's cells 2, 7, 8 and 9 load bert-base-uncased.
import type { ModelInfo } from 'bertlens';
import { bert, choiceName, loaded, memory } from '../../engine/model';
import { bytes, count } from '../../lib/format';
import { Printed } from '../../ui/printed';
import '../../styles/model.css';
import type { View } from '../view';
import { modelNames } from '../naming';
import { FactsInstrument } from './facts';
import { agreementCounts, FiguresInstrument } from './figures-table';
import { figures } from './figures';
import { PickerInstrument } from './picker';
import { StorageInstrument } from './storage';

function Instruments() {
  return (
    <>
      <PickerInstrument />
      <div class="split even">
        <FactsInstrument />
        <StorageInstrument />
      </div>
      <FiguresInstrument />
    </>
  );
}

const basic = 109_482_240;

/** Whether the file has the tables of words and positions as int8: no precision changes these. */
function tablesAreInt8(tensors: ModelInfo['tensors']): boolean {
  return tensors.some(({ name, dtype }) => dtype === 'I8' && /word_embeddings\.weight$/.test(name));
}

function times(ratio: number): string {
  return ratio < 100 ? ratio.toFixed(1) : count(Math.round(ratio));
}

function Notice() {
  const here = loaded.value;
  if (!here) return <p class="hint">The sentences here speak of what is on screen.</p>;
  const { totalParameters, config, tensors } = here.model.info;
  const { precision } = here.model.runtime;
  const ratio = basic / Math.max(1, totalParameters);
  const held = memory.value;
  const { equal } = agreementCounts();
  const all = figures.value.length;
  return (
    <>
      <p>
        {choiceName(here.choice).replace(/^D/, 'The d')} has {count(totalParameters)} parameters
        {ratio > 1.05
          ? `; bert-base-uncased has ${times(ratio)} times as many, ${count(basic)}`
          : ratio < 0.95
            ? `, ${times(1 / ratio)} times as many as bert-base-uncased`
            : ', as many as bert-base-uncased'}
        .{' '}
        {held &&
          `Kept as ${precision}, its weights take ${bytes(held.weightBytes)}${precision !== 'int8' && tablesAreInt8(tensors) ? '; the embeddings stay int8, as its file has them' : ''}.`}
      </p>
      <p>
        {equal} of the notebook’s {all} figures come out the same. Those of the vocabulary depend on its file
        alone; sizes follow from config.json; probabilities need the very same weights.
      </p>
      <p>
        Every section now works on this model: {config.numHiddenLayers} layers in the stack, texts of up to{' '}
        {config.maxPositionEmbeddings} tokens. Only a name can be put into a link; a folder of your own stays
        on your device.
      </p>
    </>
  );
}

function code() {
  const names = modelNames();
  const hub = loaded.value?.choice.kind === 'hub';
  return {
    python: `from transformers import BertForPreTraining, BertTokenizerFast

tokenizer = BertTokenizerFast.from_pretrained(${names.python})
model = BertForPreTraining.from_pretrained(${names.python}).eval()
print(f"{sum(p.numel() for p in model.bert.parameters()):,}")`,
    javascript: `import { load } from 'bertlens';

const bert = await load(${names.javascript});
const { config, totalParameters } = bert.info;
console.log(config, totalParameters, bert.runtime, await bert.memory());
await bert.dispose();`,
    cli: `${hub ? `bertlens pull${names.cli.replace(' --model', '')}\n` : ''}bertlens inspect${names.cli}`,
  };
}

function Notebook() {
  const model = bert.value;
  return (
    <div class="printed">
      <Printed
        cell="Cell 8 printed, for bert-base-uncased; here: the model that is loaded"
        otherModel
        lines={[
          {
            what: 'Total params',
            printed: '109,482,240',
            here: model ? count(model.info.totalParameters) : undefined,
          },
          {
            what: 'Trainable',
            printed: '109,482,240',
            here: model ? count(model.info.trainableParameters) : undefined,
          },
        ]}
      >
        <p class="hint">
          The table above has the notebook’s other figures that depend on the model; the losses of cell 10
          follow from its probabilities.
        </p>
      </Printed>
    </div>
  );
}

const view: View = {
  lead: 'Put any BERT under it: the notebook’s own from Hugging Face, or a folder of yours. Every section then works on that model.',
  Instrument: Instruments,
  Notice,
  code,
  Notebook,
};

export default view;
