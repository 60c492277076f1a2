// Word linking: a word hovered or focused anywhere is lit everywhere. Elements carry data-lit="scope:word"; one listener on
// the document follows the pointer and the focus, so that views only mark what belongs together.
import { signal } from '@preact/signals';

export const lit = signal<string | null>(null);

/** The mark of a word: `scope` tells apart texts that are on screen together. */
export function wordMark(scope: string, word: number | null | undefined): string | undefined {
  return word === null || word === undefined ? undefined : `${scope}:${word}`;
}

function markAt(target: EventTarget | null, x?: number, y?: number): string | null {
  if (!(target instanceof Element)) return null;
  // Over a text field the words lie beneath it, in its backdrop.
  if (target instanceof HTMLTextAreaElement && x !== undefined && y !== undefined) {
    for (const element of document.elementsFromPoint(x, y)) {
      const mark = element.getAttribute('data-lit');
      if (mark) return mark;
    }
    return null;
  }
  return target.closest('[data-lit]')?.getAttribute('data-lit') ?? null;
}

function paint(mark: string | null): void {
  for (const element of document.querySelectorAll('[data-on]')) element.removeAttribute('data-on');
  if (mark === null) return;
  for (const element of document.querySelectorAll(`[data-lit="${CSS.escape(mark)}"]`)) {
    element.setAttribute('data-on', '');
  }
}

export function startLinking(): void {
  lit.subscribe(paint);
  document.addEventListener('pointerover', (event) => {
    lit.value = markAt(event.target, event.clientX, event.clientY);
  });
  document.addEventListener('pointermove', (event) => {
    if (event.target instanceof HTMLTextAreaElement)
      lit.value = markAt(event.target, event.clientX, event.clientY);
  });
  document.addEventListener('focusin', (event) => {
    lit.value = markAt(event.target);
  });
  document.documentElement.addEventListener('pointerleave', () => {
    lit.value = null;
  });
}

/** Lights the word again after the marked elements have been made anew. */
export function refreshLit(): void {
  paint(lit.peek());
}
