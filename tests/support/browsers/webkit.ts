// WebKitGTK, Safari's engine, by plain WebDriver requests on a display of its own (Xvfb).
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { freePort } from '../ports.ts';
import {
  describeElement,
  findElement,
  retry,
  selectField,
  type BrowserPage,
  type Message,
  type TestBrowser,
} from './page.ts';

/** The field under which WebDriver gives and takes references to elements. */
const elementKey = 'element-6066-11e4-a52e-4f735466cecf';
type ElementReference = Readonly<Record<typeof elementKey, string>>;

/** WebDriver's name of the key that begins a new line. */
const returnKey = '\uE006';

const levels: Readonly<Record<string, Message['level']>> = {
  DEBUG: 'debug',
  LOG: 'info',
  INFO: 'info',
  WARN: 'warning',
  ERROR: 'error',
};

/**
 * Three seconds after a page's load WebKit warns of every preload that no script has asked for by then, also of one whose
 * bytes are on their way at that moment: whether it does is chance.
 */
const preloadWarning = /was preloaded using link preload but not used within a few seconds/;

/** `ADDRESS:LINE:COLUMN: CONSOLE LEVEL text`; errors that nothing caught have "JS ERROR" or "NETWORK ERROR" as level. */
function readMessage(line: string): Message | undefined {
  const [, source, level, text] =
    /\bCONSOLE (?:([A-Z]+) )??(DEBUG|LOG|INFO|WARN|ERROR) (.*)$/.exec(line) ?? [];
  if (level === undefined || text === undefined || preloadWarning.test(text)) return undefined;
  return { level: levels[level] ?? 'info', text: source === undefined ? text : `${source}: ${text}` };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const end = new Promise((resolve) => child.once('exit', resolve));
  child.kill();
  await end;
}

/** An invisible screen; resolves with its name once it can be used. */
async function startDisplay(): Promise<{ display: string; process: ChildProcess }> {
  const screen = ['-screen', '0', '2000x1400x24', '-nolisten', 'tcp'];
  const child = spawn('Xvfb', ['-displayfd', '1', ...screen], { stdio: ['ignore', 'pipe', 'ignore'] });
  const number = await new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      reject(new Error(`Xvfb ended with ${code ?? 'a signal'} before it had a display`));
    });
    child.stdout.once('data', (chunk: Buffer) => {
      resolve(chunk.toString().trim());
    });
  });
  return { display: `:${number}`, process: child };
}

/** A driver process with one session, and the console of its browser. */
interface Session {
  messages: Message[];
  command: (method: 'GET' | 'POST', name: string, body?: unknown) => Promise<unknown>;
  end: () => Promise<void>;
}

/** `profile` is a folder for what the browser stores. */
async function startSession(display: string, profile: string): Promise<Session> {
  const port = await freePort();
  const driver = spawn('WebKitWebDriver', [`--port=${port}`], {
    env: {
      ...process.env,
      DISPLAY: display,
      XDG_CACHE_HOME: path.join(profile, 'cache'),
      XDG_CONFIG_HOME: path.join(profile, 'config'),
      XDG_DATA_HOME: path.join(profile, 'data'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const messages: Message[] = [];
  for (const stream of [driver.stdout, driver.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      const message = readMessage(line);
      if (message) messages.push(message);
    });
  }
  let lost: string | undefined;
  driver.once('error', (error) => (lost = error.message));
  driver.once('exit', () => (lost ??= 'WebKitWebDriver has ended'));
  const request = async (method: string, address: string, body?: unknown): Promise<unknown> => {
    if (lost !== undefined) throw new Error(lost);
    const response = await fetch(`http://127.0.0.1:${port}${address}`, {
      method,
      ...(method === 'POST' && { body: JSON.stringify(body ?? {}) }),
    });
    const { value } = (await response.json()) as { value: unknown };
    if (!response.ok) {
      const { error, message } = value as { error: string; message: string };
      throw new Error(`${method} ${address}: ${error}: ${message}`);
    }
    return value;
  };

  try {
    await retry('an answer of WebKitWebDriver', () =>
      request('GET', '/status').catch((error: unknown) => {
        if (lost !== undefined) throw error;
        return null;
      }),
    );
    const { sessionId } = (await request('POST', '/session', {
      capabilities: {
        alwaysMatch: {
          browserName: 'webkit-window',
          'webkitgtk:browserOptions': {
            binary: path.join(import.meta.dirname, 'webkit_window.py'),
            args: [],
          },
          timeouts: { script: 120_000, pageLoad: 120_000 },
        },
      },
    })) as { sessionId: string };
    return {
      messages,
      command: (method, name, body) => request(method, `/session/${sessionId}/${name}`, body),
      end: async () => {
        await request('DELETE', `/session/${sessionId}`).catch(() => undefined);
        await ended(driver);
      },
    };
  } catch (error) {
    await ended(driver);
    throw error;
  }
}

function drive({ messages, command, end }: Session): BrowserPage {
  const run = (script: (...args: never[]) => unknown, ...args: unknown[]) =>
    command('POST', 'execute/sync', { script: `return (${script.toString()})(...arguments)`, args });
  const find = (selector: string, text: string | null = null) =>
    retry(
      describeElement(selector, text),
      async () => (await run(findElement, selector, text)) as ElementReference | null,
    );

  return {
    messages,
    goto: async (url) => {
      await command('POST', 'url', { url });
    },
    reload: async () => {
      await command('POST', 'refresh');
    },
    evaluate: async <A extends unknown[], T>(script: (...args: A) => T | Promise<T>, ...args: A) => {
      const answer = (await command('POST', 'execute/async', {
        script: `const given = [...arguments], done = given.pop();
          (async () => (${script.toString()})(...given))().then(
            (value) => done({ value }),
            (error) => done({ error: String(error?.message ?? error) }));`,
        args,
      })) as { value?: T; error?: string };
      if (answer.error !== undefined) throw new Error(answer.error);
      return answer.value as T;
    },
    title: async () => (await command('GET', 'title')) as string,
    click: async (selector, text) => {
      const element = await find(selector, text);
      await command('POST', `element/${element[elementKey]}/click`);
    },
    type: async (selector, text) => {
      const element = await find(selector);
      await run(selectField, element);
      const keys = text.replaceAll('\n', returnKey);
      await command('POST', `element/${element[elementKey]}/value`, { text: keys });
    },
    resize: async (width, height) => {
      await command('POST', 'window/rect', { width, height });
    },
    screenshot: async () => Buffer.from((await command('GET', 'screenshot')) as string, 'base64'),
    close: end,
  };
}

export async function launchWebKit(): Promise<TestBrowser> {
  const { display, process: screen } = await startDisplay();
  const profiles = mkdtempSync(path.join(os.tmpdir(), 'bertlens-webkit-'));
  const pages: BrowserPage[] = [];
  return {
    name: 'WebKitGTK',
    open: async (url) => {
      const page = drive(await startSession(display, path.join(profiles, String(pages.length))));
      pages.push(page);
      await page.goto(url);
      return page;
    },
    close: async () => {
      for (const page of pages) await page.close();
      await ended(screen); // and with it every window that is left
      await retry(`removing ${profiles}, which the browser's last processes still write to`, () => {
        try {
          rmSync(profiles, { recursive: true, force: true });
        } catch {
          return Promise.resolve(false);
        }
        return Promise.resolve(true);
      });
    },
  };
}
