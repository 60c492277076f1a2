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
    id: 'mask',
    number: 3,
    label: 'Mask',
    load: async () => (await import('./views/mask/index')).default,
  },
  {
    id: 'architecture',
    number: 4,
    label: 'Architecture',
    load: async () => (await import('./views/architecture/index')).default,
  },
  {
    id: 'attention',
    number: 5,
    label: 'Attention',
    load: async () => (await import('./views/attention/index')).default,
  },
  {
    id: 'mlm',
    number: 6,
    label: 'Masked words',
    load: async () => (await import('./views/mlm/index')).default,
  },
  {
    id: 'nsp',
    number: 7,
    label: 'Next sentence',
    load: async () => (await import('./views/nsp/index')).default,
  },
  {
    id: 'model',
    number: 8,
    label: 'Your model',
    load: async () => (await import('./views/model/index')).default,
  },
];
