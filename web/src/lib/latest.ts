// The newest answer to a question that changes: older calls are aborted, the last answer stays until the next is there, and
// is known not to be of the question that is asked now.
import { effect, signal, type ReadonlySignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

export interface Answer<I, T> {
  /** null before the first answer, and where there is nothing to ask. */
  value: T | null;
  /** The question that `value` answers. */
  input: I | null;
  /** `value` answers an earlier question: a newer one waits for its answer, or ended in `trouble`. */
  outdated: boolean;
  pending: boolean;
  trouble: string | null;
}

export interface Latest<I, T> {
  answer: ReadonlySignal<Answer<I, T>>;
  /** Keeps asking while the component that calls it is on screen. */
  use: () => void;
}

/**
 * `question` reads signals and gives the input, or null where there is nothing to ask; `ask` computes the answer. A change
 * waits `rest` milliseconds for the next one. An answer is forgotten when `source`, who gave it, changes.
 */
export function latest<I, T>(
  question: () => I | null,
  ask: (input: I, abort: AbortSignal) => Promise<T>,
  rest = 120,
  source: () => unknown = () => undefined,
): Latest<I, T> {
  const none: Answer<I, T> = { value: null, input: null, outdated: false, pending: false, trouble: null };
  const answer = signal(none);
  let from = source();
  // the first question to each source does not wait for the next one
  let first = true;
  const start = () =>
    effect(() => {
      const now = source();
      if (now !== from) {
        answer.value = none;
        first = true;
      }
      from = now;
      const input = question();
      if (input === null) {
        if (answer.peek() !== none) answer.value = none;
        return;
      }
      const abort = new AbortController();
      const timer = window.setTimeout(
        () => {
          first = false;
          answer.value = { ...answer.peek(), pending: true };
          ask(input, abort.signal).then(
            (value) => {
              if (abort.signal.aborted) return;
              answer.value = { value, input, outdated: false, pending: false, trouble: null };
            },
            (error: unknown) => {
              if (abort.signal.aborted) return;
              const trouble = error instanceof Error ? error.message : String(error);
              answer.value = { ...answer.peek(), pending: false, trouble };
            },
          );
        },
        first ? 0 : rest,
      );
      return () => {
        window.clearTimeout(timer);
        abort.abort();
        // also where the section is left: by its return the question may have become another
        if (answer.peek().value !== null) answer.value = { ...answer.peek(), outdated: true, pending: false };
      };
    });
  return {
    answer,
    use: () => {
      useEffect(start, []);
    },
  };
}
