// A card that holds one instrument: a title, its exports in the corner, the thing itself.
import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import { ExportMenu, type Export } from './export-menu';

interface InstrumentProps {
  title: string;
  /** What can leave this instrument; asked for when the menu is used. */
  exports?: readonly Export[];
  /** Controls that stand beside the exports. */
  tools?: ComponentChildren;
  children: ComponentChildren;
}

export function Instrument({ title, exports, tools, children }: InstrumentProps) {
  const id = useId();
  return (
    <section class="instrument" aria-labelledby={id}>
      <div class="instrument-head">
        <h2 id={id}>{title}</h2>
        <div class="row tools">
          {tools}
          {exports && <ExportMenu exports={exports} of={title} />}
        </div>
      </div>
      {children}
    </section>
  );
}
