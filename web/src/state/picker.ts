// What the model picker holds: where to look, the precision wanted, and why what was chosen is no model.
import { signal } from '@preact/signals';
import { pickModel, type PathFile } from '../engine/folder';
import { useModel, type WantedPrecision } from '../engine/model';
import { troubleOf, type Trouble } from '../engine/trouble';

export type Way = 'default' | 'hub' | 'device';

export const way = signal<Way>('default');
/** The notebook's model, until another is asked for. */
export const hubText = signal('google-bert/bert-base-uncased');
export const wantedPrecision = signal<WantedPrecision>('stored');
/** Found before anything was loaded; the model that is there stays. */
export const pickTrouble = signal<Trouble | null>(null);

/** Loads the model among files of this device. */
export async function takeFiles(found: Promise<readonly PathFile[]> | readonly PathFile[]): Promise<void> {
  pickTrouble.value = null;
  try {
    const folder = await pickModel(await found);
    useModel({ kind: 'files', ...folder }, wantedPrecision.value);
  } catch (error) {
    pickTrouble.value = troubleOf(error);
  }
}
