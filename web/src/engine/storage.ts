// What this browser keeps of models, by model; the package stores and deletes file by file.
import { signal } from '@preact/signals';
import type { StoredFile } from 'bertlens';
import { defaultModel } from './tokenizer';

export interface StoredModel {
  /** The address of its folder. */
  readonly folder: string;
  readonly title: string;
  /** Set for models of the hub. */
  readonly hub?: { readonly name: string; readonly revision: string };
  readonly files: readonly StoredFile[];
  readonly bytes: number;
  readonly storedAt: Date;
}

export interface Estimate {
  readonly usage: number;
  readonly quota: number;
  /** Whether the browser has promised not to clear it when space is short. */
  readonly persisted: boolean;
}

/** null before the first look. */
export const stored = signal<readonly StoredModel[] | null>(null);
/** null where the browser does not tell. */
export const estimate = signal<Estimate | null>(null);
export const storageTrouble = signal<string | null>(null);

const hubFolder = /^https:\/\/huggingface\.co\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/$/;

function title(folder: string): Pick<StoredModel, 'title' | 'hub'> {
  if (folder === defaultModel) return { title: 'Default model' };
  const [, name, revision] = hubFolder.exec(folder) ?? [];
  if (name === undefined || revision === undefined) return { title: folder };
  return { title: name, hub: { name, revision: decodeURIComponent(revision) } };
}

function byModel(files: readonly StoredFile[]): StoredModel[] {
  const folders = new Map<string, StoredFile[]>();
  for (const file of files) {
    const folder = file.url.slice(0, file.url.lastIndexOf('/') + 1);
    const own = folders.get(folder);
    if (own) own.push(file);
    else folders.set(folder, [file]);
  }
  return [...folders]
    .map(([folder, own]) => ({
      folder,
      ...title(folder),
      files: own,
      bytes: own.reduce((sum, file) => sum + file.size, 0),
      storedAt: own.reduce((last, file) => (file.storedAt > last ? file.storedAt : last), own[0]!.storedAt),
    }))
    .sort((a, b) => b.storedAt.getTime() - a.storedAt.getTime());
}

async function list(): Promise<StoredModel[]> {
  const { listStored } = await import('bertlens');
  return byModel(await listStored());
}

export async function refreshStored(): Promise<void> {
  try {
    stored.value = await list();
    storageTrouble.value = null;
  } catch (error) {
    stored.value = [];
    storageTrouble.value = error instanceof Error ? error.message : String(error);
  }
  try {
    const { storageEstimate } = await import('bertlens');
    estimate.value = { ...(await storageEstimate()), persisted: await navigator.storage.persisted() };
  } catch {
    estimate.value = null;
  }
}

export async function deleteModel(folder: string): Promise<void> {
  const { deleteStored } = await import('bertlens');
  await deleteStored(folder);
  await refreshStored();
}

/** Asks the browser not to clear this origin's storage when space is short; whether it agrees is its own affair. */
export async function keepFast(): Promise<boolean> {
  const agreed = await navigator.storage.persist().catch(() => false);
  await refreshStored();
  return agreed;
}

/** Whether nothing of a model is missing that loading it needs. */
export function isWhole(model: StoredModel): boolean {
  const names = model.files.map((file) => file.url.slice(model.folder.length));
  const shards = names.filter((name) => /^model-\d+-of-\d+\.safetensors$/.test(name));
  const total = Number(/-of-(\d+)\./.exec(shards[0] ?? '')?.[1] ?? -1);
  return (
    names.includes('config.json') &&
    (names.includes('tokenizer.json') || names.includes('vocab.txt')) &&
    (names.includes('model.safetensors') ||
      (names.includes('model.safetensors.index.json') && shards.length === total))
  );
}

/** The commit of a hub's model that is kept whole, the newest where the name stands for a branch. */
export async function storedRevision(hub: {
  name: string;
  revision: string;
}): Promise<{ name: string; revision: string; files: string[] } | undefined> {
  const models = await list().catch(() => []);
  const found = models.find(
    (model) =>
      model.hub?.name === hub.name &&
      (hub.revision === 'main' || model.hub.revision === hub.revision) &&
      isWhole(model),
  );
  if (!found?.hub) return undefined;
  return { ...found.hub, files: found.files.map((file) => file.url.slice(found.folder.length)) };
}
