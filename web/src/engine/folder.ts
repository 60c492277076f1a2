// A model folder from this device: dropped on the page, chosen, or behind a directory handle. Out of all its files those of
// one model are picked.
import { BertlensError } from 'bertlens/tokenizer';
import { plural } from '../lib/format';

/** A file with its path below what was dropped or chosen. */
export interface PathFile {
  readonly path: string;
  readonly file: File;
}

export interface ModelFolder {
  readonly name: string;
  readonly files: readonly File[];
}

// A folder with more files than this, or deeper, is somebody's home and not a model.
const mostFiles = 5000;
const deepest = 6;

const modelFile =
  /^(config\.json|tokenizer\.json|tokenizer_config\.json|vocab\.txt|pytorch_model\.bin|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json)$/;

function base(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function parent(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** The folder nearest to the top that has a config.json, and its files that a model is made of. */
export async function pickModel(found: readonly PathFile[]): Promise<ModelFolder> {
  if (found.length === 0) throw new BertlensError('not_found', 'there are no files in what was chosen');
  const configs = found
    .filter(({ path }) => base(path) === 'config.json')
    .map(({ path }) => parent(path))
    .sort((a, b) => a.split('/').length - b.split('/').length || a.localeCompare(b));
  const [folder, next] = configs;
  if (folder === undefined) {
    const names = found.slice(0, 3).map(({ path }) => base(path));
    throw new BertlensError(
      'not_found',
      `there is no config.json among the ${plural(found.length, 'file')} chosen (${names.join(', ')}${found.length > 3 ? ', …' : ''})`,
    );
  }
  if (next?.split('/').length === folder.split('/').length) {
    throw new BertlensError('invalid_argument', `there are several models in there: ${configs.join(', ')}`);
  }
  const files = found
    .filter(({ path }) => parent(path) === folder && modelFile.test(base(path)))
    .map(({ file }) => file);
  await refusePointers(files);
  return { name: base(folder) || 'Your folder', files };
}

/** A clone without Git LFS has a few lines of text where the weights should be. */
async function refusePointers(files: readonly File[]): Promise<void> {
  for (const file of files) {
    if (file.size > 1024 || !file.name.endsWith('.safetensors')) continue;
    if ((await file.text()).startsWith('version https://git-lfs')) {
      throw new BertlensError('invalid_model', `${file.name} is only a pointer of Git LFS, not the weights`);
    }
  }
}

/** What an <input type="file"> gives, a folder's or single files'. */
export function filesOfInput(list: FileList): PathFile[] {
  return Array.from(list, (file) => ({ path: file.webkitRelativePath || file.name, file }));
}

async function walkEntry(entry: FileSystemEntry, found: PathFile[], depth: number): Promise<void> {
  if (depth > deepest || found.length > mostFiles) return;
  if (entry.isFile) {
    const file = await new Promise<File>((done, fail) => {
      (entry as FileSystemFileEntry).file(done, fail);
    });
    found.push({ path: entry.fullPath.replace(/^\//, ''), file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // a reader gives its entries in parts, the last one empty
    const part = await new Promise<FileSystemEntry[]>((done, fail) => {
      reader.readEntries(done, fail);
    });
    if (part.length === 0) return;
    for (const child of part) await walkEntry(child, found, depth + 1);
  }
}

/** To be called within the drop event: its items are gone after it. */
export async function filesOfDrop(transfer: DataTransfer): Promise<PathFile[]> {
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry()).filter(
    (entry) => entry !== null,
  );
  if (entries.length === 0) return filesOfInput(transfer.files);
  const found: PathFile[] = [];
  for (const entry of entries) await walkEntry(entry, found, 0);
  return found;
}

type Picker = () => Promise<FileSystemDirectoryHandle>;

/** The browser's own folder dialogue, where it has one that gives a handle. */
export function directoryPicker(): Picker | undefined {
  const { showDirectoryPicker } = window as { showDirectoryPicker?: Picker };
  return showDirectoryPicker && (() => showDirectoryPicker.call(window));
}

export async function filesOfHandle(
  handle: FileSystemDirectoryHandle,
  prefix = handle.name,
  found: PathFile[] = [],
  depth = 0,
): Promise<PathFile[]> {
  if (depth > deepest) return found;
  for await (const child of (handle as unknown as { values(): AsyncIterable<FileSystemHandle> }).values()) {
    if (found.length > mostFiles) break;
    const path = `${prefix}/${child.name}`;
    if (child.kind === 'file') {
      found.push({ path, file: await (child as FileSystemFileHandle).getFile() });
    } else {
      await filesOfHandle(child as FileSystemDirectoryHandle, path, found, depth + 1);
    }
  }
  return found;
}
