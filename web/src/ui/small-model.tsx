// Said once in a section where knowledge counts: the default model is a small one, and what the notebook's printed there.
import type { ComponentChildren } from 'preact';
import { loaded } from '../engine/model';
import { address } from '../state/url';

/** Nothing where another model is loaded. `children`: what bert-base-uncased printed for the question on screen. */
export function SmallModel({ children }: { children?: ComponentChildren }) {
  const here = loaded.value;
  if (here?.choice.kind !== 'default') return null;
  const millions = (here.model.info.totalParameters / 1e6).toFixed(0);
  return (
    <p class="aside" data-testid="small-model">
      The model here is a small one of {millions} million parameters, where bert-base-uncased has 109 million:
      it knows how sentences go, and few facts. {children} <a href={address('model')}>Load a larger one</a>
    </p>
  );
}
