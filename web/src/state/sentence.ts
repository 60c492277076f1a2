// The one sentence that runs through the page: typed in the first section, read by the later ones.
import { parameter, textCodec } from './url';

/** The sentence of the notebook's cell 5. */
export const notebookSentence = 'Tokenization and padding are fundamental steps in most NLP pipelines.';

export const sentence = parameter('*', 'text', notebookSentence, textCodec);
