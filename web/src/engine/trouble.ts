// What went wrong, in one sentence, and what to do about it, in another.
import { BertlensError } from 'bertlens/tokenizer';
import { count, sentenceCase } from '../lib/format';

export interface Trouble {
  code: BertlensError['code'];
  sentence: string;
  remedy: string;
}

/** Says what the package or the browser threw; `remedies` know more than the code alone. */
export function troubleOf(error: unknown, remedy?: string): Trouble {
  const code = codeOf(error) ?? 'internal';
  const message = error instanceof Error ? error.message : String(error);
  const sentence = (code === 'too_long' && tooLong(message)) || sentenceCase(message);
  return { code, sentence, remedy: remedy ?? remedyFor(code, message) };
}

/** The two numbers of a text that is too long, which the package's tasks each put in words of their own. */
function tooLong(message: string): string | undefined {
  const [, text = '', tokens, positions] = /^(text \d+: )?.*?(\d+) tokens\D+(\d+)/.exec(message) ?? [];
  if (tokens === undefined) return undefined;
  return sentenceCase(
    `${text}${count(Number(tokens))} tokens; BERT has ${count(Number(positions))} positions`,
  );
}

/** The package's code of an error; undefined for what others threw. */
export function codeOf(error: unknown): BertlensError['code'] | undefined {
  return error instanceof BertlensError ? error.code : undefined;
}

/** What the hub's own answer asks for; undefined where it did not answer. */
function hubRemedy(message: string): string | undefined {
  const status = Number(/huggingface\.co.*HTTP status (\d+)/.exec(message)?.[1]);
  if (status === 429) return 'The hub asks to wait: try again in a minute.';
  if (status >= 500) return 'The hub has a fault of its own: try again later.';
  if (status >= 400) return 'Check the spelling; private and gated models cannot be loaded here.';
  return undefined;
}

function remedyFor(code: BertlensError['code'], message: string): string {
  const ofHub = hubRemedy(message);
  if (ofHub !== undefined) return ofHub;
  switch (code) {
    case 'unsupported':
      if (message.includes('model_type')) {
        return 'This page takes BERT apart and nothing else: choose a model whose config.json says "model_type": "bert", such as google-bert/bert-base-uncased.';
      }
      if (message.includes('pytorch_model.bin')) {
        return 'In Python: AutoModelForPreTraining.from_pretrained(…).save_pretrained("folder") writes model.safetensors; then drop that folder here.';
      }
      return 'Try another precision, or another model.';
    case 'not_found':
      return 'A model is a folder with config.json, vocab.txt or tokenizer.json, and model.safetensors or its shards with their index. Choose the folder that holds them all.';
    case 'io':
      if (message.includes('SHA-256')) {
        return 'The file was damaged on its way. It is not kept; load it again.';
      }
      return 'Check the connection and load again; whole files that have arrived are kept and not fetched twice.';
    case 'invalid_model':
      return 'The file is not what its name says, or is cut off. Fetch it again, or save the model again with save_pretrained.';
    case 'missing_tensor':
      return 'The checkpoint was saved without this part. One of BertForPreTraining has them all.';
    case 'out_of_memory':
      return 'Load it as int8, which takes a quarter of the room of f32, or close other tabs. While a model loads, the one before it still takes its room.';
    case 'too_long':
      return 'Shorten the text.';
    case 'crashed':
      return 'Load it again; a smaller precision takes less memory.';
    case 'invalid_argument':
    case 'invalid_text':
    case 'aborted':
    case 'internal':
    case 'disposed':
      return 'Load it again, or go on with another model.';
  }
}
