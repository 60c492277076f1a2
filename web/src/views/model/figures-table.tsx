// The notebook's figures for bert-base-uncased and the loaded model's, in one table that marks which agree.
import { signal } from '@preact/signals';
import { choiceName, loaded } from '../../engine/model';
import type { Agreement } from '../../lib/agreement';
import { plural } from '../../lib/format';
import { DataTable, tableOf, type Column } from '../../ui/data-table';
import { Instrument } from '../../ui/instrument';
import { Tabs } from '../../ui/tabs';
import { Trouble, WithModel } from '../../ui/with-model';
import { figures, measured, type Figure } from './figures';

const marks: Record<Agreement, string> = { equal: '= equal', close: '≈ close', differs: '≠ differs' };
const classes: Record<Agreement, string> = { equal: 'agree', close: 'close', differs: 'differ other' };

const columns: readonly Column<Figure>[] = [
  { title: 'printed in', value: (row) => row.cell },
  { title: 'figure', kind: 'wrap', value: (row) => row.what },
  { title: 'bert-base-uncased, as printed', kind: 'mono', value: (row) => row.printed },
  { title: 'this model', kind: 'mono', value: (row) => row.here ?? '–' },
  {
    title: 'verdict',
    value: (row) => (row.agreement ? marks[row.agreement] : ''),
    show: (row) => row.agreement && <span class={classes[row.agreement]}>{marks[row.agreement]}</span>,
  },
];

const filters = { all: 'All', equal: 'Equal', close: 'Close', differs: 'Differ' } as const;
const filter = signal<keyof typeof filters>('all');

export function agreementCounts(): Record<Agreement, number> {
  const counts = { equal: 0, close: 0, differs: 0 };
  for (const { agreement } of figures.value) if (agreement) counts[agreement] += 1;
  return counts;
}

export function FiguresInstrument() {
  measured.use();
  const { value, pending, trouble } = measured.answer.value;
  const rows = figures.value;
  const counts = agreementCounts();
  const shown = filter.value === 'all' ? rows : rows.filter((row) => row.agreement === filter.value);
  const here = loaded.value;
  return (
    <Instrument
      title="The notebook’s figures, and this model’s"
      exports={[{ kind: 'table', name: 'notebook-figures', table: () => tableOf(columns, rows) }]}
    >
      <WithModel speaks>
        {() => (
          <div class={pending && value ? 'flow stale' : 'flow'} data-testid="figures">
            <p role="status">
              <b>{counts.equal}</b> of {plural(rows.length, 'printed figure')} come out the same with{' '}
              {here ? choiceName(here.choice).replace(/^D/, 'the d') : 'this model'}
              {counts.close > 0 && `, ${counts.close} more ${counts.close === 1 ? 'comes' : 'come'} close`}.
            </p>
            <Trouble text={trouble} />
            {value && value.troubles.length > 0 && (
              <p class="hint">Some cannot be had from this model: {value.troubles.join('; ')}.</p>
            )}
            <div class="row">
              <Tabs
                label="Which figures"
                options={filters}
                notes={{
                  all: String(rows.length),
                  equal: String(counts.equal),
                  close: String(counts.close),
                  differs: String(counts.differs),
                }}
                value={filter.value}
                onChange={(next) => {
                  filter.value = next;
                }}
              />
            </div>
            {shown.length > 0 && (
              <DataTable
                caption="Figures of the notebook, as printed and with this model"
                columns={columns}
                rows={shown}
                window={16}
                narrow="blocks"
                class="figures"
              />
            )}
            <p class="hint prose">
              Equal: the same to the digits of the print. Close: within 2 %, as the same weights mostly give
              in f16; int8 can move a probability by several percent. Load google-bert/bert-base-uncased
              above, as stored, to see the notebook’s numbers appear.
            </p>
          </div>
        )}
      </WithModel>
    </Instrument>
  );
}
