// Colours as a browser computes them.

/** Red, green and blue from 0 to 255, opacity from 0 to 1. */
export interface Colour {
  r: number;
  g: number;
  b: number;
  a: number;
}

const RGB = /^rgba?\(\s*([\d.]+)[,\s]+([\d.]+)[,\s]+([\d.]+)(?:\s*[,/]\s*([\d.]+)(%?))?\s*\)$/;

/** Reads a computed colour; null for what is none. */
export function parseColour(text: string): Colour | null {
  const m = RGB.exec(text);
  if (m === null) return text === "" || text === "none" ? null : painted(text);
  const a = m[4] === undefined ? 1 : Number(m[4]) / (m[5] === "%" ? 100 : 1);
  return { r: Number(m[1]), g: Number(m[2]), b: Number(m[3]), a };
}

/** Newer ways to write a colour (`oklch`, `color(display-p3 …)`) are left to the browser: it paints one dot. */
function painted(text: string): Colour | null {
  if (!CSS.supports("color", text)) return null;
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  if (context === null) return null;
  context.fillStyle = text;
  context.fillRect(0, 0, 1, 1);
  const [r = 0, g = 0, b = 0, a = 0] = context.getImageData(0, 0, 1, 1).data;
  return { r, g, b, a: a / 255 };
}

/** One colour laid over an opaque one. */
export function blend(over: Colour, under: Colour): Colour {
  const mix = (x: number, y: number): number => x * over.a + y * (1 - over.a);
  return { r: mix(over.r, under.r), g: mix(over.g, under.g), b: mix(over.b, under.b), a: 1 };
}

/** How bright a colour is, from 0 to 1, as WCAG reckons it. */
export function luminance({ r, g, b }: Colour): number {
  const linear = (value: number): number => {
    const c = value / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
}
