// A number that is set by sliding, with what it means now in words above it.
import type { ComponentChildren } from 'preact';

interface SliderProps {
  /** Names it, its value included. */
  children: ComponentChildren;
  value: number;
  low: number;
  high: number;
  step?: number;
  class?: string;
  onChange: (value: number) => void;
}

export function Slider({ children, value, low, high, step = 1, class: className, onChange }: SliderProps) {
  return (
    <label class={['field slider', className].filter(Boolean).join(' ')}>
      <span>{children}</span>
      <input
        type="range"
        min={low}
        max={high}
        step={step}
        value={value}
        onInput={(event) => {
          onChange(event.currentTarget.valueAsNumber);
        }}
      />
    </label>
  );
}
