// The menu in the corner of each instrument: Markdown, CSV, SVG, PNG and the link to what is on screen.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { copyText } from '../lib/clipboard';
import { download, toCsv, toMarkdown, type Table } from '../lib/export';
import { link } from '../state/url';

export type Export =
  /** `what` tells several tables of one instrument apart. */
  | { kind: 'table'; name: string; table: () => Table; what?: string }
  | { kind: 'svg'; name: string; svg: () => string }
  | { kind: 'png'; name: string; png: () => Promise<Blob> };

interface Item {
  label: string;
  run: () => Promise<string>;
}

function items(exports: readonly Export[]): Item[] {
  const result: Item[] = [];
  for (const entry of exports) {
    if (entry.kind === 'table') {
      result.push(
        {
          label: entry.what ? `Copy the ${entry.what} as Markdown` : 'Copy as Markdown',
          run: async () => ((await copyText(toMarkdown(entry.table()))) ? 'Copied' : 'Copying was refused'),
        },
        {
          label: entry.what ? `Save the ${entry.what} as CSV` : 'Save as CSV',
          run: () => {
            // The mark at the start tells spreadsheets that the file is UTF-8.
            download(`${entry.name}.csv`, new Blob(['\ufeff', toCsv(entry.table())], { type: 'text/csv' }));
            return Promise.resolve('Saved');
          },
        },
      );
    } else if (entry.kind === 'svg') {
      result.push({
        label: 'Save as SVG',
        run: () => {
          download(`${entry.name}.svg`, new Blob([entry.svg()], { type: 'image/svg+xml' }));
          return Promise.resolve('Saved');
        },
      });
    } else {
      result.push({
        label: 'Save as PNG',
        run: async () => {
          download(`${entry.name}.png`, await entry.png());
          return 'Saved';
        },
      });
    }
  }
  result.push({
    label: 'Copy link to this view',
    run: async () => ((await copyText(link())) ? 'Copied' : 'Copying was refused'),
  });
  return result;
}

export function ExportMenu({ exports, of }: { exports: readonly Export[]; of: string }) {
  const [open, setOpen] = useState(false);
  const [said, setSaid] = useState('');
  const root = useRef<HTMLDivElement>(null);

  useLayoutEffect(() => {
    if (!open) return;
    const close = (event: PointerEvent | FocusEvent) => {
      if (event.target instanceof Node && !root.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener('pointerdown', close);
    document.addEventListener('focusin', close);
    root.current?.querySelector<HTMLButtonElement>('.menu-list button')?.focus();
    return () => {
      document.removeEventListener('pointerdown', close);
      document.removeEventListener('focusin', close);
    };
  }, [open]);

  useEffect(() => {
    if (!said) return;
    const timer = window.setTimeout(() => {
      setSaid('');
    }, 1600);
    return () => {
      window.clearTimeout(timer);
    };
  }, [said]);

  const shut = () => {
    setOpen(false);
    root.current?.querySelector<HTMLButtonElement>('button')?.focus();
  };

  const move = (event: KeyboardEvent) => {
    if (event.key === 'Escape') shut();
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    event.preventDefault();
    const buttons = [...(root.current?.querySelectorAll<HTMLButtonElement>('.menu-list button') ?? [])];
    const at = buttons.findIndex((button) => button === document.activeElement);
    buttons[(at + (event.key === 'ArrowDown' ? 1 : buttons.length - 1)) % buttons.length]?.focus();
  };

  return (
    <div class="menu" ref={root}>
      <button
        type="button"
        class="quiet"
        aria-expanded={open}
        aria-label={`Export: ${of}`}
        onClick={() => {
          setOpen(!open);
        }}
      >
        <span aria-live="polite">{said || 'Export'}</span>
      </button>
      {open && (
        <div class="menu-list" onKeyDown={move}>
          {items(exports).map((item) => (
            <button
              type="button"
              key={item.label}
              onClick={() => {
                shut();
                item.run().then(setSaid, () => {
                  setSaid('That failed');
                });
              }}
            >
              {item.label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
