/** Settles in a task of its own: what the browser has to do in between, input above all, comes first. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve);
  });
}
