// Firefox, by WebDriver BiDi through puppeteer.
import puppeteer, { type ElementHandle, type EvaluateFunc, type Page } from 'puppeteer-core';

import {
  describeElement,
  findElement,
  retry,
  selectField,
  type BrowserPage,
  type Message,
  type TestBrowser,
} from './page.ts';

/** Milliseconds; a busy machine takes long to start a browser. */
const patience = 180_000;

const levels: Readonly<Record<string, Message['level']>> = {
  debug: 'debug',
  trace: 'debug',
  warn: 'warning',
  error: 'error',
  assert: 'error',
};

async function drive(tab: Page, closeProfile: () => Promise<void>): Promise<BrowserPage> {
  const messages: Message[] = [];
  tab.on('console', (message) => {
    messages.push({ level: levels[message.type()] ?? 'info', text: message.text() });
  });
  tab.on('pageerror', (error) => {
    messages.push({ level: 'error', text: error instanceof Error ? error.message : String(error) });
  });
  tab.setDefaultTimeout(patience);
  await tab.setViewport({ width: 1280, height: 900 });

  const find = (selector: string, text: string | null = null) =>
    retry(describeElement(selector, text), async () => {
      const found = await tab.evaluateHandle(findElement, selector, text);
      return found.asElement() as ElementHandle | null;
    });

  return {
    messages,
    goto: async (url) => {
      await tab.goto(url);
    },
    reload: async () => {
      await tab.reload();
    },
    evaluate: async <A extends unknown[], T>(script: (...args: A) => T | Promise<T>, ...args: A) =>
      (await tab.evaluate(script as EvaluateFunc<A>, ...args)) as T,
    title: () => tab.title(),
    click: async (selector, text) => {
      await (await find(selector, text)).click();
    },
    type: async (selector, text) => {
      await (await find(selector)).evaluate(selectField);
      await tab.keyboard.type(text);
    },
    resize: (width, height) => tab.setViewport({ width, height }),
    screenshot: async () => Buffer.from(await tab.screenshot()),
    close: closeProfile,
  };
}

export async function launchFirefox(): Promise<TestBrowser> {
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env['FIREFOX'] ?? '/usr/bin/firefox-esr',
    headless: true,
    timeout: patience,
    protocolTimeout: patience,
  });
  return {
    name: `Firefox ${(await browser.version()).replace(/^.*\//, '')}`,
    open: async (url) => {
      const profile = await browser.createBrowserContext();
      const page = await drive(await profile.newPage(), () => profile.close());
      await page.goto(url);
      return page;
    },
    close: () => browser.close(),
  };
}
