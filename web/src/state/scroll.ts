// Where the page was scrolled to, per entry of the history. A link leads to the top of a section; going back, going forward
// and loading anew lead to where it was left. The browser's own memory does not do: it looks before the section is there.

interface Place {
  readonly scrollY: number;
  /** Of the whole page: a section that is not as tall yet still moves. */
  readonly scrollHeight: number;
}

/** Milliseconds without scrolling after which the place is kept: browsers refuse an entry that changes with every step. */
const rest = 100;
/** Milliseconds for which a section may grow to the height that it had. */
const patience = 2000;

const gestures = ['wheel', 'touchmove', 'pointerdown', 'keydown'] as const;

/** Where the entry that was gone to was left; undefined once the page is there, and for a link. */
let wanted = read();
let timer = 0;
let frame = 0;

function read(): Place | undefined {
  const { scrollY, scrollHeight } = (window.history.state ?? {}) as Partial<Place>;
  return typeof scrollY === 'number' && typeof scrollHeight === 'number'
    ? { scrollY, scrollHeight }
    : undefined;
}

function height(): number {
  return document.documentElement.scrollHeight;
}

/** Keeps the place beside whatever else the entry holds. */
function keep(): void {
  window.clearTimeout(timer);
  const state: unknown = window.history.state;
  if (wanted || (state !== null && typeof state !== 'object')) return;
  const kept = read();
  const place: Place = { scrollY: window.scrollY, scrollHeight: height() };
  if (kept?.scrollY === place.scrollY && kept.scrollHeight === place.scrollHeight) return;
  window.history.replaceState({ ...state, ...place }, '');
}

function keepSoon(): void {
  window.clearTimeout(timer);
  timer = window.setTimeout(keep, rest);
}

function stop(): void {
  window.cancelAnimationFrame(frame);
  for (const gesture of gestures) window.removeEventListener(gesture, stop);
  wanted = undefined;
  keepSoon();
}

/** Scrolls to where the entry was left, over some frames: what a section shows comes bit by bit, above that place too. */
function goBack({ scrollY, scrollHeight }: Place): void {
  const end = performance.now() + patience;
  const step = () => {
    window.scrollTo(0, scrollY);
    const there = Math.abs(window.scrollY - scrollY) < 1 && height() >= scrollHeight;
    if (there || performance.now() > end) stop();
    else frame = window.requestAnimationFrame(step);
  };
  window.cancelAnimationFrame(frame);
  for (const gesture of gestures) window.addEventListener(gesture, stop, { passive: true });
  step();
}

/** Scrolls in a section that has just been laid out. */
export function takePlace(first: boolean): void {
  if (wanted) goBack(wanted);
  else if (!first) window.scrollTo(0, 0);
}

/** `laidOut` tells whether what the address names is on screen. */
export function followHistory(laidOut: () => boolean): void {
  window.history.scrollRestoration = 'manual';
  window.addEventListener('popstate', () => {
    stop();
    window.clearTimeout(timer);
    // an entry that a link has just made holds nothing yet
    wanted = read();
    if (wanted && laidOut()) goBack(wanted);
  });
  window.addEventListener('scroll', keepSoon, { passive: true });
  // before a link is followed, while the entry is still the one that is left
  const leave = (event: Event) => {
    if (event.target instanceof Element && event.target.closest('a')) keep();
  };
  document.addEventListener('click', leave, true);
  // not every browser takes it that late
  window.addEventListener('pagehide', keep);
}
