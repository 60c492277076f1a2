// What is loaded: sizes, parts, precision, the build that runs it and why, and the memory that it takes.
import { choiceName, loaded, memory, type Loaded } from '../../engine/model';
import { bytes, count, plural } from '../../lib/format';
import { DataTable, tableOf, type Column } from '../../ui/data-table';
import { Instrument } from '../../ui/instrument';
import { WithModel } from '../../ui/with-model';

interface Fact {
  what: string;
  value: string;
}

const columns: readonly Column<Fact>[] = [
  { title: 'what', value: (row) => row.what },
  { title: 'value', kind: 'wrap', value: (row) => row.value },
];

const origins: Record<Loaded['source'], string> = {
  network: 'from the network',
  cache: 'from this browser’s storage',
  file: 'from files of this device',
};

function storedAs(tensors: Loaded['model']['info']['tensors']): string {
  const bySort = new Map<string, number>();
  for (const tensor of tensors) {
    bySort.set(tensor.dtype, (bySort.get(tensor.dtype) ?? 0) + tensor.parameters);
  }
  return [...bySort]
    .filter(([, parameters]) => parameters > 0)
    .sort((a, b) => b[1] - a[1])
    .map(([dtype, parameters]) => `${count(parameters)} in ${dtype}`)
    .join(', ');
}

function factsOf({ model, choice, bytes: size, source, seconds }: Loaded): Fact[] {
  const { config, heads, totalParameters, tensors } = model.info;
  const { runtime } = model;
  const held = memory.value;
  const yes = (has: boolean) => (has ? 'yes' : 'no, the checkpoint has none');
  return [
    { what: 'Name', value: choiceName(choice) },
    { what: 'Loaded', value: `${origins[source]}, ${bytes(size)} in ${seconds.toFixed(1)} s` },
    { what: 'Parameters', value: `${count(totalParameters)}, without the heads` },
    {
      what: 'Sizes',
      value: `${plural(config.numHiddenLayers, 'layer')} with ${plural(config.numAttentionHeads, 'head')} each, hidden size ${count(config.hiddenSize)}, intermediate size ${count(config.intermediateSize)}`,
    },
    { what: 'Vocabulary', value: plural(config.vocabSize, 'entry', 'entries') },
    { what: 'Longest text', value: plural(config.maxPositionEmbeddings, 'token') },
    { what: 'Head for masked words', value: yes(heads.mlm) },
    { what: 'Head for next sentences', value: yes(heads.nsp) },
    { what: 'Stored weights', value: storedAs(tensors) },
    { what: 'Computes with', value: runtime.precision },
    { what: 'Build', value: [runtime.build, ...runtime.reasons].join('; ') },
    { what: 'Threads', value: String(runtime.threads) },
    { what: 'Kernels', value: runtime.kernels },
    {
      what: 'Memory',
      value: held ? `${bytes(held.heapBytes)}, weights ${bytes(held.weightBytes)} of it` : '',
    },
  ];
}

export function FactsInstrument() {
  const here = loaded.value;
  const rows = here ? factsOf(here) : [];
  return (
    <Instrument
      title="What is loaded"
      exports={[{ kind: 'table', name: 'model', table: () => tableOf(columns, rows) }]}
    >
      <WithModel>
        {() => <DataTable caption="The loaded model" columns={columns} rows={rows} narrow="shrinks" />}
      </WithModel>
    </Instrument>
  );
}
