// Section 6: hide words and ask for them. Cells 9 and 10 and Exercise 4 of the notebook.
import type { FillMaskResult, MaskPredictions, Prediction, ScoredToken } from 'bertlens';
import { signal } from '@preact/signals';
import { answers } from '../../engine/answers';
import { timed } from '../../engine/model';
import { tokenizer } from '../../engine/tokenizer';
import { count, list, percent, plural, probability } from '../../lib/format';
import { javascriptString, pythonList, shellOption, shellTexts } from '../../lib/python';
import { Bars } from '../../ui/bars';
import { DataTable, type Column } from '../../ui/data-table';
import { Answer, CheckedField, readNumber } from '../../ui/exercise';
import { leadTo } from '../../ui/lead';
import { Printed } from '../../ui/printed';
import { Said } from '../../ui/token';
import { Trouble, WithModel } from '../../ui/with-model';
import { WithTokenizer } from '../../ui/with-tokenizer';
import '../../styles/mlm.css';
import { modelNames } from '../naming';
import type { View } from '../view';
import { LossInstrument, MaskInstrument, SurpriseInstrument } from './instruments';
import { exerciseHidden, exerciseMasked, exercisePrinted, exerciseText, exerciseWords } from './notebook';
import {
  hide,
  notebookHidden,
  notebookText,
  order,
  prediction,
  question,
  showOwn,
  surprise,
  targetWords,
  text,
  topK,
  type Order,
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

/** What several masks know of one another. */
function Filling({ masks, order: asked }: { masks: readonly MaskPredictions[]; order: Order }) {
  if (asked === 'independent') {
    return (
      <>
        The {masks.length} masks are answered separately; the probabilities are not those of the whole
        sentence. Fill them from left to right, or the surest first, and each answer sees the ones before it.
      </>
    );
  }
  if (asked === 'left_to_right') {
    return (
      <>
        The {masks.length} masks are filled from left to right: from the second on, the model saw the words
        already put in, so a probability depends on those before it.
      </>
    );
  }
  const filled = [...masks].sort((a, b) => a.step - b.step).map((mask) => mask.predictions[0]?.token ?? '');
  const told = list(filled.map((token) => `“${token}”`));
  return (
    <>
      The {masks.length} masks are filled the surest first, here in the order {told}: from the second on, the
      model saw the words already put in, so a probability depends on those filled before it.
    </>
  );
}

/** Each paragraph speaks of one answer, and only of one to the text that is on screen. */
function Notice() {
  const guesses = prediction.answer.value;
  const scores = surprise.answer.value;
  const masks = guesses.trouble === null ? (guesses.value?.masks ?? []) : [];
  const first = masks[0];
  const best = first?.predictions[0];
  const label = first?.label;
  const scored = scores.trouble === null ? (scores.value?.tokens ?? []) : [];
  const odd = scored.reduce<ScoredToken | undefined>(
    (most, token) => (!most || token.logProbability < most.logProbability ? token : most),
    undefined,
  );
  const training = (
    <p>
      BERT learned this on 15&nbsp;% of the tokens of its texts: of these it saw [MASK] for 80&nbsp;%, a
      random token for 10&nbsp;% and the right one for 10&nbsp;%, and had to say each time what belonged
      there. As any token may be wrong, it must understand them all.
    </p>
  );
  if (!best && !odd) {
    return (
      <>
        <p class="hint">The sentences here speak of what is on screen.</p>
        {training}
      </>
    );
  }
  const guessed = guesses.outdated ? 'stale' : '';
  const asked = guesses.input?.targets.length ?? 0;
  return (
    <>
      {best && (
        <p class={guessed}>
          {asked === 0
            ? 'The model’s first guess is'
            : asked === 1
              ? 'You asked for'
              : 'Of the words you gave, the likeliest is'}{' '}
          <Said token={best.token} />
          {asked === 1 ? ', which has' : ' with'} {probability(best.probability)}.{' '}
          {label &&
            (label.id === best.id && asked === 0
              ? `It is right, and still the loss is ${label.loss.toFixed(2)}, not 0: a loss measures confidence, not correctness.`
              : `What stood there has ${probability(label.probability)}, so the loss is ${label.loss.toFixed(2)}.`)}
        </p>
      )}
      {masks.length > 1 && guesses.input && (
        <p class={guessed}>
          <Filling masks={masks} order={guesses.input.order} />
        </p>
      )}
      {odd && (
        <p class={scores.outdated ? 'stale' : ''}>
          The least expected token is <Said token={odd.token} />
          {odd.rank === 1 ? (
            ', and even that is what the model would put there.'
          ) : (
            <>
              , rank {count(odd.rank)} of the whole vocabulary; the model would rather have read{' '}
              <Said token={odd.bestToken} />.
            </>
          )}
        </p>
      )}
      {training}
    </>
  );
}

/** Without a gap to fill: how expected each token is, which asks for one after the other. */
function scoringCode() {
  const names = modelNames();
  const sentence = text.value;
  return {
    python: `import torch
from transformers import BertForMaskedLM, BertTokenizerFast

tokenizer = BertTokenizerFast.from_pretrained(${names.python})
model = BertForMaskedLM.from_pretrained(${names.python}).eval()
ids = tokenizer(${JSON.stringify(sentence)}, return_tensors="pt").input_ids

for i in range(1, ids.shape[1] - 1):
    hidden = ids.clone()
    hidden[0, i] = tokenizer.mask_token_id
    with torch.no_grad():
        loss = -model(hidden).logits[0, i].log_softmax(-1)[ids[0, i]].item()
    print(f"{tokenizer.convert_ids_to_tokens(ids[0, i].item()):<15} {loss:.4f}")`,
    javascript: `import { load } from 'bertlens';

const bert = await load(${names.javascript});
const { tokens } = await bert.score(${javascriptString(sentence)});
console.table(tokens);
await bert.dispose();`,
    cli: `bertlens score${names.cli} ${shellTexts([sentence])}`,
  };
}

function code() {
  const names = modelNames();
  const { masked, label } = question.value;
  if (!masked.includes('[MASK]')) return scoringCode();
  const top = topK.value;
  const scored = targetWords.value.written;
  // in Python a word that is several pieces has no one probability
  const chosen =
    scored.length === 0
      ? `best = logits[0, masks].softmax(-1).topk(${top})
for probabilities, ids in zip(*best):
    for p, id in zip(probabilities.tolist(), ids):
        print(f"{tokenizer.decode(id):<15} {p:.4f}")`
      : `words = ${JSON.stringify(scored)}
for probabilities in logits[0, masks].softmax(-1):
    for word in words:
        ids = tokenizer.encode(word, add_special_tokens=False)
        shown = f"{probabilities[ids[0]]:.4f}" if len(ids) == 1 else "several pieces"
        print(f"{word:<15} {shown}")`;
  const lines = [
    `topK: ${top}`,
    ...(label === undefined ? [] : [`labelText: ${javascriptString(label)}`]),
    ...(order.value === 'independent' ? [] : [`order: '${order.value}'`]),
    ...(scored.length === 0 ? [] : [`targets: [${scored.map(javascriptString).join(', ')}]`]),
  ];
  const options = [
    `--top-k ${top}`,
    ...(label === undefined ? [] : [shellOption('--label-text', label)]),
    ...(order.value === 'independent' ? [] : [`--order ${order.value}`]),
    ...(scored.length === 0 ? [] : [shellOption('--targets', scored.join(','))]),
  ];
  return {
    python: `import torch
from transformers import BertForMaskedLM, BertTokenizerFast

tokenizer = BertTokenizerFast.from_pretrained(${names.python})
model = BertForMaskedLM.from_pretrained(${names.python}).eval()
inputs = tokenizer(${JSON.stringify(masked)}, return_tensors="pt")

with torch.no_grad():
    logits = model(**inputs).logits
masks = (inputs.input_ids == tokenizer.mask_token_id)[0]${order.value === 'independent' ? '' : '  # each as if it were alone'}
${chosen}`,
    javascript: `import { load } from 'bertlens';

const bert = await load(${names.javascript});
const { masks } = await bert.fillMask(${javascriptString(masked)}, {
${lines.map((line) => `  ${line},\n`).join('')}});
for (const { predictions } of masks) console.table(predictions);
await bert.dispose();`,
    cli: `bertlens fill-mask${names.cli} ${options.join(' ')} ${shellTexts([masked])}`,
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

interface TopRow {
  rank: number;
  token: string;
  share: string;
  loss: string;
  here: Prediction | undefined;
}

const topColumns: readonly Column<TopRow>[] = [
  { title: 'rank', kind: 'number', value: (row) => row.rank },
  { title: 'printed', kind: 'mono', value: (row) => row.token },
  { title: 'probability', kind: 'number', value: (row) => row.share },
  { title: 'loss', kind: 'number', value: (row) => row.loss },
  { title: 'here', kind: 'mono', value: (row) => row.here?.token ?? '' },
  { title: 'its probability', kind: 'number', value: (row) => row.here?.probability.toFixed(4) ?? '' },
  { title: 'its loss', kind: 'number', value: (row) => row.here?.loss.toFixed(4) ?? '' },
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
  const label = value?.labels?.find((id) => id !== -100);
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
                what: '[MASK]',
                printed: '103',
                here: String(ready.maskTokenId),
              },
              {
                what: 'Predicted',
                printed: '3000 -> paris',
                here: best[0] && `${best[0].id} -> ${best[0].token}`,
              },
              {
                what: 'Tokens',
                printed: "['[CLS]', 'the', 'capital', 'of', 'france', 'is', 'paris', '.', '[SEP]']",
                here: pythonList(ready.encode(notebookText).tokens),
              },
              {
                what: 'Labels before',
                printed: '[101, 1996, 3007, 1997, 2605, 2003, 3000, 1012, 102]',
                here: pythonList(ready.encode(notebookText).inputIds),
              },
              {
                what: 'Labels after',
                printed: '[-100, -100, -100, -100, -100, -100, 3000, -100, -100]',
                here: value?.labels ? pythonList(value.labels) : undefined,
              },
              { what: 'Loss', printed: '0.88', here: value?.loss },
            ]}
          >
            <p class="hint">
              −100 tells the loss to skip a position: only the hidden word counts
              {label !== undefined && `, whose id is ${label}`}.
            </p>
          </Printed>
          <section aria-label="Cell 10 printed">
            <h3 class="hint">Cell 10 printed, for bert-base-uncased; here: the model that is loaded</h3>
            <DataTable
              caption="The ten best words for the capital of France, as printed and here"
              columns={topColumns}
              narrow="blocks"
              class="printed-top"
              rows={printedTop.map(([token, share, loss], i) => ({
                rank: i + 1,
                token,
                share,
                loss,
                here: best[i],
              }))}
            />
          </section>
        </div>
      )}
    </WithTokenizer>
  );
}

function checkMean(expected: number) {
  return (answer: string): true | string => {
    const value = readNumber(answer);
    if (value === undefined) return 'A percentage is wanted, such as 34.5.';
    return (
      Math.abs(value - 100 * expected) < 0.06 ||
      'Not that: the mean of the three first probabilities, as a percentage.'
    );
  };
}

const exerciseAnswer = answers<string, FillMaskResult>(
  () => (tokenizer.value ? exerciseText : null),
  (model, label, abort) => {
    const ready = tokenizer.value!;
    const { masked } = hide(label, ready.words(ready.encode(label)), exerciseHidden);
    return timed(model.fillMask(masked, { topK: 5, labelText: label, signal: abort }));
  },
);

const guess = signal<number | null>(null);
/** Among the exercise's words, the one that must be a verb. */
const verb = 1;

/** What this model's certainty says, beside that of the notebook's model. */
function Surest({ masks }: { masks: readonly MaskPredictions[] }) {
  const tops = masks.map((mask) => mask.predictions[0]?.probability ?? 0);
  const listed = masks[verb]?.predictions ?? [];
  const together = listed.at(-1)?.cumulative ?? 0;
  const surest = tops.indexOf(Math.max(...tops));
  const printed = `${exercisePrinted[verb]?.[0]?.[1] ?? ''}\u00a0%`;
  const word = (i: number) => <span class="mono">{exerciseWords[i]}</span>;
  if (surest === verb) {
    return (
      <p>
        Surest is the guess for {word(verb)}, {probability(tops[verb]!)}, as in the notebook, where it has{' '}
        {printed}: a verb between its subject and “over” is tied down by grammar, while {word(0)} and{' '}
        {word(2)} are adjectives, and many would do.
      </p>
    );
  }
  return (
    <p>
      Here the guess for {word(surest)} is the surest, {probability(tops[surest] ?? 0)}, and the one for{' '}
      {word(verb)} has {probability(tops[verb] ?? 0)}. bert-base-uncased was surest of {word(verb)}: it put{' '}
      {printed} on one verb. Are the {listed.length} guesses listed here for it verbs too? Then this model
      expects one as well. Together they have {probability(together)}
      {together < 0.5 && ': it spreads its weight over many'}.
    </p>
  );
}

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
          <p class="quote">{exerciseMasked}</p>
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
            <li>
              <div>
                <p>
                  <button
                    type="button"
                    class="link"
                    onClick={() => {
                      showOwn(exerciseText, exerciseHidden);
                      order.value = 'independent';
                      leadTo('.stack textarea');
                    }}
                  >
                    Put the sentence into the instrument
                  </button>{' '}
                  with these three words hidden, and read its guesses.
                </p>
                {tops.length > 0 && (
                  <CheckedField
                    label="How confident are its three first guesses on average, in percent?"
                    inputMode="decimal"
                    check={checkMean(mean)}
                  />
                )}
              </div>
            </li>
            <li>
              <p>Why are some of the words harder to guess than others? Then compare with the answer.</p>
            </li>
          </ol>
          <Answer>
            {() =>
              value && (
                <>
                  <div class="flow">
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
                        <p class="hint">
                          bert-base-uncased, as printed:{' '}
                          {exercisePrinted[i]!.map(([token, share]) => `${token} ${share}\u00a0%`).join(', ')}
                        </p>
                      </section>
                    ))}
                  </div>
                  <p>
                    Mean confidence of the first guesses: {percent(mean)} here; 34.33&nbsp;% for those that
                    the notebook printed.
                  </p>
                  <Surest masks={value.masks} />
                  <p>
                    A word is easy to guess where its neighbours leave little choice, and where it is
                    frequent. {plural(value.masks.length, 'mask')} at once also means that no guess sees the
                    others’ words.
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
  lead: 'This is the game that BERT was trained with: read both sides of a gap and spread one unit of probability over the whole vocabulary.',
  Instrument: Instruments,
  Notice,
  code,
  Notebook,
  exercise: { title: 'Exercise 4', Exercise },
};

export default view;
