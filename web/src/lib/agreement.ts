// Whether a number is the one that was printed: to the digits of the print, or near it as another arithmetic may be.

export type Agreement = 'equal' | 'close' | 'differs';

// f32 sums taken in another order agree to about this many digits, however many were printed.
const mostDigits = 4;
// f16 weights mostly move the values of one and the same model by less than this; int8 can move a probability by more.
const nearShare = 0.02;
const nearPrinted = 5;

/** `here` is the value with the digits of the print. */
export function compare(printed: string, value: number): { agreement: Agreement; here: string } {
  const digits = Math.min(mostDigits, printed.split('.')[1]?.length ?? 0);
  const expected = Number(printed);
  const here = value.toFixed(digits);
  if (here === expected.toFixed(digits)) return { agreement: 'equal', here };
  const step = 10 ** -digits;
  const close = Math.abs(value - expected) <= Math.max(nearShare * Math.abs(expected), nearPrinted * step);
  return { agreement: close ? 'close' : 'differs', here };
}
