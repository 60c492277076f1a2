// "In code": the few lines that do the same elsewhere, one tab a language, with a copy button.
import { signal } from '@preact/signals';
import { useState } from 'preact/hooks';
import { loaded } from '../engine/model';
import { copyText } from '../lib/clipboard';
import type { CodeSamples } from '../views/view';
import { Tabs } from './tabs';
import { useWhenSeen } from './use-when-seen';

type Language = keyof CodeSamples;

const labels: Record<Language, string> = {
  python: 'Python',
  javascript: 'JavaScript',
  cli: 'Command line',
};

// The samples in Python that take the notebook's model in the default one's place; its vocabulary alone is the same.
const notebooks = /\bBert(Model|For\w+)\.from_pretrained\(\s*"bert-base-uncased"/;

// One choice for the whole page: who reads Python here reads it everywhere.
export const language = signal<Language>('python');

export function Code({ samples }: { samples: () => CodeSamples }) {
  const [copied, setCopied] = useState(false);
  // of all languages: a change of language is answered at once, wherever the text stands
  const { ref, value: all } = useWhenSeen(samples);
  const text = all[language.value];
  return (
    <div class="code" ref={ref}>
      <Tabs
        label="Language"
        options={labels}
        value={language.value}
        onChange={(next) => {
          language.value = next;
          setCopied(false);
        }}
      />
      <div class="code-box">
        <pre tabIndex={0} data-language={language.value}>
          <code>{text}</code>
        </pre>
        <button
          type="button"
          class="quiet"
          onClick={() => {
            void copyText(text).then(setCopied);
          }}
        >
          <span aria-live="polite">{copied ? 'Copied' : 'Copy'}</span>
        </button>
      </div>
      {language.value === 'python' && loaded.value?.choice.kind === 'default' && notebooks.test(text) && (
        <p class="hint">
          The default model is this page’s own; Python loads bert-base-uncased here, whose numbers differ.
        </p>
      )}
    </div>
  );
}
