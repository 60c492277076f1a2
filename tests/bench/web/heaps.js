// Before any module of a page: keeps hold of every WebAssembly memory, so that its size can be read.
const memories = new Set();

WebAssembly.Memory = new Proxy(WebAssembly.Memory, {
  construct(target, args) {
    const memory = Reflect.construct(target, args);
    memories.add(memory);
    return memory;
  },
});
for (const name of ['instantiate', 'instantiateStreaming']) {
  const original = WebAssembly[name];
  WebAssembly[name] = async (...args) => {
    const result = await original.apply(WebAssembly, args);
    for (const value of Object.values((result.instance ?? result).exports ?? {})) {
      if (Object.prototype.toString.call(value) === '[object WebAssembly.Memory]') memories.add(value);
    }
    return result;
  };
}

globalThis.heapBytes = () => [...memories].reduce((sum, memory) => sum + memory.buffer.byteLength, 0);
