// The shell: rail, the section on show, status line.
import { effect, signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { tokenizer, tokenizerTrouble } from './engine/tokenizer';
import {
  acceptOffer,
  arrival,
  choiceName,
  declineOffer,
  hubTitle,
  lastAnswer,
  loaded,
  lost,
  memory,
  modelTrouble,
  offered,
} from './engine/model';
import { copyText } from './lib/clipboard';
import { bytes, count, plural } from './lib/format';
import { sections, start } from './sections';
import { followHistory, takePlace } from './state/scroll';
import { address, arrived, link, route } from './state/url';
import { nextTheme, theme } from './state/theme';
import { arrivalLine } from './ui/arrival';
import { DropTarget } from './ui/drop';
import { SectionFrame } from './ui/section';
import { Start } from './views/start/index';

/** What is on show: its code has arrived. */
interface Opened {
  id: string;
  Content: ComponentType;
}

const opened = signal<Opened | null>(null);
const trouble = signal<string | null>(null);

function current() {
  return sections.find((section) => section.id === route.value) ?? start;
}

async function contentOf(shown: ReturnType<typeof current>): Promise<ComponentType> {
  if (shown === start) return Start;
  const at = sections.findIndex((section) => section === shown);
  const view = await sections[at]!.load();
  return () => (
    <SectionFrame section={sections[at]!} view={view} previous={sections[at - 1]} next={sections[at + 1]} />
  );
}

effect(() => {
  if (!route.value) return;
  const shown = current();
  contentOf(shown).then(
    (Content) => {
      if (current() !== shown) return;
      trouble.value = null;
      arrived.value = route.value;
      opened.value = { id: shown.id, Content };
      document.title = `${shown.label} · bertlens`;
    },
    () => {
      trouble.value = `“${shown.label}” could not be fetched. Check the connection and open it again.`;
    },
  );
});

followHistory(() => {
  const named = window.location.hash.replace(/^#\/?/, '').split('?')[0];
  return (named || start.id) === route.peek() && opened.peek()?.id === current().id;
});

function Status() {
  const ready = tokenizer.value;
  const here = loaded.value;
  const model = here?.model;
  const coming = arrival.value;
  return (
    <div class="status" role="status">
      <p>
        {ready ? (
          <>
            Tokenizer ready, <b>{count(ready.vocabulary.size)}</b> entries
          </>
        ) : tokenizerTrouble.value ? (
          'No tokenizer'
        ) : (
          'Tokenizer on its way'
        )}
      </p>
      {model ? (
        <>
          <p>
            <a href={address('model')}>{choiceName(here.choice)}</a>, <b>{model.runtime.precision}</b>,{' '}
            {count(model.info.totalParameters)} parameters
          </p>
          <p title={model.runtime.reasons.join(' ')}>
            <b>{model.runtime.build}</b>, {plural(model.runtime.threads, 'thread')}
            {memory.value && `, ${bytes(memory.value.heapBytes)} of memory`}
            {lastAnswer.value !== null && `, last answer ${lastAnswer.value.toFixed(0)} ms`}
          </p>
        </>
      ) : (
        modelTrouble.value && <p>No model</p>
      )}
      {coming && <p>{arrivalLine(coming)}</p>}
    </div>
  );
}

/** What concerns every section: a model that a link asks for, and one that came to its end. */
function Notices() {
  const hub = offered.value;
  const ended = lost.value;
  return (
    <>
      {hub && (
        <div class="notice" role="region" aria-label="A link with a model" data-testid="offer">
          <p>
            This link was made with <b>{hubTitle(hub)}</b>, which would be downloaded from huggingface.co and
            kept in this browser.
          </p>
          <div class="row">
            <button type="button" class="button primary" onClick={acceptOffer}>
              Download and load it
            </button>
            <button type="button" class="button" onClick={declineOffer}>
              Stay with the default model
            </button>
          </div>
        </div>
      )}
      {ended && (
        <div class="notice" role="alert" data-testid="lost">
          <p>
            <b>The model came to an end while it was answering.</b> {ended.sentence}{' '}
            {loaded.value
              ? 'It has been loaded again, and everything you typed is still there.'
              : arrival.value
                ? 'It is being loaded again.'
                : ended.remedy}
          </p>
          <div class="row">
            <button
              type="button"
              class="button"
              onClick={() => {
                lost.value = null;
              }}
            >
              Close
            </button>
          </div>
        </div>
      )}
    </>
  );
}

const copied = signal(false);

function Tools() {
  return (
    <div class="rail-tools tools">
      <button type="button" class="quiet" onClick={nextTheme}>
        Colours: {theme.value}
      </button>
      <button
        type="button"
        class="quiet"
        onClick={() => {
          void copyText(link()).then((done) => {
            copied.value = done;
            window.setTimeout(() => {
              copied.value = false;
            }, 1600);
          });
        }}
      >
        <span aria-live="polite">{copied.value ? 'Link copied' : 'Copy link'}</span>
      </button>
    </div>
  );
}

function Rail() {
  const here = current();
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => {
    list.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [here]);
  return (
    <div class="rail">
      <a
        class="wordmark"
        href={address(start.id)}
        aria-label="bertlens: start"
        aria-current={here === start ? 'page' : undefined}
      >
        bert<span>lens</span>
      </a>
      <nav aria-label="Sections">
        <ol class="rail-list" ref={list}>
          {sections.map((section) => (
            <li key={section.id}>
              <a
                class="rail-link"
                href={address(section.id)}
                aria-current={section === here ? 'page' : undefined}
              >
                <span class="rail-number">{section.number}</span>
                {section.label}
              </a>
            </li>
          ))}
        </ol>
      </nav>
      <div class="rail-foot">
        <Status />
        <Tools />
      </div>
    </div>
  );
}

export function App() {
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const shown = opened.value;
  // A new section starts at its top, or where it was left, with the focus there for keyboards and screen readers.
  useLayoutEffect(() => {
    if (!shown) return;
    takePlace(first.current);
    if (first.current) {
      first.current = false;
      return;
    }
    main.current?.focus({ preventScroll: true });
  }, [shown?.id]);

  return (
    <div class="shell">
      <a
        class="skip"
        href="#content"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <header>
        <Rail />
      </header>
      <main id="content" tabIndex={-1} ref={main}>
        {trouble.value && (
          <p class="trouble" role="alert">
            {trouble.value}
          </p>
        )}
        <Notices />
        {shown && <shown.Content key={shown.id} />}
        {shown && (
          <footer class="foot-narrow">
            <Status />
            <Tools />
          </footer>
        )}
      </main>
      <DropTarget />
    </div>
  );
}
