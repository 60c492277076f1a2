// Texts with their words tinted: one, or a list that grows and shrinks.
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Tokenizer } from '../engine/tokenizer';
import { plural } from '../lib/format';
import { Editor } from './editor';

interface TextEditorProps {
  ready: Tokenizer;
  label: string;
  value: string;
  scope: string;
  onChange: (text: string) => void;
}

/** An editor of a text that stands for itself: its words are tinted as it alone is cut. */
export function TextEditor({ ready, ...editor }: TextEditorProps) {
  const spans = ready
    .words(ready.encode(editor.value))
    .map((word) => ({ start: word.offsets[0], end: word.offsets[1], word: word.wordId }));
  return <Editor {...editor} spans={spans} />;
}

/** Focuses what has come at the end of a list, and what is last there once the end that had the focus is gone. */
export function useFocusAtEnd(length: number, selector: string) {
  const root = useRef<HTMLDivElement>(null);
  const before = useRef(length);
  const wanted = useRef(false);
  useLayoutEffect(() => {
    const changed = before.current !== length;
    before.current = length;
    if (!changed || !wanted.current) return;
    wanted.current = false;
    [...(root.current?.querySelectorAll<HTMLElement>(selector) ?? [])].at(-1)?.focus();
  }, [length, selector]);
  return {
    root,
    /** To be called before the list changes. */
    follow: () => {
      wanted.current = true;
    },
  };
}

interface TextListProps {
  ready: Tokenizer;
  /** What one is called, in small letters. */
  what: string;
  texts: readonly string[];
  /** How many there may be. */
  most: number;
  /** Of the words of text i, from 0. */
  scope: (i: number) => string;
  onChange: (texts: string[]) => void;
  /** What stands beside the button that adds one. */
  children?: preact.ComponentChildren;
}

export function TextList({ ready, what, texts, most, scope, onChange, children }: TextListProps) {
  const { root, follow } = useFocusAtEnd(texts.length, 'textarea');
  const name = what.replace(/^./, (first) => first.toUpperCase());
  return (
    <div class="flow" ref={root}>
      <ol class="batch">
        {texts.map((text, i) => (
          <li key={i}>
            <TextEditor
              ready={ready}
              label={`${name} ${i + 1}`}
              value={text}
              scope={scope(i)}
              onChange={(next) => {
                onChange(texts.map((old, at) => (at === i ? next : old)));
              }}
            />
            <span class="batch-length">{plural(ready.encode(text).length, 'token')}</span>
            <button
              type="button"
              class="quiet"
              aria-label={`Remove ${what} ${i + 1}`}
              disabled={texts.length === 1}
              onClick={() => {
                // the button that was pressed goes where the last one is removed
                if (i === texts.length - 1) follow();
                onChange(texts.filter((_, at) => at !== i));
              }}
            >
              Remove
            </button>
          </li>
        ))}
      </ol>
      <div class="row">
        <button
          type="button"
          class="button"
          disabled={texts.length >= most}
          onClick={() => {
            follow();
            onChange([...texts, '']);
          }}
        >
          Add a {what}
        </button>
        {children}
      </div>
    </div>
  );
}
