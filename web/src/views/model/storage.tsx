// What this browser keeps of models: sizes, how much room is left, and a way to delete each.
import { useEffect } from 'preact/hooks';
import { loaded, useModel } from '../../engine/model';
import {
  deleteModel,
  estimate,
  isWhole,
  keepFast,
  refreshStored,
  storageTrouble,
  stored,
  type StoredModel,
} from '../../engine/storage';
import { bytes, plural } from '../../lib/format';
import { wantedPrecision } from '../../state/picker';
import { Instrument } from '../../ui/instrument';
import { Trouble } from '../../ui/with-model';

const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });

function Kept({ model }: { model: StoredModel }) {
  const { hub } = model;
  return (
    <li>
      <p>
        <strong>{model.title}</strong>
        {hub && <span class="hint mono"> {hub.revision.slice(0, 7)}</span>}
      </p>
      <p class="hint">
        {bytes(model.bytes)} in {plural(model.files.length, 'file')}
        {!isWhole(model) && ', not all of them'}, since {day.format(model.storedAt)}
      </p>
      <div class="row">
        {hub && isWhole(model) && (
          <button
            type="button"
            class="button"
            aria-label={`Load ${model.title}`}
            onClick={() => {
              useModel({ kind: 'hub', hub: { ...hub, revision: 'main' } }, wantedPrecision.value);
            }}
          >
            Load
          </button>
        )}
        <button
          type="button"
          class="button"
          aria-label={`Delete ${model.title} from this browser`}
          onClick={() => void deleteModel(model.folder)}
        >
          Delete
        </button>
      </div>
    </li>
  );
}

/** Said where the loaded model will have to be fetched again. */
function NotKept() {
  const here = loaded.value;
  if (here?.kept !== false) return null;
  const room = estimate.value;
  return (
    <p class="trouble" role="status" data-testid="not-kept">
      <strong>This browser did not keep the model.</strong>{' '}
      {room
        ? `Its storage is full or refused: ${bytes(room.usage)} of ${bytes(room.quota)} are taken.`
        : 'It refuses storage to this page.'}{' '}
      The model works all the same; the next visit fetches it again. Delete a model below, or leave private
      browsing, to make room.
    </p>
  );
}

export function StorageInstrument() {
  useEffect(() => void refreshStored(), []);
  const models = stored.value ?? [];
  const room = estimate.value;
  const total = models.reduce((sum, model) => sum + model.bytes, 0);
  return (
    <Instrument
      title="What this browser keeps"
      exports={[
        {
          kind: 'table',
          name: 'stored-models',
          table: () => ({
            columns: ['model', 'files', 'bytes', 'kept since', 'address'],
            rows: models.map((model) => [
              model.title,
              model.files.length,
              model.bytes,
              model.storedAt.toISOString(),
              model.folder,
            ]),
          }),
        },
      ]}
    >
      <div class="flow">
        <NotKept />
        <Trouble text={storageTrouble.value} />
        {models.length === 0 ? (
          <p class="hint">{stored.value ? 'No model is kept.' : 'Looking …'}</p>
        ) : (
          <ul class="kept" aria-label="Kept models">
            {models.map((model) => (
              <Kept model={model} key={model.folder} />
            ))}
          </ul>
        )}
        <p class="hint" role="status">
          {plural(models.length, 'model')}, {bytes(total)}.{' '}
          {room &&
            `This page takes ${bytes(room.usage)} of the ${bytes(room.quota)} that the browser grants it. `}
          {room &&
            (room.persisted
              ? 'It has promised to keep them.'
              : 'It may clear them when the disk runs short.')}
        </p>
        {room && !room.persisted && models.length > 0 && (
          <div class="row">
            <button type="button" class="button" onClick={() => void keepFast()}>
              Ask it to keep them
            </button>
          </div>
        )}
      </div>
    </Instrument>
  );
}
