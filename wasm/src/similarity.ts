// How alike two vectors are.
import { invalid, shown } from './options.ts';

/**
 * The cosine of the angle between two vectors of one length, such as `embed` gives: from -1 to 1, and 0 where one is zero; NaN
 * where one has a NaN or an infinity.
 *
 * Errors: `invalid_argument`.
 */
export function cosineSimilarity(a: ArrayLike<number>, b: ArrayLike<number>): number {
  for (const vector of [a, b] as unknown[]) {
    if (typeof vector !== 'object' || typeof (vector as ArrayLike<number> | null)?.length !== 'number') {
      throw invalid(`a vector must be an array of numbers, not ${shown(vector)}`);
    }
  }
  if (a.length !== b.length) {
    throw invalid(`vectors of ${a.length} and of ${b.length} numbers cannot be compared`);
  }
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  if (aa === 0 || bb === 0) return 0;
  return Math.max(-1, Math.min(1, dot / (Math.sqrt(aa) * Math.sqrt(bb)))); // rounding may pass 1
}
