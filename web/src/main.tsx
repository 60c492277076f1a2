// The page's start: the shell first, the tokenizer as soon as that is on screen.
import { render } from 'preact';
import { App } from './app';
import { startTokenizer } from './engine/tokenizer';
import { afterPaint } from './lib/next-task';
import { start } from './sections';
import { startLinking } from './state/lit';
import { startRouting } from './state/url';
import './styles/fonts.css';
import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';
import './styles/forced-colors.css';

const root = document.getElementById('app');
if (root) {
  startRouting(start.id);
  render(<App />, root);
  startLinking();
  void afterPaint().then(startTokenizer);
  // Without it the page works as well, only not without a network; so a refusal is nothing to tell.
  if (import.meta.env.PROD && 'serviceWorker' in navigator) {
    window.addEventListener('load', () => {
      navigator.serviceWorker.register('./service-worker.js').catch(() => undefined);
    });
  }
}
