// The sentences of the notebook's cell 11 and of its Exercise 5.
import type { SentencePair } from 'bertlens';

/** Cell 11 of the notebook. */
export const notebookFirst = 'The weather is beautiful today.';
export const notebookSeconds: readonly [string, string] = [
  "I think I'll go for a walk in the park.",
  'Deep Learning is a branch of Machine Learning.',
];

/** P(is next) that cell 11 printed for each of them with bert-base-uncased. */
const printedIsNext = ['0.9999', '0.0000'];

/** What the notebook printed for a pair; undefined for others than its own. */
export function printedFor(text: string, next: string): string | undefined {
  return text === notebookFirst ? printedIsNext[notebookSeconds.indexOf(next)] : undefined;
}

export function pair(text: string, next: string, isNext: boolean): SentencePair {
  return { text, pair: next, isNext };
}

/** The ten pairs of Exercise 5. */
export const notebookPairs: readonly SentencePair[] = [
  pair(
    'The weather forecast predicts heavy rain tomorrow.',
    "Don't forget to bring an umbrella when you go out.",
    true,
  ),
  pair(
    'She studied hard for her final exams all week.',
    'Her efforts paid off when she received excellent grades.',
    true,
  ),
  pair(
    'The company announced record profits in Q4.',
    'Shareholders were pleased with the financial results.',
    true,
  ),
  pair(
    'Neural networks learn by adjusting their weights.',
    'This process is called backpropagation and uses gradient descent.',
    true,
  ),
  pair(
    'The movie had stunning visual effects and great acting.',
    'It went on to win several Academy Awards that year.',
    true,
  ),
  pair(
    'Quantum computing uses qubits instead of classical bits.',
    'Pizza is one of the most popular foods in Italy.',
    false,
  ),
  pair(
    'The patient showed symptoms of seasonal allergies.',
    'The stock market reached an all-time high today.',
    false,
  ),
  pair('Python is a versatile programming language.', 'Pythons are the largest snakes in the world.', false),
  pair(
    'Climate change affects global weather patterns.',
    'The restaurant serves authentic Japanese cuisine.',
    false,
  ),
  pair(
    'The team celebrated their championship victory.',
    'Photosynthesis converts light energy into chemical energy.',
    false,
  ),
];
