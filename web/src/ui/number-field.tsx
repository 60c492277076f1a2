// A whole number within bounds. What is typed outside them is brought back when the field is left, and the bounds are said.
import { useState } from 'preact/hooks';
import { count } from '../lib/format';

interface NumberFieldProps {
  label: string;
  value: number;
  low: number;
  high: number;
  /** In one line with its label. */
  inline?: boolean;
  onChange: (value: number) => void;
}

export function NumberField({ label, value, low, high, inline = false, onChange }: NumberFieldProps) {
  // as typed, where that is no value yet
  const [draft, setDraft] = useState<string | null>(null);
  const [corrected, setCorrected] = useState(false);
  return (
    <label class={inline ? 'field inline' : 'field'}>
      <span>{label}</span>
      <input
        class={inline ? 'input short' : 'input'}
        type="number"
        min={low}
        max={high}
        value={draft ?? value}
        onInput={(event) => {
          const { value: text, valueAsNumber: typed } = event.currentTarget;
          const fits = Number.isInteger(typed) && typed >= low && typed <= high;
          setCorrected(false);
          setDraft(fits ? null : text);
          if (fits) onChange(typed);
        }}
        onBlur={(event) => {
          if (draft === null) return;
          const typed = event.currentTarget.valueAsNumber;
          if (Number.isFinite(typed)) onChange(Math.min(high, Math.max(low, Math.round(typed))));
          setDraft(null);
          setCorrected(true);
        }}
      />
      <span class="field-note" role="status">
        {corrected && `${count(low)} to ${count(high)}`}
      </span>
    </label>
  );
}
