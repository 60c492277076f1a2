// Section 6: hide words and ask for them. Cells 9 and 10 and Exercise 4 of the notebook.
import type { FillMaskResult } from 'bertlens';
import { signal } from '@preact/signals';
import { answers } from '../../engine/answers';
import { timed } from '../../engine/model';
import { tokenizer } from '../../engine/tokenizer';
import { list, percent, plural, probability } from '../../lib/format';
import { javascriptString, pythonList, shellString } from '../../lib/python';
import { Bars } from '../../ui/bars';
import { Answer } from '../../ui/exercise';
import { Printed } from '../../ui/printed';
import { Trouble, WithModel } from '../../ui/with-model';
import { WithTokenizer } from '../../ui/with-tokenizer';
import '../../styles/mlm.css';
import { modelNames } from '../naming';
import type { View } from '../view';
import { LossInstrument, MaskInstrument, SurpriseInstrument } from './instruments';
import {
  hide,
  notebookHidden,
  notebookText,
  order,
  prediction,
  question,
  surprise,
  targetWords,
  topK,
} from './state';

function Instruments() {
  return (
    <>
      <MaskInstrument />
      <SurpriseInstrument />
      <LossInstrument />
    </>
  );
}

function Notice() {
  const { value, input } = prediction.answer.value;
  const first = value?.masks[0];
  const best = first?.predictions[0];
  if (!input || !first || !best) return <p class="hint">The sentences here speak of what is on screen.</p>;
  const label = first.label;
  const scored = surprise.answer.value.value?.tokens ?? [];
  const odd = scored.reduce(
    (most, token) => (token.logProbability < most.logProbability ? token : most),
    scored[0]!,
  );
  return (
    <>
      <p>
        The model’s first guess is <span class="mono">{best.token}</span> with {probability(best.probability)}
        .{' '}
        {label &&
          (label.id === best.id
            ? `It is right, and still the loss is ${label.loss.toFixed(2)}, not 0: a loss measures confidence, not correctness.`
            : `What stood there has ${probability(label.probability)}, so the loss is ${label.loss.toFixed(2)}.`)}
      </p>
      {value.masks.length > 1 && (
        <p>
          The {value.masks.length} masks are answered separately; the probabilities are not those of the whole
          sentence. Fill them from left to right, or the surest first, and each answer sees the ones before
          it.
        </p>
      )}
      {scored.length > 0 && (
        <p>
          The least expected token is <span class="mono">{odd.token}</span>, place{' '}
          {odd.rank.toLocaleString('en-US')} of all; the model would rather have read{' '}
          <span class="mono">{odd.bestToken}</span>.
        </p>
      )}
    </>
  );
}

function code() {
  const names = modelNames();
  const { masked, label } = question.value;
  const top = topK.value;
  const scored = targetWords();
  const lines = [
    `topK: ${top}`,
    ...(label === undefined ? [] : [`labelText: ${javascriptString(label)}`]),
    ...(order.value === 'independent' ? [] : [`order: '${order.value}'`]),
    ...(scored.length === 0 ? [] : [`targets: [${scored.map(javascriptString).join(', ')}]`]),
  ];
  const options = [
    `--top-k ${top}`,
    ...(label === undefined ? [] : [`--label-text ${shellString(label)}`]),
    ...(order.value === 'independent' ? [] : [`--order ${order.value}`]),
    ...(scored.length === 0 ? [] : [`--targets ${shellString(scored.join(','))}`]),
  ];
  return {
    python: `import torch
from transformers import BertForMaskedLM, BertTokenizerFast

tokenizer = BertTokenizerFast.from_pretrained(${names.python})
model = BertForMaskedLM.from_pretrained(${names.python}).eval()
inputs = tokenizer(${JSON.stringify(masked)}, return_tensors="pt")

with torch.no_grad():
    logits = model(**inputs).logits
masks = (inputs.input_ids == tokenizer.mask_token_id)[0]
best = logits[0, masks].softmax(-1).topk(${top})
for probabilities, ids in zip(*best):
    print([(tokenizer.decode(id), round(p.item(), 4)) for p, id in zip(probabilities, ids)])`,
    javascript: `import { load } from 'bertlens';

const bert = await load(${names.javascript});
const { masks } = await bert.fillMask(${javascriptString(masked)}, {
${lines.map((line) => `  ${line},\n`).join('')}});
for (const { predictions } of masks) console.table(predictions);
await bert.dispose();`,
    cli: `bertlens fill-mask${names.cli} ${options.join(' ')} ${shellString(masked)}`,
  };
}

const printedTop: readonly (readonly [token: string, probability: string, loss: string])[] = [
  ['paris', '0.4168', '0.8752'],
  ['lille', '0.0714', '2.6392'],
  ['lyon', '0.0634', '2.7584'],
  ['marseille', '0.0444', '3.1134'],
  ['tours', '0.0303', '3.4967'],
  ['toulouse', '0.0288', '3.5489'],
  ['orleans', '0.0254', '3.6717'],
  ['nantes', '0.0228', '3.7809'],
  ['brest', '0.0226', '3.7915'],
  ['bordeaux', '0.0212', '3.8526'],
];

const notebookAnswer = answers<string, FillMaskResult>(
  () => (tokenizer.value ? notebookText : null),
  (model, label, abort) => {
    const ready = tokenizer.value!;
    const { masked } = hide(label, ready.words(ready.encode(label)), notebookHidden);
    return model.fillMask(masked, { topK: 10, labelText: label, signal: abort });
  },
);

function Notebook() {
  notebookAnswer.use();
  const { value, trouble } = notebookAnswer.answer.value;
  const best = value?.masks[0]?.predictions ?? [];
  return (
    <WithTokenizer>
      {(ready) => (
        <div class="printed">
          <Trouble text={trouble} />
          <Printed
            cell="Cell 9 printed, for bert-base-uncased; here: the model that is loaded"
            otherModel
            lines={[
              {
                what: 'Labels',
                printed: '[-100, -100, -100, -100, -100, -100, 3000, -100, -100]',
                here: value?.labels ? pythonList(value.labels) : undefined,
              },
              {
                what: 'Predicted',
                printed: '3000 -> paris',
                here: best[0] && `${best[0].id} -> ${best[0].token}`,
              },
              { what: 'Loss', printed: '0.88', here: value?.loss },
              {
                what: '[MASK]',
                printed: '103',
                here: String(ready.maskTokenId),
              },
            ]}
          />
          <Printed
            cell="Cell 10 printed: rank, token, probability, loss if correct"
            otherModel
            lines={printedTop.map(([token, p, loss], i) => ({
              what: String(i + 1),
              printed: `${token}  ${p}  ${loss}`,
              here:
                best[i] && `${best[i].token}  ${best[i].probability.toFixed(4)}  ${best[i].loss.toFixed(4)}`,
            }))}
          />
        </div>
      )}
    </WithTokenizer>
  );
}

const exerciseText = 'The quick brown fox jumps over the lazy dog';
const exerciseHidden = [1, 4, 7];
const exerciseWords = ['quick', 'jumps', 'lazy'];
/** What bert-base-uncased gave in the notebook, percent. */
const exercisePrinted = ['little 23.19', 'takes 74.10', 'white 5.71'];

const exerciseAnswer = answers<string, FillMaskResult>(
  () => (tokenizer.value ? exerciseText : null),
  (model, label, abort) => {
    const ready = tokenizer.value!;
    const { masked } = hide(label, ready.words(ready.encode(label)), exerciseHidden);
    return timed(model.fillMask(masked, { topK: 5, labelText: label, signal: abort }));
  },
);

const guess = signal<number | null>(null);

function Exercise() {
  exerciseAnswer.use();
  const { value, trouble } = exerciseAnswer.answer.value;
  const tops = value?.masks.map((mask) => mask.predictions[0]?.probability ?? 0) ?? [];
  const surest = tops.indexOf(Math.max(...tops));
  const mean = tops.reduce((sum, p) => sum + p, 0) / Math.max(1, tops.length);
  return (
    <WithModel>
      {() => (
        <div class="exercise">
          <p class="quote">The [MASK] brown fox [MASK] over the [MASK] dog</p>
          <Trouble text={trouble} />
          <ol class="tasks">
            <li>
              <div>
                <p>Before you look: at which of the three will this model be surest of its first guess?</p>
                <div class="row" role="group" aria-label="Your guess">
                  {exerciseWords.map((word, i) => (
                    <button
                      type="button"
                      class="split-word plain"
                      key={word}
                      aria-pressed={guess.value === i}
                      onClick={() => {
                        guess.value = i;
                      }}
                    >
                      {word}
                    </button>
                  ))}
                  <span class="verdict-line" role="status">
                    {guess.value !== null &&
                      value &&
                      (guess.value === surest ? (
                        <span class="agree">Right.</span>
                      ) : (
                        <span class="differ">No. What would you need to know to fill each gap?</span>
                      ))}
                  </span>
                </div>
              </div>
            </li>
          </ol>
          <Answer>
            {() =>
              value && (
                <>
                  <div class="columns">
                    {value.masks.map((mask, i) => (
                      <section key={i}>
                        <h3>
                          Instead of <span class="mono">{exerciseWords[i]}</span>
                        </h3>
                        <Bars
                          label={`Instead of ${exerciseWords[i] ?? ''}`}
                          bars={mask.predictions.map((entry) => ({
                            label: entry.token,
                            value: entry.probability,
                            marked: entry.id === mask.label?.id,
                          }))}
                        />
                        <p class="hint">bert-base-uncased, as printed: {exercisePrinted[i]} %</p>
                      </section>
                    ))}
                  </div>
                  <p>
                    Mean confidence of the first guesses: {percent(mean)}. A verb between its subject and
                    “over” is tied down by grammar; {list(['quick', 'lazy'])} are adjectives, and many would
                    do. {plural(value.masks.length, 'mask')} at once also means that no guess sees the others’
                    words.
                  </p>
                </>
              )
            }
          </Answer>
        </div>
      )}
    </WithModel>
  );
}

const view: View = {
  idea: 'Hide a word, and BERT says what it expected.',
  lead: 'This is the game that BERT was trained with: read both sides of a gap and spread one unit of probability over the whole vocabulary.',
  Instrument: Instruments,
  Notice,
  code,
  Notebook,
  exercise: { title: 'Exercise 4', Exercise },
};

export default view;
