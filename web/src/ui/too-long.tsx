// What went wrong with a call that takes texts; where one has more tokens than the model has positions, with the way out.
import { bert } from '../engine/model';
import { tokenizer, type Tokenizer } from '../engine/tokenizer';
import { count } from '../lib/format';
import { Trouble } from './with-model';

/** A text, or a pair that the model reads as one. */
export interface Texts {
  readonly text: string;
  readonly textPair?: string | undefined;
}

function input({ text, textPair }: Texts) {
  return textPair === undefined ? text : { text, textPair };
}

/** The texts without what comes after their first `most` tokens, special ones counted; of a pair the longer one gives way. */
function cut(ready: Tokenizer, texts: Texts, most: number): Texts {
  const row = ready.encode(input(texts), { truncation: true, maxLength: most });
  const ends = [0, 0];
  row.sequenceIds.forEach((sequence, i) => {
    if (sequence !== null) ends[sequence] = Math.max(ends[sequence] ?? 0, row.offsets[i]![1]);
  });
  return { text: texts.text.slice(0, ends[0]), textPair: texts.textPair?.slice(0, ends[1]) };
}

interface TextTroubleProps {
  trouble: string | null;
  /** What was asked about, one or several. */
  texts: readonly Texts[];
  /** What one of several is called. */
  what?: 'Pair' | 'Text';
  /** Takes them cut to what the model can read. */
  onCut: (texts: readonly Texts[]) => void;
}

export function TextTrouble({ trouble, texts, what = 'Pair', onCut }: TextTroubleProps) {
  if (trouble === null) return null;
  const most = bert.value?.info.config.maxPositionEmbeddings ?? Infinity;
  const ready = tokenizer.value;
  const long = ready ? texts.findIndex((each) => ready.encode(input(each)).length > most) : -1;
  if (!ready || long < 0) return <Trouble text={trouble} />;
  return (
    <Trouble text={texts.length > 1 ? `${what} ${long + 1}: ${trouble}` : trouble}>
      <div class="row">
        <button
          type="button"
          class="button"
          onClick={() => {
            onCut(texts.map((each) => cut(ready, each, most)));
          }}
        >
          Keep the first {count(most)}
        </button>
      </div>
    </Trouble>
  );
}
