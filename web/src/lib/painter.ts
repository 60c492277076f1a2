// Pictures are drawn once, against this small interface, and appear on canvas, in SVG and in PNG alike.

export interface Shape {
  fill?: string;
  stroke?: string;
  strokeWidth?: number;
  opacity?: number;
  radius?: number;
}

export interface Lettering {
  fill: string;
  size: number;
  family: string;
  weight?: number;
  align?: 'left' | 'center' | 'right';
  /** Turned by so many degrees around its anchor. */
  turn?: number;
}

/** Lengths are CSS pixels; y grows downward; text stands with its middle line on y. */
export interface Painter {
  rect(x: number, y: number, width: number, height: number, shape: Shape): void;
  path(d: string, shape: Shape): void;
  text(x: number, y: number, text: string, lettering: Lettering): void;
}

export class CanvasPainter implements Painter {
  private readonly context: CanvasRenderingContext2D;

  constructor(context: CanvasRenderingContext2D) {
    this.context = context;
  }

  rect(x: number, y: number, width: number, height: number, shape: Shape): void {
    const { context } = this;
    context.globalAlpha = shape.opacity ?? 1;
    if (!shape.radius && !shape.stroke && shape.fill) {
      context.fillStyle = shape.fill;
      context.fillRect(x, y, width, height);
      return;
    }
    context.beginPath();
    context.roundRect(x, y, width, height, shape.radius ?? 0);
    this.finish(shape);
  }

  path(d: string, shape: Shape): void {
    this.context.globalAlpha = shape.opacity ?? 1;
    const path = new Path2D(d);
    if (shape.fill) {
      this.context.fillStyle = shape.fill;
      this.context.fill(path);
    }
    if (shape.stroke) {
      this.context.strokeStyle = shape.stroke;
      this.context.lineWidth = shape.strokeWidth ?? 1;
      this.context.stroke(path);
    }
  }

  text(x: number, y: number, text: string, lettering: Lettering): void {
    const { context } = this;
    context.globalAlpha = 1;
    context.fillStyle = lettering.fill;
    context.font = `${lettering.weight ?? 400} ${lettering.size}px ${lettering.family}`;
    context.textAlign = lettering.align ?? 'left';
    context.textBaseline = 'middle';
    if (lettering.turn) {
      context.save();
      context.translate(x, y);
      context.rotate((lettering.turn * Math.PI) / 180);
      context.fillText(text, 0, 0);
      context.restore();
    } else {
      context.fillText(text, x, y);
    }
  }

  private finish(shape: Shape): void {
    if (shape.fill) {
      this.context.fillStyle = shape.fill;
      this.context.fill();
    }
    if (shape.stroke) {
      this.context.strokeStyle = shape.stroke;
      this.context.lineWidth = shape.strokeWidth ?? 1;
      this.context.stroke();
    }
  }
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function round(value: number): string {
  return String(Math.round(value * 100) / 100);
}

export class SvgPainter implements Painter {
  private readonly parts: string[] = [];

  rect(x: number, y: number, width: number, height: number, shape: Shape): void {
    const radius = shape.radius ? ` rx="${round(shape.radius)}"` : '';
    this.parts.push(
      `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}"${radius}${this.style(shape)}/>`,
    );
  }

  path(d: string, shape: Shape): void {
    this.parts.push(`<path d="${d}"${this.style(shape)}/>`);
  }

  text(x: number, y: number, text: string, lettering: Lettering): void {
    const anchor = { left: 'start', center: 'middle', right: 'end' }[lettering.align ?? 'left'];
    const turn = lettering.turn ? ` transform="rotate(${lettering.turn} ${round(x)} ${round(y)})"` : '';
    this.parts.push(
      `<text x="${round(x)}" y="${round(y)}" fill="${lettering.fill}" font-size="${lettering.size}" font-family="${escape(lettering.family)}" font-weight="${lettering.weight ?? 400}" text-anchor="${anchor}" dominant-baseline="central"${turn}>${escape(text)}</text>`,
    );
  }

  /** The whole document, on its own ground so that it reads anywhere. */
  document(width: number, height: number, ground: string): string {
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"><rect width="${width}" height="${height}" fill="${ground}"/>${this.parts.join('')}</svg>\n`;
  }

  private style(shape: Shape): string {
    const stroke = shape.stroke
      ? ` stroke="${shape.stroke}" stroke-width="${round(shape.strokeWidth ?? 1)}"`
      : '';
    const opacity = shape.opacity === undefined ? '' : ` opacity="${round(shape.opacity)}"`;
    return ` fill="${shape.fill ?? 'none'}"${stroke}${opacity}`;
  }
}
