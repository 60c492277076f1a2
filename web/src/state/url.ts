// The page's one state lives in the address: #/section?name=value. A parameter is a signal that reads from it at the start
// and is written back, briefly after a change, when it differs from its default.
import { batch, effect, signal, type Signal } from '@preact/signals';

export interface Codec<T> {
  read(text: string): T | undefined;
  write(value: T): string;
}

export const textCodec: Codec<string> = { read: (text) => text, write: (value) => value };

/** Whole numbers within [low, high]; anything else in the address is ignored. */
export function integerCodec(low: number, high: number): Codec<number> {
  return {
    read(text) {
      const value = Number(text);
      return /^-?\d+$/.test(text) && value >= low && value <= high ? value : undefined;
    },
    write: String,
  };
}

export function choiceCodec<T extends string>(choices: readonly T[]): Codec<T> {
  return { read: (text) => choices.find((choice) => choice === text), write: (value) => value };
}

export const flagCodec: Codec<boolean> = {
  read: (text) => (text === '1' ? true : text === '0' ? false : undefined),
  write: (value) => (value ? '1' : '0'),
};

/** Lists of texts, as JSON; a long list still makes a legible address. */
export const listCodec: Codec<string[]> = {
  read(text) {
    try {
      const value: unknown = JSON.parse(text);
      return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
    } catch {
      return undefined;
    }
  },
  write: JSON.stringify,
};

interface Parameter {
  section: string;
  name: string;
  load(query: URLSearchParams): void;
  text(): string | undefined;
}

/** The section on show; the empty name is the first one's. */
export const route = signal('');

/** The section whose code is there, and its parameters with it: until then its address must stay as it is. */
export const arrived = signal('');

const parameters: Parameter[] = [];
/** How many they are: links on screen follow the parameters that sections declare when their code arrives. */
const declared = signal(0);
/** The address that the page has followed or written last; another one is a navigation that it has not heard of yet. */
let known = '';

function parse(): { section: string; query: URLSearchParams } {
  const hash = window.location.hash.replace(/^#\/?/, '');
  const cut = hash.indexOf('?');
  return {
    section: cut < 0 ? hash : hash.slice(0, cut),
    query: new URLSearchParams(cut < 0 ? '' : hash.slice(cut + 1)),
  };
}

/**
 * Declares a parameter of the address. `section` is the section whose address carries it, or `*` for the parameters that
 * every section shares. Names are unique within a section. An address without it means the initial value; a sticky one
 * then keeps its own.
 */
export function parameter<T>(
  section: string,
  name: string,
  initial: T,
  codec: Codec<T>,
  { sticky = false }: { sticky?: boolean } = {},
): Signal<T> {
  const value = signal(initial);
  const start = codec.write(initial);
  const entry: Parameter = {
    section,
    name,
    load(query) {
      const text = query.get(name);
      if (text === null && sticky) return;
      const read = text === null ? initial : codec.read(text);
      value.value = read ?? initial;
    },
    text() {
      const text = codec.write(value.value);
      return text === start ? undefined : text;
    },
  };
  parameters.push(entry);
  declared.value = parameters.length;
  const { section: current, query } = parse();
  if (section === '*' || section === current) entry.load(query);
  return value;
}

/** The address of a section with the state as it is now. */
export function address(section: string): string {
  const query = new URLSearchParams();
  for (const entry of parameters.slice(0, declared.value)) {
    if (entry.section !== '*' && entry.section !== section) continue;
    const text = entry.text();
    if (text !== undefined) query.set(entry.name, text);
  }
  const text = query.toString();
  return `#/${section}${text ? `?${text}` : ''}`;
}

/** The whole link to what is on show now, for the copy-link button. */
export function link(): string {
  return new URL(address(route.value), window.location.href).href;
}

export function startRouting(first: string): void {
  const follow = () => {
    known = window.location.hash;
    const { section, query } = parse();
    batch(() => {
      route.value = section || first;
      for (const entry of parameters) {
        if (entry.section === '*' || entry.section === route.value) entry.load(query);
      }
    });
  };
  follow();
  window.addEventListener('hashchange', () => {
    if (window.location.hash !== known) follow();
  });
  let timer = 0;
  effect(() => {
    window.clearTimeout(timer);
    if (arrived.value !== route.value) return;
    const next = address(route.value);
    // Browsers refuse an address that changes with every keystroke; it follows when the hand rests.
    timer = window.setTimeout(() => {
      // a link was followed since: its address must not be overwritten before `hashchange` tells of it
      if (window.location.hash !== known) return;
      if (known !== next && (known || next !== `#/${first}`)) {
        window.history.replaceState(window.history.state, '', next);
        known = window.location.hash;
      }
    }, 250);
  });
}
