// Strict reading of options: an unknown name, a wrong type or a value out of range is an error that says so.
import { BertlensError } from './errors.ts';
import type { HeaderList, WholeNumbers } from './tokenizer-types.ts';

export function invalid(message: string): BertlensError {
  return new BertlensError('invalid_argument', message);
}

/** A value as an error message shows it, short and on one line. */
export function shown(value: unknown): string {
  let text: string | undefined;
  if (typeof value === 'string') {
    text = JSON.stringify(value);
  } else if (typeof value === 'function') {
    text = 'a function';
  } else if (typeof value === 'object' && value !== null) {
    text = Array.isArray(value) ? 'an array' : 'an object';
  } else {
    text = String(value);
  }
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Throws for an option that no one reads, naming those that there are. */
export function checkNames(call: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) {
      throw invalid(`${call}: unknown option ${shown(name)}; known options: ${known.join(', ')}`);
    }
  }
}

/** The options of a call, none where they are undefined, with their names checked. */
export function namedOptions(
  call: string,
  given: unknown,
  known: readonly string[],
): Record<string, unknown> {
  const options = given === undefined ? {} : objectArgument(`${call}: options`, given);
  checkNames(call, options, known);
  return options;
}

/** The option `signal`, or an error that names the call. */
export function signalOption(call: string, signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw invalid(`${call}: signal must be an AbortSignal, not ${shown(signal)}`);
}

/** An object that is no array, or an error that names the argument. */
export function objectArgument(name: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(`${name} must be an object, not ${shown(value)}`);
  }
  return value as Record<string, unknown>;
}

export function flagOption(name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== 'boolean') throw invalid(`${name} must be true or false, not ${shown(value)}`);
  return value;
}

/** A whole number from `least` to `most`, or undefined where it is not given. */
export function countOption(name: string, value: unknown, least: number, most?: number): number | undefined {
  return value === undefined ? undefined : countArgument(name, value, least, most);
}

/** A whole number from `least` to `most`, or an error that names the argument. */
export function countArgument(name: string, value: unknown, least: number, most = 0x7fffffff): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw invalid(`${name} must be a whole number from ${least} to ${most}, not ${shown(value)}`);
  }
  return value;
}

/** One of `choices`, or undefined where it is not given. */
export function choiceOption<Choice extends string | boolean>(
  name: string,
  value: unknown,
  choices: readonly Choice[],
): Choice | undefined {
  if (value === undefined) return undefined;
  const found = choices.find((choice) => choice === value);
  if (found === undefined) {
    throw invalid(`${name} must be one of ${choices.map(shown).join(', ')}, not ${shown(value)}`);
  }
  return found;
}

/** A string, or an error that names the argument. */
export function textArgument(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(`${name} must be a string, not ${shown(value)}`);
  return value;
}

/** What goes with every request for a file. */
export interface RequestOptions {
  readonly headers?: HeaderList | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The checked `headers`, which can be sent to a worker; their values are not for messages, as they may be secret. */
export function headerValues(headers: unknown): HeaderList | undefined {
  if (headers === undefined) return undefined;
  const list = new Headers();
  const given = Array.isArray(headers) ? headers : objectArgument('headers', headers);
  for (const pair of Symbol.iterator in given ? (given as unknown[]) : Object.entries(given)) {
    const [name, value] = listArgument('a header', pair) as [string, unknown];
    if (typeof value !== 'string') throw invalid(`the header ${name} must be a string`);
    try {
      list.append(name, value);
    } catch {
      throw invalid(`the header ${shown(name)} has a name or a value that none can have`);
    }
  }
  return Object.fromEntries(list);
}

/** An array, its holes as undefined, or an error that names the argument. */
export function listArgument(name: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`${name} must be an array, not ${shown(value)}`);
  return Array.from(value as readonly unknown[]);
}

/** The number of a name in a table (of the core's enums); true and false are short for two of the names. */
export function namedOption<Name extends string>(
  name: string,
  value: unknown,
  table: Readonly<Record<Name, number>>,
  off: Name,
  on: Name,
): number | undefined {
  const choices: (Name | boolean)[] = [true, false, ...(Object.keys(table) as Name[])];
  const choice = choiceOption(name, value, choices);
  if (choice === undefined) return undefined;
  return table[choice === true ? on : choice === false ? off : choice];
}

const kTruncations = { do_not_truncate: 0, longest_first: 1, only_first: 2, only_second: 3 } as const;

/** A Truncation of the core, or undefined where it is not given. */
export function truncationOption(value: unknown): number | undefined {
  return namedOption('truncation', value, kTruncations, 'do_not_truncate', 'longest_first');
}

/** A copy as 32-bit integers: encodings share one memory, and requests are sent. */
export function wholeNumbers(name: string, values: WholeNumbers): Int32Array {
  if (typeof values !== 'object' || typeof (values as ArrayLike<unknown> | null)?.length !== 'number') {
    throw invalid(`${name} must be an array of whole numbers, not ${shown(values)}`);
  }
  // tensors of other libraries have 64-bit integers
  return Int32Array.from(values as ArrayLike<number | bigint>, (value, i) => {
    const number = typeof value === 'bigint' ? Number(value) : value;
    if (typeof number !== 'number' || number !== (number | 0)) {
      throw invalid(`${name}[${i}] must be a whole number of 32 bits, not ${shown(value)}`);
    }
    return number;
  });
}
