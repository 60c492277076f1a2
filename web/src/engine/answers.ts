// The newest answer of the loaded model to a question that changes; forgotten when another model comes.
import { latest, type Latest } from '../lib/latest';
import { bert, watched, type Bert } from './model';
import { codeOf, troubleOf } from './trouble';

/** What a checkpoint lacks is no fault of the question: the remedy is told with it. A text too long is one for all tasks. */
function explain(error: unknown): never {
  const code = codeOf(error);
  if (code !== 'missing_tensor' && code !== 'too_long') throw error;
  const { sentence, remedy } = troubleOf(error);
  throw new Error(code === 'too_long' ? sentence : `${sentence} ${remedy}`, { cause: error });
}

/**
 * `question` reads signals and gives the input, or null where there is nothing to ask; `ask` has the model answer it. A
 * change waits `rest` milliseconds for the next one.
 */
export function answers<I, T>(
  question: (model: Bert) => I | null,
  ask: (model: Bert, input: I, abort: AbortSignal) => Promise<T>,
  rest?: number,
): Latest<I, T> {
  return latest<I, T>(
    () => (bert.value ? question(bert.value) : null),
    (input, abort) => {
      const model = bert.peek()!;
      return watched(model, ask(model, input, abort)).catch(explain);
    },
    rest,
    () => bert.value,
  );
}
