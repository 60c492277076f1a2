// What a test asks of a browser: the same few things of every engine, each driver in a file of its own.

export interface Message {
  level: 'debug' | 'info' | 'warning' | 'error';
  text: string;
}

/** One tab with a profile of its own. Every call rejects when the browser is gone. */
export interface BrowserPage {
  /** What the page wrote to its console, and the errors that nothing caught, in order. */
  readonly messages: readonly Message[];
  goto(url: string): Promise<void>;
  reload(): Promise<void>;
  /**
   * Calls `script` in the page, with arguments and a result that JSON can carry, and waits for its promise. The function
   * sees nothing of its surroundings here.
   */
  evaluate<A extends unknown[], T>(script: (...args: A) => T | Promise<T>, ...args: A): Promise<T>;
  /** The document's title, by the driver's own command. */
  title(): Promise<string>;
  /** Clicks the first visible element that `selector` finds, of those whose text contains `text` where that is given. */
  click(selector: string, text?: string): Promise<void>;
  /** Replaces what stands in a text field, key by key. */
  type(selector: string, text: string): Promise<void>;
  /** The width and height of what the page is shown in, in CSS pixels. */
  resize(width: number, height: number): Promise<void>;
  /** What is on screen, as PNG. */
  screenshot(): Promise<Buffer>;
  close(): Promise<void>;
}

export interface TestBrowser {
  readonly name: string;
  /** A new tab at `url`, loaded. */
  open(url: string): Promise<BrowserPage>;
  /** Ends the browser and what belongs to it, with all of its tabs. */
  close(): Promise<void>;
}

/** In the page: the element that `BrowserPage.click` means, or null. */
export function findElement(selector: string, text: string | null): Element | null {
  for (const element of document.querySelectorAll(selector)) {
    if (text !== null && !element.textContent.includes(text)) continue;
    if (element.checkVisibility()) {
      element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
      return element;
    }
  }
  return null;
}

/** In the page: puts the focus into a field and selects what it holds, so that typing replaces it. */
export function selectField(field: Element | null): void {
  if (field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement) {
    field.focus();
    field.select();
  }
}

/** Asks again until the answer is neither null, undefined nor false; rejects after `limit` milliseconds. */
export async function retry<T>(
  what: string,
  ask: () => Promise<T | null | undefined | false>,
  limit = 60_000,
): Promise<T> {
  const end = Date.now() + limit;
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== undefined && answer !== false) return answer;
    if (Date.now() > end) throw new Error(`not within ${limit / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** For an error message: what `findElement` looks for. */
export function describeElement(selector: string, text: string | null): string {
  return `a visible ${selector}${text === null ? '' : ` with “${text}”`}`;
}
