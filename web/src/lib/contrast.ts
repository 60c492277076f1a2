// Colours as numbers: mixtures of two, and which ink can be read on one.

function channels(colour: string): [number, number, number] {
  const found = colour.match(/[\d.]+/g)?.map(Number) ?? [];
  return [found[0] ?? 0, found[1] ?? 0, found[2] ?? 0];
}

/** Between two colours, `share` of the way. */
export function mix(from: string, to: string, share: number): string {
  const a = channels(from);
  const b = channels(to);
  return `rgb(${a.map((value, i) => Math.round(value + (b[i]! - value) * share)).join(', ')})`;
}

/** As WCAG 2 defines it, from 0 (black) to 1 (white). */
function luminance(colour: string): number {
  const [red, green, blue] = channels(colour).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** From 1 to 21; text needs 4.5. */
export function contrast(one: string, other: string): number {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

/** The page's ink or its opposite, whichever reads better on `fill`; on middling colours, where neither does, black or white. */
export function readableOn(fill: string, inks: Readonly<Record<'ink' | 'on-accent', string>>): string {
  const better = (one: string, other: string) => (contrast(one, fill) >= contrast(other, fill) ? one : other);
  const own = better(inks.ink, inks['on-accent']);
  return contrast(own, fill) >= 4.5 ? own : better('rgb(0, 0, 0)', 'rgb(255, 255, 255)');
}
