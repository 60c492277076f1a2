// Exercise 1: tokenize a sentence, count, and find the words that were split; with a rare word at the end.
import { useState } from 'preact/hooks';
import type { Encoding, Tokenizer, Word } from '../../engine/tokenizer';
import { count, list } from '../../lib/format';
import { Answer, CheckedField, readNumber } from '../../ui/exercise';
import { DataTable, type Column } from '../../ui/data-table';
import { TokenText, groupTokens, TokenWord, tintClass } from '../../ui/token';
import { WithTokenizer } from '../../ui/with-tokenizer';

const text = 'The pre-trained BERT model uses WordPiece tokenization with 30,522 tokens.';
const rare = 'Antidisestablishmentarianism is a very long word.';

interface Row {
  token: string;
  id: number;
  word: number | null;
}

const columns: readonly Column<Row>[] = [
  { title: 'token', kind: 'mono', value: (row) => row.token, show: (row) => <TokenText token={row.token} /> },
  { title: 'token_id', kind: 'number', value: (row) => row.id },
  {
    title: 'is_subword',
    kind: 'mono',
    value: (row) => (row.token.startsWith('##') ? 'True' : 'False'),
  },
];

function rowsOf(row: Encoding): Row[] {
  return row.tokens.map((token, i) => ({ token, id: row.inputIds[i]!, word: row.wordIds[i] ?? null }));
}

function PickSplit({ words }: { words: readonly Word[] }) {
  const [chosen, setChosen] = useState<ReadonlySet<number>>(new Set());
  const [verdict, setVerdict] = useState<string | true | null>(null);
  const check = () => {
    const missed = words.filter((word) => word.pieces.length > 1 && !chosen.has(word.wordId)).length;
    const wrong = words.filter((word) => word.pieces.length === 1 && chosen.has(word.wordId));
    if (missed === 0 && wrong.length === 0) setVerdict(true);
    else if (wrong.length > 0)
      setVerdict(`${list(wrong.map((word) => word.text))}: in the vocabulary as a whole.`);
    else setVerdict(missed === 1 ? 'One is still missing.' : `${missed} are still missing.`);
  };
  return (
    <>
      <div class="split-words">
        {words.map((word) => (
          <button
            type="button"
            key={word.wordId}
            class="split-word plain"
            aria-pressed={chosen.has(word.wordId)}
            onClick={() => {
              const next = new Set(chosen);
              if (!next.delete(word.wordId)) next.add(word.wordId);
              setChosen(next);
              setVerdict(null);
            }}
          >
            {word.text}
          </button>
        ))}
      </div>
      <div class="row">
        <button type="button" class="button" onClick={check}>
          Check
        </button>
        <span class="verdict-line" role="status">
          {verdict === true ? (
            <span class="agree">Right.</span>
          ) : (
            verdict && <span class="differ">{verdict}</span>
          )}
        </span>
      </div>
    </>
  );
}

function Solution({ ready }: { ready: Tokenizer }) {
  const row = ready.encode(text);
  const rows = rowsOf(row);
  const longRow = ready.encode(rare);
  const longWord = ready.splitWords(longRow)[0];
  return (
    <>
      <p>{row.length} tokens with [CLS] and [SEP]. Split were:</p>
      <ul class="plain-list">
        {ready.splitWords(row).map((word) => (
          <li key={word.wordId}>
            <span class="mono">{word.text}</span> into <span class="mono">{word.pieces.join(' + ')}</span>
          </li>
        ))}
      </ul>
      <DataTable
        caption="Exercise 1: token, id, and whether it continues a word"
        columns={columns}
        rows={rows}
        rowClass={(entry) => tintClass(entry.word)}
      />
      <h3>The rare word</h3>
      <div class="tokens">
        {groupTokens(longRow).map((group) => (
          <TokenWord key={group.first} group={group} scope="rare" />
        ))}
      </div>
      {longWord && (
        <p>
          <span class="mono">{longWord.text}</span> is {longWord.pieces.length} pieces. The notebook’s own
          grouping looks only one piece back, so it tells such a word in fragments; grouping by word id, as
          here, keeps it whole.
        </p>
      )}
    </>
  );
}

export function TokenizerExercise() {
  return (
    <WithTokenizer>
      {(ready) => {
        const row = ready.encode(text);
        return (
          <div class="exercise">
            <p class="quote">{text}</p>
            <ol class="tasks">
              <li>
                <div>
                  <CheckedField
                    label="How many tokens is this, special tokens included?"
                    inputMode="numeric"
                    check={(answer) => {
                      const value = readNumber(answer);
                      if (value === undefined) return 'A whole number is wanted.';
                      if (value === row.length) return true;
                      return value === row.length - 2
                        ? 'Almost: [CLS] and [SEP] count too.'
                        : `Not ${count(value)}. Remember the marks, and that 30,522 is three words.`;
                    }}
                  />
                </div>
              </li>
              <li>
                <div>
                  <p>Which of these words were split into pieces? Mark them.</p>
                  <PickSplit words={ready.words(row)} />
                </div>
              </li>
              <li>
                <div>
                  <CheckedField
                    label="Into how many pieces does antidisestablishmentarianism fall?"
                    inputMode="numeric"
                    check={(answer) => {
                      const pieces = ready.splitWords(ready.encode(rare))[0]?.pieces.length;
                      const value = readNumber(answer);
                      if (value === undefined) return 'A whole number is wanted.';
                      return value === pieces || `Not ${count(value)}. Type the word above and count.`;
                    }}
                  />
                </div>
              </li>
            </ol>
            <Answer>{() => <Solution ready={ready} />}</Answer>
          </div>
        );
      }}
    </WithTokenizer>
  );
}
