// What Emscripten's output gives: the classes that wasm/bindings/*.cpp export.
import type { Explanation, PaddingStatistics, SpecialToken, Tokenizer, Word } from './tokenizer-types.ts';

/** The parts of an Emscripten module that this package uses. */
export interface EmscriptenModule {
  readonly wasmMemory: WebAssembly.Memory;
}

export interface EmscriptenOptions {
  instantiateWasm(
    imports: WebAssembly.Imports,
    done: (instance: WebAssembly.Instance, module?: WebAssembly.Module) => void,
  ): object;
}

/** bindings/tokenizer.cpp: a failing call returns 0, false or undefined and `error` tells why. Strings go in as UTF-8. */
export interface TokenizerHandle {
  load(
    vocabTxt: Uint8Array,
    tokenizerJson: Uint8Array,
    tokenizerConfigJson: Uint8Array,
    lowercase: number,
    stripAccents: number,
    chineseChars: number,
    cleanText: number,
    modelMaxLength: number,
  ): boolean;
  error(): { code: string; message: string };
  request(bytes: number): number;
  encode(): number;
  pad(): number;
  paddingStatistics(): PaddingStatistics;
  words(leastPieces: number): Word[];
  decode(skipSpecialTokens: boolean, cleanUp: number): string | undefined;
  explain(text: Uint8Array, recognizeSpecialTokens: boolean): Explanation | undefined;
  settings(): Tokenizer['settings'];
  specialTokens(): SpecialToken[];
  vocabSize(): number;
  token(id: number): string | undefined;
  id(token: Uint8Array): number;
  idOrUnknown(token: Uint8Array): number;
  script(id: number): string;
  scripts(): string[];
  find(
    text: Uint8Array,
    facet: number,
    script: Uint8Array,
    offset: number,
    limit: number,
  ): { total: number; ids: number[] } | undefined;
}

export interface TokenizerModule extends EmscriptenModule {
  readonly Tokenizer: new () => TokenizerHandle;
}
