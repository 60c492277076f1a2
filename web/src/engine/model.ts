// The page's model: which one, its arrival with progress and cancel, its end and return. A new one takes the place of the
// old only when it is whole, so that a failure leaves the page as it was. The package runs it in a worker.
import { batch, computed, effect, signal } from '@preact/signals';
import type { Bert, LoadOptions, MemoryUse, ModelSource, ProgressEvent } from 'bertlens';
import { choiceCodec, parameter, textCodec } from '../state/url';
import { hubAddress, listHub, readHubName, type HubName } from './hub';
import { isWhole, refreshStored, stored, storedRevision } from './storage';
import { defaultModel, modelTokenizer } from './tokenizer';
import { codeOf, troubleOf, type Trouble } from './trouble';

export type { Bert } from 'bertlens';

export const precisions = ['stored', 'f32', 'f16', 'int8'] as const;
export type WantedPrecision = (typeof precisions)[number];

/** A model that can be asked for. */
export type Choice =
  | { readonly kind: 'default' }
  | { readonly kind: 'hub'; readonly hub: HubName }
  | { readonly kind: 'files'; readonly name: string; readonly files: readonly File[] };

/** The model that is there, and what it was asked as. */
export interface Loaded {
  readonly model: Bert;
  readonly choice: Choice;
  readonly precision: WantedPrecision;
  /** From asking to being there. */
  readonly seconds: number;
  /** Of its files. */
  readonly bytes: number;
  readonly source: ProgressEvent['source'];
  /** Whether this browser keeps its files; undefined where it is not meant to, or is not known yet. */
  readonly kept?: boolean;
}

/** A model that is on its way. */
export interface Arrival {
  readonly choice: Choice;
  readonly precision: WantedPrecision;
  /** The last step of each file. */
  readonly files: readonly ProgressEvent[];
  /** Bytes of all its files, where they are known. */
  readonly total: number | undefined;
  /** By performance.now(). */
  readonly started: number;
  readonly cancel: () => void;
}

/** Why an asked model is not there. */
export interface ModelTrouble extends Trouble {
  readonly choice: Choice;
  readonly precision: WantedPrecision;
}

export const loaded = signal<Loaded | null>(null);
/** The loaded model, or null before its arrival. */
export const bert = computed<Bert | null>(() => loaded.value?.model ?? null);
export const arrival = signal<Arrival | null>(null);
export const modelTrouble = signal<ModelTrouble | null>(null);
/** How a running model came to its end; stays until it is read. */
export const lost = signal<Trouble | null>(null);
/** A model that a link names and that would have to be downloaded: the visitor decides. */
export const offered = signal<HubName | null>(null);
/** Milliseconds that the last answer took. */
export const lastAnswer = signal<number | null>(null);
/** What the loaded model holds, as of its last answer. */
export const memory = signal<MemoryUse | null>(null);

// The address names a model of the hub; an address that names none lets what is loaded stay.
const named = parameter('*', 'model', '', textCodec, { sticky: true });
const namedPrecision = parameter<WantedPrecision>('*', 'precision', 'stored', choiceCodec(precisions), {
  sticky: true,
});

export const theDefault: Choice = { kind: 'default' };

export function choiceName(choice: Choice): string {
  if (choice.kind === 'default') return 'Default model';
  return choice.kind === 'hub' ? hubTitle(choice.hub) : choice.name;
}

export function hubTitle(hub: HubName): string {
  return hub.revision === 'main' ? hub.name : `${hub.name}@${hub.revision}`;
}

// Named outright, so that no file is asked for that the default model does not have.
const defaultFiles = ['config.json', 'model.safetensors', 'vocab.txt'];

interface Source {
  readonly source: ModelSource;
  readonly options: LoadOptions;
  readonly bytes: number | undefined;
  /** As the hub writes it. */
  readonly choice: Choice;
}

async function sourceOf(choice: Choice, abort: AbortSignal): Promise<Source> {
  switch (choice.kind) {
    case 'default':
      if (!__MODEL_INCLUDED__) {
        throw new Error('this page was built without a model: load one under “Your model”');
      }
      return { source: defaultModel, options: { files: defaultFiles }, bytes: undefined, choice };
    case 'files':
      return {
        source: choice.files,
        options: { files: choice.files.map((file) => file.name) },
        bytes: choice.files.reduce((sum, file) => sum + file.size, 0),
        choice,
      };
    case 'hub': {
      const { name, revision, files, integrity, bytes } = await listHub(choice.hub, abort);
      return {
        source: name,
        options: { revision, files, integrity },
        bytes,
        choice: { kind: 'hub', hub: { name, revision: choice.hub.revision } },
      };
    }
  }
}

// Bytes arrive in thousands of steps; the screen follows at a pace that can be read.
const paintEvery = 80;

function follow(mine: Arrival, files: Map<string, ProgressEvent>): (event: ProgressEvent) => void {
  let timer = 0;
  return (event) => {
    files.set(event.file, event);
    timer ||= window.setTimeout(() => {
      timer = 0;
      if (arrival.peek()?.cancel === mine.cancel) {
        arrival.value = { ...arrival.peek()!, files: [...files.values()] };
      }
    }, paintEvery);
  };
}

const calledOff: Trouble = {
  code: 'aborted',
  sentence: 'Loading was called off.',
  remedy: 'Load it again, or another model.',
};

let current: AbortController | undefined;

async function load(choice: Choice, precision: WantedPrecision): Promise<void> {
  current?.abort();
  const abort = new AbortController();
  current = abort;
  const files = new Map<string, ProgressEvent>();
  const mine: Arrival = {
    choice,
    precision,
    files: [],
    total: undefined,
    started: performance.now(),
    cancel: () => {
      abort.abort();
    },
  };
  batch(() => {
    modelTrouble.value = null;
    arrival.value = mine;
  });
  let source: Source | undefined;
  try {
    const engine = await import('bertlens');
    source = await sourceOf(choice, abort.signal);
    if (current === abort) arrival.value = { ...mine, total: source.bytes };
    const model = await engine.load(source.source, {
      ...source.options,
      ...(precision !== 'stored' && { precision }),
      statistics: true,
      signal: abort.signal,
      onProgress: follow(mine, files),
    });
    if (abort.signal.aborted) {
      await model.dispose();
      return;
    }
    const before = loaded.peek()?.model;
    const events = [...files.values()];
    batch(() => {
      loaded.value = {
        model,
        choice: source!.choice,
        precision,
        seconds: (performance.now() - mine.started) / 1000,
        bytes: events.reduce((sum, event) => sum + event.loaded, 0),
        source: events.find((event) => event.file.endsWith('.safetensors'))?.source ?? 'file',
      };
      lastAnswer.value = null;
      memory.value = null;
      modelTokenizer.value = choice.kind === 'default' ? null : model.tokenizer;
      if (offered.peek() === null) {
        named.value = source!.choice.kind === 'hub' ? hubTitle(source!.choice.hub) : '';
        namedPrecision.value = choice.kind === 'files' ? 'stored' : precision;
      }
    });
    void before?.dispose();
    void askMemory();
  } catch (error) {
    if (current !== abort) return;
    if (codeOf(error) === 'aborted') {
      if (!loaded.peek()) modelTrouble.value = { ...calledOff, choice, precision };
      return;
    }
    const damaged = /^(\S+) has SHA-256/.exec(error instanceof Error ? error.message : '')?.[1];
    if (damaged !== undefined && source) await forget(source, damaged);
    modelTrouble.value = { ...troubleOf(error), choice, precision };
  } finally {
    if (current === abort) {
      current = undefined;
      arrival.value = null;
    }
    void lookKept();
  }
}

/** Whether a full or refused storage let the loaded model go. */
async function lookKept(): Promise<void> {
  const before = loaded.peek();
  await refreshStored();
  const now = loaded.peek();
  if (!now || now !== before || now.choice.kind === 'files') return;
  const own = now.choice.kind === 'hub' ? now.choice.hub.name : undefined;
  const kept = (stored.peek() ?? []).some(
    (model) =>
      (own === undefined ? model.folder === defaultModel : model.hub?.name === own) && isWhole(model),
  );
  loaded.value = { ...now, kept };
}

/** A damaged file must not come back from storage. */
async function forget({ source, options }: Source, file: string): Promise<void> {
  if (typeof source !== 'string') return;
  const { deleteStored } = await import('bertlens');
  await deleteStored(`${hubAddress}/${source}/resolve/${options.revision ?? 'main'}/${file}`);
}

let begun = false;

/** Loads a model at the visitor's wish; what was on its way before is left off. */
export function useModel(choice: Choice, precision: WantedPrecision): void {
  begun = true; // what was chosen before a first model came is not replaced by the default one
  lost.value = null;
  offered.value = null;
  void load(choice, precision);
}

/** Starts the first model's arrival, once: the one that the address names where it is kept here, else the default one. */
export function startModel(): void {
  if (begun) return;
  begun = true;
  void begin();
}

async function begin(): Promise<void> {
  const hub = readHubName(named.peek());
  const precision = namedPrecision.peek();
  if (hub && (await storedRevision(hub))) {
    await load({ kind: 'hub', hub }, precision);
    if (loaded.peek()) return;
  }
  if (hub) {
    offered.value = hub;
    await load(theDefault, 'stored');
  } else {
    await load(theDefault, precision);
  }
}

/** Takes up again what failed. */
export function retryModel(): void {
  const failed = modelTrouble.peek();
  void load(failed?.choice ?? theDefault, failed?.precision ?? 'stored');
}

export function acceptOffer(): void {
  const hub = offered.peek();
  if (hub) useModel({ kind: 'hub', hub }, namedPrecision.peek());
}

export function declineOffer(): void {
  batch(() => {
    offered.value = null;
    named.value = '';
    namedPrecision.value = loaded.peek()?.precision ?? 'stored';
  });
}

// A link followed while the page is open may name another model than the one that is there.
effect(() => {
  const hub = readHubName(named.value);
  if (!begun || !hub) return;
  const title = hubTitle(hub);
  const choice = (arrival.peek() ?? loaded.peek())?.choice;
  if (choice?.kind === 'hub' && hubTitle(choice.hub) === title) return;
  if (offered.peek() && hubTitle(offered.peek()!) === title) return;
  void storedRevision(hub).then((kept) => {
    if (kept) useModel({ kind: 'hub', hub }, namedPrecision.peek());
    else offered.value = hub;
  });
});

async function askMemory(): Promise<void> {
  const model = bert.peek();
  if (!model) return;
  const use = await model.memory().catch(() => null);
  if (bert.peek() === model) memory.value = use;
}

// A model that dies twice within this time is not started again without being asked for.
const patience = 60_000;
let lastLoss = -Infinity;

function lose(model: Bert, error: unknown): void {
  const was = loaded.peek();
  if (was?.model !== model) return;
  const trouble = troubleOf(error);
  const again = performance.now() - lastLoss > patience;
  lastLoss = performance.now();
  batch(() => {
    lost.value = trouble;
    loaded.value = null;
  });
  void model.dispose();
  if (again) void load(was.choice, was.precision);
  else modelTrouble.value = { ...trouble, choice: was.choice, precision: was.precision };
}

/** Passes an answer on; a worker that has died is noticed here, and its model loaded again. */
export async function watched<T>(model: Bert, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'crashed' || code === 'out_of_memory') lose(model, error);
    throw error;
  }
}

/** Times a call of the model for the status line. */
export async function timed<T>(call: Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await call;
  lastAnswer.value = performance.now() - start;
  void askMemory();
  return result;
}
