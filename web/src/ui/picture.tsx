// A picture: drawn on canvas at the screen's resolution, exportable as SVG and PNG, named for screen readers.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { colours, type Colours } from '../lib/colours';
import { CanvasPainter, SvgPainter, type Painter } from '../lib/painter';
import type { Export } from './export-menu';

export interface Drawing {
  /** CSS pixels. */
  width: number;
  height: number;
  /** Where only a part is on screen, `seen` tells its rows; what lies outside need not be drawn. */
  draw: (painter: Painter, colours: Colours, seen?: Rows) => void;
}

/** Pixels of a picture, from its top. */
export interface Rows {
  top: number;
  bottom: number;
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
  const width = Math.max(1, Math.round(drawing.width * ratio));
  const height = Math.max(1, Math.round(drawing.height * ratio));
  const context = canvas.getContext('2d');
  if (!context) return;
  if (canvas.width === width && canvas.height === height) {
    // the same memory again
    context.resetTransform();
    context.clearRect(0, 0, width, height);
  } else {
    canvas.width = width;
    canvas.height = height;
  }
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

/** The part of a picture that its frame shows. */
interface View {
  left: number;
  top: number;
  width: number;
  height: number;
}

interface PictureProps {
  drawing: Drawing;
  /** What it shows, in words, with its main numbers. */
  label: string;
  class?: string;
  /** Only what its frame, a `.table-scroll`, shows of it is drawn, and drawn again as that scrolls: for long pictures. */
  windowed?: boolean;
  /** A frame around a part of it, which follows the pointer at no cost of drawing. */
  mark?: { x: number; y: number; width: number; height: number } | null;
  onPoint?: (x: number, y: number) => void;
  onLeave?: () => void;
  onPress?: (x: number, y: number) => void;
}

export function Picture({
  drawing,
  label,
  class: className,
  windowed = false,
  mark,
  onPoint,
  onLeave,
  onPress,
}: PictureProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const palette = colours();
  // Asked for when it changes, not with every drawing: that would lay the page out each time.
  const [view, setView] = useState<View | null>(null);
  useLayoutEffect(() => {
    const frame = canvas.current?.closest<HTMLElement>('.table-scroll');
    if (!windowed || !frame) return;
    const follow = () => {
      setView({
        left: frame.scrollLeft,
        top: frame.scrollTop,
        width: frame.clientWidth,
        height: frame.clientHeight,
      });
    };
    const observer = new ResizeObserver(follow);
    observer.observe(frame);
    frame.addEventListener('scroll', follow);
    return () => {
      observer.disconnect();
      frame.removeEventListener('scroll', follow);
    };
  }, [windowed]);
  const left = windowed ? (view?.left ?? 0) : 0;
  const top = windowed ? (view?.top ?? 0) : 0;
  useLayoutEffect(() => {
    const sheet = canvas.current;
    if (!sheet || (windowed && !view)) return;
    const width = windowed ? Math.min(drawing.width, view!.width) : drawing.width;
    const height = windowed ? Math.min(drawing.height, view!.height) : drawing.height;
    sheet.style.width = `${width}px`;
    sheet.style.height = `${height}px`;
    sheet.style.transform = windowed ? `translate(${left}px, ${top}px)` : '';
    // Canvases have a largest side and area; a large picture gives up resolution before it gives up content.
    const side = Math.max(width, height, 1);
    const area = Math.max(width * height, 1);
    const ratio = Math.min(window.devicePixelRatio || 1, 16_000 / side, Math.sqrt(32e6 / area));
    const draw: Drawing['draw'] = (painter, inks) => {
      sheet.getContext('2d')?.translate(-left, -top);
      drawing.draw(painter, inks, { top, bottom: top + height });
    };
    paint(sheet, windowed ? { width, height, draw } : drawing, ratio, palette, false);
  }, [drawing, windowed, view, palette]);
  const picture = (
    <canvas
      ref={canvas}
      class={className}
      role="img"
      aria-label={label}
      onPointerMove={
        onPoint &&
        ((event) => {
          onPoint(event.offsetX + left, event.offsetY + top);
        })
      }
      // a finger points by pressing, and what it pressed stays when it is lifted
      onPointerDown={
        onPoint &&
        ((event) => {
          onPoint(event.offsetX + left, event.offsetY + top);
        })
      }
      onPointerLeave={
        onLeave &&
        ((event) => {
          if (event.pointerType === 'mouse') onLeave();
        })
      }
      onClick={
        onPress &&
        ((event) => {
          onPress(event.offsetX + left, event.offsetY + top);
        })
      }
    />
  );
  if (windowed) {
    return (
      <span class="picture-room" style={{ width: `${drawing.width}px`, height: `${drawing.height}px` }}>
        {picture}
      </span>
    );
  }
  if (mark === undefined) return picture;
  return (
    <span class="marked-picture">
      {picture}
      {mark && (
        <span
          class="mark"
          style={{
            transform: `translate(${mark.x}px, ${mark.y}px)`,
            width: `${mark.width}px`,
            height: `${Math.max(3, mark.height)}px`,
          }}
        />
      )}
    </span>
  );
}
