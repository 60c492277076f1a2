// What Emscripten's output gives: the classes that wasm/bindings/*.cpp export.
import type { CoreError } from './errors.ts';
import type {
  FillMaskResult,
  MaskEffectResult,
  MemoryUse,
  ModelInfo,
  NextSentenceResult,
  ScoreResult,
  Tensor,
} from './engine-types.ts';

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

/**
 * The exports of bindings/tokenizer.cpp, which says what each reads from the request. Those that answer with an address give 0
 * where they failed, those that answer with JSON give null; `bert_error` then tells why.
 */
export interface TokenizerModule {
  readonly memory: WebAssembly.Memory;
  bert_request(words: number): number;
  bert_load(): number;
  bert_error(): number;
  bert_encode(): number;
  bert_pad(): number;
  bert_padding_statistics(): number;
  bert_words(leastPieces: number): number;
  bert_decode(skipSpecialTokens: boolean, cleanUp: number): number;
  bert_explain(recognizeSpecialTokens: boolean): number;
  bert_about(): number;
  bert_token(id: number): number;
  bert_id(orUnknown: boolean): number;
  bert_script(id: number): number;
  bert_find(): number;
}

/** bindings/engine.cpp: a failing call returns 0, false or undefined and `error` tells why. */
export interface EngineHandle {
  error(): CoreError;
  setAborted(poll: (() => boolean) | undefined): void;
  open(
    configJson: Uint8Array,
    vocabTxt: Uint8Array,
    tokenizerJson: Uint8Array,
    tokenizerConfigJson: Uint8Array,
    threads: number,
  ): boolean;
  headerSize(prefix: Uint8Array): number;
  addHeader(bytes: Uint8Array, fileBytes: number): boolean;
  shardFiles(index: Uint8Array): string[] | undefined;
  begin(shardIndex: Uint8Array, precision: number, statistics: boolean): boolean;
  room(): number;
  roomSize(): number;
  commit(bytes: number): boolean;
  finish(): boolean;
  info(): ModelInfo;
  precision(): string;
  kernels(): string;
  threads(): number;
  memory(): MemoryUse;
  fillMask(request: object): FillMaskResult | undefined;
  nextSentence(request: object): NextSentenceResult[] | undefined;
  nextSentenceReport(
    answers: readonly number[],
    labels: readonly number[],
    threshold: number,
  ): object | undefined;
  score(request: object): ScoreResult | undefined;
  embed(request: object): Tensor | undefined;
  maskEffect(texts: readonly object[]): MaskEffectResult | undefined;
  maskEffectCurve(text: object, paddings: readonly number[]): number[] | undefined;
  encode(request: object): RawEncoding[] | undefined;
}

/** One sequence's results, the probes in the order asked for. */
export interface RawEncoding {
  readonly lastHiddenState: Tensor;
  readonly poolerOutput?: Tensor;
  readonly hiddenStates: Readonly<Record<number, Tensor>>;
  readonly attentions: Readonly<Record<number, Tensor>>;
  readonly probes: readonly Tensor[];
}

export interface EngineModule extends EmscriptenModule {
  readonly Engine: new () => EngineHandle;
}

/** What the threads of a build run in: the page's Worker, or what stands for it. */
export type ThreadWorker = new (url: string) => unknown;

export interface EngineOptions extends EmscriptenOptions {
  readonly threads?: number;
  readonly ThreadWorker?: ThreadWorker;
}

export type CreateEngineModule = (options: EngineOptions) => Promise<EngineModule>;
