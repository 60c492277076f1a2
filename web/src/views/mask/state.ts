// The texts of the mask section, and the one that is looked at token by token.
import { signal } from '@preact/signals';
import { listCodec, parameter } from '../../state/url';

/** The batch of the notebook's cell 7. */
export const notebookTexts = ['hello world', 'hello'];

export const texts = parameter('mask', 'texts', notebookTexts, listCodec);

export const chosen = signal(1);

export function shorten(text: string): string {
  return text.length > 14 ? `${text.slice(0, 13)}…` : text || '(empty)';
}
