// Calls `call` some times; the milliseconds of each, and what `first` takes of the first result.
export async function timed(runs, call, first) {
  const ms = [];
  let hidden = [];
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    const result = await call();
    ms.push(performance.now() - start);
    if (i === 0) hidden = first(result).map((row) => Array.from(row));
  }
  return { ms, hidden };
}
