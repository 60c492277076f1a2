// Tables for everyone: real table elements with a caption, and virtual beyond 200 rows (fixed row height).
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Cell, Table } from '../lib/export';

export interface Column<Row> {
  title: string;
  /** The value that is exported and, without `show`, shown. */
  value: (row: Row) => Cell;
  show?: (row: Row) => ComponentChildren;
  kind?: 'number' | 'mono' | 'wrap';
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
}

const virtualFrom = 200;

export function tableOf<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): Table {
  return {
    columns: columns.map((column) => column.title),
    rows: rows.map((row) => columns.map((column) => column.value(row))),
  };
}

export function DataTable<Row>({
  caption,
  columns,
  rows,
  rowMark,
  rowClass,
  window: height,
}: DataTableProps<Row>) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = rows.length > virtualFrom;
  const [rowHeight, setRowHeight] = useState(34);
  const [top, setTop] = useState(0);
  const visible = height ?? 16;
  const margin = 12;
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
    element.style.maxHeight = limit ? `${(visible + 1) * rowHeight}px` : '';
  }, [virtual, height, visible, rowHeight]);

  // Another set of rows starts from its top.
  useLayoutEffect(() => {
    if (scroller.current && scroller.current.scrollTop > rows.length * rowHeight)
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
      class="table-scroll"
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
      <table class="table" aria-rowcount={rows.length + 1}>
        <caption class="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th scope="col" key={column.title} class={column.kind === 'number' ? 'number' : undefined}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {virtual && from > 0 && gap(from)}
          {shown.map((row, i) => (
            <tr key={from + i} aria-rowindex={from + i + 2} data-lit={rowMark?.(row)} class={rowClass?.(row)}>
              {columns.map((column) => (
                <td key={column.title} class={column.kind}>
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
