// "In the notebook": what its cell printed beside what this page gives, and whether they agree.
import type { ComponentChildren } from 'preact';
import { compare } from '../lib/agreement';

interface PrintedLine {
  what: string;
  /** As the notebook printed it. */
  printed: string;
  /** The same from this page; undefined while it does not run on the notebook's input. A number is compared as such. */
  here: string | number | undefined;
}

interface PrintedProps {
  cell: string;
  lines: readonly PrintedLine[];
  /** The notebook's model is another one here: values may differ, and that is no fault. */
  otherModel?: boolean;
  /** Shown where the page does not run on the notebook's input now. */
  children?: ComponentChildren;
}

export function Printed({ cell, lines, otherModel = false, children }: PrintedProps) {
  return (
    <section aria-label={cell}>
      <h3 class="hint">{cell}</h3>
      <dl>
        {lines.map((line) => (
          <PrintedRow key={line.what} line={line} otherModel={otherModel} />
        ))}
      </dl>
      {children}
    </section>
  );
}

function PrintedRow({ line, otherModel }: { line: PrintedLine; otherModel: boolean }) {
  const number = typeof line.here === 'number' ? compare(line.printed, line.here) : undefined;
  const here = number?.here ?? line.here;
  const same = number ? number.agreement === 'equal' : here === line.printed;
  return (
    <div class="printed-line">
      <dt>{line.what}</dt>
      <dd>{line.printed}</dd>
      <dd class="verdict">
        {here === undefined ? (
          ''
        ) : same ? (
          <span class="agree">= here</span>
        ) : (
          <span class={otherModel ? 'differ other' : 'differ'}>
            here: <span class="mono">{here}</span>
          </span>
        )}
      </dd>
    </div>
  );
}
