// The parts of an exercise: fields that the page checks, and an answer that stays closed until asked for.
import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';

interface CheckedFieldProps {
  label: string;
  /** Whether an answer is right, and what to say if it is not. */
  check: (answer: string) => true | string;
  inputMode?: 'numeric' | 'decimal' | 'text';
  wide?: boolean;
}

export function CheckedField({ label, check, inputMode = 'text', wide }: CheckedFieldProps) {
  const [answer, setAnswer] = useState('');
  const [verdict, setVerdict] = useState<true | string | null>(null);
  const id = useId();
  return (
    <form
      class="field"
      onSubmit={(event) => {
        event.preventDefault();
        if (answer.trim()) setVerdict(check(answer.trim()));
      }}
    >
      <label for={id}>{label}</label>
      <div class="row">
        <input
          id={id}
          class={wide ? 'input' : 'input short'}
          inputMode={inputMode}
          autocomplete="off"
          spellcheck={false}
          value={answer}
          onInput={(event) => {
            setAnswer(event.currentTarget.value);
            setVerdict(null);
          }}
        />
        <button type="submit" class="button">
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
    </form>
  );
}

/** Reads a number written either way: 48.75, 48,75, 48.75 %. */
export function readNumber(text: string): number | undefined {
  const match = /^(-?\d+)(?:[.,](\d+))?\s*%?$/.exec(text.trim());
  return match ? Number(`${match[1] ?? '0'}.${match[2] ?? '0'}`) : undefined;
}

export function Answer({ children }: { children: () => ComponentChildren }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <div>
        <button
          type="button"
          class="button"
          aria-expanded={open}
          onClick={() => {
            setOpen(!open);
          }}
        >
          {open ? 'Hide the answer' : 'Show the answer'}
        </button>
      </div>
      {open && <div class="answer">{children()}</div>}
    </>
  );
}
