// What follows the visitor's typing: at once where it can be seen; out of sight it waits until the hand rests, so that a
// key is answered sooner.
import { useComputed, useSignal, useSignalEffect } from '@preact/signals';
import type { RefCallback } from 'preact';
import { useCallback, useRef } from 'preact/hooks';

const rest = 300;

/**
 * What `read` makes of signals, as of when the element that takes `ref` was last on screen or they have not changed for
 * `rest` milliseconds. Where it was null or undefined, it follows at once.
 */
export function useWhenSeen<T>(read: () => T): { value: T; ref: RefCallback<HTMLElement> } {
  const now = useComputed(read);
  const shown = useSignal(now.peek());
  const seen = useSignal(true);
  const observer = useRef<IntersectionObserver | null>(null);
  const ref = useCallback((element: HTMLElement | null) => {
    observer.current?.disconnect();
    if (!element) return;
    observer.current = new IntersectionObserver((entries) => {
      seen.value = entries.at(-1)!.isIntersecting;
    });
    observer.current.observe(element);
  }, []);
  useSignalEffect(() => {
    const value = now.value;
    if (seen.value || (shown.peek() ?? null) === null) {
      shown.value = value;
      return;
    }
    const timer = window.setTimeout(() => {
      shown.value = value;
    }, rest);
    return () => {
      window.clearTimeout(timer);
    };
  });
  return { value: shown.value, ref };
}
