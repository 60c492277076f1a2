// Shows its content once the model has arrived; until then a quiet line with bytes, or the reason and the remedy.
import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import {
  arrival,
  bert,
  modelTrouble,
  retryModel,
  startModel,
  type Bert,
  type ModelTrouble,
} from '../engine/model';
import { sentenceCase } from '../lib/format';
import { address } from '../state/url';
import { arrivalLine } from './arrival';

export function modelArrival(): string {
  return arrival.value ? arrivalLine(arrival.value) : 'The model is on its way.';
}

interface WithModelProps {
  children: (ready: Bert) => ComponentChildren;
  /** The one place of a section that says why the model is missing; the others only wait. */
  speaks?: boolean;
  /** About the height of the content: kept free for it and its first answer, so that nothing below moves meanwhile. */
  room?: string;
}

/** Why there is no model, and what can be done about it. */
export function NoModel({ trouble }: { trouble: ModelTrouble }) {
  return (
    <div class="trouble" role="alert">
      <strong>There is no model to ask.</strong> {trouble.sentence} {trouble.remedy}
      <div class="row">
        <button type="button" class="button" onClick={retryModel}>
          Try again
        </button>
        <a href={address('model')}>Choose another model</a>
      </div>
    </div>
  );
}

export function WithModel({ children, speaks, room }: WithModelProps) {
  useEffect(startModel, []);
  if (bert.value) {
    const content = children(bert.value);
    return room === undefined ? <>{content}</> : <div style={{ minHeight: room }}>{content}</div>;
  }
  const trouble = modelTrouble.value;
  if (trouble && speaks) {
    return <NoModel trouble={trouble} />;
  }
  return (
    <p class="hint" style={{ minHeight: room }}>
      {trouble ? 'This needs a model.' : modelArrival()}
    </p>
  );
}

/** What went wrong with a call, where it arose; `children`: what can be done about it. */
export function Trouble({ text, children }: { text: string | null; children?: ComponentChildren }) {
  return text === null ? null : (
    <div class="trouble" role="alert">
      {sentenceCase(text)}
      {children}
    </div>
  );
}
