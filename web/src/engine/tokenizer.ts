// The page's tokenizer: arrives once, before anything else, and answers in place. With a model that has another vocabulary
// that model's own takes over.
import { computed, signal } from '@preact/signals';
import { loadTokenizer, type Tokenizer } from 'bertlens/tokenizer';
import { nextTask } from '../lib/next-task';

export type { Encoding, Explanation, Tokenizer, Word } from 'bertlens/tokenizer';

/** Where the default model's files lie, relative to the page. */
export const defaultModel = new URL('./models/default/', document.baseURI).href;

const ready = signal<Tokenizer | null>(null);

/** The tokenizer of a loaded model other than the default one. */
export const modelTokenizer = signal<Tokenizer | null>(null);

/** Why there is no tokenizer, in one sentence. */
export const tokenizerTrouble = signal<string | null>(null);

/** The tokenizer, or null while it is on its way. */
export const tokenizer = computed(() => modelTokenizer.value ?? ready.value);

export async function startTokenizer(): Promise<void> {
  tokenizerTrouble.value = null;
  try {
    // named outright: a folder would be asked for files that the default model does not have
    const loaded = await loadTokenizer(`${defaultModel}vocab.txt`);
    // reading the vocabulary, a first call, which compiles what every call runs, and drawing are short waits each
    await nextTask();
    loaded.words(loaded.encode('Tokenization.'));
    await nextTask();
    ready.value = loaded;
  } catch (error) {
    tokenizerTrouble.value = error instanceof Error ? error.message : String(error);
  }
}
