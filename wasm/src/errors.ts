// The one error this package throws: the core's code for programs and one sentence for people.

/**
 * What went wrong, for programs. The first eleven are the core's (`core/include/bert/result.h`) and the same on the
 * command line; `disposed` and `crashed` belong to this package.
 *
 * - `invalid_argument`: an option or argument that cannot be used, alone or with the others
 * - `invalid_text`: the text lacks what the call needs (no [MASK], a ragged batch asked for as one tensor)
 * - `too_long`: more tokens than the model has positions
 * - `invalid_model`: model or vocabulary bytes that are not what they claim to be
 * - `missing_tensor`: the checkpoint lacks a tensor (a head too) that this call needs
 * - `unsupported`: valid, but not something this program or this browser can do
 * - `not_found`: a file, folder or address that is not there
 * - `io`: reading, writing or downloading failed
 * - `aborted`: the caller asked to stop
 * - `out_of_memory`: an allocation failed
 * - `internal`: a fault of ours
 * - `disposed`: the object was used after `dispose()`
 * - `crashed`: the worker or the WebAssembly module died; load again
 */
export type BertlensErrorCode =
  | 'invalid_argument'
  | 'invalid_text'
  | 'too_long'
  | 'invalid_model'
  | 'missing_tensor'
  | 'unsupported'
  | 'not_found'
  | 'io'
  | 'aborted'
  | 'out_of_memory'
  | 'internal'
  | 'disposed'
  | 'crashed';

/** Every failure of this package: `code` for programs, `message` for people. */
export class BertlensError extends Error {
  /** Written out: Node's report of an uncaught error has the class's name, and scripts are minified. */
  static override readonly name: string = 'BertlensError';
  override readonly name = 'BertlensError';
  readonly code: BertlensErrorCode;

  constructor(code: BertlensErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What the core says of a call that failed. */
export interface CoreError {
  readonly code: BertlensErrorCode;
  readonly message: string;
}

/**
 * The core's error with the options' names as they are here; the padding "max_length" is called so here too. A message with
 * quotes, in which somebody's words stand, is left alone: of options the core quotes nothing.
 */
export function coreError({ code, message }: CoreError): BertlensError {
  if (message.includes("'")) return new BertlensError(code, message);
  const renamed = message.replace(/\b(padding )?(max_length|pad_to_multiple_of)\b/g, (all, padding) =>
    padding ? all : all.replace(/_./g, ([, letter]) => letter!.toUpperCase()),
  );
  return new BertlensError(code, renamed);
}

/** Throws `aborted` if `signal` has been aborted. The signal's own reason becomes the error's cause. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

/** What `work` gives, or `aborted` as soon as `signal` is; the work itself goes on. */
export async function unlessAborted<Value>(
  work: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value> {
  return await new Promise((done, fail) => {
    const onAbort = (): void => {
      fail(abortError(signal!));
    };
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort);
    work.finally(() => signal?.removeEventListener('abort', onAbort)).then(done, fail);
  });
}

/** The error that an aborted signal stands for. */
export function abortError({ reason }: AbortSignal): BertlensError {
  const { name, message } = Object(reason) as Partial<Error>;
  const why = name === 'AbortError' || message === undefined ? '' : `: ${message}`;
  return new BertlensError('aborted', `the call was aborted${why}`, { cause: reason });
}

/** What a trap, a failed allocation or a fault of the glue is called. */
export function crashError(cause: unknown): BertlensError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  // the engines' word for too deep recursion is a RangeError too
  if (cause instanceof RangeError && !/call stack/.test(reason)) {
    return new BertlensError('out_of_memory', `the WebAssembly heap cannot grow: ${reason}`, { cause });
  }
  return new BertlensError('crashed', `the WebAssembly module failed: ${reason}; load again`, { cause });
}
