// The frame of a section: title, instruments, what to notice, code, the notebook, the exercise; the same everywhere.
import type { ComponentChildren } from 'preact';
import type { Section, View } from '../views/view';
import { address } from '../state/url';
import { Code } from './code';

function Note({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="note">
      <h2>{title}</h2>
      <div>{children}</div>
    </section>
  );
}

interface PagerProps {
  previous: Section | undefined;
  next: Section | undefined;
}

/** Its links follow every keystroke, so it stands alone: what reads `address` is rendered anew with each. */
function Pager({ previous, next }: PagerProps) {
  return (
    <nav class="pager" aria-label="Sections before and after">
      {previous && (
        <a href={address(previous.id)}>
          <small>Before</small>
          {previous.number} &ensp;{previous.label}
        </a>
      )}
      {next && (
        <a class="after" href={address(next.id)}>
          <small>Next</small>
          {next.number} &ensp;{next.label}
        </a>
      )}
    </nav>
  );
}

/** Alone, so that its number changes without the section. */
function Lead({ lead }: Pick<View, 'lead'>) {
  return <p class="lead">{typeof lead === 'string' ? lead : lead()}</p>;
}

interface FrameProps extends PagerProps {
  section: Section;
  view: View;
}

export function SectionFrame({ section, view, previous, next }: FrameProps) {
  const { Instrument, Notice, Notebook, exercise } = view;
  return (
    <article class="section" key={section.id}>
      <header class="section-head">
        <p class="eyebrow">
          {section.number} &ensp;{section.label}
        </p>
        <h1>{section.idea}</h1>
        <Lead lead={view.lead} />
      </header>
      <div class="stack">
        <Instrument />
      </div>
      <div class="notes">
        <Note title="What to notice">
          <div class="prose">
            <Notice />
          </div>
        </Note>
        <Note title="In code">
          <Code samples={view.code} />
        </Note>
        <Note title="In the notebook">
          <Notebook />
        </Note>
        {exercise && (
          <Note title={exercise.title}>
            <exercise.Exercise />
          </Note>
        )}
      </div>
      <Pager previous={previous} next={next} />
    </article>
  );
}
