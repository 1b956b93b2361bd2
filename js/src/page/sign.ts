// The title of the window and its icon: how the build stands, told where it is seen from another window.

import { clampPercent, percent, type Tone } from "../format";
import { SHAPES } from "../views/icons";

/** Seen on light and on dark bars alike. */
const COLOURS: Record<Tone, string> = {
  done: "#2a9c57",
  said: "#7c8792",
  run: "#3d7fcf",
  fail: "#d9404d",
  block: "#b98a24",
  pause: "#b98a24",
  idle: "#7c8792",
  skip: "#7c8792",
  unknown: "#7c8792",
};

/** `62 % · shop · In progress`. A word on the connection takes the place of the status, which may be old. */
export function titleOf(project: string, word: string, value: number | null, trouble: string | null): string {
  const parts = value === null ? [] : [percent(value)];
  return [...parts, project, trouble ?? word].join(" · ");
}

/** The icon as a `data:` address: the shape and the colour of the status; of a running build the ring is its percentage. */
export function iconAddress(tone: Tone, value: number | null, live: boolean): string {
  const colour = live ? COLOURS[tone] : COLOURS.unknown;
  const { f, o, dash } = SHAPES[tone];
  const stroke = (d: string, more: string): string => `<path d="${d}" fill="none" stroke="${colour}" ${more}/>`;
  let body = "";
  if (tone === "run") {
    const ring = "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2Z";
    const part = value === null ? 25 : clampPercent(value);
    body =
      stroke(ring, 'stroke-width="3" opacity=".35"') +
      stroke(ring, `stroke-width="3" pathLength="100" stroke-dasharray="${part} 100"`);
  } else {
    if (o !== undefined)
      body += stroke(o, `stroke-width="2" ${dash === undefined ? "" : `stroke-dasharray="${dash}"`}`);
    if (f !== undefined) body += `<path d="${f}" fill="${colour}" fill-rule="evenodd"/>`;
  }
  return `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${body}</svg>`)}`;
}

/** Writes both into the document, where they differ. */
export function showSign(title: string, icon: string): void {
  if (document.title !== title) document.title = title;
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  if (link !== null && link.href !== icon) link.href = icon;
}
