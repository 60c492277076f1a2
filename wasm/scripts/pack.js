// Packs a WebAssembly module for src/packed-wasm.ts, which says how it is written.
import { gzipSync } from 'node:zlib';

/** A copy begins where so many bytes are equal, or where going on with the last one gives `kLeastOn`. */
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
    let bytes = 0;
    while (
      from + bytes < base.length &&
      to + bytes < target.length &&
      base[from + bytes] === target[to + bytes]
    )
      bytes++;
    return bytes;
  };
  const bytes = [];
  const number = (value) => {
    for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
    bytes.push(value);
  };
  number(target.length);
  let done = 0; // in the target
  let next = 0; // in the base, where the last copy would go on
  const step = (to, from, length) => {
    number(to - done);
    bytes.push(...target.subarray(done, to));
    const move = from - (next + to - done);
    number(move < 0 ? -2 * move - 1 : 2 * move);
    number(length);
    done = to + length;
    next = from + length;
  };
  while (done < target.length) {
    let to = done;
    let from = 0;
    let length = 0;
    for (; to < target.length && length === 0; to++) {
      const on = next + to - done;
      const bytesOn = equalBytes(on, to);
      if (bytesOn >= kLeastOn) [from, length] = [on, bytesOn];
      const seed = target.latin1Slice(to, Math.min(to + kSeed, target.length));
      for (const place of places.get(seed) ?? []) {
        const here = equalBytes(place, to);
        if (here > length) [from, length] = [place, here];
      }
      if (length > 0) break;
    }
    step(to, length > 0 ? from : next + to - done, length);
  }
  return Buffer.from(bytes);
}
