// Texts with their words tinted: one, or a list that grows and shrinks.
import type { Signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Tokenizer } from '../engine/tokenizer';
import { plural } from '../lib/format';
import { Editor } from './editor';
import { TextTrouble } from './too-long';
import { WithTokenizer } from './with-tokenizer';

interface TextEditorProps {
  ready: Tokenizer;
  label: string;
  value: string;
  scope: string;
  placeholder?: string;
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
  /** What one is called, in small letters. */
  what: string;
  texts: Signal<string[]>;
  /** How many there may be. */
  most: number;
  /** Which text the words belong to, with its place behind it; see state/lit.ts. */
  scope: string;
  /** As of WithTokenizer. */
  speaks?: boolean;
  room?: string;
  /** What stands beside the button that adds one. */
  children?: ComponentChildren;
}

export function TextList({ what, texts: list, most, scope, speaks, room, children }: TextListProps) {
  const texts = list.value;
  const { root, follow } = useFocusAtEnd(texts.length, 'textarea');
  const name = what.replace(/^./, (first) => first.toUpperCase());
  const rows = (ready: Tokenizer) =>
    texts.map((text, i) => (
      <li key={i}>
        <TextEditor
          ready={ready}
          label={`${name} ${i + 1}`}
          value={text}
          scope={`${scope}${i}`}
          onChange={(next) => {
            list.value = texts.map((old, at) => (at === i ? next : old));
          }}
        />
        <span class="text-length">{plural(ready.encode(text).length, 'token')}</span>
        <button
          type="button"
          class="quiet"
          aria-label={`Remove ${what} ${i + 1}`}
          disabled={texts.length === 1}
          onClick={() => {
            // the button that was pressed goes where the last one is removed
            if (i === texts.length - 1) follow();
            list.value = texts.filter((_, at) => at !== i);
          }}
        >
          Remove
        </button>
      </li>
    ));
  return (
    <WithTokenizer {...(speaks && { speaks })} {...(room !== undefined && { room })}>
      {(ready) => (
        <div class="flow" ref={root}>
          <ol class="texts">{rows(ready)}</ol>
          <div class="row">
            <button
              type="button"
              class="button"
              disabled={texts.length >= most}
              onClick={() => {
                follow();
                list.value = [...texts, ''];
              }}
            >
              Add a {what}
            </button>
            {children}
          </div>
        </div>
      )}
    </WithTokenizer>
  );
}

/** What went wrong with a call that took the texts of a list. */
export function TextListTrouble({ trouble, texts }: { trouble: string | null; texts: Signal<string[]> }) {
  return (
    <TextTrouble
      trouble={trouble}
      what="Text"
      texts={texts.value.map((text) => ({ text }))}
      onCut={(cut) => {
        texts.value = cut.map(({ text }) => text);
      }}
    />
  );
}
