// Shows its content once the model has arrived; until then a quiet line with bytes, or the reason and the remedy.
import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { bert, modelTrouble, progress, startModel, type Bert } from '../engine/model';
import { bytes } from '../lib/format';

export function modelArrival(): string {
  const step = progress.value;
  if (!step) return 'The model is on its way.';
  const total = step.total === undefined ? '' : ` of ${bytes(step.total)}`;
  return `The model is on its way: ${bytes(step.loaded)}${total}.`;
}

interface WithModelProps {
  children: (ready: Bert) => ComponentChildren;
  /** The one place of a section that says why the model is missing; the others only wait. */
  speaks?: boolean;
}

export function WithModel({ children, speaks }: WithModelProps) {
  useEffect(startModel, []);
  if (bert.value) return <>{children(bert.value)}</>;
  if (modelTrouble.value && speaks) {
    return (
      <div class="trouble" role="alert">
        The model did not load: {modelTrouble.value}
        <div class="row">
          <button type="button" class="button" onClick={startModel}>
            Try again
          </button>
        </div>
      </div>
    );
  }
  return <p class="hint">{modelTrouble.value ? 'This needs the model.' : modelArrival()}</p>;
}

/** What went wrong with a call, where it arose. */
export function Trouble({ text }: { text: string | null }) {
  return text === null ? null : (
    <p class="trouble" role="alert">
      {text}
    </p>
  );
}
