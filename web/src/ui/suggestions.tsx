// A row of things to try, each a word or two.

/** `items`: what each says, and what it brings. */
export function Suggestions<Value>({
  title,
  items,
  onChoose,
}: {
  title: string;
  items: readonly (readonly [label: string, value: Value])[];
  onChoose: (value: Value) => void;
}) {
  return (
    <div class="row">
      <span class="hint">{title}</span>
      {items.map(([label, value]) => (
        <button
          type="button"
          class="link hint"
          key={label}
          onClick={() => {
            onChoose(value);
          }}
        >
          {label}
        </button>
      ))}
    </div>
  );
}
