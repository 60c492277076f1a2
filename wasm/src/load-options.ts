// The options of `load`, checked, in the parts that different sides need.
import { BertlensError } from './errors.ts';
import type { EngineOptions } from './engine.ts';
import type { Build, LoadOptions, Precision } from './engine-types.ts';
import { StoredFault } from './model-files.ts';
import {
  choiceOption,
  countOption,
  flagOption,
  headerValues,
  objectArgument,
  shown,
  textArgument,
} from './options.ts';
import { callOptions, functionOption } from './requests.ts';
import { hubValues } from './resources.ts';
import { kBuilds } from './runtime.ts';

const kPrecisions = ['f32', 'f16', 'int8'] as const satisfies readonly Precision[];

export interface CheckedLoadOptions {
  readonly engine: EngineOptions;
  readonly build: Build | 'auto';
  readonly threads: number | 'auto';
  readonly signal: AbortSignal | undefined;
  readonly onProgress: LoadOptions['onProgress'];
}

export function loadOptions(given: LoadOptions | undefined): CheckedLoadOptions {
  const options = callOptions('load', given, [
    'precision',
    'threads',
    'build',
    'cache',
    'integrity',
    'revision',
    'endpoint',
    'headers',
    'files',
    'statistics',
    'onProgress',
  ]);
  const precision = choiceOption('precision', options['precision'], kPrecisions);
  const { threads, integrity, files } = options;
  const sums: Record<string, string> = {};
  for (const [file, sum] of Object.entries(objectArgument('integrity', integrity ?? {}))) {
    if (typeof sum !== 'string' || !/^[0-9a-f]{64}$/i.test(sum)) {
      throw new BertlensError(
        'invalid_argument',
        `the SHA-256 of ${file} must be 64 hex digits, not ${shown(sum)}`,
      );
    }
    sums[file] = sum.toLowerCase();
  }
  if (files !== undefined && !Array.isArray(files)) {
    throw new BertlensError('invalid_argument', `files must be an array of names, not ${shown(files)}`);
  }
  return {
    engine: {
      ...(precision && { precision }),
      cache: flagOption('cache', options['cache'], true),
      integrity: sums,
      ...hubValues(options),
      headers: headerValues(options['headers']),
      ...(files !== undefined && { files: (files as unknown[]).map((file) => textArgument('a file', file)) }),
      statistics: flagOption('statistics', options['statistics'], false),
    },
    build: choiceOption('build', options['build'], ['auto', ...kBuilds]) ?? 'auto',
    threads: threads === undefined || threads === 'auto' ? 'auto' : countOption('threads', threads, 1, 64)!,
    signal: given?.signal,
    onProgress: functionOption('onProgress', options['onProgress']) as LoadOptions['onProgress'],
  };
}

/** Runs `load`; where that fails for what is stored, once more without it. */
export async function loadTwice<Model>(load: (afresh: boolean) => Promise<Model>): Promise<Model> {
  try {
    return await load(false);
  } catch (fault) {
    if (!(fault instanceof StoredFault)) throw fault;
    try {
      return await load(true);
    } catch (error) {
      // without the server, what is wrong with the stored file says more
      throw (error as Partial<BertlensError>).code === 'io' ? fault : error;
    }
  }
}
