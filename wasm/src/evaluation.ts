// Answers about sentence pairs against their labels (Exercise 5 of the notebook); the core does the counting.
import type { EvaluatedPair, EvaluationResult, NextSentenceResult } from './engine-types.ts';
import type { EvaluationRequest } from './requests.ts';

/** Pairs that are computed in one call. */
export const kEvaluationBatch = 8;

/** The report; `report` runs the core's nextSentenceReport. */
export async function evaluationResult(
  request: EvaluationRequest,
  answers: readonly NextSentenceResult[],
  report: (args: readonly unknown[]) => unknown,
): Promise<EvaluationResult> {
  return finishEvaluation(request, answers, await report(reportArguments(request, answers)));
}

export function reportArguments(
  request: EvaluationRequest,
  answers: readonly NextSentenceResult[],
): readonly unknown[] {
  const flat = answers.flatMap(({ isNext, notNext, logits }) => [isNext, notNext, ...logits]);
  return [flat, request.labels, request.threshold];
}

export function finishEvaluation(
  { given }: EvaluationRequest,
  answers: readonly NextSentenceResult[],
  raw: unknown,
): EvaluationResult {
  const { predicted, ...report } = raw as Omit<EvaluationResult, 'pairs'> & { predicted: boolean[] };
  const judged = given.map((pair, i): EvaluatedPair => {
    const result = answers[i]!;
    return {
      ...pair,
      result,
      predicted: predicted[i]!,
      correct: predicted[i] === pair.isNext,
      confidence: Math.max(result.isNext, result.notNext),
    };
  });
  return { ...report, pairs: judged };
}
