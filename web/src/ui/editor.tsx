// A text field whose words are tinted as the tokenizer cuts them: a backdrop of the same type lies beneath it.
import { useEffect, useRef } from 'preact/hooks';
import { lit, wordMark } from '../state/lit';

/** A word's stretch of the text, in UTF-16 units. */
export interface Span {
  start: number;
  end: number;
  word: number;
}

interface EditorProps {
  label: string;
  value: string;
  /** In order, not overlapping. */
  spans: readonly Span[];
  scope: string;
  placeholder?: string;
  onChange: (text: string) => void;
}

export function Editor({ label, value, spans, scope, placeholder, onChange }: EditorProps) {
  const field = useRef<HTMLTextAreaElement>(null);

  // The word under the caret is lit as if it were pointed at.
  useEffect(() => {
    const follow = () => {
      const element = field.current;
      if (!element || document.activeElement !== element) return;
      const at = element.selectionStart;
      const span = spans.find((candidate) => candidate.start <= at && at <= candidate.end);
      lit.value = wordMark(scope, span?.word) ?? null;
    };
    document.addEventListener('selectionchange', follow);
    return () => {
      document.removeEventListener('selectionchange', follow);
    };
  }, [spans, scope]);

  const pieces: preact.ComponentChildren[] = [];
  let at = 0;
  for (const span of spans) {
    if (span.start > at) pieces.push(value.slice(at, span.start));
    pieces.push(
      <span key={span.start} class={`word tint-${span.word % 4}`} data-lit={wordMark(scope, span.word)}>
        {value.slice(span.start, span.end)}
      </span>,
    );
    at = span.end;
  }
  // The last line break of a text has no height of its own without something after it.
  pieces.push(`${value.slice(at)}\u200b`);

  return (
    <div class="editor">
      <div class="editor-sheet">
        <div class="editor-backdrop" dir="auto" aria-hidden="true">
          {pieces}
        </div>
        <textarea
          ref={field}
          dir="auto"
          aria-label={label}
          value={value}
          placeholder={placeholder}
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          onInput={(event) => {
            onChange(event.currentTarget.value);
          }}
        />
      </div>
    </div>
  );
}
