// One choice among a few, as a row of buttons.

interface TabsProps<T extends string> {
  label: string;
  options: Readonly<Partial<Record<T, string>>>;
  value: T;
  /** Small print beside an option, e.g. a count. */
  notes?: Readonly<Partial<Record<T, string>>>;
  onChange: (value: T) => void;
}

export function Tabs<T extends string>({ label, options, value, notes, onChange }: TabsProps<T>) {
  return (
    <div class="choice" role="group" aria-label={label}>
      {(Object.keys(options) as T[]).map((option) => (
        <button
          type="button"
          key={option}
          aria-pressed={option === value}
          onClick={() => {
            onChange(option);
          }}
        >
          {options[option]}
          {notes?.[option] !== undefined && <small>{notes[option]}</small>}
        </button>
      ))}
    </div>
  );
}
