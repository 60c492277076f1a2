// Speaks with tokenizer_driver, the native tokenizer behind a pipe (its source describes the protocol).
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

export interface Row {
  ids: Int32Array;
  begins: Int32Array;
  ends: Int32Array;
  words: Int32Array;
  types: Int32Array;
  mask: Int32Array;
  special: Int32Array;
  sequences: Int32Array;
  overflowing: Row[];
}
export interface Failure {
  error: string;
}
export interface Case {
  first: string | string[];
  second?: string | string[];
}
export interface LoadOptions {
  vocab?: string;
  json?: string;
  config?: string;
  lowercase?: boolean;
  strip_accents?: boolean;
  tokenize_chinese_chars?: boolean;
  clean_text?: boolean;
}
export type EncodeOptions = Record<string, string | number | boolean>;

/** Little-endian numbers and strings, gathered for one write. */
class Writer {
  private readonly parts: Buffer[] = [];
  number(n: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(n);
    this.parts.push(bytes);
  }
  byte(n: number): void {
    this.parts.push(Buffer.from([n]));
  }
  string(text: string): void {
    const bytes = Buffer.from(text);
    this.number(bytes.length);
    this.parts.push(bytes);
  }
  take(): Buffer {
    return Buffer.concat(this.parts);
  }
}

/** Reads what the driver wrote. */
class Reader {
  private at = 0;
  private readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
  number(): number {
    this.at += 4;
    return this.bytes.readUInt32LE(this.at - 4);
  }
  string(): string {
    const size = this.number();
    this.at += size;
    return this.bytes.toString('utf8', this.at - size, this.at);
  }
  private column(size: number): Int32Array {
    const values = new Int32Array(size);
    for (let i = 0; i < size; i++, this.at += 4) values[i] = this.bytes.readInt32LE(this.at);
    return values;
  }
  row(all: boolean): Row | Failure {
    const size = this.number();
    if (size === 0xffffffff) return { error: this.string() };
    const none = new Int32Array(0);
    const row: Row = {
      ids: this.column(size),
      begins: this.column(size),
      ends: this.column(size),
      words: this.column(size),
      types: all ? this.column(size) : none,
      mask: all ? this.column(size) : none,
      special: all ? this.column(size) : none,
      sequences: all ? this.column(size) : none,
      overflowing: [],
    };
    for (let left = this.number(); left > 0; left--) row.overflowing.push(this.row(all) as Row);
    return row;
  }
}

export class Driver {
  private readonly child: ChildProcessByStdio<Writable, Readable, null>;
  private chunks: Buffer[] = [];
  private buffered = 0;
  private wanted = 0;
  private wake: (() => void) | undefined;
  private ended = false;

  constructor(path: string) {
    this.child = spawn(path, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child.stdout.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk);
      this.buffered += chunk.length;
      if (this.buffered >= this.wanted) this.wake?.();
    });
    const end = (): void => {
      this.ended = true;
      this.wake?.();
    };
    this.child.on('error', end);
    this.child.on('close', end);
  }

  private async read(size: number): Promise<Buffer> {
    while (this.buffered < size) {
      if (this.ended) throw new Error('tokenizer_driver ended');
      this.wanted = size;
      await new Promise<void>((resolve) => (this.wake = resolve));
      this.wake = undefined;
    }
    const all = Buffer.concat(this.chunks);
    this.chunks = all.length > size ? [all.subarray(size)] : [];
    this.buffered -= size;
    return all.subarray(0, size);
  }
  private async reader(): Promise<Reader> {
    const size = (await this.read(4)).readUInt32LE();
    return new Reader(await this.read(size));
  }
  private async line<T>(): Promise<T> {
    let text = '';
    for (let c = ''; c !== '\n'; text += c) c = (await this.read(1)).toString('latin1');
    return JSON.parse(text) as T;
  }
  private send(command: object, cases: Case[] = []): void {
    const writer = new Writer();
    for (const { first, second } of cases) {
      writer.byte((second === undefined ? 0 : 1) | (Array.isArray(first) ? 2 : 0));
      for (const sequence of [first, second]) {
        if (sequence === undefined) continue;
        if (Array.isArray(sequence)) writer.number(sequence.length);
        for (const text of Array.isArray(sequence) ? sequence : [sequence]) writer.string(text);
      }
    }
    this.child.stdin.write(`${JSON.stringify(command)}\n`);
    this.child.stdin.write(writer.take());
  }

  async load(options: LoadOptions): Promise<{ error?: string; load_ms?: number; size?: number }> {
    this.send({ load: options });
    return this.line();
  }
  /** Rows in order, or what went wrong with one. */
  async encode(cases: Case[], options: EncodeOptions = {}, all = false): Promise<(Row | Failure)[]> {
    this.send({ encode: options, count: cases.length, columns: all ? 'all' : 'places' }, cases);
    const reader = await this.reader();
    return cases.map(() => reader.row(all));
  }
  /** Ids, places and words as `explain` tells them; no special tokens are added. */
  async explain(texts: string[]): Promise<(Row | Failure)[]> {
    const cases = texts.map((first) => ({ first }));
    this.send({ explain: {}, count: texts.length }, cases);
    const reader = await this.reader();
    return cases.map(() => reader.row(false));
  }
  async decode(rows: number[][], options: EncodeOptions = {}): Promise<string[]> {
    const writer = new Writer();
    for (const ids of rows) {
      writer.number(ids.length);
      for (const id of ids) writer.number(id);
    }
    this.child.stdin.write(`${JSON.stringify({ decode: options, count: rows.length })}\n`);
    this.child.stdin.write(writer.take());
    const reader = await this.reader();
    return rows.map(() => reader.string());
  }
  /** Milliseconds of each run; threads 0: one call a row. */
  async time(
    texts: string[],
    runs: number,
    threads: number,
    options: EncodeOptions = {},
  ): Promise<{ ms: number[]; cpu_ms: number[]; hash: number; tokens: number }> {
    const cases = texts.map((first) => ({ first }));
    this.send({ time: options, count: texts.length, runs, threads }, cases);
    return this.line();
  }
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.child.once('close', resolve));
    this.child.stdin.end();
    if (!this.ended) await closed;
  }
}
