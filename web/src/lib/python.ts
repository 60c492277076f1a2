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

/** Texts as a command's last arguments; after "--", where one could be taken for an option. */
export function shellTexts(texts: readonly string[], between = ' '): string {
  const dashes = texts.some((text) => text.startsWith('-')) ? ['--'] : [];
  return [...dashes, ...texts.map(shellString)].join(between);
}

/** An option with a text as its value; in one word with it, where the text could be taken for an option. */
export function shellOption(name: string, text: string): string {
  return `${name}${text.startsWith('-') ? '=' : ' '}${shellString(text)}`;
}

/** A JavaScript string in single quotes, as prettier would choose. */
export function javascriptString(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
  return quote + (quote === "'" ? body.replaceAll("'", "\\'") : body.replaceAll('"', '\\"')) + quote;
}
