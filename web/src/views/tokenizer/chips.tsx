// The sentence as typed and as tokens: words tinted in turn, the pieces of one word in one block.
import { DataTable, tableOf, type Column } from '../../ui/data-table';
import { Editor, type Span } from '../../ui/editor';
import { Instrument } from '../../ui/instrument';
import { Suggestions } from '../../ui/suggestions';
import { groupTokens, TokenText, TokenWord, tintClass } from '../../ui/token';
import { useWhenSeen } from '../../ui/use-when-seen';
import { WithTokenizer } from '../../ui/with-tokenizer';
import type { Encoding, Tokenizer } from '../../engine/tokenizer';
import type { Table } from '../../lib/export';
import { plural } from '../../lib/format';
import { wordMark } from '../../state/lit';
import { notebookSentence, sentence } from '../../state/sentence';
import { encoding, picked, second, splitWords, words } from './state';

const examples: readonly (readonly [label: string, text: string])[] = [
  ['The notebook’s', notebookSentence],
  ['A rare word', 'Antidisestablishmentarianism is a very long word.'],
  ['Accents and scripts', 'Café naïveté, Ελλάδος, 東京 and 🙂.'],
  ['A mask', 'The capital of France is [MASK].'],
];

export function scopeOf(sequence: number | null): string {
  return sequence === 1 ? 'second' : 'first';
}

/** The stretches that its words take of the first sentence, 0, or the second, 1. */
export function spansOf(sequence: number): Span[] {
  return words.value
    .filter((word) => word.sequenceId === sequence)
    .map((word) => ({ start: word.offsets[0], end: word.offsets[1], word: word.wordId }));
}

interface TokenRow {
  position: number;
  token: string;
  id: number;
  type: number;
  mask: number;
  start: number;
  end: number;
  word: number | null;
  sequence: number | null;
  special: boolean;
}

function rowsOf(row: Encoding): TokenRow[] {
  return Array.from({ length: row.length }, (_, i) => ({
    position: i,
    token: row.tokens[i]!,
    id: row.inputIds[i]!,
    type: row.tokenTypeIds[i]!,
    mask: row.attentionMask[i]!,
    start: row.offsets[i]![0],
    end: row.offsets[i]![1],
    word: row.wordIds[i] ?? null,
    sequence: row.sequenceIds[i] ?? null,
    special: row.specialTokensMask[i] === 1,
  }));
}

const columns: readonly Column<TokenRow>[] = [
  { title: '#', kind: 'number', value: (row) => row.position },
  {
    title: 'token',
    kind: 'mono',
    value: (row) => row.token,
    show: (row) => (
      <>
        <span class={row.special ? 'swatch blank' : 'swatch'} />
        <TokenText token={row.token} />
      </>
    ),
  },
  { title: 'id', kind: 'number', value: (row) => row.id },
  { title: 'type', kind: 'number', value: (row) => row.type },
  { title: 'mask', kind: 'number', value: (row) => row.mask },
  {
    title: 'offsets',
    kind: 'mono',
    value: (row) => (row.special ? null : `${row.start}–${row.end}`),
    show: (row) => (row.special ? '–' : `${row.start}–${row.end}`),
  },
  { title: 'word', kind: 'number', value: (row) => row.word },
];

function tokenTable(): Table {
  return tableOf(columns, encoding.peek() ? rowsOf(encoding.peek()!) : []);
}

export function TokenTable() {
  const { ref, value: row } = useWhenSeen(() => encoding.value);
  const rows = row ? rowsOf(row) : [];
  return (
    <Instrument
      title="Every token, in numbers"
      exports={[{ kind: 'table', name: 'tokens', table: tokenTable }]}
    >
      <div class="flow" ref={ref}>
        <DataTable
          caption="The tokens of the sentence with id, type, attention mask, offsets and word"
          columns={columns}
          rows={rows}
          window={18}
          rowMark={(entry) => wordMark(scopeOf(entry.sequence), entry.word)}
          rowClass={(entry) => tintClass(entry.word)}
        />
        <p class="hint">
          <b>type</b>: 0 in the first text, 1 in the second. <b>mask</b>: 1 for a real token, 0 for padding.{' '}
          <b>offsets</b>: from which character of the text to which. <b>word</b>: the pieces of a word share
          its number.
        </p>
      </div>
    </Instrument>
  );
}

function Chips({ row }: { row: Encoding }) {
  return (
    <div class="tokens" data-testid="tokens">
      {groupTokens(row).map((group) => {
        const word = group.sequence === 0 ? group.word : null;
        return word === null ? (
          <TokenWord key={group.first} group={group} scope={scopeOf(group.sequence)} />
        ) : (
          <TokenWord
            key={group.first}
            group={group}
            scope="first"
            pressed={picked.value === word}
            onPick={() => {
              picked.value = word;
            }}
          />
        );
      })}
    </div>
  );
}

function Summary({ ready, row }: { ready: Tokenizer; row: Encoding }) {
  const split = splitWords.value.length;
  return (
    <p class="hint" role="status">
      {plural(row.length, 'token')} from {plural(words.value.length, 'word or mark', 'words and marks')},{' '}
      {split || 'none'} of them split
      {row.tooLong && (
        <strong> — more than the {ready.settings.modelMaxLength} positions that BERT has</strong>
      )}
    </p>
  );
}

/** The page's sentence alone, or as a pair with a second one. */
export function SecondSentence() {
  return (
    <button
      type="button"
      class="quiet"
      onClick={() => {
        second.value = second.value === undefined ? '' : undefined;
      }}
    >
      {second.value === undefined ? 'Add a second sentence' : 'Remove the second'}
    </button>
  );
}

/** The second sentence, where there is one. */
export function SecondEditor() {
  if (second.value === undefined) return null;
  return (
    <Editor
      label="Second sentence"
      value={second.value}
      scope="second"
      spans={spansOf(1)}
      placeholder="The second sentence"
      onChange={(text) => {
        second.value = text;
      }}
    />
  );
}

export function SentenceInstrument() {
  return (
    <Instrument
      title="Your sentence"
      tools={<SecondSentence />}
      exports={[{ kind: 'table', name: 'tokens', table: tokenTable }]}
    >
      <WithTokenizer speaks room="19rem">
        {(ready) => (
          <div class="flow">
            <Editor
              label="Sentence"
              value={sentence.value}
              scope="first"
              spans={spansOf(0)}
              placeholder="Type anything"
              onChange={(text) => {
                sentence.value = text;
              }}
            />
            <SecondEditor />
            <Suggestions
              title="Try"
              items={examples}
              onChoose={(text) => {
                sentence.value = text;
                picked.value = 0;
              }}
            />
            {encoding.value && (
              <>
                <Chips row={encoding.value} />
                <Summary ready={ready} row={encoding.value} />
              </>
            )}
          </div>
        )}
      </WithTokenizer>
    </Instrument>
  );
}
