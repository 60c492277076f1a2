// Light, dark, or as the system says; kept on this device.
import { effect, signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';
const themes: readonly Theme[] = ['system', 'light', 'dark'];
const key = 'bertlens-theme';

function stored(): Theme {
  try {
    return themes.find((theme) => theme === window.localStorage.getItem(key)) ?? 'system';
  } catch {
    return 'system'; // storage refused: follow the system
  }
}

export const theme = signal<Theme>(stored());

/** Changes whenever the colours on screen do; pictures on canvas redraw after it. */
export const palette = signal(0);

const asked = window.matchMedia('(prefers-color-scheme: dark)');
const systemDark = signal(asked.matches);

/** Whether the colours on screen are the dark ones. */
export function isDark(): boolean {
  return theme.value === 'system' ? systemDark.value : theme.value === 'dark';
}

export function nextTheme(): void {
  theme.value = themes[(themes.indexOf(theme.value) + 1) % themes.length] ?? 'system';
}

effect(() => {
  if (theme.value === 'system') document.documentElement.removeAttribute('data-theme');
  else document.documentElement.setAttribute('data-theme', theme.value);
  try {
    window.localStorage.setItem(key, theme.value);
  } catch {
    // storage refused: the choice lasts as long as the page
  }
  palette.value = palette.peek() + 1;
});

asked.addEventListener('change', () => {
  systemDark.value = asked.matches;
  palette.value += 1;
});
