// The shell: rail, the section on show, status line.
import { effect, signal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { tokenizer, tokenizerTrouble } from './engine/tokenizer';
import { bert, lastAnswer, modelTrouble, progress } from './engine/model';
import { copyText } from './lib/clipboard';
import { count, plural } from './lib/format';
import { sections } from './sections';
import { address, link, route } from './state/url';
import { nextTheme, theme } from './state/theme';
import { modelArrival } from './ui/with-model';
import { SectionFrame } from './ui/section';
import type { View } from './views/view';

interface Opened {
  id: string;
  view: View;
}

const opened = signal<Opened | null>(null);
const trouble = signal<string | null>(null);

function current() {
  return sections.find((section) => section.id === route.value) ?? sections[0]!;
}

effect(() => {
  if (!route.value) return;
  const section = current();
  section.load().then(
    (view) => {
      if (current() !== section) return;
      trouble.value = null;
      opened.value = { id: section.id, view };
      document.title = `${section.label} · bertlens`;
    },
    () => {
      trouble.value = `The section “${section.label}” could not be fetched. Check the connection and open it again.`;
    },
  );
});

function Status() {
  const ready = tokenizer.value;
  const model = bert.value;
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
            Default model, <b>{model.runtime.precision}</b>, {count(model.info.totalParameters)} parameters
          </p>
          <p title={model.runtime.reasons.join(' ')}>
            <b>{model.runtime.build}</b>, {plural(model.runtime.threads, 'thread')}
            {lastAnswer.value !== null && `, last answer ${lastAnswer.value.toFixed(0)} ms`}
          </p>
        </>
      ) : (
        <p>{modelTrouble.value ? 'No model' : progress.value ? modelArrival() : ''}</p>
      )}
    </div>
  );
}

const themeNames = { system: 'System colours', light: 'Light', dark: 'Dark' };
const copied = signal(false);

function Tools() {
  return (
    <div class="rail-tools tools">
      <button
        type="button"
        class="quiet"
        onClick={nextTheme}
        aria-label={`Colours: ${themeNames[theme.value]}`}
      >
        {themeNames[theme.value]}
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
      <a class="wordmark" href={address(sections[0]!.id)}>
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
  const at = sections.findIndex((section) => section.id === shown?.id);

  // A new section starts at its top, with the focus there for keyboards and screen readers.
  useLayoutEffect(() => {
    if (!shown) return;
    if (first.current) {
      first.current = false;
      return;
    }
    window.scrollTo(0, 0);
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
        {shown && at >= 0 && (
          <SectionFrame
            key={shown.id}
            section={sections[at]!}
            view={shown.view}
            previous={sections[at - 1]}
            next={sections[at + 1]}
          />
        )}
        <footer class="foot-narrow">
          <Status />
          <Tools />
        </footer>
      </main>
    </div>
  );
}
