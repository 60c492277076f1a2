// The opening: one sentence inside BERT as one picture, and the way into the lesson. No cell of the notebook; its contents.
import { useEffect } from 'preact/hooks';
import { arrival, bert, loaded, modelTrouble, startModel } from '../../engine/model';
import { sections } from '../../sections';
import { address } from '../../state/url';
import '../../styles/start.css';
import { pointed } from '../attention/state';
import { LensInstrument } from './lens';

interface Connection {
  saveData?: boolean;
}

/** Where the visitor's connection is dear, the model waits to be asked for. */
function savesData(): boolean {
  return (navigator as { connection?: Connection }).connection?.saveData === true;
}

/** The page first, then the model: its megabytes must not stand in the way of what can already be used. */
function useModelAfterPage(): void {
  useEffect(() => {
    if (savesData()) return;
    const timer = window.setTimeout(startModel, 300);
    return () => {
      window.clearTimeout(timer);
    };
  }, []);
}

function to(section: string, query: Readonly<Record<string, string>>): string {
  return `#/${section}?${new URLSearchParams(query).toString()}`;
}

const riddle = 'The dog chased the cat because it was hungry.';
const queen = 'The queen said that she was tired.';

/** What is to be seen in the default model, as long as no other is loaded; each opens its place. */
function Findings() {
  if (loaded.value && loaded.value.choice.kind !== 'default') return null;
  return (
    <>
      <h3 class="hint">Found in it</h3>
      <ul class="findings hint">
        <li>
          In layer 3{' '}
          <a
            href={to('start', { text: riddle, layer: '2', token: '3' })}
            onClick={() => {
              window.scrollTo(0, 0);
            }}
          >
            “chased” looks most at “cat”
          </a>
          ; of the other words, “dog” comes next.
        </li>
        <li>
          One head of layer 3 sends{' '}
          <a
            href={to('attention', { text: queen, layer: '2', head: '5' })}
            onClick={() => {
              pointed.value = 5; // she
            }}
          >
            most of a sentence to “queen”
          </a>
          , “she” too.
        </li>
        <li>
          <a href={to('tokenizer', { text: 'Antidisestablishmentarianism is a very long word.' })}>
            One word
          </a>{' '}
          is eight pieces.
        </li>
      </ul>
    </>
  );
}

function Contents() {
  return (
    <ol class="contents">
      {sections.map((section) => (
        <li key={section.id}>
          <a href={address(section.id)}>
            <span class="contents-number">{section.number}</span>
            <span class="contents-label">{section.label}</span>
            <span class="contents-idea">{section.idea}</span>
          </a>
        </li>
      ))}
    </ol>
  );
}

export function Start() {
  useModelAfterPage();
  const waits = savesData() && !bert.value && !arrival.value && !modelTrouble.value;
  return (
    <article class="section start">
      <header class="section-head">
        <h1>Look inside BERT, with your own words.</h1>
        <p class="lead">
          Type a sentence and watch BERT read it, here in your browser: its pieces, where each one looks, and
          how much it surprises the model.
        </p>
      </header>
      <LensInstrument />
      {waits && (
        <p>
          <button type="button" class="button primary" onClick={startModel}>
            Load the model, 23 MB
          </button>
        </p>
      )}
      <section class="lesson" aria-labelledby="lesson">
        <div>
          <h2 id="lesson">A lesson in eight instruments</h2>
          <p class="hint">
            All of a teaching notebook on BERT, live: its cells, what they printed, its five exercises, and
            the same in Python, in JavaScript and on the command line.
          </p>
          <p class="hint">
            The model that comes with the page is a small one, 23 MB. Any other BERT can take its place.
            Nothing that you type leaves this device.
          </p>
          <Findings />
        </div>
        <Contents />
      </section>
    </article>
  );
}
