// Status icons: each status has its own shape, so that colour is never the only sign.

import { html, svg, type TemplateResult } from "lit-html";
import type { Tone } from "../format";

/** Paths on a 16 × 16 grid; `o` are strokes, `f` are fills (the ground under them is left out: even-odd). */
export const SHAPES: Record<Tone, { f?: string; o?: string; dash?: string }> = {
  done: { f: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm-1 10.2L3.9 8.1l1.2-1.2L7 8.8l3.9-3.9 1.2 1.2Z" },
  said: { o: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM5 8.2l2.1 2.1L11 6.2" },
  run: { o: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Z", f: "M8 4.2a3.8 3.8 0 0 1 0 7.6Z" },
  fail: {
    f: "M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1Zm.5 3.4L4.4 5.6 6.8 8l-2.4 2.4 1.2 1.2L8 9.2l2.4 2.4 1.2-1.2L9.2 8l2.4-2.4-1.2-1.2L8 6.8Z",
  },
  block: { f: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1ZM4 7h8v2H4Z" },
  idle: { o: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Z" },
  skip: { o: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM3.8 12.2l8.4-8.4" },
  pause: { f: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1ZM5.4 5h1.8v6H5.4Zm3.4 0h1.8v6H8.8Z" },
  unknown: { o: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Z", dash: "2 2.2" },
};

const NS = "http://www.w3.org/2000/svg";

/** The icon as an element, for rows that are patched by hand. */
export function iconElement(tone: Tone): SVGSVGElement {
  const shape = SHAPES[tone];
  const root = document.createElementNS(NS, "svg");
  root.setAttribute("viewBox", "0 0 16 16");
  root.setAttribute("aria-hidden", "true");
  root.setAttribute("class", `bw-icon bw-is-${tone}`);
  const add = (d: string, stroked: boolean): void => {
    const path = document.createElementNS(NS, "path");
    path.setAttribute("d", d);
    if (stroked) {
      path.setAttribute("class", "bw-stroke");
      if (shape.dash) path.setAttribute("stroke-dasharray", shape.dash);
    } else {
      path.setAttribute("fill-rule", "evenodd");
    }
    root.append(path);
  };
  if (shape.o) add(shape.o, true);
  if (shape.f) add(shape.f, false);
  return root;
}

/** The icon as a template. */
export function icon(tone: Tone): TemplateResult {
  const shape = SHAPES[tone];
  return svg`<svg viewBox="0 0 16 16" aria-hidden="true" class="bw-icon bw-is-${tone}">${
    shape.o ? svg`<path class="bw-stroke" d=${shape.o} stroke-dasharray=${shape.dash ?? "none"}></path>` : null
  }${shape.f ? svg`<path fill-rule="evenodd" d=${shape.f}></path>` : null}</svg>`;
}

/** The sign of a warning. */
export function warningIcon(): TemplateResult {
  return html`<svg viewBox="0 0 16 16" aria-hidden="true" class="bw-icon">
    <path fill-rule="evenodd" d="M8 1.2 15.4 14.5H.6ZM7.2 5.8h1.6v4.4H7.2Zm0 5.5h1.6v1.6H7.2Z"></path>
  </svg>`;
}
