// Every figure that the notebook prints for bert-base-uncased and that depends on the model, beside what the loaded one gives.
import { computed } from '@preact/signals';
import type {
  EvaluationResult,
  FillMaskResult,
  MaskEffectResult,
  ModelInfo,
  NextSentenceResult,
  Prediction,
} from 'bertlens';
import { answers } from '../../engine/answers';
import { bert, type Bert } from '../../engine/model';
import { compare, type Agreement } from '../../lib/agreement';
import { count } from '../../lib/format';
import { exerciseMasked, exercisePrinted, exerciseWords } from '../mlm/notebook';
import { notebookFirst, notebookPairs, notebookSeconds } from '../nsp/notebook';

export interface Figure {
  /** Where the notebook prints it. */
  cell: string;
  what: string;
  /** As the notebook printed it. */
  printed: string;
  /** The same of the loaded model; undefined where it has none. */
  here: string | undefined;
  agreement: Agreement | undefined;
}

interface Measured {
  effect: MaskEffectResult | undefined;
  capital: FillMaskResult | undefined;
  fox: FillMaskResult | undefined;
  following: readonly NextSentenceResult[] | undefined;
  evaluation: EvaluationResult | undefined;
  /** Why some of it is missing, each reason once. */
  troubles: readonly string[];
}

const capitalText = 'The capital of France is [MASK].';
const capitalLabel = 'The capital of France is Paris.';

async function measure(model: Bert, signal: AbortSignal): Promise<Measured> {
  const troubles = new Set<string>();
  const settled = async <T>(call: Promise<T>): Promise<T | undefined> => {
    try {
      return await call;
    } catch (error) {
      troubles.add(error instanceof Error ? error.message : String(error));
      return undefined;
    }
  };
  const [effect, capital, fox, following, evaluation] = await Promise.all([
    settled(model.maskEffect(['hello world', 'hello'], { signal })),
    settled(
      model
        .fillMask(capitalText, { topK: 10, labelText: capitalLabel, signal })
        // another vocabulary may cut the label into other pieces: then there is no loss, but still a guess
        .catch(() => model.fillMask(capitalText, { topK: 10, signal })),
    ),
    settled(model.fillMask(exerciseMasked, { topK: 5, signal })),
    settled(
      Promise.all(notebookSeconds.map((second) => model.nextSentence(notebookFirst, second, { signal }))),
    ),
    settled(model.evaluateNextSentence(notebookPairs.slice(0, 3), { signal })),
  ]);
  return { effect, capital, fox, following, evaluation, troubles: [...troubles] };
}

export const measured = answers<true, Measured>(
  () => true,
  (model, _, signal) => measure(model, signal),
);

function number(cell: string, what: string, printed: string, value: number | undefined): Figure {
  if (value === undefined) return { cell, what, printed, here: undefined, agreement: undefined };
  const { agreement, here } = compare(printed, value);
  return { cell, what, printed, here, agreement };
}

function whole(cell: string, what: string, printed: number, value: number): Figure {
  return {
    cell,
    what,
    printed: count(printed),
    here: count(value),
    agreement: printed === value ? 'equal' : 'differs',
  };
}

/** A word with its number: the word must be the same, the number is compared. */
function guess(
  cell: string,
  what: string,
  word: string,
  printed: string,
  found: Prediction | undefined,
  value: number | undefined,
): Figure {
  const text = `${word} ${printed}`;
  if (!found || value === undefined) {
    return { cell, what, printed: text, here: undefined, agreement: undefined };
  }
  const { agreement, here } = compare(printed, value);
  return {
    cell,
    what,
    printed: text,
    here: `${found.token} ${here}`,
    agreement: found.token === word ? agreement : 'differs',
  };
}

const capitals = [
  ['paris', '0.4168'],
  ['lille', '0.0714'],
  ['lyon', '0.0634'],
  ['marseille', '0.0444'],
  ['tours', '0.0303'],
  ['toulouse', '0.0288'],
  ['orleans', '0.0254'],
  ['nantes', '0.0228'],
  ['brest', '0.0226'],
  ['bordeaux', '0.0212'],
] as const;

function architecture({ config, parameters, totalParameters }: ModelInfo): Figure[] {
  const cell = 'Cell 8';
  const exercise = 'Exercise 3';
  return [
    whole('Cell 3', 'vocabulary', 30522, config.vocabSize),
    whole(cell, 'parameters', 109_482_240, totalParameters),
    whole(cell, 'layers', 12, config.numHiddenLayers),
    whole(cell, 'hidden size', 768, config.hiddenSize),
    whole(cell, 'intermediate size', 3072, config.intermediateSize),
    whole(cell, 'attention heads', 12, config.numAttentionHeads),
    whole(exercise, 'embeddings', 23_837_184, parameters.embeddings.count),
    whole(exercise, 'embeddings of words', 23_440_896, parameters.wordEmbeddings.count),
    whole(exercise, 'embeddings of positions', 393_216, parameters.positionEmbeddings.count),
    whole(exercise, 'embeddings of token types', 1536, parameters.tokenTypeEmbeddings.count),
    whole(exercise, 'layer norm of the embeddings', 1536, parameters.embeddingsNorm.count),
    whole(exercise, 'one layer', 7_087_872, parameters.encoderLayer.count),
    whole(exercise, 'self-attention', 2_363_904, parameters.selfAttention.count),
    whole(exercise, 'intermediate', 2_362_368, parameters.intermediate.count),
    whole(exercise, 'output', 2_361_600, parameters.output.count),
    whole(exercise, 'all layers', 85_054_464, parameters.encoder.count),
    whole(exercise, 'pooler', 590_592, parameters.pooler.count),
    // the notebook counts the embeddings and the pooler as layers here
    whole(exercise, 'mean of a layer', 7_820_160, Math.floor(totalParameters / (config.numHiddenLayers + 2))),
    number(
      exercise,
      'layers’ share, percent',
      '77.7',
      (100 * parameters.encoder.count) / Math.max(1, totalParameters),
    ),
  ];
}

function figuresOf(info: ModelInfo, found: Measured | null): Figure[] {
  const best = found?.capital?.masks[0]?.predictions ?? [];
  const following = found?.following;
  return [
    ...architecture(info),
    number('Cell 7', 'L2 of [CLS], “hello world”', '0.0', found?.effect?.clsL2[0]),
    number('Cell 7', 'L2 of [CLS], “hello”', '2.567479133605957', found?.effect?.clsL2[1]),
    number('Cell 9', 'loss of “paris”', '0.88', found?.capital?.loss),
    ...capitals.map(([word, printed], i) =>
      guess('Cell 10', `rank ${i + 1}`, word, printed, best[i], best[i]?.probability),
    ),
    number('Cell 11', 'a walk: is next', '0.9999', following?.[0]?.isNext),
    number('Cell 11', 'a walk: is not next', '0.0001', following?.[0]?.notNext),
    number('Cell 11', 'learning: is next', '0.0000', following?.[1]?.isNext),
    number('Cell 11', 'learning: is not next', '1.0000', following?.[1]?.notNext),
    ...exercisePrinted.flatMap((list, mask) =>
      list.map(([word, printed], i) => {
        const entry = found?.fox?.masks[mask]?.predictions[i];
        return guess(
          'Exercise 4',
          `for “${exerciseWords[mask]!}”, rank ${i + 1}, percent`,
          word,
          printed,
          entry,
          entry && 100 * entry.probability,
        );
      }),
    ),
    ...[0, 1, 2].map((i) =>
      number('Exercise 5', `pair ${i + 1}: is next`, '1.000', found?.evaluation?.pairs[i]?.result.isNext),
    ),
  ];
}

export const figures = computed<readonly Figure[]>(() => {
  const model = bert.value;
  return model ? figuresOf(model.info, measured.answer.value.value) : [];
});
