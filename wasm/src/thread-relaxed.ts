// A thread of the relaxed-threads build: Emscripten's glue starts itself where the worker's name begins with em-pthread.
import 'bertlens-wasm/engine-relaxed-threads';
