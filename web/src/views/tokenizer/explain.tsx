// How the pieces came about: the normaliser step by step, the words, and the greedy match with the candidates that failed.
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Explanation } from '../../engine/tokenizer';
import type { Cell, Table } from '../../lib/export';
import { codePoint, plural } from '../../lib/format';
import { Instrument } from '../../ui/instrument';
import { WithTokenizer } from '../../ui/with-tokenizer';
import { TokenText } from '../../ui/token';
import { wordMark } from '../../state/lit';
import { picked, shownExplanation, switchable, toggleStep, whatIf, without } from './state';

type Step = Explanation['steps'][number];
type ExplainedWord = Explanation['words'][number];

const stepNames: Record<Step['name'], readonly [name: string, what: string]> = {
  clean_text: ['Clean', 'control characters out, plain blanks'],
  tokenize_chinese_chars: ['Chinese characters', 'set apart by ␣'],
  strip_accents: ['Accents', 'taken off the letters'],
  lowercase: ['Lower case', 'capitals to small letters'],
};

/** A character that cannot be seen is named by its number, blanks around others are drawn. */
function visible(text: string): string {
  if (text === '') return 'nothing';
  return /^[\s\p{C}\p{M}]+$/u.test(text)
    ? Array.from(text, codePoint).join(' ')
    : text.replace(/^ +| +$/g, (blanks) => '␣'.repeat(blanks.length));
}

function NormaliserStep({ step }: { step: Step }) {
  const [name, what] = stepNames[step.name];
  const shown = step.changes.slice(0, 12);
  return (
    <li class={step.changes.length > 0 ? 'norm' : 'norm idle'}>
      <div class="norm-name">
        <span>
          {switchable.value ? (
            <label class="norm-switch">
              <input
                type="checkbox"
                checked={!without.value.includes(step.name)}
                onChange={() => {
                  toggleStep(step.name);
                }}
              />{' '}
              <strong>{name}</strong>
            </label>
          ) : (
            <strong>{name}</strong>
          )}{' '}
          <span class="hint">{what}</span>
        </span>
        {(!step.enabled || step.changes.length === 0) && (
          <span class="hint">{step.enabled ? 'no change' : 'switched off'}</span>
        )}
      </div>
      {step.changes.length > 0 && (
        <div class="changes">
          {shown.map((change, i) => (
            <span class="change" key={i}>
              <s>
                <bdi>{visible(change.before)}</bdi>
              </s>{' '}
              →{' '}
              <b>
                <bdi>{visible(change.after)}</bdi>
              </b>
            </span>
          ))}
          {step.changes.length > shown.length && (
            <span class="hint">and {step.changes.length - shown.length} more</span>
          )}
        </div>
      )}
    </li>
  );
}

// How many tries of the match are on show; Infinity means all of them.
const shownTries = signal(Infinity);

/** Where less motion is asked for, the tries do not play: each press shows one more. */
function stepsByHand(): boolean {
  return window.matchMedia('(prefers-reduced-motion: reduce)').matches;
}

function Ladder({ word }: { word: ExplainedWord }) {
  const total = word.candidates.length;
  const shown = Math.min(shownTries.value, total);
  const playing = shown < total;

  // Another word is shown whole.
  useEffect(() => {
    shownTries.value = Infinity;
  }, [word.text]);

  useEffect(() => {
    if (!playing || stepsByHand()) return;
    const timer = window.setTimeout(() => {
      shownTries.value = shown + 1;
    }, 160);
    return () => {
      window.clearTimeout(timer);
    };
  }, [playing, shown]);

  if (word.kind === 'added_token') {
    return <p>This is a special token. It was found whole, before anything else, and is never cut.</p>;
  }
  if (word.kind === 'too_long') {
    return <p>A word of more than 100 characters is not tried at all: it becomes [UNK].</p>;
  }

  let start = 0;
  const rows = word.candidates.map((candidate) => {
    const letters = Array.from(candidate.text.replace(/^##(?=.)/su, '')).length;
    const row = { candidate, at: start, letters };
    if (candidate.id !== null) start += letters;
    return row;
  });
  const failed = rows.filter((row) => row.candidate.id === null).length;
  const unknown = word.candidates.length > 0 && word.candidates.at(-1)?.id === null;

  return (
    <>
      <div class="ladder" dir="auto" role="region" aria-label={`Tries for ${word.text}`} tabIndex={0}>
        <div class="ladder-word" aria-hidden="true">
          {word.text}
        </div>
        <ol style={{ minHeight: `${1.65 * total}em` }}>
          {rows.slice(0, shown).map(({ candidate, at, letters }, i) => (
            <li key={i} class={candidate.id === null ? 'try' : 'try hit'}>
              <span
                class="try-text"
                style={{ '--at': String(at), '--letters': String(letters) }}
                title={candidate.text}
              >
                <TokenText token={candidate.text} />
              </span>
              <span class="try-verdict">{candidate.id === null ? 'no' : <b>id {candidate.id}</b>}</span>
            </li>
          ))}
        </ol>
      </div>
      <div class="row">
        <button
          type="button"
          class="button"
          onClick={() => {
            shownTries.value = playing && stepsByHand() ? shown + 1 : 1;
          }}
        >
          {playing && stepsByHand() ? 'Next try' : 'Step through'}
        </button>
        <p class="hint">
          {plural(total, 'try', 'tries')}, {failed} failed.{' '}
          {unknown
            ? 'No piece fits here, not even one letter, so the whole word becomes [UNK].'
            : 'The longest piece that the vocabulary has wins; then the rest of the word, marked ##, is tried.'}
        </p>
      </div>
    </>
  );
}

function triesTable(words: readonly ExplainedWord[]): Table {
  return {
    columns: ['word', 'try', 'candidate', 'id'],
    rows: words.flatMap((word) =>
      word.candidates.map((candidate, i) => [word.text, i + 1, candidate.text, candidate.id]),
    ),
  };
}

function stepsTable(steps: readonly Step[]): Table {
  return {
    columns: ['step', 'on', 'before', 'after'],
    rows: steps.flatMap((step): Cell[][] =>
      step.changes.length === 0
        ? [[step.name, step.enabled, null, null]]
        : step.changes.map((change) => [step.name, step.enabled, change.before, change.after]),
    ),
  };
}

export function ExplainInstrument() {
  whatIf.use();
  const found = shownExplanation.value;
  if (!found) {
    return (
      <Instrument title="How it was cut">
        <WithTokenizer room="28rem">{() => null}</WithTokenizer>
      </Instrument>
    );
  }
  if ('trouble' in found) {
    return (
      <Instrument title="How it was cut">
        <p class="trouble">{found.trouble}</p>
      </Instrument>
    );
  }
  const at = Math.min(picked.value, found.words.length - 1);
  const word = found.words[at];
  return (
    <Instrument
      title="How it was cut"
      exports={[
        { kind: 'table', name: 'tries', what: 'tries', table: () => triesTable(found.words) },
        { kind: 'table', name: 'normalisation', what: 'steps', table: () => stepsTable(found.steps) },
      ]}
    >
      <ol class="stages">
        <li>
          <h3>Normalise</h3>
          <ol class="norms">
            {found.steps.map((step) => (
              <NormaliserStep step={step} key={step.name} />
            ))}
          </ol>
          {switchable.value && without.value.length > 0 && (
            <p class="hint">
              What if: here alone. The model was trained with every step, so the rest of the page keeps them.{' '}
              <button
                type="button"
                class="link"
                onClick={() => {
                  without.value = [];
                }}
              >
                All steps
              </button>
            </p>
          )}
        </li>
        <li>
          <h3>Split at blanks and punctuation</h3>
          {found.words.length === 0 ? (
            <p class="hint">There is nothing to split.</p>
          ) : (
            <div class="split-words">
              {found.words.slice(0, 200).map((entry, i) => (
                <button
                  type="button"
                  key={i}
                  class={`split-word tint-${i % 4}`}
                  data-lit={wordMark('first', i)}
                  aria-pressed={i === at}
                  onClick={() => {
                    picked.value = i;
                  }}
                >
                  <bdi>{entry.text}</bdi>
                </button>
              ))}
              {found.words.length > 200 && <span class="hint">and {found.words.length - 200} more</span>}
            </div>
          )}
        </li>
        {word && (
          <li>
            <h3>
              Match <bdi class="mono">{word.text}</bdi> greedily, longest piece first
            </h3>
            <Ladder word={word} />
          </li>
        )}
      </ol>
    </Instrument>
  );
}
