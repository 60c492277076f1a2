// The browsers beside Chromium (which Playwright drives): Firefox and WebKitGTK, behind one interface.
import { launchFirefox } from './firefox.ts';
import type { TestBrowser } from './page.ts';
import { launchWebKit } from './webkit.ts';

export { retry, type BrowserPage, type Message, type TestBrowser } from './page.ts';

export const browsers: readonly { name: 'firefox' | 'webkit'; launch: () => Promise<TestBrowser> }[] = [
  { name: 'firefox', launch: launchFirefox },
  { name: 'webkit', launch: launchWebKit },
];
