// Light or dark, as what is really behind the view. The colour of the page is asked, not the name of its theme: hosts
// mark their themes in a dozen ways or not at all, and a dark system may show a light page.

import { blend, type Colour, luminance, parseColour } from "./colour";

export type Theme = "light" | "dark";

/** Between these, black and white text can be read equally well (as WCAG reckons contrast). */
const MIDDLE = 0.179;
/** What is brighter or darker than these is close enough to white or black for our own colours to be read on it. */
const BRIGHT = 0.8;
const DARK = 0.04;
/** What no observer tells (a style sheet that was edited, a host that fades to its other theme) is seen so often, ms. */
const LOOK_AGAIN = 1000;

export interface Surroundings {
  theme: Theme;
  contrast: boolean;
  /** The colour to stand on, as CSS writes it; null: our own. */
  ground: string | null;
}

/** What is behind an element. */
export function surroundings(el: Element): Surroundings {
  const contrast = /high[- ]contrast/i.test(marks()) || matchMedia("(prefers-contrast: more)").matches;
  const behind = colourBehind(el);
  if (behind === null) return { theme: markedTheme() ?? systemTheme(), contrast, ground: null };
  const light = luminance(behind);
  const { r, g, b } = behind;
  const close = light >= BRIGHT || light <= DARK;
  return {
    theme: light > MIDDLE ? "light" : "dark",
    contrast,
    ground: close ? `rgb(${Math.round(r)}, ${Math.round(g)}, ${Math.round(b)})` : null,
  };
}

/** Keeps `data-bw-theme` of an element, and the colour that it stands on, as the host is. */
export function followTheme(el: HTMLElement, signal: AbortSignal): void {
  let observed: Element[] = [];
  const write = (): void => {
    if (signal.aborted) return;
    const { theme, contrast, ground } = surroundings(el);
    if (el.dataset.bwTheme !== theme) el.dataset.bwTheme = theme;
    const more = contrast ? "more" : "normal";
    if (el.dataset.bwContrast !== more) el.dataset.bwContrast = more;
    if (ground === null) el.style.removeProperty("--bw-behind");
    else if (el.style.getPropertyValue("--bw-behind") !== ground) el.style.setProperty("--bw-behind", ground);
    observe();
  };
  let frame = 0;
  const soon = (): void => {
    if (frame !== 0) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      write();
    });
  };
  const observer = new MutationObserver(soon);
  // Any of the elements around may be what gives the colour.
  const observe = (): void => {
    const around = ancestors(el);
    if (around.length === observed.length && around.every((one, i) => one === observed[i])) return;
    observed = around;
    observer.disconnect();
    for (const one of around) observer.observe(one, { attributes: true });
    if (document.head) observer.observe(document.head, { childList: true });
  };
  write();
  // A style sheet that was put into the head is only now here, a host fades over: neither bubbles.
  for (const event of ["load", "transitionend"]) document.addEventListener(event, soon, { capture: true, signal });
  for (const query of ["(prefers-color-scheme: dark)", "(prefers-contrast: more)", "(forced-colors: active)"]) {
    matchMedia(query).addEventListener("change", write, { signal });
  }
  const timer = setInterval(() => {
    if (!document.hidden) write();
  }, LOOK_AGAIN);
  signal.addEventListener(
    "abort",
    () => {
      observer.disconnect();
      clearInterval(timer);
      cancelAnimationFrame(frame);
    },
    { once: true },
  );
}

/** The elements around, as they are drawn: through slots, out of shadow roots, out of frames that can be looked out of. */
function ancestors(el: Element): Element[] {
  const out: Element[] = [];
  let at: Element | null = outer(el);
  while (at !== null) {
    out.push(at);
    at = outer(at);
  }
  return out;
}

function outer(el: Element): Element | null {
  const parent = el.assignedSlot ?? el.parentElement;
  if (parent !== null) return parent;
  const root = el.getRootNode();
  if (root instanceof ShadowRoot) return root.host;
  try {
    return root === el.ownerDocument ? (el.ownerDocument.defaultView?.frameElement ?? null) : null;
  } catch {
    return null; // a frame of another origin
  }
}

/** The colour behind an element, all layers taken together; null when nothing says. */
function colourBehind(el: Element): Colour | null {
  const layers: Colour[] = [];
  let top: Element | null = null;
  for (const one of ancestors(el)) {
    top = one;
    const style = getComputedStyle(one);
    const colour = parseColour(style.backgroundColor);
    if (colour !== null && colour.a > 0) layers.push(colour);
    if (colour !== null && colour.a >= 1) return flatten(layers);
    // A frame lets its host shine through only where both are meant for the same scheme.
    const frame = isRoot(one) ? outer(one) : null;
    if (frame !== null && isDark(one) !== isDark(frame)) return flatten([...layers, canvasOf(one)]);
    // A picture or a gradient: what is written on it tells how bright it is.
    if (style.backgroundImage !== "none") {
      const ink = parseColour(style.color);
      if (ink !== null) return flatten([...layers, luminance(ink) > MIDDLE ? BLACK : WHITE]);
    }
  }
  if (markedTheme() !== null) {
    // A frame that shows its host's colour through: the host has marked it instead.
    return layers.length === 0 ? null : flatten([...layers, markedTheme() === "dark" ? BLACK : WHITE]);
  }
  return top === null ? null : flatten([...layers, canvasOf(top)]);
}

const BLACK: Colour = { r: 0, g: 0, b: 0, a: 1 };
const WHITE: Colour = { r: 255, g: 255, b: 255, a: 1 };

/** The layers, the innermost first, the last one opaque, as one colour. */
function flatten(layers: readonly Colour[]): Colour {
  return layers.reduceRight((under, over) => blend(over, under), WHITE);
}

const isRoot = (el: Element): boolean => el === el.ownerDocument.documentElement;

/** Whether an element is drawn for dark surroundings: a page must say that it can be. */
function isDark(el: Element): boolean {
  const scheme = getComputedStyle(el).colorScheme;
  return /\bdark\b/.test(scheme) && (!/\blight\b/.test(scheme) || systemTheme() === "dark");
}

/** What the browser paints where no element paints. */
function canvasOf(root: Element): Colour {
  return isDark(root) ? { r: 18, g: 18, b: 18, a: 1 } : WHITE;
}

function systemTheme(): Theme {
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function marks(): string {
  return `${document.body.dataset.jpThemeName ?? ""} ${document.body.className}`;
}

/** What the marks of the known hosts say: JupyterLab, VS Code, marimo and Sphinx themes. */
function markedTheme(): Theme | null {
  const { body, documentElement: root } = document;
  if (body.dataset.jpThemeLight !== undefined) return body.dataset.jpThemeLight === "false" ? "dark" : "light";
  const kind = body.dataset.vscodeThemeKind ?? body.className;
  if (/vscode-(dark|high-contrast(?!-light))/.test(kind)) return "dark";
  if (/vscode-(light|high-contrast-light)/.test(kind)) return "light";
  for (const el of [root, body]) {
    const mark = el.dataset.theme ?? el.dataset.bsTheme ?? el.dataset.colorScheme ?? "";
    if (mark === "dark" || el.classList.contains("dark")) return "dark";
    if (mark === "light" || el.classList.contains("light")) return "light";
  }
  return null;
}
