// The page's model: fetched after the tokenizer, kept by the package in the browser's storage, run in a worker.
import { signal } from '@preact/signals';
import type { Bert, ProgressEvent } from 'bertlens';
import { defaultModel } from './tokenizer';

export type { Bert } from 'bertlens';

/** The loaded model, or null before its arrival. */
export const bert = signal<Bert | null>(null);

/** The last step of the arrival; null before and after. */
export const progress = signal<ProgressEvent | null>(null);

/** Why there is no model, in one sentence. */
export const modelTrouble = signal<string | null>(null);

/** Milliseconds that the last answer took. */
export const lastAnswer = signal<number | null>(null);

// Named outright, so that no file is asked for that the default model does not have.
const files = ['config.json', 'model.safetensors', 'vocab.txt'];

let loading: Promise<void> | undefined;

async function load(): Promise<void> {
  modelTrouble.value = null;
  try {
    const engine = await import('bertlens');
    bert.value = await engine.load(defaultModel, {
      files,
      onProgress: (event) => {
        progress.value = event;
      },
    });
  } catch (error) {
    modelTrouble.value = error instanceof Error ? error.message : String(error);
    loading = undefined;
  }
  progress.value = null;
}

/** Starts the model's arrival, once; again after a failure. */
export function startModel(): void {
  loading ??= load();
}

/** Times a call of the model for the status line. */
export async function timed<T>(call: Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await call;
  lastAnswer.value = performance.now() - start;
  return result;
}
