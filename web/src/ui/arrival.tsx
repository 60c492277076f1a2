// A model on its way: its files with bytes and where they come from, and a way to call it off.
import { useEffect, useState } from 'preact/hooks';
import { choiceName, type Arrival as ArrivalState } from '../engine/model';
import type { ProgressEvent } from 'bertlens';
import { bytes } from '../lib/format';

const sources: Record<ProgressEvent['source'], string> = {
  network: 'from the network',
  cache: 'kept in this browser',
  file: 'from this device',
};

function bytesOf(arrival: ArrivalState): { done: number; total: number | undefined } {
  const done = arrival.files.reduce((sum, file) => sum + file.loaded, 0);
  // the weights outweigh everything: until they begin, their size alone tells how far it is
  const weights = arrival.files.filter((file) => file.file.endsWith('.safetensors'));
  const known = weights.length > 0 && weights.every((file) => file.total !== undefined);
  const sum = arrival.files.reduce((all, file) => all + (file.total ?? file.loaded), 0);
  return { done, total: arrival.total ?? (known ? sum : undefined) };
}

/** "438 MB of 440 MB", in one line. */
export function arrivalLine(arrival: ArrivalState): string {
  const { done, total } = bytesOf(arrival);
  const name = arrival.choice.kind === 'default' ? 'The model' : choiceName(arrival.choice);
  if (done === 0) return `${name} is on its way.`;
  return `${name} is on its way: ${bytes(done)}${total === undefined ? '' : ` of ${bytes(total)}`}.`;
}

function useSeconds(since: number): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = window.setInterval(() => {
      setNow(performance.now());
    }, 500);
    return () => {
      window.clearInterval(timer);
    };
  }, []);
  return Math.max(0, (now - since) / 1000);
}

function Track({ share }: { share: number | undefined }) {
  return (
    <span class="track" aria-hidden="true">
      {share !== undefined && (
        <span class="track-fill" style={{ width: `${Math.min(100, 100 * share).toFixed(1)}%` }} />
      )}
    </span>
  );
}

export function ArrivalPanel({ arrival }: { arrival: ArrivalState }) {
  const { done, total } = bytesOf(arrival);
  const seconds = useSeconds(arrival.started);
  const share = total ? done / total : undefined;
  return (
    <section class="arrival" aria-label="On its way" data-testid="arrival">
      <div class="row spread">
        <p>
          <strong>{choiceName(arrival.choice)}</strong> is on its way
        </p>
        <button type="button" class="button" onClick={arrival.cancel}>
          Cancel
        </button>
      </div>
      <div
        role="progressbar"
        aria-label={`Loading ${choiceName(arrival.choice)}`}
        aria-valuemin={0}
        aria-valuemax={100}
        {...(share !== undefined && { 'aria-valuenow': Math.round(100 * share) })}
      >
        <Track share={share} />
      </div>
      <p class="hint">
        {bytes(done)}
        {total !== undefined && ` of ${bytes(total)}`}, {seconds.toFixed(0)} s
        {seconds > 2 && done > 0 && `, ${bytes(done / seconds)} a second`}
      </p>
      {arrival.files.length > 0 && (
        <ul class="arrival-files">
          {arrival.files.map((file) => (
            <li key={file.file}>
              <span class="mono">{file.file}</span>
              <Track share={file.total ? file.loaded / file.total : undefined} />
              <span class="hint">
                {bytes(file.loaded)}
                {file.total !== undefined && file.loaded < file.total && ` of ${bytes(file.total)}`},{' '}
                {sources[file.source]}
              </span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
