// Emscripten's output as modules; scripts/build.js says which file each name is.
declare module 'bertlens-wasm/engine-*' {
  const createModule: import('./wasm-modules.ts').CreateEngineModule;
  export default createModule;
}

// What scripts/build.js inlines, as text.
declare module 'bertlens-inline/*' {
  const text: string;
  export default text;
}
