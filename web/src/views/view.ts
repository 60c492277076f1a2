// The shape that every section of the page has; the frame (ui/section.tsx) lays them all out alike.
import type { ComponentType } from 'preact';

export interface CodeSamples {
  python: string;
  javascript: string;
  cli: string;
}

export interface View {
  /** One or two sentences below the title, perhaps with a number of what is on screen. */
  lead: string | (() => string);
  /** The instruments, in one or more cards. */
  Instrument: ComponentType;
  /** Two or three sentences on what is on screen now. */
  Notice: ComponentType;
  /** The same in Python, JavaScript and on the command line, with the values on screen. Read inside a component. */
  code: () => CodeSamples;
  /** What the notebook printed beside what this page gives. */
  Notebook: ComponentType;
  /** The notebook's exercise, where the section has one. */
  exercise?: { title: string; Exercise: ComponentType };
}

/** A section as the rail knows it; its code arrives when it is opened. */
export interface Section {
  id: string;
  number: number;
  label: string;
  /** What it is about, as its title. */
  idea: string;
  load: () => Promise<View>;
}
