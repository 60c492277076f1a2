// The newest answer to a question that changes: older calls are aborted, the last answer stays until the next is there.
import { effect, signal, type ReadonlySignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

export interface Answer<I, T> {
  value: T | null;
  /** The question that `value` answers. */
  input: I | null;
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
  const none: Answer<I, T> = { value: null, input: null, pending: false, trouble: null };
  const answer = signal(none);
  let from = source();
  const start = () =>
    effect(() => {
      const now = source();
      if (now !== from) answer.value = none;
      from = now;
      const input = question();
      if (input === null) {
        if (answer.peek().trouble !== null) answer.value = { ...answer.peek(), trouble: null };
        return;
      }
      const abort = new AbortController();
      const timer = window.setTimeout(
        () => {
          answer.value = { ...answer.peek(), pending: true };
          ask(input, abort.signal).then(
            (value) => {
              if (!abort.signal.aborted) answer.value = { value, input, pending: false, trouble: null };
            },
            (error: unknown) => {
              if (abort.signal.aborted) return;
              const trouble = error instanceof Error ? error.message : String(error);
              answer.value = { ...answer.peek(), pending: false, trouble };
            },
          );
        },
        answer.peek().value === null ? 0 : rest,
      );
      return () => {
        window.clearTimeout(timer);
        abort.abort();
      };
    });
  return {
    answer,
    use: () => {
      useEffect(start, []);
    },
  };
}
