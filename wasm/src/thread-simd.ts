// A thread of the simd-threads build: Emscripten's glue starts itself where the worker's name begins with em-pthread.
import 'bertlens-wasm/engine-simd-threads';
