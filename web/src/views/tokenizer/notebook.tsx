// Cells 3 to 5 of the notebook, as they were printed, beside the same values from this page's tokenizer.
import type { Tokenizer } from '../../engine/tokenizer';
import { pythonList } from '../../lib/python';
import { notebookSentence } from '../../state/sentence';
import { Printed } from '../../ui/printed';
import { WithTokenizer } from '../../ui/with-tokenizer';

const firstUnused =
  "['[unused0]', '[unused1]', '[unused2]', '[unused3]', '[unused4]', '[unused5]', '[unused6]', '[unused7]', '[unused8]', '[unused9]']";
const lastUnused =
  "['[unused984]', '[unused985]', '[unused986]', '[unused987]', '[unused988]', '[unused989]', '[unused990]', '[unused991]', '[unused992]', '[unused993]']";
const tokens =
  "['[CLS]', 'token', '##ization', 'and', 'pad', '##ding', 'are', 'fundamental', 'steps', 'in', 'most', 'nl', '##p', 'pipeline', '##s', '.', '[SEP]']";
const ids =
  '[101, 19204, 3989, 1998, 11687, 4667, 2024, 8050, 4084, 1999, 2087, 17953, 2361, 13117, 2015, 1012, 102]';

function unusedInOrder(ready: Tokenizer): string[] {
  const { total } = ready.vocabulary.find({ facet: 'unused', limit: 1 });
  if (total === 0) return []; // another model's vocabulary may have none
  const number = (token: string) => Number(/\d+/.exec(token)?.[0] ?? 0);
  return ready.vocabulary
    .find({ facet: 'unused', limit: total })
    .entries.map((entry) => entry.token)
    .sort((a, b) => number(a) - number(b));
}

export function TokenizerNotebook() {
  return (
    <WithTokenizer>
      {(ready) => {
        const row = ready.encode(notebookSentence);
        const unused = unusedInOrder(ready);
        return (
          <div class="printed">
            <Printed
              cell="Cell 3 printed"
              lines={[
                { what: 'Max length', printed: '512', here: String(ready.settings.modelMaxLength) },
                { what: 'Vocab size', printed: '30522', here: String(ready.vocabulary.size) },
                {
                  what: 'Special tokens',
                  printed: "['[UNK]', '[SEP]', '[PAD]', '[CLS]', '[MASK]']",
                  here: pythonList(ready.specialTokens.map((token) => token.content)),
                },
                {
                  what: 'Their ids',
                  printed: '100, 102, 0, 101, 103',
                  here: ready.specialTokens.map((token) => token.id).join(', '),
                },
              ]}
            />
            <Printed
              cell="Cell 4 printed"
              lines={[
                { what: 'First 10', printed: firstUnused, here: pythonList(unused.slice(0, 10)) },
                { what: 'Last 10', printed: lastUnused, here: pythonList(unused.slice(-10)) },
              ]}
            />
            <Printed
              cell="Cell 5 printed, for its own sentence"
              lines={[
                { what: 'Tokenized', printed: tokens, here: pythonList(row.tokens) },
                { what: 'Num of tokens', printed: '17', here: String(row.length) },
                { what: 'input_ids', printed: ids, here: pythonList(row.inputIds) },
                {
                  what: 'token_type_ids',
                  printed: '[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]',
                  here: pythonList(row.tokenTypeIds),
                },
                {
                  what: 'attention_mask',
                  printed: '[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]',
                  here: pythonList(row.attentionMask),
                },
              ]}
            />
          </div>
        );
      }}
    </WithTokenizer>
  );
}
