// Tokens as the page draws them: the continuation mark is dim, the pieces of a word stand in one block.
import { wordMark } from '../state/lit';

/** A token's text with its "##" set back. */
export function TokenText({ token }: { token: string }) {
  if (!token.startsWith('##') || token.length === 2) return <>{token}</>;
  return (
    <>
      <span class="hash">##</span>
      {token.slice(2)}
    </>
  );
}

/** A token in a sentence: boxed, so that a full stop is not taken for the sentence's own. */
export function Said({ token }: { token: string }) {
  return (
    <span class="mono said">
      <TokenText token={token} />
    </span>
  );
}

/** Tokens that stand together: the pieces of one word, or one special token. */
export interface TokenGroup {
  /** Position of the first token. */
  first: number;
  tokens: readonly string[];
  ids: readonly number[];
  /** null for special tokens. */
  word: number | null;
  sequence: number | null;
}

interface Row {
  readonly length: number;
  readonly tokens: readonly string[];
  readonly inputIds: ArrayLike<number>;
  readonly wordIds: readonly (number | null)[];
  readonly sequenceIds: readonly (number | null)[];
}

export function groupTokens(row: Row): TokenGroup[] {
  const groups: {
    first: number;
    tokens: string[];
    ids: number[];
    word: number | null;
    sequence: number | null;
  }[] = [];
  for (let i = 0; i < row.length; i += 1) {
    const word = row.wordIds[i] ?? null;
    const sequence = row.sequenceIds[i] ?? null;
    const last = groups.at(-1);
    if (last && word !== null && last.word === word && last.sequence === sequence) {
      last.tokens.push(row.tokens[i]!);
      last.ids.push(row.inputIds[i]!);
    } else {
      groups.push({ first: i, tokens: [row.tokens[i]!], ids: [row.inputIds[i]!], word, sequence });
    }
  }
  return groups;
}

export function tintClass(word: number | null): string {
  return word === null ? 'special' : `tint-${word % 4}`;
}

interface TokenWordProps {
  group: TokenGroup;
  /** Which text the words belong to; see state/lit.ts. */
  scope: string;
  showIds?: boolean;
  pressed?: boolean;
  onPick?: () => void;
}

export function TokenWord({ group, scope, showIds = true, pressed, onPick }: TokenWordProps) {
  const mark = wordMark(scope, group.word);
  const inner = group.tokens.map((token, i) => (
    <span class="token" key={i}>
      <span>
        <TokenText token={token} />
      </span>
      {showIds && <small>{group.ids[i]}</small>}
    </span>
  ));
  const className = `token-word ${tintClass(group.word)}`;
  if (!onPick) {
    return (
      <span class={className} data-lit={mark}>
        {inner}
      </span>
    );
  }
  return (
    <button type="button" class={className} data-lit={mark} aria-pressed={pressed} onClick={onPick}>
      {inner}
    </button>
  );
}
