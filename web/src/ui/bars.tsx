// A ranked list with bars: probability first, then what else is known of each entry.
import { percent, probability } from '../lib/format';

export interface Bar {
  label: string;
  value: number;
  /** Small print after the number. */
  note?: string;
  marked?: boolean;
}

/** `most`: the value of the longest bar. By default 1, and the track behind each then shows what is missing to it. */
export function Bars({ bars, label, most = 1 }: { bars: readonly Bar[]; label: string; most?: number }) {
  return (
    <ol class={most === 1 ? 'bars' : 'bars scaled'} aria-label={label}>
      {bars.map((bar, i) => (
        <li key={i} class={bar.marked ? 'bar marked' : 'bar'}>
          <span class="bar-label">{bar.label}</span>
          <span class="bar-track" aria-hidden="true">
            <span class="bar-fill" style={{ width: percent(bar.value / most, 3).replace('\u00a0', '') }} />
          </span>
          <span class="bar-value">{probability(bar.value)}</span>
          {bar.note !== undefined && <span class="bar-note">{bar.note}</span>}
        </li>
      ))}
    </ol>
  );
}
