// The page's opening, whose code comes with the page, and its sections in the order of the lesson: the code of each is
// fetched when it is opened.
import type { Section } from './views/view';

/** What opens at the bare address: the whole of BERT in one picture, and the way into the lesson. */
export const start = {
  id: 'start',
  label: 'BERT, seen from inside',
};

export const sections: readonly Section[] = [
  {
    id: 'tokenizer',
    number: 1,
    label: 'Tokenizer',
    idea: 'BERT never sees words. It sees numbered pieces.',
    load: async () => (await import('./views/tokenizer/index')).default,
  },
  {
    id: 'padding',
    number: 2,
    label: 'Padding',
    idea: 'A batch is a rectangle. Sentences are not.',
    load: async () => (await import('./views/padding/index')).default,
  },
  {
    id: 'mask',
    number: 3,
    label: 'Mask',
    idea: 'Padding should not matter. Here is how BERT ignores it.',
    load: async () => (await import('./views/mask/index')).default,
  },
  {
    id: 'architecture',
    number: 4,
    label: 'Architecture',
    idea: 'The same machine, over and over, with different weights.',
    load: async () => (await import('./views/architecture/index')).default,
  },
  {
    id: 'attention',
    number: 5,
    label: 'Attention',
    idea: 'Every token looks at every other. Here is where.',
    load: async () => (await import('./views/attention/index')).default,
  },
  {
    id: 'mlm',
    number: 6,
    label: 'Masked words',
    idea: 'Hide a word, and BERT says what it expected.',
    load: async () => (await import('./views/mlm/index')).default,
  },
  {
    id: 'nsp',
    number: 7,
    label: 'Next sentence',
    idea: 'Two sentences, one question: do they belong together?',
    load: async () => (await import('./views/nsp/index')).default,
  },
  {
    id: 'model',
    number: 8,
    label: 'Your model',
    idea: 'The same lens on another BERT.',
    load: async () => (await import('./views/model/index')).default,
  },
];
