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
  onPoint?: (x: number, y: number) => void;
  onLeave?: () => void;
  onPress?: (x: number, y: number) => void;
}

export function Picture({ drawing, label, class: className, onPoint, onLeave, onPress }: PictureProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const palette = colours();
  useLayoutEffect(() => {
    if (!canvas.current) return;
    canvas.current.style.width = `${drawing.width}px`;
    canvas.current.style.height = `${drawing.height}px`;
    // Canvases have a largest size; a wide picture gives up resolution before it gives up content.
    const ratio = Math.min(window.devicePixelRatio || 1, 8000 / Math.max(drawing.width, drawing.height, 1));
    paint(canvas.current, drawing, ratio, palette, false);
  }, [drawing, palette]);
  return (
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
}
