// WebAssembly as text within JavaScript, which bundlers carry along; scripts/pack.js packs it.
import { BertlensError } from './errors.ts';

/** A packed module. It can be sent to a worker. */
export interface PackedWasm {
  /** gzip, in base64: the module or, where there is a base, what makes it of that one's bytes. */
  readonly packed: string;
  readonly base?: PackedWasm;
}

/** The module's bytes. */
export async function unpack({ packed, base }: PackedWasm): Promise<Uint8Array<ArrayBuffer>> {
  const text = atob(packed);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  const unzipped = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  const [part, whole] = await Promise.all([new Response(unzipped).arrayBuffer(), base && unpack(base)]);
  return whole ? patched(whole, new Uint8Array(part)) : new Uint8Array(part);
}

/**
 * Numbers are LEB128: the target's length; then in turn how many bytes are new, these bytes, how far the base's place is
 * from where the last copy would go on (zigzag), and how many bytes to copy from there.
 */
function patched(base: Uint8Array, patch: Uint8Array): Uint8Array<ArrayBuffer> {
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = patch[at++]!;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const target = new Uint8Array(number());
  for (let to = 0, from = 0; to < target.length;) {
    const added = number();
    target.set(patch.subarray(at, at + added), to);
    at += added;
    to += added;
    const move = number();
    from += added + ((move >> 1) ^ -(move & 1));
    const copied = number();
    target.set(base.subarray(from, from + copied), to);
    to += copied;
    from += copied;
  }
  return target;
}

export async function compilePacked(wasm: PackedWasm): Promise<WebAssembly.Module> {
  if (typeof DecompressionStream === 'undefined') {
    throw new BertlensError('unsupported', 'DecompressionStream is needed and not here');
  }
  try {
    return await WebAssembly.compile(await unpack(wasm));
  } catch (cause) {
    // Node.js has no message for what cannot be unpacked
    const reason = (cause instanceof Error && cause.message) || String(cause);
    throw new BertlensError(
      'unsupported',
      `the inlined WebAssembly cannot be unpacked or compiled: ${reason}`,
      { cause },
    );
  }
}
