// Packs a WebAssembly module for src/packed-wasm.ts, which says how it is written.
import { gzipSync } from 'node:zlib';

/** A copy begins where so many bytes are equal, or where going on with the last one gives at least `kLeastOn`. */
const kSeed = 16;
const kLeastOn = 4;
/** So many places with an equal seed are tried. */
const kMostPlaces = 64;

/**
 * gzip of the module, or of what makes it of `base`: the builds of the engine are much alike, and all have the tokenizer.
 *
 * @param {Buffer} wasm
 * @param {Buffer} [base]
 */
export function pack(wasm, base) {
  return gzipSync(base ? patch(base, wasm) : wasm, { level: 9 });
}

function patch(base, target) {
  const places = new Map();
  for (let at = 0; at + kSeed <= base.length; at++) {
    const seed = base.latin1Slice(at, at + kSeed);
    const equal = places.get(seed);
    if (!equal) places.set(seed, [at]);
    else if (equal.length < kMostPlaces) equal.push(at);
  }
  const equalBytes = (from, to) => {
    const most = Math.min(base.length - from, target.length - to);
    let bytes = 0;
    while (bytes < most && base[from + bytes] === target[to + bytes]) bytes++;
    return bytes;
  };
  /** The longest copy to a place; of length 0 where there is none. `on` is where the last one would go on. */
  const longestCopy = (to, on) => {
    let from = on;
    let length = equalBytes(on, to);
    if (length < kLeastOn) length = 0;
    const seed = target.latin1Slice(to, Math.min(to + kSeed, target.length));
    for (const place of places.get(seed) ?? []) {
      const bytes = equalBytes(place, to);
      if (bytes > length) [from, length] = [place, bytes];
    }
    return { from, length };
  };
  const bytes = [];
  const number = (value) => {
    for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
    bytes.push(value);
  };
  number(target.length);
  let done = 0; // in the target
  let on = 0; // in the base
  for (let to = 0; done < target.length;) {
    const { from, length } = longestCopy(to, on);
    if (length === 0 && to < target.length) {
      to++;
      on++;
      continue;
    }
    number(to - done);
    for (const byte of target.subarray(done, to)) bytes.push(byte);
    number(from < on ? 2 * (on - from) - 1 : 2 * (from - on));
    number(length);
    done = to += length;
    on = from + length;
  }
  return Buffer.from(bytes);
}
