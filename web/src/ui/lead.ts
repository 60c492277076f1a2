// Leads from far below to an instrument: eyes and keyboard together.

/** Shows the instrument that a field stands in, from its top, and puts the focus on that field. */
export function leadTo(selector: string): void {
  const field = document.querySelector<HTMLElement>(selector);
  field?.closest('.instrument')?.scrollIntoView();
  field?.focus({ preventScroll: true });
}
