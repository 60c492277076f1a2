// A BERT as a tree of parts, each with its shape, the formula of its parameters and their number; from the configuration
// alone, as Exercise 3 counts them.
import { count } from '../../lib/format';

export interface Configuration {
  vocabSize: number;
  hiddenSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  intermediateSize: number;
  maxPositionEmbeddings: number;
  typeVocabSize: number;
}

export interface Part {
  id: string;
  name: string;
  /** What it does, in a few words. */
  what: string;
  /** How the parameters are counted; empty for parts that only compute. */
  formula: string;
  parameters: number;
  /** Shape of what it gives, with `tokens` for the length of the text. */
  output: string;
  /** How often it stands in the model. */
  times: number;
  children: readonly Part[];
}

interface LeafFields {
  formula?: string;
  parameters?: number;
  output: string;
}

function leaf(id: string, name: string, what: string, fields: LeafFields): Part {
  return {
    id,
    name,
    what,
    formula: fields.formula ?? '',
    parameters: fields.parameters ?? 0,
    output: fields.output,
    times: 1,
    children: [],
  };
}

function group(
  id: string,
  name: string,
  what: string,
  output: string,
  children: readonly Part[],
  times = 1,
): Part {
  const parameters = children.reduce((sum, child) => sum + child.parameters * child.times, 0);
  return { id, name, what, formula: '', parameters, output, times, children };
}

function dense(id: string, name: string, what: string, from: number, to: number): Part {
  return leaf(id, name, what, {
    formula: `${count(from)} × ${count(to)} + ${count(to)}`,
    parameters: from * to + to,
    output: `[tokens, ${to}]`,
  });
}

function norm(
  id: string,
  size: number,
  what = 'each row to mean 0 and variance 1, then scaled and shifted',
): Part {
  return leaf(id, 'Layer norm', what, {
    formula: `2 × ${count(size)}`,
    parameters: 2 * size,
    output: `[tokens, ${size}]`,
  });
}

export function partsOf(config: Configuration): { base: Part; heads: Part } {
  const { vocabSize: vocabulary, hiddenSize: hidden, intermediateSize: inner } = config;
  const heads = config.numAttentionHeads;
  const width = hidden / heads;
  const rows = `[tokens, ${hidden}]`;
  const table = (id: string, name: string, what: string, size: number) =>
    leaf(id, name, what, {
      formula: `${count(size)} × ${count(hidden)}`,
      parameters: size * hidden,
      output: rows,
    });

  const embeddings = group('embeddings', 'Embeddings', 'ids become vectors', rows, [
    table('embeddings.word', 'Word', 'one vector a vocabulary entry', vocabulary),
    table('embeddings.position', 'Position', 'one vector a place in the row', config.maxPositionEmbeddings),
    table('embeddings.type', 'Token type', 'first or second sentence', config.typeVocabSize),
    norm('embeddings.norm', hidden),
  ]);

  const attention = group('layer.attention', 'Self-attention', 'every token looks at every token', rows, [
    dense('layer.attention.query', 'Query', 'what a token looks for', hidden, hidden),
    dense('layer.attention.key', 'Key', 'what a token offers', hidden, hidden),
    dense('layer.attention.value', 'Value', 'what a token passes on', hidden, hidden),
    leaf(
      'layer.attention.scores',
      'Scores',
      `query · key / √${count(width)} + mask (−∞ at padding), softmax over the row`,
      {
        output: `[${heads}, tokens, tokens]`,
      },
    ),
    leaf('layer.attention.context', 'Context', 'values, weighted by the scores, heads side by side', {
      output: rows,
    }),
    dense('layer.attention.output', 'Output', 'mixes the heads', hidden, hidden),
    norm('layer.attention.norm', hidden, 'of the sum with the layer’s input'),
  ]);
  const intermediate = group('layer.intermediate', 'Intermediate', 'wider, then GELU', `[tokens, ${inner}]`, [
    dense('layer.intermediate.dense', 'Dense', 'up', hidden, inner),
    leaf('layer.intermediate.gelu', 'GELU', 'x · Φ(x), one number at a time', {
      output: `[tokens, ${inner}]`,
    }),
  ]);
  const output = group('layer.output', 'Output', 'narrow again', rows, [
    dense('layer.output.dense', 'Dense', 'down', inner, hidden),
    norm('layer.output.norm', hidden, 'of the sum with the attention’s output'),
  ]);
  const layer = group(
    'layer',
    'Layer',
    'attention, then two dense steps for each token alone',
    rows,
    [attention, intermediate, output],
    config.numHiddenLayers,
  );
  const pooler = group('pooler', 'Pooler', 'the first token, once more, for the whole text', `[${hidden}]`, [
    {
      ...dense('pooler.dense', 'Dense', 'then tanh', hidden, hidden),
      output: `[${hidden}]`,
    },
  ]);

  const masked = group(
    'mlm',
    'Masked word head',
    'a score for every vocabulary entry',
    `[tokens, ${vocabulary}]`,
    [
      dense('mlm.transform', 'Transform', 'then GELU', hidden, hidden),
      norm('mlm.norm', hidden),
      leaf('mlm.decoder', 'Decoder', 'the word embeddings again, and a bias of its own', {
        formula: count(vocabulary),
        parameters: vocabulary,
        output: `[tokens, ${vocabulary}]`,
      }),
    ],
  );
  const next = group('nsp', 'Next sentence head', 'is next, is not next', '[2]', [
    { ...dense('nsp.dense', 'Dense', 'from the pooler', hidden, 2), output: '[2]' },
  ]);
  return {
    base: group('base', 'BERT', '', rows, [embeddings, layer, pooler]),
    heads: group('heads', 'Heads', '', '', [masked, next]),
  };
}

export function findPart(root: Part, id: string): Part | undefined {
  if (root.id === id) return root;
  for (const child of root.children) {
    const found = findPart(child, id);
    if (found) return found;
  }
  return undefined;
}

export const published: Readonly<Record<'base' | 'large', Configuration>> = {
  base: {
    vocabSize: 30522,
    hiddenSize: 768,
    numHiddenLayers: 12,
    numAttentionHeads: 12,
    intermediateSize: 3072,
    maxPositionEmbeddings: 512,
    typeVocabSize: 2,
  },
  large: {
    vocabSize: 30522,
    hiddenSize: 1024,
    numHiddenLayers: 24,
    numAttentionHeads: 16,
    intermediateSize: 4096,
    maxPositionEmbeddings: 512,
    typeVocabSize: 2,
  },
};
