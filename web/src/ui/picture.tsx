// A picture: drawn on canvas at the screen's resolution, exportable as SVG and PNG, named for screen readers.
import { useLayoutEffect, useRef } from 'preact/hooks';
import { colours, type Colours } from '../lib/colours';
import { CanvasPainter, SvgPainter, type Painter } from '../lib/painter';
import type { Export } from './export-menu';

export interface Drawing {
  /** CSS pixels. */
  width: number;
  height: number;
  draw: (painter: Painter, colours: Colours) => void;
}

/** Stands in for a picture before its numbers are there. */
export const noDrawing: Drawing = { width: 1, height: 1, draw: () => undefined };

function paint(
  canvas: HTMLCanvasElement,
  drawing: Drawing,
  ratio: number,
  palette: Colours,
  ground: boolean,
): void {
  canvas.width = Math.max(1, Math.round(drawing.width * ratio));
  canvas.height = Math.max(1, Math.round(drawing.height * ratio));
  const context = canvas.getContext('2d');
  if (!context) return;
  context.scale(ratio, ratio);
  if (ground) {
    context.fillStyle = palette.surface;
    context.fillRect(0, 0, drawing.width, drawing.height);
  }
  drawing.draw(new CanvasPainter(context), palette);
}

export function pictureExports(name: string, drawing: () => Drawing): Export[] {
  return [
    {
      kind: 'svg',
      name,
      svg: () => {
        const { width, height, draw } = drawing();
        const painter = new SvgPainter();
        draw(painter, colours());
        return painter.document(width, height, colours().surface);
      },
    },
    {
      kind: 'png',
      name,
      png: () =>
        new Promise((resolve, reject) => {
          const canvas = document.createElement('canvas');
          paint(canvas, drawing(), 2, colours(), true);
          canvas.toBlob((blob) => {
            if (blob) resolve(blob);
            else reject(new Error('the picture could not be written'));
          }, 'image/png');
        }),
    },
  ];
}

interface PictureProps {
  drawing: Drawing;
  /** What it shows, in words, with its main numbers. */
  label: string;
  class?: string;
  /** What changes with the pointer: drawn above, so that the picture itself need not be drawn again. null: nothing now. */
  over?: Drawing['draw'] | null;
  onPoint?: (x: number, y: number) => void;
  onLeave?: () => void;
  onPress?: (x: number, y: number) => void;
}

export function Picture({ drawing, label, class: className, over, onPoint, onLeave, onPress }: PictureProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const above = useRef<HTMLCanvasElement>(null);
  const palette = colours();
  useLayoutEffect(() => {
    const sheet = above.current;
    if (!sheet) return;
    sheet.hidden = !over;
    if (!over) return;
    // only what can be seen of it: the picture may be thousands of pixels high
    const frame = sheet.closest('.table-scroll');
    const show = () => {
      const left = frame?.scrollLeft ?? 0;
      const top = frame?.scrollTop ?? 0;
      const width = Math.min(drawing.width, frame?.clientWidth ?? Infinity);
      const height = Math.min(drawing.height, frame?.clientHeight ?? Infinity);
      sheet.style.left = `${left}px`;
      sheet.style.top = `${top}px`;
      const draw: Drawing['draw'] = (painter, palette) => {
        sheet.getContext('2d')?.translate(-left, -top);
        over(painter, palette);
      };
      paint(sheet, { width, height, draw }, 1, palette, false);
    };
    show();
    frame?.addEventListener('scroll', show);
    return () => {
      frame?.removeEventListener('scroll', show);
    };
  }, [drawing, over, palette]);
  useLayoutEffect(() => {
    if (!canvas.current) return;
    canvas.current.style.width = `${drawing.width}px`;
    canvas.current.style.height = `${drawing.height}px`;
    // Canvases have a largest side and area; a large picture gives up resolution before it gives up content.
    const side = Math.max(drawing.width, drawing.height, 1);
    const area = Math.max(drawing.width * drawing.height, 1);
    const ratio = Math.min(window.devicePixelRatio || 1, 16_000 / side, Math.sqrt(32e6 / area));
    paint(canvas.current, drawing, ratio, palette, false);
  }, [drawing, palette]);
  const picture = (
    <canvas
      ref={canvas}
      class={className}
      role="img"
      aria-label={label}
      onPointerMove={
        onPoint &&
        ((event) => {
          onPoint(event.offsetX, event.offsetY);
        })
      }
      onPointerLeave={onLeave}
      onClick={
        onPress &&
        ((event) => {
          onPress(event.offsetX, event.offsetY);
        })
      }
    />
  );
  if (over === undefined) return picture;
  return (
    <span class="layers-of-picture">
      {picture}
      <canvas ref={above} class="over" aria-hidden="true" />
    </span>
  );
}
