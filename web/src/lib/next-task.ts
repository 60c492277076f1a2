/** Settles in a task of its own: what the browser has to do in between, input above all, comes first. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve);
  });
}

/** Settles when what stands on the page has been painted; in a tab that nobody sees, soon. */
export function afterPaint(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 200);
    requestAnimationFrame(() => {
      setTimeout(resolve);
    });
  });
}
