// Tables and pictures leave the page as Markdown, CSV, SVG or PNG.

export type Cell = string | number | boolean | null;

export interface Table {
  columns: readonly string[];
  rows: readonly (readonly Cell[])[];
}

function plain(cell: Cell): string {
  return cell === null ? '' : String(cell);
}

/** RFC 4180: comma separated, quotes doubled, lines ended by CR LF. */
export function toCsv(table: Table): string {
  const field = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [table.columns.map(field), ...table.rows.map((row) => row.map((cell) => field(plain(cell))))]
    .map((row) => `${row.join(',')}\r\n`)
    .join('');
}

/** A GitHub table with its columns aligned; pipes and line breaks inside cells are escaped. */
export function toMarkdown(table: Table): string {
  const text = (cell: Cell) =>
    plain(cell).replaceAll('\\', '\\\\').replaceAll('|', '\\|').replaceAll(/\r?\n/g, ' ');
  const rows = table.rows.map((row) => row.map(text));
  const widths = table.columns.map((column, i) =>
    Math.max(3, column.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const numeric = table.columns.map(
    (_, i) => table.rows.length > 0 && table.rows.every((row) => typeof row[i] === 'number'),
  );
  const pad = (cell: string, i: number) =>
    numeric[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0);
  const line = (cells: readonly string[]) => `| ${cells.map(pad).join(' | ')} |\n`;
  const rule = `|${widths.map((width, i) => (numeric[i] ? `${'-'.repeat(width + 1)}:` : `:${'-'.repeat(width + 1)}`)).join('|')}|\n`;
  return line(table.columns) + rule + rows.map(line).join('');
}

export function download(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const anchor = document.createElement('a');
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  // The browser reads the object after the click returns.
  window.setTimeout(() => {
    URL.revokeObjectURL(url);
  }, 10_000);
}
