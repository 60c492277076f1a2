// The masked word section: a text, the words that are hidden in it, and what the model makes of them.
import { batch, computed } from '@preact/signals';
import type { FillMaskResult, ScoreResult } from 'bertlens';
import { answers } from '../../engine/answers';
import { timed } from '../../engine/model';
import { tokenizer, type Tokenizer, type Word } from '../../engine/tokenizer';
import { notebookSentence, sentence } from '../../state/sentence';
import { choiceCodec, integerCodec, parameter, textCodec, type Codec } from '../../state/url';

/** The sentence of the notebook's cell 9, with the word that it hides. */
export const notebookText = 'The capital of France is Paris.';
export const notebookHidden = [5];
export const notebookMasked = 'The capital of France is [MASK].';

const wordsCodec: Codec<readonly number[]> = {
  read: (written) =>
    /^(\d{1,4}(\.\d{1,4})*)?$/.test(written) ? written.split('.').filter(Boolean).map(Number) : undefined,
  write: (value) => value.join('.'),
};

/** The section's own text, with the indexes of its hidden words, ascending; undefined: a word worth guessing. */
const own = parameter('mlm', 'sentence', notebookText, textCodec);
const ownHidden = parameter<readonly number[] | undefined>('mlm', 'hide', notebookHidden, {
  read: (written) => (written === 'auto' ? undefined : wordsCodec.read(written)),
  write: (value) => (value ? wordsCodec.write(value) : 'auto'),
});

/** Which text is on show: until that is chosen, the page's sentence once the visitor has made it theirs. */
const links = ['auto', 'yes', 'no'] as const;
const link = parameter<(typeof links)[number]>('mlm', 'linked', 'auto', choiceCodec(links));
/** The words hidden in the page's sentence, where the visitor has chosen them. */
const linkedHidden = parameter<readonly number[] | undefined>('mlm', 'hide-linked', undefined, {
  read: (written) => (written.startsWith('.') ? wordsCodec.read(written.slice(1)) : undefined),
  write: (value) => (value === undefined ? '' : `.${wordsCodec.write(value)}`),
});

export type Shown = 'linked' | 'notebook' | 'own';
export const shown = computed<Shown>(() => {
  const touched = own.value !== notebookText;
  const yours = sentence.value !== notebookSentence && !touched;
  if (link.value === 'yes' || (link.value === 'auto' && yours)) return 'linked';
  return touched ? 'own' : 'notebook';
});

export const text = computed(() => (shown.value === 'linked' ? sentence.value : own.value));

/** Writes where the text on show comes from. */
export function setText(next: string): void {
  if (shown.value === 'linked') {
    sentence.value = next;
    return;
  }
  const before = words.value;
  const chosen = ownHidden.value;
  batch(() => {
    link.value = 'no'; // typed here, it stays also when the page's sentence changes
    own.value = next;
    // hidden words stay hidden while they stay the words that were chosen, and no gap of the text's own is there
    const same = chosen?.every((at) => words.value[at]?.text === before[at]?.text);
    if (!same || (words.value.some(isMask) && !before.some(isMask))) ownHidden.value = undefined;
  });
}

/** Shows a text of the section's own, with words of it hidden. */
export function showOwn(next: string, words: number[]): void {
  batch(() => {
    link.value = 'no';
    own.value = next;
    ownHidden.value = words;
  });
}

/** Shows the page's sentence, with one of its words hidden. */
export function showLinked(): void {
  batch(() => {
    link.value = 'yes';
    linkedHidden.value = undefined;
  });
}
export const topK = parameter('mlm', 'top', 10, integerCodec(1, 50));
export const orders = ['independent', 'left_to_right', 'most_confident'] as const;
export type Order = (typeof orders)[number];
export const order = parameter<Order>('mlm', 'order', 'independent', choiceCodec(orders));
/** Words that shall be scored, separated by commas. */
export const targets = parameter('mlm', 'targets', '', textCodec);

export const words = computed<readonly Word[]>(() => {
  const ready = tokenizer.value;
  return ready ? ready.words(ready.encode(text.value)) : [];
});

// Words of four letters and more that a sentence is held together by rather than about.
const binding = new Set(
  (
    'about above after again also among because been before being below between both could does doing down during each ' +
    'from have having here into itself just more most much must only other over same shall should some such than that ' +
    'their them then there these they this those through under until very were what when where which while whom will ' +
    'with would your yours'
  ).split(' '),
);

/** The index of a word worth guessing: the last long one, in one piece if there is such a one. */
function contentWord(found: readonly Word[]): number[] {
  if (found.some(isMask)) return []; // the text has its gap already
  const letters = (word: Word) => /^\p{L}+$/u.test(word.text);
  const weighty = (word: Word) =>
    letters(word) && word.text.length > 3 && !binding.has(word.text.toLowerCase());
  const whole = (word: Word) => weighty(word) && word.pieces.length === 1;
  for (const fits of [whole, weighty, letters]) {
    const at = found.findLastIndex(fits);
    if (at >= 0) return [at];
  }
  return found.length > 0 ? [0] : [];
}

/** Indexes of the hidden words, ascending. */
export const hidden = computed<readonly number[]>(() => {
  if (shown.value !== 'linked') return ownHidden.value ?? contentWord(words.value);
  const chosen = linkedHidden.value;
  // of a sentence that has become shorter, those chosen may all be gone
  const there = chosen?.length === 0 || chosen?.some((word) => word < words.value.length);
  return chosen && there ? chosen : contentWord(words.value);
});

export function toggleHidden(word: number): void {
  const next = hidden.value.includes(word)
    ? hidden.value.filter((other) => other !== word)
    : [...hidden.value, word].sort((a, b) => a - b);
  (shown.value === 'linked' ? linkedHidden : ownHidden).value = next;
}

function isMask(word: Word): boolean {
  return word.text === '[MASK]';
}

export interface Hidden {
  /** The text with [MASK] for every piece of every hidden word. */
  masked: string;
  /** The text itself where all masks come from hidden words, so that the right answers are known. */
  label: string | undefined;
  /** For each mask, in order: the piece that was there, or undefined for a typed [MASK]. */
  pieces: readonly (string | undefined)[];
}

/** The text with the chosen words hidden: one mask a piece, so that text and labels have the same length. */
export function hide(sentence: string, found: readonly Word[], chosen: readonly number[]): Hidden {
  let masked = '';
  let at = 0;
  const pieces: (string | undefined)[] = [];
  for (const [i, word] of found.entries()) {
    const typed = isMask(word);
    if (!typed && !chosen.includes(i)) continue;
    masked += sentence.slice(at, word.offsets[0]);
    masked += typed ? '[MASK]' : word.pieces.map(() => '[MASK]').join(' ');
    pieces.push(...(typed ? [undefined] : word.pieces));
    at = word.offsets[1];
  }
  masked += sentence.slice(at);
  return { masked, label: found.some(isMask) ? undefined : sentence, pieces };
}

export const question = computed(() => hide(text.value, words.value, hidden.value));

function isWritten(ready: Tokenizer, word: string): boolean {
  if (ready.convertTokensToIds([word])[0] !== ready.unkTokenId) return true;
  const { inputIds } = ready.encode(word, { addSpecialTokens: false });
  return inputIds.length > 0 && !inputIds.includes(ready.unkTokenId);
}

/** The words to score, and those among them that the vocabulary has no pieces for: the model could not be asked for these. */
export const targetWords = computed<{ written: string[]; unwritten: string[] }>(() => {
  const ready = tokenizer.value;
  const words = targets.value
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
  const can = (word: string) => !ready || isWritten(ready, word);
  return { written: words.filter(can), unwritten: words.filter((word) => !can(word)) };
});

/** What a mask stands for: the word that is hidden, and which of its pieces. */
export interface Gap {
  word: string;
  piece: string;
  /** From 1. */
  nth: number;
  of: number;
}

/** For each mask, in order; undefined for a typed [MASK]. */
const gaps = computed<readonly (Gap | undefined)[]>(() =>
  words.value.flatMap((word, i): (Gap | undefined)[] => {
    if (isMask(word)) return [undefined];
    if (!hidden.value.includes(i)) return [];
    const { pieces } = word;
    const name = text.value.slice(...word.offsets);
    return pieces.map((piece, nth) => ({ word: name, piece, nth: nth + 1, of: pieces.length }));
  }),
);

export interface Ask {
  masked: string;
  label: string | undefined;
  gaps: readonly (Gap | undefined)[];
  top: number;
  order: Order;
  targets: string[];
}

export const prediction = answers<Ask, FillMaskResult>(
  () => {
    if (gaps.value.length === 0) return null;
    const { masked, label } = question.value;
    return {
      masked,
      label,
      gaps: gaps.value,
      top: topK.value,
      order: order.value,
      targets: targetWords.value.written,
    };
  },
  (model, ask, signal) =>
    timed(
      model.fillMask(ask.masked, {
        topK: ask.top,
        order: ask.order,
        signal,
        ...(ask.label === undefined ? {} : { labelText: ask.label }),
        ...(ask.targets.length > 0 ? { targets: ask.targets } : {}),
      }),
    ),
);

export const surprise = answers<string, ScoreResult>(
  () => (text.value.trim() !== '' ? text.value : null),
  (model, sentence, signal) => timed(model.score(sentence, { signal })),
  300,
);
