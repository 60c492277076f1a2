// Included into the glue of builds with threads: its `Worker` is the one that src/*.ts gives, so that bundlers see an
// address that they can follow.
// eslint-disable-next-line no-unused-vars
var Worker = Module['ThreadWorker'];
