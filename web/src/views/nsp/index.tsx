// Section 7: next sentence prediction. Cell 11 and Exercise 5 of the notebook.
import type { EvaluatedPair, EvaluationResult, NextSentenceResult } from 'bertlens';
import { answers } from '../../engine/answers';
import { choiceName, loaded } from '../../engine/model';
import { decimal, percent, plural, probability } from '../../lib/format';
import { javascriptString, shellTexts } from '../../lib/python';
import { Answer, CheckedField, readNumber } from '../../ui/exercise';
import { leadTo } from '../../ui/lead';
import { Printed } from '../../ui/printed';
import { Trouble, WithModel } from '../../ui/with-model';
import '../../styles/mlm.css';
import '../../styles/nsp.css';
import { modelNames } from '../naming';
import type { View } from '../view';
import { ConfidenceInstrument, PairInstrument, PairsInstrument } from './instruments';
import { notebookFirst, notebookPairs, notebookSeconds } from './notebook';
import { evaluation, first, ofNotebook, pairs, second, showNotebookPairs, threshold, verdict } from './state';

function Instruments() {
  return (
    <>
      <PairInstrument />
      <PairsInstrument />
      <ConfidenceInstrument />
    </>
  );
}

/** The probability of what a pair is judged to be. */
function ofVerdict({ predicted, result }: EvaluatedPair): number {
  return predicted ? result.isNext : result.notNext;
}

/** The position of the largest; -1 where all are undefined. */
function largest(values: readonly (number | undefined)[]): number {
  const most = Math.max(...values.map((value) => value ?? -1));
  return most < 0 ? -1 : values.indexOf(most);
}

// From here on a model calls itself sure.
const sure = 0.9;

/** How many pairs are judged right, and the surest verdict among the wrong ones. */
function Judged({ pairs }: { pairs: readonly EvaluatedPair[] }) {
  const right = pairs.filter((pair) => pair.correct).length;
  const at = largest(pairs.map((pair) => (pair.correct ? undefined : ofVerdict(pair))));
  const wrong = pairs[at];
  return (
    <>
      Of {plural(pairs.length, 'labelled pair')} {right} {right === 1 ? 'is' : 'are'} judged right
      {wrong ? (
        <>
          . Pair {at + 1} is judged “{wrong.predicted ? 'next' : 'not next'}” with{' '}
          {probability(ofVerdict(wrong))}, and wrong
          {ofVerdict(wrong) >= sure ? ': confidence is not correctness.' : '; no wrong verdict is surer.'}
        </>
      ) : (
        ', and none wrong.'
      )}
    </>
  );
}

/** Words that can have a subject in common: of four letters and more. */
function longWords(text: string): readonly string[] {
  return text.toLowerCase().match(/\p{L}{4,}/gu) ?? [];
}

/** Whether one of them has a word that the other has too, in the plural or another form with the same beginning. */
function shareWord(first: string, second: string): boolean {
  return longWords(first).some((a) => longWords(second).some((b) => a.startsWith(b) || b.startsWith(a)));
}

/** What a high probability means: for bert-base; of another model, what it cannot mean. The threshold has no part in it. */
function Meaning({ pairs }: { pairs: readonly EvaluatedPair[] }) {
  const choice = loaded.value?.choice;
  if (choice && /bert-base/i.test(choiceName(choice))) {
    return (
      <>
        A shared topic is often enough to pass it, so read a high probability as “same subject”, not as “makes
        sense”.
      </>
    );
  }
  const mistaken = (sharing: boolean): number =>
    largest(
      pairs.map(({ text, pair, isNext, result }) =>
        !isNext && result.isNext >= sure && shareWord(text, pair) === sharing ? result.isNext : undefined,
      ),
    );
  const apart = mistaken(false);
  const together = mistaken(true);
  return (
    <>
      To bert-base-uncased a shared topic is often enough.{' '}
      {apart >= 0 ? (
        <>
          Of this model a high probability does not even say that: the sentences of pair {apart + 1} share no
          content word, are labelled “not next”, and get {probability(pairs[apart]!.result.isNext)}.
        </>
      ) : (
        together >= 0 && (
          <>
            To this one a shared word can be: the sentences of pair {together + 1} have one in common, are
            labelled “not next”, and get {probability(pairs[together]!.result.isNext)}.
          </>
        )
      )}
    </>
  );
}

function Notice() {
  const one = verdict.answer.value;
  const table = evaluation.answer.value;
  const value = one.trouble === null ? one.value : null;
  const judged = table.trouble === null ? table.value : null;
  if (!value && !judged) return <p class="hint">The sentences here speak of what is on screen.</p>;
  return (
    <>
      {value && (
        <p class={one.outdated ? 'stale' : ''}>
          The model gives {probability(value.isNext)} to “is next”. The two logits,{' '}
          {decimal(value.logits[0], 2)} and {decimal(value.logits[1], 2)}, come from the pooled [CLS] alone:
          whatever the pair has to say has gone through that one vector. Index 0 means “is next”.
        </p>
      )}
      {judged && (
        <p class={table.outdated ? 'stale' : ''}>
          <Judged pairs={judged.pairs} />
        </p>
      )}
      <p class={table.outdated ? 'stale' : ''}>
        The task was: is this the sentence that really followed, or one from some other document? Half of the
        pairs that BERT learned from were true ones, in half the second was taken at random.{' '}
        <Meaning pairs={judged?.pairs ?? []} />
      </p>
    </>
  );
}

function code() {
  const names = modelNames();
  return {
    python: `import torch
from transformers import (
    BertForNextSentencePrediction,
    BertTokenizerFast,
)

tokenizer = BertTokenizerFast.from_pretrained(${names.python})
model = BertForNextSentencePrediction.from_pretrained(
    ${names.python}
).eval()
inputs = tokenizer(
    ${JSON.stringify(first.value)},
    ${JSON.stringify(second.value)},
    return_tensors="pt",
)
with torch.no_grad():
    is_next, not_next = model(**inputs).logits.softmax(-1)[0].tolist()
print(is_next, not_next)`,
    javascript: `import { load } from 'bertlens';

const bert = await load(${names.javascript});
const { isNext, notNext } = await bert.nextSentence(
  ${javascriptString(first.value)},
  ${javascriptString(second.value)},
);
console.log(isNext, notNext);
await bert.dispose();`,
    cli: `bertlens nsp${names.cli} ${shellTexts([first.value, second.value])}`,
  };
}

const notebookVerdicts = answers<string, NextSentenceResult[]>(
  () => notebookFirst,
  (model, text, abort) =>
    Promise.all(notebookSeconds.map((pair) => model.nextSentence(text, pair, { signal: abort }))),
);

function Notebook() {
  notebookVerdicts.use();
  const { value, trouble } = notebookVerdicts.answer.value;
  return (
    <div class="printed">
      <Trouble text={trouble} />
      <Printed
        cell="Cell 11 printed, for bert-base-uncased; here: the model that is loaded"
        otherModel
        lines={[
          { what: 'A walk: is next', printed: '0.9999', here: value?.[0]?.isNext.toFixed(4) },
          { what: 'A walk: is not', printed: '0.0001', here: value?.[0]?.notNext.toFixed(4) },
          { what: 'Learning: is next', printed: '0.0000', here: value?.[1]?.isNext.toFixed(4) },
          { what: 'Learning: is not', printed: '1.0000', here: value?.[1]?.notNext.toFixed(4) },
        ]}
      />
    </div>
  );
}

const exerciseResult = answers<readonly (typeof notebookPairs)[number][], EvaluationResult>(
  () => notebookPairs,
  (model, list, abort) => model.evaluateNextSentence(list, { signal: abort }),
);

function checkShare(expected: number) {
  return (answer: string): true | string => {
    const value = readNumber(answer);
    if (value === undefined) return 'A percentage is wanted, such as 90.';
    return (
      Math.abs(value - 100 * expected) < 0.05 ||
      'Not that. Count the four cells of the matrix for the notebook’s ten pairs.'
    );
  };
}

/** What the exercise asks about, and whether that is what the table holds. */
function Pairs() {
  const theirs = ofNotebook.value;
  const even = threshold.value === 50;
  return (
    <p>
      {theirs
        ? 'The table above holds the notebook’s ten pairs: five that continue and five that do not.'
        : `The questions are about the notebook’s ten pairs, five that continue and five that do not. The table above holds ${plural(pairs.value.length, 'pair')} of your own.`}{' '}
      {theirs && !even && (
        <>The slider above stands at {(threshold.value / 100).toFixed(2)}; the questions take 0.50. </>
      )}
      {!(theirs && even) && (
        <>
          <button
            type="button"
            class="link"
            onClick={() => {
              showNotebookPairs();
              leadTo('.pairs textarea');
            }}
          >
            {theirs ? 'Set it to 0.50' : 'Put the ten pairs into the table'}
          </button>
          .{' '}
        </>
      )}
      Read the model’s verdicts, work out the metrics by hand, and compare them with those above.
    </p>
  );
}

function Exercise() {
  exerciseResult.use();
  const { value, trouble } = exerciseResult.answer.value;
  return (
    <WithModel>
      {() => (
        <div class="exercise">
          <Pairs />
          <Trouble text={trouble} />
          {value && (
            <>
              <ol class="tasks">
                <li>
                  <CheckedField
                    label="Accuracy, percent"
                    inputMode="decimal"
                    check={checkShare(value.accuracy)}
                  />
                </li>
                <li>
                  <CheckedField
                    label="Precision of “is next”, percent"
                    inputMode="decimal"
                    check={checkShare(value.precision)}
                  />
                </li>
                <li>
                  <CheckedField
                    label="Recall of “is next”, percent"
                    inputMode="decimal"
                    check={checkShare(value.recall)}
                  />
                </li>
                <li>
                  <CheckedField
                    label="Which pair has the highest confidence? Its number"
                    inputMode="numeric"
                    check={(answer) =>
                      readNumber(answer) === value.highestConfidence + 1 ||
                      'Not that one. Equal probabilities are told apart by their logits.'
                    }
                  />
                </li>
              </ol>
              <Answer>
                {() => (
                  <>
                    <p>
                      Accuracy {percent(value.accuracy)}, precision {percent(value.precision)}, recall{' '}
                      {percent(value.recall)}, F1 {percent(value.f1)}. Pair {value.highestConfidence + 1} is
                      the surest, with {probability(value.pairs[value.highestConfidence]?.confidence ?? 0)}.
                      Precision asks: of those judged next, how many were? Recall asks: of those that were
                      next, how many were found?
                    </p>
                    <div class="printed">
                      <Printed
                        cell="The notebook printed, for bert-base-uncased: P(is next) of its first pairs"
                        otherModel
                        lines={notebookPairs.slice(0, 3).map((_, i) => ({
                          what: `Pair ${i + 1}`,
                          printed: '1.000',
                          here: value.pairs[i]?.result.isNext.toFixed(3),
                        }))}
                      />
                    </div>
                  </>
                )}
              </Answer>
            </>
          )}
        </div>
      )}
    </WithModel>
  );
}

const view: View = {
  lead: 'BERT’s second training task. The answer is read from a single vector, the one over [CLS].',
  Instrument: Instruments,
  Notice,
  code,
  Notebook,
  exercise: { title: 'Exercise 5', Exercise },
};

export default view;
