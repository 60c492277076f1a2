// The vocabulary, to be looked through: all entries, the special and unused ones, pieces and whole words.
import { useMemo } from 'preact/hooks';
import { tokenizer, type Tokenizer } from '../../engine/tokenizer';
import { count, plural } from '../../lib/format';
import { choiceCodec, parameter, textCodec } from '../../state/url';
import { DataTable, tableOf, type Column } from '../../ui/data-table';
import { Instrument } from '../../ui/instrument';
import { Tabs } from '../../ui/tabs';
import { TokenText } from '../../ui/token';
import { WithTokenizer } from '../../ui/with-tokenizer';

const facets = {
  all: 'All',
  word: 'Words',
  subword: '## pieces',
  special: 'Special',
  unused: 'Unused',
} as const;

type Facet = keyof typeof facets;

const facetNotes: Record<Facet, string> = {
  all: '',
  word: 'A word, or the piece that one begins with.',
  subword: 'Each continues the piece before it.',
  special:
    '[CLS] begins the input, [SEP] ends each text, [PAD] fills up, [MASK] hides a word, [UNK] is what has no pieces here.',
  unused: 'Rows left free in training, for words that a user may want to add without growing the model.',
};

const facet = parameter<Facet>('tokenizer', 'facet', 'all', choiceCodec(Object.keys(facets) as Facet[]));
const search = parameter('tokenizer', 'find', '', textCodec);
/** '' means any. */
const script = parameter('tokenizer', 'script', '', textCodec);

interface Entry {
  readonly id: number;
  readonly token: string;
}

const columns: readonly Column<Entry>[] = [
  { title: 'id', kind: 'number', value: (entry) => entry.id },
  {
    title: 'token',
    kind: 'mono',
    value: (entry) => entry.token,
    show: (entry) => <TokenText token={entry.token} />,
  },
];

/** A vocabulary may lack the script that an address names. */
function queryFor({ vocabulary }: Tokenizer) {
  const known = vocabulary.scripts.includes(script.value);
  return { text: search.value, facet: facet.value, ...(known && { script: script.value }) };
}

function found(ready: Tokenizer): readonly Entry[] {
  const query = queryFor(ready);
  const { total } = ready.vocabulary.find({ ...query, limit: 1 });
  return total === 0 ? [] : ready.vocabulary.find({ ...query, limit: total }).entries;
}

function Lookup({ ready }: { ready: Tokenizer }) {
  const { vocabulary } = ready;
  const counts = useMemo(() => {
    const result: Partial<Record<Facet, string>> = {};
    for (const name of Object.keys(facets) as Facet[]) {
      result[name] = count(vocabulary.find({ facet: name, limit: 1 }).total);
    }
    return result;
  }, [vocabulary]);
  const query = queryFor(ready);
  const { total: matches } = vocabulary.find({ ...query, limit: 1 });
  // A number may be an id; that entry comes first.
  const id = /^\d{1,7}$/.test(search.value.trim()) ? Number(search.value) : -1;
  const token = id < 0 ? undefined : vocabulary.token(id);
  const first: Entry[] = token === undefined ? [] : [{ id, token }];
  const total = matches + first.length;
  const rows = {
    length: total,
    slice: (from: number, to: number) => {
      const rest = { from: Math.max(0, from - first.length), to: Math.max(0, to - first.length) };
      return [
        ...first.slice(from, to),
        ...(rest.to > rest.from
          ? vocabulary.find({ ...query, offset: rest.from, limit: rest.to - rest.from }).entries
          : []),
      ];
    },
  };
  return (
    <div class="flow">
      <div class="row">
        <label class="field grow">
          <span class="visually-hidden">Find in the vocabulary by text or id</span>
          <input
            class="input"
            type="search"
            placeholder="Find a piece of text, or an id"
            spellcheck={false}
            autocomplete="off"
            value={search.value}
            onInput={(event) => {
              search.value = event.currentTarget.value;
            }}
          />
        </label>
        <Tabs
          label="Part of the vocabulary"
          options={facets}
          notes={counts}
          value={facet.value}
          onChange={(next) => {
            facet.value = next;
          }}
        />
        <label class="field inline">
          <span>Script</span>
          <select
            class="input"
            value={script.value}
            onChange={(event) => {
              script.value = event.currentTarget.value;
            }}
          >
            <option value="">Any</option>
            {vocabulary.scripts.map((name) => (
              <option value={name} key={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
      </div>
      <p class="hint" role="status">
        {total === 0 ? 'No entry matches.' : `${plural(total, 'entry', 'entries')}, in the order of ids`}
        {facetNotes[facet.value] && `. ${facetNotes[facet.value]}`}
      </p>
      {total > 0 && <DataTable caption="Vocabulary" columns={columns} rows={rows} window={10} />}
    </div>
  );
}

export function VocabularyInstrument() {
  return (
    <Instrument
      title="The vocabulary"
      exports={[
        {
          kind: 'table',
          name: 'vocabulary',
          table: () => tableOf(columns, tokenizer.value ? found(tokenizer.value) : []),
        },
      ]}
    >
      <WithTokenizer>{(ready) => <Lookup ready={ready} />}</WithTokenizer>
    </Instrument>
  );
}
