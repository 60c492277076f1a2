// The page's start: the shell first, the tokenizer at once after it.
import { render } from 'preact';
import { App } from './app';
import { startTokenizer } from './engine/tokenizer';
import { sections } from './sections';
import { startLinking } from './state/lit';
import { startRouting } from './state/url';
import './styles/fonts.css';
import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';

const root = document.getElementById('app');
if (root) {
  startRouting(sections[0]!.id);
  render(<App />, root);
  startLinking();
  void startTokenizer();
}
