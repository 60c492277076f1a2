// Section 1: a sentence becomes wordpieces. Cells 3 to 5 and Exercise 1 of the notebook.
import '../../styles/tokenizer.css';
import { count, list, plural } from '../../lib/format';
import { javascriptString, shellOption, shellTexts } from '../../lib/python';
import { sentence } from '../../state/sentence';
import { tokenizer } from '../../engine/tokenizer';
import { useWhenSeen } from '../../ui/use-when-seen';
import type { View } from '../view';
import { SentenceInstrument, TokenTable } from './chips';
import { ExplainInstrument } from './explain';
import { TokenizerExercise } from './exercise';
import { TokenizerNotebook } from './notebook';
import { encoding, second, splitWords, tries, unknownWords } from './state';
import { VocabularyInstrument } from './vocabulary';

function Instruments() {
  return (
    <>
      <SentenceInstrument />
      <ExplainInstrument />
      <div class="split">
        <TokenTable />
        <VocabularyInstrument />
      </div>
    </>
  );
}

function Notice() {
  const { ref, value } = useWhenSeen(noticed);
  return (
    <div class="prose" ref={ref}>
      {value ?? <p class="hint">The sentences here speak of what is on screen.</p>}
    </div>
  );
}

function noticed() {
  const ready = tokenizer.value;
  const row = encoding.value;
  if (!ready || !row) return null;
  const split = splitWords.value;
  const longest = split.reduce(
    (most, word) => (word.pieces.length > most.pieces.length ? word : most),
    split[0]!,
  );
  const { unfit, tooLong } = unknownWords.value;
  const framed = row.tokens.filter((_, i) => row.wordIds[i] === null);
  return (
    <>
      <p>
        Of {plural(row.length, 'token')}, {framed.length} are not yours: {list(framed)} frame the text, and
        BERT reads its answer about the whole from the first.
      </p>
      {split.length > 0 ? (
        <p>
          The vocabulary of {count(ready.vocabulary.size)} entries has no{' '}
          <span class="mono">{longest.text}</span> as a whole. It became {longest.pieces.length} pieces,{' '}
          <span class="mono">{longest.pieces.join(' ')}</span>; a piece that begins with ## continues the one
          before it.
        </p>
      ) : (
        row.length > framed.length && (
          <p>
            {unfit + tooLong > 0
              ? 'No word was split.'
              : 'Every word of this sentence has an entry of its own, so nothing was split.'}
          </p>
        )
      )}
      {unfit > 0 && (
        <p>
          {plural(unfit, 'word')} became [UNK]: a piece of {unfit === 1 ? 'it' : 'each'} has no entry, and
          BERT then gives up the whole word.
        </p>
      )}
      {tooLong > 0 && (
        <p>
          {plural(tooLong, 'word')} became [UNK] untried:{' '}
          {tooLong === 1 ? 'it is longer than 100 characters.' : 'each is longer than 100 characters.'}
        </p>
      )}
      {tries.value > 0 && (
        <p>
          The greedy match asked the vocabulary {plural(tries.value, 'time')}. It never looks back: a shorter
          first piece that would leave a better rest is not considered.
        </p>
      )}
    </>
  );
}

function code() {
  const text = sentence.value;
  const pair = second.value;
  const pythonArguments =
    pair === undefined ? JSON.stringify(text) : `${JSON.stringify(text)},\n    ${JSON.stringify(pair)}`;
  const input =
    pair === undefined
      ? javascriptString(text)
      : `{ text: ${javascriptString(text)}, textPair: ${javascriptString(pair)} }`;
  return {
    python: `from transformers import BertTokenizerFast

tokenizer = BertTokenizerFast.from_pretrained("bert-base-uncased")
encoding = tokenizer(
    ${pythonArguments}
)

for token, id in zip(encoding.tokens(), encoding["input_ids"]):
    print(token, id)`,
    javascript: `import { loadTokenizer } from 'bertlens/tokenizer';

const tokenizer = await loadTokenizer('./models/default/');
const encoding = tokenizer.encode(${input});

encoding.tokens.forEach((token, i) => {
  console.log(token, encoding.inputIds[i]);
});`,
    cli: `bertlens tokenize${pair === undefined ? '' : ` ${shellOption('--pair', pair)}`} ${shellTexts([text])}`,
  };
}

const view: View = {
  lead: 'Text is cleaned, split, and cut into the longest pieces that a fixed vocabulary knows. Type below and watch every step.',
  Instrument: Instruments,
  Notice,
  code,
  Notebook: TokenizerNotebook,
  exercise: { title: 'Exercise 1', Exercise: TokenizerExercise },
};

export default view;
