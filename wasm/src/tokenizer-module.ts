// The tokenizer's WebAssembly and what it imports: functions of JavaScript's that bindings/*.cpp call.
import { crashError } from './errors.ts';
import type { TokenizerModule } from './wasm-modules.ts';

/** A new instance of the compiled module. Errors: `out_of_memory`, `crashed`. */
export async function instantiateTokenizer(compiled: WebAssembly.Module): Promise<TokenizerModule> {
  let exports: (TokenizerModule & { _initialize(): void }) | undefined;
  const env = {
    emscripten_notify_memory_growth: () => undefined,
    javascript_out_of_memory: () => {
      throw new RangeError('an allocation failed');
    },
    javascript_number: (text: number) => {
      const bytes = new Uint8Array(exports!.memory.buffer, text >>> 0);
      return Number(String.fromCharCode(...bytes.subarray(0, bytes.indexOf(0))));
    },
  };
  try {
    ({ exports } = (await WebAssembly.instantiate(compiled, { env })) as unknown as {
      exports: typeof exports;
    });
    exports!._initialize();
    return exports!;
  } catch (cause) {
    throw crashError(cause);
  }
}
