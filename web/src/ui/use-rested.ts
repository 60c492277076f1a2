// A value that changes with every move of the pointer, once it has not changed for a while.
import { useEffect, useState } from 'preact/hooks';

/** `value` as it was when it last stayed the same for `rest` milliseconds. */
export function useRested<T>(value: T, rest: number): T {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = window.setTimeout(() => {
      setRested(value);
    }, rest);
    return () => {
      window.clearTimeout(timer);
    };
  }, [value, rest]);
  return rested;
}
