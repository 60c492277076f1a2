// One choice among a few, as a row of buttons.

interface TabsProps<T extends string> {
  label: string;
  options: Readonly<Partial<Record<T, string>>>;
  value: T;
  /** Small print beside an option, e.g. a count. */
  notes?: Readonly<Partial<Record<T, string>>>;
  /** What is chosen here, where that must be said; the label is for readers alone. */
  caption?: string;
  onChange: (value: T) => void;
}

export function Tabs<T extends string>({ label, options, value, notes, caption, onChange }: TabsProps<T>) {
  const choice = (
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
  if (caption === undefined) return choice;
  return (
    <div class="row">
      <span class="hint">{caption}</span>
      {choice}
    </div>
  );
}

interface PlaceTabsProps {
  label: string;
  /** What each is called; a number stands for so many that are called 1, 2, 3. */
  places: number | readonly string[];
  /** From 0. */
  value: number;
  caption?: string;
  onChange: (value: number) => void;
}

/** One of a list, by its place. */
export function PlaceTabs({ places, value, onChange, ...rest }: PlaceTabsProps) {
  const names = typeof places === 'number' ? Array.from({ length: places }, (_, i) => String(i + 1)) : places;
  return (
    <Tabs
      {...rest}
      options={Object.fromEntries(names.map((name, i) => [String(i), name]))}
      value={String(value)}
      onChange={(next) => {
        onChange(Number(next));
      }}
    />
  );
}
