// What the model answered: dimmed while the answer to a newer question is on its way, and named as what it is where none comes.
import type { ComponentChildren } from 'preact';
import type { Answer } from '../lib/latest';

interface ResultsProps {
  of: Pick<Answer<unknown, unknown>, 'outdated' | 'trouble'>;
  /** What it was asked about, for readers. */
  about?: string;
  children: ComponentChildren;
}

export function Results({ of: { outdated, trouble }, about = 'the sentence', children }: ResultsProps) {
  return (
    <div class="flow">
      {outdated && trouble !== null && <p class="hint">What is shown here is of {about} before.</p>}
      <div class={outdated ? 'flow stale' : 'flow'}>{children}</div>
    </div>
  );
}
