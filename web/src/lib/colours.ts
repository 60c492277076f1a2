// The colours on screen now, as plain values for canvas and SVG, read from the design tokens.
import { palette } from '../state/theme';
import { mix } from './contrast';

export { mix, readableOn } from './contrast';

const names = [
  'paper',
  'surface',
  'sunken',
  'ink',
  'muted',
  'faint',
  'line',
  'line-strong',
  'accent',
  'accent-soft',
  'on-accent',
  'warm',
  'warm-soft',
  'tint-0',
  'tint-1',
  'tint-2',
  'tint-3',
  'tint-line-0',
  'tint-line-1',
  'tint-line-2',
  'tint-line-3',
] as const;

export type Colours = Readonly<Record<(typeof names)[number], string>>;

let kept: { at: number; colours: Colours } | undefined;

/** Reads the palette signal, so that whoever draws with it draws again when the colours change. */
export function colours(): Colours {
  const at = palette.value;
  if (kept?.at === at) return kept.colours;
  // all probes first and then all answers: the page's styles are computed once
  const probes = names.map((name) => {
    const probe = document.createElement('span');
    probe.hidden = true;
    // pictures keep their colours where the system forces its own on the page
    probe.style.setProperty('forced-color-adjust', 'none');
    probe.style.color = `var(--${name})`;
    return probe;
  });
  document.body.append(...probes);
  const entries = names.map((name, i) => [name, getComputedStyle(probes[i]!).color]);
  for (const probe of probes) probe.remove();
  kept = { at, colours: Object.fromEntries(entries) as Colours };
  return kept.colours;
}

const steps = 96;
const ramps = new Map<string, readonly string[]>();

/** From one colour to another by weight: a root's scale, so that small weights can be told from none. */
export function ramp(from: string, to: string): (weight: number) => string {
  const key = `${from}|${to}`;
  let kept = ramps.get(key);
  if (!kept) {
    kept = Array.from({ length: steps + 1 }, (_, i) => mix(from, to, i / steps));
    ramps.set(key, kept);
  }
  const colours = kept;
  return (weight) => colours[Math.round(steps * Math.sqrt(Math.min(1, Math.max(0, weight))))]!;
}

export const families = {
  text: "'Atkinson Hyperlegible Next Variable', sans-serif",
  mono: "'Atkinson Hyperlegible Mono Variable', monospace",
};

/** The width of so many characters of the monospaced family; browsers may round that of each to whole pixels. */
export function monoWidth(characters: number, size: number): number {
  const each = 0.63 * size;
  return characters * Math.max(each, Math.round(each));
}
