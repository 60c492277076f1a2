// How numbers are written on the page, in one place.

/** 109482240 -> "109,482,240". Intl.NumberFormat gives the same, and costs the page's start 20 ms. */
export function count(value: number): string {
  return String(value).replace(/^-?\d+/, (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ','));
}

/** "1 word", "2 words". */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** With so many digits, and a minus sign for what is below 0: -1.5 -> "−1.50". */
export function decimal(value: number, digits: number): string {
  return value.toFixed(digits).replace('-', '−');
}

/** Four digits; what would round to zero is said to be small, not nothing. */
export function probability(value: number): string {
  if (value > 0 && value < 0.00005) return '<\u00a00.0001';
  return value.toFixed(4);
}

/** A share in [0, 1] as the notebook prints percentages: two decimals. */
export function percent(share: number, digits = 2): string {
  return `${(share * 100).toFixed(digits)}\u00a0%`;
}

/** The same, but what would round to zero is said to be small, not nothing. */
export function portion(share: number, digits = 2): string {
  const least = 10 ** -digits;
  return share > 0 && share * 100 < least / 2
    ? `<\u00a0${percent(least / 100, digits)}`
    : percent(share, digits);
}

/** [4, 20] */
export function shape(sizes: readonly number[]): string {
  return `[${sizes.join(', ')}]`;
}

export function bytes(value: number): string {
  if (value < 1000) return `${value} B`;
  const units = ['kB', 'MB', 'GB'];
  let scaled = value / 1000;
  let unit = 0;
  while (scaled >= 1000 && unit < units.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  return `${scaled < 10 ? scaled.toFixed(1) : scaled.toFixed(0)} ${units[unit] ?? ''}`;
}

/** "a", "a and b", "a, b and c". */
export function list(items: readonly string[]): string {
  if (items.length < 2) return items.join('');
  return `${items.slice(0, -1).join(', ')} and ${items[items.length - 1] ?? ''}`;
}

/** "the text is too long" -> "The text is too long."; names of files keep their letters. */
export function sentenceCase(text: string): string {
  const sentence = /^[a-z]+ /.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?…]$/.test(sentence) ? sentence : `${sentence}.`;
}

/** A code point as U+0041. */
export function codePoint(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}
