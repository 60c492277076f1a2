// Exercise 4 of the notebook: its sentence, the words that it hides, and what it printed for them.

export const exerciseText = 'The quick brown fox jumps over the lazy dog';
export const exerciseMasked = 'The [MASK] brown fox [MASK] over the [MASK] dog';
/** Places of the hidden words, counted from 0. */
export const exerciseHidden = [1, 4, 7];
export const exerciseWords = ['quick', 'jumps', 'lazy'] as const;
/** What bert-base-uncased gave for each, percent. The notebook's last line is cut off, so the third has four. */
export const exercisePrinted: readonly (readonly (readonly [token: string, percent: string])[])[] = [
  [
    ['little', '23.19'],
    ['great', '7.49'],
    ['big', '5.30'],
    ['new', '2.98'],
    ['large', '2.06'],
  ],
  [
    ['takes', '74.10'],
    ['took', '9.22'],
    ['wins', '7.18'],
    ['taking', '1.04'],
    ['take', '1.00'],
  ],
  [
    ['white', '5.71'],
    ['big', '5.31'],
    ['black', '4.23'],
    ['red', '4.01'],
  ],
];
