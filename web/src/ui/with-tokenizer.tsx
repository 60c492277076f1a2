// Shows its content once the tokenizer has arrived; until then a quiet line, or the reason and the remedy.
import type { ComponentChildren } from 'preact';
import { startTokenizer, tokenizer, tokenizerTrouble, type Tokenizer } from '../engine/tokenizer';

interface WithTokenizerProps {
  children: (ready: Tokenizer) => ComponentChildren;
  /** The one place of a section that says why the tokenizer is missing; the others only wait. */
  speaks?: boolean;
  /** About the height of the content: kept free for it, so that nothing below moves when it arrives. */
  room?: string;
}

export function WithTokenizer({ children, speaks, room }: WithTokenizerProps) {
  if (tokenizer.value) return <>{children(tokenizer.value)}</>;
  if (tokenizerTrouble.value && speaks) {
    return (
      <div class="trouble" role="alert">
        The tokenizer did not load: {tokenizerTrouble.value}
        <div class="row">
          <button type="button" class="button" onClick={() => void startTokenizer()}>
            Try again
          </button>
        </div>
      </div>
    );
  }
  return (
    <p class="hint" style={{ minHeight: room }}>
      {tokenizerTrouble.value ? 'This needs the tokenizer.' : 'The tokenizer is on its way.'}
    </p>
  );
}
