// Choosing a model: the page's own, one of the hub, or a folder of this device; with its arrival, and what went wrong.
import { effect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { directoryPicker, filesOfHandle, filesOfInput } from '../../engine/folder';
import { readHubName } from '../../engine/hub';
import {
  arrival,
  choiceName,
  loaded,
  modelTrouble,
  retryModel,
  startModel,
  theDefault,
  useModel,
  type Choice,
  type WantedPrecision,
} from '../../engine/model';
import { estimate } from '../../engine/storage';
import { troubleOf, type Trouble } from '../../engine/trouble';
import { bytes, count } from '../../lib/format';
import { hubText, pickTrouble, takeFiles, wantedPrecision, way, type Way } from '../../state/picker';
import { ArrivalPanel } from '../../ui/arrival';
import { Instrument } from '../../ui/instrument';
import { Tabs } from '../../ui/tabs';

const ways: Record<Way, string> = {
  default: 'The default',
  hub: 'Hugging Face',
  device: 'From this device',
};

const precisionNames: Record<WantedPrecision, string> = {
  stored: 'As stored',
  f32: 'f32',
  f16: 'f16',
  int8: 'int8',
};

const tablesStay = 'Embeddings that the file has as int8 stay so.';

const precisionNotes: Record<WantedPrecision, string> = {
  stored: 'Weights stay as their file has them.',
  f32: `Four bytes a weight, as the notebook computes. ${tablesStay}`,
  f16: `Two bytes a weight; the values differ from f32 in the fourth digit. ${tablesStay}`,
  int8: 'One byte a weight, quantised while it loads: a quarter of the memory. It can move a probability by several percent.',
};

const suggestions = [
  ['google-bert/bert-base-uncased', 'the notebook’s, 440 MB'],
  ['google-bert/bert-base-cased', 'knows capitals, 436 MB'],
  ['google-bert/bert-base-multilingual-cased', '104 languages, 714 MB'],
  ['google-bert/bert-large-uncased', '24 layers, 1.3 GB'],
] as const;

// One trouble at a time, the newest. Without a model the load's stays for the sections, which say it and try again.
effect(() => {
  if (pickTrouble.value && loaded.peek()) modelTrouble.value = null;
});
effect(() => {
  if (modelTrouble.value) pickTrouble.value = null;
});

function loadHub(): void {
  const written = hubText.value.trim();
  const hub = readHubName(written);
  if (!hub) {
    pickTrouble.value = {
      code: 'invalid_argument',
      sentence: written ? `“${written}” is no name of a model.` : 'There is no name of a model yet.',
      remedy: 'Write owner/name, as in google-bert/bert-base-uncased, or paste the address of its page.',
    };
    return;
  }
  pickTrouble.value = null;
  useModel({ kind: 'hub', hub }, wantedPrecision.value);
}

function TroublePanel({ trouble, children }: { trouble: Trouble; children?: preact.ComponentChildren }) {
  const here = loaded.value;
  return (
    <div class="trouble" role="alert" data-testid="model-trouble">
      <p>
        <strong>{trouble.sentence}</strong>
      </p>
      <p>{trouble.remedy}</p>
      {here && <p class="hint">The page goes on with {nameInText(choiceName(here.choice))}.</p>}
      {children && <div class="row">{children}</div>}
    </div>
  );
}

function nameInText(name: string): string {
  return name === 'Default model' ? 'the default model' : name;
}

function DefaultWay() {
  const isThis = (one: { choice: Choice; precision: WantedPrecision } | null) =>
    one?.choice.kind === 'default' && one.precision === wantedPrecision.value;
  const there = isThis(loaded.value);
  const coming = isThis(arrival.value);
  return (
    <div class="flow">
      <p class="prose">
        A small BERT that comes with this page: six layers, the notebook’s vocabulary, 23 MB. It is quick, and
        knows words better than facts.
      </p>
      <div class="row">
        <button
          type="button"
          class={there || coming ? 'button' : 'button primary'}
          onClick={() => {
            useModel(theDefault, wantedPrecision.value);
          }}
        >
          {there ? 'Load it again' : 'Load the default model'}
        </button>
        {there && <span class="hint">It is loaded.</span>}
      </div>
    </div>
  );
}

function HubWay() {
  const space = estimate.value;
  return (
    <form
      class="flow"
      onSubmit={(event) => {
        event.preventDefault();
        loadHub();
      }}
    >
      <label class="field">
        <span>A model on huggingface.co, by its name</span>
        <input
          class="input"
          placeholder="owner/name"
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          value={hubText.value}
          onInput={(event) => {
            hubText.value = event.currentTarget.value;
            pickTrouble.value = null;
          }}
        />
      </label>
      <ul class="suggestions">
        {suggestions.map(([name, note]) => (
          <li key={name}>
            <button
              type="button"
              class="link mono"
              onClick={() => {
                hubText.value = name;
                pickTrouble.value = null;
              }}
            >
              {name}
            </button>{' '}
            <span class="hint">{note}</span>
          </li>
        ))}
      </ul>
      <p class="hint prose">
        The files come straight from huggingface.co into this browser and are kept here, so that the next
        visit needs no download{space ? `; ${bytes(space.quota - space.usage)} are free` : ''}. What you type
        on this page goes nowhere.
      </p>
      <div class="row">
        <button type="submit" class="button primary">
          Download and load
        </button>
      </div>
    </form>
  );
}

function DeviceWay() {
  const folder = useRef<HTMLInputElement>(null);
  const single = useRef<HTMLInputElement>(null);
  const picker = directoryPicker();
  useEffect(() => {
    // not an attribute that JSX knows
    folder.current?.setAttribute('webkitdirectory', '');
  }, []);
  const take = (input: HTMLInputElement) => {
    if (input.files?.length) void takeFiles(filesOfInput(input.files));
    input.value = ''; // choosing the same again is a change
  };
  return (
    <div class="flow">
      <div class="drop-zone">
        <p>
          <strong>Drop a model folder anywhere on this page</strong>
        </p>
        <p class="hint">
          config.json, vocab.txt or tokenizer.json, and model.safetensors, also in shards. It is read here and
          sent nowhere.
        </p>
        <div class="row">
          <button
            type="button"
            class="button primary"
            onClick={() => {
              if (!picker) {
                folder.current?.click();
                return;
              }
              picker().then(
                (handle) => takeFiles(filesOfHandle(handle)),
                (error: unknown) => {
                  // closing the dialogue is no fault
                  if (error instanceof DOMException && error.name === 'AbortError') return;
                  pickTrouble.value = troubleOf(error);
                },
              );
            }}
          >
            Choose a folder
          </button>
          <button
            type="button"
            class="button"
            onClick={() => {
              single.current?.click();
            }}
          >
            Choose files
          </button>
        </div>
        <input
          ref={folder}
          type="file"
          hidden
          aria-label="A model folder"
          onChange={(event) => {
            take(event.currentTarget);
          }}
        />
        <input
          ref={single}
          type="file"
          hidden
          multiple
          aria-label="The files of a model"
          onChange={(event) => {
            take(event.currentTarget);
          }}
        />
      </div>
    </div>
  );
}

export function PickerInstrument() {
  useEffect(startModel, []);
  const here = loaded.value;
  const coming = arrival.value;
  const failed = modelTrouble.value;
  return (
    <Instrument title="Which BERT?">
      <div class="flow">
        <p class="now" role="status">
          {here ? (
            <>
              On this page now: <strong>{nameInText(choiceName(here.choice))}</strong>,{' '}
              {here.model.runtime.precision}, {count(here.model.info.totalParameters)} parameters, loaded in{' '}
              {here.seconds.toFixed(1)} s
            </>
          ) : (
            'No model is loaded yet.'
          )}
        </p>
        <div class="row">
          <Tabs
            label="Where the model is"
            options={ways}
            value={way.value}
            onChange={(next) => {
              way.value = next;
              pickTrouble.value = null;
            }}
          />
        </div>
        {way.value === 'default' && <DefaultWay />}
        {way.value === 'hub' && <HubWay />}
        {way.value === 'device' && <DeviceWay />}
        {pickTrouble.value && <TroublePanel trouble={pickTrouble.value} />}
        {failed && !pickTrouble.value && (
          <TroublePanel trouble={failed}>
            <button type="button" class="button" onClick={retryModel}>
              Try again
            </button>
            {failed.code === 'out_of_memory' && failed.precision !== 'int8' && (
              <button
                type="button"
                class="button"
                onClick={() => {
                  wantedPrecision.value = 'int8';
                  useModel(failed.choice, 'int8');
                }}
              >
                Load it as int8
              </button>
            )}
          </TroublePanel>
        )}
        <div class="row">
          <Tabs
            label="Precision"
            caption="Precision"
            options={precisionNames}
            value={wantedPrecision.value}
            onChange={(next) => {
              wantedPrecision.value = next;
            }}
          />
          <span class="hint">{precisionNotes[wantedPrecision.value]}</span>
        </div>
        {coming && <ArrivalPanel arrival={coming} />}
      </div>
    </Instrument>
  );
}
