// The sections of the page, in the order of the lesson. Each one's code is fetched when it is opened. Those that need a
// model are there where one was built in.
import type { Section } from './views/view';

const all: readonly Section[] = [
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
    needsModel: true,
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
    needsModel: true,
    number: 5,
    label: 'Attention',
    load: async () => (await import('./views/attention/index')).default,
  },
  {
    id: 'mlm',
    needsModel: true,
    number: 6,
    label: 'Masked words',
    load: async () => (await import('./views/mlm/index')).default,
  },
  {
    id: 'nsp',
    needsModel: true,
    number: 7,
    label: 'Next sentence',
    load: async () => (await import('./views/nsp/index')).default,
  },
];

export const sections = all.filter((section) => __MODEL_INCLUDED__ || section.needsModel !== true);
