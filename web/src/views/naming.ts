// How code samples name the model that is loaded: as arguments of from_pretrained and load, and as the command line's option.
import { loaded } from '../engine/model';
import { javascriptString, shellString } from '../lib/python';

export interface ModelNames {
  /** For BertModel.from_pretrained( ... ). */
  python: string;
  /** For load( ... ). */
  javascript: string;
  /** With a blank before it; empty for the default model. */
  cli: string;
}

/** Reads the loaded model; Python has no default model and takes the notebook's. */
export function modelNames(): ModelNames {
  const choice = loaded.value?.choice;
  if (choice?.kind === 'hub') {
    const { name, revision } = choice.hub;
    const pinned = revision !== 'main';
    return {
      python: JSON.stringify(name) + (pinned ? `, revision=${JSON.stringify(revision)}` : ''),
      javascript: javascriptString(name) + (pinned ? `, { revision: ${javascriptString(revision)} }` : ''),
      cli: ` --model ${shellString(name)}`,
    };
  }
  if (choice?.kind === 'files') {
    const folder = `./${choice.name}`;
    return {
      python: JSON.stringify(folder),
      javascript: javascriptString(`${folder}/`),
      cli: ` --model ${shellString(folder)}`,
    };
  }
  return { python: '"bert-base-uncased"', javascript: "'./models/default/'", cli: '' };
}
