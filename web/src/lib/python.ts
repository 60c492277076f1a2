// Values as Python prints them, to stand beside the notebook's output.

/** 'it' or "it's", as repr() does. */
export function pythonString(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text
    .replaceAll('\\', '\\\\')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t')
    .replaceAll(quote, `\\${quote}`);
  return quote + escaped + quote;
}

/** ['a', 'b'] */
export function pythonList(items: Iterable<string | number>): string {
  return `[${[...items].map((item) => (typeof item === 'number' ? String(item) : pythonString(item))).join(', ')}]`;
}

/** A word of a POSIX shell. */
export function shellString(text: string): string {
  return /^[\w./:=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A JavaScript string in single quotes, as prettier would choose. */
export function javascriptString(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
  return quote + (quote === "'" ? body.replaceAll("'", "\\'") : body.replaceAll('"', '\\"')) + quote;
}
