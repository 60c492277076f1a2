// Takes words out of a text by their position and puts [MASK] in their place (Exercise 4 of the notebook). The same as
// core/tasks/mask_words.cpp.
import type { MaskedText, MaskedWord, MaskWordsOptions } from './engine-types.ts';
import { flagOption, invalid, namedOptions, shown, textArgument, wholeNumbers } from './options.ts';
import type { Tokenizer } from './tokenizer-types.ts';

/** Runs of what is not white space. Written out: \s has U+FEFF too, and not U+0085 nor U+001C to U+001F. */
const kWord =
  // eslint-disable-next-line no-control-regex
  /[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

/**
 * Replaces the words at `positions` by [MASK]: they are counted between white space, from 0, and punctuation at a word's
 * ends stays. A word of several pieces becomes that many masks, so that `fillMask` can give it back with `text` as its
 * `labelText`.
 *
 * Errors: `invalid_argument` for a position that is not there, that is punctuation only, or that comes twice;
 * `invalid_model` where the vocabulary has no mask.
 */
export function maskWords(
  tokenizer: Tokenizer,
  text: string,
  positions: readonly number[],
  options?: MaskWordsOptions,
): MaskedText {
  // not `encode`, which a model has too
  if (typeof (tokenizer as Partial<Tokenizer> | undefined)?.encodeBatch !== 'function') {
    throw invalid(`maskWords: tokenizer must be a Tokenizer, not ${shown(tokenizer)}: pass bert.tokenizer`);
  }
  const { oneMaskPerWord } = namedOptions('maskWords', options, ['oneMaskPerWord']);
  const single = flagOption('oneMaskPerWord', oneMaskPerWord, false);
  const all = Array.from(textArgument('text', text).matchAll(kWord), ({ 0: word, index }) => ({
    word,
    index,
  }));
  const wanted = wholeNumbers('positions', positions).sort();
  const twice = wanted.find((position, i) => position === wanted[i - 1]);
  if (twice !== undefined) throw invalid(`word position ${twice} is given twice`);

  const { maskToken, maskTokenId } = tokenizer;
  const { inputIds, offsets, wordIds } = tokenizer.encode(text, { addSpecialTokens: false });
  const isPunctuation = (i: number): boolean =>
    wordIds[i] !== wordIds[i - 1] &&
    wordIds[i] !== wordIds[i + 1] &&
    isMark(text.slice(...offsets[i]!), () => tokenizer.vocabulary.script(inputIds[i]!));

  const words: MaskedWord[] = [];
  let masked = '';
  let [copied, token, masks] = [0, 0, 0];
  for (const position of wanted) {
    const found = all[position];
    if (!found) {
      throw invalid(
        `word position ${position} is not in the text, which has ${all.length} words (counted from 0)`,
      );
    }
    const { word, index } = found;
    // the word's tokens, then without the punctuation at both ends
    while (token < offsets.length && offsets[token]![0] < index)
      masks += Number(inputIds[token++] === maskTokenId);
    let [begin, end] = [token, token];
    while (end < offsets.length && offsets[end]![1] <= index + word.length) end++;
    while (begin < end && isPunctuation(begin)) begin++;
    while (end > begin && isPunctuation(end - 1)) end--;
    if (begin === end) {
      throw invalid(`word position ${position} is ${shown(word)}, which has no word to mask`);
    }
    const [from, to] = [offsets[begin]![0], offsets[end - 1]![1]];
    const count = single ? 1 : end - begin;
    words.push({ word: position, original: text.slice(from, to), firstMask: masks, masks: count });
    masked += text.slice(copied, from) + Array<string>(count).fill(maskToken).join(' ');
    copied = to;
    masks += count;
    token = end;
  }
  return { text: masked + text.slice(copied), words };
}

/** Whether a token is one character that BERT splits off: punctuation or a symbol, and no letter or digit. */
function isMark(text: string, script: () => string): boolean {
  if (text.length !== (text.codePointAt(0)! > 0xffff ? 2 : 1)) return false;
  return text <= '\x7f' ? !/[0-9a-z]/i.test(text) : script() === 'Common';
}
