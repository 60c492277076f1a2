// Gives a test compiled to WebAssembly the environment variables of the Node process that runs it.
Module.preRun = [() => Object.assign(ENV, process.env)];
