// The sections of the page, in the order of the lesson. Each one's code is fetched when it is opened.
import type { Section } from './views/view';

export const sections: readonly Section[] = [
  {
    id: 'tokenizer',
    number: 1,
    label: 'Tokenizer',
    load: async () => (await import('./views/tokenizer/index')).default,
  },
  {
    id: 'padding',
    number: 2,
    label: 'Padding',
    load: async () => (await import('./views/padding/index')).default,
  },
  {
    id: 'architecture',
    number: 4,
    label: 'Architecture',
    load: async () => (await import('./views/architecture/index')).default,
  },
];
