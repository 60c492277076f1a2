// Reads tables written as text: quoted fields, doubled quotes, either line ending (RFC 4180). Commas separate them; or tabs,
// as copied from a spreadsheet; or semicolons, where the comma is the decimal point.

/** The separator, as the first line shows it outside quotes. */
function separatorOf(text: string): string {
  let bare = '';
  let quoted = false;
  let before = ',';
  for (const character of text.trimStart()) {
    // a quote opens at the start of a field; a second one after the first is a doubled one
    if (character === '"') quoted = !quoted && /[\t;,"]/.test(before);
    else if (!quoted && character === '\n') break;
    else if (!quoted) bare += character;
    before = character;
  }
  if (bare.includes('\t')) return '\t';
  return bare.includes(';') && !bare.includes(',') ? ';' : ',';
}

export function readCsv(text: string): string[][] {
  const separator = separatorOf(text);
  const rows: string[][] = [];
  let row: string[] = [];
  let field = '';
  let quoted = false;
  const endRow = () => {
    row.push(field);
    if (row.length > 1 || row[0] !== '') rows.push(row);
    row = [];
    field = '';
  };
  for (let i = 0; i < text.length; i += 1) {
    const character = text.charAt(i);
    if (quoted) {
      if (character !== '"') field += character;
      else if (text.charAt(i + 1) === '"') {
        field += '"';
        i += 1;
      } else quoted = false;
    } else if (character === '"' && field === '') quoted = true;
    else if (character === separator) {
      row.push(field);
      field = '';
    } else if (character === '\n') endRow();
    else if (character !== '\r') field += character;
  }
  endRow();
  return rows;
}
