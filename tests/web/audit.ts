// Lighthouse on one address in a running Chromium: its scores of the categories asked for, and what is short of perfect.
import assert from 'node:assert/strict';
import lighthouse, { type RunnerResult } from 'lighthouse';

export interface Audit {
  /** From 0 to 100, by category. */
  scores: Readonly<Record<string, number>>;
  /** The audits below 0.9, each with its measured value. */
  faults: readonly string[];
}

/** `port` is the browser's --remote-debugging-port. */
export async function audit(url: string, port: number, categories: string[]): Promise<Audit> {
  const { lhr } = await withTrace(url, port, categories);
  assert.equal(lhr.runtimeError, undefined);
  return {
    scores: Object.fromEntries(
      categories.map((name) => [name, Math.round(100 * (lhr.categories[name]?.score ?? 0))]),
    ),
    faults: Object.values(lhr.audits)
      .filter((found) => found.score !== null && found.score < 0.9)
      .map((found) => `${found.id}: ${found.displayValue ?? found.title}`),
  };
}

/** A run whose trace holds the start of the navigation: now and then Chromium records it too late, and Lighthouse says to try again. */
async function withTrace(url: string, port: number, categories: string[]): Promise<RunnerResult> {
  for (let tries = 1; ; tries += 1) {
    const run = await lighthouse(url, {
      port,
      onlyCategories: categories,
      output: 'json',
      logLevel: 'silent',
    });
    assert.ok(run, 'Lighthouse gave no result');
    if (tries === 5 || run.lhr.runtimeError?.code !== 'NO_NAVSTART') return run;
  }
}
