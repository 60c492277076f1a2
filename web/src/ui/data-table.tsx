// Tables for everyone: real table elements with a caption, virtual beyond 200 rows (fixed row height), sorted where a
// column's title is pressed.
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Cell, Table } from '../lib/export';

export interface Column<Row> {
  title: string;
  /** Stands for the title on narrow screens. */
  short?: string;
  /** The value that is exported and, without `show`, shown. */
  value: (row: Row) => Cell;
  show?: (row: Row) => ComponentChildren;
  kind?: 'number' | 'mono' | 'wrap';
  /** Pressing the title sorts by `value`; a list of rows is needed. */
  sorts?: boolean;
}

interface DataTableProps<Row> {
  caption: string;
  columns: readonly Column<Row>[];
  /** The rows, or how many there are and how to get some of them. */
  rows: readonly Row[] | { length: number; slice: (from: number, to: number) => readonly Row[] };
  rowMark?: (row: Row) => string | undefined;
  rowClass?: (row: Row) => string | undefined;
  /** Height of the scrolling window in rows; by default the table grows with its rows. */
  window?: number;
  /** What a narrow screen does to rows that are too wide: columns of text shrink, or each row becomes a block. */
  narrow?: 'shrinks' | 'blocks';
  /** For the layout of blocks. */
  class?: string;
}

const virtualFrom = 200;

export function tableOf<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): Table {
  return {
    columns: columns.map((column) => column.title),
    rows: rows.map((row) => columns.map((column) => column.value(row))),
  };
}

interface Sort {
  title: string;
  down: boolean;
}

/** Empty cells come last whichever way it goes. */
function sorted<Row>(rows: readonly Row[], column: Column<Row>, down: boolean): readonly Row[] {
  const order = (a: Cell, b: Cell) => {
    if (a === null || b === null) return (a === null ? 1 : 0) - (b === null ? 1 : 0);
    const difference =
      typeof a === 'number' && typeof b === 'number'
        ? a - b
        : String(a).localeCompare(String(b), 'en', { numeric: true });
    return down ? -difference : difference;
  };
  return [...rows].sort((a, b) => order(column.value(a), column.value(b)));
}

function Title<Row>({ column }: { column: Column<Row> }) {
  if (column.short === undefined) return <>{column.title}</>;
  return (
    <>
      <span class="full">{column.title}</span>
      <span class="short">{column.short}</span>
    </>
  );
}

export function DataTable<Row>({
  caption,
  columns,
  rows: given,
  rowMark,
  rowClass,
  window: height,
  narrow,
  class: className,
}: DataTableProps<Row>) {
  // styles that make a row a block take these roles away
  const roles = narrow === 'blocks' && {
    table: { role: 'table' as const },
    group: { role: 'rowgroup' as const },
    row: { role: 'row' as const },
    head: { role: 'columnheader' as const },
    cell: { role: 'cell' as const },
  };

  const [sort, setSort] = useState<Sort | null>(null);
  const by = sort && columns.find((column) => column.title === sort.title);
  const rows = useMemo(
    () => (by && Array.isArray(given) ? sorted(given as readonly Row[], by, sort.down) : given),
    [given, by, sort],
  );
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = rows.length > virtualFrom;
  const [rowHeight, setRowHeight] = useState(34);
  const [top, setTop] = useState(0);
  const visible = height ?? 16;
  const margin = 6;
  const from = virtual
    ? Math.max(0, Math.min(rows.length - visible, Math.floor(top / rowHeight)) - margin)
    : 0;
  const to = virtual ? Math.min(rows.length, from + visible + 2 * margin) : rows.length;
  const shown = rows.slice(from, to);

  useLayoutEffect(() => {
    const row = scroller.current?.querySelector<HTMLElement>('tbody tr:not(.gap)');
    if (row && row.offsetHeight > 0) setRowHeight(row.offsetHeight);
  }, [virtual]);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const limit = virtual || height !== undefined;
    // half a row more than fits shows that there are others
    element.style.maxHeight = limit ? `${(visible + 1.5) * rowHeight}px` : '';
  }, [virtual, height, visible, rowHeight]);

  // Another set of rows starts from its top. Only fewer rows can leave it beyond their end, and only then is it worth the
  // layout that asking for the position costs.
  const before = useRef(rows.length);
  useLayoutEffect(() => {
    const fewer = rows.length < before.current;
    before.current = rows.length;
    if (fewer && scroller.current && scroller.current.scrollTop > rows.length * rowHeight)
      scroller.current.scrollTop = 0;
  }, [rows.length, rowHeight]);

  const gap = (count: number) => {
    const set = (element: HTMLTableCellElement | null) => {
      if (element) element.style.height = `${count * rowHeight}px`;
    };
    return (
      <tr class="gap" aria-hidden="true">
        <td colSpan={columns.length} ref={set} />
      </tr>
    );
  };

  return (
    <div
      class={['table-scroll', narrow, className].filter(Boolean).join(' ')}
      ref={scroller}
      role="region"
      aria-label={caption}
      tabIndex={0}
      onScroll={
        virtual
          ? (event) => {
              setTop(event.currentTarget.scrollTop);
            }
          : undefined
      }
    >
      <table class="table" aria-rowcount={rows.length + 1} {...(roles && roles.table)}>
        <caption class="visually-hidden">{caption}</caption>
        <thead {...(roles && roles.group)}>
          <tr {...(roles && roles.row)}>
            {columns.map((column) => (
              <th
                scope="col"
                key={column.title}
                {...(roles && roles.head)}
                class={column.kind === 'number' ? 'number' : undefined}
                {...(sort?.title === column.title && { 'aria-sort': sort.down ? 'descending' : 'ascending' })}
              >
                {column.sorts ? (
                  <button
                    type="button"
                    class="sorter"
                    onClick={() => {
                      // numbers are mostly looked at from their greatest, names from A
                      const first = column.kind === 'number';
                      if (sort?.title !== column.title) setSort({ title: column.title, down: first });
                      else if (sort.down === first) setSort({ title: column.title, down: !first });
                      else setSort(null);
                    }}
                  >
                    <Title column={column} />
                    <span aria-hidden="true">
                      {sort?.title !== column.title ? '' : sort.down ? ' ↓' : ' ↑'}
                    </span>
                  </button>
                ) : (
                  <Title column={column} />
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody {...(roles && roles.group)}>
          {virtual && from > 0 && gap(from)}
          {shown.map((row, i) => (
            <tr
              key={from + i}
              aria-rowindex={from + i + 2}
              data-lit={rowMark?.(row)}
              class={rowClass?.(row)}
              {...(roles && roles.row)}
            >
              {columns.map((column) => (
                <td key={column.title} class={column.kind} {...(roles && roles.cell)}>
                  {column.show ? column.show(row) : column.value(row)}
                </td>
              ))}
            </tr>
          ))}
          {virtual && to < rows.length && gap(rows.length - to)}
        </tbody>
      </table>
    </div>
  );
}
