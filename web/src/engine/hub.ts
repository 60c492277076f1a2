// Hugging Face's hub: what a person may type for a model there, and which files it has, with their SHA-256. The package
// downloads them.
import { BertlensError } from 'bertlens/tokenizer';
import { storedRevision } from './storage';

export const hubAddress = 'https://huggingface.co';

export interface HubName {
  /** owner/name; of the hub's oldest models the name alone. */
  readonly name: string;
  readonly revision: string;
}

export interface HubListing {
  /** As the hub writes it, with its owner. */
  readonly name: string;
  /** The commit, so that what is kept never changes under its address. */
  readonly revision: string;
  readonly files: readonly string[];
  /** Bytes of these files; undefined where the hub was not asked. */
  readonly bytes: number | undefined;
  /** SHA-256 of the large files; empty for what is kept already, which was checked when it came. */
  readonly integrity: Readonly<Record<string, string>>;
}

/** Reads owner/name, owner/name@revision, or the address of a model's page; undefined for anything else. */
export function readHubName(written: string): HubName | undefined {
  const path = written.trim().replace(/^(https?:\/\/)?(www\.)?(huggingface\.co|hf\.co)\//, '');
  const part = String.raw`[\w-][\w.-]*`;
  const found = new RegExp(
    `^(${part}(?:/${part})?)(?:@([\\w./-]+)|/(?:tree|blob|resolve)/([^/?#]+)[^?#]*)?/?(?:[?#].*)?$`,
  ).exec(path);
  return found?.[1] === undefined ? undefined : { name: found[1], revision: found[2] ?? found[3] ?? 'main' };
}

/** The files of a model folder that are read, of those that there are. */
export function wantedFiles(names: readonly string[]): string[] {
  const has = (name: string) => names.includes(name);
  const wanted = ['config.json', 'tokenizer_config.json'];
  wanted.push(has('tokenizer.json') ? 'tokenizer.json' : 'vocab.txt');
  if (has('model.safetensors')) wanted.push('model.safetensors');
  else if (has('model.safetensors.index.json')) {
    wanted.push('model.safetensors.index.json');
    wanted.push(...names.filter((name) => /^model-\d+-of-\d+\.safetensors$/.test(name)));
  } else wanted.push('pytorch_model.bin'); // only to be told that it cannot be read
  return wanted.filter(has);
}

interface Sibling {
  readonly rfilename: string;
  readonly size?: number;
  readonly lfs?: { readonly sha256?: string };
}

interface Answer {
  readonly id: string;
  readonly sha: string;
  readonly siblings: readonly Sibling[];
}

function isAnswer(value: unknown): value is Answer {
  const { id, sha, siblings } = (value ?? {}) as Partial<Answer>;
  return (
    typeof id === 'string' &&
    typeof sha === 'string' &&
    Array.isArray(siblings) &&
    siblings.every((file: unknown) => typeof (file as Partial<Sibling>).rfilename === 'string')
  );
}

/** Asks the hub for a model's files; where it cannot be reached, takes what is kept. */
export async function listHub(hub: HubName, signal: AbortSignal): Promise<HubListing> {
  const path = hub.name.split('/').map(encodeURIComponent).join('/');
  const url = `${hubAddress}/api/models/${path}/revision/${encodeURIComponent(hub.revision)}?blobs=true`;
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (cause) {
    if (signal.aborted) throw new BertlensError('aborted', 'the call was aborted');
    const kept = await storedRevision(hub);
    if (kept) return { ...kept, bytes: undefined, integrity: {} };
    throw new BertlensError('io', 'huggingface.co cannot be reached', { cause });
  }
  const at = hub.revision === 'main' ? '' : ` at ${hub.revision}`;
  if (response.status === 401 || response.status === 403 || response.status === 404) {
    throw new BertlensError(
      'not_found',
      `there is no ${hub.name}${at} on huggingface.co that is open to everyone (HTTP status ${response.status})`,
    );
  }
  if (!response.ok) {
    throw new BertlensError(
      'io',
      `huggingface.co did not give ${hub.name}${at} (HTTP status ${response.status})`,
    );
  }
  const answer: unknown = await response.json().catch(() => undefined);
  if (!isAnswer(answer)) {
    throw new BertlensError('io', 'huggingface.co answered in a way that this page does not understand');
  }
  const files = wantedFiles(answer.siblings.map((file) => file.rfilename));
  const listing = { name: answer.id, revision: answer.sha, files };
  const kept = await storedRevision({ name: answer.id, revision: answer.sha });
  const used = answer.siblings.filter((file) => files.includes(file.rfilename));
  return {
    ...listing,
    bytes: used.reduce((sum, file) => sum + (file.size ?? 0), 0),
    integrity: kept
      ? {}
      : Object.fromEntries(
          used.flatMap((file) => (file.lfs?.sha256 ? [[file.rfilename, file.lfs.sha256]] : [])),
        ),
  };
}
