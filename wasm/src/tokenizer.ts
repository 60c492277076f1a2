// bertlens/tokenizer: BERT's tokenizer alone; its WebAssembly is a file beside this one.
import { compileWasm } from './resources.ts';
import type { LoadTokenizerOptions, Tokenizer, TokenizerSource } from './tokenizer-types.ts';
import { loadTokenizerWith } from './wasm-tokenizer.ts';

export { BertlensError, type BertlensErrorCode } from './errors.ts';
export type * from './tokenizer-types.ts';

/**
 * Loads a tokenizer: from a folder's address ('/models/default/': tokenizer.json where it is there, else vocab.txt),
 * from one file's address, or from the files' contents. The options override what the files say. As long as somebody holds
 * a tokenizer, the same contents and options give the same one.
 *
 * Errors: `not_found`, `io`, `invalid_model` (which file, and what is wrong in it), `unsupported` (a tokenizer.json
 * that is not BERT's), `invalid_argument`, `aborted`.
 */
export async function loadTokenizer(
  source: TokenizerSource,
  options?: LoadTokenizerOptions,
): Promise<Tokenizer> {
  const compile = (): Promise<WebAssembly.Module> =>
    compileWasm(new URL('./tokenizer.wasm', import.meta.url));
  return await loadTokenizerWith(compile, source, options);
}
